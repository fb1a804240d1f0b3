//! The one writing thread of a host.
//!
//! A commit of entries with frequent writes only is one call of `saga_commit_v4`, one round trip. If
//! it is refused because of one of its rows, each half is tried by itself, down to the entry that is
//! to blame. An entry with rare writes, and any other step, has a transaction of its own.
//!
//! If the connection is lost before the server has answered, the commit may have taken place or
//! not: its number in `hosts` tells. Until it is known, nothing is reported and nothing else is
//! written.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use saga_core::commit::{Batch, Chains, Fate, Write};

use super::address::ServerAddress;
use super::error::{Refusal, SqlError, SqlResult};
use super::in_force::InForce;
use super::membership::{self, Membership, SIGN_OF_LIFE};
use super::prune::Pruner;
use super::session::Sql;
use super::write::columns::{Columns, CommitNumber};
use super::write::entry;
use super::write::members::Members;
use crate::metrics::Commits;
use crate::stages::Flow;
use crate::store::condition::Condition;
use crate::store::duties::Duty;
use crate::store::entry::Handed;
use crate::store::fault::StoreFault;
use crate::store::writing::items::{BatchItem, untried};
use crate::store::writing::outcomes::{Outcomes, after};
use crate::store::writing::requests::{Batching, Gathered, Request, gather};
use crate::store::writing::tallies::Tallies;

/// Interval at which the idle writer searches for old rows.
const IDLE: Duration = Duration::from_millis(500);

/// The interval while there is more to delete: old rows must be deleted as fast as new ones arrive.
const BEHIND: Duration = Duration::from_millis(20);

/// Delay between two attempts to learn the outcome of a commit.
const BETWEEN_TRIES: Duration = Duration::from_millis(200);

/// An item of a batch.
type Item = BatchItem<Sql>;

/// The writer of a store that this process owns.
pub(super) struct Writer {
    pub(super) address: ServerAddress,
    /// None while the connection is lost.
    pub(super) sql: Option<Sql>,
    pub(super) me: Membership,
    /// Number of the last commit that was tried.
    pub(super) number: i64,
    /// Number of the last one that took place.
    pub(super) committed: i64,
    pub(super) queue: Receiver<Request<Sql>>,
    pub(super) outcomes: Outcomes,
    /// The unwritten entries, and those that were decided on them.
    pub(super) chains: Chains,
    /// Counts without an entry, to be written with the next commit.
    pub(super) uncommitted: Tallies,
    pub(super) in_force: Arc<InForce>,
    pub(super) pruner: Pruner,
    /// Only the host that has it deletes old rows.
    pub(super) pruning: Duty,
    pub(super) batch: usize,
    pub(super) commits: Commits,
    pub(super) flow: Arc<Flow>,
    /// The server's time, in milliseconds since the Unix epoch.
    pub(super) trusted_now: Arc<AtomicU64>,
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(self) -> std::io::Result<JoinHandle<()>> {
        let thread = std::thread::Builder::new().name("store".into());
        thread.spawn(move || self.run())
    }

    fn run(mut self) {
        let mut looked = Instant::now();
        let mut shown = Instant::now();
        let mut pause = IDLE;
        let mut next = None;
        loop {
            let request = match next.take() {
                Some(request) => Ok(request),
                None => self.queue.recv_timeout(pause),
            };
            let began = Instant::now();
            self.condition().work().begin(began);
            let is_one = request.is_ok();
            self.flow.begin(is_one.into());
            match request {
                Ok(Request::Commit(handed)) => next = self.commit(Item::Entry(handed), began),
                Ok(Request::After(done, link)) => after(done, self.chains.holds(link)),
                Ok(Request::Run(step)) => next = self.commit(Item::Step(step), began),
                Ok(Request::Count(tally)) => self.uncommitted.add(&tally),
                Ok(Request::Stop) | Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {}
            }
            self.flow.over(is_one.into());
            if shown.elapsed() >= SIGN_OF_LIFE {
                self.show();
                shown = Instant::now();
            }
            if looked.elapsed() >= pause {
                pause = if self.tend() { BEHIND } else { IDLE };
                looked = Instant::now();
            }
            self.condition().work().end();
        }
        self.write_tallies();
        let me = self.me;
        if self.condition().refusal().is_none()
            && let Ok(sql) = self.session()
        {
            // If this fails, the next host waits for a few seconds.
            let _ = membership::leave(sql, me);
        }
        self.condition().work().end();
    }

    fn condition(&self) -> &Condition {
        &self.outcomes.condition
    }

