//! All rows of a store, to be copied and checked; see [`copy`](crate::store::copy).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use parking_lot::Mutex;
use tokio_postgres::types::ToSql;

use super::address::{ServerAddress, quoted};
use super::error::{SqlError, SqlResult};
use super::membership::{self, SIGN_OF_LIFE};
use super::session::Sql;
use super::tables;
use crate::store::copy::kinds::{Column, Form, KINDS, Kind, LAST_NUMBERS};
use crate::store::copy::rows::{EachPage, Rows, RowsResult, TargetRows};
use crate::store::copy::value::{Row, Value};
use crate::store::open_error::OpenError;

/// Rows of a page. Each may be as large as a record.
const PAGE: usize = 100;

/// Time without a sign of life from the server after which a store may be another's.
const DOUBTFUL: Duration = Duration::from_secs(4);

/// The host that tallies are counted for which were copied.
const NO_HOST: i64 = 0;

/// Settings of a transaction that reads or writes whole tables, and waits for another store
/// meanwhile.
const WHOLE_TABLES: &str =
    "SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL enable_seqscan = on;
    SET LOCAL plan_cache_mode = auto";

/// The last given numbers of the tables that give none twice.
const NUMBERS: &str =
    "SELECT name, coalesce(pg_sequence_last_value(pg_get_serial_sequence(name, 'id')::regclass), 0)
    FROM (VALUES ('parked'), ('dead_letters')) AS n(name)";

/// The rows of the store at this address, which no host uses. None if there is none.
pub(in crate::store) fn rows(address: &ServerAddress) -> Result<Option<Box<dyn Rows>>, OpenError> {
    let Some(sql) = tables::open(address, false)? else {
        return Ok(None);
    };
    let held = Held::take(address)?;
    begin_reading(&sql).map_err(|error| tables::failed(address, &error))?;
    Ok(Some(Box::new(ServerRows {
        sql,
        held: Some(held),
    })))
}

/// The rows of the store at this address, beside the hosts that may use it. None if there is none.
pub(in crate::store) fn rows_beside(
    address: &ServerAddress,
) -> Result<Option<Box<dyn Rows>>, OpenError> {
    let Some(sql) = tables::open(address, false)? else {
        return Ok(None);
    };
    begin_reading(&sql).map_err(|error| tables::failed(address, &error))?;
    Ok(Some(Box::new(ServerRows { sql, held: None })))
}

/// A store at this address to be filled; its tables are created if there are none.
pub(in crate::store) fn target_rows(
    address: &ServerAddress,
) -> Result<Box<dyn TargetRows>, OpenError> {
    let Some(sql) = tables::open(address, true)? else {
        unreachable!("it is created if it is not there");
    };
    let held = Held::take(address)?;
    Ok(Box::new(ServerTarget {
        rows: ServerRows {
            sql,
            held: Some(held),
        },
        schema: quoted(address.schema()),
    }))
}

fn begin_reading(sql: &Sql) -> SqlResult<()> {
    sql.run(&format!(
        "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; {WHOLE_TABLES}"
    ))
}

