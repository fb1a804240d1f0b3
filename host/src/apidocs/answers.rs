//! The answers to a command in the OpenAPI document: replies and refusals of the rules, and the
//! host's own problems.

use std::collections::BTreeMap;

use saga_contract::description::{Command, CommandKind, Method, RefusalKind};
use serde_json::{Map, Value, json};

use super::openapi::{Api, is_plain_read, media};
use super::parameters;
use super::problems::{self, Kind};
use super::schemas::{DocumentSchemas, reference};
use super::set;

/// Name of the schema of problem details.
pub(super) const PROBLEM: &str = "Problem";

/// The answers to a command, by status.
pub(super) fn of(api: &Api<'_>, command: &Command, schemas: &mut DocumentSchemas) -> Value {
    let mut by_status = told(api, &kinds(api, command));
    for refusal in &command.refusals {
        let status = status(refusal.kind);
        let told = Told::new(api, status, &refusal.code, &refusal.summary);
        by_status.entry(status).or_default().push(told);
    }
    let mut answers = done(api, command, schemas);
    answers.extend(answered(&by_status));
    answers.into()
}

/// The answers of these kinds of problems, by status.
pub(super) fn problems(api: &Api<'_>, kinds: &[Kind]) -> Map<String, Value> {
    answered(&told(api, kinds)).collect()
}

fn told(api: &Api<'_>, kinds: &[Kind]) -> BTreeMap<u16, Vec<Told>> {
    let mut by_status: BTreeMap<u16, Vec<Told>> = BTreeMap::new();
    for kind in kinds {
        let told = Told::of_kind(api, *kind);
        by_status.entry(kind.status()).or_default().push(told);
    }
    by_status
}

fn answered(by_status: &BTreeMap<u16, Vec<Told>>) -> impl Iterator<Item = (String, Value)> {
    let answer = |(status, told): (&u16, &Vec<Told>)| (status.to_string(), problem(*status, told));
    by_status.iter().map(answer)
}

/// The HTTP status of a refusal.
pub fn status(kind: RefusalKind) -> u16 {
    match kind {
        RefusalKind::Invalid => 422,
        RefusalKind::NotFound => 404,
        RefusalKind::Conflict => 409,
        RefusalKind::Forbidden => 403,
    }
}

/// The answers to a command that was carried out.
fn done(api: &Api<'_>, command: &Command, schemas: &mut DocumentSchemas) -> Map<String, Value> {
    let schema = schemas.add(&command.reply, &format!("{}.reply", command.name));
    let mut content = json!({"application/json": media(schema, &command.reply)});
    if is_plain_read(command) {
        set(&mut content, "text/event-stream", event_stream());
    }
    let decided = decided(api, command, &content, schemas);
    let answer = |description: &str, content: &Value| {
        json!({
            "description": description,
            "headers": parameters::answered(api.description, command),
            "content": content,
        })
    };
    let mut answers = Map::new();
    let mut add = |status: &str, answer: Value| answers.insert(status.to_owned(), answer);
    match &command.kind {
        CommandKind::Create(_) => {
            add("201", answer("It was made.", &decided));
        }
        CommandKind::Change => {
            add("200", answer("It was carried out.", &decided));
            let pending = "It was taken; others have yet to decide.";
            add("202", answer(pending, &content));
        }
        CommandKind::Read if is_plain_read(command) => {
            add("200", answer("How it is at present.", &content));
            add("204", no_more_events());
            add("304", not_modified());
        }
        CommandKind::Read => {
            add("200", answer("How it is at present.", &content));
            let pending = "How it is at present; others have yet to decide.";
            add("202", answer(pending, &content));
        }
    }
    answers
}

/// The content of a reply. If the client may wait for the decision, the reply of the read is an
/// alternative.
fn decided(
    api: &Api<'_>,
    command: &Command,
    content: &Value,
    schemas: &mut DocumentSchemas,
) -> Value {
    let mut content = content.clone();
    if let Some(read) = api.description.read_of(command)
        && read.reply != command.reply
        && let Some(schema) = content.pointer_mut("/application~1json/schema")
    {
        let waited = schemas.add(&read.reply, &format!("{}.reply", read.name));
        let own = schema.take();
        *schema = json!({
            "description": format!("With `Preference-Applied`, once the saga has decided: what `{}` answers.", read.name),
            "anyOf": [own, waited],
        });
    }
    content
}

/// Server-sent events with the states, for a client that asks with `Accept: text/event-stream`.
fn event_stream() -> Value {
    json!({
        "schema": {
            "type": "string",
            "description": "Asked for with `Accept: text/event-stream`: server-sent events named `state`, the present state first, then each \
                            one that follows; `data` is what `application/json` would be. Where the saga had yet to decide, the stream \
                            ends with the decision.",
        },
    })
}

/// The answer to a client of server-sent events that has seen the last one.
fn no_more_events() -> Value {
    json!({"description": "The client has seen the decision (`Last-Event-ID`): no events will follow."})
}

