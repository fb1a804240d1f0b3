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

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use rusqlite::Connection;
use saga_core::commit::{Batch, Chains, CommitOutcome, Ended, Entry, Fate, Link};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::apply::Counters;
use super::batch::{BatchItem, BatchStep, in_savepoint, still_open};
use super::file::{BUSY, StoreFile, UPKEEP_BUSY};
use super::guard::Guard;
use super::idempotency::{self, IdempotencySettings, Known, KnownKeys};
use super::lock_holders::{self, LockFile};
use super::packing::Dictionaries;
use super::prune::{OutboxReaders, Pruner};
use super::tally::{Tallies, Tally};
use crate::base::changes::Changes;
use crate::base::notify::Notify;
use crate::metrics::Commits;
use crate::stages::Flow;
use crate::store::condition::Condition;
use crate::store::entry::{Done, Handed};
use crate::store::fault::{StoreFault, StoreFaultKind};

/// Entries that wait for the writer. Beyond it, workers block (invariant 9).
const QUEUE: usize = 8_192;

/// Interval at which the idle writer searches for old rows.
const IDLE: Duration = Duration::from_millis(500);

/// The interval while there is more to delete: old rows must be deleted as fast as new ones arrive.
const BEHIND: Duration = Duration::from_millis(20);

/// A trial write that tells if a commit would succeed: large enough to need room in the file and in
/// the log, and without lasting effect.
const TRIAL: &str = "INSERT INTO log_mark SELECT printf('%.*c', 65536, '-');
    DELETE FROM log_mark WHERE length(mark) = 65536";

/// Settings of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StoreSettings {
    /// Most entries in one commit.
    #[schemars(range(min = 1, max = 100_000))]
    pub batch: usize,
    /// Hours after which published events, identities and recorded decisions may be deleted.
    #[schemars(range(min = 1, max = 876_000))]
    pub retention_hours: u64,
    /// Most bytes of recorded decisions, of all participants together; the oldest ones are deleted
    /// beyond it, before they are as old as `retention_hours`. 0 for no bound. A row counts with its
    /// key, its state and its compressed decision.
    #[schemars(range(min = 0, max = i64::MAX))]
    pub journal_bytes: u64,
    /// Hours after which dead letters are deleted.
    #[schemars(range(min = 1, max = 876_000))]
    pub dead_letter_hours: u64,
    /// Bytes that the file may grow to, together with its log if a program keeps that from
    /// shrinking; 0 for no bound. Beyond it writes fail as on a full disk.
    #[schemars(range(min = 0, max = i64::MAX))]
    pub max_bytes: u64,
    /// Seconds that a commit may wait for the disk or for a lock. After that the host is not ready,
    /// and commands are refused until the store goes on.
    #[schemars(range(min = 1, max = 3_600))]
    pub standstill_seconds: u64,
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self {
            batch: 1_024,
            retention_hours: 168,
            journal_bytes: 0,
            dead_letter_hours: 2_160,
            max_bytes: 0,
            standstill_seconds: 5,
        }
    }
}

/// A request to the writer.
enum Request {
    Commit(Box<Handed>),
    /// Count this, with the next commit.
    Count(Tally),
    /// Call back when the entry that the link is based on is committed.
    After(Done, Link),
    /// Run this in the batch's transaction.
    Run(BatchStep),
    Stop,
}

