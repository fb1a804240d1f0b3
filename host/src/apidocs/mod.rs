//! The documentation of a participant's API: documents for programs, pages for people.
//!
//! Everything follows from the participant's description, its base path and its settings. The
//! functions are pure and run once for each generation, so the documentation follows a swap. Must
//! not know: HTTP servers, SQL, components, or any participant by name.
//!
//! # Layout
//!
//! - this file: the paths of all documents and pages
//! - `openapi`: commands as an OpenAPI 3.1 document; `parameters` and `answers`: the host's part of
//!   each command
//! - `asyncapi`: events as an AsyncAPI 3.0 document
//! - `schemas`: the schemas of both
//! - `swagger`: Swagger UI, with `start.js`
//! - [`problems`]: the kinds of the host's own problems; `pages`: the page for the `type` of each
//! - [`security`]: the callers that each request needs
//! - [`resource`]: a document or page, ready to serve

mod answers;
mod asyncapi;
mod listings;
mod openapi;
mod pages;
mod parameters;
pub mod problems;
pub mod resource;
mod schemas;
pub mod security;
mod swagger;

use std::borrow::Cow;
use std::collections::BTreeMap;

use saga_contract::description::Description;
use serde_json::Value;

pub use self::answers::status as refusal_status;
use self::resource::{Lasting, Resource};
use self::security::Security;

/// The settings that the documents show. Topics and groups are listed by their names in the
/// description; the others keep their names.
#[derive(Debug, Clone, Copy)]
pub struct Configured<'s> {
    /// Names of topics on the broker.
    pub topics: &'s BTreeMap<String, String>,
    /// Names of consumer groups on the broker.
    pub groups: &'s BTreeMap<String, String>,
    /// Most items on one page of a list.
    pub page_items: usize,
    /// The rules of access: callers and their requests.
    pub security: &'s Security,
}

impl Configured<'_> {
    fn topic<'n>(&'n self, declared: &'n String) -> &'n str {
        self.topics.get(declared).unwrap_or(declared)
    }

    fn group<'n>(&'n self, declared: &'n String) -> &'n str {
        self.groups.get(declared).unwrap_or(declared)
    }
}

/// The documents and pages of one generation of a participant.
pub struct Documents {
    openapi: Resource,
    asyncapi: Resource,
    swagger: Resource,
}

impl Documents {
    /// The documents of this description, for this base path.
    #[must_use]
    pub fn new(description: &Description, base_path: &str, configured: &Configured<'_>) -> Self {
        let openapi = openapi::document(description, base_path, configured);
        let asyncapi = asyncapi::document(description, configured);
        let checked = |media_type, body: String| Resource::new(media_type, body, Lasting::Checked);
        Self {
            openapi: checked("application/json", format!("{openapi:#}\n")),
            asyncapi: checked("application/json", format!("{asyncapi:#}\n")),
            swagger: swagger::page(&description.name, base_path),
        }
    }

    /// The resource at this path below the base path, if the path is reserved for the host.
    #[must_use]
    pub fn at<'a>(
        &'a self,
        description: &Description,
        base_path: &str,
        below: &str,
    ) -> Option<Cow<'a, Resource>> {
        let resource = match below {
            "/openapi.json" => &self.openapi,
            "/asyncapi.json" => &self.asyncapi,
            "/swagger-ui" | "/swagger-ui/" => &self.swagger,
            _ => {
                if let Some(name) = below.strip_prefix("/swagger-ui/") {
                    return swagger::file(name).map(Cow::Borrowed);
                }
                let word = below.strip_prefix("/problems")?;
                return pages::at(Some(description), base_path, word).map(Cow::Owned);
            }
        };
        Some(Cow::Borrowed(resource))
    }
}

/// The page on the host's own problems at this path, for a listener that serves no participant.
#[must_use]
pub fn problem_page(path: &str) -> Option<Resource> {
    pages::at(None, "", path.strip_prefix("/problems")?)
}

/// Sets a member of an object.
fn set(object: &mut Value, name: &str, value: impl Into<Value>) {
    if let Value::Object(members) = object {
        members.insert(name.to_owned(), value.into());
    }
}

#[cfg(test)]
#[allow(clippy::restriction, reason = "a test may stop at the first surprise")]
mod tests {
    use super::*;
    use saga_contract::description::RESERVED;
    use serde_json::json;

