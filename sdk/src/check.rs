//! Mistakes in a description that the compiler can't see.
//!
//! Owns one pure function from a description to sentences. The test kit runs it before every
//! scenario, so an author meets a mistake in `cargo test`, not when a host refuses the component.

use crate::bindings::saga::participant::types::{
    Command, CommandKind, Description, KeySource, Listing, Method, Subscription,
};
use crate::command::parameters;
use std::collections::BTreeSet;

/// Paths at and below which the host serves its own, as in the WIT contract.
const RESERVED: [&str; 5] = [
    "/asyncapi.json",
    "/openapi.json",
    "/openapi.yaml",
    "/problems",
    "/swagger-ui",
];

/// Everything that is wrong with `description`, one sentence each.
pub(crate) fn problems(description: &Description) -> Vec<String> {
    let mut problems = Vec::new();
    identity(description, &mut problems);
    for command in &description.commands {
        self::command(command, &mut problems);
    }
    for subscription in &description.subscriptions {
        self::subscription(subscription, description, &mut problems);
    }
    for listing in &description.listings {
        self::listing(listing, description, &mut problems);
    }
    duplicates(description, &mut problems);
    problems
}

fn identity(description: &Description, problems: &mut Vec<String>) {
    let name = &description.name;
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || !name.chars().all(legal) {
        problems.push(format!(
            "the participant's name {name:?} must be lower-case letters, digits and '-'"
        ));
    }
    if description.version.is_empty() {
        problems.push("the participant has no version: use env!(\"CARGO_PKG_VERSION\")".to_owned());
    }
    if description.state.version == 0 {
        problems.push("state_version counts from 1".to_owned());
    }
    let base = &description.endpoint.base_path;
    if !base.is_empty() && (!base.starts_with('/') || base.ends_with('/')) {
        problems.push(format!(
            "the base path {base:?} must be empty, or start with '/' and not end with it"
        ));
    }
}

fn command(command: &Command, problems: &mut Vec<String>) {
    let Command { name, path, .. } = command;
    if name.is_empty() {
        problems.push(format!("the command on {path:?} has no name"));
    }
    if command.summary.is_empty() {
        problems.push(format!("command {name:?} has no summary"));
    }
    if !path.starts_with('/') {
        problems.push(format!(
            "the path {path:?} of command {name:?} must start with '/'"
        ));
    }
    if RESERVED.iter().any(|reserved| {
        let rest = path.strip_prefix(reserved);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }) {
        problems.push(format!(
            "the path {path:?} of command {name:?} is the host's own: take another"
        ));
    }
    let names = parameters(path);
    let stray = path.matches(['{', '}']).count() != 2 * names.len();
    if stray || names.iter().any(|parameter| parameter.is_empty()) {
        problems.push(format!(
            "the path {path:?} of command {name:?} must have whole segments as parameters, such as /{{id}}"
        ));
    }
    if command.method == Method::Get && command.kind != CommandKind::Read {
        problems.push(format!("command {name:?} is a GET, so it must be a read"));
    }
    match &command.key {
        KeySource::Generated => {}
        KeySource::PathParameter(parameter) if parameter.is_empty() => problems.push(format!(
            "command {name:?} has no key: its path {path:?} has not one parameter, so say key_parameter or key_in_body"
        )),
        KeySource::PathParameter(parameter) => {
            if !names.contains(&parameter.as_str()) {
                problems.push(format!(
                    "command {name:?} takes its key from {{{parameter}}}, which its path {path:?} does not have"
                ));
            }
        }
        KeySource::Body(pointer) => {
            if !is_pointer(pointer) {
                problems.push(format!(
                    "the key of command {name:?} is no JSON pointer: {pointer:?}"
                ));
            }
            if command.request.is_none() {
                problems.push(format!(
                    "command {name:?} takes its key from a body, but takes no body"
                ));
            }
        }
    }
    if let CommandKind::Create(readable) = &command.kind
        && !readable.is_empty()
        && parameters(readable).len() != 1
    {
        problems.push(format!(
            "what command {name:?} makes is readable at {readable:?}, which must have one parameter, the key"
        ));
    }
    for code in repeated(command.refusals.iter().map(|refusal| refusal.code.clone())) {
        problems.push(format!(
            "command {name:?} declares the refusal {code:?} twice"
        ));
    }
}

fn subscription(subscription: &Subscription, all: &Description, problems: &mut Vec<String>) {
    let Subscription {
        event_type,
        topic,
        group,
        key,
        ..
    } = subscription;
    if event_type.is_empty() || topic.is_empty() || group.is_empty() {
        problems.push(format!(
            "a subscription needs an event type, a topic and a group: {event_type:?}, {topic:?}, {group:?}"
        ));
    }
    if !is_pointer(key) {
        problems.push(format!(
            "the key of the subscription to {event_type:?} is no JSON pointer: {key:?}"
        ));
    }
    let other = all
        .subscriptions
        .iter()
        .find(|other| other.topic == *topic && other.group != *group);
    if let Some(other) = other
        && group < &other.group
    {
        problems.push(format!(
            "topic {topic:?} is read in two groups, {group:?} and {:?}: a participant has one per topic",
            other.group
        ));
    }
}

