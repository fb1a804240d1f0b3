//! The comparison: each alternative of what is written has to be taken by what reads.

use serde_json::{Map, Value};

use super::node::{Branch, Node, Types, spread};
use super::value::{self, Taken};
use super::{BREAKS, Break, By, Comparison, Unclear, What, members, scalars};

/// Comparisons of two schemas, of all there are to make.
const STEPS: usize = 20_000;

/// Comparisons that are inside of each other.
const DEPTH: usize = 64;

/// What both may say, and is not compared: alike is fine, all else is unclear. With the types that it is about.
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

/// A comparison that goes on.
#[derive(Default)]
pub(super) struct Walk {
    pub(super) found: Comparison,
    steps: usize,
    depth: usize,
    /// What is being compared: schemas that contain themselves come by again, and are fine if all else is.
    underway: Vec<(usize, Vec<usize>)>,
}

impl Walk {
    /// Compares what reads with what is written where all of these schemas hold.
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
                Taken::Yes => {}
                Taken::No => refused.push(value),
                Taken::Unclear => self.unclear(at, "a value that is listed"),
            }
        }
        if !refused.is_empty() {
            let written = value::told_values(&refused);
            self.differs(at, By::Choice, written, value::told(reader));
        }
    }

    /// Compares what is written of these types.
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

    /// Where the reader lists what it takes and the writer does not: gives the types of which that is no break.
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

    /// Each type that is written has to be taken by one of these.
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

    /// A keyword that is not compared: unclear unless the writer says the same.
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

    /// Whether there is a comparison more to be had.
    fn enters(&mut self, at: &str) -> bool {
        if self.depth >= DEPTH || self.steps >= STEPS {
            self.unclear(at, "what is nested so deep or has so many parts");
            return false;
        }
        self.depth += 1;
        self.steps += 1;
        true
    }

    /// Notes a break.
    pub(super) fn breaks(&mut self, at: &str, what: What) {
        let pointer = at.to_owned();
        let found = Break { pointer, what };
        // More than are told, for those that come first are told.
        if self.found.breaks.len() < BREAKS * 4 && !self.found.breaks.contains(&found) {
            self.found.breaks.push(found);
        }
    }

    /// Notes that something else may be written than is read.
    pub(super) fn differs(&mut self, at: &str, by: By, written: String, read: String) {
        self.breaks(at, What::Differs { by, written, read });
    }

    /// Notes something that can't be compared.
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

/// How far an alternative is from taking what is written: one whose tag is another is further than one of which a
/// member is missing.
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
