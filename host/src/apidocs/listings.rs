//! The lists of a participant in the OpenAPI document: their filters and their pages.
//!
//! Must not know: how a page is made.

use saga_contract::description::Listing;
use serde_json::{Value, json};

use super::answers;
use super::openapi::Api;
use super::parameters;
use super::problems::Kind;
use super::schemas::DocumentSchemas;
use super::set;

/// The operation that returns a page.
pub(super) fn operation(
    api: &Api<'_>,
    listing: &Listing,
    page_items: usize,
    schemas: &mut DocumentSchemas,
) -> Value {
    let item = api.description.command(&listing.item);
    let requires = item.map_or(&[][..], |item| item.requires.as_slice());
    let own = [Kind::BadCursor, Kind::BadQuery, Kind::TooManyWait];
    let mut kinds = [&own[..], &answers::ALWAYS].concat();
    kinds.extend(api.security.kinds(true, requires));
    let mut answers = answers::problems(api, &kinds);
    answers.insert("200".into(), page(api, listing, schemas));
    answers.insert("304".into(), answers::not_modified());
    let mut operation = json!({
        "operationId": listing.name,
        "summary": listing.summary,
        "description": "Answers a page. Where there are more, `next` is the cursor of the next page, and the header `Link` leads to it. With \
                        `Accept: text/event-stream`, answers all items, and then each that changes.",
        "tags": [api.description.name],
        "parameters": parameters(listing, page_items, schemas),
        "responses": answers,
    });
    if let Some(security) = api.security.of(true, requires) {
        set(&mut operation, "security", security);
    }
    operation
}

fn parameters(listing: &Listing, page_items: usize, schemas: &mut DocumentSchemas) -> Vec<Value> {
    let query = |name: &str, description: &str, schema: Value| json!({"name": name, "in": "query", "description": description, "schema": schema});
    let mut parameters: Vec<Value> = (listing.filters.iter())
        .map(|filter| {
            let place = format!("{}.{}", listing.name, filter.parameter);
            let schema = schemas.add(&filter.schema, &place);
            query(
                &filter.parameter,
                "Only those that have this value.",
                schema,
            )
        })
        .collect();
    parameters.push(query(
        "limit",
        "Items on the page at most.",
        json!({"type": "integer", "minimum": 1, "maximum": page_items}),
    ));
    parameters.push(query(
        "cursor",
        "The page after the one whose `next` this is; the other parameters stay as they were.",
        json!({"type": "string"}),
    ));
    parameters.extend([parameters::if_none_match(), parameters::last_event_id()]);
    parameters
}

fn page(api: &Api<'_>, listing: &Listing, schemas: &mut DocumentSchemas) -> Value {
    let item = api.description.command(&listing.item);
    let item = item.map_or_else(
        || json!({}),
        |item| schemas.add(&item.reply, &format!("{}.reply", item.name)),
    );
    json!({
        "description": "A page; its items are what the read of each would answer.",
        "headers": {
            "ETag": parameters::etag(),
            "Link": {
                "description": "Where there are more: the next page, as `rel=\"next\"`.",
                "schema": {"type": "string"},
            },
        },
        "content": {"application/json": {"schema": {
            "type": "object",
            "required": ["items"],
            "properties": {
                "items": {"type": "array", "items": item},
                "next": {"description": "The cursor of the next page; not there on the last one.", "type": "string"},
            },
        }}, "text/event-stream": event_stream()},
    })
}

/// Server-sent events with the items, for a client that asks with `Accept: text/event-stream`.
fn event_stream() -> Value {
    json!({
        "schema": {
            "type": "string",
            "description": "Asked for with `Accept: text/event-stream`, without `limit` and `cursor`: server-sent events. `begin` starts the list: \
                            whatever was sent before it no longer counts. `item` has a `key` and an `item`, which is what a page would show: first each \
                            that is in the list, up to `listed`, then each that comes into it or changes. `gone` has the `key` of one that has left it. \
                            `fault` has the `key` of one that can't be shown, and the `problem`. After `Last-Event-ID` comes all that followed it.",
        },
    })
}
