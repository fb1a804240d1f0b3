//! A table of problems: each row breaks a valid description in one place, and lists the place and
//! the words that must be reported.

#![allow(
    clippy::indexing_slicing,
    reason = "the fixture has what the tests change"
)]

use super::*;
use crate::description::{
    CommandKind, KeySource, Method, OlderVersion, RefusalDescription, RefusalKind, StateDescription,
};
use crate::fixture::{found, sound};

type Break = fn(&mut Description);

fn refusal(code: &str) -> RefusalDescription {
    RefusalDescription {
        kind: RefusalKind::Conflict,
        code: code.into(),
        summary: "It can't be.".into(),
    }
}

/// Removes the location from the first command.
fn unread(description: &mut Description) {
    description.commands[0].kind = CommandKind::Create(None);
}

/// Checks rows of: the change, the reported place, the reported words.
fn each(table: &[(Break, &str, &str)]) {
    for (number, (change, place, words)) in table.iter().enumerate() {
        let mut description = sound();
        change(&mut description);
        let found = found(&description, number, place, words);
        assert_eq!(found.len(), 1, "row {number} breaks one thing: {found:#?}");
    }
}

#[test]
fn a_sound_description_has_no_problems() {
    assert_eq!(problems(&sound()), []);
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
    assert_eq!(problems(&smallest), []);
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
            |d| d.version.clear(),
            "version",
            "is empty: give the version of the rules",
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
        problems(&Description {
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
    let reasons: Vec<_> = problems(&description)
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
            |d| d.commands[0].summary.clear(),
            "command open",
            "has no summary",
        ),
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
            |d| {
                unread(d);
                d.commands[1].path = "/problems/{id}".into();
            },
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
            |d| {
                unread(d);
                d.commands[1].key = KeySource::Generated;
            },
            "command get",
            "only a command that creates can have a generated key",
        ),
        (
            |d| d.commands[2].key = KeySource::PathParameter("ticket".into()),
            "command close",
            "key parameter `ticket` is not in the path `/t/{id}`",
        ),
        (
            |d| d.commands[2].key = KeySource::PathParameter(String::new()),
            "command close",
            "has no key: take one parameter of the path `/t/{id}`",
        ),
        (
            |d| d.commands[3].path = "/{from}{to}/{id}".into(),
            "command move",
            "path `/{from}{to}/{id}`: a segment has at most one parameter, with a name",
        ),
        (
            |d| d.commands[3].path = "/{}/{id}".into(),
            "command move",
            "with a name",
        ),
        (
            |d| d.commands[3].path = "/a}/{id}".into(),
            "command move",
            "at most one parameter",
        ),
        (
            |d| d.commands[3].path = "/{id}/to/{id}".into(),
            "command move",
            "has two parameters that are called `id`",
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
            |d| d.commands[0].kind = CommandKind::Create(Some("t/{id}".into())),
            "command open",
            "location `t/{id}` must be a path with one parameter, the key",
        ),
        (
            |d| d.commands[0].kind = CommandKind::Create(Some("/t".into())),
            "command open",
            "location `/t` must be",
        ),
        (
            |d| d.commands[0].kind = CommandKind::Create(Some("/{a}/{b}".into())),
            "command open",
            "location `/{a}/{b}` must",
        ),
        (
            |d| d.commands[0].kind = CommandKind::Create(Some("/tickets/{id}".into())),
            "command open",
            "location `/tickets/{id}`: no command is a GET there that reads",
        ),
        (
            |d| d.commands[0].refusals = vec![refusal("full"), refusal("full")],
            "command open",
            "lists the refusal `full` twice",
        ),
        (
            |d| d.commands[0].refusals = vec![refusal("")],
            "command open",
            "has a refusal without a code",
        ),
        (
            |d| {
                d.commands[0].refusals = vec![refusal("full")];
                d.commands[2].refusals = vec![RefusalDescription {
                    summary: "Another sentence.".into(),
                    ..refusal("full")
                }];
            },
            "command close",
            "refusal `full` has another kind or summary than in command open: declare it once",
        ),
        (
            |d| {
                unread(d);
                d.commands[1].kind = CommandKind::Change;
            },
            "command get",
            "is a GET that is not a read",
        ),
    ]);
}

