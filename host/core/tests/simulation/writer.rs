//! The writer's thread, in three steps with possible crashes between them: write a batch into an
//! open transaction, commit it, report the fates. `saga_core`'s own [`Batch`] determines which
//! entries are valid.
//!
//! A commit may fail; an entry may be refused by itself, as in a store with other writers; and the
//! outcome of a commit may be unknown for a while.

use std::cell::Cell;
use std::rc::Rc;

use saga_core::commit::{
    Batch, Broken as BrokenEntry, CommitOutcome, Ended, Fate, InBatch, Link, Write,
};
use saga_core::worker::{Commit, TakenRecord, WorkerAnswer};

use crate::apply::{apply, write_outbox};
use crate::checker::must;
use crate::host::{Answer, Simulated};
use crate::process::Process;
use crate::rules::SagaRules;
use crate::scene::{Broken, Scene};
use crate::store::Store;
use crate::thread::Progress;

/// An entry as it is handed over.
pub(crate) struct Handed {
    /// The build that decided.
    pub(crate) build: Rc<SagaRules>,
    pub(crate) commit: Commit<Simulated>,
    pub(crate) progress: Rc<Progress>,
    /// Number of the process among those of its store.
    pub(crate) process: usize,
}

impl Handed {
    /// A word for its effect, for the trace.
    pub(crate) fn what(&self) -> &'static str {
        let writes = &self.commit.entry.writes;
        let is = |is: fn(&Write) -> bool| writes.iter().any(is);
        match () {
            () if is(|write| matches!(write, Write::Journal(_))) => {
                match is(|write| matches!(write, Write::Unpark(_))) {
                    true => "unparked",
                    false => "decide",
                }
            }
            () if is(|write| matches!(write, Write::Park(_))) => match self.commit.taken {
                Some(_) => "parked",
                None => "timer-placed",
            },
            () if is(|write| matches!(write, Write::ReturnedRecord(_))) => "returned",
            () if is(|write| matches!(write, Write::LetterEnded(..))) => "discarded",
            () => "pass",
        }
    }

    /// The position of its record, for the trace.
    pub(crate) fn place(&self) -> String {
        let at = self
            .commit
            .taken
            .as_ref()
            .map(|taken| taken.at().to_string());
        at.unwrap_or_default()
    }
}

/// The requests of a process to its writer, in order.
pub(crate) enum Request {
    Commit(Box<Handed>),
    /// Activate this build if it can read all stored states.
    Activate {
        build: Rc<SagaRules>,
        result: Rc<Cell<Option<Activation>>>,
        /// The build that it was compared with.
        replaces: Rc<SagaRules>,
        /// True if it lacks something, so that it is compared with what is stored.
        is_checked: bool,
    },
    /// Answer a read once all earlier entries have their fates.
    Answer {
        call: usize,
        answer: Answer,
        link: Link,
    },
    /// Notify a worker once all earlier entries have their fates.
    Sync(Rc<Cell<bool>>),
}

/// The outcome of an activation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Activation {
    Committed,
    /// There are states that the build can't read.
    Refused,
    Failed,
}

/// An entry in a batch.
pub(crate) struct Entry(pub(crate) Box<Handed>);

impl InBatch for Entry {
    fn link(&self) -> Option<Link> {
        Some(self.0.commit.link)
    }

    fn is_cancelled(&self) -> bool {
        self.0
            .commit
            .taken
            .as_ref()
            .is_some_and(TakenRecord::is_cancelled)
    }

    fn cancel(&self) {
        self.0.commit.taken.iter().for_each(TakenRecord::cancel);
    }
}

/// The transaction in progress.
pub(crate) enum Writing {
    /// The open transaction.
    Open(Batch<Entry>, Box<Store>),
    /// It is committed or has failed, and is to be reported.
    Over(Batch<Entry>, CommitOutcome),
    /// It may have been committed.
    Unknown(Batch<Entry>, bool),
    /// An activation: a transaction of its own, without entries.
    Activating(Box<Store>, Rc<Cell<Option<Activation>>>),
    Activated(Rc<Cell<Option<Activation>>>),
}

impl Writing {
    /// True if a transaction is open.
    pub(crate) fn is_open(&self) -> bool {
        matches!(
            self,
            Self::Open(..) | Self::Activating(..) | Self::Unknown(..)
        )
    }
}

