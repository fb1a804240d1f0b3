//! Whether what one JSON Schema allows to be written can be read by another.
//!
//! Owns the comparison of two schemas (draft 2020-12, and what older drafts and OpenAPI 3.0 write otherwise:
//! `definitions`, `nullable`, an array of `items`) and the words for what it finds. Knows no participants,
//! events or commands.
//!
//! The comparison goes by keywords and is conservative: where it finds nothing, every value that the writer's schema
//! allows is one that the reader's takes, with two exceptions that follow from how people use schemas:
//!
//! - A member that the writer's schema does not name is not written, unless its `additionalProperties` say
//!   otherwise. JSON Schema would allow it with any value, and then no member could ever be added.
//! - `oneOf` is read as `anyOf`: that alternatives exclude each other is taken for granted.
//!
//! What can't be compared (`not`, `if`, patterns of names that differ, and the like) is fine where both have the same, and
//! otherwise told as unclear, which is no break.
//!
//! Invariant 9: depth, work, alternatives and what is told are bounded; beyond the bounds it is unclear.
//!
//! # Layout
//!
//! - this file: [`accepts`], and what it tells
//! - `node`: a schema in its document; types; what a writer may write as a list of alternatives
//! - `walk`: the comparison; `scalars` and `members`: of numbers and texts, of objects and arrays
//! - `value`: whether a schema takes one value
//! - [`effort`]: whether the effort of checking values has a bound
//! - `pointer`: the types of what a schema allows at a JSON pointer
//! - [`places`]: the keywords that have schemas in them

pub mod effort;
mod members;
mod node;
pub mod places;
pub(crate) mod pointer;
mod scalars;
mod value;
mod walk;

use serde_json::Value;

use node::Node;
pub(crate) use node::Types;
use walk::Walk;

/// Breaks that are told of two schemas at most.
const BREAKS: usize = 32;

/// What one schema does not take of what another one allows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comparison {
    /// What can be written and not read.
    pub breaks: Vec<Break>,
    /// What can't be compared.
    pub unclear: Vec<Unclear>,
}

/// Something that can be written and not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Break {
    /// Where: a JSON pointer into the value, with `*` for any item or member; empty for the value itself.
    pub pointer: String,
    /// What differs.
    pub what: What,
}

/// How what is written differs from what is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// The reader requires a member that the writer's schema does not have.
    Missing,
    /// The reader requires a member that the writer may leave out.
    MayBeMissing,
    /// The writer may write a value that the reader does not take.
    Differs {
        /// By what.
        by: By,
        /// What may be written, such as `a string`.
        written: String,
        /// What is taken, such as `an integer`.
        read: String,
    },
}

/// By what a value differs from what is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// Its type.
    Type,
    /// It is one of a few, and not one of those that are taken.
    Choice,
    /// A bound, a length, a pattern, a format.
    Rule,
}

/// Something that can't be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unclear {
    /// Where, as in [`Break::pointer`].
    pub pointer: String,
    /// What, such as `` `not` ``.
    pub what: String,
}

/// Who writes and who reads, for the sentence that tells of a break.
#[derive(Debug, Clone, Copy)]
pub struct Sides<'a> {
    /// What is compared as a whole: `the body`.
    pub whole: &'a str,
    /// Who reads: `participant customer`.
    pub reader: &'a str,
    /// Where it stands: `in what this build publishes`.
    pub place: &'a str,
    /// What has become of a member that is not written: `no longer published`.
    pub gone: &'a str,
    /// The same of one that need not be written: `not always published`.
    pub optional: &'a str,
}

/// Compares what the one schema takes with what the other one allows to be written.
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

/// Each once, by the place, so many at most.
fn in_order<T: PartialEq>(found: &mut Vec<T>, pointer: impl Fn(&T) -> &String) {
    found.sort_by(|one, other| pointer(one).cmp(pointer(other)));
    found.dedup();
    found.truncate(BREAKS);
}

impl Comparison {
    /// Whether everything that may be written can be read, as far as it can be told.
    #[must_use]
    pub fn is_compatible(&self) -> bool {
        self.breaks.is_empty()
    }
}

impl Break {
    /// The break in a sentence.
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
    /// What can't be compared, in a sentence.
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
