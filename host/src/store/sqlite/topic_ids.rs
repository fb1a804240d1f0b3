//! Identities of the topics that consumers read. A recreated topic is another one: data of the
//! earlier topic (offsets, identities derived from positions) must not be taken for its own.

use rusqlite::{Connection, OptionalExtension as _, params};

/// The id of the topic that a consumer is known to read under the name in this row.
pub(super) fn topic_id(
    sql: &Connection,
    consumer: &str,
    topic: i64,
) -> rusqlite::Result<Option<String>> {
    sql.query_row(
        "SELECT id FROM topic_ids WHERE consumer = ?1 AND topic = ?2",
        params![consumer, topic],
        |row| row.get(0),
    )
    .optional()
}

/// Records that a consumer reads its first topic of this name. The partitions start at `starts`
/// unless offsets are stored.
pub(super) fn first_topic(
    sql: &Connection,
    consumer: &str,
    topic: i64,
    id: &str,
    starts: &[(i32, i64)],
) -> rusqlite::Result<()> {
    sql.execute(
        "INSERT INTO topic_ids (consumer, topic, id) VALUES (?1, ?2, ?3)",
        params![consumer, topic, id],
    )?;
    for (partition, offset) in starts {
        sql.execute(
            "INSERT INTO offsets (consumer, topic, partition, next_offset) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
            params![consumer, topic, partition, offset],
        )?;
    }
    Ok(())
}

/// Records that a consumer reads another topic of this name, from its beginning.
pub(super) fn next_topic(
    sql: &Connection,
    consumer: &str,
    topic: i64,
    id: &str,
) -> rusqlite::Result<()> {
    sql.execute(
        "UPDATE topic_ids SET id = ?3 WHERE consumer = ?1 AND topic = ?2",
        params![consumer, topic, id],
    )?;
    sql.execute(
        "UPDATE offsets SET next_offset = 0, last_time = NULL, last_print = NULL, log = NULL WHERE consumer = ?1 AND topic = ?2",
        params![consumer, topic],
    )
    .map(drop)
}

#[cfg(test)]
mod tests {
    use super::super::offsets::write_place;
    use super::super::schema;
    use super::*;

    #[test]
    fn partitions_of_which_nothing_is_known_start_where_they_were_first_seen() {
        let sql = Connection::open_in_memory().unwrap();
        schema::create(&sql).unwrap();
        write_place(&sql, "a", 7, 0, (100, None)).unwrap();
        first_topic(&sql, "a", 7, "one", &[(0, 90), (1, 30)]).unwrap();
        let mut query = sql
            .prepare("SELECT partition, next_offset FROM offsets ORDER BY partition")
            .unwrap();
        let offsets = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
        let offsets: Vec<(i32, i64)> = offsets.unwrap().map(Result::unwrap).collect();
        assert_eq!(offsets, [(0, 100), (1, 30)]);
    }

    #[test]
    fn another_topic_of_the_name_is_read_from_its_beginning() {
        let sql = Connection::open_in_memory().unwrap();
        schema::create(&sql).unwrap();
        let offset = |consumer: &str| -> i64 {
            let query = "SELECT next_offset FROM offsets WHERE consumer = ?1 AND topic = 7";
            sql.query_row(query, [consumer], |row| row.get(0)).unwrap()
        };
        for consumer in ["a", "b"] {
            assert_eq!(topic_id(&sql, consumer, 7).unwrap(), None);
            write_place(&sql, consumer, 7, 0, (100, None)).unwrap();
            first_topic(&sql, consumer, 7, "one", &[(0, 90)]).unwrap();
        }
        next_topic(&sql, "a", 7, "two").unwrap();
        let known = |consumer| topic_id(&sql, consumer, 7).unwrap();
        assert_eq!(known("a"), Some("two".into()));
        assert_eq!(known("b"), Some("one".into()));
        assert_eq!((offset("a"), offset("b")), (0, 100));
    }
}
