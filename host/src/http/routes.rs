//! The routes of a participant, from its description.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use hyper::Method;
use matchit::Router;
use saga_contract::description::{self, Command, CommandKind, Description, KeySource};

use super::paging::ListingRoute;
use crate::apidocs::problems::percent_encode;
use crate::metrics::requests;
use saga_contract::values::Schema;

/// The routes of one participant.
pub struct Routes {
    base_path: String,
    router: Router<PathRoutes>,
    /// The methods of all routes, with HEAD and OPTIONS.
    methods: Vec<&'static str>,
    /// Method and template of every route.
    templates: Vec<(Method, String)>,
}

/// The routes at one path.
#[derive(Default)]
struct PathRoutes {
    routes: Vec<Route>,
    listing: Option<ListingRoute>,
    /// Counter of requests for the listing.
    listed: RouteCounter,
}

/// A command, ready to serve.
pub struct Route {
    /// Method.
    pub method: Method,
    /// Name of the command.
    pub command: String,
    /// The source of the key.
    pub key: KeySource,
    /// Path template of the created aggregate, base path included; `None` if nothing is created or
    /// it can't be read.
    pub location: Option<String>,
    /// True if the command changes nothing.
    pub reads: bool,
    /// Permissions that its caller needs.
    pub requires: Vec<String>,
    /// True if the command creates an aggregate.
    pub creates: bool,
    /// Path template, base path included, of the read that shows the aggregate's progress, with the
    /// key as its one parameter; `None` if there is no such read.
    pub read_at: Option<String>,
    /// Schema of the body; `None` if it takes none.
    pub request: Option<Schema>,
    /// Counter of its requests.
    pub counted: RouteCounter,
}

/// Counter of the requests for a route.
#[derive(Default)]
pub struct RouteCounter {
    /// Path template, base path included.
    pub template: String,
    /// Its series, from the first request on.
    pub series: OnceLock<Option<requests::RouteSeries>>,
}

/// The match of a path.
pub enum RouteMatch<'a> {
    /// A command, with its path parameters, percent-decoded.
    Route(&'a Route, Vec<(String, String)>),
    /// A listing.
    Listing(&'a ListingRoute),
    /// The path exists, but only for these methods.
    OtherMethods(Vec<&'a str>),
    /// No route.
    Nothing,
    /// A path parameter is not percent-encoded UTF-8.
    BadPath(String),
}

impl Routes {
    /// The routes of a description, below this base path.
    ///
    /// # Errors
    /// The command or listing that can't be served, and the reason.
    pub fn new(description: &Description, base_path: &str) -> Result<Self, String> {
        let mut places: BTreeMap<&str, PathRoutes> = BTreeMap::new();
        let mut templates = Vec::new();
        for command in &description.commands {
            let route = route(description, command, base_path).map_err(|reason| {
                format!("command {} of {}: {reason}", command.name, description.name)
            })?;
            templates.push((route.method.clone(), route.counted.template.clone()));
            let place = places.entry(&command.path).or_default();
            place.routes.push(route);
        }
        for listing in &description.listings {
            let route = ListingRoute::new(listing, description).map_err(|reason| {
                format!("listing {} of {}: {reason}", listing.name, description.name)
            })?;
            let place = places.entry(&listing.path).or_default();
            place.listing = Some(route);
            place.listed.template = format!("{base_path}{}", listing.path);
            templates.push((Method::GET, place.listed.template.clone()));
        }
        let mut router = Router::new();
        for (path, place) in places {
            router
                .insert(path, place)
                .map_err(|error| format!("path {path} of {}: {error}", description.name))?;
        }
        Ok(Self {
            base_path: base_path.to_owned(),
            router,
            methods: allowed(
                (description.listings.iter().map(|_| "GET"))
                    .chain((description.commands.iter()).map(|command| command.method.as_str())),
            ),
            templates,
        })
    }

    /// The methods that are served at any path.
    #[must_use]
    pub fn methods(&self) -> &[&'static str] {
        &self.methods
    }

    /// True if there is a route of this method and template.
    #[must_use]
    pub fn serves(&self, method: &str, template: &str) -> bool {
        (self.templates.iter()).any(|(known, at)| known == method && at == template)
    }

    /// The counter for a request of this method and path, if it has a route.
    #[must_use]
    pub fn counted(&self, method: &Method, path: &str) -> Option<&RouteCounter> {
        let below = path.strip_prefix(&self.base_path)?;
        let place = self.router.at(below).ok()?.value;
        let route = place.routes.iter().find(|route| route.method == *method);
        let is_listed = *method == Method::GET && place.listing.is_some();
        (route.map(|route| &route.counted)).or(is_listed.then_some(&place.listed))
    }

    /// Matches a request's method and path.
    #[must_use]
    pub fn find(&self, method: &Method, path: &str) -> RouteMatch<'_> {
        let Some(matched) = path
            .strip_prefix(&self.base_path)
            .and_then(|below| self.router.at(below).ok())
        else {
            return RouteMatch::Nothing;
        };
        // hyper leaves out the body of an answer to HEAD.
        let method = if method == Method::HEAD {
            &Method::GET
        } else {
            method
        };
        let place = matched.value;
        let Some(route) = place.routes.iter().find(|route| route.method == *method) else {
            return match &place.listing {
                Some(listing) if *method == Method::GET => RouteMatch::Listing(listing),
                listing => {
                    let lists = listing.iter().map(|_| Method::GET.as_str());
                    let others = place.routes.iter().map(|route| route.method.as_str());
                    RouteMatch::OtherMethods(allowed(lists.chain(others)))
                }
            };
        };
        let mut parameters = Vec::new();
        for (name, value) in matched.params.iter() {
            match percent_decode(value) {
                Some(value) => parameters.push((name.to_owned(), value)),
                None => {
                    return RouteMatch::BadPath(format!(
                        "path parameter {name} is not percent-encoded UTF-8"
                    ));
                }
            }
        }
        RouteMatch::Route(route, parameters)
    }
}

/// These methods without duplicates, with HEAD and OPTIONS.
fn allowed<'m>(served: impl Iterator<Item = &'m str>) -> Vec<&'m str> {
    let mut methods = Vec::new();
    for method in served {
        if !methods.contains(&method) {
            methods.push(method);
        }
    }
    if let Some(get) = methods.iter().position(|method| *method == "GET") {
        methods.insert(get + 1, "HEAD");
    }
    methods.push("OPTIONS");
    methods
}

