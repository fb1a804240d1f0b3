//! One thread with one instance of the rules: the turn loop.
//!
//! A worker has all turns of the keys that fall to it, one after the other. It does not wait for
//! commits: it hands an entry to the store and goes on with the next message, on the state that it
//! has just decided. If a commit fails it is sent back; see [`Progress`]. Clients are answered and
//! offsets move only after the commit. Between two turns it may pass to the next generation of the rules.
//!
//! # Layout
//!
//! - this file: the loop, and what comes before each turn
//! - `turns`: one turn of each kind
//! - `entries`: what is handed to the store
//! - `parking`: messages that wait for another attempt or for other rules, in memory or in the store
//! - `parked`: the messages that are parked in the store, offered again

mod entries;
mod parked;
mod parking;
mod turns;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::{Receiver, RecvTimeoutError};
use saga_core::rules::Rules;

use super::active::Active;
use super::decide::Decider;
use super::given_up::STORE_RETRY;
use super::held::HeldKeys;
use super::participant::Shared;
use super::quarantined::QuarantinedKeys;
use super::recent::Recent;
use super::turn::Turn;
use super::turnover::Slot;
use super::waiting::WaitingKeys;
use crate::base::machine;
use crate::metrics::turns::TurnCounters;
use crate::stages::Flow;
use crate::store::{Progress, Reader};

/// The turn loop of one thread.
pub(super) struct Worker {
    shared: Arc<Shared>,
    decider: Decider,
    turns: Receiver<Turn>,
    turnovers: Arc<Slot>,
    flow: Arc<Flow>,
    waiting: WaitingKeys,
    held: HeldKeys,
    quarantined: QuarantinedKeys,
    recent: Recent,
    /// When a read was last counted, by its name.
    reads: HashMap<String, Instant>,
    /// What the turns of the generation that decides are counted by.
    counted: TurnCounters,
    progress: Arc<Progress>,
    ticket: u64,
    run: u64,
}

/// A worker's place among those of its participant.
pub(super) struct Place {
    /// The turns of its keys.
    pub(super) turns: Receiver<Turn>,
    /// Where the next generation comes.
    pub(super) turnovers: Arc<Slot>,
    /// What it has taken and finished.
    pub(super) flow: Arc<Flow>,
    /// Those of its keys for which messages are parked, and how many.
    pub(super) parked: Vec<(String, usize)>,
    /// Those of its keys that are quarantined.
    pub(super) quarantined: QuarantinedKeys,
}

impl Worker {
    pub(super) fn new(
        shared: Arc<Shared>,
        (active, rules): (Arc<Active>, Box<dyn Rules + Send>),
        reader: Reader,
        place: Place,
    ) -> Self {
        let progress = Arc::<Progress>::default();
        let counted = (shared.turns).generation(active.digest(), active.description());
        Self {
            decider: Decider::new(shared.clone(), active, rules, reader, progress.clone()),
            shared,
            turns: place.turns,
            turnovers: place.turnovers,
            flow: place.flow,
            waiting: WaitingKeys::default(),
            held: HeldKeys::new(place.parked.into_iter()),
            quarantined: place.quarantined,
            recent: Recent::default(),
            reads: HashMap::new(),
            counted,
            progress,
            ticket: 0,
            run: 0,
        }
    }

    /// Runs until nobody can give it turns any more.
    pub(super) fn run(mut self) {
        loop {
            while let Some(turns) = self.waiting.take_due(Instant::now()) {
                for turn in turns {
                    self.offer(turn);
                }
            }
            // One message, then one turn: neither waits for all of the other.
            self.offer_parked();
            // While the machine lacks something, a worker that has nothing else to do looks whether it is there again.
            let is_short = self.shared.machine.is_short();
            let look = || is_short.then(|| Instant::now() + machine::LOOK);
            let due = [self.waiting.next_due(), self.held.next_due()];
            let due = due.into_iter().flatten().min();
            let turn = match due.or_else(look) {
                None => self
                    .turns
                    .recv()
                    .map_err(|_| RecvTimeoutError::Disconnected),
                Some(due) => self.turns.recv_deadline(due),
            };
            match turn {
                Ok(turn) => {
                    self.flow.begin(1);
                    self.shared.turns.taken_up(turn.since());
                    self.offer(turn);
                    self.flow.over(1);
                }
                Err(RecvTimeoutError::Timeout) if due.is_none() => self.decider.prepare(),
                Err(RecvTimeoutError::Timeout) => {}
                // What waits comes again after the next start.
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn offer(&mut self, turn: Turn) {
        self.catch_up();
        let Some(turn) = self.in_its_place(turn) else {
            return;
        };
        match turn {
            Turn::Command(turn) => self.command(*turn),
            Turn::Read(turn) => self.read(*turn),
            Turn::Event(turn) => self.event(turn),
            Turn::Timer(turn) => self.timer(turn),
            Turn::Unreadable {
                taken,
                record,
                reason,
                since,
            } => self.unreadable(taken, *record, reason, since),
            Turn::Passed(taken) if taken.session.is_cancelled() => {}
            Turn::Passed(taken) => self.pass(taken, None),
            Turn::Wake => {}
        }
    }

    fn active(&self) -> &Active {
        self.decider.active()
    }

    /// Takes notice of what the writer did meanwhile, and of the next generation.
    fn catch_up(&mut self) {
        if let Some(turnover) = self.turnovers.take() {
            self.decider.turn_over(turnover);
            self.reads.clear();
            self.held.wake_all();
            let active = self.decider.active();
            let (digest, description) = (active.digest(), active.description());
            self.counted = self.shared.turns.generation(digest, description);
        }
        let run = self.progress.run();
        if run != self.run {
            self.run = run;
            self.decider.forget();
            self.recent.clear();
            let committed = self.progress.committed();
            self.quarantined.begin_anew(committed);
            self.held
                .begin_anew(committed, Instant::now() + STORE_RETRY);
        }
        self.recent.committed(self.progress.committed());
    }
}
