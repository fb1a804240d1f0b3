//! A program that reads an old snapshot keeps the log from shrinking: its excess over the ordinary
//! size counts against the bound of the store.

use std::time::{Duration, Instant};

use super::file::StoreFile;
use super::writer::SqliteWriter;
use crate::metrics::Commits;
use crate::store::fault::StoreFault;
use crate::store::settings::StoreSettings;
use crate::store::{IdempotencySettings, OutboxReaders};

const MIB: usize = 1 << 20;

fn store(data: &std::path::Path, max_bytes: u64) -> SqliteWriter {
    let settings = StoreSettings {
        max_bytes,
        ..StoreSettings::default()
    };
    let file = StoreFile::open(data).unwrap();
    let (keys, readers) = (IdempotencySettings::default(), OutboxReaders::Relay);
    SqliteWriter::start(file, settings, keys, readers, Commits::default()).unwrap()
}

/// Overwrites the same two mebibytes.
fn write(store: &SqliteWriter) -> Result<(), StoreFault> {
    store.run(|sql| {
        sql.execute_batch("CREATE TABLE IF NOT EXISTS blobs (id INTEGER PRIMARY KEY, blob)")?;
        let write = "INSERT OR REPLACE INTO blobs VALUES (1, randomblob(?1))";
        sql.execute(write, [2 * MIB as i64]).map(drop)
    })
}

fn log_bytes(store: &SqliteWriter) -> u64 {
    let of = |(file, bytes): (&str, u64)| (file == "wal").then_some(bytes);
    store.bytes().into_iter().find_map(of).unwrap()
}

#[test]
fn a_log_that_a_reader_keeps_from_shrinking_counts_against_the_bound_until_the_reader_is_done() {
    let data = tempfile::tempdir().unwrap();
    let bound = 30 * MIB as u64;
    let store = store(data.path(), bound);
    write(&store).unwrap();
    let reader = store.file.reading().unwrap();
    let count = "BEGIN; SELECT count(*) FROM blobs";
    reader.execute_batch(count).unwrap();
    let fault = (0..40).find_map(|_| write(&store).err()).unwrap();
    let said = fault.to_string();
    assert!(
        said.starts_with("store.max_bytes is reached: the store's log has "),
        "{said}"
    );
    assert!(said.contains("keeps reading an old state"), "{said}");
    let trouble = store.outcomes.condition.trouble().unwrap();
    assert!(trouble.contains(&said), "{trouble}");
    let log = log_bytes(&store);
    assert!(
        log > 20 * MIB as u64 && log < bound + 8 * MIB as u64,
        "{log}"
    );
    // Only the end of the reader's transaction ends it.
    assert!(write(&store).is_err());
    drop(reader);
    let began = Instant::now();
    while write(&store).is_err() {
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "{:?}",
            store.outcomes.condition.trouble()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    let log = log_bytes(&store);
    // 16 MiB until a checkpoint is due, plus a quarter.
    assert!(log <= 21 * MIB as u64, "it shrinks: {log}");
    store.close();
}

#[test]
fn a_log_of_ordinary_size_does_not_count() {
    let data = tempfile::tempdir().unwrap();
    let store = store(data.path(), 8 * MIB as u64);
    for _ in 0..20 {
        write(&store).unwrap();
    }
    store.close();
}