fn route(description: &Description, command: &Command, base_path: &str) -> Result<Route, String> {
    let location = match &command.kind {
        CommandKind::Create(Some(location)) => Some(format!("{base_path}{location}")),
        _ => None,
    };
    Ok(Route {
        counted: RouteCounter {
            template: format!("{base_path}{}", command.path),
            series: OnceLock::new(),
        },
        method: match command.method {
            description::Method::Get => Method::GET,
            description::Method::Post => Method::POST,
            description::Method::Put => Method::PUT,
            description::Method::Patch => Method::PATCH,
            description::Method::Delete => Method::DELETE,
        },
        command: command.name.clone(),
        key: command.key.clone(),
        location,
        reads: matches!(command.kind, CommandKind::Read),
        requires: command.requires.clone(),
        creates: matches!(command.kind, CommandKind::Create(_)),
        read_at: (description.read_of(command)).map(|read| format!("{base_path}{}", read.path)),
        request: command
            .request
            .as_deref()
            .map(Schema::compile)
            .transpose()
            .map_err(|reason| format!("request schema {reason}"))?,
    })
}

/// Fills the one parameter of a location with a key.
#[must_use]
pub fn location(template: &str, key: &str) -> String {
    match (template.find('{'), template.find('}')) {
        (Some(open), Some(close)) => {
            let (before, after) = (template.get(..open), template.get(close + 1..));
            format!(
                "{}{}{}",
                before.unwrap_or_default(),
                percent_encode(key),
                after.unwrap_or_default()
            )
        }
        _ => template.to_owned(),
    }
}

/// A percent-encoded text, decoded; None if it is not percent-encoded UTF-8.
#[must_use]
pub fn percent_decode(text: &str) -> Option<String> {
    if !text.contains('%') {
        return Some(text.to_owned());
    }
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => hex(bytes.next()?)? << 4 | hex(bytes.next()?)?,
            other => other,
        });
    }
    String::from_utf8(decoded).ok()
}

pub(super) fn hex(digit: u8) -> Option<u8> {
    (digit as char).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_the_methods_of_its_routes_and_those_that_come_with_them() {
        let methods = |served: &[&'static str]| allowed(served.iter().copied()).join(", ");
        assert_eq!(methods(&["DELETE", "GET"]), "DELETE, GET, HEAD, OPTIONS");
        assert_eq!(
            methods(&["POST", "GET", "POST"]),
            "POST, GET, HEAD, OPTIONS"
        );
        assert_eq!(methods(&["PUT"]), "PUT, OPTIONS");
    }

    #[test]
    fn locations_are_encoded_and_paths_decoded() {
        assert_eq!(location("/base/orders/{id}", "17"), "/base/orders/17");
        assert_eq!(location("/r/{id}/x", "a/b ü"), "/r/a%2Fb%20%C3%BC/x");
        assert_eq!(percent_decode("a%2Fb%20%C3%BC").as_deref(), Some("a/b ü"));
        for wrong in ["%", "%2", "%zz", "%ff"] {
            assert_eq!(percent_decode(wrong), None, "{wrong}");
        }
    }
}
