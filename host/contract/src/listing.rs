//! Filters of listings, and the reading of their values in query parameters.
//!
//! Owns the types of filters and the reading of their values. Must not know: how aggregates are
//! found or shown.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::json;
use crate::number::Decimal;

/// Query parameters that every listing has.
pub const OWN_PARAMETERS: [&str; 2] = ["limit", "cursor"];

/// The type of value that a filter compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FilterType {
    /// A string.
    Text,
    /// A whole number of 64 bits.
    Integer,
    /// `true` or `false`.
    Boolean,
}

/// A value that the client gave for a filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FilterValue {
    /// A string.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// `true` or `false`.
    Boolean(bool),
}

impl FilterType {
    /// The type of the values that a schema allows; `null` is ignored.
    ///
    /// # Errors
    /// The schema is not JSON, or allows none of these types, or several.
    pub fn of(schema: &str) -> Result<Self, String> {
        let schema = json::parse(schema).map_err(|reason| format!("schema {reason}"))?;
        let mut kinds = BTreeSet::new();
        let is_told = collect_kinds(&schema, &mut kinds);
        kinds.remove("null");
        let mut kinds = kinds.into_iter();
        match (is_told, kinds.next(), kinds.next()) {
            (true, Some("string"), None) => Ok(Self::Text),
            (true, Some("integer"), None) => Ok(Self::Integer),
            (true, Some("boolean"), None) => Ok(Self::Boolean),
            _ => Err("schema must say that the value is a string, an integer or a boolean".into()),
        }
    }

    /// Reads a client's text as a value of this type.
    ///
    /// # Errors
    /// Describes the valid form; does not quote the text.
    pub fn read(self, text: &str) -> Result<FilterValue, &'static str> {
        match (self, text) {
            (Self::Text, _) => Ok(FilterValue::Text(text.to_owned())),
            (Self::Integer, _) => match text.parse::<i64>() {
                // Each number has one spelling.
                Ok(number) if number.to_string() == text => Ok(FilterValue::Integer(number)),
                Ok(_) => Err("is not a whole number without leading zeros and without `+`"),
                Err(_) => Err("is not a whole number of 64 bits"),
            },
            (Self::Boolean, "true") => Ok(FilterValue::Boolean(true)),
            (Self::Boolean, "false") => Ok(FilterValue::Boolean(false)),
            (Self::Boolean, _) => Err("is neither true nor false"),
        }
    }
}

impl FilterValue {
    /// The value as JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match self {
            Self::Text(text) => text.as_str().into(),
            Self::Integer(number) => (*number).into(),
            Self::Boolean(is_so) => (*is_so).into(),
        }
    }

    /// True if the value at this pointer into a state is the wanted one.
    #[must_use]
    pub fn is_at(&self, pointer: &str, state: &Value) -> bool {
        state
            .pointer(pointer)
            .is_some_and(|value| self.equals(value))
    }

    fn equals(&self, value: &Value) -> bool {
        match self {
            Self::Text(text) => value.as_str() == Some(text),
            Self::Boolean(is_so) => value.as_bool() == Some(*is_so),
            // Rules may have written it as 3.0.
            Self::Integer(number) => {
                value.is_number()
                    && Decimal::of(&value.to_string()) == Decimal::of(&number.to_string())
            }
        }
    }
}

/// The values that a schema allows, if it lists them.
#[must_use]
pub fn choices(schema: &str) -> Option<Vec<String>> {
    let schema = json::parse(schema).ok()?;
    let mut choices = Vec::new();
    collect_choices(&schema, &mut choices).then_some(choices)
}

fn collect_choices(schema: &Value, choices: &mut Vec<String>) -> bool {
    let alternatives = |name| schema.get(name).and_then(Value::as_array);
    let text = |value: &Value| value.as_str().map_or(value.to_string(), str::to_owned);
    if let Some(value) = schema.get("const") {
        choices.push(text(value));
        return true;
    }
    if let Some(values) = alternatives("enum") {
        choices.extend(values.iter().map(text));
        return true;
    }
    let alternatives = alternatives("oneOf").or_else(|| alternatives("anyOf"));
    alternatives.is_some_and(|schemas| schemas.iter().all(|one| collect_choices(one, choices)))
}

/// Collects the JSON types that a schema allows; false if it does not determine them.
fn collect_kinds<'s>(schema: &'s Value, kinds: &mut BTreeSet<&'s str>) -> bool {
    let alternatives = |name| schema.get(name).and_then(Value::as_array);
    if let Some(kind) = schema.get("type") {
        let several = kind.as_array().into_iter().flatten();
        kinds.extend(several.chain([kind]).filter_map(Value::as_str));
        return true;
    }
    if let Some(value) = schema.get("const") {
        kinds.insert(kind_of(value));
        return true;
    }
    if let Some(values) = alternatives("enum") {
        kinds.extend(values.iter().map(|value| -> &'s str { kind_of(value) }));
        return true;
    }
    let alternatives = alternatives("oneOf").or_else(|| alternatives("anyOf"));
    alternatives.is_some_and(|schemas| schemas.iter().all(|schema| collect_kinds(schema, kinds)))
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_i64() || number.is_u64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
#[path = "listing_tests.rs"]
mod tests;
