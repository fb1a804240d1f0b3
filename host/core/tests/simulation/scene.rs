//! What all parts of a run share: chance, the clock, the trace, the clients' calls.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::rc::Rc;

use crate::checker::Violation;
use crate::faults::Dice;
use crate::host::Answer;
use crate::random::Random;
use crate::rules::Role;

/// A step that is deliberately wrong: the checker must notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    /// An event that was applied before is applied again.
    InboxNotConsulted,
    /// The offset after the record is stored, whatever is unsettled before it.
    OffsetBeyondWindow,
    /// Events are written in a transaction after the one with the state.
    OutboxApart,
    /// A record that became a dead letter is tried again when it is read again.
    DeadLetterForgotten,
    /// A fault of the rules is taken for a business no.
    RefusalOnFault,
    /// A client is answered when the entry is handed over.
    AnswerBeforeCommit,
    /// What was decided on an entry that was not written is written all the same.
    VoidChainWritten,
    /// A worker goes on from the state of an entry that was not written.
    VoidStateKept,
    /// An event is taken for applied whose entry breaks with another.
    VoidIdentityKept,
    /// A commit whose outcome is unknown is taken for failed.
    UnknownTakenForFailed,
    /// A commit whose outcome is unknown is taken for a good one.
    UnknownTakenForCommitted,
    /// The reading of a record that was not written ends only after what follows in the batch is
    /// written.
    ReadingOutlivesVoid,
    /// Workers are told what became of their entries while the transaction is still open.
    ToldBeforeCommit,
    /// Who shares a batch with a repeated event is told that nothing was written.
    WrittenToldVoid,
    /// A message that waits for another attempt does not hold back those of its key.
    KeyNotHeldBack,
    /// A message is decided although an earlier one of its key is parked.
    ParkedOvertaken,
    /// The identity of an event that is parked is not in the inbox.
    ParkedNotRemembered,
    /// A message that is parked gets the number of one that was settled last.
    ParkedNumberReused,
    /// A parked timer is decided although what was decided before it did not come to be.
    ParkedTimerGoesOn,
    /// The build at the time of the commit is recorded, not the one that decided.
    BuildOfTheCommit,
    /// Which keys were given out is not committed.
    KeysForgotten,
    /// A timer stays set after its turn.
    TimerNotConsumed,
    /// Workers get a build as soon as its activation is asked for.
    HandedBeforeActivation,
    /// A build is activated first and copied to the disk then.
    CopiedAfterActivation,
    /// A process comes up with the build at the configured path.
    StartsWithFile,
    /// Which build is active is told but not written.
    ActivationNotWritten,
    /// The next swap begins although workers have yet to take notice of the last one.
    SwapNotAwaited,
    /// A worker goes over to the build that it was handed in the middle of a turn.
    SwitchedWithinTurn,
    /// What was admitted under another description is decided all the same.
    AdmissionNotCompared,
    /// The reading of a partition goes on under other subscriptions.
    ReadingOutlivesSwap,
    /// Workers go on deciding while a build is activated that can't read what they write.
    WorkersNotHeld,
    /// Which states are stored is looked up before the activation's transaction.
    StatesCheckedBefore,
    /// A state that was migrated, and then left as it is, is not written.
    MigrationNotWritten,
    /// The shared store takes decisions on a state that another process has replaced.
    RevisionNotCompared,
    /// The shared store takes records of a partition that another process reads by now.
    EpochNotCompared,
    /// The shared store takes the turn of a timer that another process has consumed.
    TimerNotCounted,
}

/// When every run starts, in milliseconds since the Unix epoch.
pub(crate) const START: u64 = 1_700_000_000_000;

/// What a client asked for, and what it was told.
pub(crate) struct Call {
    pub(crate) role: Role,
    pub(crate) command: &'static str,
    /// Id of the message.
    pub(crate) id: String,
    /// Key of the aggregate; none where one is generated.
    pub(crate) key: Option<String>,
    pub(crate) answer: Option<Answer>,
}

/// What all parts of a run share.
pub(crate) struct Scene {
    pub(crate) random: Random,
    pub(crate) dice: Rc<Dice>,
    /// Milliseconds since the Unix epoch.
    pub(crate) now: u64,
    pub(crate) broken: Option<Broken>,
    pub(crate) calls: Vec<Call>,
    /// Something that no host may do was seen.
    pub(crate) wrong: Option<Violation>,
    /// Whether each participant has two processes on one store.
    pub(crate) is_shared: bool,
    /// Everything that happened, one line each.
    pub(crate) trace: String,
    /// How often each kind of thing happened.
    pub(crate) counts: BTreeMap<&'static str, u64>,
}

impl Scene {
    pub(crate) fn new(seed: u64, broken: Option<Broken>, is_shared: bool) -> Self {
        crate::host::BROKEN.set(broken);
        Self {
            random: Random::new(seed),
            dice: Rc::new(Dice::new(seed, is_shared)),
            now: START,
            broken,
            calls: Vec::new(),
            wrong: None,
            is_shared,
            trace: String::new(),
            counts: BTreeMap::new(),
        }
    }

    pub(crate) fn is_broken(&self, step: Broken) -> bool {
        self.broken == Some(step)
    }

    /// Keeps a violation that was seen, if it is the first.
    pub(crate) fn check(&mut self, seen: Result<(), Violation>) {
        if let Err(violation) = seen {
            self.note("violation", format_args!("{violation}"));
            self.wrong.get_or_insert(violation);
        }
    }

    /// Notes what happened; `what` is counted.
    pub(crate) fn note(&mut self, what: &'static str, details: std::fmt::Arguments<'_>) {
        *self.counts.entry(what).or_default() += 1;
        writeln!(self.trace, "{} {what} {details}", self.now)
            .expect("writing to a string does not fail");
    }

    pub(crate) fn answer(&mut self, call: usize, answer: Answer) {
        self.note(
            "answer",
            format_args!("{} {answer:?}", self.calls[call].id.clone()),
        );
        self.calls[call].answer = Some(answer);
    }
}