#[test]
fn rules_of_contract_0_1_may_describe_a_refusal_in_several_ways() {
    let mut description = sound();
    description.commands[0].refusals = vec![refusal("full")];
    description.commands[2].refusals = vec![RefusalDescription {
        summary: "Another sentence.".into(),
        ..refusal("full")
    }];
    assert_eq!(problems(&description).len(), 1);
    description.has_open_refusals = true;
    assert_eq!(problems(&description), []);
}

#[test]
fn a_read_may_be_asked_with_any_method_and_a_create_may_have_no_location() {
    let mut description = sound();
    description.commands[1].method = Method::Put;
    description.commands[0].kind = CommandKind::Create(None);
    assert_eq!(problems(&description), []);
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
        (
            |d| {
                d.commands[2].path = "/t/{ticket}".into();
                d.commands[2].key = KeySource::PathParameter("ticket".into());
            },
            "command close",
            "path `/t/{ticket}` is the same as `/t/{id}`: call its parameters alike",
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

/// A schema of messages about tickets, with the number in `ticket`.
const OF_TICKET: &str = r#"{"type":"object","properties":{
    "ticket":{"type":"object","properties":{"id":{"type":"integer"},"tags":{"type":"array"}}},
    "at":{"type":"string"}
}}"#;

#[test]
fn a_key_is_where_the_schema_has_a_string_or_a_whole_number() {
    each(&[
        (
            |d| {
                d.subscriptions[0].schema = OF_TICKET.into();
                d.subscriptions[0].key = "/tikcet/id".into();
            },
            "subscription asked",
            "key `/tikcet/id` leads nowhere: the schema names no `tikcet` there, but `ticket`, `at`",
        ),
        (
            |d| {
                d.subscriptions[0].schema = OF_TICKET.into();
                d.subscriptions[0].key = "/ticket".into();
            },
            "subscription asked",
            "key `/ticket` is an object by the schema, and must be a string or a whole number",
        ),
        (
            |d| {
                d.commands[4].request = Some(OF_TICKET.into());
                d.commands[4].key = KeySource::Body("/ticket/number".into());
            },
            "command note",
            "key `/ticket/number` leads nowhere: the schema names no `number` there, but `id`, `tags`",
        ),
        (
            |d| {
                d.commands[5].request = Some(OF_TICKET.into());
                d.commands[5].key = KeySource::Body("/ticket/tags".into());
            },
            "command adopt",
            "key `/ticket/tags` is an array by the schema",
        ),
    ]);
    let mut description = sound();
    for (place, key) in ["/ticket/id", "/at", "/ticket/tags/0"]
        .into_iter()
        .enumerate()
    {
        description.subscriptions[place].schema = OF_TICKET.into();
        description.subscriptions[place].key = key.into();
    }
    assert_eq!(problems(&description), []);
}

