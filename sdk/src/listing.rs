//! [`Listing`]: a list of a participant's aggregates, which the host makes from what it stores.
//!
//! Owns the builder, and the lookup of a filter's pointer in the state's schema, which finds
//! filters on missing members before a host refuses them.

use crate::bindings::saga::participant::types as wit;
use crate::schema;
use schemars::JsonSchema;
use serde_json::Value;

/// A list of the participant's aggregates, at one path, for [`Contract::listing`](crate::Contract::listing).
///
/// The host keeps the order and the pages: `GET /orders?customerId=7&limit=20` answers
/// `{"items": […], "next": "…"}`, where `next` is the `cursor` of the next page. Rules have no part in it but the
/// read that shows an aggregate.
///
/// ```
/// # use saga_sdk::{Command, Contract, Listing, Participant, Turn};
/// # use schemars::JsonSchema;
/// # use serde::{Deserialize, Serialize};
/// #[derive(Clone, Serialize, Deserialize, JsonSchema)]
/// struct Book { title: String, shelf: u32, lent: bool }
///
/// # struct Library;
/// # impl Participant for Library {
/// #     type State = Book;
/// #     type Key = String;
/// fn contract() -> Contract<Book> {
///     Contract::new("library", "1.0.0", "Lends books.")
///         .command(Command::read("get-book", "/books/{book}", |book: &Book, _: &Turn| book.clone())
///             .summary("Tells of a book."))
///         .listing(Listing::of("list-books", "/books", "get-book")
///             .summary("Lists the books.")
///             .filter("shelf", "/shelf")
///             .filter("lent", "/lent"))
/// }
/// # }
/// # assert_eq!(saga_sdk::testing::contract_problems::<Library>(), Vec::<String>::new());
/// ```
pub struct Listing {
    name: String,
    summary: String,
    path: String,
    item: String,
    filters: Vec<Filter>,
}

struct Filter {
    parameter: String,
    pointer: String,
    /// The type that the author named; by default, the state's at the pointer.
    schema: Option<schema::Source>,
}

impl Listing {
    /// A listing of this name at this path, which has no parameters. `item` is the name of the read whose reply each
    /// aggregate is shown as: one whose path has one parameter, the key. An aggregate for which it refuses is
    /// left out.
    pub fn of(name: &str, path: &str, item: &str) -> Self {
        Self {
            name: name.to_owned(),
            summary: String::new(),
            path: path.to_owned(),
            item: item.to_owned(),
            filters: Vec::new(),
        }
    }

    /// One sentence for the API document. Every listing needs one.
    #[must_use]
    pub fn summary(mut self, summary: &str) -> Self {
        self.summary = summary.to_owned();
        self
    }

    /// Lets clients narrow the list down by the query parameter to the aggregates in whose state the value at this
    /// JSON pointer is the one they give. It must be a string, a boolean or an integer, as the schema of the state
    /// says.
    ///
    /// Name first what narrows the list down most: of several filters that a client gives, the host looks the first
    /// one up and tries the others on what it finds.
    #[must_use]
    pub fn filter(self, parameter: &str, pointer: &str) -> Self {
        self.with(parameter, pointer, None)
    }

    /// The same for a value of type `T`, where the schema of the state does not say what is at the pointer: below a
    /// `serde_json::Value`, say, or in some variants of an enum.
    #[must_use]
    pub fn filter_as<T: JsonSchema>(self, parameter: &str, pointer: &str) -> Self {
        self.with(parameter, pointer, Some(schema::of_output::<T>))
    }

    fn with(mut self, parameter: &str, pointer: &str, schema: Option<schema::Source>) -> Self {
        self.filters.push(Filter {
            parameter: parameter.to_owned(),
            pointer: pointer.to_owned(),
            schema,
        });
        self
    }
}

/// Describes listings of aggregates whose states have this schema.
pub(crate) fn describe(listings: &[Listing], state: &str) -> Vec<wit::Listing> {
    if listings.is_empty() {
        return Vec::new();
    }
    let state: Value = serde_json::from_str(state).unwrap_or_default();
    let filter = |filter: &Filter| wit::Filter {
        parameter: filter.parameter.clone(),
        pointer: filter.pointer.clone(),
        schema: match filter.schema {
            Some(schema) => schema(),
            // `false` allows no value, which `check` reports.
            None => at(&state, &filter.pointer).map_or("false".to_owned(), Value::to_string),
        },
    };
    let listing = |listing: &Listing| wit::Listing {
        name: listing.name.clone(),
        summary: listing.summary.clone(),
        path: listing.path.clone(),
        item: listing.item.clone(),
        filters: listing.filters.iter().map(filter).collect(),
    };
    listings.iter().map(listing).collect()
}

/// The subschema for the value at this pointer, if there is one.
fn at<'s>(schema: &'s Value, pointer: &str) -> Option<&'s Value> {
    let mut schema = schema;
    for token in pointer.strip_prefix('/')?.split('/') {
        let token = token.replace("~1", "/").replace("~0", "~");
        schema = present(schema);
        let member = schema.get("properties").and_then(|all| all.get(&token));
        let element = || {
            let place: usize = token.parse().ok()?;
            let places = schema.get("prefixItems").and_then(|items| items.get(place));
            places.or_else(|| schema.get("items"))
        };
        schema = member.or_else(element)?;
    }
    Some(schema)
}

/// The schema without the alternative `null`.
fn present(schema: &Value) -> &Value {
    let alternatives = schema.get("anyOf").and_then(Value::as_array);
    let mut others = alternatives
        .into_iter()
        .flatten()
        .filter(|one| one.get("type").and_then(Value::as_str) != Some("null"));
    match (others.next(), others.next()) {
        (Some(only), None) => only,
        _ => schema,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[derive(JsonSchema)]
    #[allow(dead_code, reason = "only its schema is of interest")]
    struct State {
        plain: i64,
        inner: Option<Inner>,
        places: Vec<Inner>,
        pair: (bool, String),
        anything: Value,
        #[serde(rename = "a/b~c")]
        odd: String,
    }

    #[derive(JsonSchema)]
    #[allow(dead_code, reason = "only its schema is of interest")]
    struct Inner {
        word: Option<String>,
    }

    #[test]
    fn a_pointer_leads_to_what_the_state_has_there() {
        let schema: Value = serde_json::from_str(&schema::of_output::<State>()).unwrap_or_default();
        let kind = |pointer: &str| at(&schema, pointer).and_then(|found| found.get("type"));
        let nullable = json!(["string", "null"]);
        for (pointer, expected) in [
            ("/plain", json!("integer")),
            ("/inner/word", nullable.clone()),
            ("/places/0/word", nullable),
            ("/pair/0", json!("boolean")),
            ("/pair/1", json!("string")),
            ("/a~1b~0c", json!("string")),
        ] {
            assert_eq!(kind(pointer), Some(&expected), "{pointer}");
        }
        for nowhere in [
            "",
            "plain",
            "/other",
            "/plain/x",
            "/anything/x",
            "/places/x",
        ] {
            assert_eq!(at(&schema, nowhere), None, "{nowhere}");
        }
    }
}
