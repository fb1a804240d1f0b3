//! The store's file from outside: what the host wrote there, and records that somebody else published.
//!
//! The embedded log has no producer but the host. What another producer could send is therefore put
//! into the outbox of a host that is stopped, as one more committed row.

use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::types::{FromSql, ValueRef};
use rusqlite::{Connection, params};

use crate::expect::until;

/// A record of somebody else, to be published.
#[derive(Clone)]
pub struct Foreign {
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub event_type: Option<String>,
    pub id: Option<String>,
    pub headers: Vec<(String, String)>,
}

/// A record with this value and nothing else: no key, no headers.
pub fn record(value: impl AsRef<[u8]>) -> Foreign {
    Foreign {
        key: None,
        value: Some(value.as_ref().to_owned()),
        event_type: None,
        id: None,
        headers: Vec::new(),
    }
}

impl Foreign {
    /// With a record key.
    pub fn key(self, key: &str) -> Self {
        Self {
            key: Some(key.into()),
            ..self
        }
    }

    /// With a `ce_type`.
    pub fn of_type(self, event_type: &str) -> Self {
        Self {
            event_type: Some(event_type.to_owned()),
            ..self
        }
    }

    /// With a `ce_id`.
    pub fn id(self, id: &str) -> Self {
        Self {
            id: Some(id.to_owned()),
            ..self
        }
    }

    /// With another header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Without a value.
    pub fn tombstone(self) -> Self {
        Self {
            value: None,
            ..self
        }
    }
}

/// Where the store of a data directory is.
fn file(data: &Path) -> PathBuf {
    data.join("saga.db")
}

fn open(data: &Path) -> Connection {
    let path = file(data);
    assert!(path.exists(), "{} is missing", path.display());
    let sql = Connection::open(path).unwrap();
    sql.busy_timeout(Duration::from_secs(10)).unwrap();
    sql
}

/// Puts tables in the way of the store's own that have ids as text.
fn show_ids(sql: &Connection) {
    let text = |column: &str| {
        let digits = |from, length| format!("substr(hex({column}), {from}, {length})");
        let groups = [(1, 8), (9, 4), (13, 4), (17, 4), (21, 12)];
        let groups = groups.map(|(from, length)| digits(from, length));
        let uuid = groups.join(" || '-' || ");
        format!(
            "CASE typeof({column}) WHEN 'blob' THEN lower({uuid}) ELSE {column} END AS {column}"
        )
    };
    sql.execute_batch(&format!(
        "CREATE TEMP VIEW outbox AS SELECT topic, partition, offset, generation, event_type, key, value, {}, {}, {},
             traceparent, extra, time FROM main.outbox;
         CREATE TEMP VIEW inbox AS SELECT participant, {}, source, time FROM main.inbox;",
        text("event_id"),
        text("correlation"),
        text("causation"),
        text("id"),
    ))
    .unwrap();
}

/// Puts a table in the way of the journal that has `message` and `outcome` as JSON.
fn show_decisions(sql: &Connection) {
    sql.execute_batch(
        "CREATE TEMP TABLE journal (seq INTEGER PRIMARY KEY, generation, key, revision, state, message, outcome, fuel, time)",
    )
    .unwrap();
    let mut insert = sql
        .prepare("INSERT INTO temp.journal VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")
        .unwrap();
    let query =
        "SELECT seq, generation, key, revision, state, decision, fuel, time FROM main.journal";
    let mut statement = sql.prepare(query).unwrap();
    let mut rows = statement.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        let (key, time) = (get::<String>(row, 2), get::<i64>(row, 7));
        let state = get::<Option<String>>(row, 4);
        let plain = unpacked(sql, &get::<Vec<u8>>(row, 5));
        let decided = saga_core::journal::decode(&plain, (&key, time as u64), state.as_deref());
        let (message, outcome) = decided.unwrap();
        insert
            .execute(params![
                get::<i64>(row, 0),
                get::<i64>(row, 1),
                key,
                get::<i64>(row, 3),
                state,
                serde_json::to_string(&message).unwrap(),
                serde_json::to_string(&outcome).unwrap(),
                get::<i64>(row, 6),
                time
            ])
            .unwrap();
    }
}

fn get<T: FromSql>(row: &rusqlite::Row<'_>, column: usize) -> T {
    row.get(column).unwrap()
}

/// A decision of the journal without its compression.
fn unpacked(sql: &Connection, packed: &[u8]) -> Vec<u8> {
    let (dictionary, rest) = postcard::take_from_bytes::<u64>(packed).unwrap();
    if dictionary == 0 {
        return rest.to_owned();
    }
    let query = "SELECT bytes FROM dictionaries WHERE id = ?1";
    let known: Vec<u8> = sql
        .query_row(query, [dictionary as i64], |row| row.get(0))
        .unwrap();
    let (length, block) = postcard::take_from_bytes::<u64>(rest).unwrap();
    lz4_flex::block::decompress_with_dict(block, length as usize, &known).unwrap()
}