/// The store: hands entries to the writer and opens readers.
pub(super) struct SqliteWriter {
    pub(super) file: Arc<StoreFile>,
    /// The file on which other programs' locks are looked up.
    pub(super) index: LockFile,
    requests: Sender<Request>,
    thread: parking_lot::Mutex<Option<JoinHandle<()>>>,
    /// Notified after every commit that published something.
    published: Notify,
    /// Notified after every commit that set a timer.
    timers: Notify,
    /// Reports after every commit the aggregates that it changed.
    changes: Changes,
    pub(super) condition: Arc<Condition>,
    /// The time by which old rows are deleted.
    trusted_now: Arc<AtomicU64>,
    known_keys: Arc<KnownKeys>,
    dictionaries: Arc<Dictionaries>,
    flow: Arc<Flow>,
    /// The last worker number that was given out.
    workers: AtomicU64,
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
        let (requests, queue) = bounded(QUEUE);
        let published = Notify::default();
        let timers = Notify::default();
        let changes = Changes::default();
        let bound = Duration::from_secs(settings.standstill_seconds);
        let condition = Arc::new(Condition::new(bound));
        let trusted_now = Arc::<AtomicU64>::default();
        let index = LockFile::at(&file.index());
        let flow = Arc::<Flow>::default();
        let guard = Guard::new(&connection, condition.clone(), guarded, trusted_now.clone())?;
        let guard = guard.bounded(settings.max_bytes, index);
        let writer = Writer {
            connection,
            queue,
            published: published.clone(),
            timers: timers.clone(),
            changes: changes.clone(),
            condition: condition.clone(),
            guard,
            index,
            counters: Counters::default(),
            chains: Chains::default(),
            uncommitted: Tallies::default(),
            pruner: Pruner::new(&settings, readers, known_keys.clone()),
            batch: settings.batch.max(1),
            commits,
            flow: flow.clone(),
        };
        let thread = std::thread::Builder::new()
            .name("store".into())
            .spawn(move || writer.run())?;
        Ok(Self {
            file,
            index,
            requests,
            thread: parking_lot::Mutex::new(Some(thread)),
            published,
            timers,
            changes,
            condition,
            trusted_now,
            known_keys,
            dictionaries,
            flow,
            workers: AtomicU64::new(0),
            retention_hours: settings.retention_hours,
        })
    }

    /// Hours during which a repeated event is deduplicated.
    pub(super) fn retention_hours(&self) -> u64 {
        self.retention_hours
    }

    /// The number of items ever handed over to be written, and the number of finished ones.
    pub(super) fn flow(&self) -> (u64, u64) {
        self.flow.counts(|| self.requests.len())
    }

    /// A name that tells this store from all others; see [`StoreFile::identity`].
    pub(super) fn identity(&self) -> &str {
        self.file.identity()
    }

    /// Disk space of its files; see [`StoreFile::bytes`].
    pub(super) fn bytes(&self) -> Vec<(&'static str, u64)> {
        self.file.bytes()
    }

    /// The present condition of the store. Callers report faults of reads there.
    pub(super) fn condition(&self) -> &Condition {
        &self.condition
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
        self.send(Request::Count(tally));
    }

    /// A number that no other worker of this store has.
    pub(super) fn worker_number(&self) -> u64 {
        self.workers.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Hands over an entry. Blocks while the queue is full.
    pub(super) fn commit(&self, mut handed: Box<Handed>) {
        // Here, on the worker's thread: there are several of those, and one writer.
        let new = self.dictionaries.pack(&mut handed);
        self.send(Request::Commit(handed));
        if let Some(new) = new {
            let dictionaries = self.dictionaries.clone();
            self.send(Request::Run(Box::new(move |connection| {
                let written = connection.map(|sql| in_savepoint(sql, |sql| new.write(sql)));
                let written = matches!(written, Some(Ok(())));
                Box::new(move |committed| {
                    dictionaries.is_written(new, written && committed.is_ok())
                })
            })));
        }
    }

    /// Calls back when the entry that the link is based on is committed, or will not be.
    pub(super) fn after(&self, link: Link, done: Done) {
        self.send(Request::After(done, link));
    }

    /// Runs a step in the writer, as a whole or not at all, and returns its result once it is
    /// committed. It shares a commit with other waiting items, and must be short. Blocks.
    ///
    /// # Errors
    /// SQLite's error; or the store is closed.
    pub(super) fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreFault> {
        let result = self.hand_in(work).recv();
        result.unwrap_or_else(|_| Err(StoreFault("the store is closed".into())))
    }

    /// The same without blocking: the result comes through the channel, which closes without one if
    /// the store closes.
    pub(super) fn hand_in<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Receiver<Result<T, StoreFault>> {
        let (give, take) = bounded(1);
        let condition = self.condition.clone();
        self.send(Request::Run(Box::new(move |connection| {
            let result = match connection {
                Some(connection) => in_savepoint(connection, work).map_err(|error| {
                    let fault = StoreFault::from(error);
                    if fault.kind() != StoreFaultKind::Passing {
                        condition.report("something can't be written", &fault);
                    }
                    fault
                }),
                None => Err(StoreFault("was not tried".into())),
            };
            // If the caller is gone, nobody needs the result.
            Box::new(move |committed| drop(give.send(committed.and(result))))
        })));
        take
    }

    /// Blocks until everything handed over before is committed or has failed.
    pub(super) fn settle_up(&self) {
        // Each outcome is reported to the caller that handed it over.
        let _ = self.run(|_| Ok(()));
    }

    fn send(&self, request: Request) {
        // The writer ends only on `Stop`, after which nobody may send. A late request is dropped
        // with its callback, which its owner notices.
        let _ = self.requests.send(request);
    }

    /// Notified after every commit that published something.
    pub(super) fn published(&self) -> &Notify {
        &self.published
    }

    /// Notified after every commit that set a timer.
    pub(super) fn timers(&self) -> &Notify {
        &self.timers
    }

    /// Reports after every commit the aggregates that it changed.
    pub(super) fn changes(&self) -> &Changes {
        &self.changes
    }

    /// Commits what is queued and ends the writer. Nothing may be handed over afterwards.
    pub(super) fn close(&self) {
        self.send(Request::Stop);
        let thread = self.thread.lock().take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the store's writer panicked; the store recovers at the next start");
        }
    }
}

