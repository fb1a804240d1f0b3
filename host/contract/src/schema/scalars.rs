//! Numbers and texts: bounds, lengths, patterns, formats.

use std::cmp::Ordering;

use serde_json::{Map, Number, Value};

use super::By;
use super::node::{Branch, Node, Types};
use super::walk::Walk;

/// Formats of texts that readers check; others are annotations.
const TEXT_FORMATS: [&str; 19] = [
    "date",
    "date-time",
    "duration",
    "email",
    "hostname",
    "idn-email",
    "idn-hostname",
    "ipv4",
    "ipv6",
    "iri",
    "iri-reference",
    "json-pointer",
    "regex",
    "relative-json-pointer",
    "time",
    "uri",
    "uri-reference",
    "uri-template",
    "uuid",
];

/// Pairs of formats: every text of the first one is of the second one too.
const WIDER: [(&str, &str); 7] = [
    ("email", "idn-email"),
    ("hostname", "idn-hostname"),
    ("uri", "uri-reference"),
    ("uri", "iri"),
    ("uri", "iri-reference"),
    ("iri", "iri-reference"),
    ("uri-reference", "iri-reference"),
];

/// A number that can be compared.
#[derive(Debug, Clone, Copy)]
enum Exact {
    Whole(i128),
    Other(f64),
}

impl Exact {
    fn of(number: &Number) -> Option<Self> {
        let whole = number.to_string().parse().map(Self::Whole);
        whole.ok().or_else(|| {
            let number = number.as_f64()?;
            // Up to this bound, `f64` represents each whole number exactly.
            let is_whole = number.fract() == 0.0 && number.abs() < 9e15;
            Some(if is_whole {
                Self::Whole(number as i128)
            } else {
                Self::Other(number)
            })
        })
    }

    fn as_f64(self) -> f64 {
        match self {
            Self::Whole(number) => number as f64,
            Self::Other(number) => number,
        }
    }

    fn compare(self, other: Self) -> Ordering {
        match (self, other) {
            (Self::Whole(one), Self::Whole(other)) => one.cmp(&other),
            (one, other) => one.as_f64().total_cmp(&other.as_f64()),
        }
    }
}

impl std::fmt::Display for Exact {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Whole(number) => number.fmt(f),
            Self::Other(number) => number.fmt(f),
        }
    }
}

/// True if two numbers are equal, in whatever notation.
pub(super) fn is_same_number(one: &Number, other: &Number) -> bool {
    one == other
        || (Exact::of(one).zip(Exact::of(other)))
            .is_some_and(|(one, other)| one.compare(other) == Ordering::Equal)
}

/// A lower or upper bound of numbers.
#[derive(Debug, Clone, Copy)]
pub(super) struct ScalarBound {
    at: Exact,
    is_excluded: bool,
}

impl ScalarBound {
    /// True if a number is not below this lower bound.
    pub(super) fn is_below(self, number: &Number) -> bool {
        self.lets(number, Ordering::Less)
    }

    /// True if a number is not above this upper bound.
    pub(super) fn is_above(self, number: &Number) -> bool {
        self.lets(number, Ordering::Greater)
    }

    fn lets(self, number: &Number, inside: Ordering) -> bool {
        Exact::of(number).is_none_or(|number| match self.at.compare(number) {
            Ordering::Equal => !self.is_excluded,
            order => order == inside,
        })
    }

    /// True if every number within this bound is within the other one too.
    fn is_within(self, other: Self, inside: Ordering) -> bool {
        match other.at.compare(self.at) {
            Ordering::Equal => self.is_excluded || !other.is_excluded,
            order => order == inside,
        }
    }

    /// The same bound for whole numbers: the last one within it.
    fn of_whole(self, step: i128) -> Self {
        match self.at {
            Exact::Whole(number) if self.is_excluded => Self {
                at: Exact::Whole(number.saturating_add(step)),
                is_excluded: false,
            },
            _ => self,
        }
    }
}

/// Reads a bound from a schema.
type Side = fn(&Map<String, Value>) -> Option<ScalarBound>;

