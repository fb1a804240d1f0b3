//! The one writing thread.
//!
//! It takes all waiting entries, applies them in one transaction, commits once, and only then
//! notifies their workers (group commit, invariant 10). While one commit is being synced, the next
//! batch gathers; nothing waits for a timer.
//!
//! If a commit fails (disk full, device gone), everything in it is rolled back, and the entries
//! that were decided on it are void: [`saga_core::commit::chain`] decides which entries hold.
//! Nothing is retried here: the worker that handed over an entry knows if its message will come
//! again. Other occasional writes share the commits of the turns.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use rusqlite::Connection;
use saga_core::commit::{Batch, Chains, Link};

use super::apply::Counters;
use super::batch::{still_open, write_entry};
use super::file::{BUSY, StoreFile, UPKEEP_BUSY};
use super::guard::Guard;
use super::idempotency::{self, IdempotencySettings, Known, KnownKeys};
use super::lock_holders::{self, LockFile};
use super::packing::Dictionaries;
use super::prune::{OutboxReaders, Pruner};
use super::tally;
use crate::metrics::Commits;
use crate::stages::Flow;
use crate::store::condition::Condition;
use crate::store::entry::{Done, Handed};
use crate::store::fault::StoreFault;
use crate::store::settings::StoreSettings;
use crate::store::tally::Tally;
use crate::store::writing::items::{BatchItem, Transaction as _, untried};
use crate::store::writing::outcomes::{Outcomes, after};
use crate::store::writing::requests::{Batching, Gathered, Request, Requests, gather};
use crate::store::writing::tallies::Tallies;

/// Interval at which the idle writer searches for old rows.
const IDLE: Duration = Duration::from_millis(500);

/// The interval while there is more to delete: old rows must be deleted as fast as new ones arrive.
const BEHIND: Duration = Duration::from_millis(20);

/// A trial write that tells if a commit would succeed: large enough to need room in the file and in
/// the log, and without lasting effect.
const TRIAL: &str = "INSERT INTO log_mark SELECT printf('%.*c', 65536, '-');
    DELETE FROM log_mark WHERE length(mark) = 65536";

/// The store: hands entries to the writer and opens readers.
pub(super) struct SqliteWriter {
    pub(super) file: Arc<StoreFile>,
    /// The file on which other programs' locks are looked up.
    pub(super) index: LockFile,
    requests: Requests<Connection>,
    thread: parking_lot::Mutex<Option<JoinHandle<()>>>,
    pub(super) outcomes: Outcomes,
    /// The time by which old rows are deleted.
    trusted_now: Arc<AtomicU64>,
    known_keys: Arc<KnownKeys>,
    dictionaries: Arc<Dictionaries>,
    retention_hours: u64,
}

impl SqliteWriter {
    /// Starts the writer on an opened file.
    ///
    /// # Errors
    /// The error of SQLite or the system.
    pub(super) fn start(
        file: StoreFile,
        settings: StoreSettings,
        idempotency: IdempotencySettings,
        readers: OutboxReaders,
        commits: Commits,
    ) -> anyhow::Result<Self> {
        let mut connection = file.writing()?;
        let guarded = file.guard(&mut connection)?;
        bound_size(&connection, settings.max_bytes)?;
        let known_keys = idempotency::load(&connection, idempotency)?;
        let dictionaries = Arc::new(Dictionaries::load(
            &connection,
            settings.retention_hours.saturating_mul(1_800_000),
        )?);
        let file = Arc::new(file);
        let bound = Duration::from_secs(settings.standstill_seconds);
        let condition = Arc::new(Condition::new(bound));
        let trusted_now = Arc::<AtomicU64>::default();
        let index = LockFile::at(&file.index());
        let flow = Arc::<Flow>::default();
        let (requests, queue) = Requests::new(condition.clone(), flow.clone());
        let outcomes = Outcomes::new(condition.clone());
        let guard = Guard::new(&connection, condition.clone(), guarded, trusted_now.clone())?;
        let guard = guard.bounded(settings.max_bytes, index);
        let writer = Writer {
            connection,
            queue,
            outcomes: outcomes.clone(),
            condition,
            guard,
            index,
            counters: Counters::default(),
            chains: Chains::default(),
            uncommitted: Tallies::default(),
            pruner: Pruner::new(&settings, readers, known_keys.clone()),
            batch: settings.batch.max(1),
            commits,
            flow,
        };
        let thread = std::thread::Builder::new()
            .name("store".into())
            .spawn(move || writer.run())?;
        Ok(Self {
            file,
            index,
            requests,
            thread: parking_lot::Mutex::new(Some(thread)),
            outcomes,
            trusted_now,
            known_keys,
            dictionaries,
            retention_hours: settings.retention_hours,
        })
    }

    /// Hours during which a repeated event is deduplicated.
    pub(super) fn retention_hours(&self) -> u64 {
        self.retention_hours
    }

    /// The number of items ever handed over to be written, and the number of finished ones.
    pub(super) fn flow(&self) -> (u64, u64) {
        self.requests.flow()
    }

