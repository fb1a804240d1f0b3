//! A table of lacks: each row changes the candidate in one place and lists the expected sentences.

#![allow(
    clippy::indexing_slicing,
    reason = "the fixture has what the tests change"
)]

use super::*;
use crate::check::problems;
use crate::description::{Endpoint, Filter, OlderVersion, StateDescription};
use crate::fixture::{self, publication, subscription, timer};

/// A description with some of everything.
fn desk() -> Description {
    let command = |name: &str, method, path: &str, kind, key| Command {
        request: (!matches!(kind, CommandKind::Read)).then(|| "{}".into()),
        ..fixture::command(name, method, path, kind, key)
    };
    let by = |name: &str| KeySource::PathParameter(name.into());
    Description {
        state: StateDescription {
            version: 3,
            oldest_readable: 2,
            schema: "{}".into(),
        },
        endpoint: Endpoint {
            base_path: "/desk".into(),
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
            command("get", Method::Get, "/t/{id}", CommandKind::Read, by("id")),
            command(
                "move",
                Method::Put,
                "/t/{from}/to/{id}",
                CommandKind::Change,
                by("id"),
            ),
            command(
                "note",
                Method::Patch,
                "/notes",
                CommandKind::Change,
                KeySource::Body("/ticket".into()),
            ),
        ],
        subscriptions: vec![
            subscription("asked", "in", true),
            subscription("withdrawn", "in", false),
            subscription("asked", "in-too", false),
        ],
        publications: vec![publication("answered")],
        timers: vec![timer("remind")],
        listings: vec![Listing {
            name: "list".into(),
            summary: "Does something.".into(),
            path: "/t".into(),
            item: "get".into(),
            filters: vec![
                Filter {
                    parameter: "owner".into(),
                    pointer: "/owner".into(),
                    schema: r#"{"type":"string"}"#.into(),
                },
                Filter {
                    parameter: "open".into(),
                    pointer: "/open".into(),
                    schema: r#"{"type":"boolean"}"#.into(),
                },
            ],
        }],
        ..fixture::bare()
    }
}

/// Removes the location from the first command.
fn unread(description: &mut Description) {
    description.commands[0].kind = CommandKind::Create(None);
}

type Change = fn(&mut Description);

fn changed(change: Change) -> Description {
    let mut candidate = desk();
    change(&mut candidate);
    assert_eq!(
        problems(&candidate),
        [],
        "only sound descriptions are compared"
    );
    candidate
}

fn said(change: Change) -> Vec<String> {
    lacks(&desk(), &changed(change))
        .iter()
        .map(Lack::to_string)
        .collect()
}

/// Rows of: the candidate's difference, and all expected sentences.
fn each(table: &[(Change, &[&str])]) {
    for (number, (change, expected)) in table.iter().enumerate() {
        assert_eq!(said(*change), *expected, "row {number}");
    }
}

#[test]
fn a_build_lacks_nothing_of_itself() {
    assert_eq!(lacks(&desk(), &desk()), []);
}

#[test]
fn another_participant_is_said_once_and_nothing_else() {
    each(&[(
        |d| {
            d.name = "till".into();
            d.commands.clear();
            d.listings.clear();
            d.timers.clear();
        },
        &["it describes another participant: `name` is `till`, not `desk`"],
    )]);
}

#[test]
fn what_is_added_or_only_described_otherwise_is_no_lack() {
    let none: &[&str] = &[];
    each(&[
        (
            |d| {
                let mut more = d.commands[3].clone();
                more.name = "rate".into();
                more.path = "/ratings".into();
                d.commands.push(more);
                let mut more = d.subscriptions[1].clone();
                more.event_type = "rated".into();
                d.subscriptions.push(more);
                d.publications.push(publication("closed"));
                d.timers.push(timer("escalate"));
            },
            none,
        ),
        (|d| d.publications.clear(), none),
        (|d| d.version = "9.0.0".into(), none),
        (|d| d.endpoint.base_path = "/other".into(), none),
        (|d| d.commands[3].reply = "true".into(), none),
        (|d| d.subscriptions[0].schema = "true".into(), none),
        (|d| d.timers[0].schema = "true".into(), none),
        (|d| d.commands.reverse(), none),
    ]);
}

