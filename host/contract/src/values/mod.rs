//! Checks of values against the description's schemas, within bounds (`steps`); [`outputs`]: the
//! schemas of what rules put out.
//!
//! The host checks requests and the outputs of rules with it, and so does the test kit of the SDK.
//!
//! Must not know: requests, where a schema is from.

pub mod outputs;
mod steps;

use std::fmt;
use std::sync::OnceLock;

use jsonschema::{Draft, PatternOptions, Validator};
use serde::Serialize;
use serde_json::Value;

pub use self::steps::is_checking_here;
use self::steps::{Bounded, CountedSchemas};
use crate::description::Description;
use crate::json;
use crate::printable::escaped;
use crate::reason::shorten;
use crate::schema::{self, effort};

/// Most invalid places in one answer.
const PLACES: usize = 16;

/// Steps of a check, and steps per byte of the body: a valid body takes
/// less than one per byte.
const STEPS: u64 = 50_000;
const STEPS_OF_BYTE: u64 = 20;

/// Steps for finding the invalid places.
const TELLING: u64 = 10_000;

/// Stack size of a thread that checks foreign values: the validator recurses into them (see
/// [`effort`]), and a stack overflow ends the process.
pub const STACK_BYTES: usize = 4 << 20;

/// Backtracks of a pattern that needs backtracking.
const BACKTRACKS: usize = 10_000;

/// An invalid place of a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BodyError {
    /// JSON pointer into the value; empty for the whole.
    pub pointer: String,
    /// The error at this place.
    pub detail: String,
}

impl fmt::Display for BodyError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pointer.as_str() {
            "" => formatter.write_str(&self.detail),
            pointer => write!(formatter, "{pointer}: {}", self.detail),
        }
    }
}

/// A schema, compiled for checking bodies.
pub struct Schema {
    document: Value,
    /// Asked for each request.
    allows_null: bool,
    quick: Validator,
    /// Validator for invalid values, compiled with the first one: it counts more and reports more.
    telling: OnceLock<Option<Validator>>,
}

/// The reason why a body is refused.
#[derive(Debug, PartialEq, Eq)]
pub enum SchemaError {
    /// The invalid places, at least one.
    Places(Vec<BodyError>),
    /// The check failed, by a bug of the validator.
    Broke,
}

impl SchemaError {
    /// The invalid places; the whole body if the check failed.
    #[must_use]
    pub fn places(self) -> Vec<BodyError> {
        match self {
            Self::Places(places) => places,
            Self::Broke => whole("could not be checked".into()),
        }
    }
}

impl Schema {
    /// Compiles a schema.
    ///
    /// # Errors
    /// The error in the schema.
    pub fn compile(text: &str) -> Result<Self, String> {
        let document = json::parse(text)?;
        effort::check(&document).map_err(|reason| format!("can't be checked by: {reason}"))?;
        let quick = compiled(&document, CountedSchemas::Composite)?;
        Ok(Self {
            allows_null: schema::allows_null(&document),
            document,
            quick,
            telling: OnceLock::new(),
        })
    }

    /// The types of values that it allows, in words: `an object or null`.
    #[must_use]
    pub fn expected(&self) -> String {
        schema::expected(&self.document)
    }

    /// True if it allows `null`, as far as its types say.
    #[must_use]
    pub fn allows_null(&self) -> bool {
        self.allows_null
    }

    /// Checks a body of `bytes` bytes.
    ///
    /// # Errors
    /// The invalid places; the whole body if the check takes too many steps.
    pub fn check(&self, body: &Value, bytes: usize) -> Result<(), SchemaError> {
        let steps = STEPS.saturating_add(STEPS_OF_BYTE.saturating_mul(bytes as u64));
        match steps::within(steps, || self.quick.is_valid(body)) {
            Bounded::Done(true) => Ok(()),
            Bounded::Done(false) => Err(self.wrong(body)),
            Bounded::UsedUp => Err(SchemaError::Places(whole(format!(
                "it takes more than {steps} steps to check this against the schema; send less, or nest it less"
            )))),
            Bounded::Broke => Err(SchemaError::Broke),
        }
    }