    /// A name that tells this store from all others; see [`StoreFile::identity`].
    pub(super) fn identity(&self) -> &str {
        self.file.identity()
    }

    /// Disk space of its files; see [`StoreFile::bytes`].
    pub(super) fn bytes(&self) -> Vec<(&'static str, u64)> {
        self.file.bytes()
    }

    /// The time by which old rows are deleted, in milliseconds since the Unix epoch. It does not
    /// depend on one reading of the clock.
    pub(super) fn trusted_now(&self) -> u64 {
        self.trusted_now.load(Ordering::Relaxed)
    }

    /// Claims an idempotency key of a participant for the request with this fingerprint.
    pub(super) fn claim(&self, participant: i64, key: &str, fingerprint: [u8; 32]) -> Known {
        self.known_keys.claim(participant, key, fingerprint)
    }

    /// Counts a message that leaves nothing to commit.
    pub(super) fn count(&self, tally: Tally) {
        self.requests.count(tally);
    }

    /// A number that no other worker of this store has.
    pub(super) fn worker_number(&self) -> u64 {
        self.requests.worker_number()
    }

    /// Hands over an entry. Blocks while the queue is full.
    pub(super) fn commit(&self, mut handed: Box<Handed>) {
        // Here, on the worker's thread: there are several of those, and one writer.
        let new = self.dictionaries.pack(&mut handed);
        self.requests.commit(handed);
        if let Some(new) = new {
            let dictionaries = self.dictionaries.clone();
            self.requests.step(Box::new(move |connection| {
                let written = connection.map(|sql| sql.in_savepoint(|sql| new.write(sql)));
                let written = matches!(written, Some(Ok(())));
                Box::new(move |committed| {
                    dictionaries.is_written(new, written && committed.is_ok());
                })
            }));
        }
    }

    /// Calls back when the entry that the link is based on is committed, or will not be.
    pub(super) fn after(&self, link: Link, done: Done) {
        self.requests.after(link, done);
    }

    /// Runs a step in the writer; see [`Requests::run`].
    ///
    /// # Errors
    /// SQLite's error; or the store is closed.
    pub(super) fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreFault> {
        self.requests.run(work)
    }

    /// The same without blocking; see [`Requests::hand_in`].
    pub(super) fn hand_in<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Receiver<Result<T, StoreFault>> {
        self.requests.hand_in(work)
    }

    /// Blocks until everything handed over before is committed or has failed.
    pub(super) fn settle_up(&self) {
        self.requests.settle_up();
    }

    /// Commits what is queued and ends the writer. Nothing may be handed over afterwards.
    pub(super) fn close(&self) {
        self.requests.stop();
        let thread = self.thread.lock().take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the store's writer panicked; the store recovers at the next start");
        }
    }
}

/// An item of a batch.
type Item = BatchItem<Connection>;

struct Writer {
    connection: Connection,
    queue: Receiver<Request<Connection>>,
    outcomes: Outcomes,
    condition: Arc<Condition>,
    guard: Guard,
    /// The file on which other programs' locks are looked up.
    index: LockFile,
    counters: Counters,
    /// The unwritten entries, and those that were decided on them.
    chains: Chains,
    /// Counts without an entry, to be written with the next commit.
    uncommitted: Tallies,
    pruner: Pruner,
    batch: usize,
    commits: Commits,
    flow: Arc<Flow>,
}

impl Writer {
    fn run(mut self) {
        let mut looked = Instant::now();
        let mut pause = IDLE;
        let mut next = None;
        loop {
            let request = match next.take() {
                Some(request) => Ok(request),
                None => self.queue.recv_timeout(pause),
            };
            let began = Instant::now();
            self.condition.work().begin(began);
            let is_one = request.is_ok();
            self.flow.begin(is_one.into());
            match request {
                Ok(Request::Commit(handed)) => next = self.commit(BatchItem::Entry(handed), began),
                Ok(Request::After(done, link)) => after(done, self.chains.holds(link)),
                Ok(Request::Run(step)) => next = self.commit(BatchItem::Step(step), began),
                Ok(Request::Count(tally)) => self.uncommitted.add(&tally),
                Ok(Request::Stop) | Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {}
            }
            self.flow.over(is_one.into());
            // Under load too: then deletion is needed most.
            let is_time = looked.elapsed() >= pause;
            if is_time {
                // Turns do not wait for work that can be done later.
                let _ = self.connection.busy_timeout(UPKEEP_BUSY);
            }
            self.guard.tend(&self.connection, is_time);
            if is_time && self.condition.refusal().is_none() {
                self.try_again();
                self.write_tallies();
                pause = if self.prune() { BEHIND } else { IDLE };
                looked = Instant::now();
            }
            if is_time {
                let _ = self.connection.busy_timeout(BUSY);
            }
            self.condition.work().end();
        }
        if self.condition.refusal().is_none() {
            self.write_tallies();
        }
        // A clean end leaves no log to recover.
        self.guard.close(&self.connection);
        let _ = super::file::close(self.connection);
        self.condition.work().end();
    }