#[test]
fn subscriptions() {
    each(&[
        (
            |d| drop(d.subscriptions.remove(1)),
            &[
                "subscription `withdrawn` of topic `in` is missing: group `desk` would pass these events over",
            ],
        ),
        (
            // The same event from another topic is a different one.
            |d| drop(d.subscriptions.remove(2)),
            &[
                "subscription `asked` of topic `in-too` is missing: group `desk` would pass these events over",
            ],
        ),
        (
            // This covers the lost untyped records too.
            |d| drop(d.subscriptions.remove(0)),
            &[
                "subscription `asked` of topic `in` is missing: group `desk` would pass these events over",
            ],
        ),
        (
            |d| d.subscriptions[1].key = "/id".into(),
            &[
                "subscription `withdrawn` of topic `in`: `key` is `/id`, not `/ticket/id`, and events would go to other \
               aggregates",
            ],
        ),
        (
            |d| d.subscriptions[2].group = "desk-2".into(),
            &[
                "subscription `asked` of topic `in-too`: `group` is `desk-2`, not `desk`, and would not go on where that \
               one stands",
            ],
        ),
        (
            |d| d.subscriptions[0].untyped = false,
            &[
                "subscription `asked` of topic `in`: it is not `untyped` any more, and records that name no event type \
                 would become dead letters, or other events",
            ],
        ),
        (
            // Taken, but for another event.
            |d| {
                d.subscriptions[0].untyped = false;
                d.subscriptions[1].untyped = true;
            },
            &[
                "subscription `asked` of topic `in`: it is not `untyped` any more, and records that name no event type \
                 would become dead letters, or other events",
            ],
        ),
        (
            // From another topic.
            |d| {
                d.subscriptions[0].untyped = false;
                d.subscriptions[2].untyped = true;
            },
            &[
                "subscription `asked` of topic `in`: it is not `untyped` any more, and records that name no event type \
                 would become dead letters, or other events",
            ],
        ),
        (
            |d| {
                d.subscriptions[2].key = "/id".into();
                d.subscriptions[2].group = "desk-2".into();
            },
            &[
                "subscription `asked` of topic `in-too`: `key` is `/id`, not `/ticket/id`, and events would go to \
                 other aggregates",
                "subscription `asked` of topic `in-too`: `group` is `desk-2`, not `desk`, and would not go on where \
                 that one stands",
            ],
        ),
    ]);
}

#[test]
fn a_route_under_another_name_is_the_same_route() {
    let renamed = changed(|d| {
        d.commands[3].name = "jot".into();
    });
    assert_eq!(lacks(&desk(), &renamed), []);
    assert_eq!(renamed_routes(&desk(), &renamed), [("note", "jot")]);
    assert_eq!(renamed_routes(&desk(), &desk()), []);
    let renamed = changed(|d| d.listings[0].name = "tickets".into());
    assert_eq!(lacks(&desk(), &renamed), []);
    assert_eq!(renamed_routes(&desk(), &renamed), [("list", "tickets")]);
}

#[test]
fn listings() {
    let missing: &[&str] = &["listing `list`, or another one at /t, is missing"];
    let narrower: &[&str] =
        &["listing at /t: it can't be narrowed down by `owner` any more, or not by such values"];
    each(&[
        (|d| d.listings.clear(), missing),
        (|d| d.listings[0].path = "/tickets".into(), missing),
        (|d| drop(d.listings[0].filters.remove(0)), narrower),
        (
            |d| d.listings[0].filters[0].parameter = "by".into(),
            narrower,
        ),
        (
            |d| d.listings[0].filters[0].schema = r#"{"type":"integer"}"#.into(),
            narrower,
        ),
        // The pointer of a value, its choices and the order of filters are up to the candidate.
        (
            |d| {
                d.listings[0].filters.reverse();
                d.listings[0].filters[0].pointer = "/is/open".into();
                d.listings[0].filters[1].schema = r#"{"enum":["Ann","Bob"]}"#.into();
            },
            &[],
        ),
        (
            |d| {
                let mut more = d.listings[0].clone();
                more.name = "all".into();
                more.path = "/all".into();
                d.listings.push(more);
            },
            &[],
        ),
    ]);
}

