//! The headers of commands and of their answers in the OpenAPI document.
//!
//! Each header has one function, so that its meaning is written once. Must not know: the effect of
//! a header.

use saga_contract::description::{Command, CommandKind, Description, Method};
use serde_json::{Map, Value, json};

use super::openapi::is_plain_read;

/// The pattern of an idempotency key: 1 to 255 visible characters, bare or as a string of RFC 9651
/// in quotes. A bare one has no quote, and no comma, since proxies join repeated headers with
/// commas.
const IDEMPOTENCY_KEY: &str = r#"^([!#-+\--~]{1,255}|"([!#-\[\]-~]|\\["\\]){1,255}")$"#;

/// The header parameters of a command.
pub(super) fn of(description: &Description, command: &Command) -> Vec<Value> {
    let mut parameters = Vec::new();
    if takes_idempotency_key(command) {
        parameters.push(idempotency_key());
    }
    if can_wait(description, command) {
        parameters.push(prefer());
    }
    if is_plain_read(command) {
        parameters.extend([if_none_match(), last_event_id()]);
    }
    parameters.push(saga_correlation());
    parameters.extend(description.metadata.iter().map(|name| metadata(name)));
    parameters
}

/// True if repeated requests of a command can be detected: for all commands that may change
/// something.
pub(super) fn takes_idempotency_key(command: &Command) -> bool {
    command.kind != CommandKind::Read
}

/// True if a request needs a header that pages of other origins can't send: it has no body, so its
/// media type is no protection against forms.
pub(super) fn needs_proof(command: &Command) -> bool {
    command.method == Method::Post && command.request.is_none() && command.kind != CommandKind::Read
}

/// True if a client may wait for the decision: there is a read of the command's aggregate that
/// reports it.
pub(super) fn can_wait(description: &Description, command: &Command) -> bool {
    description.read_of(command).is_some()
}

fn idempotency_key() -> Value {
    parameter(
        "Idempotency-Key",
        "A key of the client's making. A request that is repeated with the same key is carried out once, and answered again as it was, or, with `Prefer`, once the saga has decided.",
        json!({
            "type": "string", "pattern": IDEMPOTENCY_KEY,
            "examples": ["8e03978e-40d5-43dd-bc93-6894a57f9324"],
        }),
    )
}

fn prefer() -> Value {
    parameter(
        "Prefer",
        "`wait=SECONDS`: answer when the saga has decided, with what is read then, or after this time with the command's own reply. Anything else is ignored.",
        json!({"type": "string", "examples": ["wait=5"]}),
    )
}

fn saga_correlation() -> Value {
    parameter(
        "Saga-Correlation",
        "The saga that the request belongs to, where it is not that of its aggregate: an id that all its events carry.",
        json!({"type": "string", "pattern": "^[!-~]{1,255}$"}),
    )
}

fn metadata(name: &str) -> Value {
    parameter(
        name,
        "The rules read it; it is recorded with the request.",
        json!({"type": "string", "maxLength": 1024}),
    )
}

pub(super) fn if_none_match() -> Value {
    parameter(
        "If-None-Match",
        "ETags that the client has: where one is that of the present state, the answer is 304 without a body.",
        json!({"type": "string"}),
    )
}

pub(super) fn last_event_id() -> Value {
    parameter(
        "Last-Event-ID",
        "With `Accept: text/event-stream`: the `id` of the event that the client saw last. Browsers send it by themselves.",
        json!({"type": "string"}),
    )
}

/// A header parameter. It has no example, since Swagger UI would fill it in.
fn parameter(name: &str, description: &str, schema: Value) -> Value {
    json!({"name": name, "in": "header", "required": false, "description": description, "schema": schema})
}

/// The headers of the answer to a command that was carried out.
pub(super) fn answered(description: &Description, command: &Command) -> Map<String, Value> {
    let mut headers = Map::new();
    let mut add = |name: &str, header: Value| headers.insert(name.to_owned(), header);
    if let CommandKind::Create(Some(_)) = &command.kind {
        add("Location", location_header());
    }
    if takes_idempotency_key(command) {
        add("Idempotency-Replayed", idempotency_replayed());
    }
    if can_wait(description, command) {
        add("Preference-Applied", preference_applied());
    }
    if is_plain_read(command) {
        add("ETag", etag());
    }
    add("Saga-Correlation", saga());
    headers
}

fn location_header() -> Value {
    json!({
        "description": "Where what was made can be read.",
        "required": true,
        "schema": {"type": "string", "format": "uri-reference"},
    })
}

fn saga() -> Value {
    json!({
        "description": "The saga that the request belongs to: its events carry it as `ce_correlationid`.",
        "schema": {"type": "string"},
    })
}

fn idempotency_replayed() -> Value {
    json!({
        "description": "`true` where this is the answer to an earlier request with the same `Idempotency-Key`.",
        "schema": {"type": "string", "enum": ["true"]},
    })
}

fn preference_applied() -> Value {
    json!({
        "description": "The `wait` that was granted, where one was.",
        "schema": {"type": "string"},
    })
}

/// The `ETag` header of a read.
pub(super) fn etag() -> Value {
    json!({
        "description": "Stands for this answer: another state has another one.",
        "schema": {"type": "string"},
    })
}

/// The `WWW-Authenticate` header of a request whose caller is not known.
pub(super) fn www_authenticate() -> Value {
    json!({
        "description": "How to show who sends the request (RFC 6750).",
        "required": true,
        "schema": {"type": "string"},
    })
}

/// The `Retry-After` header of a request that is refused for the moment.
pub(super) fn retry_after() -> Value {
    json!({
        "description": "Seconds after which to try again.",
        "schema": {"type": "integer", "minimum": 0},
    })
}

/// The `Allow` header of a path that is requested with another method.
pub(super) fn allow() -> Value {
    json!({
        "description": "The methods with which the path is served.",
        "required": true,
        "schema": {"type": "string"},
    })
}
