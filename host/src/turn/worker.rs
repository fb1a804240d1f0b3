//! The thread of one worker: answers the worker's questions, from the store and from an instance of
//! the rules, and performs its actions. The decisions are made in [`saga_core::worker`].
//!
//! Between two turns it may switch to the next generation of the rules.

mod loading;
mod perform;

use std::iter;
use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::{Receiver, RecvTimeoutError};
use loading::Loading;
use saga_core::message::{Envelope, Message};
use saga_core::record::Record;
use saga_core::retry::RetryPolicy;
use saga_core::rules::{Decision, Fault, Rules, Upkeep};
use saga_core::worker::{
    Action, Ahead, Input, Now, QuarantinedKeys, Question, Waits, Worker, WorkerSettings,
};

use super::active::Active;
use super::participant::Shared;
use super::this_host::{SharedRoom, ThisHost, Turn};
use super::turnover::Slot;
use crate::base::clock::now_ms;
use crate::base::machine;
use crate::metrics::turns::TurnCounters;
use crate::stages::Flow;
use crate::store::parked::ParkedKey;
use crate::store::{CommitProgress, Reader};

/// Most turns that are loaded for at once.
const TOGETHER: usize = 64;

/// The thread of one worker.
pub(super) struct Thread {
    shared: Arc<Shared>,
    worker: Worker<ThisHost>,
    rules: Box<dyn Rules + Send>,
    loading: Loading,
    turns: Receiver<Offered>,
    turnovers: Arc<Slot>,
    flow: Arc<Flow>,
    /// Counters of the turns of the active generation.
    counted: TurnCounters,
    progress: Arc<CommitProgress>,
    /// Zero of the worker's clock.
    start: Instant,
    /// The time of the turn, or of its last attempt.
    now: Now,
    /// The rules' memory in bytes, as last reported.
    told_bytes: usize,
    /// Actions to perform; kept to reuse its memory.
    actions: Vec<Action<ThisHost>>,
}

/// An item in a worker's queue.
pub(super) enum Offered {
    /// A turn.
    Turn(Turn),
    /// An operator has requested something for a dead letter of this key. `is_new` if the letter
    /// was parked for that.
    Requested { key: String, is_new: bool },
    /// The keys of this worker for which messages are parked, by any host.
    Parked(Vec<ParkedKey>),
    /// The next generation is ready.
    Turnover,
}

/// The ends of a worker's channels, and the state it starts with.
pub(super) struct WorkerPlace {
    /// The turns of its keys.
    pub(super) turns: Receiver<Offered>,
    /// The pending turnover.
    pub(super) turnovers: Arc<Slot>,
    /// Counts the turns that it has taken and finished.
    pub(super) flow: Arc<Flow>,
    /// Its keys for which messages are parked.
    pub(super) parked: Vec<ParkedKey>,
    /// Its keys that are quarantined.
    pub(super) quarantined: QuarantinedKeys,
}

impl Thread {
    pub(super) fn new(
        shared: Arc<Shared>,
        retry: RetryPolicy,
        (active, rules): (Arc<Active>, Box<dyn Rules + Send>),
        reader: Reader,
        place: WorkerPlace,
    ) -> Self {
        let counted = (shared.turns).generation(active.digest(), active.description());
        let settings = WorkerSettings {
            number: shared.store.worker_number(),
            participant: shared.row,
            name: shared.name.clone(),
            is_shared: shared.store.is_shared(),
            limits: shared.limits,
            kept: shared.kept,
            retry,
            waits: Waits::default(),
            room: SharedRoom(shared.parked.clone()),
        };
        let parked = place.parked.into_iter();
        let mut thread = Self {
            worker: Worker::new(settings, active, parked, place.quarantined),
            loading: Loading::new(shared.clone(), reader),
            shared,
            rules,
            turns: place.turns,
            turnovers: place.turnovers,
            flow: place.flow,
            counted,
            progress: Arc::default(),
            start: Instant::now(),
            now: Now::default(),
            told_bytes: 0,
            actions: Vec::new(),
        };
        thread.tell_upkeep();
        thread
    }

    /// Runs until all senders of turns are gone.
    pub(super) fn run(mut self) {
        loop {
            // During a shortage of the machine, an idle worker checks periodically for its end.
            let is_short = self.shared.machine.is_short();
            let look = || is_short.then(|| Instant::now() + machine::LOOK);
            let due = self.worker.next_due().map(|due| self.start + due);
            let turn = match due.or_else(look) {
                None => self
                    .turns
                    .recv()
                    .map_err(|_| RecvTimeoutError::Disconnected),
                Some(due) => self.turns.recv_deadline(due),
            };
            match turn {
                Ok(first) if self.shared.store.is_shared() => self.take_several(first),
                Ok(offered) => self.take_offered(offered),
                Err(RecvTimeoutError::Timeout) if due.is_none() => self.prepare(),
                Err(RecvTimeoutError::Timeout) => {}
                // Waiting messages are offered again after the next start.
                Err(RecvTimeoutError::Disconnected) => return,
            }
            let is_due = |due| self.start + due <= Instant::now();
            if self.worker.next_due().is_some_and(is_due) {
                let since = self.shared.turns.now();
                self.take(Input::Time(since));
            }
        }
    }

