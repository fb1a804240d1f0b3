//! The thread of one worker: it answers the worker's questions and performs its actions.
//!
//! All of it is volatile. The worker is `saga_core`'s own.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use saga_core::commit::{Broken as BrokenEntry, Link, ParkedKey};
use saga_core::journal::Kept;
use saga_core::retry::{AfterDeadLetter, RetryPolicy};
use saga_core::worker::{
    Action, Commit, Input, Now, QuarantinedKeys, Question, Turn, Waits, Worker, WorkerAnswer,
    WorkerSettings,
};

use crate::answers::{call, load, migrate, tell, told};
use crate::host::{Build, LIMITS, RETRY, Simulated, SmallRoom, WAITS};
use crate::process::Ask as Call;
use crate::rules::{Role, SagaRules};
use crate::scene::{Broken, START, Scene};
use crate::store::Store;
use crate::writer::{Handed, Request};

/// The progress of one worker's commits, as the writer reports it.
#[derive(Default)]
pub(crate) struct Progress {
    pub(crate) settled: Cell<u64>,
    pub(crate) broken: RefCell<Vec<BrokenEntry>>,
}

/// A worker and its thread.
pub(crate) struct Thread {
    pub(crate) worker: Worker<Simulated>,
    /// The build for the next turn.
    pub(crate) handed: Option<Rc<SagaRules>>,
    /// It takes no turn until a build is handed over, or until it is released.
    pub(crate) held: bool,
    /// It stands still until then.
    busy_until: u64,
    /// All parked messages are to be offered again, as after a swap.
    offers_all: bool,
    /// Keys with a request for their dead letters.
    pub(crate) requested: Vec<String>,
    /// The keys with parked messages, of any host, as they were read last.
    pub(crate) parked: Option<Vec<ParkedKey>>,
    pub(crate) turns: VecDeque<Turn<Simulated>>,
    progress: Rc<Progress>,
    /// Set when the writer has reached the entry that the worker waits for.
    awaited: Option<Rc<Cell<bool>>>,
}

/// The surroundings of a thread: the committed store, and its process.
pub(crate) struct Around<'a> {
    pub(crate) store: &'a Store,
    pub(crate) queue: &'a mut VecDeque<Request>,
    /// Calls to be routed again.
    pub(crate) again: &'a mut VecDeque<Call>,
    pub(crate) scene: &'a mut Scene,
    /// Number of the process among those of its store.
    pub(crate) process: usize,
}

impl Thread {
    /// A thread for the worker of this number in the store, with its keys that have parked
    /// messages.
    pub(crate) fn new(
        role: Role,
        number: u64,
        build: Rc<SagaRules>,
        parked: impl Iterator<Item = ParkedKey>,
        (then, room, is_shared): (AfterDeadLetter, SmallRoom, bool),
    ) -> Self {
        let settings = WorkerSettings {
            number,
            participant: 1,
            name: role.name().into(),
            is_shared,
            limits: LIMITS,
            kept: Kept::Full,
            retry: match is_shared {
                true => RetryPolicy {
                    first_delay_ms: 100,
                    max_delay_ms: 300,
                    then,
                    ..RETRY
                },
                false => RetryPolicy { then, ..RETRY },
            },
            // Other hosts know only what is parked.
            waits: match is_shared {
                true => Waits {
                    moment: Duration::from_millis(10),
                    ..WAITS
                },
                false => WAITS,
            },
            room,
        };
        let quarantined = QuarantinedKeys::default();
        Self {
            worker: Worker::new(settings, Build(build), parked, quarantined),
            handed: None,
            held: false,
            busy_until: 0,
            offers_all: false,
            requested: Vec::new(),
            parked: None,
            turns: VecDeque::new(),
            progress: Rc::default(),
            awaited: None,
        }
    }

    pub(crate) fn build(&self) -> &Rc<SagaRules> {
        &self.worker.active().0
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.turns.is_empty() && self.worker.is_idle()
    }

    /// True if the worker waits for the writer.
    pub(crate) fn waits(&self) -> bool {
        self.awaited.is_some()
    }

    /// From now on all builds read all states, as after a swap to such a build.
    pub(crate) fn offer_all_parked(&mut self) {
        self.offers_all = true;
    }

    /// Does one thing; returns false if there was nothing to do.
    pub(crate) fn run(&mut self, around: &mut Around<'_>) -> bool {
        if self.busy_until > around.scene.now {
            return false;
        }
        if self.worker.question().is_some() {
            return self.answer_all(around);
        }
        let switched = self.switch(around);
        if self.held {
            return switched;
        }
        self.catch_up(around);
        if std::mem::take(&mut self.offers_all) {
            let same = self.worker.active().clone();
            self.step(Input::Generation(same), around);
        }
        for key in std::mem::take(&mut self.requested) {
            self.step(Input::Requested { key, is_new: false }, around);
        }
        if let Some(keys) = self.parked.take() {
            self.step(Input::Parked(keys), around);
        }
        let is_due = (self.worker.next_due()).is_some_and(|due| due <= now(around.scene).uptime);
        let turn = match is_due && (self.turns.is_empty() || around.scene.random.percent(50)) {
            true => None,
            false => self.turns.pop_front(),
        };
        let input = match turn {
            Some(turn) => Input::Turn(turn),
            None if is_due => Input::Time(()),
            None => return switched,
        };
        let was_due = matches!(input, Input::Time(()));
        self.step(input, around);
        self.answer_all(around);
        // The next parked message may come before the last one is durable.
        while was_due && self.worker.question().is_none() && around.scene.random.percent(60) {
            self.step(Input::Time(()), around);
            self.answer_all(around);
        }
        if around.scene.random.percent(5) && !around.scene.dice.calm.get() {
            around.scene.note("long-turn", format_args!(""));
            self.busy_until = around.scene.now + 50 + around.scene.random.below(100);
        }
        true
    }

