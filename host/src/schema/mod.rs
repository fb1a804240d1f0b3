//! Values checked against the description's schemas, within bounds ([`steps`]).
//!
//! Must not know: requests, where a schema is from.

mod steps;

use std::sync::OnceLock;

use jsonschema::{Draft, PatternOptions, Validator};
use saga_contract::description::Description;
use saga_contract::json;
use saga_contract::reason::shorten;
use saga_contract::schema::effort;
use serde::Serialize;
use serde_json::Value;

use self::steps::{Bounded, Counted};
use crate::base::printable::escaped;

/// Places that are named in one answer at most.
const PLACES: usize = 16;

/// Steps that a check has, and more for each byte of the body: a body that fits its schema takes
/// less than one for each.
const STEPS: u64 = 50_000;
const STEPS_OF_BYTE: u64 = 20;

/// Steps that are spent on telling where a body is wrong.
const TELLING: u64 = 10_000;

/// Attempts to match a pattern that needs backtracking.
const BACKTRACKS: usize = 10_000;

/// A place in a value that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// JSON pointer into the value; empty for the whole.
    pub pointer: String,
    /// What is wrong with it.
    pub detail: String,
}

/// A schema, ready to check bodies.
pub struct Schema {
    document: Value,
    quick: Validator,
    /// The same for those that are wrong: it counts more and says more. Made with the first of
    /// them.
    telling: OnceLock<Option<Validator>>,
}

/// Why a body is not taken.
#[derive(Debug, PartialEq, Eq)]
pub enum Wrong {
    /// It is wrong in these places, never none.
    Places(Vec<Place>),
    /// It could not be checked, by a mistake of the validator.
    Broke,
}

impl Wrong {
    /// The places that are wrong, or the whole where it could not be checked.
    #[must_use]
    pub fn places(self) -> Vec<Place> {
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
    /// Says what is wrong with the schema.
    pub fn compile(text: &str) -> Result<Self, String> {
        let document = json::parse(text)?;
        effort::check(&document).map_err(|reason| format!("can't be checked by: {reason}"))?;
        let quick = compiled(&document, Counted::Composite)?;
        Ok(Self {
            document,
            quick,
            telling: OnceLock::new(),
        })
    }

    /// Checks a body of so many bytes; gives the places that are wrong.
    ///
    /// # Errors
    /// The places; where the check would take too many steps, that it would.
    pub fn check(&self, body: &Value, bytes: usize) -> Result<(), Wrong> {
        let steps = STEPS.saturating_add(STEPS_OF_BYTE.saturating_mul(bytes as u64));
        match steps::within(steps, || self.quick.is_valid(body)) {
            Bounded::Done(true) => Ok(()),
            Bounded::Done(false) => Err(self.wrong(body)),
            Bounded::UsedUp => Err(Wrong::Places(whole(format!(
                "it takes more than {steps} steps to check this against the schema; send less, or nest it less"
            )))),
            Bounded::Broke => Err(Wrong::Broke),
        }
    }

    /// Where it is wrong: in all places, or where those are too many or too deep to be found, in
    /// the first one.
    fn wrong(&self, body: &Value) -> Wrong {
        let telling = (self.telling).get_or_init(|| compiled(&self.document, Counted::All).ok());
        let Some(telling) = telling else {
            return Wrong::Broke;
        };
        let place = |error: jsonschema::ValidationError<'_>| Place {
            pointer: error.instance_path().to_string(),
            // The validator quotes the value, which may be as large as the body.
            detail: escaped(&shorten(error.to_string())).into_owned(),
        };
        let all = || telling.iter_errors(body).take(PLACES).map(place).collect();
        let first = || telling.validate(body).err().map(place);
        match steps::within(TELLING, all) {
            Bounded::Done(places) => return Wrong::Places(places),
            Bounded::UsedUp => {}
            Bounded::Broke => return Wrong::Broke,
        }
        match steps::within(TELLING, first) {
            Bounded::Done(Some(place)) => Wrong::Places(vec![place]),
            Bounded::Broke => Wrong::Broke,
            Bounded::Done(None) | Bounded::UsedUp => Wrong::Places(whole(format!(
                "it does not fit the schema; it would take more than {TELLING} steps to say where"
            ))),
        }
    }
}

fn whole(detail: String) -> Vec<Place> {
    vec![Place {
        pointer: String::new(),
        detail,
    }]
}

fn compiled(document: &Value, which: Counted) -> Result<Validator, String> {
    let document = steps::counted(document.clone(), which);
    let options = || steps::known(jsonschema::options()).with_draft(Draft::Draft202012);
    // Matching takes a time that goes with the length of the text.
    let linear = options().with_pattern_options(PatternOptions::regex());
    linear.build(&document).or_else(|_| {
        let backtracking = PatternOptions::fancy_regex().backtrack_limit(BACKTRACKS);
        options()
            .with_pattern_options(backtracking)
            .build(&document)
            .map_err(|error| format!("is not a JSON Schema: {}", shorten(error.to_string())))
    })
}

/// What is to be known of the schemas of a participant by which foreign values are checked: which
/// of them take more steps than are given to a check, whatever the value.
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
    let mut remarks = Vec::new();
    for (place, text) in requests.chain(filters).chain(state) {
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
