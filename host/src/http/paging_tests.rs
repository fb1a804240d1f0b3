//! Queries of lists, and the errors of bad ones.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use saga_contract::description::{CommandKind, KeySource, Method};
use saga_testkit::description::{command, description, filter, listing};

use super::*;

fn described() -> Description {
    let id = KeySource::PathParameter("id".into());
    let filters = vec![
        filter("n", "/n", r#"{"type":"integer","minimum":1}"#),
        filter("is", "/is", r#"{"type":"boolean"}"#),
        filter("by", "/by", r#"{"type":"string","maxLength":5}"#),
        filter("kind", "/kind", r#"{"type":"string","enum":["A","B"]}"#),
    ];
    Description {
        commands: vec![command(
            "get",
            Method::Get,
            "/t/{id}",
            CommandKind::Read,
            id,
        )],
        listings: vec![listing("/t", "get", filters)],
        settings: None,
        ..description("desk")
    }
}

fn route() -> ListingRoute {
    let described = described();
    let listing = described.listing("list").unwrap();
    ListingRoute::new(listing, &described).unwrap()
}

fn read(query: &str) -> Result<PageQuery, Problem> {
    route().read(query, 100, &TurnLimits::default())
}

#[test]
fn a_query_is_read_in_any_order_and_the_filters_come_in_that_of_the_listing() {
    let asked = read("limit=7&by=A+%C3%BC%26&n=12&&is=true").unwrap();
    let expected = [
        ("/n".to_owned(), FilterValue::Integer(12)),
        ("/is".to_owned(), FilterValue::Boolean(true)),
        ("/by".to_owned(), FilterValue::Text("A ü&".into())),
    ];
    assert_eq!(asked.filters, expected);
    assert_eq!((asked.limit, asked.after), (7, None));
    let none = read("").unwrap();
    assert_eq!((none.filters.len(), none.limit), (0, 50));
    let few = route().read("", 20, &TurnLimits::default()).unwrap();
    assert_eq!(few.limit, 20, "no more than is allowed");
}

#[test]
fn a_bad_parameter_is_named() {
    for (query, said) in [
        ("limit=0", "`limit` is not a number from 1 to 100"),
        ("limit=101", "`limit` is not a number from 1 to 100"),
        ("limit=", "`limit` is not a number from 1 to 100"),
        ("limit=1e1", "`limit` is not a number from 1 to 100"),
        ("limit=99999999999999999999", "`limit` is not a number"),
        (
            "other=1",
            "`other` is none of this list's: n, is, by, kind, limit, cursor",
        ),
        ("N=1", "`N` is none of this list's"),
        ("=1", "`` is none of this list's"),
        ("n=1&n=1", "`n` is given twice"),
        ("n=1&%6e=2", "`n` is given twice"),
        ("limit=1&limit=1", "`limit` is given twice"),
        ("n=x", "`n` is not a whole number of 64 bits"),
        ("n", "`n` is not a whole number of 64 bits"),
        ("n=1%27%20OR%201=1", "`n` is not a whole number of 64 bits"),
        ("n=0", "`n` is wrong: 0 is less than the minimum of 1"),
        ("is=yes", "`is` is neither true nor false"),
        ("by=123456", "`by` is wrong: "),
        ("kind=C", "`kind` is none of: A, B"),
        ("by=%ff", "`by` is not percent-encoded UTF-8"),
        ("%zz=1", "`%zz` is not percent-encoded UTF-8"),
    ] {
        let problem = read(query).unwrap_err();
        assert_eq!(
            (problem.status, &*problem.word),
            (400, "bad-query"),
            "{query}"
        );
        assert!(problem.detail.contains(said), "{query}: {}", problem.detail);
    }
    let long = read(&format!("{}=1", "x".repeat(50_000))).unwrap_err();
    assert!(long.detail.len() < 2_500, "{} bytes", long.detail.len());
}

#[test]
fn a_cursor_belongs_to_its_filters_whatever_the_limit() {
    let asked = read("n=1&limit=2&by=a+b").unwrap();
    for key in ["1", "a/b ü", &"k".repeat(512)] {
        let cursor = asked.cursor(key);
        let next = asked.next_query(&cursor);
        assert_eq!(next, format!("n=1&limit=2&by=a%20b&cursor={cursor}"));
        let next = read(&next).unwrap();
        assert_eq!(next.after.as_deref(), Some(key));
        assert_eq!(next.filters, asked.filters);
        let fewer = read(&format!("limit=9&cursor={cursor}&by=a%20b&n=1")).unwrap();
        assert_eq!(fewer.after.as_deref(), Some(key), "the same values");
        for other in ["", "n=2&by=a+b", "n=1", "n=1&by=a%20b&is=true"] {
            refuse(&format!("{other}&cursor={cursor}"));
        }
    }
    let empty = asked.cursor("");
    let endless = asked.cursor(&"k".repeat(513));
    for garbage in [
        "",
        "x",
        "!!!!",
        "AAAAAAAAAAAA",
        "AAAAAAAAAAAAAAAA",
        "%00",
        "=",
        &empty,
        &endless,
        "Li4vLi4v'--",
    ] {
        refuse(&format!("n=1&by=a+b&cursor={garbage}"));
    }
}

fn refuse(query: &str) {
    let problem = read(query).unwrap_err();
    let told = (problem.status, &*problem.word);
    assert_eq!(told, (400, "bad-cursor"), "{query}");
}
