//! The comparison: the reader must accept each alternative of the writer.

use serde_json::{Map, Value};

use super::node::{Branch, Node, Types, spread};
use super::value::{self, TakenValues};
use super::{BREAKS, Break, By, Comparison, Unclear, What, members, scalars};

/// Comparisons of two schemas in all.
const STEPS: usize = 20_000;

/// Nesting of comparisons.
const DEPTH: usize = 64;

/// Keywords that are not compared: equal values are fine, everything else is unclear. Each with the
/// types that it applies to.
const NOT_COMPARED: [(&str, Types); 14] = [
    ("not", Types::ALL),
    ("if", Types::ALL),
    ("then", Types::ALL),
    ("else", Types::ALL),
    ("$dynamicRef", Types::ALL),
    ("$recursiveRef", Types::ALL),
    ("propertyNames", Types::OBJECT),
    ("dependentRequired", Types::OBJECT),
    ("dependentSchemas", Types::OBJECT),
    ("dependencies", Types::OBJECT),
    ("unevaluatedProperties", Types::OBJECT),
    ("contains", Types::ARRAY),
    ("unevaluatedItems", Types::ARRAY),
    ("minContains", Types::ARRAY),
];

/// A comparison in progress.
#[derive(Default)]
pub(super) struct Walk {
    pub(super) found: Comparison,
    steps: usize,
    depth: usize,
    /// Pairs that are being compared. Recursive schemas meet them again; such a pair is fine if
    /// everything else is.
    underway: Vec<(usize, Vec<usize>)>,
}

impl Walk {
    /// Compares the reader with the values that all of these writer's schemas allow.
    pub(super) fn compare<'s>(&mut self, reader: Node<'s>, writer: &[Node<'s>], at: &str) {
        if reader.is_anything() || !self.enters(at) {
            return;
        }
        let addresses = writer.iter().map(|node| node.address()).collect();
        let pair = (reader.address(), addresses);
        if !self.underway.contains(&pair) {
            self.underway.push(pair);
            let written = spread(writer);
            if !written.is_whole {
                self.unclear(
                    at,
                    "what is written has too many alternatives, or refers to other documents, and",
                );
            }
            for branch in &written.branches {
                self.branch(reader, branch, at);
            }
            self.underway.pop();
        }
        self.depth -= 1;
    }

