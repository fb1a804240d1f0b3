//! Pages over a table in memory, SQLite's plans for them, and pointers of all kinds.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

use std::sync::Arc;

use rusqlite::params;
use serde_json::json;

use super::*;
use crate::store::sqlite::schema;

/// The participant of most tests.
const OWN: i64 = 3;

fn store() -> SqliteReader {
    let sql = Connection::open_in_memory().unwrap();
    schema::create(&sql).unwrap();
    SqliteReader::new(sql, Arc::default())
}

fn indexed(pointers: &[&str]) -> SqliteReader {
    let store = store();
    let all = [None].into_iter().chain(pointers.iter().copied().map(Some));
    let indexes: Vec<_> = all.map(|pointer| Index::of(OWN, pointer)).collect();
    create(store.connection(), &indexes).unwrap();
    store
}

fn put(store: &SqliteReader, participant: i64, key: &str, state: Option<&str>) {
    let put = "INSERT OR REPLACE INTO aggregates VALUES (?1, ?2, 1, 1, ?3, NULL)";
    let sql = store.connection();
    sql.execute(put, params![participant, key, state]).unwrap();
}

fn wanted(filters: &[(&str, FilterValue)], after: Option<&str>, most: usize) -> Wanted {
    Wanted {
        participant: OWN,
        filters: (filters.iter())
            .map(|(pointer, value)| ((*pointer).to_owned(), value.clone()))
            .collect(),
        after: after.map(str::to_owned),
        most,
    }
}

fn page(keys: &[&str], next: Option<&str>) -> Page {
    Page {
        keys: keys.iter().map(|key| (*key).to_owned()).collect(),
        next: next.map(str::to_owned),
    }
}

fn text(text: &str) -> FilterValue {
    FilterValue::Text(text.into())
}

#[test]
fn keys_come_in_the_order_of_their_numbers_page_by_page() {
    let store = indexed(&[]);
    for number in (1..=25).rev() {
        put(&store, OWN, &number.to_string(), Some("{}"));
    }
    put(&store, OWN, "7", None);
    put(&store, 4, "3000", Some("{}"));
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = store.page(&wanted(&[], after.as_deref(), 4)).unwrap();
        assert!(page.keys.len() <= 4);
        seen.extend(page.keys);
        match page.next {
            Some(key) => after = Some(key),
            None => break,
        }
    }
    let all: Vec<_> = { 1..=25 }
        .filter(|number| *number != 7)
        .map(|number| number.to_string())
        .collect();
    assert_eq!(seen, all);
    // If the last page is full, still nothing follows.
    let whole = store.page(&wanted(&[], None, 24)).unwrap();
    assert_eq!((whole.keys.len(), whole.next), (24, None));
    let none = store.page(&wanted(&[], Some("25"), 4)).unwrap();
    assert_eq!(none, Page::default());
}

#[test]
fn a_page_holds_what_all_filters_say() {
    let store = indexed(&["/by", "/n", "/is"]);
    for (key, state) in [
        ("1", json!({"by": "Ann", "n": 1, "is": true})),
        ("2", json!({"by": "Ann", "n": 2, "is": false})),
        ("3", json!({"by": "Bob", "n": 1, "is": true})),
        ("4", json!({"by": "Ann", "n": "1"})),
        ("5", json!({"by": null})),
        ("6", json!([])),
        ("7", json!({"by": "Ann", "n": 1, "is": true})),
    ] {
        put(&store, OWN, key, Some(&state.to_string()));
    }
    let keys = |filters: &[(&str, FilterValue)]| {
        let page = store.page(&wanted(filters, None, 10)).unwrap();
        assert_eq!(page.next, None);
        page.keys.join(" ")
    };
    let (ann, one) = (("/by", text("Ann")), ("/n", FilterValue::Integer(1)));
    assert_eq!(keys(std::slice::from_ref(&ann)), "1 2 4 7");
    assert_eq!(keys(&[ann.clone(), one.clone()]), "1 7");
    assert_eq!(keys(&[one.clone(), ann.clone()]), "1 7");
    assert_eq!(
        keys(std::slice::from_ref(&one)),
        "1 3 7",
        "a text is no number"
    );
    assert_eq!(keys(&[("/n", text("1"))]), "4");
    assert_eq!(keys(&[("/is", FilterValue::Boolean(false))]), "2");
    assert_eq!(keys(&[ann, one, ("/is", FilterValue::Boolean(false))]), "");
    assert_eq!(keys(&[("/by", text("null"))]), "");
    assert_eq!(keys(&[("/by", text("' OR 1=1 --"))]), "");
}

