//! The floor of the store: the rows of decisions, written by SQLite alone.
//!
//! Owns: writing such rows as a host does (same pragmas, 64 decisions a commit) and counting them. A
//! saga is three decisions, so no host on this machine reaches a third of this rate while it also
//! serves requests and calls rules.
//!
//! Must not know: the host.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rusqlite::{Connection, params};

/// Decisions in a commit.
const BATCH: usize = 64;

/// Time for which rows are written.
const WINDOW: Duration = Duration::from_secs(2);

/// Aggregates whose states are written again and again.
const AGGREGATES: u64 = 10_000;

/// The shape of the host's tables, as far as a decision writes them.
const TABLES: &str = "
CREATE TABLE aggregates (participant INTEGER, key TEXT, revision INTEGER, state TEXT, PRIMARY KEY (participant, key)) WITHOUT ROWID;
CREATE TABLE inbox (participant INTEGER, id BLOB, source TEXT, time INTEGER, PRIMARY KEY (participant, id, source)) WITHOUT ROWID;
CREATE TABLE outbox (topic INTEGER, offset INTEGER, value BLOB, id BLOB, PRIMARY KEY (topic, offset)) WITHOUT ROWID;
CREATE TABLE journal (seq INTEGER PRIMARY KEY, key TEXT, state TEXT, decision BLOB, time INTEGER);
";

/// Decisions per second whose rows SQLite alone writes durably, in a directory of its own below
/// `directory` that is removed afterwards.
///
/// # Errors
/// The file can't be written.
pub(crate) fn measure(directory: &Path) -> Result<f64> {
    let own = tempfile::tempdir_in(directory)
        .with_context(|| format!("can't measure in {}", directory.display()))?;
    let path = own.path().join("floor.db");
    write(&path, WINDOW).with_context(|| format!("can't measure with {}", path.display()))
}

fn write(path: &Path, window: Duration) -> Result<f64> {
    let sql = Connection::open(path)?;
    sql.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    sql.pragma_update(None, "synchronous", "FULL")?;
    sql.execute_batch(TABLES)?;
    let (start, mut written) = (Instant::now(), 0_u64);
    while start.elapsed() < window {
        sql.execute_batch("BEGIN IMMEDIATE")?;
        for _ in 0..BATCH {
            decide(&sql, written)?;
            written += 1;
        }
        sql.execute_batch("COMMIT")?;
    }
    Ok(written as f64 / start.elapsed().as_secs_f64())
}

/// The rows of a decision: of an event, which publishes another one.
fn decide(sql: &Connection, number: u64) -> rusqlite::Result<()> {
    let key = (number.wrapping_mul(7_919) % AGGREGATES).to_string();
    let id = u128::from(number).to_be_bytes();
    let (state, decision) = ([b's'; 100], [b'd'; 150]);
    let state = std::str::from_utf8(&state)?;
    sql.prepare_cached("INSERT INTO inbox VALUES (1, ?1, '/saga/order', 0)")?
        .execute([id])?;
    sql.prepare_cached(
        "INSERT INTO aggregates VALUES (1, ?1, 1, ?2)
         ON CONFLICT DO UPDATE SET revision = revision + 1, state = excluded.state",
    )?
    .execute(params![key, state])?;
    sql.prepare_cached("INSERT INTO journal (key, state, decision, time) VALUES (?1, ?2, ?3, 0)")?
        .execute(params![key, state, decision])?;
    sql.prepare_cached("INSERT INTO outbox VALUES (1, ?1, ?2, ?3)")?
        .execute(params![number as i64, state.as_bytes(), id])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decisions_are_written_and_counted() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("floor.db");
        let rate = write(&path, Duration::from_millis(1)).unwrap();
        let sql = Connection::open(&path).unwrap();
        let rows = |table: &str| -> i64 {
            let count = format!("SELECT count(*) FROM {table}");
            sql.query_row(&count, [], |row| row.get(0)).unwrap()
        };
        let written = rows("journal");
        assert!(rate > 0.0 && written >= BATCH as i64, "{rate} {written}");
        for table in ["inbox", "outbox"] {
            assert_eq!(rows(table), written, "{table}");
        }
        assert_eq!(rows("aggregates"), written.min(AGGREGATES as i64));
    }

    #[test]
    fn a_directory_that_is_not_there_is_named() {
        let error = measure(Path::new("/nonexistent/here")).unwrap_err();
        assert!(
            format!("{error:#}").contains("/nonexistent/here"),
            "{error:#}"
        );
    }
}
