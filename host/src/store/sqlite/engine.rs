//! The engine's calls, each as SQL in the writer's transaction.

use std::path::Path;
use std::sync::Arc;

use crossbeam_channel::Receiver;
use rusqlite::Connection;
use saga_core::commit::{Link, Offset, OutboxRow};
use saga_core::message::Origin;

use super::file::StoreFile;
use super::lock_holders;
use super::read::SqliteReader;
use super::writer::SqliteWriter;
use super::{apply, explain, history, index, offsets, parked, quarantine, registry, topic_ids};
use crate::base::changes::Changes;
use crate::base::notify::Notify;
use crate::base::session::Proof;
use crate::metrics::Commits;
use crate::store::condition::Condition;
use crate::store::dead_letters::{LetterAnswer, NewLetterRequest};
use crate::store::duties::Duties;
use crate::store::engine::{Activation, ActivationCheck, Engine, NewGeneration, Stopped};
use crate::store::entry::{Done, Handed};
use crate::store::fault::StoreFaultKind;
use crate::store::history::ReleaseOutcome;
use crate::store::idempotency::{IdempotencySettings, Known};
use crate::store::index::Index;
use crate::store::open_error::OpenError;
use crate::store::parked_room::Place;
use crate::store::read::{ReadStore, StoreResult};
use crate::store::readers::{Reader, Readers};
use crate::store::settings::StoreSettings;
use crate::store::streams::{OutboxReaders, ReadPartition};
use crate::store::tally::Tally;
use crate::store::writing::letters;

/// Opens the store in this directory, or creates it, and starts its writer.
///
/// # Errors
/// An [`OpenError`] if the store can't be used; or the system's error.
pub(in crate::store) fn open(
    directory: &Path,
    settings: StoreSettings,
    idempotency: IdempotencySettings,
    readers: OutboxReaders,
    commits: Commits,
) -> anyhow::Result<Arc<dyn Engine>> {
    let file = StoreFile::open(directory)?;
    let path = file.path().to_owned();
    let writer = SqliteWriter::start(file, settings, idempotency, readers, commits);
    let writer = writer.map_err(|error| match error.downcast::<rusqlite::Error>() {
        Ok(error) => explain::explain(path, &error).into(),
        Err(error) => error,
    })?;
    Ok(Arc::new(Sqlite::new(writer)))
}

/// Opens the store in this directory to read and change it while no host runs on it. None if there
/// is none.
///
/// # Errors
/// An [`OpenError`] with the file, the reason and the remedy.
pub(in crate::store) fn own(directory: &Path) -> Result<Option<Box<dyn Stopped>>, OpenError> {
    if matches!(super::look(directory), Ok(None)) {
        return Ok(None);
    }
    let file = StoreFile::open(directory)?;
    let sql = file.writing();
    let sql = sql.map_err(|error| explain::explain(file.path().to_owned(), &error))?;
    Ok(Some(Box::new(StoppedStore {
        reader: SqliteReader::new(sql, Arc::default()),
        file,
    })))
}

/// A store that is open for a host.
struct Sqlite {
    writer: SqliteWriter,
    readers: Readers,
    duties: Duties,
}

impl Sqlite {
    fn new(writer: SqliteWriter) -> Self {
        let (file, condition) = (writer.file.clone(), writer.outcomes.condition.clone());
        let readers = Readers::new(move || {
            let connection = file.reading()?;
            Ok(Box::new(SqliteReader::new(connection, condition.clone())))
        });
        Self {
            writer,
            readers,
            duties: Duties::new(false),
        }
    }
}

impl Engine for Sqlite {
    fn worker_number(&self) -> u64 {
        self.writer.worker_number()
    }

    fn commit(&self, handed: Box<Handed>) {
        self.writer.commit(handed);
    }

    fn after(&self, link: Link, done: Done) {
        self.writer.after(link, done);
    }

    fn append(&self, row: OutboxRow) -> StoreResult<i64> {
        let offset = self.writer.run(move |sql| apply::append(sql, &row))?;
        self.writer.outcomes.published.notify();
        Ok(offset)
    }

    fn count(&self, tally: Tally) {
        self.writer.count(tally);
    }

    fn settle_up(&self) {
        self.writer.settle_up();
    }

    fn claim(&self, participant: i64, key: &str, fingerprint: [u8; 32]) -> Known {
        self.writer.claim(participant, key, fingerprint)
    }

    fn write_place(
        &self,
        consumer: &str,
        topic: i64,
        partition: i32,
        place: (i64, Option<Proof>),
    ) -> StoreResult<()> {
        let consumer = consumer.to_owned();
        self.writer
            .run(move |sql| offsets::write_place(sql, &consumer, topic, partition, place))
    }

