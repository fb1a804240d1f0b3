#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

use std::path::Path;

use saga_core::journal;
use saga_core::message::{Message, Origin};
use saga_core::outcome::{Outcome, StateChange};
use saga_testkit::postgres;

use super::kinds::{Form, KINDS, Kind, LAST_NUMBERS};
use super::rows::{EachPage, Rows, RowsResult, TargetRows};
use super::value::{Row, Value};
use super::*;
use crate::metrics::Commits;
use crate::store::check::check;
use crate::store::conformance::{message, nothing};
use crate::store::{IdempotencySettings, OutboxReaders, ServerAddress, StoreSettings};

/// A time, in milliseconds since the Unix epoch.
const NOW: i64 = 4_000_000_000_000;

/// Columns that may have no value.
const OPTIONAL: &[(&str, &[&str])] = &[
    ("generations", &["settings", "fuel_terms"]),
    ("activations", &["change"]),
    ("offsets", &["dropped", "last_time", "last_print", "log"]),
    ("aggregates", &["state", "correlation"]),
    (
        "outbox",
        &[
            "generation",
            "event_type",
            "key",
            "value",
            "event_id",
            "correlation",
            "causation",
            "traceparent",
            "extra",
        ],
    ),
    (
        "timers",
        &[
            "traceparent",
            "parked",
            "reason",
            "detail",
            "attempts",
            "digest",
        ],
    ),
    (
        "parked",
        &[
            "due",
            "event_id",
            "source",
            "consumer_group",
            "topic",
            "declared_topic",
            "incarnation",
            "partition",
            "position",
            "made",
            "attributes",
            "record_key",
            "value",
        ],
    ),
    (
        "dead_letters",
        &[
            "aggregate",
            "incarnation",
            "key",
            "value",
            "event_id",
            "source",
            "parked",
            "corrected",
            "request",
            "ended",
            "ended_as",
        ],
    ),
    ("dead_letter_acts", &["value"]),
    ("quarantine_releases", &["reason"]),
    ("journal", &["state"]),
];

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn decision(state: StateChange, key: &str) -> Vec<u8> {
    let message = Message {
        origin: Origin::Command,
        body: format!(r#"{{"amount":1,"text":"{}"}}"#, "x".repeat(200)),
        ..message("place", key)
    };
    let outcome = Outcome { state, ..nothing() };
    journal::encode(&message, None, &outcome).unwrap()
}

/// The value of a column in the row of this number, from 1 on.
fn sample(kind: &Kind, column: &str, form: Form, number: i64) -> Value {
    let is_optional =
        (OPTIONAL.iter()).any(|(table, columns)| *table == kind.table && columns.contains(&column));
    match (kind.table, column) {
        ("partitions", "next_offset") => return Value::Integer(if number == 1 { 8 } else { 5 }),
        ("offsets", "consumer") => return text("log:owner/g"),
        ("offsets", "next_offset") => return Value::Integer(5),
        ("offsets", "dropped") => return Value::Missing,
        // An unsigned number of 64 bits, stored as a signed one.
        ("offsets", "last_print") if number == 1 => return Value::Integer(i64::MIN + 3),
        ("outbox", "topic") => return Value::Integer(1),
        ("outbox", "position") => return Value::Integer(number + 4),
        ("aggregates" | "journal", "key") => return text(&format!("k{number}")),
        ("aggregates", "revision") => return Value::Integer(number + 1),
        ("aggregates", "participant") | ("journal", "generation") => return Value::Integer(1),
        ("journal", "seq") => return Value::Integer(10 * number),
        _ if is_optional && number == 3 => return Value::Missing,
        (_, "time") => return Value::Integer(NOW + number),
        _ => {}
    }
    match form {
        Form::Integer => Value::Integer(number),
        Form::Small => Value::Integer(0),
        Form::Boolean => Value::Integer(number % 2),
        Form::Text => text(&format!(
            "{} {column} {number}: \"ä\\\n\u{1f600}'",
            kind.table
        )),
        Form::Bytes => Value::Bytes(vec![0, 255, number as u8]),
        Form::Id if number == 1 => text("01a2343a-4fe9-8079-bed4-210ab1d1f45a"),
        Form::Id => text(&format!("shop-{number}")),
        Form::Trace if number == 1 => {
            text("00-01a2343a35c68bc682175532c02dd65e-82175532c02dd65e-01")
        }
        Form::Trace => text("00-01a2343a35c68bc682175532c02dd65e-00175532c02dd65e-01"),
        Form::Decision => {
            let state = StateChange::Put("{}".into());
            Value::Bytes(decision(state, &format!("k{number}")))
        }
    }
}

/// Rows of every kind, which agree with each other.
fn samples() -> Vec<(&'static Kind, Vec<Row>)> {
    let of = |kind: &'static Kind| {
        if kind.table == LAST_NUMBERS {
            return vec![
                vec![text("parked"), Value::Integer(40)],
                vec![text("dead_letters"), Value::Integer(50)],
            ];
        }
        let row = |number| {
            let columns = kind.columns.iter();
            columns
                .map(|column| sample(kind, column.name, column.form, number))
                .collect()
        };
        (1..=3).map(row).collect()
    };
    KINDS.iter().map(|kind| (kind, of(kind))).collect()
}