    /// Changes to the build that was handed over; returns false if there was none.
    fn switch(&mut self, around: &mut Around<'_>) -> bool {
        let Some(build) = self.handed.take() else {
            return false;
        };
        around
            .scene
            .note("switch", format_args!("to {}", build.digest));
        self.step(Input::Generation(Build(build)), around);
        self.held = false;
        true
    }

    /// Reports the fates of its entries to the worker.
    fn catch_up(&mut self, around: &mut Around<'_>) {
        let settled = self.progress.settled.get();
        for broken in self.progress.broken.take() {
            around.scene.note(
                "broke",
                format_args!("ticket {} {:?}", broken.ticket, broken.key),
            );
            self.step(Input::Broke(broken), around);
        }
        self.step(Input::Settled(settled), around);
    }

    fn step(&mut self, input: Input<Simulated>, around: &mut Around<'_>) {
        let mut actions = Vec::new();
        (self.worker).step(now(around.scene), input, &mut actions);
        for action in actions {
            self.perform(action, around);
        }
    }

    /// Answers questions until there is none, or one that has to wait; returns false if none was
    /// answered.
    fn answer_all(&mut self, around: &mut Around<'_>) -> bool {
        let mut any = false;
        while let Some(question) = self.worker.question() {
            let answer = match question {
                Question::Sync => match self.synced(around) {
                    true => Input::Synced,
                    false => return any,
                },
                Question::Load(ask) => Input::Loaded(load(ask, around)),
                Question::Call { state, message } => {
                    let (build, next) = (self.build(), self.handed.as_ref());
                    let early = around.scene.is_broken(Broken::SwitchedWithinTurn);
                    let build = next.filter(|_| early).unwrap_or(build).clone();
                    let envelope = self.worker.current().expect("a message is decided on").0;
                    debug_assert_eq!(envelope.message, *message);
                    Input::Decided(call(&build, state, envelope, around.scene))
                }
                Question::Migrate { version, state } => {
                    let build = self.build().clone();
                    let envelope = self.worker.current().expect("a message is decided on").0;
                    let key = envelope.message.key.as_str();
                    Input::Migrated(migrate(&build, (version, state), key, around.scene))
                }
                Question::Renew => Input::Renewed(around.scene.random.percent(50)),
            };
            any = true;
            // A state that can't be read must stay so until that is known.
            let is_blamed = matches!(answer, Input::Decided(Err(_)) | Input::Migrated(Err(_)));
            self.step(answer, around);
            // Other threads may run between any two questions.
            if !is_blamed && around.scene.random.percent(4) && !around.scene.dice.calm.get() {
                around.scene.note("paused", format_args!(""));
                return true;
            }
        }
        any
    }

    /// True if the writer has reached the entry that the worker waits for; then its fate is
    /// reported.
    fn synced(&mut self, around: &mut Around<'_>) -> bool {
        match &self.awaited {
            None => {
                around.scene.note("sync", format_args!(""));
                let awaited = Rc::<Cell<bool>>::default();
                (around.queue).push_back(Request::Sync(awaited.clone()));
                self.awaited = Some(awaited);
                false
            }
            Some(awaited) if !awaited.get() => false,
            Some(_) => {
                self.awaited = None;
                self.catch_up(around);
                true
            }
        }
    }

    fn perform(&mut self, action: Action<Simulated>, around: &mut Around<'_>) {
        let scene = &mut *around.scene;
        match action {
            Action::Commit(commit) => self.hand_over(commit, around),
            Action::Answer(call, WorkerAnswer::CheckAgain(body), _) => {
                let again = scene.ask_anew(call);
                scene.note(
                    "routed-anew",
                    format_args!("{}", scene.calls[call].id.clone()),
                );
                around.again.push_back(Call { body, ..again });
            }
            Action::Answer(call, answer, _) => scene.answer(call, told(answer)),
            Action::AnswerAfter(then, link) => {
                let (call, answer) = (then.client, then.answer);
                scene.note(
                    "read-waits",
                    format_args!("{}", scene.calls[call].id.clone()),
                );
                let answer = told(answer);
                around
                    .queue
                    .push_back(Request::Answer { call, answer, link });
            }
            Action::Ended(_) => {}
            Action::Tried(_, name) => scene.note("retry", format_args!("{name}")),
            Action::Pause(time) => {
                self.busy_until = scene.now + time.as_millis() as u64;
            }
            Action::Report(report) => tell(report, scene),
        }
    }

    fn hand_over(&mut self, commit: Commit<Simulated>, around: &mut Around<'_>) {
        let handed = Handed {
            build: self.build().clone(),
            commit,
            progress: self.progress.clone(),
            process: around.process,
        };
        let Link { ticket, base, .. } = handed.commit.link;
        let what = handed.what();
        let (at, digest) = (handed.place(), handed.build.digest.clone());
        let key = handed.commit.entry.key.clone().unwrap_or_default();
        let scene = &mut *around.scene;
        scene.note(
            what,
            format_args!("{at} key {key} ticket {ticket} on {base} of {digest}"),
        );
        if let Some((call, answer)) = &handed.commit.client
            && scene.is_broken(Broken::AnswerBeforeCommit)
        {
            scene.answer(*call, told(answer.clone()));
        }
        around.queue.push_back(Request::Commit(Box::new(handed)));
    }
}

fn now(scene: &Scene) -> Now {
    Now {
        unix_ms: scene.now,
        uptime: Duration::from_millis(scene.now - START),
    }
}
