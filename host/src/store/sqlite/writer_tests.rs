#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

use crossbeam_channel::{Sender, bounded};
use saga_core::commit::Entry;

use super::*;
use crate::base::notify::Notify;
use crate::store::fault::StoreFaultKind;

fn store(directory: &std::path::Path, settings: StoreSettings) -> SqliteWriter {
    SqliteWriter::start(
        StoreFile::open(directory).unwrap(),
        settings,
        IdempotencySettings::default(),
        OutboxReaders::Consumers,
        Commits::default(),
    )
    .unwrap()
}

/// Keeps the writer busy with one step until the sender is used or dropped.
fn occupied(store: &SqliteWriter) -> (Sender<()>, Receiver<Result<(), StoreFault>>) {
    let (begun, has_begun) = bounded(1);
    let (go_on, gate) = bounded::<()>(1);
    let step = store.hand_in(move |_| {
        begun.send(()).unwrap();
        let _ = gate.recv();
        Ok(())
    });
    has_begun.recv().unwrap();
    (go_on, step)
}

/// Hands over steps that share a commit: the writer is busy until all of them wait.
fn together(store: &SqliteWriter, steps: &[&'static str]) -> Vec<Result<(), StoreFault>> {
    let (go_on, _step) = occupied(store);
    std::thread::scope(|scope| {
        let mut results = Vec::new();
        for (number, sql) in steps.iter().copied().enumerate() {
            results.push(scope.spawn(move || store.run(move |step| step.execute_batch(sql))));
            // In order: the next one is handed over once this one waits.
            while store.requests.waiting() <= number {
                std::thread::yield_now();
            }
        }
        go_on.send(()).unwrap();
        results
            .into_iter()
            .map(|step| step.join().unwrap())
            .collect()
    })
}

#[test]
fn a_step_has_the_last_word_on_what_entries_before_it_wrote() {
    use crate::base::session::{ReadingStart, Readings, Session, Source};
    let data = tempfile::tempdir().unwrap();
    let store = store(data.path(), StoreSettings::default());
    let source = Arc::new(Source {
        consumer: "kafka:order/group".into(),
        group: "group".into(),
        topic: "t".into(),
        declared_topic: "t".into(),
        topic_row: 1,
        readings: Readings::default(),
    });
    let start = ReadingStart {
        next: 7,
        ..ReadingStart::default()
    };
    let session = Session::new(source, 0, start, 10, Notify::default());
    let (_, share) = session.take(7, 1, None);
    let handed = Handed {
        entry: Entry::empty(1, 1, 1),
        link: Link {
            worker: 1,
            ticket: 1,
            base: 0,
            noticed: 0,
        },
        taken: Some(crate::store::Taken {
            session,
            offset: 7,
            may_repeat: false,
            share,
        }),
        place: None,
        leaves: None,
        claim: None,
        progress: Arc::default(),
        measured: None,
        done: Box::new(|_| {}),
    };
    // Both wait while the writer is busy, and so share a commit.
    let (go_on, _step) = occupied(&store);
    std::thread::scope(|scope| {
        store.commit(Box::new(handed));
        let back = scope.spawn(|| {
            store.run(|sql| {
                crate::store::sqlite::offsets::write_place(
                    sql,
                    "kafka:order/group",
                    1,
                    0,
                    (0, None),
                )
            })
        });
        while store.requests.waiting() < 2 {
            std::thread::yield_now();
        }
        go_on.send(()).unwrap();
        back.join().unwrap().unwrap();
    });
    let sql = store.file.reading().unwrap();
    let next = "SELECT next_offset FROM offsets WHERE consumer = 'kafka:order/group'";
    let stored: i64 = sql.query_row(next, [], |row| row.get(0)).unwrap();
    assert_eq!(stored, 0, "where to read on was put back");
}

#[test]
fn the_queue_of_the_writer_is_known_without_the_writer() {
    let data = tempfile::tempdir().unwrap();
    let store = store(data.path(), StoreSettings::default());
    let (go_on, first) = occupied(&store);
    let second = store.hand_in(|_| Ok(()));
    let (given, over) = store.flow();
    assert_eq!(given - over, 2, "one is being written, one is queued");
    go_on.send(()).unwrap();
    first.recv().unwrap().unwrap();
    second.recv().unwrap().unwrap();
    store.close();
    let (given, over) = store.flow();
    // The request to stop is the additional one.
    assert!(given - over <= 1, "{given} {over}");
}

#[test]
fn entries_in_the_commit_of_a_step_that_fills_the_store_are_undone_with_it() {
    let data = tempfile::tempdir().unwrap();
    let settings = StoreSettings {
        max_bytes: 1 << 20,
        ..StoreSettings::default()
    };
    let store = store(data.path(), settings);
    store
        .run(|sql| sql.execute_batch("CREATE TABLE notes (text)"))
        .unwrap();
    let results = together(
        &store,
        &[
            "INSERT INTO notes VALUES ('before')",
            "INSERT INTO notes VALUES (zeroblob(4000000))",
            "INSERT INTO notes VALUES ('after')",
        ],
    );
    assert!(results.iter().all(Result::is_err), "{results:?}");
    let notes = |store: &SqliteWriter| -> i64 {
        let reader = store.file.reading().unwrap();
        let count = "SELECT count(*) FROM notes";
        (reader.query_row(count, [], |row| row.get(0))).unwrap()
    };
    assert_eq!(notes(&store), 0);
    // A step that merely fails affects no other.
    let results = together(
        &store,
        &[
            "INSERT INTO notes VALUES ('before')",
            "INSERT INTO no_such_table VALUES (1)",
            "INSERT INTO notes VALUES ('after')",
        ],
    );
    assert!(results[0].is_ok() && results[1].is_err() && results[2].is_ok());
    assert_eq!(notes(&store), 2);
    store.close();
}

#[test]
fn a_store_that_takes_commits_again_is_found_out_without_a_command() {
    let data = tempfile::tempdir().unwrap();
    let store = store(data.path(), StoreSettings::default());
    let fault = StoreFault::new(StoreFaultKind::Passing, "database is locked");
    store.outcomes.condition.commit_failed(&fault);
    assert!(store.outcomes.condition.trouble().is_some());
    let begun = Instant::now();
    while store.outcomes.condition.trouble().is_some() {
        assert!(begun.elapsed() < Duration::from_secs(30));
        std::thread::sleep(Duration::from_millis(10));
    }
    store.close();
    // Its writes were rolled back.
    let sql = Connection::open(data.path().join("saga.db")).unwrap();
    let count = "SELECT count(*), max(length(mark)) FROM log_mark";
    let left = sql.query_row(count, [], |row| Ok((row.get(0)?, row.get(1)?)));
    assert_eq!(left, Ok((1_i64, 20_i64)));
}

#[test]
fn a_store_without_room_is_not_taken_for_one_that_takes_commits() {
    let data = tempfile::tempdir().unwrap();
    let settings = StoreSettings {
        max_bytes: 1,
        ..StoreSettings::default()
    };
    let store = store(data.path(), settings);
    assert!(store.run(|sql| sql.execute_batch(TRIAL)).is_err());
}
