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

mod entries;
mod turns;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::{Receiver, RecvTimeoutError};
use saga_core::rules::Rules;

use self::turns::reply;
use super::active::Active;
use super::decide::Decider;
use super::parked::Parked;
use super::participant::Shared;
use super::recent::Recent;
use super::turn::{Answer, Turn};
use super::turnover::Slot;
use crate::machine;
use crate::metrics::turns::{End, Generation};
use crate::store::{Progress, Reader};

/// The turn loop of one thread.
pub(super) struct Worker {
    shared: Arc<Shared>,
    decider: Decider,
    turns: Receiver<Turn>,
    turnovers: Arc<Slot>,
    parked: Parked,
    recent: Recent,
    /// When a read was last counted, by its name.
    reads: HashMap<String, Instant>,
    /// What the turns of the generation that decides are counted by.
    counted: Generation,
    progress: Arc<Progress>,
    ticket: u64,
    run: u64,
}

impl Worker {
    pub(super) fn new(
        shared: Arc<Shared>,
        (active, rules): (Arc<Active>, Box<dyn Rules + Send>),
        reader: Reader,
        turns: Receiver<Turn>,
        turnovers: Arc<Slot>,
    ) -> Self {
        let progress = Arc::<Progress>::default();
        let counted = (shared.turns).generation(active.digest(), active.description());
        Self {
            decider: Decider::new(shared.clone(), active, rules, reader, progress.clone()),
            shared,
            turns,
            turnovers,
            parked: Parked::default(),
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
            while let Some(turns) = self.parked.take_due(Instant::now()) {
                for turn in turns {
                    self.offer(turn);
                }
            }
            // While the machine lacks something, a worker that has nothing else to do looks whether it is there again.
            let is_lacking = self.shared.machine.is_lacking();
            let look = || is_lacking.then(|| Instant::now() + machine::LOOK);
            let due = self.parked.next_due();
            let turn = match due.or_else(look) {
                None => self
                    .turns
                    .recv()
                    .map_err(|_| RecvTimeoutError::Disconnected),
                Some(due) => self.turns.recv_deadline(due),
            };
            match turn {
                Ok(turn) => {
                    self.shared.turns.taken_up(turn.since());
                    self.offer(turn);
                }
                Err(RecvTimeoutError::Timeout) if due.is_none() => self.decider.prepare(),
                Err(RecvTimeoutError::Timeout) => {}
                // What is parked comes again after the next start.
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn offer(&mut self, turn: Turn) {
        self.catch_up();
        if let Some(key) = turn.key()
            && self.parked.holds(key)
        {
            let key = key.to_owned();
            match turn {
                Turn::Command(turn) => {
                    let message = &turn.envelope.message;
                    (self.counted).ended(message.origin, &message.name, End::Retry, turn.since);
                    reply(
                        *turn,
                        Answer::TryLater(format!(
                            "an earlier message for {key} waits for another attempt"
                        )),
                    );
                    return;
                }
                Turn::Read(_) => {}
                turn => {
                    self.parked.queue(&key, turn);
                    return;
                }
            }
        }
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
            let active = self.decider.active();
            let (digest, description) = (active.digest(), active.description());
            self.counted = self.shared.turns.generation(digest, description);
        }
        let run = self.progress.run();
        if run != self.run {
            self.run = run;
            self.decider.forget();
            self.recent.clear();
        }
        self.recent.committed(self.progress.committed());
    }
}
