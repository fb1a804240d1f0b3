//! Commands, their paths, keys and refusals.

use std::collections::{BTreeMap, BTreeSet};

use super::{Problems, free, key};
use crate::description::{
    Command, CommandKind, Description, KeySource, Method, RefusalDescription, path_parameters,
    path_shape,
};

pub(super) fn check(description: &Description, found: &mut Problems) {
    for command in &description.commands {
        one(description, command, found);
    }
    together(description, found);
}

fn one(description: &Description, command: &Command, found: &mut Problems) {
    let place = format!("command {}", command.name);
    if command.name.is_empty() {
        found.add(&place, "has no name");
    }
    if command.summary.is_empty() {
        found.add(&place, "has no summary: say in one sentence what it does");
    }
    path(&command.path, &place, found);
    key_source(command, &place, found);
    location(description, command, &place, found);
    if command.method == Method::Get && !matches!(command.kind, CommandKind::Read) {
        found.add(&place, "is a GET that is not a read");
    }
    let mut codes = BTreeSet::new();
    for refusal in &command.refusals {
        let code = &refusal.code;
        if code.is_empty() {
            found.add(&place, "has a refusal without a code");
        } else if !codes.insert(code) {
            found.add(&place, format!("lists the refusal `{code}` twice"));
        }
    }
}

fn path(path: &str, place: &str, found: &mut Problems) {
    free(path, place, found);
    if !path.starts_with('/') {
        return found.add(place, format!("path `{path}` does not start with `/`"));
    }
    let parameters = path_parameters(path);
    if !path.split('/').all(is_segment) {
        let reason = format!(
            "path `{path}`: a segment has at most one parameter, with a name, such as `/{{id}}`"
        );
        return found.add(place, reason);
    }
    let mut names = BTreeSet::new();
    if let Some(twice) = parameters.iter().find(|name| !names.insert(**name)) {
        let reason = format!("path `{path}` has two parameters that are called `{twice}`");
        found.add(place, reason);
    }
}

/// True if a segment of a path has at most one parameter, and that one has a name.
fn is_segment(text: &str) -> bool {
    let Some((before, rest)) = text.split_once('{') else {
        return !text.contains('}');
    };
    let Some((name, after)) = rest.split_once('}') else {
        return false;
    };
    let has_brace = |text: &str| text.contains(['{', '}']);
    // `{*rest}` matches all segments that follow.
    !["", "*"].contains(&name) && ![before, name, after].into_iter().any(has_brace)
}

fn key_source(command: &Command, place: &str, found: &mut Problems) {
    let path = &command.path;
    match &command.key {
        KeySource::Generated if matches!(command.kind, CommandKind::Create(_)) => {}
        KeySource::Generated => {
            let reason = "only a command that creates can have a generated key";
            found.add(place, reason);
        }
        KeySource::PathParameter(name) if name.is_empty() => {
            let reason = format!(
                "has no key: take one parameter of the path `{path}`, or a value in the body"
            );
            found.add(place, reason);
        }
        KeySource::PathParameter(name) => {
            if !path_parameters(path).contains(&name.as_str()) {
                let reason = format!("key parameter `{name}` is not in the path `{path}`");
                found.add(place, reason);
            }
        }
        KeySource::Body(pointer) => {
            if command.request.is_none() {
                let reason = "takes its key from the body but declares no request schema";
                found.add(place, reason);
            }
            key(
                pointer,
                command.request.as_deref().unwrap_or("true"),
                place,
                found,
            );
        }
    }
}

/// Checks that a created aggregate can be read at its location.
fn location(description: &Description, command: &Command, place: &str, found: &mut Problems) {
    let CommandKind::Create(Some(location)) = &command.kind else {
        return;
    };
    if !location.starts_with('/') || path_parameters(location).len() != 1 {
        let reason = format!("location `{location}` must be a path with one parameter, the key");
        found.add(place, reason);
    } else if description.read_of(command).is_none() {
        let reason = format!(
            "location `{location}`: no command is a GET there that reads what has this key"
        );
        found.add(place, reason);
    }
}

fn together(description: &Description, found: &mut Problems) {
    let mut names = BTreeSet::new();
    let mut routes = BTreeSet::new();
    let mut spellings: BTreeMap<String, &str> = BTreeMap::new();
    let mut refusals: BTreeMap<&str, (&RefusalDescription, &str)> = BTreeMap::new();
    for command in &description.commands {
        let Command {
            name, method, path, ..
        } = command;
        let place = format!("command {name}");
        if !names.insert(name) {
            found.add(&place, "is listed twice");
        }
        if !routes.insert((*method, path)) {
            let reason = format!(
                "{} {path} is served by another command too",
                method.as_str()
            );
            found.add(&place, reason);
        }
        for refusal in &command.refusals {
            let (other, there) = *refusals.entry(&refusal.code).or_insert((refusal, name));
            if other != refusal && !description.has_open_refusals {
                let reason = format!(
                    "refusal `{}` has another kind or summary than in command {there}: declare it once",
                    refusal.code
                );
                found.add(&place, reason);
            }
        }
        // It would be ambiguous which of the names a value gets.
        let other = *spellings.entry(path_shape(path)).or_insert(path);
        if other != path {
            let reason =
                format!("path `{path}` is the same as `{other}`: call its parameters alike");
            found.add(&place, reason);
        }
    }
}