/// A new store in this directory with these rows.
fn store_in(directory: &Path, rows: Vec<(&'static Kind, Vec<Row>)>) -> StoreLocation {
    let location = StoreLocation::Directory(directory.to_owned());
    let mut target = location.target_rows().unwrap();
    target.begin().unwrap();
    for (kind, rows) in rows {
        target.write(kind, rows).unwrap();
    }
    target.finish().unwrap();
    target.commit().unwrap();
    location
}

fn on_server() -> StoreLocation {
    StoreLocation::Server(ServerAddress::of_test("copied"))
}

/// All rows of a store, sorted.
fn all(store: &StoreLocation) -> Vec<(&'static str, Vec<String>)> {
    let rows = store.rows_beside().unwrap().unwrap();
    let of = |kind: &'static Kind| {
        let mut found = Vec::new();
        let mut take = |page: Vec<Row>| {
            found.extend(page.iter().map(|row| format!("{row:?}")));
            Ok(())
        };
        rows.read(kind, &mut take).unwrap();
        found.sort();
        (kind.table, found)
    };
    KINDS.iter().map(of).collect()
}

fn copy(from: &StoreLocation, to: &StoreLocation) -> Result<Vec<CopiedKind>, CopyError> {
    open(from, to, &mut |_, _, _| {})?.run(&mut |_, _, _| {})
}

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn wrong(store: &StoreLocation) -> Vec<String> {
    let checked = check(store, &mut |_| {}).unwrap().into_iter();
    checked.flat_map(|checked| checked.named).collect()
}

#[test]
fn a_store_is_copied_to_a_server_and_back_and_every_row_is_as_before() {
    if !postgres::can_run() {
        return;
    }
    let (first, last) = (directory(), directory());
    let source = store_in(first.path(), samples());
    let expected: Vec<_> = (samples().into_iter())
        .map(|(kind, rows)| {
            let mut rows: Vec<_> = rows.iter().map(|row| format!("{row:?}")).collect();
            rows.sort();
            (kind.table, rows)
        })
        .collect();
    assert_eq!(all(&source), expected);
    let server = on_server();
    let copied = copy(&source, &server).unwrap();
    assert_eq!(copied.len(), KINDS.len());
    assert_eq!(copied[0].rows, 3);
    assert_eq!(all(&server), expected);
    assert_eq!(wrong(&server), [""; 0]);
    let back = StoreLocation::Directory(last.path().to_owned());
    copy(&server, &back).unwrap();
    assert_eq!(all(&back), expected);
    assert_eq!(wrong(&back), [""; 0]);
}

#[test]
fn a_copy_between_directories_has_every_row_and_its_decisions_are_compressed() {
    let (first, last) = (directory(), directory());
    let mut rows = samples();
    let journal = &mut rows
        .iter_mut()
        .find(|(kind, _)| kind.table == "journal")
        .unwrap()
        .1;
    let row = journal[0].clone();
    journal.extend((100..2_000).map(|seq| {
        let mut row = row.clone();
        row[0] = Value::Integer(seq);
        row
    }));
    let source = store_in(first.path(), rows);
    let target = StoreLocation::Directory(last.path().to_owned());
    copy(&source, &target).unwrap();
    assert_eq!(all(&target), all(&source));
    let plain = 2_000 * decision(StateChange::Put("{}".into()), "k1").len() as u64;
    let file = std::fs::metadata(last.path().join("saga.db"))
        .unwrap()
        .len();
    assert!(file < plain, "{file} {plain}");
}

