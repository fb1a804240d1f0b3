#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::collections::BTreeSet;

use super::*;
use crate::store::read::StoredAggregate;
use crate::store::sqlite::schema;

fn store() -> Connection {
    let sql = Connection::open_in_memory().unwrap();
    schema::create(&sql).unwrap();
    sql
}

fn put(sql: &Connection, key: &str, revision: i64, version: u32, state: Option<&str>) {
    sql.prepare_cached("INSERT INTO aggregates VALUES (1, ?1, ?2, ?3, ?4, NULL)")
        .unwrap()
        .execute(params![key, revision, version, state])
        .unwrap();
}

fn keys(sampled: &[Keyed]) -> Vec<&str> {
    sampled.iter().map(|one| one.key.as_str()).collect()
}

#[test]
fn few_states_are_all_taken_but_removed_and_quarantined_ones() {
    let sql = store();
    put(&sql, "a", 1, 1, Some("1"));
    put(&sql, "b", 2, 1, None);
    put(&sql, "c", 3, 2, Some("3"));
    put(&sql, "q", 4, 1, Some("4"));
    sql.execute(
        "INSERT INTO aggregates VALUES (2, 'other', 1, 1, '1', NULL)",
        [],
    )
    .unwrap();
    sql.execute(
        "INSERT INTO quarantine VALUES (1, 'q', 1, 'why', 0), (1, 'gone', 1, 'why', 0)",
        [],
    )
    .unwrap();
    let sampled = stored(&sql, 1, 64).unwrap();
    assert_eq!(keys(&sampled), ["a", "c"]);
    assert_eq!(
        sampled.last().unwrap().stored,
        StoredAggregate {
            state: Some("3".into()),
            revision: 3,
            state_version: 2,
            correlation: None,
        }
    );
    assert_eq!(keys(&quarantined(&sql, 1, 64).unwrap()), ["q"]);
    assert!(stored(&sql, 1, 0).unwrap().is_empty());
}

#[test]
fn samples_of_states_include_the_extremes() {
    let sql = store();
    let transaction = sql.unchecked_transaction().unwrap();
    for number in 1..=5_000 {
        put(&sql, &number.to_string(), 2, 1, Some("{\"n\":100}"));
    }
    put(&sql, "big", 2, 1, Some(&"x".repeat(500)));
    put(&sql, "min", 2, 1, Some("1"));
    put(&sql, "rev", 900, 1, Some("{\"n\":100}"));
    put(&sql, "old", 2, 7, Some("{\"n\":100}"));
    transaction.commit().unwrap();
    let sampled = stored(&sql, 1, 16).unwrap();
    let keys = keys(&sampled);
    assert_eq!(keys.len(), 16);
    for key in ["big", "min", "rev", "old", "1", "5000"] {
        assert!(keys.contains(&key), "{key} is not in {keys:?}");
    }
}

#[test]
fn a_large_table_is_looked_at_from_its_start_to_its_end() {
    let sql = store();
    let transaction = sql.unchecked_transaction().unwrap();
    for number in 0..60_000 {
        put(&sql, &format!("key-{number:08x}"), 1, 1, Some("1"));
    }
    put(&sql, "zzz", 1, 1, Some(&"x".repeat(100)));
    transaction.commit().unwrap();
    let sampled = stored(&sql, 1, 64).unwrap();
    let numbers: Vec<_> = (sampled.iter())
        .filter_map(|one| i64::from_str_radix(one.key.strip_prefix("key-")?, 16).ok())
        .collect();
    for part in 0..6 {
        let range = part * 10_000..(part + 1) * 10_000;
        assert!(
            numbers.iter().any(|number| range.contains(number)),
            "{part}: {numbers:?}"
        );
    }
    assert!(
        keys(&sampled).contains(&"zzz"),
        "the last one is the largest"
    );
}

#[test]
fn places_are_spread_over_the_keys_however_they_look() {
    let sql = store();
    let transaction = sql.unchecked_transaction().unwrap();
    for number in 0..4_096 {
        put(&sql, &format!("key-{number:x}"), 1, 1, Some("1"));
    }
    put(&sql, "zzz", 1, 1, Some("1"));
    transaction.commit().unwrap();
    let mut rows = Aggregates {
        sql: &sql,
        participant: 1,
    };
    let places = sample::places(&mut rows, "key-0".into()).unwrap();
    assert_eq!(places.len(), sample::PLACES);
    let digits: BTreeSet<_> = places.iter().map(|key| key.chars().nth(4)).collect();
    assert!(digits.len() > 8, "{places:?}");
    // Nothing follows a single key.
    let none = sample::places(&mut rows, "zzz".into()).unwrap();
    assert!(none.is_empty());
}