    /// Commits what waits, starting with this item; returns the request that ended it.
    fn commit(&mut self, first: Item, began: Instant) -> Option<Request<Sql>> {
        let batching = Batching {
            most: self.batch,
            are_steps_apart: true,
        };
        let Gathered { items, left } = gather(&self.queue, first, batching, &mut self.uncommitted);
        let further = (items.len() as u64).saturating_sub(1);
        let began = self.commits.at(began);
        self.flow.begin(further);
        match self.condition().refusal() {
            None => self.write(items, began),
            Some(fault) => self.fail(items, fault, began),
        }
        self.flow.over(further);
        left
    }

    /// Writes items, in order: those with frequent writes together, each of the others by itself, so that
    /// no transaction waits for this host while others wait for its rows.
    fn write(&mut self, items: Vec<Item>, began: Option<Instant>) {
        let mut frequent = Vec::with_capacity(items.len());
        for item in items {
            if has_frequent_writes_only(&item) {
                frequent.push(item);
            } else {
                self.write_together(std::mem::take(&mut frequent), began);
                self.write_alone(item, began);
            }
        }
        self.write_together(frequent, began);
    }

    /// Writes items with frequent writes only in one commit, or in several if one of them is refused.
    fn write_together(&mut self, items: Vec<Item>, began: Option<Instant>) {
        if items.is_empty() {
            return;
        }
        if let Err(error) = self.session() {
            return self.fail(items, error.into(), began);
        }
        let mut batch = Batch::with_capacity(items.len());
        for item in items {
            let added = batch.add(&mut self.chains, item, |item| {
                Ok::<_, SqlError>(consumed(item, &self.in_force))
            });
            debug_assert!(added.is_ok(), "nothing is written yet");
        }
        let error = match self.write_at_once(&batch) {
            Ok(()) => return self.end(batch, Ok(()), began),
            Err(error) => error,
        };
        match error.refusal() {
            Some(Refusal::OtherRules) => {
                let items = batch.take_back();
                match self.learn() {
                    Ok(()) => self.write_together(items, began),
                    Err(error) => self.fail(items, error.into(), began),
                }
            }
            Some(Refusal::OneRow | Refusal::Stale | Refusal::Replied) => {
                let mut items = batch.take_back();
                if items.len() == 1 {
                    return items
                        .into_iter()
                        .for_each(|item| self.write_alone(item, began));
                }
                let behind = items.split_off(items.len() / 2);
                self.write_together(items, began);
                self.write_together(behind, began);
            }
            Some(Refusal::Taken | Refusal::Lost | Refusal::Deadlock) | None => {
                let fault = self.fault(error);
                self.end(batch, Err(fault), began);
            }
        }
    }

    /// Ends a batch whose outcome is known, and reports it.
    fn end(&mut self, batch: Batch<Item>, result: Result<(), StoreFault>, began: Option<Instant>) {
        let entries = batch.items().len();
        let now = self.commits.over(entries, began, result.is_ok());
        self.outcomes.end(batch, &mut self.chains, result, now);
    }

    /// Ends items that are not attempted.
    fn fail(&mut self, items: Vec<Item>, fault: StoreFault, began: Option<Instant>) {
        let batch = untried(items, &mut self.chains);
        self.end(batch, Err(fault), began);
    }

    /// Writes the entries of a batch by one call. Repeats it if the connection was lost and it did
    /// not take place.
    fn write_at_once(&mut self, batch: &Batch<Item>) -> SqlResult<()> {
        self.number += 1;
        let trusted = self.trusted_now.load(Ordering::Relaxed);
        let mut columns = Columns::default();
        for (item, fate) in batch.items() {
            if let (Item::Entry(handed), Fate::Written) = (item, fate) {
                for write in &handed.entry.writes {
                    if let Write::Inbox(identity, time) = write {
                        let time = (*time).max(trusted);
                        columns.identity(handed.entry.participant, identity, time);
                    }
                }
                columns.add(&handed.entry, trusted);
            }
        }
        columns.tallies(&self.uncommitted);
        let in_force = self.in_force.clone();
        loop {
            let commit = self.numbered();
            let written =
                (self.session()).and_then(|sql| columns.write(sql, commit, &in_force.members));
            match written {
                Err(error) if error.is_lost() => {
                    if self.has_committed()? {
                        break;
                    }
                }
                // Another commit locked the same rows in another order. It is over now.
                Err(error) if error.refusal() == Some(Refusal::Deadlock) => {}
                Err(error) => return Err(error),
                Ok(()) => break,
            }
        }
        drop(columns);
        self.committed = self.number;
        self.uncommitted.clear();
        Ok(())
    }

