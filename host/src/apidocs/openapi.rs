//! The OpenAPI 3.1 document of a participant, from its description.
//!
//! The parts of the rules come from the description; the parts that the host adds to every command
//! (headers, problems) come from [`parameters`](super::parameters) and [`answers`](super::answers).
//! Must not know: how a request is served.

use saga_contract::description::{Command, CommandKind, Description, KeySource, Method};
use serde_json::{Map, Value, json};

use super::Configured;
use super::answers;
use super::listings;
use super::parameters;
use super::schemas::DocumentSchemas;
use super::security::Security;
use super::set;

/// The sources of the document of one participant.
pub(super) struct Api<'d> {
    pub(super) description: &'d Description,
    pub(super) base_path: &'d str,
    pub(super) security: &'d Security,
}

/// The document.
pub(super) fn document(
    description: &Description,
    base_path: &str,
    configured: &Configured<'_>,
) -> Value {
    let api = Api {
        description,
        base_path,
        security: configured.security,
    };
    let mut schemas = DocumentSchemas::default();
    schemas.own(answers::PROBLEM, answers::problem_schema());
    let mut paths: Map<String, Value> = Map::new();
    let mut add = |path: &str, method: &str, operation: Value| {
        let path = paths.entry(template(path)).or_insert_with(|| json!({}));
        if let Value::Object(methods) = path {
            methods.insert(method.to_ascii_lowercase(), operation);
        }
    };
    for command in &description.commands {
        let operation = operation(&api, command, &mut schemas);
        add(&command.path, command.method.as_str(), operation);
    }
    for listing in &description.listings {
        let operation = listings::operation(&api, listing, configured.page_items, &mut schemas);
        add(&listing.path, "GET", operation);
    }
    let name = &description.name;
    let mut components = json!({"schemas": schemas.finish()});
    if let Some(schemes) = api.security.schemes() {
        set(&mut components, "securitySchemes", schemes);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": name,
            "version": description.version,
            "summary": description.summary,
            "description": introduction(&api),
        },
        // No server with a host name: paths are relative to the place of the document.
        "servers": [{"url": if base_path.is_empty() { "/" } else { base_path }}],
        "tags": [{"name": name}],
        "paths": paths,
        "components": components,
    })
}

fn introduction(api: &Api<'_>) -> String {
    let Api {
        description,
        base_path,
        ..
    } = api;
    format!(
        "Made from the rules that are active (version {}); it follows when they are swapped. What is wrong with a request is \
         answered as `application/problem+json`, whose `type` leads to [a page on that kind of problem]({base_path}/problems). A W3C \
         `traceparent` header is passed on to the events that a request sets off; they are described in \
         [asyncapi.json]({base_path}/asyncapi.json).",
        description.version
    )
}

fn operation(api: &Api<'_>, command: &Command, schemas: &mut DocumentSchemas) -> Value {
    let mut parameters = path_parameters(api.description, command);
    parameters.extend(parameters::of(api.description, command));
    let mut operation = json!({
        "operationId": command.name,
        "summary": command.summary,
        "tags": [api.description.name],
        "parameters": parameters,
        "responses": answers::of(api, command, schemas),
    });
    let reads = command.kind == CommandKind::Read;
    if let Some(security) = api.security.of(reads, &command.requires) {
        set(&mut operation, "security", security);
    }
    if let Some(text) = explanation(command) {
        set(&mut operation, "description", text);
    }
    if let Some(request) = &command.request {
        let is_required = saga_contract::json::parse(request)
            .is_ok_and(|schema| !saga_contract::schema::allows_null(&schema));
        let schema = schemas.add(request, &format!("{}.request", command.name));
        set(
            &mut operation,
            "requestBody",
            json!({
                "required": is_required,
                "content": {"application/json": media(schema, request)},
            }),
        );
    }
    operation
}

/// A description of the answer, if the summary does not imply it.
fn explanation(command: &Command) -> Option<String> {
    match &command.kind {
        CommandKind::Create(Some(location)) => Some(format!(
            "Answers 201; the header `Location` says where what was made can be read (`{location}`)."
        )),
        CommandKind::Create(None) => Some("Answers 201.".into()),
        CommandKind::Change => Some(
            "Answers 200, or 202 where the rules have taken the request and others have yet to decide.".into(),
        ),
        CommandKind::Read => None,
    }
}

/// A body of JSON with this schema and the examples that its author gave.
pub(super) fn media(schema: Value, text: &str) -> Value {
    let mut media = json!({"schema": schema});
    let parsed = saga_contract::json::parse(text).unwrap_or_default();
    match parsed
        .get("examples")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
    {
        None | Some([]) => {}
        Some([one]) => set(&mut media, "example", one.clone()),
        Some(several) => {
            let named = several.iter().enumerate();
            let named: Map<String, Value> = named
                .map(|(at, value)| (format!("example-{}", at + 1), json!({"value": value})))
                .collect();
            set(&mut media, "examples", named);
        }
    }
    media
}

/// The parameters in the path.
fn path_parameters(description: &Description, command: &Command) -> Vec<Value> {
    let is_key = |name: &str| matches!(&command.key, KeySource::PathParameter(key) if key == name);
    saga_contract::description::path_parameters(&command.path)
        .into_iter()
        .map(|name| {
            let (schema, what) = match (is_key(name), has_numbers(description)) {
                (true, true) => (
                    json!({"type": "integer", "format": "int64", "minimum": 1, "examples": [1]}),
                    "The number that it was given when it was made.",
                ),
                (true, false) => (json!({"type": "string", "minLength": 1}), "Its key."),
                (false, _) => (json!({"type": "string", "minLength": 1}), "A text."),
            };
            json!({
                "name": name.trim_start_matches('*'),
                "in": "path",
                "required": true,
                "description": what,
                "schema": schema,
            })
        })
        .collect()
}

/// True if every aggregate has a generated key.
fn has_numbers(description: &Description) -> bool {
    let mut creates = (description.commands.iter())
        .filter(|command| matches!(command.kind, CommandKind::Create(_)))
        .peekable();
    creates.peek().is_some() && creates.all(|command| command.key == KeySource::Generated)
}

/// A path template of the router as one of OpenAPI, which has no syntax for the rest of a path.
fn template(path: &str) -> String {
    path.replace("{*", "{")
}

/// True if a command is a GET that reads one aggregate: it supports conditional requests and
/// events.
pub(super) fn is_plain_read(command: &Command) -> bool {
    command.method == Method::Get && command.kind == CommandKind::Read
}

#[cfg(test)]
#[allow(clippy::restriction, reason = "a test may stop at the first surprise")]
mod tests {
    use super::*;

    #[test]
    fn examples_of_a_schema_are_shown() {
        let shown = |schema: Value| media(json!({}), &schema.to_string());
        assert_eq!(shown(json!(true)), json!({"schema": {}}));
        assert_eq!(shown(json!({"examples": []})), json!({"schema": {}}));
        assert_eq!(
            shown(json!({"examples": [{"a": 1}]})),
            json!({"schema": {}, "example": {"a": 1}})
        );
        assert_eq!(
            shown(json!({"examples": [1, 2]}))["examples"],
            json!({"example-1": {"value": 1}, "example-2": {"value": 2}})
        );
    }

    #[test]
    fn a_parameter_for_the_rest_of_a_path_is_one_like_others() {
        assert_eq!(template("/files/{*rest}"), "/files/{rest}");
        assert_eq!(template("/a/{b}/c"), "/a/{b}/c");
    }
}
