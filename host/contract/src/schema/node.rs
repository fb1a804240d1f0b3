//! A schema in its document, the types of values, and the alternatives of a writer.

use serde_json::{Map, Value};

use super::scalars::is_same_number;

/// Alternatives of a writer that are compared; the rest is unclear.
pub(super) const BRANCHES: usize = 64;

/// Schemas that may apply together.
const PARTS: usize = 64;

/// Steps of spreading out alternatives.
const SPREADS: usize = 1_024;

static ANYTHING: Value = Value::Bool(true);

/// A schema in the document that its references point into.
#[derive(Clone, Copy)]
pub(super) struct Node<'s> {
    root: &'s Value,
    pub(super) schema: &'s Value,
}

impl<'s> Node<'s> {
    /// The schema that is a document itself.
    pub(super) fn whole(root: &'s Value) -> Self {
        Self { root, schema: root }
    }

    /// The schema that accepts everything.
    pub(super) fn anything() -> Self {
        Self::whole(&ANYTHING)
    }

    /// Another schema of the same document.
    pub(super) fn with(self, schema: &'s Value) -> Self {
        Self { schema, ..self }
    }

    /// Its identity among all schemas while it is borrowed.
    pub(super) fn address(self) -> usize {
        std::ptr::from_ref(self.schema).addr()
    }

    /// Its keywords; None if it is `true` or `false`.
    pub(super) fn keywords(self) -> Option<&'s Map<String, Value>> {
        self.schema.as_object()
    }

    /// True if it accepts nothing.
    pub(super) fn is_nothing(self) -> bool {
        self.schema == &Value::Bool(false)
    }

    /// True if it accepts everything. Not every such schema is recognized.
    pub(super) fn is_anything(self) -> bool {
        match self.schema {
            Value::Bool(takes) => *takes,
            Value::Object(keywords) => keywords.is_empty(),
            _ => true,
        }
    }

    /// The target of `$ref`; None if that is not in the document.
    pub(super) fn target(self, reference: &str) -> Option<Self> {
        let pointer = reference.strip_prefix('#')?;
        if pointer.contains('%') {
            return None;
        }
        self.root.pointer(pointer).map(|schema| self.with(schema))
    }

    /// The schemas that a keyword lists.
    pub(super) fn listed(self, keyword: &str) -> Option<impl Iterator<Item = Self> + Clone> {
        let listed = self.schema.get(keyword)?.as_array()?;
        Some(listed.iter().map(move |schema| self.with(schema)))
    }

    /// True if a keyword has the same value and meaning in both documents.
    pub(super) fn says_the_same(self, other: Self, keyword: &str) -> bool {
        match (self.schema.get(keyword), other.schema.get(keyword)) {
            (Some(one), Some(two)) => one == two && (!refers(one) || self.root == other.root),
            _ => false,
        }
    }
}

fn refers(value: &Value) -> bool {
    match value {
        Value::Array(values) => values.iter().any(refers),
        Value::Object(members) => members.contains_key("$ref") || members.values().any(refers),
        _ => false,
    }
}

/// A set of types. A number is an integer or has a fraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Types(u8);

const NAMES: [(u8, &str); 7] = [
    (1, "null"),
    (2, "a boolean"),
    (4, "an object"),
    (8, "an array"),
    (16, "a string"),
    (32, "an integer"),
    (64, "a number with a fraction"),
];

impl Types {
    pub(super) const NONE: Self = Self(0);
    pub(super) const ALL: Self = Self(127);
    pub(super) const NULL: Self = Self(1);
    pub(crate) const BOOLEAN: Self = Self(2);
    pub(super) const OBJECT: Self = Self(4);
    pub(super) const ARRAY: Self = Self(8);
    pub(crate) const STRING: Self = Self(16);
    pub(crate) const INTEGER: Self = Self(32);
    pub(super) const NUMBER: Self = Self(96);

    fn named(name: &str) -> Self {
        match name {
            "null" => Self::NULL,
            "boolean" => Self::BOOLEAN,
            "object" => Self::OBJECT,
            "array" => Self::ARRAY,
            "string" => Self::STRING,
            "integer" => Self::INTEGER,
            "number" => Self::NUMBER,
            _ => Self::NONE,
        }
    }

    /// The type of one value.
    pub(super) fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::NULL,
            Value::Bool(_) => Self::BOOLEAN,
            Value::Object(_) => Self::OBJECT,
            Value::Array(_) => Self::ARRAY,
            Value::String(_) => Self::STRING,
            Value::Number(number) => {
                let is_whole = number.as_f64().is_some_and(|number| number.fract() == 0.0);
                Self(if is_whole { 32 } else { 64 })
            }
        }
    }

    /// The types that `type` names; None if it is missing.
    pub(super) fn declared(keywords: &Map<String, Value>) -> Option<Self> {
        let types = match keywords.get("type")? {
            Value::String(name) => Self::named(name),
            Value::Array(names) => (names.iter().filter_map(Value::as_str))
                .fold(Self::NONE, |types, name| types.or(Self::named(name))),
            _ => return None,
        };
        let is_nullable = keywords.get("nullable") == Some(&Value::Bool(true));
        Some(if is_nullable {
            types.or(Self::NULL)
        } else {
            types
        })
    }

    /// The types implied by other keywords if `type` is missing: a schema that bounds a length does
    /// not mean an object.
    fn implied(keywords: &Map<String, Value>) -> Self {
        let has = |names: &[&str]| names.iter().any(|name| keywords.contains_key(*name));
        let mut types = Self::NONE;
        if has(&["properties", "required", "additionalProperties"]) {
            types = types.or(Self::OBJECT);
        }
        if has(&["items", "prefixItems", "minItems", "maxItems"]) {
            types = types.or(Self::ARRAY);
        }
        if has(&["minLength", "maxLength", "pattern"]) {
            types = types.or(Self::STRING);
        }
        if has(&["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"]) {
            types = types.or(Self::NUMBER);
        }
        types
    }

    pub(crate) fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(super) fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// True if numbers of these types have no fraction.
    pub(super) fn is_integer(self) -> bool {
        self.and(Self::NUMBER) == Self::INTEGER
    }

    /// The single types of the set.
    pub(super) fn each(self) -> impl Iterator<Item = Self> {
        let bits = NAMES.iter().map(|(bit, _)| Self(*bit));
        bits.filter(move |one| self.has(*one))
    }

    /// The types in words: `a string or null`.
    pub(crate) fn told(self) -> String {
        if self == Self::ALL {
            return "anything".into();
        }
        let mut names = Vec::new();
        for (bit, name) in NAMES {
            let is_number = self.and(Self::NUMBER) == Self::NUMBER;
            match bit {
                32 if is_number => names.push("a number"),
                64 if is_number => {}
                _ if self.has(Self(bit)) => names.push(name),
                _ => {}
            }
        }
        // `null` comes last.
        names.sort_by_key(|name| *name == "null");
        either(&names)
    }
}