impl Process {
    /// Makes the writer's next step; returns false if there was none.
    pub(crate) fn write(&mut self, scene: &mut Scene) -> bool {
        if scene.is_shared {
            return self.write_shared(scene);
        }
        match self.writing.take() {
            None => return self.take_request(scene),
            Some(Writing::Open(batch, open)) => self.commit_batch(batch, open, scene),
            Some(Writing::Unknown(batch, happened)) => {
                let happened = match () {
                    () if scene.is_broken(Broken::UnknownTakenForFailed) => false,
                    () if scene.is_broken(Broken::UnknownTakenForCommitted) => true,
                    () => happened,
                };
                scene.note("resolved", format_args!("happened: {happened}"));
                let outcome = if happened {
                    CommitOutcome::Committed
                } else {
                    CommitOutcome::Failed
                };
                self.writing = Some(Writing::Over(batch, outcome));
            }
            Some(Writing::Over(batch, outcome)) => {
                // A commit of unknown outcome never comes here.
                if let Ended::Over(entries) = batch.end(&mut self.chains, outcome) {
                    self.tell(entries, scene);
                }
            }
            Some(Writing::Activating(open, result)) => {
                if self.fails(scene) {
                    scene.note("activation-failed", format_args!(""));
                    result.set(Some(Activation::Failed));
                } else {
                    self.store = *open;
                    let active = self.store.active();
                    scene.check(must(self.store.is_readable_by(active), 6, || {
                        format!("{} is active, but can't read all states", active.digest)
                    }));
                    self.writing = Some(Writing::Activated(result));
                }
            }
            Some(Writing::Activated(result)) => {
                result.set(Some(Activation::Committed));
                self.activations_told += 1;
            }
        }
        true
    }

    pub(crate) fn fails(&self, scene: &mut Scene) -> bool {
        // Waits for exactly this commit are rare.
        let waits = self.threads.iter().any(|thread| thread.waits());
        let fails = scene.random.percent(if waits { 50 } else { 8 });
        fails && !scene.dice.calm.get()
    }

    pub(crate) fn take_request(&mut self, scene: &mut Scene) -> bool {
        match self.queue.pop_front() {
            None => return false,
            Some(Request::Answer { call, answer, link }) => {
                match self.chains.is_broken(link.worker, link.base) {
                    false => scene.answer(call, answer),
                    true if scene.is_shared => self.again.push_back(scene.ask_anew(call)),
                    true => scene.answer(call, Answer::StoreFailed),
                }
            }
            Some(Request::Sync(awaited)) => awaited.set(true),
            Some(Request::Activate { build, result, .. }) => self.activate(&build, result, scene),
            Some(Request::Commit(first)) => self.open(first, scene),
        }
        true
    }

    /// The activation follows all entries that were handed over before it, so it sees all states.
    fn activate(
        &mut self,
        build: &Rc<SagaRules>,
        result: Rc<Cell<Option<Activation>>>,
        scene: &mut Scene,
    ) {
        let early = scene.is_broken(Broken::StatesCheckedBefore);
        if !early && !self.store.is_readable_by(build) {
            scene.note("states-unreadable", format_args!("by {}", build.digest));
            return result.set(Some(Activation::Refused));
        }
        let mut open = Box::new(self.store.clone());
        if !scene.is_broken(Broken::ActivationNotWritten) {
            open.activate(build);
        }
        open.release_timers();
        let back = build.shape.version < self.store.active().shape.version;
        let what = if back { "older-states" } else { "activate" };
        scene.note(what, format_args!("{}", build.digest));
        self.writing = Some(Writing::Activating(open, result));
    }

    /// Writes a batch into a transaction.
    fn open(&mut self, first: Box<Handed>, scene: &mut Scene) {
        let most = 1 + scene.random.index(6);
        let mut handed = vec![first];
        while handed.len() < most
            && let Some(Request::Commit(_)) = self.queue.front()
            && let Some(Request::Commit(next)) = self.queue.pop_front()
        {
            handed.push(next);
        }
        let mut open = Box::new(self.store.clone());
        let mut batch = Batch::with_capacity(handed.len());
        for handed in handed {
            self.write_one(&mut batch, &mut open, handed, scene);
        }
        if scene.is_broken(Broken::ToldBeforeCommit) {
            for (Entry(handed), fate) in batch.items() {
                announce(handed, *fate);
            }
        }
        self.writing = Some(Writing::Open(batch, open));
    }

