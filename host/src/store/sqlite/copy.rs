//! All rows of a store, to be copied and checked; see [`copy`](crate::store::copy).

use std::fmt::Write as _;
use std::path::Path;

use rusqlite::types::ToSqlOutput;
use rusqlite::{Connection, ToSql, params_from_iter};

use super::explain::explain;
use super::file::{self, StoreFile};
use super::ids::{Id, IdText, Trace, TraceText};
use super::log_mark::LogMark;
use super::packing::{Dictionaries, Unpacking};
use crate::store::copy::kinds::{Form, KINDS, Kind, LAST_NUMBERS};
use crate::store::copy::rows::{EachPage, Rows, RowsResult, TargetRows};
use crate::store::copy::value::{Row, Value};
use crate::store::open_error::OpenError;
use crate::store::settings::StoreSettings;

/// Most rows, and most bytes of their values but for the last one, of a page.
const PAGE_ROWS: usize = 500;
const PAGE_BYTES: usize = 1 << 20;

/// Most findings of `PRAGMA integrity_check`.
const FINDINGS: u32 = 20;

/// The last given numbers of the tables that give none twice.
const NUMBERS: &str =
    "SELECT column1, coalesce((SELECT seq FROM sqlite_sequence WHERE name = column1), 0)
     FROM (VALUES ('parked'), ('dead_letters'))";

/// The rows of the store in this directory, which no host has open. None if there is none.
pub(in crate::store) fn rows(directory: &Path) -> Result<Option<Box<dyn Rows>>, OpenError> {
    if matches!(super::look(directory), Ok(None)) {
        return Ok(None);
    }
    let file = StoreFile::open(directory)?;
    let failed = |error: rusqlite::Error| explain(file.path().to_owned(), &error);
    let sql = file.reading().map_err(failed)?;
    begin_reading(&sql).map_err(failed)?;
    Ok(Some(Box::new(SqliteRows {
        sql,
        _file: Some(file),
    })))
}

/// The rows of the store in this directory, beside the host that may have it open. None if there is
/// none.
pub(in crate::store) fn rows_beside(directory: &Path) -> Result<Option<Box<dyn Rows>>, OpenError> {
    let Some(sql) = file::connect(directory)? else {
        return Ok(None);
    };
    begin_reading(&sql).map_err(|error| explain(directory.join(file::FILE_NAME), &error))?;
    Ok(Some(Box::new(SqliteRows { sql, _file: None })))
}

/// A store in this directory to be filled; it is created if there is none.
pub(in crate::store) fn target_rows(directory: &Path) -> Result<Box<dyn TargetRows>, OpenError> {
    let file = StoreFile::open(directory)?;
    let failed = |error: rusqlite::Error| explain(file.path().to_owned(), &error);
    let mut sql = file.writing().map_err(failed)?;
    let unusable = |reason: String| OpenError::Unusable {
        path: file.path().to_owned(),
        reason,
    };
    let mark = LogMark::new(file.path(), &mut sql).map_err(|error| unusable(error.to_string()))?;
    // As with the settings that a host has unless it is told otherwise.
    let used_for = StoreSettings::default().retention_hours * 1_800_000;
    let dictionaries = Dictionaries::load(&sql, used_for).map_err(failed)?;
    Ok(Box::new(SqliteTarget {
        rows: SqliteRows {
            sql,
            _file: Some(file),
        },
        mark,
        dictionaries,
        participants: Vec::new(),
    }))
}

fn begin_reading(sql: &Connection) -> rusqlite::Result<()> {
    // Indexes and sorts of a check may be as large as the store.
    sql.pragma_update(None, "temp_store", "FILE")?;
    sql.execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema")
}

struct SqliteRows {
    sql: Connection,
    /// Holds the lock; released after the connection is closed.
    _file: Option<StoreFile>,
}

impl SqliteRows {
    fn read_pages(&self, kind: &Kind, each: &mut EachPage<'_>) -> RowsResult<()> {
        let mut unpacking = Unpacking::new(&self.sql);
        let mut statement = self.sql.prepare(&select(kind)).map_err(said)?;
        let mut rows = statement.query([]).map_err(said)?;
        let (mut page, mut bytes) = (Vec::new(), 0);
        while let Some(read) = rows.next().map_err(said)? {
            let mut row = Row::with_capacity(kind.columns.len());
            for (at, column) in kind.columns.iter().enumerate() {
                let value = value(read, at, column.form, &mut unpacking);
                let value = value.map_err(|why| {
                    let key: Vec<_> = row.iter().take(kind.key).map(Value::shown).collect();
                    format!("{}, column {}: {why}", key.join(", "), column.name)
                })?;
                bytes += size(&value);
                row.push(value);
            }
            page.push(row);
            if page.len() == PAGE_ROWS || bytes >= PAGE_BYTES {
                bytes = 0;
                each(std::mem::take(&mut page))?;
            }
        }
        match page.is_empty() {
            true => Ok(()),
            false => each(page),
        }
    }
}

impl Rows for SqliteRows {
    fn read(&self, kind: &'static Kind, each: &mut EachPage<'_>) -> RowsResult<()> {
        self.read_pages(kind, each)
    }

