//! What is wrong with a description, as a table: each row breaks a sound one in one place and names the place
//! and the words that must be said of it.

use super::*;

/// Everything a description can have, all of it right.
fn sound() -> Description {
    let command = |name: &str, method, path: &str, kind, key| Command {
        name: name.into(),
        summary: "Does something.".into(),
        method,
        path: path.into(),
        kind,
        key,
        request: Some(r#"{"type":"object"}"#.into()),
        reply: "true".into(),
        refusals: Vec::new(),
    };
    let parameter = |name: &str| KeySource::PathParameter(name.into());
    let subscription = |event_type: &str, topic: &str, untyped| Subscription {
        event_type: event_type.into(),
        topic: topic.into(),
        group: "desk".into(),
        key: "/ticket/id".into(),
        untyped,
        schema: "{}".into(),
    };
    let publication = |event_type: &str| Publication {
        event_type: event_type.into(),
        topic: "out".into(),
        schema: "{}".into(),
    };
    Description {
        name: "help-desk-2".into(),
        version: "1.0.0".into(),
        summary: "Answers.".into(),
        state: StateDescription {
            version: 3,
            oldest_readable: 1,
            schema: "{}".into(),
        },
        endpoint: Endpoint {
            base_path: "/help/desk".into(),
            port: 8080,
        },
        commands: vec![
            command(
                "open",
                Method::Post,
                "/t",
                CommandKind::Create("/t/{id}".into()),
                KeySource::Generated,
            ),
            command(
                "get",
                Method::Get,
                "/t/{id}",
                CommandKind::Read,
                parameter("id"),
            ),
            command(
                "close",
                Method::Delete,
                "/t/{id}",
                CommandKind::Change,
                parameter("id"),
            ),
            command(
                "move",
                Method::Put,
                "/{from}/to/{id}",
                CommandKind::Change,
                parameter("id"),
            ),
            command(
                "note",
                Method::Patch,
                "/notes",
                CommandKind::Change,
                KeySource::Body("/ticket".into()),
            ),
            command(
                "adopt",
                Method::Post,
                "/a",
                CommandKind::Create(String::new()),
                KeySource::Body("/id".into()),
            ),
        ],
        subscriptions: vec![
            subscription("asked", "in", true),
            subscription("withdrawn", "in", false),
            subscription("asked", "in-too", true),
        ],
        publications: vec![publication("answered"), publication("moved")],
        timers: ["remind", "escalate"]
            .map(|name| TimerDescription {
                name: name.into(),
                schema: "{}".into(),
            })
            .into(),
        listings: Vec::new(),
    }
}

type Break = fn(&mut Description);

/// Checks rows of: what to break, where it must be said, in which words.
fn each(table: &[(Break, &str, &str)]) {
    for (number, (change, place, words)) in table.iter().enumerate() {
        let mut description = sound();
        change(&mut description);
        let problems = check(&description);
        let said = problems
            .iter()
            .any(|problem| problem.place == *place && problem.reason.contains(words));
        assert!(
            said,
            "row {number}: `{place}: {words}` is not in {problems:#?}"
        );
        assert_eq!(
            problems.len(),
            1,
            "row {number} breaks one thing: {problems:#?}"
        );
    }
}

#[test]
fn a_sound_description_has_no_problems() {
    assert_eq!(check(&sound()), []);
}

#[test]
fn the_smallest_description_has_no_problems() {
    let mut smallest = sound();
    smallest.commands.clear();
    smallest.subscriptions.clear();
    smallest.publications.clear();
    smallest.timers.clear();
    smallest.endpoint.base_path.clear();
    smallest.name = "a".into();
    smallest.state = StateDescription {
        version: 1,
        oldest_readable: 1,
        schema: "false".into(),
    };
    assert_eq!(check(&smallest), []);
}

#[test]
fn names_and_versions() {
    each(&[
        (
            |d| d.name = String::new(),
            "name",
            "`` is not a name: use 1 to 64 lower-case letters, digits and `-`",
        ),
        (|d| d.name = "Desk".into(), "name", "`Desk` is not a name"),
        (
            |d| d.name = "help desk".into(),
            "name",
            "`help desk` is not a name",
        ),
        (|d| d.name = "büro".into(), "name", "`büro` is not a name"),
        (|d| d.name = "a/b".into(), "name", "`a/b` is not a name"),
        (|d| d.name = "x".repeat(65), "name", "is not a name"),
        (
            |d| d.state.oldest_readable = 0,
            "state",
            "version 0 is not between 1 and the current version 3",
        ),
        (
            |d| d.state.oldest_readable = 4,
            "state",
            "version 4 is not between 1 and the current version 3",
        ),
        (
            |d| d.endpoint.base_path = "help".into(),
            "endpoint",
            "base path `help`: must be empty or look like `/a/b`",
        ),
        (
            |d| d.endpoint.base_path = "/help/".into(),
            "endpoint",
            "base path `/help/`",
        ),
        (
            |d| d.endpoint.base_path = "/".into(),
            "endpoint",
            "base path `/`",
        ),
        (
            |d| d.endpoint.base_path = "/{a}".into(),
            "endpoint",
            "base path `/{a}`",
        ),
        (
            |d| d.endpoint.base_path = "/a?b".into(),
            "endpoint",
            "base path `/a?b`",
        ),
        (
            |d| d.publications[0].event_type.clear(),
            "publication",
            "has no event type or no topic",
        ),
        (
            |d| d.publications[0].topic.clear(),
            "publication",
            "has no event type or no topic",
        ),
        (
            |d| d.publications[1].event_type = "answered".into(),
            "publication answered",
            "is listed twice",
        ),
        (
            |d| d.timers[0].name.clear(),
            "timer ",
            "has no name or is listed twice",
        ),
        (
            |d| d.timers[1].name = "remind".into(),
            "timer remind",
            "has no name or is listed twice",
        ),
    ]);
}

#[test]
fn a_name_may_have_64_letters() {
    assert_eq!(
        check(&Description {
            name: "x".repeat(64),
            ..sound()
        }),
        []
    );
}

#[test]
fn state_versions_count_from_1() {
    let mut description = sound();
    description.state.version = 0;
    let reasons: Vec<_> = check(&description)
        .into_iter()
        .map(|problem| problem.to_string())
        .collect();
    assert_eq!(
        reasons,
        [
            "state: version 0: versions count from 1",
            "state: oldest readable version 1 is not between 1 and the current version 0"
        ]
    );
}

#[test]
fn commands() {
    each(&[
        (|d| d.commands[0].name.clear(), "command ", "has no name"),
        (
            |d| d.commands[0].path = "t".into(),
            "command open",
            "path `t` does not start with `/`",
        ),
        (
            |d| d.commands[0].path.clear(),
            "command open",
            "path `` does not start with `/`",
        ),
        (
            |d| d.commands[0].path = "/openapi.json".into(),
            "command open",
            "path `/openapi.json` is the host's own: nothing may be served at or below `/openapi.json`",
        ),
        (
            |d| d.commands[1].path = "/problems/{id}".into(),
            "command get",
            "path `/problems/{id}` is the host's own: nothing may be served at or below `/problems`",
        ),
        (
            |d| d.commands[0].path = "/swagger-ui/".into(),
            "command open",
            "is the host's own",
        ),
        (
            |d| d.commands[2].key = KeySource::Generated,
            "command close",
            "only a command that creates can have a generated key",
        ),
        (
            |d| d.commands[1].key = KeySource::Generated,
            "command get",
            "only a command that creates can have a generated key",
        ),
        (
            |d| d.commands[2].key = KeySource::PathParameter("ticket".into()),
            "command close",
            "key parameter `ticket` is not in the path `/t/{id}`",
        ),
        (
            |d| d.commands[4].request = None,
            "command note",
            "takes its key from the body but declares no request schema",
        ),
        (
            |d| d.commands[4].key = KeySource::Body("ticket".into()),
            "command note",
            "key `ticket` is not a JSON pointer such as `/order/id`",
        ),
        (
            |d| d.commands[4].key = KeySource::Body(String::new()),
            "command note",
            "key `` is not a JSON pointer",
        ),
        (
            |d| d.commands[0].kind = CommandKind::Create("t/{id}".into()),
            "command open",
            "location `t/{id}` must be a path with one parameter, the key",
        ),
        (
            |d| d.commands[0].kind = CommandKind::Create("/t".into()),
            "command open",
            "location `/t` must be",
        ),
        (
            |d| d.commands[0].kind = CommandKind::Create("/{a}/{b}".into()),
            "command open",
            "location `/{a}/{b}` must",
        ),
        (
            |d| d.commands[1].kind = CommandKind::Change,
            "command get",
            "is a GET that is not a read",
        ),
    ]);
}

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
fn a_read_may_be_asked_with_any_method_and_a_create_may_have_no_location() {
    let mut description = sound();
    description.commands[1].method = Method::Put;
    description.commands[0].kind = CommandKind::Create(String::new());
    assert_eq!(check(&description), []);
}

#[test]
fn commands_together() {
    each(&[
        (
            |d| d.commands[1].name = "open".into(),
            "command open",
            "is listed twice",
        ),
        (
            |d| d.commands[5].path = "/t".into(),
            "command adopt",
            "POST /t is served by another command too",
        ),
    ]);
}

#[test]
fn subscriptions() {
    each(&[
        (
            |d| d.subscriptions[1].event_type.clear(),
            "subscription ",
            "has no event type, no topic or no group",
        ),
        (
            |d| d.subscriptions[2].topic.clear(),
            "subscription asked",
            "has no event type, no topic or no group",
        ),
        (
            |d| d.subscriptions[2].group.clear(),
            "subscription asked",
            "has no event type, no topic or no group",
        ),
        (
            |d| d.subscriptions[0].key = "id".into(),
            "subscription asked",
            "key `id` is not a JSON pointer",
        ),
        (
            |d| d.subscriptions[0].key.clear(),
            "subscription asked",
            "key `` is not a JSON pointer",
        ),
        (
            |d| d.subscriptions[1].event_type = "asked".into(),
            "subscription asked",
            "is listed twice for topic in",
        ),
        (
            |d| d.subscriptions[1].group = "other".into(),
            "subscription withdrawn",
            "topic in is read by two groups, desk and other: one group per topic",
        ),
        (
            |d| d.subscriptions[1].untyped = true,
            "subscription withdrawn",
            "topic in has two events for untyped records",
        ),
    ]);
}

#[test]
fn topics_of_their_own_may_have_groups_of_their_own() {
    let mut description = sound();
    description.subscriptions[2].group = "other".into();
    assert_eq!(check(&description), []);
}

#[test]
fn schemas() {
    each(&[
        (
            |d| d.state.schema = "{".into(),
            "state",
            "schema is not JSON: EOF while parsing",
        ),
        (
            |d| d.state.schema = String::new(),
            "state",
            "schema is not JSON",
        ),
        (
            |d| d.commands[0].request = Some("[]".into()),
            "command open request",
            "schema is JSON but not a JSON Schema",
        ),
        (
            |d| d.commands[0].reply = "null".into(),
            "command open reply",
            "(an object or a boolean)",
        ),
        (
            |d| d.subscriptions[0].schema = "1".into(),
            "subscription asked",
            "schema is JSON but not a JSON Schema",
        ),
        (
            |d| d.publications[0].schema = "\"{}\"".into(),
            "publication answered",
            "schema is JSON but not",
        ),
        (
            |d| d.timers[0].schema = "{]".into(),
            "timer remind",
            "schema is not JSON",
        ),
    ]);
}

#[test]
fn a_command_without_a_body_needs_no_schema_for_it() {
    let mut description = sound();
    description.commands[1].request = None;
    assert_eq!(check(&description), []);
}

#[test]
fn all_problems_are_listed_at_once() {
    let mut description = sound();
    description.name = "No Name".into();
    description.commands[0].path = "t".into();
    description.subscriptions[0].key = "id".into();
    description.timers[0].schema = "?".into();
    let places: Vec<_> = check(&description)
        .into_iter()
        .map(|problem| problem.place)
        .collect();
    assert_eq!(
        places,
        ["name", "command open", "subscription asked", "timer remind"]
    );
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

/// A description with these commands, each as kind, method and path; the key is the path's only parameter.
fn with_commands(commands: &[(CommandKind, Method, &str)]) -> Description {
    let commands = commands.iter().map(|(kind, method, path)| Command {
        name: (*path).to_owned(),
        summary: String::new(),
        method: *method,
        path: (*path).to_owned(),
        kind: kind.clone(),
        key: match path_parameters(path).as_slice() {
            [parameter] => KeySource::PathParameter((*parameter).to_owned()),
            _ => KeySource::Generated,
        },
        request: None,
        reply: "true".into(),
        refusals: Vec::new(),
    });
    Description {
        commands: commands.collect(),
        ..sound()
    }
}

#[test]
fn a_command_is_followed_by_the_read_of_its_aggregate_where_there_is_one_only() {
    use Method::{Get, Post};
    let create = |location: &str| CommandKind::Create(location.to_owned());
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
