//! Mistakes in a contract that the compiler can't see, and values that do not fit a contract.
//!
//! Owns the way of a description to the host's own checks, so that what an author's tests accept is what a host accepts.
//! The test kit runs them before, in and after every scenario. Not in components: a host checks what they describe, and
//! what they put out.

use crate::bindings::saga::participant::types as wit;
use saga_contract::outputs::{self, Output};

saga_contract::description_from_generated!(crate::bindings::saga::participant::types);

/// Everything for which a host would refuse a component of this description, one sentence each.
pub(crate) fn problems(described: wit::Description) -> Vec<String> {
    let problems = saga_contract::check::problems(&description(described));
    problems.iter().map(ToString::to_string).collect()
}

/// Everything for which a host would refuse to swap one build of a participant for another, one
/// sentence each. Both have passed [`problems`].
pub(crate) fn breaks(active: &wit::Description, candidate: &wit::Description) -> Vec<String> {
    let (active, candidate) = (description(active.clone()), description(candidate.clone()));
    let lacks = saga_contract::compatibility::lacks(&active, &candidate);
    let shapes = saga_contract::shapes::against(&active, &candidate);
    let lacks = lacks.iter().map(ToString::to_string);
    lacks
        .chain(shapes.breaks.into_iter().map(|one| one.text))
        .collect()
}

/// The declared schemas of the values that pass between host and rules.
pub(crate) struct Declared {
    description: d::Description,
    schemas: schemas::Schemas,
}

impl Declared {
    pub(crate) fn of(described: &wit::Description) -> Self {
        let description = description(described.clone());
        let schemas = schemas::Schemas::of(&description);
        Self {
            description,
            schemas,
        }
    }

    /// The mistake in a value that the rules put out, as a host finds it; none if it fits.
    pub(crate) fn output(&self, output: Output<'_>, text: &str) -> Option<String> {
        let mistake = self.schemas.output(output, text).err()?;
        Some(format!("{output} {mistake}"))
    }

    /// The mistake in a refusal, as a host finds it; none if the command declares the refusal.
    pub(crate) fn refusal(&self, command: &str, refusal: &wit::Refusal) -> Option<String> {
        let refusal = (refusal_kind(refusal.kind), refusal.code.as_str());
        outputs::check_refusal(&self.description, command, refusal).err()
    }

    /// Why a host would refuse a command with this body; none if the body fits.
    pub(crate) fn request(&self, command: &str, body: &str) -> Option<String> {
        self.schemas.request(command, body).err()
    }

    /// The permissions that a command requires, and a caller with these lacks.
    pub(crate) fn lacking(&self, command: &str, permissions: &[String]) -> Vec<&str> {
        let command = self.description.command(command);
        let required = command.map_or(&[][..], |command| &command.requires).iter();
        let lacking = required.filter(|one| !permissions.contains(one));
        lacking.map(String::as_str).collect()
    }
}

#[cfg(feature = "schema-checks")]
mod schemas {
    use std::collections::BTreeMap;

    use saga_contract::description::Description;
    use saga_contract::json;
    use saga_contract::outputs::{Output, OutputSchemas as _};
    use saga_contract::values::outputs::DeclaredOutputs;
    use saga_contract::values::{BodyError, Schema, SchemaError};

    /// The schemas of a contract, compiled.
    pub(super) struct Schemas {
        outputs: DeclaredOutputs,
        /// By the command. One without a body has none.
        requests: BTreeMap<String, Schema>,
    }

    impl Schemas {
        pub(super) fn of(description: &Description) -> Self {
            let requests = description.commands.iter().filter_map(|command| {
                let schema = Schema::compile(command.request.as_ref()?).ok()?;
                Some((command.name.clone(), schema))
            });
            Self {
                outputs: DeclaredOutputs::of(description),
                requests: requests.collect(),
            }
        }

        pub(super) fn output(&self, output: Output<'_>, text: &str) -> Result<(), String> {
            self.outputs.check(output, text)
        }

        pub(super) fn request(&self, command: &str, body: &str) -> Result<(), String> {
            let Some(schema) = self.requests.get(command) else {
                return Ok(());
            };
            let value = json::parse(body).map_err(|reason| format!("the body {reason}"))?;
            match schema.check(&value, body.len()) {
                Err(SchemaError::Places(places)) => {
                    let places: Vec<_> = places.iter().map(BodyError::to_string).collect();
                    Err(places.join("; "))
                }
                Ok(()) | Err(SchemaError::Broke) => Ok(()),
            }
        }
    }
}

/// Without the validator, a value only has to be JSON.
#[cfg(not(feature = "schema-checks"))]
mod schemas {
    use saga_contract::description::Description;
    use saga_contract::json;
    use saga_contract::outputs::{Output, check_json};

    pub(super) struct Schemas;

    impl Schemas {
        pub(super) fn of(_: &Description) -> Self {
            Self
        }

        pub(super) fn output(&self, _: Output<'_>, text: &str) -> Result<(), String> {
            check_json(text)
        }

        pub(super) fn request(&self, _: &str, body: &str) -> Result<(), String> {
            json::parse(body)
                .map(drop)
                .map_err(|reason| format!("the body {reason}"))
        }
    }
}