    fn check_held(&self) -> RowsResult<()> {
        // The lock does not get lost.
        Ok(())
    }

    fn inspect(&self) -> RowsResult<(&'static str, Vec<String>)> {
        let mut statement = (self.sql)
            .prepare(&format!("PRAGMA integrity_check({FINDINGS})"))
            .map_err(said)?;
        let lines = statement.query_map([], |row| row.get::<_, String>(0));
        let lines: Result<Vec<_>, _> = lines.map_err(said)?.collect();
        let wrong = lines.map_err(said)?.into_iter();
        let wrong = wrong.filter(|line| line != "ok");
        Ok(("SQLite's check of the file", wrong.collect()))
    }
}

struct SqliteTarget {
    rows: SqliteRows,
    mark: LogMark,
    dictionaries: Dictionaries,
    /// The participants of the generations.
    participants: Vec<(i64, i64)>,
}

impl SqliteTarget {
    fn write_rows(&mut self, kind: &'static Kind, rows: Vec<Row>) -> rusqlite::Result<()> {
        if kind.table == LAST_NUMBERS {
            return self.set_numbers(&rows);
        }
        let (generation, time) = (kind.place("generation"), kind.place("time"));
        let insert = insert(kind);
        for mut row in rows {
            if kind.table == "generations"
                && let [id, participant, ..] = row.as_slice()
            {
                let pair = id.integer().zip(participant.integer());
                self.participants.extend(pair);
            }
            for (at, column) in kind.columns.iter().enumerate() {
                if column.form == Form::Decision {
                    let of = |place: Option<usize>| row.get(place?)?.integer();
                    let (generation, time) = (of(generation), of(time));
                    let packed = row.get(at).and_then(Value::bytes);
                    let packed =
                        packed.map(|plain| self.pack(generation, plain, time.unwrap_or(0)));
                    if let (Some(packed), Some(value)) = (packed, row.get_mut(at)) {
                        *value = Value::Bytes(packed?);
                    }
                }
            }
            let values = kind.columns.iter().zip(&row);
            let values = values.map(|(column, value)| Stored(column.form, value));
            let mut statement = self.rows.sql.prepare_cached(&insert)?;
            statement.execute(params_from_iter(values))?;
        }
        Ok(())
    }

    fn pack(&self, generation: Option<i64>, plain: &[u8], time: i64) -> rusqlite::Result<Vec<u8>> {
        let by = (self.participants.iter()).find(|(id, _)| Some(*id) == generation);
        let participant = by.map_or(0, |(_, participant)| *participant);
        let time = u64::try_from(time).unwrap_or(0);
        let (packed, missing) = self.dictionaries.packed(participant, plain, time);
        if let Some(new) = missing {
            new.write(&self.rows.sql)?;
            self.dictionaries.is_written(new, true);
        }
        Ok(packed)
    }

    fn set_numbers(&self, rows: &[Row]) -> rusqlite::Result<()> {
        for row in rows {
            let [table, last] = row.as_slice() else {
                continue;
            };
            let (table, last) = (table.text().unwrap_or_default(), last.integer());
            let sql = &self.rows.sql;
            sql.execute("DELETE FROM sqlite_sequence WHERE name = ?1", [table])?;
            sql.execute(
                "INSERT INTO sqlite_sequence (name, seq) VALUES (?1, ?2)",
                (table, last),
            )?;
        }
        Ok(())
    }
}

impl TargetRows for SqliteTarget {
    fn filled(&self) -> RowsResult<Option<&'static Kind>> {
        for kind in KINDS.iter().filter(|kind| kind.table != LAST_NUMBERS) {
            let any = format!("SELECT 1 FROM {}", kind.table);
            let mut statement = self.rows.sql.prepare(&any).map_err(said)?;
            if statement.exists([]).map_err(said)? {
                return Ok(Some(kind));
            }
        }
        Ok(None)
    }

    fn remedy(&self) -> String {
        "Name a data directory that has no store yet".into()
    }

    fn takes_nul(&self) -> bool {
        true
    }

    fn begin(&mut self) -> RowsResult<()> {
        self.rows.sql.execute_batch("BEGIN IMMEDIATE").map_err(said)
    }

    fn write(&mut self, kind: &'static Kind, rows: Vec<Row>) -> RowsResult<()> {
        self.write_rows(kind, rows).map_err(said)
    }

    fn finish(&mut self) -> RowsResult<()> {
        Ok(())
    }

    fn rows(&self) -> &dyn Rows {
        &self.rows
    }

    fn commit(mut self: Box<Self>) -> RowsResult<()> {
        self.rows.sql.execute_batch("COMMIT").map_err(said)?;
        // The commit is durable in the log; a host moves it to the file if this fails.
        let closed = self.mark.close(&self.rows.sql);
        if let Err(error) = closed {
            tracing::warn!(%error, "the store's log can't be moved to its file now; the next host does it");
        }
        file::close(self.rows.sql).map_err(said)
    }
}

fn said(error: rusqlite::Error) -> String {
    error.to_string()
}

