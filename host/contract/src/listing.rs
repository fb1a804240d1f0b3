//! What a listing may be narrowed down by, and how a client says so in a query parameter.
//!
//! Owns the types of filters, the reading of their values, and what is checked of a description's listings.
//! Knows nothing of how aggregates are found or shown. Invariant 9: the bounds here are what keeps the number of
//! indexes small that a participant may ask for.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::description::{
    CommandKind, Description, Filter, KeySource, Listing, Method, Problems, check_free,
    is_base_path, is_pointer, path_parameters,
};
use crate::json;

/// Listings of one participant.
pub const LISTINGS: usize = 16;

/// Filters of one listing: each is an index, which turns that change the value keep up.
pub const FILTERS: usize = 8;

/// Query parameters that every listing has.
pub const OWN_PARAMETERS: [&str; 2] = ["limit", "cursor"];

/// Bytes of a filter's pointer. It becomes part of the definition of an index.
const POINTER_BYTES: usize = 256;

/// What kind of value a filter compares.
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
    /// The type of the values that a schema allows; `null` besides is of no matter.
    ///
    /// # Errors
    /// Says that it is no JSON, or allows none of these types, or several.
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

    /// Reads what a client gave as a value of this type.
    ///
    /// # Errors
    /// Says what would be right; does not quote the text.
    pub fn read(self, text: &str) -> Result<FilterValue, &'static str> {
        match (self, text) {
            (Self::Text, _) => Ok(FilterValue::Text(text.to_owned())),
            (Self::Integer, _) => match text.parse::<i64>() {
                // A key of the same spelling is another key.
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
}

/// The values that a schema allows, where it lists them.
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

/// The JSON types that a schema allows, as far as it says so; false where it does not.
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

/// Finds what is wrong with a description's listings.
pub(crate) fn check(description: &Description, found: &mut Problems) {
    let listings = &description.listings;
    if listings.len() > LISTINGS {
        let reason = format!("are {}, at most {LISTINGS} are possible", listings.len());
        found.add("listings", reason);
    }
    let commands = description.commands.iter();
    let mut names: BTreeSet<_> = commands.clone().map(|command| &command.name).collect();
    let gets = commands.filter(|command| command.method == Method::Get);
    let mut paths: BTreeSet<_> = gets.map(|command| &command.path).collect();
    for listing in listings {
        let place = format!("listing {}", listing.name);
        if listing.name.is_empty() {
            found.add(&place, "has no name");
        }
        if !names.insert(&listing.name) {
            found.add(&place, "another listing or a command has this name too");
        }
        let path = &listing.path;
        if path.is_empty() || !is_base_path(path) {
            let reason = format!("path `{path}` must look like `/a/b`, without parameters");
            found.add(&place, reason);
        }
        check_free(path, &place, found);
        if !paths.insert(path) {
            found.add(&place, format!("GET {path} is served otherwise too"));
        }
        check_item(description, listing, &place, found);
        check_filters(listing, &place, found);
    }
}

fn check_item(description: &Description, listing: &Listing, place: &str, found: &mut Problems) {
    let name = &listing.item;
    let Some(item) = description.command(name) else {
        return found.add(place, format!("item: there is no command `{name}`"));
    };
    let is_read = matches!(item.kind, CommandKind::Read) && item.request.is_none();
    let is_keyed = matches!(item.key, KeySource::PathParameter(_));
    if !is_read || !is_keyed || path_parameters(&item.path).len() != 1 {
        let reason = format!(
            "item: command `{name}` must be a read without a body, whose path has one parameter, the key"
        );
        found.add(place, reason);
    }
}

fn check_filters(listing: &Listing, place: &str, found: &mut Problems) {
    let filters = &listing.filters;
    if filters.len() > FILTERS {
        let reason = format!(
            "has {} filters, at most {FILTERS} are possible",
            filters.len()
        );
        found.add(place, reason);
    }
    let mut parameters = BTreeSet::from(OWN_PARAMETERS);
    for Filter {
        parameter,
        pointer,
        schema,
    } in filters
    {
        let place = format!("{place} filter {parameter}");
        if !is_parameter(parameter) {
            let reason = "its name must be 1 to 64 letters, digits, `-`, `.`, `_` and `~`";
            found.add(&place, reason);
        }
        if !parameters.insert(parameter) {
            found.add(&place, "the listing has a parameter of this name already");
        }
        if !is_filter_pointer(pointer) {
            let reason = format!(
                "`{pointer}` is not a JSON pointer such as `/order/id`, of at most {POINTER_BYTES} bytes"
            );
            found.add(&place, reason);
        }
        if let Err(reason) = FilterType::of(schema) {
            found.add(&place, reason);
        }
    }
}

fn is_parameter(name: &str) -> bool {
    // The unreserved characters of RFC 3986: what needs no encoding can't be encoded in two ways.
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    (1..=64).contains(&name.len()) && name.bytes().all(plain)
}

fn is_filter_pointer(pointer: &str) -> bool {
    let mut escapes = pointer.split('~').skip(1);
    is_pointer(pointer)
        && pointer.len() <= POINTER_BYTES
        && !pointer.chars().any(char::is_control)
        && escapes.all(|rest| rest.starts_with(['0', '1']))
}

#[cfg(test)]
#[path = "listing_tests.rs"]
mod tests;