pub(super) fn not_modified() -> Value {
    json!({
        "description": "It is as the client has it (`If-None-Match`).",
        "headers": {"ETag": parameters::etag()},
    })
}

/// The kinds of the host's problems that every request can get. A swap may remove a route or a
/// method after the client has read the document.
pub(super) const ALWAYS: [Kind; 13] = [
    Kind::BadHead,
    Kind::ForeignHost,
    Kind::UriTooLong,
    Kind::HeadTooLarge,
    Kind::TooManyBytes,
    Kind::Malformed,
    Kind::NoSuchRoute,
    Kind::MethodNotAllowed,
    Kind::Quarantined,
    Kind::RulesBroke,
    Kind::StoreFailed,
    Kind::StoreUnusable,
    Kind::TryLater,
];

/// The kinds of the host's problems that a command can get.
fn kinds(api: &Api<'_>, command: &Command) -> Vec<Kind> {
    let mut kinds = ALWAYS.to_vec();
    let reads = command.kind == CommandKind::Read;
    kinds.extend(api.security.kinds(reads, &command.requires));
    if !saga_contract::description::path_parameters(&command.path).is_empty() {
        kinds.push(Kind::BadPath);
    }
    if !api.description.metadata.is_empty() {
        kinds.push(Kind::BadHeader);
    }
    if command.kind == CommandKind::Change {
        kinds.push(Kind::Blocked);
    }
    if command.request.is_some() {
        kinds.extend([
            Kind::BadJson,
            Kind::BodyBroken,
            Kind::BodyTooSlow,
            Kind::BodyTooLarge,
            Kind::UnsupportedEncoding,
            Kind::UnsupportedMediaType,
            Kind::InvalidBody,
            Kind::CheckFailed,
        ]);
    }
    kinds.push(Kind::BadCorrelation);
    if command.method != Method::Get {
        kinds.push(Kind::ForeignOrigin);
    }
    if parameters::needs_proof(command) {
        kinds.push(Kind::UnsupportedMediaType);
    }
    if is_plain_read(command) {
        kinds.push(Kind::TooManyWait);
    }
    if parameters::takes_idempotency_key(command) {
        kinds.extend([
            Kind::BadIdempotencyKey,
            Kind::IdempotencyKeyInUse,
            Kind::IdempotencyKeyReused,
            Kind::OutcomeUnknown,
            Kind::TooManyIdempotencyKeys,
        ]);
    }
    kinds
}

/// A kind of problem in the document.
struct Told {
    word: String,
    meaning: String,
    example: Value,
}

impl Told {
    fn of_kind(api: &Api<'_>, kind: Kind) -> Self {
        Self::new(api, kind.status(), kind.word(), kind.meaning())
    }

    fn new(api: &Api<'_>, status: u16, word: &str, meaning: &str) -> Self {
        let example = json!({
            "type": problems::page(api.base_path, word),
            "title": problems::title(word),
            "status": status,
            "detail": meaning.replace('`', ""),
        });
        Self {
            word: word.to_owned(),
            meaning: meaning.to_owned(),
            example,
        }
    }
}

/// The answer with this status, and all kinds of problems that have it.
fn problem(status: u16, told: &[Told]) -> Value {
    let lines = told
        .iter()
        .map(|kind| format!("`{}`: {}", kind.word, kind.meaning));
    let examples: Map<String, Value> = (told.iter())
        .map(|kind| {
            (
                super::schemas::component_name(&kind.word),
                json!({"value": kind.example}),
            )
        })
        .collect();
    let mut answer = json!({
        "description": lines.collect::<Vec<_>>().join("\n\n"),
        "content": {
            "application/problem+json": {"schema": reference(PROBLEM), "examples": examples},
        },
    });
    match status {
        401 => set(
            &mut answer,
            "headers",
            json!({"WWW-Authenticate": parameters::www_authenticate()}),
        ),
        405 => set(
            &mut answer,
            "headers",
            json!({"Allow": parameters::allow()}),
        ),
        409 | 503 => set(
            &mut answer,
            "headers",
            json!({"Retry-After": parameters::retry_after()}),
        ),
        _ => {}
    }
    answer
}

/// The schema of problem details (RFC 9457).
pub(super) fn problem_schema() -> Value {
    json!({
        "title": PROBLEM,
        "description": "What is wrong (RFC 9457).",
        "type": "object",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": {
                "description": "The kind of problem; leads to a page on it.",
                "type": "string",
                "format": "uri-reference",
            },
            "title": {"description": "The kind in words.", "type": "string"},
            "status": {"description": "HTTP status.", "type": "integer", "minimum": 400, "maximum": 599},
            "detail": {"description": "What was wrong this time, and what to do.", "type": "string"},
            "errors": {
                "description": "The places in the body that are wrong.",
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["pointer", "detail"],
                    "properties": {
                        "pointer": {"description": "JSON pointer into the body; empty for the whole.", "type": "string"},
                        "detail": {"description": "What is wrong with it.", "type": "string"},
                    },
                },
            },
        },
    })
}
