//! What can be read about a participant's API: documents for programs, pages for people.
//!
//! All of it follows from the participant's description, its base path and the names that the settings give its topics: pure
//! functions, made once for each generation, so that a swap brings its own. Must not know: HTTP servers, SQL, components, or
//! any participant by name.
//!
//! # Layout
//!
//! - this file: what is served where
//! - `openapi`: commands as an OpenAPI 3.1 document; `parameters` and `answers` are what the host adds to each command
//! - `asyncapi`: events as an AsyncAPI 3.0 document
//! - `schemas`: the schemas of both
//! - `yaml`: JSON as YAML
//! - `swagger`: Swagger UI, with `start.js`
//! - [`problems`]: the kinds of the host's own problems; `pages` are what their `type` leads to
//! - [`resource`]: something to be read

mod answers;
mod asyncapi;
mod openapi;
mod pages;
mod parameters;
pub mod problems;
pub mod resource;
mod schemas;
mod swagger;
mod yaml;

use std::borrow::Cow;
use std::collections::BTreeMap;

use saga_core::description::Description;

pub use self::answers::status as refusal_status;
use self::resource::{Lasting, Resource};

/// What the settings call topics and groups, by their names in the description; what is not there keeps its name.
#[derive(Debug, Clone, Copy)]
pub struct Names<'s> {
    /// Names of topics.
    pub topics: &'s BTreeMap<String, String>,
    /// Names of consumer groups.
    pub groups: &'s BTreeMap<String, String>,
}

impl Names<'_> {
    fn topic<'n>(&'n self, declared: &'n String) -> &'n str {
        self.topics.get(declared).unwrap_or(declared)
    }

    fn group<'n>(&'n self, declared: &'n String) -> &'n str {
        self.groups.get(declared).unwrap_or(declared)
    }
}

/// What can be read about one generation of a participant.
pub struct Documents {
    openapi_json: Resource,
    openapi_yaml: Resource,
    asyncapi: Resource,
    swagger: Resource,
}

impl Documents {
    /// The documents of this description, to be served below this base path.
    #[must_use]
    pub fn new(description: &Description, base_path: &str, names: &Names<'_>) -> Self {
        let openapi = openapi::document(description, base_path);
        let asyncapi = asyncapi::document(description, names);
        let checked = |media_type, body: String| Resource::new(media_type, body, Lasting::Checked);
        Self {
            openapi_json: checked("application/json", format!("{openapi:#}\n")),
            openapi_yaml: checked("application/yaml", yaml::text(&openapi)),
            asyncapi: checked("application/json", format!("{asyncapi:#}\n")),
            swagger: swagger::page(&description.name, base_path),
        }
    }

    /// What is at this path below the base path, if it is one of the host's own.
    #[must_use]
    pub fn at<'a>(
        &'a self,
        description: &Description,
        base_path: &str,
        below: &str,
    ) -> Option<Cow<'a, Resource>> {
        let resource = match below {
            "/openapi.json" => &self.openapi_json,
            "/openapi.yaml" => &self.openapi_yaml,
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

/// The pages on the host's own problems, for a listener that serves no participant: what is at this path.
#[must_use]
pub fn problem_page(path: &str) -> Option<Resource> {
    pages::at(None, "", path.strip_prefix("/problems")?)
}