#[test]
fn topics_of_their_own_may_have_groups_of_their_own() {
    let mut description = sound();
    description.subscriptions[2].group = "other".into();
    assert_eq!(problems(&description), []);
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
            |d| d.commands[0].request = Some(r##"{"allOf":[{"$ref":"#"}]}"##.into()),
            "command open request",
            "schema can't be checked by: ",
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
    assert_eq!(problems(&description), []);
}

#[test]
fn all_problems_are_listed_at_once() {
    let mut description = sound();
    description.name = "No Name".into();
    description.commands[0].path = "t".into();
    description.subscriptions[0].key = "id".into();
    description.timers[0].schema = "?".into();
    let places: Vec<_> = problems(&description)
        .into_iter()
        .map(|problem| problem.place)
        .collect();
    assert_eq!(
        places,
        ["name", "command open", "subscription asked", "timer remind"]
    );
}

#[test]
fn versions_of_events() {
    fn older(version: u32, key: &str) -> OlderVersion {
        OlderVersion {
            version,
            key: key.into(),
            schema: r#"{"type":"object","properties":{"id":{"type":"integer"}}}"#.into(),
        }
    }
    each(&[
        (
            |d| d.publications[0].version = 0,
            "publication answered",
            "version 0: versions count from 1",
        ),
        (
            |d| d.subscriptions[0].version = 0,
            "subscription asked",
            "version 0: versions count from 1",
        ),
        (
            |d| d.subscriptions[0].older = vec![older(1, "/id")],
            "subscription asked",
            "older version 1 is not between 1 and 1, the present one",
        ),
        (
            |d| {
                d.subscriptions[0].version = 3;
                d.subscriptions[0].older = vec![older(1, "/id"), older(1, "/id")];
            },
            "subscription asked",
            "lists version 1 twice",
        ),
        (
            |d| {
                d.subscriptions[0].version = 2;
                d.subscriptions[0].older = vec![older(1, "/ticket")];
            },
            "subscription asked version 1",
            "key `/ticket`",
        ),
    ]);
}

#[test]
fn headers_claims_and_permissions() {
    each(&[
        (
            |d| d.metadata = vec!["X-Tenant".into()],
            "metadata",
            "`X-Tenant` is no name of a header: use lower-case letters",
        ),
        (
            |d| d.metadata = vec!["cookie".into()],
            "metadata",
            "`cookie` carries secrets",
        ),
        (
            |d| d.metadata = vec!["authorization".into()],
            "metadata",
            "`authorization` carries secrets",
        ),
        (
            |d| d.metadata = vec!["idempotency-key".into()],
            "metadata",
            "`idempotency-key` is for the host",
        ),
        (
            |d| d.metadata = vec!["a".into(), "a".into()],
            "metadata",
            "lists `a` twice",
        ),
        (
            |d| d.metadata = (0..17).map(|number| format!("h{number}")).collect(),
            "metadata",
            "lists 17 names, more than 16",
        ),
        (
            |d| d.claims = vec![String::new()],
            "claims",
            "the name of a claim has 0 bytes",
        ),
        (
            |d| d.claims = vec!["c".repeat(129)],
            "claims",
            "the name of a claim has 129 bytes: use 1 to 128",
        ),
        (
            |d| d.commands[0].requires = vec!["rooms close".into()],
            "command open requires",
            "permission `rooms close` has a space in it",
        ),
    ]);
}

#[test]
fn headers_with_secrets_and_those_for_the_host_can_not_be_asked_for() {
    let refused = |name: &str| {
        let mut description = sound();
        description.metadata = vec![name.to_owned()];
        let found = problems(&description).into_iter();
        found.map(|problem| problem.reason).collect::<String>()
    };
    for name in [
        "proxy-authorization",
        "set-cookie",
        "x-api-key",
        "apikey",
        "x-goog-api-key",
        "x-auth-token",
        "x-amz-security-token",
        "x-csrf-token",
        "x-xsrf-token",
        "x-forwarded-access-token",
        "x-amzn-oidc-data",
        "cf-access-jwt-assertion",
        "x-hub-secret",
    ] {
        let said = refused(name);
        assert!(said.contains("carries secrets"), "{name}: {said}");
    }
    for name in [
        "host",
        "connection",
        "content-length",
        "ce_id",
        "ce_dataversion",
        "traceparent",
        "sec-fetch-site",
        "access-control-request-method",
    ] {
        let said = refused(name);
        assert!(said.contains("is for the host"), "{name}: {said}");
    }
    for name in [
        "x-tenant",
        "x-forwarded-user",
        "user-agent",
        "accept-language",
        "ce_tenant",
        "x-page-token",
        "x-nosecret",
        "secretariat",
    ] {
        assert_eq!(refused(name), "", "{name}");
    }
}