#[test]
fn whole_numbers_are_told_apart_to_the_last_digit() {
    let store = indexed(&["/n"]);
    let numbers = [
        "9007199254740992",
        "9007199254740993",
        "9223372036854775807",
    ];
    for (key, number) in (1..).zip(numbers) {
        put(
            &store,
            OWN,
            &key.to_string(),
            Some(&format!(r#"{{"n":{number}}}"#)),
        );
    }
    // Beyond 64 bits SQLite stores the nearest float.
    put(&store, OWN, "4", Some(r#"{"n":9223372036854775808}"#));
    put(&store, OWN, "5", Some(r#"{"n":1e400}"#));
    for (key, number) in (1..).zip(numbers) {
        let value = FilterValue::Integer(number.parse().unwrap());
        let found = store.page(&wanted(&[("/n", value)], None, 10)).unwrap();
        assert_eq!(found, page(&[&key.to_string()], None), "{number}");
    }
}

#[test]
fn a_page_of_which_little_is_found_ends_at_the_bound_and_says_where_to_go_on() {
    let store = indexed(&["/a", "/b"]);
    let rows = LOOKED_AT + 5;
    let sql = store.connection();
    sql.execute_batch("BEGIN").unwrap();
    for number in 1..=rows {
        let state = json!({"a": 1, "b": number == rows || number == 2}).to_string();
        put(&store, OWN, &number.to_string(), Some(&state));
    }
    sql.execute_batch("COMMIT").unwrap();
    let filters = [
        ("/a", FilterValue::Integer(1)),
        ("/b", FilterValue::Boolean(true)),
    ];
    let last = LOOKED_AT.to_string();
    let first = store.page(&wanted(&filters, None, 10)).unwrap();
    assert_eq!(first, page(&["2"], Some(&last)));
    let second = store.page(&wanted(&filters, Some(&last), 10)).unwrap();
    assert_eq!(second, page(&[&rows.to_string()], None));
}

#[test]
fn every_stretch_of_a_page_is_read_from_an_index_in_its_order() {
    let store = indexed(&["/by", "/n"]);
    let filters = [("/by", text("x")), ("/n", FilterValue::Integer(1))];
    for (filters, index) in [
        (&filters[..], Some("/by")),
        (&filters[1..], Some("/n")),
        (&[], None),
    ] {
        let narrowed = if filters.is_empty() {
            ""
        } else {
            "<expr>=? AND "
        };
        for after in [None, Some("7")] {
            let wanted = wanted(filters, after, 10);
            for part in Part::of(&wanted) {
                let plan: Vec<String> = { store.connection() }
                    .prepare(&format!("EXPLAIN QUERY PLAN {}", part.text(&wanted)))
                    .unwrap()
                    .query_map(params_from_iter(part.values(&wanted)), |row| row.get(3))
                    .unwrap()
                    .collect::<rusqlite::Result<_>>()
                    .unwrap();
                assert_eq!(plan.len(), 1, "sorts nothing: {plan:?}");
                let name = Definition::of(&Index::of(OWN, index)).name;
                assert!(plan[0].contains(&name), "{plan:?}");
                let searched = match part {
                    Part::All => narrowed.trim_end_matches(" AND ").to_owned(),
                    Part::SameLength => format!("({narrowed}<expr>=? AND key>?)"),
                    Part::Longer => format!("({narrowed}<expr>>?)"),
                };
                assert!(plan[0].contains(&searched), "{searched}: {plan:?}");
            }
        }
    }
}

/// The expression returns the value at the pointer, for any names.
#[test]
fn a_pointer_leads_where_it_says_and_no_name_leaves_its_quotes() {
    let names = [
        "plain",
        "",
        " ",
        "a.b",
        "a b",
        "$",
        "$.x",
        "[0]",
        "#",
        "a\"b",
        "a\\b",
        "a\\\"b",
        "\\",
        "\"",
        "'",
        "''",
        "a'b",
        "') OR 1=1 --",
        "\"') --",
        "ü",
        "日本",
        "a/b",
        "a~b",
        "~1",
        "x]",
        "?1",
        ":a",
        "00",
        "-",
        "-1",
        "1x",
        "12345678901",
        "%s",
        "\u{7f}",
        "\u{2028}",
    ];
    for name in names {
        let token = name.replace('~', "~0").replace('/', "~1");
        for (pointer, state) in [
            (format!("/{token}"), json!({name: "here", "other": "there"})),
            (
                format!("/a/{token}/b"),
                json!({"a": {name: {"b": "here"}}, name: {"b": "there"}}),
            ),
            (format!("/{token}/0"), json!({name: ["here", "there"]})),
            (
                format!("/{token}/1/{token}"),
                json!({name: [{}, {name: "here"}]}),
            ),
        ] {
            assert_eq!(state.pointer(&pointer).unwrap(), "here", "{pointer}");
            let store = indexed(&[&pointer]);
            put(&store, OWN, "1", Some(&state.to_string()));
            put(&store, OWN, "2", Some(r#"{"x":"here"}"#));
            let found = store.page(&wanted(&[(&pointer, text("here"))], None, 10));
            assert_eq!(found.unwrap(), page(&["1"], None), "{pointer}");
        }
    }
    assert_eq!(
        value_at("/it's/0"),
        r#"json_extract(state, '$."it''s"[0]')"#
    );
}

/// The index must accept every state that a turn may put: an error would fail all turns of the
/// commit.
#[test]
fn every_state_that_the_host_takes_can_be_indexed() {
    let deep = format!("{}1{}", "[".repeat(120), "]".repeat(120));
    let long = format!(r#"{{"x":"{}"}}"#, "ü".repeat(100_000));
    let store = indexed(&["/x", "/x/0/y"]);
    for (key, state) in (1..).zip([
        "null",
        "true",
        "7",
        "-0",
        "1e999999",
        "1E-7",
        "\"x\"",
        "\"\\ud800\"",
        "[]",
        "{}",
        r#"{"x":{"y":[]}}"#,
        r#"{"x":"\u0000"}"#,
        r#"{"x":1,"x":2}"#,
        " {\n\"x\" : [ ] } ",
        &deep,
        &long,
        "123456789012345678901234567890.123456789e12",
    ]) {
        serde_json::from_str::<&serde_json::value::RawValue>(state).unwrap();
        put(&store, OWN, &format!("{key}"), Some(state));
    }
    let all = store.page(&wanted(&[], None, 100)).unwrap();
    assert_eq!(all.keys.len(), 17);
}

#[test]
fn indexes_are_made_once_and_go_when_nothing_needs_them() {
    let store = store();
    let sql = store.connection();
    let (one, two) = (Index::of(OWN, Some("/a")), Index::of(OWN, Some("/b")));
    let other = Index::of(31, Some("/a"));
    create(sql, &[one.clone(), two.clone(), other.clone(), one.clone()]).unwrap();
    let both = [one.clone(), two.clone()];
    assert_eq!(compare(sql, OWN, &both).unwrap(), (true, false));
    assert_eq!(compare(sql, OWN, &both[..1]).unwrap(), (true, true));
    drop_others(sql, OWN, &both[..1]).unwrap();
    assert_eq!(compare(sql, OWN, &both).unwrap(), (false, false));
    assert_eq!(compare(sql, OWN, &both[..1]).unwrap(), (true, false));
    assert_eq!(compare(sql, 31, &[other]).unwrap(), (true, false));
    let gone = store.page(&wanted(&[("/b", text(""))], None, 1));
    assert!(gone.unwrap_err().to_string().contains("no such index"));
}
