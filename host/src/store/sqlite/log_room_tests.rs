//! A program that reads an old state keeps the log from shrinking: what it has beyond its ordinary
//! size counts against the bound of the store.

use std::time::{Duration, Instant};

use super::file::StoreFile;
use super::writer::{Store, StoreSettings};
use crate::metrics::Commits;
use crate::store::fault::StoreFault;
use crate::store::{IdempotencySettings, OutboxReaders};

const MIB: usize = 1 << 20;

fn store(data: &std::path::Path, max_bytes: u64) -> Store {
    let settings = StoreSettings {
        max_bytes,
        ..StoreSettings::default()
    };
    let file = StoreFile::open(data).unwrap();
    let (keys, readers) = (IdempotencySettings::default(), OutboxReaders::Relay);
    Store::start(file, settings, keys, readers, Commits::default()).unwrap()
}

/// Writes the same two mebibytes anew.
fn write(store: &Store) -> Result<(), StoreFault> {
    store.run(|sql| {
        sql.execute_batch("CREATE TABLE IF NOT EXISTS blobs (id INTEGER PRIMARY KEY, blob)")?;
        let write = "INSERT OR REPLACE INTO blobs VALUES (1, randomblob(?1))";
        sql.execute(write, [2 * MIB as i64]).map(drop)
    })
}

fn log_bytes(store: &Store) -> u64 {
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
    let trouble = store.condition().trouble().unwrap();
    assert!(trouble.contains(&said), "{trouble}");
    let log = log_bytes(&store);
    assert!(
        log > 20 * MIB as u64 && log < bound + 8 * MIB as u64,
        "{log}"
    );
    // Reading does not end it: its transaction does.
    assert!(write(&store).is_err());
    drop(reader);
    let began = Instant::now();
    while write(&store).is_err() {
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "{:?}",
            store.condition().trouble()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    let log = log_bytes(&store);
    // 16 MiB until a checkpoint is due, and a quarter more.
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
