//! The writer of a process in the three steps between which a crash may come: write a batch into an open
//! transaction, commit it, tell those who wait.
//!
//! A commit may fail; then nothing of the batch is written, and the workers that had run ahead are sent
//! back. They are sent back only once the store shows what was committed: sooner, they would read a state
//! that is about to be replaced.

use std::cell::Cell;
use std::rc::Rc;

use crate::entry::{Activation, Answer, Entry, Progress, Request};
use crate::process::Process;
use crate::rules::SagaRules;
use crate::scene::{Broken, Scene};
use crate::store::{Applied, Store, apply, write_outbox};

/// A batch on its way to disk.
pub(crate) struct Batch {
    entries: Vec<(Box<Entry>, Fate)>,
    /// Runs that are over: their workers are sent back after the commit.
    ended: Vec<(Rc<Progress>, u64)>,
    /// Who waits for an activation: a transaction of its own, without entries.
    activation: Option<Rc<Cell<Option<Activation>>>>,
    /// The open transaction; none once it is committed.
    open: Option<Store>,
}

/// What became of an entry in the transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Written,
    Duplicate,
    Void,
}

impl Batch {
    pub(crate) fn is_committed(&self) -> bool {
        self.open.is_none()
    }
}

impl Process {
    /// The writer's next step; says whether there was one.
    pub(crate) fn write(&mut self, scene: &mut Scene) -> bool {
        match self.batch.take() {
            None => match self.queue.pop_front() {
                None => return false,
                Some(Request::Answer {
                    call,
                    reply,
                    progress,
                    run,
                }) => {
                    let holds = progress.run.get() == run;
                    scene.answer(
                        call,
                        if holds {
                            Answer::Replied(reply)
                        } else {
                            Answer::StoreFailed
                        },
                    );
                }
                Some(Request::Activate { build, result }) => {
                    self.batch = self.activate(&build, result, scene);
                }
                Some(Request::Commit(first)) => self.batch = Some(self.open(first, scene)),
            },
            Some(Batch {
                entries,
                ended,
                activation,
                open: Some(open),
            }) => {
                // It is seldom that somebody waits for just this commit.
                let waits = self.workers.iter().any(|worker| worker.settling.is_some());
                let fails = scene.random.percent(if waits { 50 } else { 8 });
                if fails && !scene.dice.calm.get() {
                    self.fail(entries, scene);
                    if let Some(result) = activation {
                        scene.note("activation-failed", format_args!(""));
                        result.set(Some(Activation::Failed));
                    }
                } else {
                    scene.note("commit", format_args!("{} entries", entries.len()));
                    self.store = open;
                    self.batch = Some(Batch {
                        entries,
                        ended,
                        activation,
                        open: None,
                    });
                }
            }
            Some(Batch {
                entries,
                ended,
                activation,
                open: None,
            }) => {
                for (progress, run) in ended {
                    progress.start_new_run(run);
                }
                self.tell(entries, scene);
                if let Some(result) = activation {
                    result.set(Some(Activation::Committed));
                    self.activations_told += 1;
                }
            }
        }
        true
    }

    /// The activation follows all entries that were handed over before it, so that what it finds stored is all there is.
    fn activate(
        &mut self,
        build: &Rc<SagaRules>,
        result: Rc<Cell<Option<Activation>>>,
        scene: &mut Scene,
    ) -> Option<Batch> {
        let early = scene.is_broken(Broken::StatesCheckedBefore);
        if !early && !self.store.is_readable_by(build) {
            scene.note("states-unreadable", format_args!("by {}", build.digest));
            result.set(Some(Activation::Refused));
            return None;
        }
        let mut open = self.store.clone();
        if !scene.is_broken(Broken::ActivationNotWritten) {
            open.activate(build);
        }
        open.release_timers();
        let back = build.shape.version < self.store.active().shape.version;
        scene.note(
            if back { "older-states" } else { "activate" },
            format_args!("{}", build.digest),
        );
        Some(Batch {
            entries: Vec::new(),
            ended: Vec::new(),
            activation: Some(result),
            open: Some(open),
        })
    }