    /// Writes an item in a transaction of its own.
    fn write_alone(&mut self, item: Item, began: Option<Instant>) {
        self.number += 1;
        let part = CommitNumber {
            number: None,
            ..self.numbered()
        };
        let trusted = self.trusted_now.load(Ordering::Relaxed);
        let in_force = self.in_force.clone();
        let mut batch = Batch::with_capacity(1);
        let begun = self.begin();
        let sql = self.sql.take();
        let open = sql.as_ref().filter(|_| begun.is_ok());
        let item = item.take_step(open);
        let result = match open {
            None => {
                batch.add_failed(&mut self.chains, item);
                begun
            }
            Some(sql) => batch.add(&mut self.chains, item, |item| {
                match (consumed(item, &in_force), item) {
                    (Fate::Written, Item::Entry(handed)) => {
                        write_entry(sql, handed, (part, trusted), &in_force.members)
                    }
                    (fate, _) => Ok(fate),
                }
            }),
        };
        let is_open = result.is_ok();
        let result = result.and_then(|()| match &sql {
            Some(sql) => sql.run("COMMIT"),
            None => Ok(()),
        });
        if !is_open && let Some(sql) = &sql {
            // A lost connection undoes it too.
            let _ = sql.run("ROLLBACK");
        }
        self.sql = sql;
        let result = match result {
            // Only the commit itself may have taken place.
            Err(error) if is_open && error.is_lost() => match self.has_committed() {
                Ok(true) => Ok(()),
                Ok(false) => Err(error),
                Err(error) => Err(error),
            },
            other => other,
        };
        if result.is_ok() {
            self.committed = self.number;
            self.uncommitted.clear();
        }
        let result = result.map_err(|error| self.fault(error));
        self.end(batch, result, began);
    }

    /// Begins a transaction of several statements, which is the next commit.
    fn begin(&mut self) -> SqlResult<()> {
        loop {
            let mut counted = Columns::default();
            counted.tallies(&self.uncommitted);
            let (commit, in_force) = (self.numbered(), self.in_force.clone());
            let begun = self.session().and_then(|sql| {
                sql.run("BEGIN")?;
                counted.write(sql, commit, &in_force.members)
            });
            match begun {
                Err(error) if error.refusal() == Some(Refusal::OtherRules) => {
                    self.session()?.run("ROLLBACK")?;
                    self.learn()?;
                }
                begun => return begun,
            }
        }
    }

    /// Learns what other hosts have activated.
    fn learn(&mut self) -> SqlResult<()> {
        let in_force = self.in_force.clone();
        self.session().and_then(|sql| in_force.learn(sql))
    }

    fn numbered(&self) -> CommitNumber {
        CommitNumber {
            host: self.me.host,
            incarnation: self.me.incarnation,
            epoch: self.in_force.epoch(),
            last: self.committed,
            number: Some(self.number),
        }
    }

    /// Waits until it is known if the last commit took place.
    fn has_committed(&mut self) -> SqlResult<bool> {
        let mut is_said = false;
        loop {
            self.sql = None;
            let me = self.me;
            let last = (self.session()).and_then(|sql| membership::last_commit(sql, me));
            match last {
                Ok(Some(last)) if last == self.number => return Ok(true),
                Ok(Some(last)) if last == self.committed => return Ok(false),
                Ok(Some(_)) => return Err(self.has_lost_commits()),
                Ok(None) => return Err(self.is_taken()),
                Err(error) => {
                    if !is_said {
                        tracing::warn!(
                            %error, "the connection was lost during a commit; its outcome will be known when the server can be reached"
                        );
                        is_said = true;
                    }
                    std::thread::sleep(BETWEEN_TRIES);
                }
            }
        }
    }

    /// The session; a new one if the last was lost.
    fn session(&mut self) -> SqlResult<&Sql> {
        if self.sql.as_ref().is_none_or(Sql::is_closed) {
            self.sql = Some(self.address.connect()?);
        }
        match &self.sql {
            Some(sql) => Ok(sql),
            None => unreachable!("it was just opened"),
        }
    }

    /// The row of this host is another's: nothing more is acknowledged.
    fn is_taken(&self) -> SqlError {
        let text = "this host gave no sign of life for so long that the others go on without it";
        let remedy = "start it again";
        self.condition().is_gone(text.into(), remedy);
        SqlError::Data(text.into())
    }

    /// The server has lost commits of this host: nothing more is acknowledged.
    fn has_lost_commits(&self) -> SqlError {
        let text = "the PostgreSQL server has lost commits that it acknowledged, as after a failover to a standby that was \
                    behind";
        let remedy = "what they decided is lost; the next start goes on with what is left (docs/scale.md, Failover)";
        self.condition().is_gone(text.into(), remedy);
        SqlError::Data(text.into())
    }

