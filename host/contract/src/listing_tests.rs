//! What is wrong with listings, as a table; which values a filter's schema is for, and how they are read.

#![allow(
    clippy::indexing_slicing,
    reason = "the fixture has what the tests change"
)]

use super::*;
use crate::description::{Command, Endpoint, StateDescription, check};

/// A participant with one listing.
fn sound() -> Description {
    let command = |name: &str, path: &str, kind, key| Command {
        name: name.into(),
        summary: String::new(),
        method: Method::Put,
        path: path.into(),
        kind,
        key,
        request: None,
        reply: "{}".into(),
        refusals: Vec::new(),
    };
    let filter = |parameter: &str, kind: &str| Filter {
        parameter: parameter.into(),
        pointer: format!("/{parameter}"),
        schema: format!(r#"{{"type":"{kind}"}}"#),
    };
    let id = || KeySource::PathParameter("id".into());
    Description {
        name: "desk".into(),
        version: "1.0.0".into(),
        summary: String::new(),
        state: StateDescription {
            version: 1,
            oldest_readable: 1,
            schema: "{}".into(),
        },
        endpoint: Endpoint {
            base_path: String::new(),
            port: 0,
        },
        commands: vec![
            Command {
                method: Method::Get,
                ..command("get", "/t/{id}", CommandKind::Read, id())
            },
            command("shift", "/t/{id}", CommandKind::Change, id()),
            command("in-room", "/{room}/{id}", CommandKind::Read, id()),
        ],
        subscriptions: Vec::new(),
        publications: Vec::new(),
        timers: Vec::new(),
        listings: vec![Listing {
            name: "list".into(),
            summary: String::new(),
            path: "/t".into(),
            item: "get".into(),
            filters: vec![filter("owner", "string"), filter("open", "boolean")],
        }],
    }
}

type Break = fn(&mut Listing);

#[test]
fn each_mistake_in_a_listing_is_said() {
    assert_eq!(check(&sound()), []);
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
        let problems = check(&description);
        let said = problems
            .iter()
            .any(|problem| problem.place == *place && problem.reason.contains(words));
        assert!(
            said,
            "row {number}: `{place}: {words}` is not in {problems:#?}"
        );
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
        let problems: Vec<_> = check(&description)
            .iter()
            .map(ToString::to_string)
            .collect();
        let expected = format!("listing {name}: GET /t is served otherwise too");
        assert_eq!(problems, [expected]);
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
    assert_eq!(check(&most), []);
    let mut over = most.clone();
    over.listings.push(listing);
    let problems = check(&over);
    assert_eq!(problems.len(), 1, "{problems:#?}");
    assert_eq!(problems[0].reason, "are 17, at most 16 are possible");
    let mut more = most.listings[0].filters[0].clone();
    more.parameter = "more".into();
    most.listings[0].filters.push(more);
    let problems = check(&most);
    assert_eq!(problems.len(), 1, "{problems:#?}");
    assert_eq!(problems[0].reason, "has 9 filters, at most 8 are possible");
}

#[test]
fn a_schema_says_what_kind_of_value_it_is_for() {
    for (schema, kind) in [
        (r#"{"type":"string"}"#, FilterType::Text),
        (
            r#"{"type":["integer","null"],"format":"int64"}"#,
            FilterType::Integer,
        ),
        (r#"{"type":"boolean"}"#, FilterType::Boolean),
        (r#"{"enum":["A","B",null]}"#, FilterType::Text),
        (r#"{"enum":[1,2]}"#, FilterType::Integer),
        (r#"{"const":true}"#, FilterType::Boolean),
        (
            r#"{"oneOf":[{"const":"A","description":"a"},{"type":"string","enum":["B"]}]}"#,
            FilterType::Text,
        ),
        (
            r#"{"anyOf":[{"type":"integer"},{"type":"null"}]}"#,
            FilterType::Integer,
        ),
    ] {
        assert_eq!(FilterType::of(schema), Ok(kind), "{schema}");
    }
    for schema in [
        "true",
        "{}",
        r#"{"type":"number"}"#,
        r#"{"type":"null"}"#,
        r#"{"type":["string","integer"]}"#,
        r#"{"enum":["A",1]}"#,
        r#"{"enum":[1.5]}"#,
        r#"{"oneOf":[{"const":"A"},{}]}"#,
        r#"{"minimum":1}"#,
    ] {
        let refused = FilterType::of(schema).unwrap_err();
        assert!(refused.contains("schema must say"), "{schema}: {refused}");
    }
}

#[test]
fn values_are_read_by_their_type_and_integers_to_the_last_digit() {
    let text = |text: &str| Ok(FilterValue::Text(text.into()));
    assert_eq!(FilterType::Text.read(""), text(""));
    assert_eq!(FilterType::Text.read("true"), text("true"));
    assert_eq!(
        FilterType::Boolean.read("true"),
        Ok(FilterValue::Boolean(true))
    );
    for wrong in ["", "TRUE", "1"] {
        FilterType::Boolean.read(wrong).unwrap_err();
    }
    for number in [i64::MIN, -1, 0, 9_007_199_254_740_993, i64::MAX] {
        let read = FilterType::Integer.read(&number.to_string());
        assert_eq!(read, Ok(FilterValue::Integer(number)));
    }
    for wrong in [
        "",
        " 1",
        "1.0",
        "1e3",
        "0x1",
        "9223372036854775808",
        "1'--",
        "01",
        "+1",
        "-0",
        "-01",
    ] {
        FilterType::Integer.read(wrong).unwrap_err();
    }
}

#[test]
fn values_that_a_schema_lists_can_be_told() {
    let told = |schema: &str| choices(schema).map(|choices| choices.join(" "));
    let listed =
        r#"{"oneOf":[{"const":"A","description":"a"},{"type":"string","enum":["B","C"]}]}"#;
    assert_eq!(told(listed).as_deref(), Some("A B C"));
    assert_eq!(told(r#"{"enum":[1,2]}"#).as_deref(), Some("1 2"));
    let open = r#"{"oneOf":[{"const":"A"},{"type":"string"}]}"#;
    for schema in [open, r#"{"type":"string"}"#, "true", "{"] {
        assert_eq!(told(schema), None, "{schema}");
    }
}
