#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use super::*;
use crate::store::sqlite::schema;

fn store() -> Connection {
    let sql = Connection::open_in_memory().unwrap();
    schema::create(&sql).unwrap();
    sql.execute_batch(
        "INSERT INTO participants (id, name) VALUES (1, 'order'), (2, 'customer');
         INSERT INTO generations (id, participant, digest, component, version, state_version, since) VALUES (7, 2, 'abc', 'abc', '1', 1, 0);
         INSERT INTO topics (id, name) VALUES (5, 'topic');
         INSERT INTO aggregates VALUES (1, 'k', 3, 2, '{}', NULL);",
    )
    .unwrap();
    sql
}

fn set(sql: &Connection, key: &str, name: &str, due: i64) {
    sql.prepare_cached("INSERT INTO timers (participant, key, name, due, body, set_by, correlation) VALUES (1, ?1, ?2, ?3, '1', 's', 'c')")
        .unwrap()
        .execute(params![key, name, due])
        .unwrap();
}

#[test]
fn samples_of_timers_have_the_first_and_the_last_of_each_name() {
    let sql = store();
    let transaction = sql.unchecked_transaction().unwrap();
    for number in 0..2_000 {
        set(&sql, &number.to_string(), "usual", number);
    }
    set(&sql, "k", "rare", 1_000);
    transaction.commit().unwrap();
    let sampled = timers(&sql, 1, 8).unwrap();
    assert_eq!(sampled.len(), 8);
    let due: Vec<_> = sampled.iter().map(|one| one.timer.due).collect();
    assert!(
        due.is_sorted() && due.contains(&0) && due.contains(&1_999),
        "{due:?}"
    );
    let rare = sampled.iter().find(|one| one.timer.name == "rare").unwrap();
    assert_eq!(
        (
            rare.aggregate.stored.revision,
            rare.aggregate.stored.state_version
        ),
        (3, 2)
    );
    assert!(
        timers(&sql, 2, 8).unwrap().is_empty(),
        "of another participant"
    );
}

/// Puts a record into the outbox; its id names its position.
fn publish(sql: &Connection, partition: i32, offset: i64, event_type: &str) {
    let insert = "INSERT INTO outbox (topic, partition, offset, generation, event_type, value, event_id, time)
                  VALUES (5, ?1, ?2, 7, ?3, x'7b7d', ?4, 9)";
    let id = format!("{partition}/{offset}");
    sql.execute(insert, params![partition, offset, event_type, id])
        .unwrap();
    sql.execute(
        "INSERT INTO partitions VALUES (5, ?1, ?2) ON CONFLICT DO UPDATE SET next_offset = excluded.next_offset",
        params![partition, offset + 1],
    )
    .unwrap();
}

fn ids(sql: &Connection, consumer: Option<&str>, most: usize) -> Vec<String> {
    let name = "topic".into();
    let topic = SampledTopic {
        consumer,
        row: 5,
        name: &name,
    };
    let records = unread(sql, 1, topic, most).unwrap();
    records
        .into_iter()
        .map(|record| {
            assert_eq!(record.attributes.source.as_deref(), Some("/saga/customer"));
            assert_eq!(record.attributes.digest.as_deref(), Some("abc"));
            record.attributes.id.unwrap()
        })
        .collect()
}

#[test]
fn records_wait_from_where_a_consumer_of_the_log_stands() {
    let sql = store();
    for offset in 0..4 {
        publish(&sql, 0, offset, "e");
        publish(&sql, 1, offset, "e");
    }
    sql.execute("INSERT INTO offsets (consumer, topic, partition, next_offset) VALUES ('log:order/g', 5, 0, 3)", [])
        .unwrap();
    assert_eq!(
        ids(&sql, Some("log:order/g"), 64),
        ["0/3", "1/0", "1/1", "1/2", "1/3"]
    );
    // A consumer that never read begins at the start.
    assert_eq!(ids(&sql, Some("log:order/new"), 64).len(), 8);
    // Applied records do not wait.
    sql.execute(
        "INSERT INTO inbox VALUES (1, '1/1', '/saga/customer', 0)",
        [],
    )
    .unwrap();
    assert_eq!(
        ids(&sql, Some("log:order/g"), 64),
        ["0/3", "1/0", "1/2", "1/3"]
    );
}

#[test]
fn records_over_a_broker_wait_until_they_are_applied() {
    let sql = store();
    for offset in 0..3 {
        publish(&sql, 0, offset, "e");
        sql.execute(
            "INSERT INTO inbox VALUES (1, ?1, '/saga/customer', 0)",
            [format!("0/{offset}")],
        )
        .unwrap();
    }
    publish(&sql, 0, 3, "e");
    assert_eq!(ids(&sql, None, 64), ["0/3"]);
}

#[test]
fn samples_of_records_have_each_event_type_and_the_next_records() {
    let sql = store();
    let transaction = sql.unchecked_transaction().unwrap();
    for offset in 0..500 {
        let event_type = if offset == 400 { "rare" } else { "usual" };
        publish(&sql, 0, offset, event_type);
    }
    transaction.commit().unwrap();
    let sampled = ids(&sql, Some("log:order/g"), 4);
    assert_eq!(sampled.len(), 4);
    assert!(
        sampled.contains(&"0/400".into()) && sampled.contains(&"0/0".into()),
        "{sampled:?}"
    );
}

#[test]
fn the_first_parked_record_of_each_key_is_sampled_whatever_timers_precede_it() {
    let sql = store();
    sql.execute_batch(
        "INSERT INTO parked (id, participant, key, name, bytes, time, due, event_id, source, consumer_group, topic,
             declared_topic, partition, offset, made, attributes, value) VALUES
             (1, 1, 'a', 'later', 1, 0, 5, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
             (2, 1, 'a', 'later', 1, 0, 6, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
             (3, 1, 'a', 'e', 1, 0, NULL, 'a-1', 's', 'g', 't', 't', 0, 1, 0, '{}', x'7b7d'),
             (4, 1, 'a', 'e', 1, 0, NULL, 'a-2', 's', 'g', 't', 't', 0, 2, 0, '{}', x'7b7d'),
             (5, 1, 'b', 'e', 1, 0, NULL, 'b-1', 's', 'g', 't', 't', 0, 3, 0, '{}', x'7b7d'),
             (6, 1, 'c', 'later', 1, 0, 7, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);",
    )
    .unwrap();
    let ids = |most| -> Vec<String> {
        let events = parked(&sql, 1, most).unwrap();
        events.into_iter().map(|event| event.identity.id).collect()
    };
    assert_eq!(ids(8), ["a-1", "b-1"]);
    assert_eq!(ids(1), ["a-1"]);
}
