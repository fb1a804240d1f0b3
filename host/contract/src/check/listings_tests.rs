//! A table of problems of listings.

#![allow(
    clippy::indexing_slicing,
    reason = "the fixture has what the tests change"
)]

use super::*;
use crate::check::problems;
use crate::description::Command;
use crate::fixture;

/// A participant with one listing.
fn sound() -> Description {
    let command =
        |name: &str, path: &str, kind, key| fixture::command(name, Method::Put, path, kind, key);
    let filter = |parameter: &str, kind: &str| Filter {
        parameter: parameter.into(),
        pointer: format!("/{parameter}"),
        schema: format!(r#"{{"type":"{kind}"}}"#),
    };
    let id = || KeySource::PathParameter("id".into());
    Description {
        commands: vec![
            Command {
                method: Method::Get,
                ..command("get", "/t/{id}", CommandKind::Read, id())
            },
            command("shift", "/t/{id}", CommandKind::Change, id()),
            command("in-room", "/{room}/{id}", CommandKind::Read, id()),
        ],
        listings: vec![Listing {
            name: "list".into(),
            summary: "Does something.".into(),
            path: "/t".into(),
            item: "get".into(),
            filters: vec![filter("owner", "string"), filter("open", "boolean")],
        }],
        ..fixture::bare()
    }
}

type Break = fn(&mut Listing);

#[test]
fn each_mistake_in_a_listing_is_said() {
    assert_eq!(problems(&sound()), []);
    let item = "must be a read without a body, whose path has one parameter, the key";
    let pointer = "is not a JSON pointer such as `/order/id`";
    let parameter = "must be 1 to 64 letters, digits,";
    let owner = "listing list filter owner";
    let rows: &[(Break, &str, &str)] = &[
        (|l| l.name.clear(), "listing ", "has no name"),
        (
            |l| l.name = "get".into(),
            "listing get",
            "has this name too",
        ),
        (|l| l.path.clear(), "listing list", "must look like `/a/b`"),
        (|l| l.path = "t".into(), "listing list", "must look like"),
        (|l| l.path = "/t/".into(), "listing list", "must look like"),
        (|l| l.path = "/{a}".into(), "listing list", "must look like"),
        (
            |l| l.path = "/t/{id}".into(),
            "listing list",
            "must look like",
        ),
        (
            |l| l.item = "list".into(),
            "listing list",
            "there is no command `list`",
        ),
        (|l| l.item = "shift".into(), "listing list", item),
        (|l| l.item = "in-room".into(), "listing list", item),
        (|l| l.filters[0].pointer.clear(), owner, pointer),
        (|l| l.filters[0].pointer = "owner".into(), owner, pointer),
        (|l| l.filters[0].pointer = "/a~2b".into(), owner, pointer),
        (|l| l.filters[0].pointer = "/a~".into(), owner, pointer),
        (|l| l.filters[0].pointer = "/a\0b".into(), owner, pointer),
        (
            |l| l.filters[0].pointer = format!("/{}", "x".repeat(256)),
            owner,
            pointer,
        ),
        (
            |l| l.filters[0].schema = "{".into(),
            owner,
            "schema is not JSON",
        ),
        (
            |l| l.filters[0].schema = "{}".into(),
            owner,
            "schema must say",
        ),
        (|l| l.summary.clear(), "listing list", "has no summary"),
        (
            |l| l.filters[0].parameter = "limit".into(),
            "listing list filter limit",
            "already",
        ),
        (
            |l| l.filters[0].parameter = "cursor".into(),
            "listing list filter cursor",
            "already",
        ),
        (
            |l| l.filters[0].parameter = "open".into(),
            "listing list filter open",
            "already",
        ),
        (
            |l| l.filters[0].parameter = "a b".into(),
            "listing list filter a b",
            parameter,
        ),
        (
            |l| l.filters[0].parameter = "a&b".into(),
            "listing list filter a&b",
            parameter,
        ),
    ];
    for (number, (change, place, words)) in rows.iter().enumerate() {
        let mut description = sound();
        change(&mut description.listings[0]);
        fixture::found(&description, number, place, words);
    }
}

#[test]
fn a_filter_compares_what_the_state_has_at_its_pointer() {
    let mut description = sound();
    description.state.schema =
        r#"{"type":"object","properties":{"owner":{"type":["string","null"]},"open":{"type":"boolean"}}}"#.into();
    assert_eq!(problems(&description), []);
    let rows: [(Break, &str); 2] = [
        (
            |l| l.filters[0].pointer = "/ownr".into(),
            "`/ownr` into the state leads nowhere: the schema names no `ownr` there, but `owner`, `open`",
        ),
        (
            |l| l.filters[0].pointer = "/open".into(),
            "`/open` is a boolean in the state, and the filter's schema says a string",
        ),
    ];
    for (change, reason) in rows {
        let mut description = description.clone();
        change(&mut description.listings[0]);
        let said: Vec<_> = problems(&description)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(said, [format!("listing list filter owner: {reason}")]);
    }
}

#[test]
fn a_path_is_one_listing_and_no_command_that_gets() {
    let mut twice = sound();
    let mut again = twice.listings[0].clone();
    again.name = "again".into();
    twice.listings.push(again);
    let mut got = sound();
    got.commands[1].method = Method::Get;
    got.commands[1].kind = CommandKind::Read;
    got.commands[1].path = "/t".into();
    got.commands[1].key = KeySource::Body("/id".into());
    got.commands[1].request = Some("{}".into());
    for (description, name) in [(twice, "again"), (got, "list")] {
        let said: Vec<_> = problems(&description)
            .iter()
            .map(ToString::to_string)
            .collect();
        let expected = format!("listing {name}: GET /t is served otherwise too");
        assert_eq!(said, [expected]);
    }
}

#[test]
fn there_is_a_bound_on_listings_and_on_filters() {
    let mut most = sound();
    let listing = most.listings.remove(0);
    for number in 0..LISTINGS {
        let mut more = listing.clone();
        more.name = format!("list-{number}");
        more.path = format!("/t/{number}");
        let filter = more.filters.remove(0);
        more.filters = (0..FILTERS)
            .map(|number| Filter {
                parameter: format!("f{number}"),
                ..filter.clone()
            })
            .collect();
        most.listings.push(more);
    }
    assert_eq!(problems(&most), []);
    let mut over = most.clone();
    over.listings.push(listing);
    let found = problems(&over);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(found[0].reason, "are 17, at most 16 are possible");
    let mut more = most.listings[0].filters[0].clone();
    more.parameter = "more".into();
    most.listings[0].filters.push(more);
    let found = problems(&most);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(found[0].reason, "has 9 filters, at most 8 are possible");
}