/// The lower bound of a schema.
pub(super) fn lower(keywords: &Map<String, Value>) -> Option<ScalarBound> {
    bound(keywords, "minimum", "exclusiveMinimum", Ordering::Less)
}

/// The upper bound of a schema.
pub(super) fn upper(keywords: &Map<String, Value>) -> Option<ScalarBound> {
    bound(keywords, "maximum", "exclusiveMaximum", Ordering::Greater)
}

fn bound(
    keywords: &Map<String, Value>,
    with: &str,
    without: &str,
    inside: Ordering,
) -> Option<ScalarBound> {
    let number = |name: &str| match keywords.get(name) {
        Some(Value::Number(number)) => Exact::of(number),
        _ => None,
    };
    // In draft 4, `true` here makes the other bound exclusive.
    let is_excluded = keywords.get(without) == Some(&Value::Bool(true));
    let with = number(with).map(|at| ScalarBound { at, is_excluded });
    let without = number(without).map(|at| ScalarBound {
        at,
        is_excluded: true,
    });
    narrower(with.into_iter().chain(without), inside)
}

fn narrower(bounds: impl Iterator<Item = ScalarBound>, inside: Ordering) -> Option<ScalarBound> {
    bounds.reduce(|one, other| {
        if one.is_within(other, inside) {
            one
        } else {
            other
        }
    })
}

/// The least and the greatest number of a format of whole numbers.
pub(super) fn range(format: &str) -> Option<(i128, i128)> {
    let (is_signed, bits) = match format {
        "int8" => (true, 8),
        "int16" => (true, 16),
        "int32" => (true, 32),
        "int64" => (true, 64),
        "uint8" => (false, 8),
        "uint16" => (false, 16),
        "uint32" => (false, 32),
        "uint64" => (false, 64),
        _ => return None,
    };
    let values = 1_i128.checked_shl(bits)?;
    Some(if is_signed {
        (-values / 2, values / 2 - 1)
    } else {
        (0, values - 1)
    })
}

fn range_of<'s>(formats: impl Iterator<Item = &'s Value>) -> Option<(i128, i128)> {
    formats.filter_map(Value::as_str).find_map(range)
}

/// Compares numbers.
pub(super) fn numbers<'s>(
    walk: &mut Walk,
    reader: &'s Map<String, Value>,
    branch: &Branch<'s>,
    types: Types,
    at: &str,
) {
    let are_whole = !types.has(Types::NUMBER.without(Types::INTEGER));
    let sides: [(_, Side, _, _); 2] = [
        (Ordering::Less, lower, 1, "less than"),
        (Ordering::Greater, upper, -1, "more than"),
    ];
    let keywords = || branch.parts.iter().filter_map(|part| part.keywords());
    let written_range = range_of(branch.said("format").map(|(_, format)| format));
    let read_range = range_of(reader.get("format").into_iter());
    for (inside, side, step, beyond) in sides {
        let in_whole = |bound: ScalarBound| {
            if are_whole {
                bound.of_whole(step)
            } else {
                bound
            }
        };
        let ends = |range: (i128, i128)| ScalarBound {
            at: Exact::Whole(if inside == Ordering::Less {
                range.0
            } else {
                range.1
            }),
            is_excluded: false,
        };
        let written = keywords().filter_map(side).map(in_whole);
        let written = narrower(written.chain(written_range.map(ends)), inside);
        if let Some(read) = side(reader).map(in_whole)
            && !written.is_some_and(|written| written.is_within(read, inside))
        {
            let at_most = if inside == Ordering::Less {
                "at least"
            } else {
                "at most"
            };
            let at_bound = read.at;
            let (beyond, read) = if read.is_excluded {
                (
                    format!("{at_bound} or {}", beyond.trim_end_matches(" than")),
                    format!("{} {at_bound}", opposite(beyond)),
                )
            } else {
                (
                    format!("{beyond} {at_bound}"),
                    format!("{at_most} {at_bound}"),
                )
            };
            walk.differs(at, By::Rule, beyond, read);
        } else if let Some(range) = read_range.filter(|_| are_whole)
            && !written.is_some_and(|written| written.is_within(ends(range), inside))
        {
            let format = reader
                .get("format")
                .and_then(Value::as_str)
                .unwrap_or_default();
            let is_wide = format.ends_with("64");
            match written {
                Some(_) => {
                    let read = format!("`{format}`");
                    walk.differs(at, By::Rule, format!("{beyond} {}", ends(range).at), read);
                }
                // An integer without further keywords usually has 64 bits.
                None if is_wide => {}
                None => walk.unclear(at, &format!("the format `{format}`")),
            }
        }
    }
    multiples(walk, reader, branch, are_whole, at);
}