    /// Commits a batch that starts with this item; returns the request that ended the batch.
    fn commit(
        &mut self,
        first: BatchItem<Connection>,
        began: Instant,
    ) -> Option<Request<Connection>> {
        let batching = Batching {
            most: self.batch,
            are_steps_apart: false,
        };
        let Gathered { items: batch, left } =
            gather(&self.queue, first, batching, &mut self.uncommitted);
        let (entries, began) = (batch.len(), self.commits.at(began));
        let further = (entries as u64).saturating_sub(1);
        self.flow.begin(further);
        let refusal = self.condition.refusal().or_else(|| self.guard.lacks_room());
        let (batch, result) = match refusal {
            None => self.write(batch),
            Some(fault) => (untried(batch, &mut self.chains), Err(fault)),
        };
        let now = self.commits.over(entries, began, result.is_ok());
        self.counters.clear();
        self.outcomes.end(batch, &mut self.chains, result, now);
        self.flow.over(further);
        left
    }

    /// Writes a batch in one transaction; returns all its items in any case.
    fn write(&mut self, items: Vec<Item>) -> (Batch<Item>, Result<(), StoreFault>) {
        let sql = &self.connection;
        let trusted = self.guard.passed();
        let (counters, chains) = (&mut self.counters, &mut self.chains);
        let mut batch = Batch::with_capacity(items.len());
        let mut result = sql
            .prepare_cached("BEGIN IMMEDIATE")
            .and_then(|mut begin| begin.execute([]).map(drop));
        for mut item in items {
            if matches!(item, BatchItem::Step(_)) {
                // It may also write rows of the entries before it, such as offsets, and comes after
                // them.
                result = result.and_then(|()| counters.flush(sql));
                counters.clear();
                item = item.take_step(result.is_ok().then_some(sql));
                result = result.and_then(|()| still_open(sql));
            }
            match result {
                Ok(()) => {
                    let write = |item: &mut Item| write_entry(item, sql, counters, trusted);
                    result = batch.add(chains, item, write);
                }
                Err(_) => batch.add_failed(chains, item),
            }
        }
        let result = result.and_then(|()| {
            counters.flush(sql)?;
            tally::add(sql, &self.uncommitted)?;
            sql.prepare_cached("COMMIT")?.execute([]).map(drop)
        });
        if result.is_err() && !sql.is_autocommit() {
            // The rollback can fail only if the transaction is already gone.
            let _ = sql.execute_batch("ROLLBACK");
        }
        let result = result.map_err(|error| self.fault(&error));
        if result.is_ok() {
            self.uncommitted.clear();
        }
        // Commits to files that are gone are lost with them.
        let result = result.and_then(|()| self.guard.after_commit());
        (batch, result)
    }

    /// The fault of a failed commit; it names the program that has locked the store, if that is the
    /// reason.
    fn fault(&self, error: &rusqlite::Error) -> StoreFault {
        lock_holders::fault(error, self.index)
    }

    /// After a failed commit: tests if one would succeed now, since an unready host may get no
    /// further command.
    fn try_again(&mut self) {
        if !self.condition.is_failing() || self.guard.lacks_room().is_some() {
            return;
        }
        let tried = in_transaction(&self.connection, |sql| sql.execute_batch(TRIAL));
        if tried.is_ok() {
            self.condition.has_committed();
        }
    }

    /// Writes the counts without an entry. If that fails, they are kept for the next commit.
    fn write_tallies(&mut self) {
        if self.uncommitted.is_empty() {
            return;
        }
        match in_transaction(&self.connection, |sql| tally::add(sql, &self.uncommitted)) {
            Ok(()) => self.uncommitted.clear(),
            Err(error) => {
                let fault = StoreFault::from(error);
                self.condition
                    .report("what was counted can't be written", &fault);
            }
        }
    }

    /// Deletes some old rows; returns true if there are more.
    fn prune(&mut self) -> bool {
        let time = self.guard.time(&self.connection);
        let pruned = time.and_then(|now| self.pruner.step(&self.connection, now));
        pruned.unwrap_or_else(|error| {
            let fault = StoreFault::from(error);
            self.condition.report("old rows can't be deleted", &fault);
            false
        })
    }
}

fn in_transaction<T>(
    connection: &Connection,
    work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let transaction = connection.unchecked_transaction()?;
    let value = work(&transaction)?;
    transaction.commit()?;
    Ok(value)
}

fn bound_size(connection: &Connection, max_bytes: u64) -> rusqlite::Result<()> {
    if max_bytes == 0 {
        return Ok(());
    }
    let page: i64 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
    let pages = (max_bytes / page.max(1) as u64).max(1);
    connection.pragma_update_and_check(None, "max_page_count", pages as i64, |_| Ok(()))
}

#[cfg(test)]
#[path = "writer_tests.rs"]
mod tests;