#[test]
fn routes() {
    each(&[
        (
            |d| drop(d.commands.remove(3)),
            &["command `note`, or another one at PATCH /notes, is missing"],
        ),
        (
            |d| d.commands[3].path = "/remarks".into(),
            &["command `note`, or another one at PATCH /notes, is missing"],
        ),
        (
            |d| d.commands[3].method = Method::Post,
            &["command `note`, or another one at PATCH /notes, is missing"],
        ),
        (
            |d| d.commands[0].key = KeySource::Body("/id".into()),
            &["command at POST /t: `key` is body `/id`, not generated as that of `open` at /t"],
        ),
        (
            |d| d.commands[3].key = KeySource::Body("/id".into()),
            &[
                "command at PATCH /notes: `key` is body `/id`, not body `/ticket` as that of `note` at /notes",
            ],
        ),
        (
            |d| d.commands[2].key = KeySource::PathParameter("from".into()),
            &[
                "command at PUT /t/{from}/to/{id}: `key` is path-parameter `from`, not path-parameter `id` as that of \
               `move` at /t/{from}/to/{id}",
            ],
        ),
        (
            |d| d.commands[3].kind = CommandKind::Read,
            &["command at PATCH /notes: `kind` is read, not change as that of `note`"],
        ),
        (
            |d| {
                d.commands[0].kind = CommandKind::Change;
                d.commands[0].key = KeySource::Body("/id".into());
            },
            &[
                "command at POST /t: `key` is body `/id`, not generated as that of `open` at /t",
                "command at POST /t: `kind` is change, not create as that of `open`",
            ],
        ),
    ]);
}

#[test]
fn a_route_is_a_method_and_the_urls_that_it_matches_whatever_names_are_in_it() {
    each(&[
        (|d| d.commands[3].name = "remark".into(), &[]),
        (
            |d| {
                d.commands[1].path = "/t/{ticket}".into();
                d.commands[1].key = KeySource::PathParameter("ticket".into());
            },
            &[],
        ),
        (
            |d| d.commands[0].kind = CommandKind::Create(Some("/t/{ticket}".into())),
            &[],
        ),
        (
            // The names are swapped, so the key is another segment although its name is the same.
            |d| d.commands[2].path = "/t/{id}/to/{from}".into(),
            &[
                "command at PUT /t/{id}/to/{from}: `key` is path-parameter `id`, not path-parameter `id` as that of \
               `move` at /t/{from}/to/{id}",
            ],
        ),
        (
            // The names are swapped, and the key with them.
            |d| {
                d.commands[2].path = "/t/{id}/to/{from}".into();
                d.commands[2].key = KeySource::PathParameter("from".into());
            },
            &[],
        ),
        (
            // All segments that follow are more than one.
            |d| {
                unread(d);
                d.commands[1].path = "/t/{*id}".into();
                d.commands[1].key = KeySource::PathParameter("*id".into());
            },
            &["command `get`, or another one at GET /t/{id}, is missing"],
        ),
        (
            |d| {
                unread(d);
                d.commands[1].path = "/t/{id}.json".into();
            },
            &["command `get`, or another one at GET /t/{id}, is missing"],
        ),
    ]);
}

#[test]
fn timers_and_state() {
    each(&[
        (
            |d| d.timers.clear(),
            &["timer `remind` is missing: those that are set could not fall due"],
        ),
        (|d| d.state.version = 4, &[]),
        (|d| d.state.oldest_readable = 3, &[]),
        (
            |d| {
                d.state.version = 5;
                d.state.oldest_readable = 4;
            },
            &[
                "state: `oldest-readable` is 4 (`version` 5), and the active build writes 3: there is no migration from \
               it",
            ],
        ),
        (
            |d| d.state.version = 2,
            &[
                "state: `version` is 2 (`oldest-readable` 2), older than 3, which the active build writes",
            ],
        ),
    ]);
}

#[test]
fn lacks_carry_the_names_under_which_use_is_counted() {
    let candidate = changed(|d| {
        d.subscriptions.remove(1);
        d.commands[3].name = "remark".into();
        d.commands[3].kind = CommandKind::Read;
        d.timers.clear();
    });
    assert_eq!(
        lacks(&desk(), &candidate),
        [
            Lack::Subscription {
                event_type: "withdrawn".into(),
                topic: "in".into(),
                group: "desk".into(),
                change: SubscriptionChange::Missing,
            },
            Lack::Route {
                command: "note".into(),
                method: Method::Patch,
                path: "/notes".into(),
                change: RouteChange::Kind {
                    active: CommandKind::Change,
                    candidate: CommandKind::Read,
                },
            },
            Lack::Timer {
                name: "remind".into()
            },
        ]
    );
}