/// The name of a column in this engine's tables.
fn own_name(column: &str) -> &str {
    match column {
        "position" => "offset",
        other => other,
    }
}

fn columns(kind: &Kind) -> String {
    let names: Vec<_> = (kind.columns.iter())
        .map(|column| own_name(column.name))
        .collect();
    names.join(", ")
}

fn select(kind: &Kind) -> String {
    if kind.table == LAST_NUMBERS {
        return NUMBERS.into();
    }
    let keys = kind.columns.iter().take(kind.key);
    let keys: Vec<_> = keys.map(|column| own_name(column.name)).collect();
    // Keys are deleted in the order in which they were written.
    let order = match kind.table {
        "idempotency_keys" => "seq".to_owned(),
        _ => keys.join(", "),
    };
    format!(
        "SELECT {} FROM {} ORDER BY {order}",
        columns(kind),
        kind.table
    )
}

fn insert(kind: &Kind) -> String {
    let mut places = String::new();
    for number in 1..=kind.columns.len() {
        let comma = if number == 1 { "" } else { ", " };
        let _ = write!(places, "{comma}?{number}");
    }
    format!(
        "INSERT INTO {} ({}) VALUES ({places})",
        kind.table,
        columns(kind)
    )
}

/// A value in the form in which its column has it here.
struct Stored<'v>(Form, &'v Value);

impl ToSql for Stored<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        use rusqlite::types::{Value as Sql, ValueRef};
        let bytes = |bytes: &[u8]| ToSqlOutput::Owned(Sql::Blob(bytes.to_owned()));
        match (self.0, self.1) {
            (_, Value::Missing) => Ok(ToSqlOutput::Owned(Sql::Null)),
            (_, Value::Integer(number)) => number.to_sql(),
            (Form::Id, Value::Text(text)) => Ok(match Id::of(text) {
                Id::Uuid(id) => bytes(&id),
                Id::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
            }),
            (Form::Trace, Value::Text(text)) => Ok(match Trace::of(text) {
                Trace::Own(trace) => bytes(&trace),
                Trace::Other(trace) => bytes(&trace),
                Trace::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
            }),
            (_, Value::Text(text)) => text.to_sql(),
            (_, Value::Bytes(bytes)) => bytes.to_sql(),
        }
    }
}

fn value(
    row: &rusqlite::Row<'_>,
    at: usize,
    form: Form,
    unpacking: &mut Unpacking<'_>,
) -> RowsResult<Value> {
    let text = |text: Option<String>| text.map_or(Value::Missing, Value::Text);
    match form {
        Form::Integer | Form::Small | Form::Boolean => {
            let number: Option<i64> = row.get(at).map_err(said)?;
            Ok(number.map_or(Value::Missing, Value::Integer))
        }
        Form::Text => row.get(at).map(text).map_err(said),
        Form::Bytes => {
            let bytes: Option<Vec<u8>> = row.get(at).map_err(said)?;
            Ok(bytes.map_or(Value::Missing, Value::Bytes))
        }
        Form::Id => {
            let id: Option<IdText> = row.get(at).map_err(said)?;
            Ok(text(id.map(|id| id.0)))
        }
        Form::Trace => {
            let trace: Option<TraceText> = row.get(at).map_err(said)?;
            Ok(text(trace.map(|trace| trace.0)))
        }
        Form::Decision => {
            let packed: Vec<u8> = row.get(at).map_err(said)?;
            let plain = unpacking.unpack(&packed).map_err(said)?;
            plain
                .map(Value::Bytes)
                .ok_or_else(|| "it can't be unpacked".into())
        }
    }
}

fn size(value: &Value) -> usize {
    match value {
        Value::Missing | Value::Integer(_) => 8,
        Value::Text(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::store::sqlite::schema;

    /// What this engine has for itself, or another form of what is copied.
    const OWN: [&str; 5] = [
        "identity.id",
        "log_mark.mark",
        "trusted_time.time",
        "idempotency_keys.seq",
        "dictionaries.",
    ];

    #[test]
    fn every_column_of_every_table_is_copied() {
        let sql = Connection::open_in_memory().unwrap();
        schema::create(&sql).unwrap();
        let mut statement = sql
            .prepare(
                "SELECT t.name || '.' || c.name FROM sqlite_schema t, pragma_table_info(t.name) c
                 WHERE t.type = 'table' AND t.name NOT GLOB 'sqlite_*'",
            )
            .unwrap();
        let found = statement.query_map([], |row| row.get(0)).unwrap();
        let found: BTreeSet<String> = found.collect::<Result<_, _>>().unwrap();
        let left = found.iter().filter(|column| {
            let is_copied = KINDS.iter().any(|kind| {
                let mut names = kind.columns.iter().map(|column| own_name(column.name));
                names.any(|name| format!("{}.{name}", kind.table) == **column)
            });
            !is_copied && !OWN.iter().any(|own| column.starts_with(own))
        });
        assert_eq!(left.collect::<Vec<_>>(), Vec::<&String>::new());
        for kind in KINDS.iter().filter(|kind| kind.table != LAST_NUMBERS) {
            sql.prepare(&select(kind)).unwrap();
        }
    }
}