/// A store that is this process's, as if a host ran on it.
struct Held {
    me: membership::Membership,
    is_lost: Arc<AtomicBool>,
    /// The last sign of life that the server took.
    shown: Arc<Mutex<Instant>>,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Held {
    /// Takes the store, and shows that it is in use on a session of its own.
    fn take(address: &ServerAddress) -> Result<Self, OpenError> {
        let failed = |error| tables::failed(address, &error);
        let sql = address.connect().map_err(failed)?;
        let me = membership::hold_alone(&sql, address)?;
        let is_lost = Arc::<AtomicBool>::default();
        let shown = Arc::new(Mutex::new(Instant::now()));
        let (stop, stopped) = bounded(0);
        let thread = std::thread::Builder::new()
            .name("store-held".into())
            .spawn({
                let (is_lost, shown) = (is_lost.clone(), shown.clone());
                move || {
                    while stopped.recv_timeout(SIGN_OF_LIFE) == Err(RecvTimeoutError::Timeout) {
                        match membership::show(&sql, me) {
                            Ok(Some(_)) => *shown.lock() = Instant::now(),
                            Ok(None) => is_lost.store(true, Ordering::Relaxed),
                            Err(_) => {}
                        }
                    }
                    // If this fails, the next host waits for a few seconds.
                    let _ = membership::leave(&sql, me);
                }
            });
        let thread = thread.map_err(|error| OpenError::Server {
            store: address.to_string(),
            reason: error.to_string(),
        })?;
        Ok(Self {
            me,
            is_lost,
            shown,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    fn check(&self) -> RowsResult<()> {
        if self.is_lost.load(Ordering::Relaxed) {
            return Err("a host has started on the store meanwhile".into());
        }
        match self.shown.lock().elapsed() < DOUBTFUL {
            true => Ok(()),
            false => Err(
                "the server took no sign of life for seconds, so a host may have started on it"
                    .into(),
            ),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of it was printed; the store is given up after its silence.
            let _ = thread.join();
        }
    }
}

struct ServerRows {
    /// In a transaction.
    sql: Sql,
    held: Option<Held>,
}

impl ServerRows {
    fn read_pages(&self, kind: &Kind, each: &mut EachPage<'_>) -> RowsResult<()> {
        let cursor = format!("{}_rows", kind.table);
        let declared = format!("DECLARE {cursor} NO SCROLL CURSOR FOR {}", select(kind));
        self.sql.run(&declared).map_err(said)?;
        let fetch = format!("FETCH {PAGE} FROM {cursor}");
        loop {
            let rows = self.sql.query(&fetch, &[]).map_err(said)?;
            let is_last = rows.len() < PAGE;
            let page: SqlResult<Vec<Row>> = rows.iter().map(|row| values(kind, row)).collect();
            let page = page.map_err(said)?;
            if !page.is_empty() {
                each(page)?;
            }
            if is_last {
                return self.sql.run(&format!("CLOSE {cursor}")).map_err(said);
            }
        }
    }
}

impl Rows for ServerRows {
    fn read(&self, kind: &'static Kind, each: &mut EachPage<'_>) -> RowsResult<()> {
        self.read_pages(kind, each)
    }

    fn check_held(&self) -> RowsResult<()> {
        self.held.as_ref().map_or(Ok(()), Held::check)
    }

    fn inspect(&self) -> RowsResult<(&'static str, Vec<String>)> {
        let rows = self.sql.query(
            "SELECT i.indexrelid::regclass::text FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
             WHERE c.relnamespace = current_schema()::regnamespace AND NOT (i.indisvalid AND i.indisready)",
            &[],
        );
        let names = rows.map_err(said)?;
        let names = names.iter().map(|row| row.try_get::<_, String>(0));
        let wrong: Result<Vec<_>, _> = names
            .map(|name| Ok(format!("the index {} is not valid: REINDEX it", name?)))
            .collect();
        let wrong = wrong.map_err(|error| said(SqlError::Server(error)))?;
        Ok(("PostgreSQL's state of the indexes", wrong))
    }
}

struct ServerTarget {
    rows: ServerRows,
    schema: String,
}

impl ServerTarget {
    fn write_rows(&self, kind: &Kind, rows: &[Row]) -> SqlResult<()> {
        let sql = &self.rows.sql;
        if kind.table == LAST_NUMBERS {
            for row in rows {
                if let [Value::Text(table), Value::Integer(last @ 1..)] = row.as_slice() {
                    let set = "SELECT setval(pg_get_serial_sequence($1::text, 'id')::regclass, $2::bigint)";
                    sql.query(set, &[table, last])?;
                }
            }
            return Ok(());
        }
        let columns: Vec<_> = (kind.columns.iter().enumerate())
            .map(|(at, column)| Values::of(column, rows, at))
            .collect();
        let values: Vec<_> = columns.iter().map(Values::parameter).collect();
        sql.execute(&insert(kind), &values).map(drop)
    }

    /// Numbers that are given from now on follow those of the rows.
    fn set_sequences(&self) -> SqlResult<()> {
        let sql = &self.rows.sql;
        let tables = sql.query(
            "SELECT table_name::text FROM information_schema.columns
             WHERE table_schema = current_schema() AND column_name = 'id' AND is_identity = 'YES'",
            &[],
        )?;
        for row in tables {
            let table: String = row.try_get(0)?;
            sql.run(&format!(
                "SELECT setval(s, greatest(m, coalesce(pg_sequence_last_value(s), m)))
                 FROM (SELECT pg_get_serial_sequence('{table}', 'id')::regclass AS s, (SELECT max(id) FROM {table}) AS m) n
                 WHERE m IS NOT NULL"
            ))?;
        }
        sql.run("UPDATE journal_end SET seq = coalesce((SELECT max(seq) FROM journal), 0)")
    }
}

impl TargetRows for ServerTarget {
    fn filled(&self) -> RowsResult<Option<&'static Kind>> {
        for kind in KINDS.iter().filter(|kind| kind.table != LAST_NUMBERS) {
            let any = format!("SELECT 1 FROM {} LIMIT 1", kind.table);
            if self.rows.sql.row(&any, &[]).map_err(said)?.is_some() {
                return Ok(Some(kind));
            }
        }
        Ok(None)
    }

    fn remedy(&self) -> String {
        format!(
            "Name another schema (store.schema) or database; or drop what is there: DROP SCHEMA {} CASCADE",
            self.schema
        )
    }

    fn takes_nul(&self) -> bool {
        false
    }

    fn begin(&mut self) -> RowsResult<()> {
        let begin = format!("BEGIN; {WHOLE_TABLES}");
        self.rows.sql.run(&begin).map_err(said)
    }

    fn write(&mut self, kind: &'static Kind, rows: Vec<Row>) -> RowsResult<()> {
        self.write_rows(kind, &rows).map_err(said)
    }

    fn finish(&mut self) -> RowsResult<()> {
        self.set_sequences().map_err(said)
    }

    fn rows(&self) -> &dyn Rows {
        &self.rows
    }

    fn commit(self: Box<Self>) -> RowsResult<()> {
        let sql = &self.rows.sql;
        if let Some(held) = &self.rows.held {
            // Waits for nobody: a host that took the store over has committed that.
            let ours = membership::last_commit(sql, held.me).map_err(said)?;
            if ours.is_none() {
                return Err("a host has started on the store meanwhile".into());
            }
        }
        let number = "SELECT pg_current_xact_id()::text";
        let number: String = (sql.one(number, &[]))
            .and_then(|row| Ok(row.try_get(0)?))
            .map_err(said)?;
        sql.run("COMMIT").map_err(said)?;
        // COMMIT of an aborted transaction succeeds too.
        let status = "SELECT pg_xact_status($1::text::xid8)";
        let status: Option<String> = (sql.one(status, &[&number]))
            .and_then(|row| Ok(row.try_get(0)?))
            .map_err(said)?;
        match status.as_deref() {
            Some("committed") => Ok(()),
            other => Err(format!(
                "the server says that the copy is {}",
                other.unwrap_or("unknown")
            )),
        }
    }
}

fn said(error: SqlError) -> String {
    error.to_string()
}

fn select(kind: &Kind) -> String {
    if kind.table == LAST_NUMBERS {
        return NUMBERS.into();
    }
    let columns: Vec<_> = kind.columns.iter().map(read_as).collect();
    let columns = columns.join(", ");
    let keys: Vec<_> = (kind.columns.iter().take(kind.key))
        .map(|column| column.name)
        .collect();
    let keys = keys.join(", ");
    match kind.table {
        // Each host has counted for itself.
        "tallies" => "SELECT generation, origin, name, sum(decisions)::bigint, sum(refusals)::bigint,
                 sum(faults)::bigint, max(last) FROM tallies GROUP BY generation, origin, name ORDER BY 1, 2, 3"
            .into(),
        // Keys are deleted in the order in which they were written.
        "idempotency_keys" => format!("SELECT {columns} FROM {} ORDER BY time, {keys}", kind.table),
        // A partition may be claimed that nothing was read of.
        "offsets" => format!("SELECT {columns} FROM offsets WHERE next_offset IS NOT NULL ORDER BY {keys}"),
        table => format!("SELECT {columns} FROM {table} ORDER BY {keys}"),
    }
}

fn read_as(column: &Column) -> String {
    match column.form {
        Form::Small => format!("{}::bigint", column.name),
        Form::Boolean => format!("{}::integer::bigint", column.name),
        _ => column.name.into(),
    }
}

fn insert(kind: &Kind) -> String {
    let (mut names, mut given, mut types) = (Vec::new(), Vec::new(), Vec::new());
    for (at, column) in kind.columns.iter().enumerate() {
        let name = column.name;
        names.push(name.to_owned());
        given.push(match column.form {
            Form::Small => format!("r.{name}::integer"),
            Form::Boolean => format!("r.{name}::integer::boolean"),
            _ => format!("r.{name}"),
        });
        let form = match column.form {
            Form::Integer | Form::Small | Form::Boolean => "bigint",
            Form::Text | Form::Id | Form::Trace => "text",
            Form::Bytes | Form::Decision => "bytea",
        };
        types.push(format!("${}::{form}[]", at + 1));
    }
    let fields = names.join(", ");
    if kind.table == "tallies" {
        names.push("host".into());
        given.push(NO_HOST.to_string());
    }
    format!(
        "INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM unnest({}) AS r({fields})",
        kind.table,
        names.join(", "),
        given.join(", "),
        types.join(", ")
    )
}

/// The values of a column.
enum Values<'r> {
    Integers(Vec<Option<i64>>),
    Texts(Vec<Option<&'r str>>),
    Bytes(Vec<Option<&'r [u8]>>),
}

impl<'r> Values<'r> {
    fn of(column: &Column, rows: &'r [Row], at: usize) -> Self {
        let values = rows.iter().map(|row| row.get(at));
        match column.form {
            Form::Integer | Form::Small | Form::Boolean => {
                Self::Integers(values.map(|value| value?.integer()).collect())
            }
            Form::Text | Form::Id | Form::Trace => {
                Self::Texts(values.map(|value| value?.text()).collect())
            }
            Form::Bytes | Form::Decision => {
                Self::Bytes(values.map(|value| value?.bytes()).collect())
            }
        }
    }

    fn parameter(&self) -> &(dyn ToSql + Sync) {
        match self {
            Self::Integers(values) => values,
            Self::Texts(values) => values,
            Self::Bytes(values) => values,
        }
    }
}

fn values(kind: &Kind, row: &tokio_postgres::Row) -> SqlResult<Row> {
    let mut values = Row::with_capacity(kind.columns.len());
    for (at, column) in kind.columns.iter().enumerate() {
        values.push(match column.form {
            Form::Integer | Form::Small | Form::Boolean => {
                let number: Option<i64> = row.try_get(at)?;
                number.map_or(Value::Missing, Value::Integer)
            }
            Form::Text | Form::Id | Form::Trace => {
                let text: Option<String> = row.try_get(at)?;
                text.map_or(Value::Missing, Value::Text)
            }
            Form::Bytes | Form::Decision => {
                let bytes: Option<Vec<u8>> = row.try_get(at)?;
                bytes.map_or(Value::Missing, Value::Bytes)
            }
        });
    }
    Ok(values)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use saga_testkit::postgres;

    use super::*;

    /// What hosts have for themselves while they run, what they make from the states, and numbers that follow those of the rows.
    const OWN: [&str; 13] = [
        "store.",
        "hosts.",
        "proposal.",
        "answers.",
        "candidates.",
        "duties.",
        "components.",
        "lists.",
        "listed.",
        "journal_end.",
        "tallies.host",
        "offsets.epoch",
        "offsets.owner",
    ];

    #[test]
    fn every_column_of_every_table_is_copied() {
        if !postgres::can_run() {
            return;
        }
        let address = ServerAddress::of_test("columns");
        let sql = tables::open(&address, true).unwrap().unwrap();
        let rows = sql
            .query(
                "SELECT table_name || '.' || column_name FROM information_schema.columns
                 WHERE table_schema = current_schema()",
                &[],
            )
            .unwrap();
        assert!(rows.len() > 100, "{}", rows.len());
        let found = rows.iter().map(|row| row.get::<_, String>(0));
        let left = found.filter(|column| {
            let is_copied = KINDS.iter().any(|kind| {
                let mut names = kind.columns.iter().map(|column| column.name);
                names.any(|name| format!("{}.{name}", kind.table) == *column)
            });
            !is_copied && !OWN.iter().any(|own| column.starts_with(own))
        });
        assert_eq!(left.collect::<Vec<_>>(), [""; 0]);
    }
}