struct Writer {
    connection: Connection,
    queue: Receiver<Request>,
    published: Notify,
    timers: Notify,
    changes: Changes,
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
    fn commit(&mut self, first: BatchItem, began: Instant) -> Option<Request> {
        let mut batch = vec![first];
        let mut left = None;
        while batch.len() < self.batch {
            batch.push(match self.queue.try_recv() {
                Ok(Request::Commit(handed)) => BatchItem::Entry(handed),
                Ok(Request::After(done, link)) => BatchItem::After(done, link),
                Ok(Request::Run(step)) => BatchItem::Step(step),
                Ok(Request::Count(tally)) => {
                    self.uncommitted.add(&tally);
                    continue;
                }
                Ok(Request::Stop) => {
                    left = Some(Request::Stop);
                    break;
                }
                Err(_) => break,
            });
        }
        let (entries, began) = (batch.len(), self.commits.at(began));
        let further = (entries as u64).saturating_sub(1);
        self.flow.begin(further);
        let refusal = self.condition.refusal().or_else(|| self.guard.lacks_room());
        let (batch, result) = match refusal {
            None => self.write(batch),
            Some(fault) => (self.untried(batch), Err(fault)),
        };
        let now = self.commits.over(entries, began, result.is_ok());
        self.counters.clear();
        let outcome = match &result {
            Ok(()) => CommitOutcome::Committed,
            Err(_) => CommitOutcome::Failed,
        };
        // SQLite knows the outcome of a commit.
        if let Ended::Over(items) = batch.end(&mut self.chains, outcome) {
            tell_workers(&items);
            match result {
                Ok(()) => self.committed(items, now),
                Err(fault) => self.failed(items, &fault),
            }
        }
        self.flow.over(further);
        left
    }