    fn fault(&self, error: SqlError) -> StoreFault {
        match error.refusal() {
            Some(Refusal::Taken) => drop(self.is_taken()),
            Some(Refusal::Lost) => drop(self.has_lost_commits()),
            _ => {}
        }
        self.condition().refusal().unwrap_or_else(|| error.into())
    }

    /// Shows that this host is there. It also tells if a commit would succeed after one that failed:
    /// an unready host may get no further command.
    fn show(&mut self) {
        if self.condition().refusal().is_some() {
            return;
        }
        let me = self.me;
        match (self.session()).and_then(|sql| membership::show(sql, me)) {
            Ok(Some((last, _))) if last != self.committed => drop(self.has_lost_commits()),
            Ok(Some((_, now))) => {
                self.trusted_now.fetch_max(now, Ordering::Relaxed);
                self.condition().has_committed();
            }
            Ok(None) => drop(self.is_taken()),
            Err(error) => {
                let fault = error.into();
                self.condition()
                    .report("the store can't be reached", &fault);
            }
        }
    }

    /// Writes the counts without an entry, and deletes some old rows; returns true if there are
    /// more.
    fn tend(&mut self) -> bool {
        if self.condition().refusal().is_some() || self.condition().is_failing() {
            return false;
        }
        self.write_tallies();
        let now = self.trusted_now.load(Ordering::Relaxed);
        if !self.pruning.is_mine() || self.session().is_err() {
            return false;
        }
        let Some(sql) = &self.sql else { return false };
        let pruned = self.pruner.step(sql, now);
        pruned.unwrap_or_else(|error| {
            let fault = error.into();
            self.condition().report("old rows can't be deleted", &fault);
            false
        })
    }

    /// Writes the counts without an entry. If that fails, they are kept for the next commit.
    fn write_tallies(&mut self) {
        if self.uncommitted.is_empty() || self.condition().refusal().is_some() {
            return;
        }
        let mut columns = Columns::default();
        columns.tallies(&self.uncommitted);
        let commit = CommitNumber {
            number: None,
            ..self.numbered()
        };
        let in_force = self.in_force.clone();
        let written =
            (self.session()).and_then(|sql| columns.write(sql, commit, &in_force.members));
        match written {
            Ok(()) => self.uncommitted.clear(),
            Err(error) => {
                let fault = error.into();
                self.condition()
                    .report("what was counted can't be written", &fault);
            }
        }
    }
}

/// Adds to an entry the offset of the record that it consumes, unless other rules are active than
/// those that decided it.
fn consumed(item: &mut Item, in_force: &InForce) -> Fate {
    let Item::Entry(handed) = item else {
        return Fate::Written;
    };
    let handed: &mut Handed = handed;
    if !in_force.allows(&handed.entry) {
        return Fate::Refused;
    }
    handed.consume();
    Fate::Written
}

/// Writes an entry, as a whole or not at all. A value that the server does not take spoils its own
/// entry only.
fn write_entry(
    sql: &Sql,
    handed: &Handed,
    around: (CommitNumber, u64),
    members: &Members,
) -> SqlResult<Fate> {
    use crate::store::writing::items::Transaction as _;
    let fate = sql.in_savepoint(|sql| entry::write(sql, &handed.entry, around, members));
    let error = match fate {
        Ok(fate) => return Ok(fate),
        Err(error) => error,
    };
    match error.refusal() {
        Some(Refusal::OneRow) => {
            tracing::error!(%error, key = handed.entry.key, "an entry can't be stored");
            Ok(Fate::Failed)
        }
        // The reading of its record is cancelled, and a command is decided again.
        Some(Refusal::Stale | Refusal::Deadlock) => Ok(Fate::Refused),
        Some(Refusal::Replied) => {
            if let Some(claim) = &handed.claim {
                claim.keep();
            }
            Ok(Fate::Refused)
        }
        Some(Refusal::Taken | Refusal::Lost | Refusal::OtherRules) | None => Err(error),
    }
}

fn has_frequent_writes_only(item: &Item) -> bool {
    match item {
        Item::Entry(handed) => handed.entry.writes.iter().all(|write| {
            matches!(
                write,
                Write::Offset(_)
                    | Write::Inbox(..)
                    | Write::State(..)
                    | Write::Migrated(..)
                    | Write::Timers(..)
                    | Write::Fired(_)
                    | Write::Journal(_)
                    | Write::Reply(_)
                    | Write::GeneratedKey(_)
                    | Write::Tally(_)
                    | Write::Publish(_)
            )
        }),
        Item::After(..) | Item::Taken(_) => true,
        Item::Step(_) => false,
    }
}
