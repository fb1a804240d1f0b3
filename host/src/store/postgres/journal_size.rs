//! The sizes of the journal's rows.

use super::error::SqlResult;
use super::session::Sql;
use crate::store::writing::journal_size::JournalSizes;

/// The bytes of a row of the journal, in SQL: 24 stand for its numbers.
pub(super) const BYTES: &str =
    "(octet_length(key) + coalesce(octet_length(state), 0) + octet_length(decision) + 24)::bigint";

impl JournalSizes for Sql {
    type Error = super::error::SqlError;

    fn sizes(&self, behind: i64, most: i64) -> SqlResult<(i64, i64, Option<i64>)> {
        let row = self.one(
            &format!(
                "SELECT count(*), coalesce(sum(bytes), 0)::bigint, max(seq) FROM
                 (SELECT seq, {BYTES} AS bytes FROM journal WHERE seq > $1 ORDER BY seq LIMIT $2) rows"
            ),
            &[&behind, &most],
        )?;
        Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))
    }

    fn oldest(&self, to: i64, most: i64) -> SqlResult<Vec<(i64, i64)>> {
        let rows = self.query(
            &format!("SELECT seq, {BYTES} FROM journal WHERE seq <= $1 ORDER BY seq LIMIT $2"),
            &[&to, &most],
        )?;
        (rows.iter())
            .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
            .collect()
    }

    fn delete(&self, to: i64) -> SqlResult<()> {
        self.execute("DELETE FROM journal WHERE seq <= $1", &[&to])
            .map(drop)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use saga_testkit::postgres;

    use crate::store::postgres::address::ServerAddress;
    use crate::store::postgres::tables;
    use crate::store::writing::journal_size::JournalSize;

    #[test]
    fn the_oldest_rows_go_until_the_rest_fits() {
        if !postgres::can_run() {
            return;
        }
        let address = ServerAddress::of_test("journal_size");
        let sql = tables::open(&address, true).unwrap().unwrap();
        // Rows of 100 bytes.
        sql.run(
            "INSERT INTO journal (seq, generation, key, revision, state, decision, fuel, time)
             SELECT i, 1, 'ä', 0, CASE WHEN i % 2 = 1 THEN '12345678' END,
                 decode(repeat('00', CASE WHEN i % 2 = 1 THEN 66 ELSE 74 END), 'hex'), 0, 0 FROM generate_series(1, 10) i",
        )
        .unwrap();
        let mut size = JournalSize::new(750);
        while size.step(&sql).unwrap() {}
        assert_eq!(size.bytes, 700);
        let left = sql
            .one("SELECT min(seq), max(seq) FROM journal", &[])
            .unwrap();
        assert_eq!((left.get::<_, i64>(0), left.get::<_, i64>(1)), (4, 10));
    }
}