#[test]
fn a_command_is_the_same_if_all_of_it_is() {
    let same = |change, name| is_same_command(&desk(), &changed(change), name);
    assert!(same(|_| {}, "note"));
    assert!(same(|d| d.commands.reverse(), "note"));
    assert!(
        same(|d| d.commands[0].request = None, "note"),
        "another one"
    );
    assert!(!same(|d| d.commands[0].request = None, "open"));
    assert!(!same(|d| d.commands[3].path = "/remarks".into(), "note"));
    assert!(!same(|d| d.commands[3].name = "remark".into(), "note"));
    assert!(!same(|d| drop(d.commands.remove(3)), "note"));
}

#[test]
fn a_subscription_is_the_same_if_a_record_is_admitted_alike() {
    let same = |change, topic, event_type| {
        is_same_subscription(&desk(), &changed(change), topic, event_type)
    };
    assert!(same(|_| {}, "in", Some("withdrawn")));
    assert!(same(|_| {}, "in", None));
    assert!(
        same(|_| {}, "in", Some("unheard-of")),
        "passed over by both"
    );
    assert!(same(|_| {}, "in-too", None), "a dead letter by both");
    assert!(same(|d| d.subscriptions.reverse(), "in", Some("asked")));
    assert!(
        same(|d| d.subscriptions[0].schema = "true".into(), "in", None),
        "for documents only"
    );
    assert!(same(
        |d| d.subscriptions[1].key = "/id".into(),
        "in",
        Some("asked")
    ));
    assert!(!same(
        |d| d.subscriptions[1].key = "/id".into(),
        "in",
        Some("withdrawn")
    ));
    assert!(!same(
        |d| d.subscriptions[2].group = "desk-2".into(),
        "in-too",
        Some("asked")
    ));
    assert!(!same(
        |d| drop(d.subscriptions.remove(2)),
        "in-too",
        Some("asked")
    ));
    assert!(
        !same(
            |d| d.subscriptions[1].event_type = "rated".into(),
            "in",
            Some("rated")
        ),
        "it was passed over"
    );
    let untyped: Change = |d| {
        d.subscriptions[0].untyped = false;
        d.subscriptions[1].untyped = true;
    };
    assert!(
        !same(untyped, "in", None),
        "untyped records are another event"
    );
    assert!(!same(untyped, "in", Some("")), "an empty type is none");
    assert!(same(untyped, "in", Some("asked")));
}

fn older(version: u32, key: &str) -> OlderVersion {
    OlderVersion {
        version,
        key: key.into(),
        schema: "{}".into(),
    }
}

#[test]
fn a_version_of_an_event_that_was_read_must_be_read() {
    let second: Change = |d| {
        d.subscriptions[0].version = 2;
        d.subscriptions[0].older = vec![older(1, "/ticket/id")];
    };
    assert_eq!(said(second), [""; 0]);
    let only_second: Change = |d| d.subscriptions[0].version = 2;
    assert_eq!(
        said(only_second),
        [
            "subscription `asked` of topic `in`: version 1 of the event is not read any more (only 2): its records would become dead letters"
        ]
    );
    let elsewhere: Change = |d| {
        d.subscriptions[0].version = 2;
        d.subscriptions[0].older = vec![older(1, "/id")];
    };
    assert_eq!(
        said(elsewhere),
        [
            "subscription `asked` of topic `in`: `key` is `/id`, not `/ticket/id`, and events would go to other aggregates"
        ]
    );
}

#[test]
fn a_record_is_admitted_otherwise_where_other_versions_are_read() {
    let is_same =
        |change: Change| is_same_subscription(&desk(), &changed(change), "in", Some("asked"));
    assert!(is_same(|d| d.subscriptions[0].schema = "true".into()));
    assert!(!is_same(|d| {
        d.subscriptions[0].version = 2;
        d.subscriptions[0].older = vec![older(1, "/ticket/id")];
    }));
}
