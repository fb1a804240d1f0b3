#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use saga_core::message::{Message, Origin};

use super::*;
use crate::store::conformance::{message, nothing};
use crate::store::sample::journal::{LATEST, PLACES, STRETCH};
use crate::store::sqlite::schema;

/// A store with two participants, each with one generation.
fn store() -> Connection {
    let sql = Connection::open_in_memory().unwrap();
    schema::create(&sql).unwrap();
    sql.execute_batch(
        "INSERT INTO participants (id, name) VALUES (1, 'order'), (2, 'customer');
         INSERT INTO generations (id, participant, digest, component, version, state_version, since)
             VALUES (1, 1, 'a', 'a', '1', 3, 0), (2, 2, 'b', 'b', '1', 1, 0);",
    )
    .unwrap();
    sql
}

struct Row<'r> {
    generation: i64,
    origin: &'r str,
    name: &'r str,
    state: Option<&'r str>,
}

/// Records a decision at this time.
fn record(sql: &Connection, time: i64, row: &Row<'_>) {
    let message = Message {
        id: time.to_string(),
        origin: Origin::of_word(row.origin).unwrap(),
        ..message(row.name, "k")
    };
    let mut packed = vec![0];
    packed.extend(journal::encode(&message, row.state, &nothing()).unwrap());
    sql.prepare_cached(
        "INSERT INTO journal (generation, key, revision, state, decision, fuel, time)
         VALUES (?1, 'k', 1, ?2, ?3, 0, ?4)",
    )
    .unwrap()
    .execute(params![row.generation, row.state, packed, time])
    .unwrap();
    sql.prepare_cached(
        "INSERT INTO tallies VALUES (?1, ?2, ?3, 1, 0, 0, ?4)
         ON CONFLICT DO UPDATE SET last = max(last, excluded.last)",
    )
    .unwrap()
    .execute(params![row.generation, row.origin, row.name, time])
    .unwrap();
}

fn usual(sql: &Connection, times: std::ops::Range<i64>) {
    let transaction = sql.unchecked_transaction().unwrap();
    for time in times {
        let row = Row {
            generation: 1,
            origin: "command",
            name: "place",
            state: None,
        };
        record(sql, time, &row);
    }
    transaction.commit().unwrap();
}

/// Ids of the messages, and their names.
fn sampled(sql: &Connection, most: usize) -> Vec<(i64, String, bool)> {
    let recorded = recorded(sql, 1, most).unwrap();
    recorded
        .iter()
        .map(|row| {
            assert_eq!(row.state_version, 3, "of another participant");
            let Message { id, name, .. } = &row.message;
            (id.parse().unwrap(), name.clone(), row.state.is_some())
        })
        .collect()
}

#[test]
fn nothing_is_found_where_nothing_is_recorded() {
    assert!(sampled(&store(), 64).is_empty());
}

#[test]
fn few_decisions_are_all_taken_the_latest_first() {
    let sql = store();
    usual(&sql, 0..5);
    let ids: Vec<_> = sampled(&sql, 64).iter().map(|(id, ..)| *id).collect();
    assert_eq!(ids, [4, 3, 2, 1, 0]);
    assert!(sampled(&sql, 0).is_empty());
}

#[test]
fn each_kind_of_message_is_taken_with_aggregates_and_without() {
    let sql = store();
    let rare = |origin, name, state| Row {
        generation: 1,
        origin,
        name,
        state,
    };
    usual(&sql, 0..100);
    record(&sql, 100, &rare("command", "place", Some("1")));
    record(&sql, 101, &rare("event", "place", Some("1")));
    record(&sql, 102, &rare("timer", "later", None));
    let other = Row {
        generation: 2,
        ..rare("command", "else", None)
    };
    record(&sql, 103, &other);
    usual(&sql, 104..3_000);
    let sampled = sampled(&sql, 8);
    assert_eq!(sampled.len(), 8, "{sampled:?}");
    for (id, name, is_there) in [
        (100, "place", true),
        (101, "place", true),
        (102, "later", false),
    ] {
        assert!(
            sampled.contains(&(id, name.into(), is_there)),
            "{id}: {sampled:?}"
        );
    }
    let latest_and_oldest = |id| sampled.contains(&(id, "place".into(), false));
    assert!(
        latest_and_oldest(2_999) && latest_and_oldest(0),
        "{sampled:?}"
    );
}

#[test]
fn an_old_rare_decision_is_found_by_the_time_of_its_tally() {
    let sql = store();
    // Outside the range read at the end of the journal, and between the places read before it.
    let (place, end) = (15_333, 40_000);
    usual(&sql, 0..place);
    let once = Row {
        generation: 1,
        origin: "event",
        name: "cancelled",
        state: Some("1"),
    };
    record(&sql, place, &once);
    usual(&sql, place + 1..end);
    // The first rows are deleted.
    sql.execute("DELETE FROM journal WHERE seq <= 1000", [])
        .unwrap();
    let step = (end - LATEST - 1_000) / PLACES;
    assert!((place - 1_000) % step > STRETCH, "it is met by chance");
    let sampled = sampled(&sql, 16);
    assert!(
        sampled.contains(&(place, "cancelled".into(), true)),
        "{sampled:?}"
    );
    assert!(
        sampled.iter().any(|(id, ..)| *id < 5_000),
        "spread: {sampled:?}"
    );
}