    /// Takes an item, and those that wait behind it, for whose turns it loads at once.
    fn take_several(&mut self, first: Offered) {
        let waiting = self.turns.try_iter().take(TOGETHER - 1);
        let items: Vec<_> = iter::once(first).chain(waiting).collect();
        let mut ahead = Ahead::default();
        for item in &items {
            if let Offered::Turn(turn) = item {
                self.worker.foresee(turn, &mut ahead);
            }
        }
        self.loading.load_ahead(ahead);
        for item in items {
            self.take_offered(item);
        }
        self.loading.forget();
    }

    fn take_offered(&mut self, offered: Offered) {
        self.flow.begin(1);
        match offered {
            Offered::Turn(turn) => {
                self.shared.turns.taken_up(turn.since());
                self.take(Input::Turn(turn));
            }
            Offered::Requested { key, is_new } => self.take(Input::Requested { key, is_new }),
            Offered::Parked(keys) => self.take(Input::Parked(keys)),
            Offered::Turnover => {
                self.look_at_clock();
                self.catch_up();
            }
        }
        self.flow.over(1);
    }

    /// Takes an input between two turns, and performs all that follows.
    fn take(&mut self, input: Input<ThisHost>) {
        self.look_at_clock();
        self.catch_up();
        self.step(input);
        self.answer_all();
    }

    fn look_at_clock(&mut self) {
        self.now = Now {
            unix_ms: now_ms(),
            uptime: self.start.elapsed(),
        };
    }

    /// Takes in the results of the writer, and the next generation.
    fn catch_up(&mut self) {
        if let Some(turnover) = self.turnovers.take()
            && let Some(active) = turnover.take(&mut self.rules)
        {
            self.tell_upkeep();
            self.counted = (self.shared.turns).generation(active.digest(), active.description());
            self.step(Input::Generation(active));
        }
        self.tell_fates();
    }

    fn tell_fates(&mut self) {
        let settled = self.progress.settled();
        for broken in self.progress.broken() {
            self.step(Input::Broke(broken));
        }
        self.step(Input::Settled(settled));
    }

    fn step(&mut self, input: Input<ThisHost>) {
        let mut actions = std::mem::take(&mut self.actions);
        self.worker.step(self.now, input, &mut actions);
        for action in actions.drain(..) {
            self.perform(action);
        }
        self.actions = actions;
    }

    fn answer_all(&mut self) {
        let mut span = None;
        while let Some(question) = self.worker.question() {
            if span.is_none()
                && let Some((envelope, record, attempt)) = self.worker.current()
            {
                span = Some(self.span(envelope, record, attempt).entered());
            }
            let answer = match question {
                Question::Load(ask) => Input::Loaded(self.loading.load(ask)),
                Question::Sync => {
                    self.shared.store.settle_up();
                    self.look_at_clock();
                    self.tell_fates();
                    Input::Synced
                }
                Question::Call { state, message } => {
                    let decided = call(&self.shared, &mut *self.rules, state, message);
                    self.tell_upkeep();
                    if decided.is_err() {
                        // Waiting times count from now.
                        self.look_at_clock();
                    }
                    Input::Decided(decided)
                }
                Question::Migrate { version, state } => {
                    Input::Migrated(self.rules.migrate(version, state))
                }
                Question::Renew => Input::Renewed(self.rules.renew()),
            };
            self.step(answer);
        }
    }

    /// Makes an instance if there is none.
    fn prepare(&mut self) {
        // The instance itself reports errors.
        let _ = self.rules.prepare();
        self.tell_upkeep();
    }

    fn tell_upkeep(&mut self) {
        let Upkeep {
            memory_bytes,
            renewed,
        } = self.rules.upkeep();
        let before = std::mem::replace(&mut self.told_bytes, memory_bytes);
        (self.shared.instances).upkeep((before, memory_bytes), &renewed);
    }

    /// A span for the log: participant, message, and the build that decides.
    fn span(&self, envelope: &Envelope, record: Option<&Record>, attempt: u32) -> tracing::Span {
        let message = &envelope.message;
        let span = tracing::debug_span!(
            "turn",
            participant = %self.shared.name,
            digest = self.worker.active().digest(),
            message = %message.name,
            id = %message.id,
            key = %message.key,
            correlation = %message.correlation,
            topic = tracing::field::Empty,
            partition = tracing::field::Empty,
            offset = tracing::field::Empty,
            attempt = tracing::field::Empty,
        );
        if attempt > 0 {
            span.record("attempt", attempt);
        }
        if let Some(record) = record {
            let position = &record.position;
            span.record("topic", &*position.topic);
            span.record("partition", position.partition);
            span.record("offset", position.offset);
        }
        span
    }
}

fn call(
    shared: &Shared,
    rules: &mut dyn Rules,
    state: Option<&str>,
    message: &Message,
) -> Result<Decision, Fault> {
    let began = shared.turns.now();
    let decision = rules.handle(state, message);
    let fuel = decision.as_ref().ok().map(|decision| decision.fuel);
    shared.turns.called(began, fuel);
    decision
}