    fn hand_in_offsets(&self, offsets: Vec<Offset>) -> Receiver<StoreResult<()>> {
        self.writer.hand_in(move |sql| {
            for Offset {
                consumer,
                topic,
                partition,
                next,
                ..
            } in &offsets
            {
                offsets::write_place(sql, consumer, *topic, *partition, (*next, None))?;
            }
            Ok(())
        })
    }

    fn first_topic(
        &self,
        consumer: &str,
        topic: i64,
        id: &str,
        starts: &[(i32, i64)],
    ) -> StoreResult<()> {
        let (consumer, id, starts) = (consumer.to_owned(), id.to_owned(), starts.to_vec());
        self.writer
            .run(move |sql| topic_ids::first_topic(sql, &consumer, topic, &id, &starts))
    }

    fn next_topic(&self, consumer: &str, topic: i64, id: &str) -> StoreResult<()> {
        let (consumer, id) = (consumer.to_owned(), id.to_owned());
        self.writer
            .run(move |sql| topic_ids::next_topic(sql, &consumer, topic, &id))
    }

    fn note_consumers(
        &self,
        participant: &str,
        consumers: &[(Arc<str>, i64)],
        now: u64,
    ) -> StoreResult<()> {
        let (participant, consumers) = (participant.to_owned(), consumers.to_vec());
        self.writer
            .run(move |sql| registry::note_consumers(sql, &participant, &consumers, now))
    }

    fn release_timers(&self, participant: i64) -> StoreResult<usize> {
        self.writer
            .run(move |sql| parked::release_timers(sql, participant))
    }

    fn request_letter(&self, mut asked: NewLetterRequest) -> StoreResult<LetterAnswer> {
        let (trusted, place) = (self.writer.trusted_now(), asked.place.take());
        let answer = (self.writer).run(move |sql| letters::request(sql, &asked, trusted))?;
        if let LetterAnswer::Requested { is_new: true, .. } = answer {
            place.iter().for_each(Place::keep);
        }
        Ok(answer)
    }

    fn register_participant(&self, name: &str) -> StoreResult<(i64, i64)> {
        let name = name.to_owned();
        self.writer
            .run(move |sql| registry::participant(sql, &name))
    }

    fn register_generation(&self, participant: i64, generation: NewGeneration) -> StoreResult<i64> {
        self.writer
            .run(move |sql| registry::generation(sql, participant, &generation))
    }

    fn register_topic(&self, name: &str) -> StoreResult<i64> {
        let name = name.to_owned();
        self.writer.run(move |sql| registry::topic(sql, &name))
    }

    fn note_refused(
        &self,
        participant: i64,
        way: &str,
        refused: &str,
        now: u64,
    ) -> StoreResult<()> {
        let (way, refused) = (way.to_owned(), refused.to_owned());
        self.writer
            .run(move |sql| history::add_refused(sql, participant, &way, &refused, now))
    }

    fn note_release(&self, participant: i64, key: &str, by: &str, now: u64) -> StoreResult<i64> {
        let (key, by) = (key.to_owned(), by.to_owned());
        self.writer
            .run(move |sql| quarantine::add_release(sql, participant, &key, &by, now))
    }

    fn note_release_outcome(&self, row: i64, outcome: ReleaseOutcome) -> StoreResult<()> {
        self.writer
            .run(move |sql| quarantine::end_release(sql, row, &outcome))
    }

    fn create_indexes(&self, indexes: &[Index]) -> StoreResult<()> {
        let indexes = indexes.to_vec();
        self.writer.run(move |sql| index::create(sql, &indexes))
    }

    fn drop_indexes(&self, participant: i64, keep: &[Index]) -> StoreResult<()> {
        let keep = keep.to_vec();
        self.writer
            .run(move |sql| index::drop_others(sql, participant, &keep))
    }

    fn activate(&self, activations: &[Activation], indexes: &[Index]) -> StoreResult<()> {
        let (activations, indexes) = (activations.to_vec(), indexes.to_vec());
        self.writer.run(move |sql| {
            index::create(sql, &indexes)?;
            (activations.iter()).try_for_each(|activation| activate(sql, activation))
        })
    }

    fn activate_if(&self, activation: Activation, check: ActivationCheck) -> StoreResult<bool> {
        let condition = self.writer.outcomes.condition.clone();
        let activated = self.writer.run(move |sql| {
            let allowed = check(&SqliteReader::new(sql, condition.clone()));
            if let Err(fault) = &allowed
                && fault.kind() != StoreFaultKind::Passing
            {
                condition.report("what is in use can't be read", fault);
            }
            if matches!(allowed, Ok(true)) {
                activate(sql, &activation)?;
            }
            Ok(allowed)
        });
        activated.and_then(|allowed| allowed)
    }

    fn reader(&self) -> StoreResult<Reader> {
        self.readers.take()
    }

    fn published(&self) -> &Notify {
        &self.writer.outcomes.published
    }