    fn open(&mut self, first: Box<Entry>, scene: &mut Scene) -> Batch {
        let most = 1 + scene.random.index(6);
        let mut batch = vec![first];
        while batch.len() < most
            && let Some(Request::Commit(_)) = self.queue.front()
            && let Some(Request::Commit(entry)) = self.queue.pop_front()
        {
            batch.push(entry);
        }
        let mut open = self.store.clone();
        let mut entries = Vec::new();
        let mut ended = Vec::new();
        for mut entry in batch {
            if scene.is_broken(Broken::BuildOfTheCommit) {
                entry.build = self.store.active().clone();
            }
            if scene.is_broken(Broken::TimerNotConsumed) && !scene.dice.calm.get() {
                entry.fired = None;
            }
            let fate = if is_void(&entry, &ended) && !scene.is_broken(Broken::VoidRunWritten) {
                // At once, for what follows in this batch may be of a newer run and of the same reading.
                if let Some((session, _)) = &entry.taken
                    && !scene.is_broken(Broken::ReadingOutlivesVoid)
                {
                    session.cancelled.set(true);
                }
                Fate::Void
            } else {
                match apply(&mut open, &entry, scene.broken) {
                    Applied::Written => Fate::Written,
                    Applied::Duplicate => Fate::Duplicate,
                }
            };
            if fate != Fate::Written {
                // Its worker went on from a state that is not so.
                if scene.is_broken(Broken::NewRunBeforeCommit) {
                    entry.progress.start_new_run(entry.run);
                }
                ended.push((entry.progress.clone(), entry.run));
            }
            let at = entry.at().map(|at| at.to_string()).unwrap_or_default();
            scene.note(
                "write",
                format_args!("{at} ticket {} run {}: {fate:?}", entry.ticket, entry.run),
            );
            entries.push((entry, fate));
        }
        Batch {
            entries,
            ended,
            activation: None,
            open: Some(open),
        }
    }

    fn fail(&mut self, entries: Vec<(Box<Entry>, Fate)>, scene: &mut Scene) {
        scene.note("commit-failed", format_args!("{} entries", entries.len()));
        for (entry, _) in &entries {
            entry.progress.start_new_run(entry.run);
        }
        for (entry, _) in entries {
            void(entry, scene);
        }
    }

    fn tell(&mut self, entries: Vec<(Box<Entry>, Fate)>, scene: &mut Scene) {
        let any_duplicate = entries.iter().any(|(_, fate)| *fate == Fate::Duplicate);
        for (entry, fate) in entries {
            match fate {
                Fate::Written if any_duplicate && scene.is_broken(Broken::WrittenToldVoid) => {
                    void(entry, scene)
                }
                Fate::Written => {
                    if scene.is_broken(Broken::OutboxApart)
                        && let Some(settlement) = &entry.settlement
                    {
                        write_outbox(&mut self.store, &entry, settlement);
                    }
                    entry.progress.committed.set(entry.ticket);
                    drop(entry.over);
                    if let Some((call, reply)) = entry.answer {
                        scene.answer(call, Answer::Replied(reply));
                    }
                }
                Fate::Duplicate => {
                    scene.note("duplicate-refused", format_args!("ticket {}", entry.ticket));
                    entry.progress.committed.set(entry.ticket);
                }
                Fate::Void => void(entry, scene),
            }
        }
    }
}

/// Whether what the entry was decided on does not hold. A record whose reading was cancelled comes again, and
/// must not come after one that follows it.
fn is_void(entry: &Entry, ended: &[(Rc<Progress>, u64)]) -> bool {
    let is_over = |(progress, run): &(Rc<Progress>, u64)| {
        Rc::ptr_eq(progress, &entry.progress) && *run == entry.run
    };
    entry.run != entry.progress.run.get()
        || ended.iter().any(is_over)
        || entry
            .taken
            .as_ref()
            .is_some_and(|(session, _)| session.cancelled.get())
}

/// An entry that is not written: its record is read again.
fn void(entry: Box<Entry>, scene: &mut Scene) {
    scene.note("void", format_args!("ticket {}", entry.ticket));
    if let Some((session, _)) = &entry.taken {
        session.cancelled.set(true);
    }
    if let Some((call, _)) = entry.answer {
        scene.answer(call, Answer::StoreFailed);
    }
}