    /// A participant that makes numbered tickets, and changes them.
    fn description() -> Description {
        let command = |name: &str, method: &str, path: &str, kind: Value, key: Value| {
            json!({
                "name": name, "summary": "Does it.", "method": method, "path": path, "kind": kind, "key": key,
                "request": null, "reply": "true", "refusals": [],
            })
        };
        let id = json!({"path-parameter": "id"});
        serde_json::from_value(json!({
            "name": "desk", "version": "1.0.0", "summary": "Answers.",
            "state": {"version": 1, "oldest_readable": 1, "schema": "true"},
            "endpoint": {"base_path": "/desk", "port": 0},
            "commands": [
                command("open", "POST", "/t", json!({"create": "/t/{number}"}), json!("generated")),
                command("lose", "POST", "/lost", json!({"create": "/nowhere/{id}"}), json!("generated")),
                command("close", "POST", "/t/{id}/close", json!("change"), id.clone()),
                command("get", "GET", "/t/{id}", json!("read"), id.clone()),
                command("query", "POST", "/t/{id}/query", json!("read"), id),
            ],
            "listings": [], "subscriptions": [], "publications": [], "timers": [],
        }))
        .unwrap()
    }

    fn documents(description: &Description) -> Documents {
        let (names, security) = (BTreeMap::new(), Security::default());
        let names = Configured {
            topics: &names,
            groups: &names,
            page_items: 200,
            security: &security,
        };
        Documents::new(description, "/desk", &names)
    }

    #[test]
    fn the_served_paths_are_the_reserved_paths() {
        let description = description();
        let documents = documents(&description);
        for path in RESERVED {
            assert!(
                documents.at(&description, "/desk", path).is_some(),
                "{path}"
            );
        }
        for path in [
            "",
            "/",
            "/t",
            "/openapi.json/",
            "/openapi.yaml",
            "/problemsx",
            "/swagger-ui/x",
        ] {
            assert!(
                documents.at(&description, "/desk", path).is_none(),
                "{path}"
            );
        }
    }

    #[test]
    fn each_version_of_an_event_that_is_read_is_a_message() {
        let mut description = description();
        description.subscriptions = serde_json::from_value(json!([{
            "event_type": "counted", "topic": "counts", "group": "g", "key": "/id", "untyped": false,
            "schema": "{\"type\":\"object\",\"required\":[\"id\"]}", "version": 2,
            "older": [{"version": 1, "key": "/key", "schema": "{\"type\":\"object\",\"required\":[\"key\"]}"}],
        }]))
        .unwrap();
        let document: Value =
            serde_json::from_slice(&documents(&description).asyncapi.body).unwrap();
        let messages = document["channels"]["counts"]["messages"]
            .as_object()
            .unwrap();
        for (name, version, required) in [
            ("counted", "2", json!(["ce_type", "ce_dataversion"])),
            ("counted.v1", "1", json!(["ce_type"])),
        ] {
            let message = &messages[name];
            let headers = &message["headers"];
            assert_eq!(message["title"], format!("counted, version {version}"));
            assert_eq!(headers["properties"]["ce_dataversion"]["const"], version);
            assert_eq!(headers["required"], required, "{name}");
        }
        let takes = &document["operations"]["take-counted-from-counts"];
        assert_eq!(takes["messages"].as_array().unwrap().len(), 2);
        let summary = takes["summary"].as_str().unwrap();
        assert!(
            summary.contains("of version 2 at `/id`, of version 1 at `/key`."),
            "{summary}"
        );
    }

    #[test]
    fn a_command_has_the_parameters_and_answers_of_its_kind() {
        let description = description();
        let document: Value =
            serde_json::from_slice(&documents(&description).openapi.body).unwrap();
        let of = |path: &str, method: &str| {
            let operation = &document["paths"][path][method];
            let parameters = operation["parameters"].as_array().unwrap().iter();
            let parameters: Vec<_> = parameters
                .map(|one| one["name"].as_str().unwrap())
                .collect();
            let done = operation["responses"].as_object().unwrap().keys();
            let done: Vec<_> = done
                .filter(|status| *status < &"400".to_owned())
                .map(String::as_str)
                .collect();
            (parameters.join(" "), done.join(" "))
        };
        for (path, method, parameters, done) in [
            (
                "/t",
                "post",
                "Idempotency-Key Prefer Saga-Correlation",
                "201",
            ),
            ("/lost", "post", "Idempotency-Key Saga-Correlation", "201"),
            (
                "/t/{id}/close",
                "post",
                "id Idempotency-Key Prefer Saga-Correlation",
                "200 202",
            ),
            (
                "/t/{id}",
                "get",
                "id If-None-Match Last-Event-ID Saga-Correlation",
                "200 204 304",
            ),
            ("/t/{id}/query", "post", "id Saga-Correlation", "200 202"),
        ] {
            assert_eq!(
                of(path, method),
                (parameters.into(), done.into()),
                "{method} {path}"
            );
        }
        let id = &document["paths"]["/t/{id}"]["get"]["parameters"][0]["schema"];
        assert_eq!(
            (&id["type"], &id["minimum"]),
            (&json!("integer"), &json!(1))
        );
    }
}
