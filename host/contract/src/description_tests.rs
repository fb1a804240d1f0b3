//! Look-ups in a description, its form in JSON, paths.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "the fixture has what the tests look for"
)]

use super::*;
use crate::fixture::{command, sound};

#[test]
fn only_the_paths_of_the_host_are_reserved() {
    for path in RESERVED {
        assert_eq!(reserved(path), Some(path));
        assert_eq!(reserved(&format!("{path}/x")), Some(path));
        assert_eq!(reserved(&format!("{path}s")), None);
        assert_eq!(reserved(&format!("/x{path}")), None);
    }
    for path in ["", "/", "/{any}", "/openapi", "/{a}/{b}"] {
        assert_eq!(reserved(path), None, "{path}");
    }
}

#[test]
fn the_parameters_of_a_path_are_found_in_order() {
    let table: [(&str, &[&str]); 6] = [
        ("/", &[]),
        ("/a/b", &[]),
        ("/a/{b}", &["b"]),
        ("/{from}/to/{id}", &["from", "id"]),
        ("/{a}{b}", &["a", "b"]),
        ("/{open", &[]),
    ];
    for (path, expected) in table {
        assert_eq!(path_parameters(path), expected, "{path}");
    }
}

#[test]
fn commands_and_publications_are_found_by_name() {
    let description = sound();
    assert_eq!(
        description.command("close").map(|command| command.method),
        Some(Method::Delete)
    );
    assert_eq!(description.command("Close"), None);
    assert_eq!(
        description
            .publication("moved")
            .map(|publication| publication.topic.as_str()),
        Some("out")
    );
    assert_eq!(description.publication("asked"), None);
}

#[test]
fn methods_have_their_names_on_the_wire_and_in_json() {
    let methods = [
        Method::Get,
        Method::Post,
        Method::Put,
        Method::Patch,
        Method::Delete,
    ];
    for (method, name) in methods
        .into_iter()
        .zip(["GET", "POST", "PUT", "PATCH", "DELETE"])
    {
        assert_eq!(method.as_str(), name);
        assert_eq!(
            serde_json::to_string(&method).unwrap(),
            format!("\"{name}\"")
        );
    }
}

#[test]
fn a_description_survives_being_written_as_json() {
    let text = serde_json::to_string(&sound()).unwrap();
    assert_eq!(serde_json::from_str::<Description>(&text).unwrap(), sound());
}

/// A description with these commands, each as kind, method and path; the key is the only parameter
/// of the path.
fn with_commands(commands: &[(CommandKind, Method, &str)]) -> Description {
    let commands = commands.iter().map(|(kind, method, path)| {
        let key = match path_parameters(path).as_slice() {
            [parameter] => KeySource::PathParameter((*parameter).to_owned()),
            _ => KeySource::Generated,
        };
        command(path, *method, path, kind.clone(), key)
    });
    Description {
        commands: commands.collect(),
        ..sound()
    }
}

#[test]
fn a_command_is_followed_by_the_read_of_its_aggregate_where_there_is_one_only() {
    use Method::{Get, Post};
    let create = |location: &str| CommandKind::Create(Some(location.to_owned()));
    let read_of = |description: &Description, command: &Command| {
        description.read_of(command).map(|read| read.path.clone())
    };
    let one = with_commands(&[
        (create("/orders/{id}"), Post, "/orders"),
        (create("/none/{id}"), Post, "/lost"),
        (create(""), Post, "/unreadable"),
        (CommandKind::Change, Post, "/orders/{order}/pay"),
        (CommandKind::Read, Get, "/orders/{order}"),
    ]);
    let there = Some("/orders/{order}".to_owned());
    let all: Vec<_> = (one.commands.iter())
        .map(|command| read_of(&one, command))
        .collect();
    assert_eq!(all, [there.clone(), None, None, there, None]);
    let several = with_commands(&[
        (CommandKind::Change, Post, "/orders/{order}/pay"),
        (CommandKind::Read, Get, "/orders/{order}"),
        (CommandKind::Read, Get, "/orders/{order}/total"),
    ]);
    assert_eq!(read_of(&several, &several.commands[0]), None);
}