fn opposite(beyond: &str) -> &'static str {
    if beyond.starts_with("less") {
        "more than"
    } else {
        "less than"
    }
}

fn multiples<'s>(
    walk: &mut Walk,
    reader: &'s Map<String, Value>,
    branch: &Branch<'s>,
    are_whole: bool,
    at: &str,
) {
    let exact = |value: &Value| match value {
        Value::Number(number) => Exact::of(number),
        _ => None,
    };
    let Some(of) = reader.get("multipleOf").and_then(exact) else {
        return;
    };
    let is_multiple = |written: Exact| match (written, of) {
        (Exact::Whole(written), Exact::Whole(of)) => written.checked_rem(of) == Some(0),
        (written, of) => written.compare(of) == Ordering::Equal,
    };
    let mut written = branch
        .said("multipleOf")
        .filter_map(|(_, value)| exact(value));
    let is_one = are_whole && is_equal_to_one(of);
    if !is_one && !written.any(is_multiple) {
        let read = format!("multiples of {of}");
        walk.differs(at, By::Rule, "another number".into(), read);
    }
}

fn is_equal_to_one(number: Exact) -> bool {
    number.compare(Exact::Whole(1)) == Ordering::Equal
}

/// Compares texts.
pub(super) fn texts<'s>(walk: &mut Walk, reader: Node<'s>, branch: &Branch<'s>, at: &str) {
    let unit = "characters";
    lengths(walk, reader, branch, ("minLength", "maxLength", unit), at);
    let said = |keyword| reader.schema.get(keyword).and_then(Value::as_str);
    let written = |keyword| branch.said(keyword).filter_map(|(_, value)| value.as_str());
    if let Some(pattern) = said("pattern") {
        let mut patterns = written("pattern");
        if patterns.all(|written| written != pattern) {
            if written("pattern").chain(written("format")).next().is_some() {
                walk.unclear(at, "`pattern`");
            } else {
                let read = format!("texts that match `{pattern}`");
                walk.differs(at, By::Rule, "any text".into(), read);
            }
        }
    }
    if let Some(format) = said("format") {
        let is_same = |written: &str| written == format || WIDER.contains(&(written, format));
        if range(format).is_some() || written("format").any(is_same) {
            return;
        }
        if !TEXT_FORMATS.contains(&format) {
            return walk.unclear(at, &format!("the format `{format}`"));
        }
        let other = written("format").next();
        let written = other.map_or("any text".into(), |other| {
            format!("of the format `{other}`")
        });
        walk.differs(at, By::Rule, written, format!("the format `{format}`"));
    }
}

/// Compares lengths of texts, arrays or objects, given the names of the keywords and the word for
/// the counted unit.
pub(super) fn lengths<'s>(
    walk: &mut Walk,
    reader: Node<'s>,
    branch: &Branch<'s>,
    (least, most, what): (&'static str, &'static str, &str),
    at: &str,
) {
    let said = |keyword| reader.schema.get(keyword).and_then(Value::as_u64);
    let written = |keyword| branch.said(keyword).filter_map(|(_, value)| value.as_u64());
    if let Some(least_read) = said(least).filter(|least| *least > 0)
        && written(least)
            .max()
            .is_none_or(|written| written < least_read)
    {
        let read = format!("at least {least_read}");
        walk.differs(
            at,
            By::Rule,
            format!("of fewer than {least_read} {what}"),
            read,
        );
    }
    if let Some(most_read) = said(most)
        && written(most)
            .min()
            .is_none_or(|written| written > most_read)
    {
        let read = format!("at most {most_read}");
        walk.differs(
            at,
            By::Rule,
            format!("of more than {most_read} {what}"),
            read,
        );
    }
}
