//! The sizes of the journal's rows. Of a row, only its first page is read.

use rusqlite::{Connection, params};

use crate::store::writing::journal_size::JournalSizes;

/// The bytes of a row of the journal, in SQL: 24 stand for its numbers.
pub(super) const BYTES: &str =
    "octet_length(key) + coalesce(octet_length(state), 0) + octet_length(decision) + 24";

impl JournalSizes for Connection {
    type Error = rusqlite::Error;

    fn sizes(&self, behind: i64, most: i64) -> rusqlite::Result<(i64, i64, Option<i64>)> {
        self.prepare_cached(&format!(
            "SELECT count(*), coalesce(sum(bytes), 0), max(seq) FROM
             (SELECT seq, {BYTES} AS bytes FROM journal WHERE seq > ?1 ORDER BY seq LIMIT ?2)"
        ))?
        .query_row(params![behind, most], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
    }

    fn oldest(&self, to: i64, most: i64) -> rusqlite::Result<Vec<(i64, i64)>> {
        self.prepare_cached(&format!(
            "SELECT seq, {BYTES} FROM journal WHERE seq <= ?1 ORDER BY seq LIMIT ?2"
        ))?
        .query_map(params![to, most], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
    }

    fn delete(&self, to: i64) -> rusqlite::Result<()> {
        self.prepare_cached("DELETE FROM journal WHERE seq <= ?1")?
            .execute([to])
            .map(drop)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use super::*;
    use crate::store::sqlite::schema;
    use crate::store::writing::journal_size::{COUNTED, DELETED, JournalSize};

    /// Adds rows of 100 bytes.
    fn add(sql: &Connection, rows: i64) {
        sql.execute(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
             INSERT INTO journal (generation, key, revision, state, decision, fuel, time)
             SELECT 1, 'ä', 0, iif(i % 2, '12345678', NULL), zeroblob(iif(i % 2, 66, 74)), 0, 0 FROM n",
            [rows],
        )
        .unwrap();
    }

    /// Numbers of the first and the last row.
    fn left(sql: &Connection) -> (i64, i64) {
        let ends = "SELECT coalesce(min(seq), 0), coalesce(max(seq), 0) FROM journal";
        sql.query_row(ends, [], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap()
    }

    fn store() -> Connection {
        let sql = Connection::open_in_memory().unwrap();
        schema::create(&sql).unwrap();
        sql
    }

    fn all(size: &mut JournalSize, sql: &Connection) -> usize {
        let mut steps = 1;
        while size.step(sql).unwrap() {
            steps += 1;
        }
        steps
    }

    #[test]
    fn the_oldest_rows_go_until_the_rest_fits() {
        let sql = store();
        add(&sql, 10);
        let mut size = JournalSize::new(750);
        all(&mut size, &sql);
        assert_eq!(left(&sql), (4, 10));
        add(&sql, 1);
        all(&mut size, &sql);
        assert_eq!((left(&sql), size.bytes), ((5, 11), 700));
        // A restart counts again.
        all(&mut JournalSize::new(300), &sql);
        assert_eq!(left(&sql), (9, 11));
        all(&mut JournalSize::new(1), &sql);
        assert_eq!(left(&sql), (0, 0));
        add(&sql, 1);
        all(&mut JournalSize::new(0), &sql);
        assert_eq!(left(&sql).0, 1, "there is no bound");
    }

    #[test]
    fn rows_that_others_delete_do_not_count() {
        let sql = store();
        add(&sql, 10);
        let mut size = JournalSize::new(1_000);
        all(&mut size, &sql);
        add(&sql, 2);
        for gone in [1, 12] {
            sql.execute("DELETE FROM journal WHERE seq = ?1", [gone])
                .unwrap();
            size.is_deleted(gone, 100);
        }
        all(&mut size, &sql);
        assert_eq!((left(&sql), size.bytes), ((2, 11), 1_000));
        // All of them, without being told.
        sql.execute("DELETE FROM journal", []).unwrap();
        add(&sql, 11);
        all(&mut size, &sql);
        all(&mut size, &sql);
        assert!(size.bytes <= 1_000, "{size:?}");
    }

    #[test]
    fn a_step_is_bounded_and_says_that_there_is_more() {
        let sql = store();
        add(&sql, 2 * COUNTED + 1);
        let mut size = JournalSize::new(100);
        assert!(size.step(&sql).unwrap());
        assert_eq!(size.counted, COUNTED);
        let rows = 2 * COUNTED + 1;
        assert_eq!(left(&sql), (DELETED + 1, rows));
        let steps = all(&mut size, &sql);
        assert_eq!((left(&sql), size.bytes), ((rows, rows), 100));
        assert_eq!(steps, 4, "2,000 rows each");
    }
}
