//! The one thread that writes.
//!
//! It takes every entry that waits, applies them in one transaction, commits once, and only then
//! tells those who wait (group commit, invariant 10). While one commit is on its way to disk the next
//! batch gathers by itself; nothing waits for a timer.
//!
//! When a commit fails (disk full, device gone), everything in it is undone and every entry is told;
//! the workers that had run ahead are sent back (see [`Progress`](super::Progress)). Nothing is
//! tried again here: who handed an entry over knows whether its message will come again. What others
//! want to write now and then shares the commits of the turns.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use rusqlite::Connection;
use saga_core::outcome::StateChange;
use saga_core::settle::Settlement;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::apply::Counters;
use super::batch::{Applying, EndedRuns, Fate, Item, Step, in_savepoint, still_open, write_entry};
use super::condition::Condition;
use super::entry::{Done, Entry, Progress};
use super::fault::{FaultKind, StoreFault};
use super::file::{BUSY, StoreFile, UPKEEP_BUSY};
use super::guard::Guard;
use super::idempotency::{IdempotencySettings, Known, KnownKeys};
use super::lock_holders::{self, LockFile};
use super::prune::{OutboxReaders, Pruner};
use super::read::Reader;
use super::tally::{Tallies, Tally};
use crate::base::changes::Changes;
use crate::base::signal::Signal;
use crate::metrics::Commits;
use crate::stages::Flow;

/// Entries that wait for the writer. Beyond it, workers wait (invariant 9).
const QUEUE: usize = 8_192;

/// How often the writer looks for old rows when nothing else is to be done.
const IDLE: Duration = Duration::from_millis(500);

/// How often it does so while there is more to be deleted: old rows must go as fast as new ones come.
const BEHIND: Duration = Duration::from_millis(20);

/// What is written to find out whether a commit goes through: enough to need room in the file and in the log, and nothing that stays.
const TRIAL: &str = "INSERT INTO log_mark SELECT printf('%.*c', 65536, '-');
    DELETE FROM log_mark WHERE length(mark) = 65536";

/// How the store behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StoreSettings {
    /// Entries in one commit at most.
    #[schemars(range(min = 1, max = 100_000))]
    pub batch: usize,
    /// Hours after which published events, identities and recorded decisions may be deleted.
    #[schemars(range(min = 1, max = 876_000))]
    pub retention_hours: u64,
    /// Hours after which dead letters are deleted.
    #[schemars(range(min = 1, max = 876_000))]
    pub dead_letter_hours: u64,
    /// Bytes that the file may grow to, together with its log where a program keeps that from shrinking; 0 for no bound. Beyond it
    /// writing fails as on a full disk.
    #[schemars(range(min = 0, max = i64::MAX))]
    pub max_bytes: u64,
    /// Seconds for which a commit may wait for the disk or for a lock. From then on the host is not ready, and commands are
    /// refused until the store goes on.
    #[schemars(range(min = 1, max = 3_600))]
    pub standstill_seconds: u64,
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self {
            batch: 1_024,
            retention_hours: 168,
            dead_letter_hours: 2_160,
            max_bytes: 0,
            standstill_seconds: 5,
        }
    }
}

/// What the writer is asked to do.
enum Request {
    Commit(Box<Entry>),
    /// Count this, with the next commit.
    Count(Tally),
    /// Call back after everything handed over before is committed.
    After(Done, Arc<Progress>, u64),
    /// Run this in the batch's transaction.
    Run(Step),
    Stop,
}

/// The store: hands entries to the writer and opens readers.
pub struct Store {
    file: Arc<StoreFile>,
    /// Where the locks of others are looked for.
    index: LockFile,
    requests: Sender<Request>,
    thread: std::sync::Mutex<Option<JoinHandle<()>>>,
    /// Rings after every commit that published something.
    published: Signal,
    /// Rings after every commit that set a timer.
    timers: Signal,
    /// Tells after every commit which aggregates it changed.
    changes: Changes,
    condition: Arc<Condition>,
    /// The time by which old rows are deleted.
    trusted_now: Arc<AtomicU64>,
    known_keys: Arc<KnownKeys>,
    flow: Arc<Flow>,
    retention_hours: u64,
}