    fn timers(&self) -> &Notify {
        &self.writer.outcomes.timers
    }

    fn changes(&self) -> &Changes {
        &self.writer.outcomes.changes
    }

    fn condition(&self) -> &Condition {
        &self.writer.outcomes.condition
    }

    fn note_standstill(&self) {
        (self.writer.outcomes.condition).look(|| {
            let holder = lock_holders::writers(self.writer.index)?;
            Some(format!("{holder}, which has locked it"))
        });
    }

    fn flow(&self) -> (u64, u64) {
        self.writer.flow()
    }

    fn trusted_now(&self) -> u64 {
        self.writer.trusted_now()
    }

    fn retention_hours(&self) -> u64 {
        self.writer.retention_hours()
    }

    fn duties(&self) -> &Duties {
        &self.duties
    }

    fn activated(&self) -> &Notify {
        &self.writer.outcomes.activated
    }

    fn identity(&self) -> &str {
        self.writer.identity()
    }

    fn bytes(&self) -> Vec<(&'static str, u64)> {
        self.writer.bytes()
    }

    fn close(&self) {
        // The last connection to close removes the log; that must be the writer's.
        self.readers.close();
        self.writer.close();
    }
}

/// A store that no host has open.
struct StoppedStore {
    reader: SqliteReader,
    /// Holds the lock; released after the connection is closed.
    file: StoreFile,
}

impl StoppedStore {
    fn change(
        &mut self,
        change: impl FnOnce(&Connection) -> rusqlite::Result<()>,
    ) -> StoreResult<()> {
        let sql = self.reader.connection();
        let changed = sql.unchecked_transaction().and_then(|transaction| {
            change(&transaction)?;
            transaction.commit()
        });
        changed.map_err(|error| lock_holders::fault(&error, self.file.locks()))
    }
}

impl Stopped for StoppedStore {
    fn reading(&self) -> &dyn ReadStore {
        &self.reader
    }

    fn activate(&mut self, activation: &Activation) -> StoreResult<()> {
        self.change(|sql| activate(sql, activation))
    }

    fn seek(&mut self, read: &ReadPartition, next: i64, log: Option<&str>) -> StoreResult<()> {
        self.change(|sql| offsets::seek(sql, read, next, log))
    }
}

fn activate(sql: &Connection, activation: &Activation) -> rusqlite::Result<()> {
    let Activation {
        participant,
        generation,
        way,
        now,
        change,
        renamed,
        // Only this host activates.
        replaces: _,
    } = activation;
    let how = (*way, change.as_deref());
    history::activate(sql, *participant, *generation, how, *now)?;
    // A route in use stays in use under another name.
    for (old, new) in renamed {
        history::carry_use(sql, *participant, *generation, Origin::Command, old, new)?;
    }
    Ok(())
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]
mod tests {
    use super::*;
    use crate::store::conformance::{self, Rig};
    use crate::store::index::Wanted;

    fn start(directory: &Path) -> SqliteWriter {
        SqliteWriter::start(
            StoreFile::open(directory).unwrap(),
            StoreSettings::default(),
            IdempotencySettings::default(),
            OutboxReaders::Consumers,
            Commits::default(),
        )
        .unwrap()
    }

    fn rig() -> Rig {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().to_owned();
        let open = move || -> Arc<dyn Engine> { Arc::new(Sqlite::new(start(&path))) };
        Rig::new(open, directory)
    }

    conformance::suite!(rig);

    #[test]
    fn readers_are_kept_unless_something_went_wrong_and_are_closed_with_the_store() {
        let directory = tempfile::tempdir().unwrap();
        let store = Sqlite::new(start(directory.path()));
        let (one, other) = (store.reader().unwrap(), store.reader().unwrap());
        assert_eq!(store.readers.idle(), 0);
        drop((one, other));
        assert_eq!(store.readers.idle(), 2);
        let reader = store.reader().unwrap();
        // This index does not exist.
        let wanted = Wanted {
            participant: 1,
            filters: Vec::new(),
            after: None,
            most: 1,
        };
        reader.page(&wanted).unwrap_err();
        assert_eq!(reader.participants(), Ok(vec![]), "others are answered");
        drop(reader);
        assert_eq!(store.readers.idle(), 1);
        store.register_topic("t").unwrap();
        let late = store.reader().unwrap();
        store.close();
        drop(late);
        assert_eq!(store.readers.idle(), 0);
    }

    #[test]
    fn a_store_that_is_closed_leaves_no_log_behind() {
        let directory = tempfile::tempdir().unwrap();
        let store = Sqlite::new(start(directory.path()));
        store.register_topic("t").unwrap();
        drop((store.reader().unwrap(), store.reader().unwrap()));
        store.close();
        let left = directory.path().join("saga.db-wal");
        assert!(!left.exists());
        assert!(directory.path().join("saga.db").exists());
    }
}
