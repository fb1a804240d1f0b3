//! How much work it may be to check a value against a schema.
//!
//! A schema that refers to itself under `oneOf` or `anyOf` can make a few hundred bytes cost
//! minutes and gigabytes, and what checks is a library. So each schema in a document gets a keyword
//! of our own, which counts a step when the validator comes by; where all steps are used up, the
//! check is unwound.

use std::cell::Cell;
use std::collections::BTreeSet;

use jsonschema::paths::Location;
use jsonschema::{Keyword, ValidationError, ValidationOptions};
use saga_contract::schema::places::{self, INNER, KEPT, REFERENCES, SAME};
use serde_json::{Map, Value, json};

use crate::base::panics;

/// The keyword. A schema that has it already says something else by it, which no validator knows.
const KEYWORD: &str = "x-saga-steps";

/// Keywords whose schemas are tried on a value: that they do not fit does not end the check.
const TRIED: [&str; 6] = [
    "anyOf",
    "if",
    "not",
    "oneOf",
    "unevaluatedItems",
    "unevaluatedProperties",
];

/// Values of an `enum` that are compared within one step.
const VALUES: usize = 16;

thread_local! {
    /// Steps that are left to the check of this thread.
    static LEFT: Cell<u64> = const { Cell::new(0) };
}

/// What became of a check.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Bounded<T> {
    /// It ended.
    Done(T),
    /// It would take more steps than it has.
    UsedUp,
    /// It panicked.
    Broke,
}

/// Checks within so many steps.
pub(super) fn within<T>(steps: u64, check: impl FnOnce() -> T) -> Bounded<T> {
    LEFT.set(steps);
    match panics::caught(check) {
        Some(value) => Bounded::Done(value),
        None if LEFT.get() == 0 => Bounded::UsedUp,
        None => Bounded::Broke,
    }
}

/// The steps of one schema.
struct Steps(u64);

impl Steps {
    fn spend(&self) {
        match LEFT.get().checked_sub(self.0) {
            Some(left) if left > 0 => LEFT.set(left),
            _ => {
                LEFT.set(0);
                // Not a panic of anybody: nothing is said of it.
                std::panic::resume_unwind(Box::new(()));
            }
        }
    }
}

impl<'i> Keyword<'i> for Steps {
    fn validate(&self, _: &'i Value) -> Result<(), ValidationError<'i>> {
        self.spend();
        Ok(())
    }

    fn is_valid(&self, _: &'i Value) -> bool {
        self.spend();
        true
    }
}

/// Lets a validator know the keyword.
pub(super) fn known(options: ValidationOptions<'_>) -> ValidationOptions<'_> {
    options.with_keyword(
        KEYWORD,
        |_: &Map<String, Value>, steps: &Value, _: Location| {
            let steps = Steps(steps.as_u64().unwrap_or(1));
            Ok(Box::new(steps) as Box<dyn for<'i> Keyword<'i>>)
        },
    )
}

/// Which schemas of a document count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counted {
    /// Those with others in them: a plain one is looked at once for each time that one of those is.
    Composite,
    /// All, for what is gathered of each.
    All,
}

/// The document with the keyword in its schemas.
pub(super) fn counted(mut document: Value, which: Counted) -> Value {
    let mut open = vec![String::new()];
    let mut seen = BTreeSet::new();
    while let Some(pointer) = open.pop() {
        if !seen.insert(pointer.clone()) {
            continue;
        }
        let Some(Value::Object(schema)) = document.pointer_mut(&pointer) else {
            continue;
        };
        schema.remove(KEYWORD);
        let mut parts = SAME.parts(schema, &pointer);
        parts.extend(INNER.parts(schema, &pointer));
        let values = schema
            .get("enum")
            .and_then(Value::as_array)
            .map_or(0, Vec::len)
            / VALUES;
        let refers = REFERENCES.iter().any(|name| schema.contains_key(*name));
        let is_plain = parts.is_empty() && values == 0 && !refers;
        open.extend(KEPT.parts(schema, &pointer));
        // A reference may lead to where no keyword does.
        open.extend(
            (REFERENCES.iter())
                .filter_map(|name| places::pointer(schema.get(*name)?.as_str()?))
                .filter(|pointer| pointer.starts_with('/')),
        );
        if which == Counted::All || !is_plain {
            count(schema, 1 + parts.len() as u64 + values as u64);
        }
        open.extend(parts);
    }
    document
}

/// Has a schema count so many steps.
///
/// The validator comes to a keyword of our own last, and not at all where another one has failed.
/// So a schema that tries others counts in its `allOf`, which comes before those; at the end of it,
/// for references lead to what is there by number.
fn count(schema: &mut Map<String, Value>, steps: u64) {
    if !TRIED.iter().any(|name| schema.contains_key(*name)) {
        schema.insert(KEYWORD.to_owned(), steps.into());
        return;
    }
    let all = schema.entry("allOf").or_insert_with(|| json!([]));
    // What else it is, the validator refuses.
    if let Value::Array(all) = all {
        all.push(json!({KEYWORD: steps}));
    }
}
