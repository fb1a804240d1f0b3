//! Comparison of two JSON Schemas: finds values that the writer's schema allows and the reader's
//! does not accept.
//!
//! Owns the comparison of two schemas (draft 2020-12, and the differing forms of older drafts and
//! OpenAPI 3.0: `definitions`, `nullable`, an array of `items`) and the wording of its findings.
//! Must not know: participants, events, commands.
//!
//! The comparison goes keyword by keyword and is conservative: if it finds nothing, the reader's
//! schema accepts every value that the writer's schema allows, with two exceptions that follow from
//! how people use schemas:
//!
//! - A member that the writer's schema does not name is not written, unless its
//!   `additionalProperties` allow it. JSON Schema would allow it with any value, and then no member
//!   could ever be added.
//! - `oneOf` is read as `anyOf`: alternatives are assumed to exclude each other.
//!
//! Keywords that can't be compared (`not`, `if`, patterns of names that differ, and the like) are
//! fine if both schemas have the same; otherwise they are reported as unclear, which is no break.
//!
//! Invariant 9: depth, work, alternatives and the report are bounded; the result beyond the bounds
//! is unclear.
//!
//! # Layout
//!
//! - this file: [`accepts`], and its findings
//! - `node`: a schema in its document; types; the alternatives of a writer
//! - `walk`: the comparison; `scalars` and `members`: of numbers and texts, of objects and arrays
//! - `value`: checks one value against a schema
//! - [`effort`]: checks that the effort of validating values is bounded
//! - `pointer`: the types that a schema allows at a JSON pointer
//! - `integers`: integers in the notation of integers
//! - `ranges`: numbers that don't fit into the format that a schema names
//! - [`places`]: the keywords that contain schemas

pub mod effort;
mod integers;
mod members;
mod node;
pub mod places;
pub(crate) mod pointer;
mod ranges;
mod scalars;
mod value;
mod walk;

use serde_json::Value;

pub use integers::write_integers;
use node::Node;
pub(crate) use node::Types;
pub use ranges::out_of_range;
use walk::Walk;

/// True if a schema certainly does not accept this value.
pub(crate) fn refuses(schema: &Value, value: &Value) -> bool {
    value::takes(Node::whole(schema), value) == value::TakenValues::No
}

/// The types of values that a schema allows, in words: `an object or null`.
#[must_use]
pub fn expected(schema: &Value) -> String {
    types(schema).told()
}

/// True if a schema allows `null`, as far as its types say.
#[must_use]
pub fn allows_null(schema: &Value) -> bool {
    types(schema).has(Types::NULL)
}

fn types(schema: &Value) -> Types {
    pointer::types_at(schema, "").unwrap_or(Types::ALL)
}

/// Most breaks of two schemas that are reported.
const BREAKS: usize = 32;

/// The differences between a reader's and a writer's schema.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Values that can be written and not read.
    pub breaks: Vec<Break>,
    /// Parts that can't be compared.
    pub unclear: Vec<Unclear>,
}

/// A value that can be written and not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Break {
    /// A JSON pointer into the value, with `*` for any item or member; empty for the value itself.
    pub pointer: String,
    /// The difference.
    pub what: What,
}

/// The difference between the written and the accepted values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// The reader requires a member that the writer's schema does not have.
    Missing,
    /// The reader requires a member that the writer may leave out.
    MayBeMissing,
    /// The writer may write a value that the reader does not accept.
    Differs {
        /// The kind of difference.
        by: By,
        /// The values that may be written, such as `a string`.
        written: String,
        /// The values that are accepted, such as `an integer`.
        read: String,
    },
}

/// The kind of difference between a written value and the accepted ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// Its type.
    Type,
    /// The value is one of a few, and not an accepted one.
    Choice,
    /// A bound, a length, a pattern, a format.
    Rule,
}

/// A part that can't be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unclear {
    /// A JSON pointer, as in [`Break::pointer`].
    pub pointer: String,
    /// The part, such as `` `not` ``.
    pub what: String,
}

/// The names of writer and reader, for the sentence on a break.
#[derive(Debug, Clone, Copy)]
pub struct Sides<'a> {
    /// The compared value as a whole: `the body`.
    pub whole: &'a str,
    /// The reader: `participant customer`.
    pub reader: &'a str,
    /// The context: `in what this build publishes`.
    pub place: &'a str,
    /// The word for a member that is not written: `no longer published`.
    pub gone: &'a str,
    /// The word for a member that need not be written: `not always published`.
    pub optional: &'a str,
}

/// Finds values that the writer's schema allows and the reader's does not accept.
#[must_use]
pub fn accepts(reader: &Value, writer: &Value) -> Comparison {
    if reader == writer {
        return Comparison::default();
    }
    let mut walk = Walk::default();
    walk.compare(Node::whole(reader), &[Node::whole(writer)], "");
    let Comparison {
        mut breaks,
        mut unclear,
    } = walk.found;
    in_order(&mut breaks, |one| &one.pointer);
    in_order(&mut unclear, |one| &one.pointer);
    Comparison { breaks, unclear }
}

/// Sorts the findings by place, removes duplicates, and limits their number.
fn in_order<T: PartialEq>(found: &mut Vec<T>, pointer: impl Fn(&T) -> &String) {
    found.sort_by(|one, other| pointer(one).cmp(pointer(other)));
    found.dedup();
    found.truncate(BREAKS);
}

impl Comparison {
    /// True if no break was found: everything that may be written can be read, as far as known.
    #[must_use]
    pub fn is_compatible(&self) -> bool {
        self.breaks.is_empty()
    }
}

impl Break {
    /// The break as a sentence.
    #[must_use]
    pub fn told(&self, sides: &Sides<'_>) -> String {
        let Sides {
            reader,
            place,
            gone,
            optional,
            ..
        } = sides;
        let pointer = place_of(&self.pointer, sides.whole);
        match &self.what {
            What::Missing => format!("{pointer} is required by {reader} but {gone}"),
            What::MayBeMissing => format!("{pointer} is required by {reader} but {optional}"),
            What::Differs { written, read, .. } => {
                format!("{pointer} may be {written} {place}, and {reader} takes {read}")
            }
        }
    }
}

impl Unclear {
    /// The part that can't be compared, as a sentence.
    #[must_use]
    pub fn told(&self, sides: &Sides<'_>) -> String {
        let pointer = place_of(&self.pointer, sides.whole);
        format!(
            "{pointer}: {} can't be compared; see that {} takes what stands {}",
            self.what, sides.reader, sides.place
        )
    }
}

fn place_of<'a>(pointer: &'a str, whole: &'a str) -> &'a str {
    if pointer.is_empty() { whole } else { pointer }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