/// `a, b or c`.
pub(super) fn either(names: &[impl AsRef<str>]) -> String {
    let mut text = String::new();
    for (place, name) in names.iter().enumerate() {
        match place {
            0 => {}
            _ if place + 1 == names.len() => text.push_str(" or "),
            _ => text.push_str(", "),
        }
        text.push_str(name.as_ref());
    }
    text
}

/// One alternative of a writer: all of these schemas apply.
#[derive(Clone, Default)]
pub(super) struct Branch<'s> {
    pub(super) parts: Vec<Node<'s>>,
}

impl<'s> Branch<'s> {
    /// The values of a keyword in all parts.
    pub(super) fn said(&self, keyword: &'s str) -> impl Iterator<Item = (Node<'s>, &'s Value)> {
        let parts = self.parts.iter();
        parts.filter_map(move |part| Some((*part, part.keywords()?.get(keyword)?)))
    }

    /// The written types.
    pub(super) fn types(&self) -> Types {
        let keywords = || self.parts.iter().filter_map(|part| part.keywords());
        let declared: Vec<Types> = keywords().filter_map(Types::declared).collect();
        let is_listed = self.values().is_some();
        if declared.is_empty() && !is_listed {
            let implied =
                keywords().fold(Types::NONE, |types, part| types.or(Types::implied(part)));
            return if implied.is_empty() {
                Types::ALL
            } else {
                implied
            };
        }
        declared.into_iter().fold(Types::ALL, Types::and)
    }

    /// The written values, if they are listed.
    pub(super) fn values(&self) -> Option<Vec<&'s Value>> {
        let listed = |value: &'s Value| value.as_array().map(|values| values.iter().collect());
        let lists = (self.said("enum").filter_map(|(_, value)| listed(value)))
            .chain(self.said("const").map(|(_, value)| vec![value]));
        lists.reduce(|mut values: Vec<&Value>, other: Vec<&Value>| {
            values.retain(|value| other.iter().any(|other| is_equal(value, other)));
            values
        })
    }
}

/// True if two values are equal, whatever the notation of their numbers.
pub(super) fn is_equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => is_same_number(one, other),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, two)| is_equal(one, two))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && (one.iter()).all(|(name, value)| {
                    (other.get(name)).is_some_and(|other| is_equal(value, other))
                })
        }
        _ => one == other,
    }
}

/// All values that may be written if all of these schemas apply, as alternatives.
pub(super) struct Spread<'s> {
    pub(super) branches: Vec<Branch<'s>>,
    /// True if there are no more alternatives, and all references have targets.
    pub(super) is_whole: bool,
    steps: usize,
}

/// Spreads out references and alternatives.
pub(super) fn spread<'s>(schemas: &[Node<'s>]) -> Spread<'s> {
    let mut spread = Spread {
        branches: Vec::new(),
        is_whole: true,
        steps: 0,
    };
    spread.go_on(schemas.to_vec(), Vec::new(), Branch::default());
    spread
}

impl<'s> Spread<'s> {
    /// `open` are further schemas that apply, `choices` are lists of which one schema each applies.
    fn go_on(
        &mut self,
        mut open: Vec<Node<'s>>,
        mut choices: Vec<Vec<Node<'s>>>,
        mut branch: Branch<'s>,
    ) {
        while let Some(node) = open.pop() {
            self.steps += 1;
            if branch.parts.len() >= PARTS || self.steps > SPREADS {
                self.is_whole = false;
                break;
            }
            if node.is_nothing() {
                return;
            }
            let Some(keywords) = node.keywords() else {
                continue;
            };
            branch.parts.push(node);
            if let Some(reference) = keywords.get("$ref").and_then(Value::as_str) {
                match node.target(reference) {
                    Some(target) => open.push(target),
                    None => self.is_whole = false,
                }
            }
            open.extend(node.listed("allOf").into_iter().flatten());
            let alternatives = ["anyOf", "oneOf"].map(|keyword| node.listed(keyword));
            choices.extend(alternatives.into_iter().flatten().map(Iterator::collect));
        }
        let Some(choice) = choices.pop() else {
            if self.branches.len() < BRANCHES {
                self.branches.push(branch);
            } else {
                self.is_whole = false;
            }
            return;
        };
        for one in choice {
            if self.steps > SPREADS {
                self.is_whole = false;
                return;
            }
            self.go_on(vec![one], choices.clone(), branch.clone());
        }
    }
}
