//! The bytes of the recorded decisions, and the bound on them.
//!
//! The size of the journal is that of its rows: key, state and packed decision, and 24 bytes for the
//! numbers beside them. The file is larger by what SQLite adds, and keeps the room of deleted rows for
//! later ones. Nothing is counted in turns: the pruner reads the sizes of the rows that came since its
//! last step, and once at the start those of all rows, a step at a time.

use rusqlite::{Connection, params};

/// Rows whose sizes one step reads. Of a row, only its first page is read.
const COUNTED: i64 = 5_000;

/// Rows that one step deletes at most.
const DELETED: i64 = 2_000;

/// The bytes of a row of the journal, in SQL: 24 stand for its numbers.
pub(super) const BYTES: &str =
    "octet_length(key) + coalesce(octet_length(state), 0) + octet_length(decision) + 24";

/// The size of the journal as far as it is counted, and its bound.
#[derive(Debug)]
pub(super) struct JournalSize {
    /// Most bytes; 0 for no bound.
    most: u64,
    /// Bytes of the rows that are counted.
    bytes: u64,
    /// Number of the last one.
    counted: i64,
}

impl JournalSize {
    pub(super) fn new(most: u64) -> Self {
        Self {
            most,
            bytes: 0,
            counted: i64::MIN,
        }
    }

    /// True if there is a bound.
    pub(super) fn is_bounded(&self) -> bool {
        self.most > 0
    }

    /// Notes that another part deleted a row of this number and these bytes.
    pub(super) fn is_deleted(&mut self, number: i64, bytes: i64) {
        if number <= self.counted {
            self.bytes = self.bytes.saturating_sub(bytes.unsigned_abs());
        }
    }

    /// Counts further rows, and deletes the oldest ones beyond the bound. Returns true if there is more
    /// to do.
    pub(super) fn step(&mut self, sql: &Connection) -> rusqlite::Result<bool> {
        if !self.is_bounded() {
            return Ok(false);
        }
        let counts_on = self.count(sql)?;
        let deletes_on = self.bytes > self.most && self.delete(sql)?;
        Ok(counts_on || deletes_on)
    }

    fn count(&mut self, sql: &Connection) -> rusqlite::Result<bool> {
        let (rows, bytes, last): (i64, i64, Option<i64>) = sql
            .prepare_cached(&format!(
                "SELECT count(*), coalesce(sum(bytes), 0), max(seq) FROM
                 (SELECT seq, {BYTES} AS bytes FROM journal WHERE seq > ?1 ORDER BY seq LIMIT ?2)"
            ))?
            .query_row(params![self.counted, COUNTED], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?;
        self.bytes = self.bytes.saturating_add(bytes.unsigned_abs());
        self.counted = last.unwrap_or(self.counted);
        Ok(rows == COUNTED)
    }

    /// Deletes the oldest rows that are counted, until what is left fits; not all in one step.
    fn delete(&mut self, sql: &Connection) -> rusqlite::Result<bool> {
        let mut statement = sql.prepare_cached(&format!(
            "SELECT seq, {BYTES} FROM journal WHERE seq <= ?1 ORDER BY seq LIMIT ?2"
        ))?;
        let mut rows = statement.query(params![self.counted, DELETED])?;
        let (mut left, mut last) = (self.bytes, None);
        while left > self.most
            && let Some(row) = rows.next()?
        {
            last = Some(row.get::<_, i64>(0)?);
            left = left.saturating_sub(row.get::<_, i64>(1)?.unsigned_abs());
        }
        drop(rows);
        let Some(last) = last else {
            // Rows went that were not told of.
            self.bytes = 0;
            self.counted = i64::MIN;
            return Ok(true);
        };
        sql.prepare_cached("DELETE FROM journal WHERE seq <= ?1")?
            .execute([last])?;
        self.bytes = left;
        Ok(left > self.most)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use super::*;
    use crate::store::sqlite::schema;

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