    /// Writes a batch in one transaction; returns all its items in any case.
    fn write(&mut self, items: Vec<BatchItem>) -> (Batch<BatchItem>, Result<(), StoreFault>) {
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
                    let write = |item: &mut BatchItem| item.write(sql, counters, trusted);
                    result = batch.add(chains, item, write);
                }
                Err(_) => batch.add_failed(chains, item),
            }
        }
        let result = result.and_then(|()| {
            counters.flush(sql)?;
            self.uncommitted.flush(sql)?;
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

    /// A batch that is not attempted.
    fn untried(&mut self, items: Vec<BatchItem>) -> Batch<BatchItem> {
        let mut batch = Batch::with_capacity(items.len());
        for item in items {
            batch.add_failed(&mut self.chains, item.take_step(None));
        }
        batch
    }

    /// The fault of a failed commit; it names the program that has locked the store, if that is the
    /// reason.
    fn fault(&self, error: &rusqlite::Error) -> StoreFault {
        lock_holders::fault(error, self.index)
    }

    fn committed(&mut self, items: Vec<(BatchItem, Fate)>, now: Option<Instant>) {
        // An empty commit succeeds even on a full disk.
        let is_written = |fate: Fate| matches!(fate, Fate::Written | Fate::Duplicate);
        let has_written = |(item, fate): &(BatchItem, Fate)| {
            matches!(item, BatchItem::Entry(_)) && is_written(*fate)
        };
        if items.iter().any(has_written) {
            self.condition.has_committed();
        }
        let mut notified = Notified::default();
        for (item, fate) in items {
            match item {
                BatchItem::Entry(handed) if is_written(fate) => {
                    notified.add(&handed.entry);
                    self.written(*handed, fate == Fate::Written, now);
                }
                BatchItem::Entry(handed) => {
                    let why = "was decided on a state that did not come to be; try again";
                    void(*handed, &StoreFault(why.into()));
                }
                BatchItem::After(done, _) => after(done, fate == Fate::Written),
                BatchItem::Taken(done) => done(Ok(())),
                // All steps ran when the batch was written.
                BatchItem::Step(_) => {}
            }
        }
        if notified.published {
            self.published.notify();
        }
        if notified.timers {
            self.timers.notify();
        }
    }

    /// An entry is durable; or it was applied before, and its consumption is durable.
    fn written(&self, mut handed: Handed, is_new: bool, now: Option<Instant>) {
        if is_new {
            handed
                .place
                .iter()
                .for_each(crate::store::parked_room::Place::keep);
            if let Some((room, bytes)) = &handed.leaves {
                room.leave(*bytes);
            }
        }
        if let Some(claim) = handed.claim.take() {
            claim.keep();
        }
        if handed.entry.changes_state()
            && let Some(key) = &handed.entry.key
        {
            self.changes.tell(handed.entry.participant, key);
        }
        match handed.measured {
            Some(measured) if is_new => measured.committed(now),
            Some(measured) => measured.was_committed_before(),
            None => {}
        }
        (handed.done)(Ok(()));
    }

    fn failed(&mut self, items: Vec<(BatchItem, Fate)>, fault: &StoreFault) {
        self.condition.commit_failed(fault);
        for (item, _) in items {
            match item {
                BatchItem::Entry(handed) => void(*handed, fault),
                BatchItem::After(done, _) => after(done, false),
                BatchItem::Taken(done) => done(Err(fault.clone())),
                BatchItem::Step(_) => {}
            }
        }
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
        match in_transaction(&self.connection, |sql| self.uncommitted.flush(sql)) {
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

/// Reports the fates of their entries to the workers, once the commit is visible in the store:
/// sooner, they would read states that are about to be replaced.
fn tell_workers(items: &[(BatchItem, Fate)]) {
    for (item, fate) in items {
        if let BatchItem::Entry(handed) = item {
            (handed.progress).tell(&handed.entry, handed.link.ticket, *fate);
        }
    }
}

/// The notifications due after a commit.
#[derive(Default)]
struct Notified {
    published: bool,
    timers: bool,
}

impl Notified {
    fn add(&mut self, entry: &Entry) {
        self.published |= entry.publishes();
        self.timers |= entry.touches_timers();
    }
}

/// An entry that is not written: its record is read again.
fn void(mut handed: Handed, fault: &StoreFault) {
    // Released before its client is notified, which may repeat the command at once.
    handed.claim = None;
    if let Some(measured) = handed.measured {
        measured.is_void();
    }
    (handed.done)(Err(fault.clone()));
}

fn after(done: Done, holds: bool) {
    if holds {
        done(Ok(()));
    } else {
        done(Err(StoreFault(
            "was read from a state that did not come to be; try again".into(),
        )));
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