#[test]
fn a_target_that_has_rows_is_refused_with_the_remedy() {
    let [first, second] = [(); 2].map(|()| directory());
    let source = store_in(first.path(), samples());
    let full = store_in(second.path(), samples());
    let said = copy(&source, &full).unwrap_err().to_string();
    assert!(
        said.contains("it is not empty, it has participants"),
        "{said}"
    );
    assert!(said.contains("Name a data directory"), "{said}");
    let said = copy(&source, &source).unwrap_err().to_string();
    assert!(said.contains("name the same store"), "{said}");
    let nowhere = StoreLocation::Directory(first.path().join("none"));
    let said = copy(&nowhere, &full).unwrap_err().to_string();
    assert!(said.contains("there is no store in"), "{said}");
    if postgres::can_run() {
        let server = on_server();
        copy(&source, &server).unwrap();
        let said = copy(&source, &server).unwrap_err().to_string();
        assert!(said.contains("DROP SCHEMA \"copied_"), "{said}");
    }
}

#[test]
fn a_store_that_a_host_has_open_is_neither_copied_nor_filled() {
    let [first, second] = [(); 2].map(|()| directory());
    let source = store_in(first.path(), samples());
    let target = StoreLocation::Directory(second.path().to_owned());
    let opened = |location: &StoreLocation| {
        let (settings, keys) = (StoreSettings::default(), IdempotencySettings::default());
        let readers = OutboxReaders::Consumers;
        location
            .open(settings, keys, readers, Commits::default())
            .unwrap()
    };
    let mut stores = vec![target.clone()];
    if postgres::can_run() {
        stores.push(on_server());
    }
    for used in stores {
        let host = opened(&used);
        for (from, to) in [(&source, &used), (&used, &source)] {
            let said = copy(from, to).unwrap_err().to_string();
            assert!(said.contains("another saga process is using it"), "{said}");
        }
        host.close();
        drop(host);
        copy(&source, &used).unwrap();
    }
}

#[test]
fn texts_with_u0000_are_named_before_anything_is_written_to_a_server() {
    if !postgres::can_run() {
        return;
    }
    let directory = directory();
    let mut rows = samples();
    for (table, column) in [("aggregates", "key"), ("dead_letters", "detail")] {
        let (kind, rows) = rows
            .iter_mut()
            .find(|(kind, _)| kind.table == table)
            .unwrap();
        rows[1][kind.place(column).unwrap()] = text("a\0b");
    }
    let source = store_in(directory.path(), rows);
    let server = on_server();
    let said = copy(&source, &server).unwrap_err().to_string();
    let participant = "participant participants name 1";
    assert!(said.contains("aggregates: "), "{said}");
    assert!(said.contains(participant), "{said}");
    assert!(said.contains("key \"a\\0b\", column key"), "{said}");
    assert!(said.contains("dead_letters: id 2, column detail"), "{said}");
    assert!(server.target_rows().unwrap().filled().unwrap().is_none());
}

type Change = fn(&'static Kind, &mut Vec<Row>) -> RowsResult<()>;

/// A target that changes what it is given.
struct Broken {
    target: Box<dyn TargetRows>,
    change: Change,
}

impl Rows for Broken {
    fn read(&self, kind: &'static Kind, each: &mut EachPage<'_>) -> RowsResult<()> {
        self.target.rows().read(kind, each)
    }

    fn check_held(&self) -> RowsResult<()> {
        self.target.rows().check_held()
    }

    fn inspect(&self) -> RowsResult<(&'static str, Vec<String>)> {
        self.target.rows().inspect()
    }
}

impl TargetRows for Broken {
    fn filled(&self) -> RowsResult<Option<&'static Kind>> {
        self.target.filled()
    }

    fn remedy(&self) -> String {
        self.target.remedy()
    }

    fn takes_nul(&self) -> bool {
        self.target.takes_nul()
    }

    fn begin(&mut self) -> RowsResult<()> {
        self.target.begin()
    }

    fn write(&mut self, kind: &'static Kind, mut rows: Vec<Row>) -> RowsResult<()> {
        (self.change)(kind, &mut rows)?;
        self.target.write(kind, rows)
    }

    fn finish(&mut self) -> RowsResult<()> {
        self.target.finish()
    }

    fn rows(&self) -> &dyn Rows {
        self
    }

    fn commit(self: Box<Self>) -> RowsResult<()> {
        self.target.commit()
    }
}