fn listing(listing: &Listing, all: &Description, problems: &mut Vec<String>) {
    let Listing {
        name, path, item, ..
    } = listing;
    if name.is_empty() {
        problems.push(format!("the listing at {path:?} has no name"));
    }
    if listing.summary.is_empty() {
        problems.push(format!("listing {name:?} has no summary"));
    }
    if !path.starts_with('/') || path.ends_with('/') || path.contains(['{', '}']) {
        problems.push(format!(
            "the path {path:?} of listing {name:?} must look like /books, without parameters"
        ));
    }
    let gets = |command: &&Command| command.method == Method::Get && command.path == *path;
    if let Some(command) = all.commands.iter().find(gets) {
        problems.push(format!(
            "listing {name:?} and command {:?} are both served at GET {path}",
            command.name
        ));
    }
    let is_shown = |command: &Command| {
        let key = matches!(command.key, KeySource::PathParameter(_));
        key && command.kind == CommandKind::Read && parameters(&command.path).len() == 1
    };
    match all.commands.iter().find(|command| command.name == *item) {
        None => problems.push(format!(
            "listing {name:?} shows its items by the command {item:?}, which there is not"
        )),
        Some(command) if !is_shown(command) => problems.push(format!(
            "listing {name:?} shows its items by {item:?}, which must be a read with one parameter, the key"
        )),
        Some(_) => {}
    }
    filters(listing, problems);
}

fn filters(listing: &Listing, problems: &mut Vec<String>) {
    let Listing { name, filters, .. } = listing;
    if filters.len() > 8 {
        problems.push(format!("listing {name:?} has more than 8 filters"));
    }
    for filter in filters {
        let parameter = &filter.parameter;
        let legal = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c);
        let own = ["limit", "cursor"].contains(&parameter.as_str());
        if own || parameter.is_empty() || !parameter.chars().all(legal) {
            problems.push(format!(
                "the filter {parameter:?} of listing {name:?} must be letters, digits, '-', '.', '_' and '~', and not limit or cursor"
            ));
        }
        if filter.schema == "false" {
            problems.push(format!(
                "the state's schema does not say what is at {:?}, the filter {parameter:?} of listing {name:?}: correct it, or say filter_as",
                filter.pointer
            ));
        }
    }
    for parameter in repeated(filters.iter().map(|filter| filter.parameter.clone())) {
        problems.push(format!(
            "listing {name:?} has the filter {parameter:?} twice"
        ));
    }
}

fn duplicates(description: &Description, problems: &mut Vec<String>) {
    let commands = &description.commands;
    for name in repeated(commands.iter().map(|command| command.name.clone())) {
        problems.push(format!("two commands are named {name:?}"));
    }
    let listings = &description.listings;
    let named = commands.iter().map(|command| &command.name);
    for name in repeated(listings.iter().map(|one| &one.name).chain(named)) {
        if listings.iter().any(|one| one.name == *name) {
            problems.push(format!("a listing and something else are named {name:?}"));
        }
    }
    for path in repeated(listings.iter().map(|one| &one.path)) {
        problems.push(format!("two listings are served at GET {path}"));
    }
    let routes = commands
        .iter()
        .map(|command| (verb(command.method), command.path.clone()));
    for (method, path) in repeated(routes) {
        problems.push(format!("two commands are served at {method} {path}"));
    }
    let subscriptions = &description.subscriptions;
    for name in repeated(subscriptions.iter().map(|one| one.event_type.clone())) {
        problems.push(format!("two subscriptions are to {name:?}"));
    }
    let untyped = subscriptions.iter().filter(|one| one.untyped);
    for topic in repeated(untyped.map(|one| one.topic.clone())) {
        problems.push(format!(
            "two subscriptions take records without a type on {topic:?}"
        ));
    }
    for name in repeated(
        description
            .publications
            .iter()
            .map(|one| one.event_type.clone()),
    ) {
        problems.push(format!("the event {name:?} is declared twice"));
    }
    for name in repeated(description.timers.iter().map(|one| one.name.clone())) {
        problems.push(format!("the timer {name:?} is declared twice"));
    }
}

fn verb(method: Method) -> &'static str {
    match method {
        Method::Get => "GET",
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Patch => "PATCH",
        Method::Delete => "DELETE",
    }
}

/// What occurs more than once, each once.
fn repeated<T: Ord + Clone>(items: impl Iterator<Item = T>) -> BTreeSet<T> {
    let mut seen = BTreeSet::new();
    items.filter(|item| !seen.insert(item.clone())).collect()
}

fn is_pointer(text: &str) -> bool {
    text.is_empty() || text.starts_with('/')
}
