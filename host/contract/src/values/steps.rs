//! The bound of the work of checking a value against a schema.
//!
//! A schema that refers to itself under `oneOf` or `anyOf` can make a few hundred bytes cost
//! minutes and gigabytes, and the check runs in a library. So each schema in a document gets a
//! keyword of our own, which counts a step when the validator evaluates it; once all steps are used
//! up, the check is unwound.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;

use jsonschema::paths::Location;
use jsonschema::{Keyword, ValidationError, ValidationOptions};
use serde_json::{Map, Value, json};

use crate::schema::places::{self, INNER, KEPT, REFERENCES, SAME};

/// The keyword. If a schema uses it already, it means something else there, and no validator knows
/// it.
const KEYWORD: &str = "x-saga-steps";

/// Keywords whose schemas are tried on a value: a mismatch does not end the check.
const TRIED: [&str; 6] = [
    "anyOf",
    "if",
    "not",
    "oneOf",
    "unevaluatedItems",
    "unevaluatedProperties",
];

/// Values of an `enum` that are compared in one step.
const VALUES: usize = 16;

thread_local! {
    /// Remaining steps of this thread's check.
    static LEFT: Cell<u64> = const { Cell::new(0) };
    /// True while a panic of the validator is caught.
    static IS_CHECKING: Cell<bool> = const { Cell::new(false) };
}

/// Result of a check.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Bounded<T> {
    /// The check ended.
    Done(T),
    /// The check would exceed its steps.
    UsedUp,
    /// The check panicked.
    Broke,
}

/// Runs a check within this number of steps.
pub(super) fn within<T>(steps: u64, check: impl FnOnce() -> T) -> Bounded<T> {
    LEFT.set(steps);
    let before = IS_CHECKING.replace(true);
    let result = std::panic::catch_unwind(AssertUnwindSafe(check));
    IS_CHECKING.set(before);
    match result {
        Ok(value) => Bounded::Done(value),
        Err(_) if LEFT.get() == 0 => Bounded::UsedUp,
        Err(_) => Bounded::Broke,
    }
}

/// True if this thread checks a value, so that a panic of the validator is caught: a program whose
/// panics end it asks this.
#[must_use]
pub fn is_checking_here() -> bool {
    IS_CHECKING.get()
}

/// The steps of one schema.
struct StepKeyword(u64);

impl StepKeyword {
    fn spend(&self) {
        match LEFT.get().checked_sub(self.0) {
            Some(left) if left > 0 => LEFT.set(left),
            _ => {
                LEFT.set(0);
                // Unwinds without the panic hook, so that nothing is logged.
                std::panic::resume_unwind(Box::new(()));
            }
        }
    }
}

impl<'i> Keyword<'i> for StepKeyword {
    fn validate(&self, _: &'i Value) -> Result<(), ValidationError<'i>> {
        self.spend();
        Ok(())
    }

    fn is_valid(&self, _: &'i Value) -> bool {
        self.spend();
        true
    }
}

/// Registers the keyword with a validator.
pub(super) fn known(options: ValidationOptions<'_>) -> ValidationOptions<'_> {
    options.with_keyword(
        KEYWORD,
        |_: &Map<String, Value>, steps: &Value, _: Location| {
            let steps = StepKeyword(steps.as_u64().unwrap_or(1));
            Ok(Box::new(steps) as Box<dyn for<'i> Keyword<'i>>)
        },
    )
}

/// The schemas of a document that count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CountedSchemas {
    /// Those with subschemas: a plain schema is evaluated once per evaluation of one of those.
    Composite,
    /// All, for collecting errors.
    All,
}

/// The document with the keyword in its schemas.
pub(super) fn counted(mut document: Value, which: CountedSchemas) -> Value {
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
        // A reference may lead to a place that no keyword does.
        open.extend(
            (REFERENCES.iter())
                .filter_map(|name| places::pointer(schema.get(*name)?.as_str()?))
                .filter(|pointer| pointer.starts_with('/')),
        );
        if which == CountedSchemas::All || !is_plain {
            count(schema, 1 + parts.len() as u64 + values as u64);
        }
        open.extend(parts);
    }
    document
}

/// Makes a schema count this number of steps.
///
/// The validator evaluates custom keywords last, and not at all after another one has failed. So a
/// schema that tries others counts in its `allOf`, which is evaluated before them; at its end,
/// since references address its items by index.
fn count(schema: &mut Map<String, Value>, steps: u64) {
    if !TRIED.iter().any(|name| schema.contains_key(*name)) {
        schema.insert(KEYWORD.to_owned(), steps.into());
        return;
    }
    let all = schema.entry("allOf").or_insert_with(|| json!([]));
    // The validator refuses any other value.
    if let Value::Array(all) = all {
        all.push(json!({KEYWORD: steps}));
    }
}
