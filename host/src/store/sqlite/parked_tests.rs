#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use super::*;
use crate::store::sqlite::schema;

fn store() -> Connection {
    let sql = Connection::open_in_memory().unwrap();
    schema::create(&sql).unwrap();
    sql
}

#[test]
fn timers_are_released_unless_they_have_a_place_among_the_messages_of_their_key() {
    let sql = store();
    sql.execute_batch(
        "INSERT INTO timers (participant, key, name, due, body, set_by, correlation, parked) VALUES
             (1, 'alone', 't', 5, 'null', '', '', 9), (1, 'placed', 't', 5, 'null', '', '', 9),
             (1, 'anew', 't', 6, 'null', '', '', 9), (2, 'other', 't', 5, 'null', '', '', 9);
         INSERT INTO parked (participant, key, name, bytes, time, due) VALUES
             (1, 'placed', 't', 1, 0, 5), (1, 'anew', 't', 1, 0, 5);",
    )
    .unwrap();
    assert_eq!(timers_up_to(&sql, 1, 10).unwrap(), 3);
    assert_eq!(release_timers(&sql, 1).unwrap(), 2);
    let left: Vec<_> = timers(&sql, 1, 10).unwrap();
    assert_eq!(
        left.iter().map(|timer| &*timer.key).collect::<Vec<_>>(),
        ["placed"]
    );
    assert_eq!(timers_up_to(&sql, 2, 10).unwrap(), 1);
}

#[test]
fn messages_are_read_in_the_order_of_their_key() {
    let sql = store();
    sql.execute_batch(
        "INSERT INTO parked (id, participant, key, name, bytes, time, due) VALUES
             (3, 1, 'a', 'first', 10, 0, 5), (4, 1, 'b', 'other', 20, 0, 5), (7, 1, 'a', 'second', 30, 0, 5),
             (8, 2, 'a', 'foreign', 40, 0, 5);",
    )
    .unwrap();
    let name = |after| match next(&sql, 1, "a", after).unwrap()?.message {
        Parked::Timer(name, 5) => Some(name),
        _ => None,
    };
    let names = [name(0), name(3), name(7)].map(Option::unwrap_or_default);
    assert_eq!(names, ["first", "second", ""]);
    let keys: Vec<_> = keys(&sql, 1).unwrap();
    let keys: Vec<_> = keys.iter().map(|key| (&*key.key, key.messages)).collect();
    assert_eq!(keys, [("a", 2), ("b", 1)]);
    assert_eq!(totals(&sql, 1).unwrap(), (3, 60));
    assert_eq!(totals(&sql, 3).unwrap(), (0, 0));
}

#[test]
fn due_timers_that_are_parked_are_looked_up_in_an_index_of_their_own() {
    let sql = store();
    let plan = |query: &str| -> String {
        sql.query_row(&format!("EXPLAIN QUERY PLAN {query}"), [], |row| row.get(3))
            .unwrap()
    };
    let due = "SELECT key FROM timers WHERE participant = 1 AND due <= 2 AND parked IS NULL ORDER BY due LIMIT 3";
    assert!(plan(due).contains("timers_by_due"), "{}", plan(due));
    let parked = "SELECT key FROM timers WHERE participant = 1 AND parked IS NOT NULL ORDER BY parked LIMIT 3";
    assert!(plan(parked).contains("parked_timers"), "{}", plan(parked));
}

#[test]
fn a_number_is_not_given_again_when_the_message_that_had_it_is_settled() {
    let sql = store();
    let park = "INSERT INTO parked (participant, key, name, bytes, time, due) VALUES (1, 'a', 't', 1, 0, 5)";
    sql.execute(park, []).unwrap();
    let first = next(&sql, 1, "a", 0).unwrap().unwrap().id;
    sql.execute("DELETE FROM parked", []).unwrap();
    sql.execute(park, []).unwrap();
    let behind = next(&sql, 1, "a", first).unwrap();
    assert!(behind.is_some_and(|row| row.id > first));
}

#[test]
fn the_oldest_retried_message_is_found_behind_many_that_nobody_takes() {
    let sql = store();
    sql.execute_batch(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200)
         INSERT INTO parked (participant, key, name, declared_topic, bytes, time) SELECT 1, 'k' || i, 'gone', 't', 1, i FROM n;
         INSERT INTO parked (participant, key, name, declared_topic, bytes, time) VALUES
             (2, 'foreign', 'e', 't', 1, 200), (1, 'held', 'e', 't', 1, 201), (1, 'k', 'e', 't', 1, 202),
             (1, 'later', 'e', 't', 1, 203);
         INSERT INTO quarantine VALUES (1, 'held', 1, '', 0);",
    )
    .unwrap();
    let oldest = |taken: &[_]| oldest_retried(&sql, 1, taken).unwrap();
    assert_eq!(oldest(&[("u", "x"), ("t", "e")]), Some(("k".into(), 202)));
    assert_eq!(oldest(&[("u", "e"), ("t", "other")]), None);
    assert_eq!(oldest(&[]), None);
    let timer = "INSERT INTO parked (participant, key, name, bytes, time, due) VALUES (1, 'timer', 't', 1, 300, 5)";
    sql.execute(timer, []).unwrap();
    assert_eq!(oldest(&[]), Some(("timer".into(), 300)));
}