    fn branch<'s>(&mut self, reader: Node<'s>, branch: &Branch<'s>, at: &str) {
        let types = branch.types();
        let Some(values) = branch.values() else {
            return self.typed(reader, branch, types, at);
        };
        let written = values.into_iter();
        let mut refused = Vec::new();
        for value in written.filter(|value| types.has(Types::of(value))) {
            match value::takes(reader, value) {
                TakenValues::Yes => {}
                TakenValues::No => refused.push(value),
                TakenValues::Unclear => self.unclear(at, "a value that is listed"),
            }
        }
        if !refused.is_empty() {
            let written = value::told_values(&refused);
            self.differs(at, By::Choice, written, value::told(reader));
        }
    }

    /// Compares the written values of these types.
    fn typed<'s>(&mut self, reader: Node<'s>, branch: &Branch<'s>, types: Types, at: &str) {
        if types.is_empty() || reader.is_anything() || !self.enters(at) {
            return;
        }
        match reader.keywords() {
            Some(keywords) => self.keywords(reader, keywords, branch, types, at),
            None => self.differs(at, By::Type, types.told(), "nothing".into()),
        }
        self.depth -= 1;
    }

    fn keywords<'s>(
        &mut self,
        reader: Node<'s>,
        keywords: &'s Map<String, Value>,
        branch: &Branch<'s>,
        mut types: Types,
        at: &str,
    ) {
        if let Some(taken) = Types::declared(keywords) {
            let refused = types.without(taken);
            if !refused.is_empty() {
                let is_any = types == Types::ALL;
                let written = if is_any { types } else { refused };
                self.differs(at, By::Type, written.told(), taken.told());
                if is_any {
                    return;
                }
            }
            types = types.and(taken);
        }
        types = self.listed(reader, types, at);
        if types.is_empty() {
            return;
        }
        if let Some(reference) = keywords.get("$ref").and_then(Value::as_str) {
            match reader.target(reference) {
                Some(target) => self.typed(target, branch, types, at),
                None => self.unclear(at, &format!("the reference `{reference}`")),
            }
        }
        for one in reader.listed("allOf").into_iter().flatten() {
            self.typed(one, branch, types, at);
        }
        for keyword in ["anyOf", "oneOf"] {
            if let Some(alternatives) = reader.listed(keyword) {
                self.alternatives(&alternatives.collect::<Vec<_>>(), branch, types, at);
            }
        }
        if types.has(Types::NUMBER) {
            let numbers = types.and(Types::NUMBER);
            scalars::numbers(self, keywords, branch, numbers, at);
        }
        if types.has(Types::STRING) {
            scalars::texts(self, reader, branch, at);
        }
        if types.has(Types::ARRAY) {
            members::arrays(self, reader, branch, at);
        }
        if types.has(Types::OBJECT) {
            members::objects(self, reader, branch, at);
        }
        for (keyword, of) in NOT_COMPARED {
            if types.has(of) {
                self.unlike(reader, branch, keyword, at);
            }
        }
    }

    /// Reports a break if the reader lists its values and the writer does not; returns the types
    /// for which that is no break.
    fn listed(&mut self, reader: Node<'_>, types: Types, at: &str) -> Types {
        let listed = |keyword| reader.schema.get(keyword);
        let values: Vec<&Value> = match (listed("const"), listed("enum")) {
            (Some(constant), _) => vec![constant],
            (None, Some(Value::Array(values))) => values.iter().collect(),
            _ => return types,
        };
        let has = |value| values.contains(&&value);
        let mut all = Types::NONE;
        if has(Value::Null) {
            all = all.or(Types::NULL);
        }
        if has(Value::Bool(true)) && has(Value::Bool(false)) {
            all = all.or(Types::BOOLEAN);
        }
        let refused = types.without(all);
        if !refused.is_empty() {
            let written = match refused.told().as_str() {
                "anything" => "anything else".into(),
                told => told.replacen("a ", "any ", 1).replacen("an ", "any ", 1),
            };
            self.differs(at, By::Choice, written, value::told_values(&values));
        }
        types.and(all)
    }

    /// Each written type must be accepted by one of these alternatives.
    fn alternatives<'s>(
        &mut self,
        alternatives: &[Node<'s>],
        branch: &Branch<'s>,
        types: Types,
        at: &str,
    ) {
        let mut refused = Types::NONE;
        for one_type in types.each() {
            let mut nearest: Option<Comparison> = None;
            for one in alternatives {
                let found = self.trial(|walk| walk.typed(*one, branch, one_type, at));
                let is_nearer = (nearest.as_ref())
                    .is_none_or(|other| distance(&found, at) < distance(other, at));
                if is_nearer {
                    nearest = Some(found);
                }
            }
            match nearest {
                Some(found) if !is_of_other_type(&found, at) => {
                    self.found.breaks.extend(found.breaks);
                    self.found.unclear.extend(found.unclear);
                }
                _ => refused = refused.or(one_type),
            }
        }
        if !refused.is_empty() {
            let taken = alternatives.iter().map(|one| value::types(*one));
            let taken = taken.fold(Types::NONE, Types::or);
            self.differs(at, By::Type, refused.told(), taken.told());
        }
    }

    fn trial(&mut self, compare: impl FnOnce(&mut Self)) -> Comparison {
        let before = std::mem::take(&mut self.found);
        compare(self);
        std::mem::replace(&mut self.found, before)
    }

    /// Compares a keyword whose meaning is not compared: unclear unless the writer's is the same.
    pub(super) fn unlike<'s>(
        &mut self,
        reader: Node<'s>,
        branch: &Branch<'s>,
        keyword: &str,
        at: &str,
    ) {
        let mut parts = branch.parts.iter();
        if reader.schema.get(keyword).is_some()
            && !parts.any(|part| reader.says_the_same(*part, keyword))
        {
            self.unclear(at, &format!("`{keyword}`"));
        }
    }

    /// True if there may be one more comparison.
    fn enters(&mut self, at: &str) -> bool {
        if self.depth >= DEPTH || self.steps >= STEPS {
            self.unclear(at, "what is nested so deep or has so many parts");
            return false;
        }
        self.depth += 1;
        self.steps += 1;
        true
    }

    /// Adds a break.
    pub(super) fn breaks(&mut self, at: &str, what: What) {
        let pointer = at.to_owned();
        let found = Break { pointer, what };
        // More than are reported, because the first ones in order are reported.
        if self.found.breaks.len() < BREAKS * 4 && !self.found.breaks.contains(&found) {
            self.found.breaks.push(found);
        }
    }

    /// Adds a difference between the written and the accepted values.
    pub(super) fn differs(&mut self, at: &str, by: By, written: String, read: String) {
        self.breaks(at, What::Differs { by, written, read });
    }

    /// Adds a part that can't be compared.
    pub(super) fn unclear(&mut self, at: &str, what: &str) {
        let found = Unclear {
            pointer: at.to_owned(),
            what: what.to_owned(),
        };
        if self.found.unclear.len() < BREAKS && !self.found.unclear.contains(&found) {
            self.found.unclear.push(found);
        }
    }
}

/// The distance of an alternative from accepting the written values: an alternative with another
/// tag is further away than one with a missing member.
fn distance(found: &Comparison, at: &str) -> (bool, bool, usize, usize) {
    let is_other_choice = |one: &Break| matches!(one.what, What::Differs { by: By::Choice, .. });
    (
        is_of_other_type(found, at),
        found.breaks.iter().any(is_other_choice),
        found.breaks.len(),
        found.unclear.len(),
    )
}

fn is_of_other_type(found: &Comparison, at: &str) -> bool {
    let is_other =
        |one: &Break| one.pointer == at && matches!(one.what, What::Differs { by: By::Type, .. });
    found.breaks.iter().any(is_other)
}
