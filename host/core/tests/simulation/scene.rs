//! The parts that the whole run shares: randomness, the clock, the trace, the clients' calls.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::rc::Rc;

use saga_core::retry::AfterDeadLetter;

use crate::checker::Violation;
use crate::description::Flaw;
use crate::faults::Dice;
use crate::host::Answer;
use crate::process::Ask;
use crate::random::Random;
use crate::rules::Role;

/// A deliberate defect, which the checker must notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    /// An applied event is applied again.
    InboxNotConsulted,
    /// The store does not keep the saga of an aggregate.
    SagaForgotten,
    /// The offset after the record is stored although earlier records are unsettled.
    OffsetBeyondWindow,
    /// Events are written in a transaction after the one with the state.
    OutboxApart,
    /// A record that became a dead letter is retried when it is read again.
    DeadLetterForgotten,
    /// A fault of the rules is taken for a refusal.
    RefusalOnFault,
    /// A client is answered when the entry is handed over.
    AnswerBeforeCommit,
    /// An entry is written although the entry that it was decided on was not.
    VoidChainWritten,
    /// A worker continues from the state of an entry that was not written.
    VoidStateKept,
    /// An event counts as applied although its entry broke with another.
    VoidIdentityKept,
    /// A commit of unknown outcome is taken for failed.
    UnknownTakenForFailed,
    /// A commit of unknown outcome is taken for successful.
    UnknownTakenForCommitted,
    /// The reading of a record that was not written is cancelled only after the rest of the batch
    /// is written.
    ReadingOutlivesVoid,
    /// Workers learn of the fates of their entries while the transaction is still open.
    ToldBeforeCommit,
    /// Entries in a batch with a duplicate are reported as not written.
    WrittenToldVoid,
    /// A message that waits for a retry does not hold back later ones of its key.
    KeyNotHeldBack,
    /// A message is decided although an earlier one of its key is parked.
    ParkedOvertaken,
    /// The identity of a parked event is not in the inbox.
    ParkedNotRemembered,
    /// A parked message gets the number of one that was settled last.
    ParkedNumberReused,
    /// A parked timer is decided although the decision before it was not written.
    ParkedTimerGoesOn,
    /// A dead letter stays open after its redrive was decided.
    LetterNotEnded,
    /// A dead letter is redriven again and again after a failed redrive.
    RedriveLooped,
    /// A request that came during an earlier one counts as done with it.
    NewerRequestLost,
    /// A process starts without knowing the aggregates with a dead letter.
    BlockForgotten,
    /// The build at the time of the commit is recorded instead of the one that decided.
    BuildOfTheCommit,
    /// The used numbers of generated keys are not committed.
    KeysForgotten,
    /// Timers are lost with the process that set them.
    TimersLost,
    /// The rules don't release the credit of an order that ended.
    ReleaseForgotten,
    /// The rules release it twice.
    ReleasedTwice,
    /// A timer stays set after its turn.
    TimerNotConsumed,
    /// Workers get a build as soon as its activation is requested.
    HandedBeforeActivation,
    /// A build is activated before it is copied to the disk.
    CopiedAfterActivation,
    /// A process starts with the build at the configured path.
    StartsWithFile,
    /// The active build is reported but not written.
    ActivationNotWritten,
    /// The next swap begins although workers have not noticed the last one.
    SwapNotAwaited,
    /// A worker changes to the new build in the middle of a turn.
    SwitchedWithinTurn,
    /// A message that was admitted under another description is decided.
    AdmissionNotCompared,
    /// The reading of a partition continues under other subscriptions.
    ReadingOutlivesSwap,
    /// Workers continue while a build is activated that can't read the states that they write.
    WorkersNotHeld,
    /// The stored states are checked before the activation's transaction.
    StatesCheckedBefore,
    /// A migrated state that the decision does not change is not written.
    MigrationNotWritten,
    /// The shared store accepts decisions on a state that another process has replaced.
    RevisionNotCompared,
    /// The shared store accepts records of a partition that another process has taken over.
    EpochNotCompared,
    /// The shared store accepts the turn of a timer that another process has consumed.
    TimerNotCounted,
    /// It accepts an event that another host has applied.
    InboxNotCompared,
    /// It accepts a second reply under an idempotency key.
    ReplyNotCompared,
    /// It accepts anything from a host whose row is another's by now.
    IncarnationNotCompared,
    /// It accepts decisions of rules that another host has replaced.
    RulesNotCompared,
    /// It accepts decisions on an aggregate for which another host has parked messages, and hosts
    /// are not told of these.
    ParkedNotCompared,
    /// It accepts an activation in place of another build than the one that was compared.
    ActivationNotCompared,
    /// The transaction of a host that is asleep goes on.
    LocksKept,
    /// A host asks for the outcome of a call that the server is still at.
    OutcomeNotAwaited,
    /// The records of a refused commit count as settled when a part of it is written again.
    OffsetTakenAnew,
    /// A host reads from what it has in flight.
    FlightTrusted,
    /// A host reads from memory what other hosts may have changed.
    MemoryTrusted,
}