    /// The invalid places, or the first one if they are too many or too deep to find.
    fn wrong(&self, body: &Value) -> SchemaError {
        let telling =
            (self.telling).get_or_init(|| compiled(&self.document, CountedSchemas::All).ok());
        let Some(telling) = telling else {
            return SchemaError::Broke;
        };
        let place = |error: jsonschema::ValidationError<'_>| BodyError {
            pointer: error.instance_path().to_string(),
            // The validator quotes the value, which may be as large as the body.
            detail: escaped(&shorten(error.to_string())).into_owned(),
        };
        let all = || telling.iter_errors(body).take(PLACES).map(place).collect();
        let first = || telling.validate(body).err().map(place);
        match steps::within(TELLING, all) {
            Bounded::Done(places) => return SchemaError::Places(places),
            Bounded::UsedUp => {}
            Bounded::Broke => return SchemaError::Broke,
        }
        match steps::within(TELLING, first) {
            Bounded::Done(Some(place)) => SchemaError::Places(vec![place]),
            Bounded::Broke => SchemaError::Broke,
            Bounded::Done(None) | Bounded::UsedUp => SchemaError::Places(whole(format!(
                "it does not fit the schema; it would take more than {TELLING} steps to say where"
            ))),
        }
    }
}

fn whole(detail: String) -> Vec<BodyError> {
    vec![BodyError {
        pointer: String::new(),
        detail,
    }]
}

fn compiled(document: &Value, which: CountedSchemas) -> Result<Validator, String> {
    let document = steps::counted(document.clone(), which);
    let options = || steps::known(jsonschema::options()).with_draft(Draft::Draft202012);
    // Linear-time matching.
    let linear = options().with_pattern_options(PatternOptions::regex());
    linear.build(&document).or_else(|_| {
        let backtracking = PatternOptions::fancy_regex().backtrack_limit(BACKTRACKS);
        options()
            .with_pattern_options(backtracking)
            .build(&document)
            .map_err(|error| format!("is not a JSON Schema: {}", shorten(error.to_string())))
    })
}

/// Remarks on a participant's schemas that the host checks values against: those whose checks may
/// exceed the step limit, whatever the value.
#[must_use]
pub fn remarks(description: &Description) -> Vec<String> {
    let requests = description.commands.iter().filter_map(|command| {
        let request = command.request.as_ref()?;
        Some((format!("request of command `{}`", command.name), request))
    });
    let filters = description.listings.iter().flat_map(|listing| {
        let name = |parameter| format!("filter `{parameter}` of listing `{}`", listing.name);
        (listing.filters.iter()).map(move |filter| (name(&filter.parameter), &filter.schema))
    });
    let state = std::iter::once(("state".to_owned(), &description.state.schema));
    let replies = (description.commands.iter()).map(|command| {
        (
            format!("reply to command `{}`", command.name),
            &command.reply,
        )
    });
    let events = (description.publications.iter())
        .map(|event| (format!("event `{}`", event.event_type), &event.schema));
    let timers =
        (description.timers.iter()).map(|timer| (format!("timer `{}`", timer.name), &timer.schema));
    let outputs = state.chain(replies).chain(events).chain(timers);
    let mut remarks = Vec::new();
    for (place, text) in requests.chain(filters).chain(outputs) {
        let Ok(document) = json::parse(text) else {
            continue;
        };
        if let Some(effort) = effort::unbounded(&document) {
            remarks.push(format!(
                "{place}: {effort}; values that take more steps than a check has are refused"
            ));
        }
        let linear = jsonschema::options()
            .with_draft(Draft::Draft202012)
            .with_pattern_options(PatternOptions::regex());
        if linear.build(&document).is_err() && Schema::compile(text).is_ok() {
            remarks.push(format!(
                "{place}: a pattern looks ahead, looks behind or refers back, so matching it has no bound; a text on which it \
                 takes more than {BACKTRACKS} attempts is refused"
            ));
        }
    }
    remarks
}

#[cfg(test)]
mod tests;
