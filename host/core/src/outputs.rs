//! The checks of what rules put out, as faults of theirs.

use saga_contract::description::Description;
use saga_contract::outputs::{self, Output, OutputSchemas, check_json};

use crate::outcome::Refusal;
use crate::rules::{Fault, FaultKind};

/// Checks that an output is JSON, and that it matches its schema if there are schemas.
///
/// # Errors
/// A [`Fault`] that names the output and the mismatch.
pub(crate) fn check(
    schemas: Option<&dyn OutputSchemas>,
    output: Output<'_>,
    text: &str,
) -> Result<(), Fault> {
    let checked = match schemas {
        Some(schemas) => schemas.check(output, text),
        None => check_json(text),
    };
    checked.map_err(|mismatch| Fault::new(FaultKind::BadOutput, format!("{output} {mismatch}")))
}

/// Checks that a command declares a refusal.
///
/// # Errors
/// A [`Fault`] that names both.
pub(crate) fn check_refusal(
    description: &Description,
    command: &str,
    refusal: &Refusal,
) -> Result<(), Fault> {
    outputs::check_refusal(description, command, (refusal.kind, &refusal.code))
        .map_err(|detail| Fault::new(FaultKind::BadOutput, detail))
}