    fn write_one(
        &mut self,
        batch: &mut Batch<Entry>,
        open: &mut Store,
        mut handed: Box<Handed>,
        scene: &mut Scene,
    ) {
        self.mislead(&mut handed, scene);
        let session = handed
            .commit
            .taken
            .as_ref()
            .map(|taken| taken.session.clone());
        let was_cancelled = session
            .as_ref()
            .is_some_and(|session| session.cancelled.get());
        let (link, at) = (handed.commit.link, handed.place());
        // As in a store with other writers.
        let refuses = scene.random.percent(3) && !scene.dice.calm.get();
        let refuses = refuses && handed.commit.entry.key.is_some();
        let broken = scene.broken;
        let written = batch.add(&mut self.chains, Entry(handed), |Entry(handed)| {
            if refuses {
                return Ok::<_, ()>(Fate::Refused);
            }
            if let Some(taken) = &handed.commit.taken {
                handed.commit.entry.consumes(|| taken.settle());
            }
            Ok(apply(open, handed, broken))
        });
        written.expect("nothing fails before the commit");
        let Some((Entry(handed), fate)) = batch.items().last() else {
            return;
        };
        if *fate == Fate::Written && handed.commit.entry.changes_state() {
            let (active, version) = (open.active(), handed.commit.entry.state_version);
            scene.check(must(active.shape.reads(version), 6, || {
                let digest = &active.digest;
                format!("a state of version {version} came to be, which {digest} can't read")
            }));
        }
        if scene.is_broken(Broken::ReadingOutlivesVoid)
            && let Some(session) = session
        {
            session.cancelled.set(was_cancelled);
        }
        let what = match fate {
            Fate::Duplicate => "duplicate-refused",
            Fate::Refused if refuses => "one-refused",
            _ => "write",
        };
        let Link { worker, ticket, .. } = link;
        scene.note(
            what,
            format_args!("{at} worker {worker} ticket {ticket}: {fate:?}"),
        );
    }

    /// Applies the deliberate defect to an entry.
    fn mislead(&self, handed: &mut Handed, scene: &Scene) {
        if scene.is_broken(Broken::BuildOfTheCommit) {
            handed.build = self.store.active().clone();
        }
        if scene.is_broken(Broken::TimerNotConsumed) && !scene.dice.calm.get() {
            let writes = &mut handed.commit.entry.writes;
            writes.retain(|write| !matches!(write, Write::Fired(_)));
        }
        if scene.is_broken(Broken::VoidChainWritten) {
            handed.commit.link.base = 0;
        }
    }

    fn commit_batch(&mut self, batch: Batch<Entry>, open: Box<Store>, scene: &mut Scene) {
        let entries = batch.items().len();
        if scene.random.percent(4) && !scene.dice.calm.get() {
            let happened = scene.random.percent(50);
            let what = if happened {
                "unknown-happened"
            } else {
                "unknown-failed"
            };
            scene.note(what, format_args!("{entries} entries"));
            if happened {
                self.store = *open;
            }
            if let Ended::Unknown(batch) = batch.end(&mut self.chains, CommitOutcome::Unknown) {
                self.writing = Some(Writing::Unknown(batch, happened));
            }
        } else if self.fails(scene) {
            scene.note("commit-failed", format_args!("{entries} entries"));
            self.writing = Some(Writing::Over(batch, CommitOutcome::Failed));
        } else {
            scene.note("commit", format_args!("{entries} entries"));
            self.store = *open;
            self.writing = Some(Writing::Over(batch, CommitOutcome::Committed));
        }
    }

    pub(crate) fn tell(&mut self, entries: Vec<(Entry, Fate)>, scene: &mut Scene) {
        let any_duplicate = entries.iter().any(|(_, fate)| *fate == Fate::Duplicate);
        for (Entry(handed), fate) in entries {
            announce(&handed, fate);
            let is_written = matches!(fate, Fate::Written | Fate::Duplicate);
            let is_told = !(any_duplicate && scene.is_broken(Broken::WrittenToldVoid));
            if !is_written {
                scene.note("void", format_args!("ticket {}", handed.commit.link.ticket));
                handed.commit.taken.iter().for_each(TakenRecord::cancel);
            }
            if is_written && scene.is_broken(Broken::OutboxApart) {
                write_outbox(&mut self.store, &handed);
            }
            let Some((call, answer)) = handed.commit.client else {
                continue;
            };
            match answer {
                WorkerAnswer::Replied(replied) if is_written && is_told => {
                    scene.answer(call, Answer::Replied(replied.reply));
                }
                WorkerAnswer::StateRead(is_older) if is_written && is_told => {
                    scene.note("state-read", format_args!("older: {is_older}"));
                    scene.answer(call, Answer::StateRead);
                }
                // Another host was first.
                _ if fate == Fate::Refused && scene.is_shared => self.superseded(call, scene),
                _ => scene.answer(call, Answer::StoreFailed),
            }
        }
    }
}

/// Reports the fate of an entry to its worker.
fn announce(handed: &Handed, fate: Fate) {
    let Link { ticket, .. } = handed.commit.link;
    if fate != Fate::Written {
        let key = handed.commit.entry.key.clone();
        (handed.progress.broken.borrow_mut()).push(BrokenEntry { ticket, key });
    }
    handed.progress.settled.set(ticket);
}