impl Store {
    /// Starts the writer on an opened file.
    ///
    /// # Errors
    /// What SQLite or the system said.
    pub fn start(
        file: StoreFile,
        settings: StoreSettings,
        idempotency: IdempotencySettings,
        readers: OutboxReaders,
        commits: Commits,
    ) -> anyhow::Result<Self> {
        let mut connection = file.writing()?;
        let guarded = file.guard(&mut connection)?;
        bound_size(&connection, settings.max_bytes)?;
        let known_keys = KnownKeys::load(&connection, idempotency)?;
        let file = Arc::new(file);
        let (requests, queue) = bounded(QUEUE);
        let published = Signal::default();
        let timers = Signal::default();
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
            thread: std::sync::Mutex::new(Some(thread)),
            published,
            timers,
            changes,
            condition,
            trusted_now,
            known_keys,
            flow,
            retention_hours: settings.retention_hours,
        })
    }

    /// Hours for which an event that comes again is recognised.
    #[must_use]
    pub fn retention_hours(&self) -> u64 {
        self.retention_hours
    }

    /// How much was ever handed over to be written, and how much of it is over.
    #[must_use]
    pub fn flow(&self) -> (u64, u64) {
        self.flow.counts(|| self.requests.len())
    }

    /// A name by which this store is told from all others; see [`StoreFile::identity`].
    #[must_use]
    pub fn identity(&self) -> &str {
        self.file.identity()
    }

    /// What its files occupy; see [`StoreFile::bytes`].
    #[must_use]
    pub fn bytes(&self) -> Vec<(&'static str, u64)> {
        self.file.bytes()
    }

    /// What it is good for at the moment. Who meets a fault in reading reports it there.
    #[must_use]
    pub fn condition(&self) -> &Condition {
        &self.condition
    }

    /// Looks, until the store is closed, whether the writer stands still. To be run once.
    pub async fn watch_standstill(store: std::sync::Weak<Self>) {
        let mut looks = tokio::time::interval(super::standstill::LOOK);
        loop {
            looks.tick().await;
            let Some(store) = store.upgrade() else { return };
            (store.condition).look(|| lock_holders::writers(store.index));
        }
    }

    /// The time by which old rows are deleted, in milliseconds since the Unix epoch: it does not trust one reading of the clock.
    #[must_use]
    pub fn trusted_now(&self) -> u64 {
        self.trusted_now.load(Ordering::Relaxed)
    }

    /// Claims an idempotency key of a participant for the request with this fingerprint.
    #[must_use]
    pub fn claim(&self, participant: i64, key: &str, fingerprint: [u8; 32]) -> Known {
        self.known_keys.claim(participant, key, fingerprint)
    }

    /// Counts a message that leaves nothing to commit.
    pub fn count(&self, tally: Tally) {
        self.send(Request::Count(tally));
    }

    /// Hands over an entry. Waits while the queue is full.
    pub fn commit(&self, entry: Box<Entry>) {
        self.send(Request::Commit(entry));
    }

    /// Calls back when everything that the worker handed over before is committed, or when that has
    /// become void.
    pub fn after(
        &self,
        progress: Arc<Progress>,
        run: u64,
        done: impl FnOnce(Result<(), StoreFault>) + Send + 'static,
    ) {
        self.send(Request::After(Box::new(done), progress, run));
    }

    /// Runs something of the caller's in the writer, as a whole or not at all, and gives its result when it is committed. It
    /// shares a commit with what waits beside it, and must be short. Blocks.
    ///
    /// # Errors
    /// What SQLite said; or that the store is closed.
    pub fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreFault> {
        let result = self.hand_in(work).recv();
        result.unwrap_or_else(|_| Err(StoreFault("the store is closed".into())))
    }

    /// The same without waiting: the result comes by the channel, which is closed without one if the store is.
    pub fn hand_in<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Receiver<Result<T, StoreFault>> {
        let (give, take) = bounded(1);
        let condition = self.condition.clone();
        self.send(Request::Run(Box::new(move |connection| {
            let result = match connection {
                Some(connection) => in_savepoint(connection, work).map_err(|error| {
                    let fault = StoreFault::from(error);
                    if fault.kind() != FaultKind::Passing {
                        condition.report("something can't be written", &fault);
                    }
                    fault
                }),
                None => Err(StoreFault("was not tried".into())),
            };
            // If the caller is gone, so is the need for the result.
            Box::new(move |committed| drop(give.send(committed.and(result))))
        })));
        take
    }

    /// Blocks until everything handed over before is committed or has failed.
    pub fn settle_up(&self) {
        // Whether it went well is told to those who handed it over.
        let _ = self.run(|_| Ok(()));
    }

    fn send(&self, request: Request) {
        // The writer ends only on `Stop`, after which nobody may send; a late request is dropped, and
        // with it its callback, which its owner sees.
        let _ = self.requests.send(request);
    }

    /// A connection for reading, for one thread.
    ///
    /// # Errors
    /// What SQLite said.
    pub fn reader(&self) -> rusqlite::Result<Reader> {
        let connection = self.file.reading()?;
        Ok(Reader::new(connection, self.condition.clone()))
    }

    /// Rings after every commit that published something.
    #[must_use]
    pub fn published(&self) -> &Signal {
        &self.published
    }

    /// Rings after every commit that set a timer.
    #[must_use]
    pub fn timers(&self) -> &Signal {
        &self.timers
    }

    /// Tells after every commit which aggregates it changed.
    #[must_use]
    pub fn changes(&self) -> &Changes {
        &self.changes
    }

    /// Commits what is queued and ends the writer. Nothing may be handed over afterwards.
    pub fn close(&self) {
        self.send(Request::Stop);
        let thread = self.thread.lock().ok().and_then(|mut thread| thread.take());
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
    published: Signal,
    timers: Signal,
    changes: Changes,
    condition: Arc<Condition>,
    guard: Guard,
    /// Where the locks of others are looked for.
    index: LockFile,
    counters: Counters,
    /// What was counted besides entries, and is written with the next commit.
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
                Ok(Request::Commit(entry)) => next = self.commit(Item::Entry(entry), began),
                Ok(Request::After(done, progress, run)) => after(done, &progress, run),
                Ok(Request::Run(step)) => next = self.commit(Item::Run(step), began),
                Ok(Request::Count(tally)) => self.uncommitted.add(&tally),
                Ok(Request::Stop) | Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {}
            }
            self.flow.over(is_one.into());
            // Under load too: what is old must go then most of all.
            let is_time = looked.elapsed() >= pause;
            if is_time {
                // Turns do not wait for what can be done later.
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
        // A clean end leaves no log behind to be recovered.
        self.guard.close(&self.connection);
        let _ = super::file::close(self.connection);
        self.condition.work().end();
    }

    /// Commits a batch that starts with this item; gives back the request that ended the batch.
    fn commit(&mut self, first: Item, began: Instant) -> Option<Request> {
        let mut batch = vec![first];
        let mut left = None;
        while batch.len() < self.batch {
            batch.push(match self.queue.try_recv() {
                Ok(Request::Commit(entry)) => Item::Entry(entry),
                Ok(Request::After(done, progress, run)) => Item::After(done, progress, run),
                Ok(Request::Run(step)) => Item::Run(step),
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
            Some(fault) => (untried(batch), Err(fault)),
        };
        let now = self.commits.over(entries, began, result.is_ok());
        self.counters.clear();
        match result {
            Ok(()) => self.committed(batch, now),
            Err(error) => self.failed(batch, &error),
        }
        self.flow.over(further);
        left
    }

    /// Writes a batch in one transaction; gives what is left of its items, all of them in any case.
    fn write(&mut self, batch: Vec<Item>) -> (Vec<Applying>, Result<(), StoreFault>) {
        let sql = &self.connection;
        let trusted = self.guard.passed();
        let counters = &mut self.counters;
        let mut ended = EndedRuns::default();
        let mut applying = Vec::with_capacity(batch.len());
        let mut result = sql
            .prepare_cached("BEGIN IMMEDIATE")
            .and_then(|mut begin| begin.execute([]).map(drop));
        for item in batch {
            applying.push(match item {
                Item::After(done, progress, run) => Applying::After(done, progress, run),
                Item::Run(step) => {
                    // It may write what entries before it wrote too, where to read on, for example, and comes after them.
                    result = result.and_then(|()| counters.flush(sql));
                    counters.clear();
                    let done = step(result.is_ok().then_some(sql));
                    result = result.and_then(|()| still_open(sql));
                    Applying::Run(done)
                }
                Item::Entry(entry) => {
                    let mut fate = Fate::Void;
                    if result.is_ok() {
                        match write_entry(sql, counters, &mut ended, &entry, trusted) {
                            Ok(written) => fate = written,
                            Err(error) => result = Err(error),
                        }
                    }
                    Applying::Entry(entry, fate)
                }
            });
        }
        let result = result.and_then(|()| {
            counters.flush(sql)?;
            self.uncommitted.flush(sql)?;
            sql.prepare_cached("COMMIT")?.execute([]).map(drop)
        });
        if result.is_err() && !sql.is_autocommit() {
            // The rollback can fail only where the transaction is gone already.
            let _ = sql.execute_batch("ROLLBACK");
        }
        let result = result.map_err(|error| self.fault(&error));
        if result.is_ok() {
            self.uncommitted.clear();
        }
        // What was committed to files that are gone is lost with them.
        let result = result.and_then(|()| self.guard.after_commit());
        if result.is_ok() {
            ended.announce();
        }
        (applying, result)
    }

    /// What a commit failed of; with who has locked the store, where that is it.
    fn fault(&self, error: &rusqlite::Error) -> StoreFault {
        let fault = StoreFault::from(error);
        let is_locked = error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy);
        match is_locked
            .then(|| lock_holders::writers(self.index))
            .flatten()
        {
            Some(holder) => StoreFault::new(
                FaultKind::Passing,
                format!("{fault}: {holder} has locked it; end that program, or its transaction"),
            ),
            None => fault,
        }
    }

    fn committed(&mut self, batch: Vec<Applying>, now: Option<Instant>) {
        // A commit with nothing in it goes through on a full disk too.
        let has_written =
            |item: &Applying| matches!(item, Applying::Entry(_, Fate::Written | Fate::Duplicate));
        if batch.iter().any(has_written) {
            self.condition.has_committed();
        }
        let mut rings = Rings::default();
        for item in batch {
            match item {
                Applying::Entry(entry, fate @ (Fate::Written | Fate::Duplicate)) => {
                    rings.add(&entry);
                    entry.progress.set_committed(entry.ticket);
                    if fate == Fate::Written {
                        entry
                            .parking
                            .iter()
                            .for_each(|parking| parking.place.keep());
                        entry.unparked.iter().for_each(|unparked| unparked.leave());
                    }
                    if let Some(kept) = &entry.kept_reply {
                        kept.claim.keep();
                    }
                    self.tell(&entry);
                    match entry.measured {
                        Some(measured) if fate == Fate::Written => measured.committed(now),
                        Some(measured) => measured.was_committed_before(),
                        None => {}
                    }
                    (entry.done)(Ok(()));
                }
                Applying::Entry(entry, Fate::Void) => {
                    let why = "was decided on a state that did not come to be; try again";
                    void(*entry, &StoreFault(why.into()));
                }
                Applying::After(done, progress, run) => after(done, &progress, run),
                Applying::Run(done) => done(Ok(())),
            }
        }
        if rings.published {
            self.published.ring();
        }
        if rings.timers {
            self.timers.ring();
        }
    }

    fn tell(&self, entry: &Entry) {
        if let Some(settlement) = &entry.settlement
            && settlement.state != StateChange::Unchanged
        {
            self.changes.tell(entry.participant, &settlement.key);
        }
    }

    fn failed(&mut self, batch: Vec<Applying>, fault: &StoreFault) {
        self.condition.commit_failed(fault);
        for item in &batch {
            if let Applying::Entry(entry, _) = item {
                entry.progress.start_new_run(entry.run);
            }
        }
        for item in batch {
            match item {
                Applying::Entry(entry, _) => void(*entry, fault),
                Applying::After(done, progress, run) => after(done, &progress, run),
                Applying::Run(done) => done(Err(fault.clone())),
            }
        }
    }

    /// Writes what was counted besides entries. Where that fails it is kept for the next commit.
    /// After a commit that failed: finds out whether one would go through now, for nobody may send another command to a host that is not
    /// ready.
    fn try_again(&mut self) {
        if !self.condition.is_failing() || self.guard.lacks_room().is_some() {
            return;
        }
        let tried = in_transaction(&self.connection, |sql| sql.execute_batch(TRIAL));
        if tried.is_ok() {
            self.condition.has_committed();
        }
    }

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

    /// Deletes some of what is old; says whether there is more.
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

/// What is left of items of which none is tried.
fn untried(batch: Vec<Item>) -> Vec<Applying> {
    let untried = |item| match item {
        Item::Entry(entry) => Applying::Entry(entry, Fate::Void),
        Item::After(done, progress, run) => Applying::After(done, progress, run),
        Item::Run(step) => Applying::Run(step(None)),
    };
    batch.into_iter().map(untried).collect()
}

/// Who is to be woken after a commit.
#[derive(Default)]
struct Rings {
    published: bool,
    timers: bool,
}

impl Rings {
    fn add(&mut self, entry: &Entry) {
        self.published |= !entry.outbox.is_empty();
        // After one that fired there may be the next.
        let has_set = |settlement: &Settlement| !settlement.timers.is_empty();
        self.timers |= entry.fired.is_some() || entry.settlement.as_ref().is_some_and(has_set);
    }
}

/// An entry that is not written: its record is read again.
fn void(mut entry: Entry, fault: &StoreFault) {
    // Before its client is told: it may repeat the command at once.
    entry.kept_reply = None;
    if let Some(taken) = &entry.taken {
        taken.session.cancel();
    }
    if let Some(measured) = entry.measured {
        measured.is_void();
    }
    (entry.done)(Err(fault.clone()));
}

fn after(done: Done, progress: &Progress, run: u64) {
    if progress.run() == run {
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