/// The time at the start of each run, in milliseconds since the Unix epoch.
pub(crate) const START: u64 = 1_700_000_000_000;

/// A client's call and its outcome.
pub(crate) struct Call {
    pub(crate) role: Role,
    pub(crate) command: &'static str,
    /// Id of the message.
    pub(crate) id: String,
    /// Key of the aggregate; None if it is generated.
    pub(crate) key: Option<String>,
    pub(crate) body: String,
    /// The idempotency key.
    pub(crate) repeatable: Option<Rc<str>>,
    /// The process that was asked.
    pub(crate) host: usize,
    /// When it was asked, and when it was answered, in events.
    pub(crate) asked: usize,
    pub(crate) answered: usize,
    pub(crate) answer: Option<Answer>,
}

/// The parts that the whole run shares.
pub(crate) struct Scene {
    pub(crate) random: Random,
    pub(crate) dice: Rc<Dice>,
    /// Milliseconds since the Unix epoch.
    pub(crate) now: u64,
    pub(crate) broken: Option<Broken>,
    pub(crate) calls: Vec<Call>,
    /// The first violation that was seen during the run.
    pub(crate) wrong: Option<Violation>,
    /// True if each participant has several hosts on one store.
    pub(crate) is_shared: bool,
    /// Number of hosts of each participant.
    pub(crate) hosts: usize,
    /// The setting for messages after a dead letter.
    pub(crate) then: AfterDeadLetter,
    /// Commands that were offered to a worker more than once.
    pub(crate) rerouted: BTreeSet<String>,
    /// Messages whose state could not be read; after the end of the faults it can be.
    pub(crate) unreadable: BTreeSet<String>,
    /// Number of events so far.
    pub(crate) events: usize,
    /// The trace: all events, one line each.
    pub(crate) trace: String,
    /// Number of events of each kind.
    pub(crate) counts: BTreeMap<&'static str, u64>,
}

impl Scene {
    /// The defect of the rules.
    pub(crate) fn flaw(&self) -> Option<Flaw> {
        if self.is_broken(Broken::ReleaseForgotten) {
            return Some(Flaw::ReleaseForgotten);
        }
        self.is_broken(Broken::ReleasedTwice)
            .then_some(Flaw::ReleasedTwice)
    }

    pub(crate) fn new(seed: u64, broken: Option<Broken>, is_shared: bool) -> Self {
        crate::host::BROKEN.set(broken);
        Self {
            random: Random::new(seed),
            dice: Rc::new(Dice::new(seed, if is_shared { 3 } else { 7 })),
            now: START,
            broken,
            calls: Vec::new(),
            wrong: None,
            is_shared,
            hosts: if is_shared {
                2 + (seed % 3) as usize
            } else {
                1
            },
            events: 0,
            then: match seed.is_multiple_of(2) && !is_shared {
                true => AfterDeadLetter::Park,
                false => AfterDeadLetter::Skip,
            },
            rerouted: BTreeSet::new(),
            unreadable: BTreeSet::new(),
            trace: String::new(),
            counts: BTreeMap::new(),
        }
    }

    pub(crate) fn is_broken(&self, step: Broken) -> bool {
        self.broken == Some(step)
    }

    /// Keeps a violation if it is the first.
    pub(crate) fn check(&mut self, seen: Result<(), Violation>) {
        if let Err(violation) = seen {
            self.note("violation", format_args!("{violation}"));
            self.wrong.get_or_insert(violation);
        }
    }

    /// Adds an event to the trace; `what` is counted.
    pub(crate) fn note(&mut self, what: &'static str, details: std::fmt::Arguments<'_>) {
        *self.counts.entry(what).or_default() += 1;
        self.events += 1;
        writeln!(self.trace, "{} {what} {details}", self.now)
            .expect("writing to a string does not fail");
    }

    pub(crate) fn answer(&mut self, call: usize, answer: Answer) {
        self.note(
            "answer",
            format_args!("{} {answer:?}", self.calls[call].id.clone()),
        );
        let events = self.events;
        let call = &mut self.calls[call];
        (call.answer, call.answered) = (Some(answer), events);
    }

    /// The request of a call that is to be decided again: it has no place among the others.
    pub(crate) fn ask_anew(&mut self, call: usize) -> Ask {
        self.rerouted.insert(self.calls[call].id.clone());
        self.ask_of(call)
    }

    /// The request of a call.
    pub(crate) fn ask_of(&self, call: usize) -> Ask {
        let of = &self.calls[call];
        Ask {
            call,
            key: of.key.clone(),
            body: of.body.clone(),
            read: of.command == "get",
        }
    }

    /// The clients of a process that has ended get no answer.
    pub(crate) fn lose_calls(&mut self, host: usize) {
        for call in &mut self.calls {
            if call.host == host && call.answer.is_none() {
                call.answer = Some(Answer::Lost);
            }
        }
    }
}