/// Publishes records on partition 0 of a topic of the embedded log. The host must have run on this
/// directory, and must be stopped.
pub fn publish(data: &Path, topic: &str, records: &[Foreign]) {
    let mut sql = open(data);
    let sql = sql.transaction().unwrap();
    sql.execute("INSERT OR IGNORE INTO topics (name) VALUES (?1)", [topic])
        .unwrap();
    let row: i64 = sql
        .query_row("SELECT id FROM topics WHERE name = ?1", [topic], |row| {
            row.get(0)
        })
        .unwrap();
    let next =
        "SELECT coalesce(max(next_offset), 0) FROM partitions WHERE topic = ?1 AND partition = 0";
    let first: i64 = sql.query_row(next, [row], |row| row.get(0)).unwrap();
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_millis() as i64;
    for (offset, record) in (first..).zip(records) {
        sql.execute(
            "INSERT INTO outbox (topic, partition, offset, key, value, event_type, event_id, time, extra)
             VALUES (?1, 0, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            params![
                row,
                offset,
                record.key,
                record.value,
                record.event_type,
                record.id,
                now,
                serde_json::to_string(&record.headers).unwrap(),
            ],
        )
        .unwrap();
    }
    sql.execute(
        "INSERT OR REPLACE INTO partitions (topic, partition, next_offset) VALUES (?1, 0, ?2)",
        params![row, first + records.len() as i64],
    )
    .unwrap();
    sql.commit().unwrap();
}

/// Changes the store of a host that is stopped; gives how many rows were affected.
pub fn execute(data: &Path, statement: &str) -> usize {
    open(data).execute(statement, []).unwrap()
}

/// The rows of a query, as text. Ids are text for it, and the journal has `message` and `outcome` as
/// JSON.
pub fn rows(data: &Path, query: &str) -> Vec<Vec<String>> {
    let sql = open(data);
    show_ids(&sql);
    if query.contains("message") || query.contains("outcome") {
        show_decisions(&sql);
    }
    let mut statement = sql.prepare(query).unwrap();
    let columns = statement.column_count();
    let mut rows = statement.query([]).unwrap();
    let mut found = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        found.push(
            (0..columns)
                .map(|column| text(row.get_ref(column).unwrap()))
                .collect(),
        );
    }
    found
}

fn text(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "NULL".into(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
            String::from_utf8_lossy(bytes).into_owned()
        }
    }
}

/// The one number that a query gives.
pub fn number(data: &Path, query: &str) -> i64 {
    rows(data, query)[0][0].parse().unwrap()
}

/// Waits until every record of a topic was taken: decided, passed over or given up.
pub fn until_consumed(data: &Path, topic: &str) {
    let left = format!(
        "SELECT sum(p.next_offset - coalesce(o.next_offset, 0)) FROM partitions p
         JOIN topics t ON t.id = p.topic
         LEFT JOIN offsets o ON o.topic = p.topic AND o.partition = p.partition AND o.consumer GLOB 'log:*'
         WHERE t.name = '{topic}'"
    );
    until(&format!("all records of {topic} were taken"), || {
        number(data, &left) == 0
    });
}

/// How many records a topic holds.
pub fn published(data: &Path, topic: &str) -> i64 {
    number(
        data,
        &format!(
            "SELECT count(*) FROM outbox o JOIN topics t ON t.id = o.topic WHERE t.name = '{topic}'"
        ),
    )
}

/// Overwrites the pages of a table but for the first one, in the file of a host that is stopped.
pub fn damage(data: &Path, table: &str) {
    let path = data.join("saga.db");
    let sql = Connection::open(&path).unwrap();
    let (page_size, root): (i64, i64) = (
        sql.pragma_query_value(None, "page_size", |row| row.get(0))
            .unwrap(),
        (sql.query_row(
            "SELECT rootpage FROM sqlite_master WHERE name = ?1",
            [table],
            |row| row.get(0),
        ))
        .unwrap(),
    );
    drop(sql);
    let file = std::fs::File::options()
        .read(true)
        .write(true)
        .open(&path)
        .unwrap();
    // The root of a table of several pages has the numbers of its children.
    let mut page = vec![0; page_size as usize];
    file.read_exact_at(&mut page, ((root - 1) * page_size) as u64)
        .unwrap();
    assert!([2, 5].contains(&page[0]), "{table} has one page only");
    let cells = u16::from_be_bytes([page[3], page[4]]) as usize;
    for cell in 0..cells {
        let at = u16::from_be_bytes([page[12 + 2 * cell], page[13 + 2 * cell]]) as usize;
        let child = u32::from_be_bytes(page[at..at + 4].try_into().unwrap());
        let start = i64::from(child - 1) * page_size;
        file.write_all_at(&vec![0xa5; page_size as usize], start as u64)
            .unwrap();
    }
}
