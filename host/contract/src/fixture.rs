//! Descriptions for tests: a whole one, and parts of others.

use crate::check::{DescriptionProblem, problems};
use crate::description::{
    Command, CommandKind, Description, Endpoint, KeySource, Method, Publication,
    SettingsDescription, StateDescription, Subscription, TimerDescription,
};

/// A command without a body.
pub(crate) fn command(
    name: &str,
    method: Method,
    path: &str,
    kind: CommandKind,
    key: KeySource,
) -> Command {
    Command {
        name: name.into(),
        summary: "Does something.".into(),
        method,
        path: path.into(),
        kind,
        key,
        request: None,
        reply: "{}".into(),
        refusals: Vec::new(),
        requires: Vec::new(),
    }
}

/// A subscription of the group `desk`, with the key at `/ticket/id`.
pub(crate) fn subscription(event_type: &str, topic: &str, untyped: bool) -> Subscription {
    Subscription {
        event_type: event_type.into(),
        topic: topic.into(),
        group: "desk".into(),
        key: "/ticket/id".into(),
        untyped,
        schema: "{}".into(),
        version: 1,
        older: Vec::new(),
    }
}

/// A publication to the topic `out`.
pub(crate) fn publication(event_type: &str) -> Publication {
    Publication {
        event_type: event_type.into(),
        topic: "out".into(),
        schema: "{}".into(),
        version: 1,
    }
}

/// A timer.
pub(crate) fn timer(name: &str) -> TimerDescription {
    TimerDescription {
        name: name.into(),
        schema: "{}".into(),
    }
}

/// A description of the participant `desk` with nothing in it.
pub(crate) fn bare() -> Description {
    Description {
        settings: None,
        metadata: Vec::new(),
        claims: Vec::new(),
        has_open_refusals: false,
        name: "desk".into(),
        version: "1.0.0".into(),
        summary: "Does something.".into(),
        state: StateDescription {
            version: 1,
            oldest_readable: 1,
            schema: "{}".into(),
        },
        endpoint: Endpoint {
            base_path: String::new(),
            port: 0,
        },
        commands: Vec::new(),
        subscriptions: Vec::new(),
        publications: Vec::new(),
        timers: Vec::new(),
        listings: Vec::new(),
    }
}

/// The problems of a description: one at this place has these words.
#[track_caller]
pub(crate) fn found(
    description: &Description,
    row: usize,
    place: &str,
    words: &str,
) -> Vec<DescriptionProblem> {
    let found = problems(description);
    let is_it =
        |problem: &DescriptionProblem| problem.place == place && problem.reason.contains(words);
    let is_said = found.iter().any(is_it);
    assert!(
        is_said,
        "row {row}: `{place}: {words}` is not in {found:#?}"
    );
    found
}

/// A valid description with everything that one can have.
pub(crate) fn sound() -> Description {
    let command = |name: &str, method, path: &str, kind, key| Command {
        request: Some(r#"{"type":"object"}"#.into()),
        reply: "true".into(),
        ..command(name, method, path, kind, key)
    };
    let parameter = |name: &str| KeySource::PathParameter(name.into());
    Description {
        settings: Some(SettingsDescription {
            schema: r#"{"type":"object","properties":{"patience":{"type":"integer","minimum":1}}}"#
                .into(),
            default: r#"{"patience":3}"#.into(),
        }),
        metadata: vec!["x-tenant".into()],
        claims: vec!["team".into()],
        has_open_refusals: false,
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
                CommandKind::Create(Some("/t/{id}".into())),
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
                CommandKind::Create(None),
                KeySource::Body("/id".into()),
            ),
        ],
        subscriptions: vec![
            subscription("asked", "in", true),
            subscription("withdrawn", "in", false),
            subscription("asked", "in-too", true),
        ],
        publications: vec![publication("answered"), publication("moved")],
        timers: vec![timer("remind"), timer("escalate")],
        listings: Vec::new(),
    }
}