#[test]
fn a_copy_that_differs_or_fails_leaves_the_target_empty_and_can_be_repeated() {
    let first = directory();
    let source = store_in(first.path(), samples());
    let second = directory();
    let mut targets = vec![StoreLocation::Directory(second.path().to_owned())];
    if postgres::can_run() {
        targets.push(on_server());
    }
    let changes: [(Change, &str); 3] = [
        (
            |kind, rows| {
                if kind.table == "outbox" {
                    rows.pop();
                }
                Ok(())
            },
            "its published records differ from those of the source (2 rows, of 3)",
        ),
        (
            |kind, rows| {
                if kind.table == "aggregates" {
                    rows[2][2] = Value::Integer(99);
                }
                Ok(())
            },
            "its aggregates differ from those of the source (3 rows, of 3)",
        ),
        (
            |kind, _| match kind.table {
                "journal" => Err("the disk is full".into()),
                _ => Ok(()),
            },
            "its recorded decisions can't be written: the disk is full",
        ),
    ];
    for to in &targets {
        for (change, expected) in &changes {
            let mut copying = open(&source, to, &mut |_, _, _| {}).unwrap();
            copying.target = Box::new(Broken {
                target: copying.target,
                change: *change,
            });
            let said = copying.run(&mut |_, _, _| {}).unwrap_err().to_string();
            assert!(said.contains(expected), "{said}");
            assert!(to.target_rows().unwrap().filled().unwrap().is_none());
        }
        copy(&source, to).unwrap();
        assert_eq!(all(to), all(&source));
    }
}

#[test]
fn a_check_names_what_is_wrong() {
    type Cell = (&'static str, usize, &'static str, Value);
    let cases: [(Cell, &str); 10] = [
        (
            ("outbox", 1, "position", Value::Integer(9)),
            "outbox: topic 1, partition 0, position 9: beyond the end at 8",
        ),
        (
            ("outbox", 0, "position", Value::Integer(4)),
            "outbox: topic 1, partition 0, position 6: the records from 5 on are missing",
        ),
        (
            ("partitions", 0, "next_offset", Value::Integer(10)),
            "the records from 8 on are missing, the partition ends at 10",
        ),
        (
            ("offsets", 1, "next_offset", Value::Integer(6)),
            "reads on at 6, beyond the end of the partition at 5",
        ),
        (
            ("activations", 0, "generation", Value::Integer(7)),
            "activations: id 1: there is no row 7 of generations, its generation",
        ),
        (
            ("activations", 0, "generation", Value::Integer(2)),
            "activations: id 1: its generation is another participant's",
        ),
        (
            ("dead_letters", 0, "parked", Value::Integer(30)),
            "dead_letters: id 1: there is no row 30 of parked, its parked",
        ),
        (
            ("aggregates", 1, "revision", Value::Integer(7)),
            "key \"k2\": has revision 7, its last decision led to 3",
        ),
        (
            ("journal", 1, "decision", Value::Bytes(vec![77, 77])),
            "journal: seq 20: can't be read",
        ),
        (
            ("last_numbers", 0, "last", Value::Integer(2)),
            "parked: the last given number is 2, but there is a row 3",
        ),
    ];
    for ((table, row, column, value), expected) in cases {
        let directory = directory();
        let mut rows = samples();
        let (kind, of_kind) = rows
            .iter_mut()
            .find(|(kind, _)| kind.table == table)
            .unwrap();
        of_kind[row][kind.place(column).unwrap()] = value;
        let store = store_in(directory.path(), rows);
        let named = wrong(&store);
        let is_named = named.iter().any(|one| one.contains(expected));
        assert!(is_named, "{table}.{column}: {named:?}");
    }
}

#[test]
fn an_aggregate_that_its_decision_left_behind_is_missed() {
    let directory = directory();
    let mut rows = samples();
    let aggregates = &mut rows
        .iter_mut()
        .find(|(kind, _)| kind.table == "aggregates")
        .unwrap()
        .1;
    aggregates.remove(0);
    let named = wrong(&store_in(directory.path(), rows));
    assert_eq!(named.len(), 1, "{named:?}");
    assert!(
        named[0].contains("key \"k1\": is not there, its last decision led to revision 2"),
        "{named:?}"
    );
}
