#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::time::Duration;

use super::*;
use crate::store::sqlite::schema;

fn reader(rows: &str) -> SqliteReader {
    let sql = Connection::open_in_memory().unwrap();
    schema::create(&sql).unwrap();
    sql.execute_batch(rows).unwrap();
    SqliteReader::new(sql, Arc::new(Condition::new(Duration::from_secs(60))))
}

#[test]
fn records_deleted_before_a_consumer_came_are_settled() {
    // All of partition 0 is deleted; 1 begins at 6; in 2 and 3 rows are left that were made while
    // the clock was ahead.
    let reader = reader(
        "INSERT INTO partitions VALUES (1, 0, 10), (1, 1, 10), (1, 2, 10), (1, 3, 10), (2, 0, 3);
         WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 9)
         INSERT INTO outbox (topic, partition, offset, time) SELECT 1, 1, i, 0 FROM n WHERE i >= 6
             UNION ALL SELECT 1, p, i, 0 FROM n, (SELECT 2 AS p UNION ALL SELECT 3) WHERE i < 3;
         INSERT INTO offsets (consumer, topic, partition, next_offset) VALUES
             ('log:new/g', 1, 0, 0), ('log:old/g', 1, 0, 4), ('log:old/g', 1, 1, 8), ('log:old/g', 1, 2, 3), ('log:old/g', 1, 3, 1);",
    );
    let settled = |consumer| -> Vec<i64> {
        let extents = reader.extents(1, consumer).unwrap();
        let settled = |extent: Extent| {
            let stored = reader.offset(consumer, 1, extent.partition).unwrap();
            assert_eq!(extent.end, 10);
            extent.settled(stored)
        };
        extents.into_iter().map(settled).collect()
    };
    assert_eq!(settled("log:new/g"), [10, 6, 0, 0]);
    assert_eq!(settled("log:old/g"), [10, 8, 10, 1]);
}

#[test]
fn the_first_timer_is_the_one_that_is_decided_first() {
    let reader = reader(
        "INSERT INTO timers (participant, key, name, due, body, set_by, correlation, parked) VALUES
             (1, 'parked', 't', 3, 'null', '', '', 9), (2, 'foreign', 't', 4, 'null', '', '', NULL),
             (1, 'b', 't', 5, 'null', '', '', NULL), (1, 'a', 'u', 5, 'null', '', '', NULL),
             (1, 'a', 't', 6, 'null', '', '', NULL);",
    );
    let first = reader.first_timer(1).unwrap();
    assert_eq!(first, Some((5, "a".into(), "u".into())));
    assert_eq!(reader.first_timer(3).unwrap(), None);
}
