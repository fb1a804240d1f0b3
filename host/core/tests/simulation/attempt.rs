//! One attempt at a message: the aggregate, the rules, the settlement; and what follows when it fails.
//!
//! The part of the worker that decides. What comes of it (entries, parking, answers) is in `worker.rs`.

use std::rc::Rc;

use saga_core::limits::TurnLimits;
use saga_core::message::Envelope;
use saga_core::outcome::{Disposition, Outcome, Reply, StateChange};
use saga_core::retry::{Next, RetryPolicy};
use saga_core::rules::{Fault, FaultKind, Rules};
use saga_core::settle::{self, Before, Settlement};

use crate::checker::must;
use crate::entry::Answer;
use crate::faults::Faulty;
use crate::rules::Body;
use crate::scene::{Broken, Scene};
use crate::store::StoredAggregate;
use crate::worker::{Bench, Known, Worker};

/// Small, so that they bite.
pub(crate) const LIMITS: TurnLimits = TurnLimits {
    record_bytes: 400,
    key_bytes: 40,
    attribute_bytes: 1_024,
    state_bytes: 300,
    event_bytes: 300,
    reply_bytes: 300,
    events: 2,
    timers: 2,
};

const RETRY: RetryPolicy = RetryPolicy {
    attempts: 3,
    seconds: 600,
    first_delay_ms: 20,
    max_delay_ms: 60,
};

/// A message that was decided.
pub(crate) struct Decided {
    pub(crate) settlement: Settlement,
    /// The state in the build's shape, where it had to be migrated.
    pub(crate) migrated: Option<Rc<str>>,
}

/// Why a message was not decided.
pub(crate) enum Undecided {
    Malformed,
    RetryLater,
    Broke(Fault),
    /// The state of its aggregate can't be read.
    NotMigrated,
    Store,
}

impl Worker {
    /// Reads the aggregate, calls the rules, settles.
    pub(crate) fn decide(
        &mut self,
        envelope: &Envelope,
        bench: &mut Bench<'_>,
    ) -> Result<Decided, Undecided> {
        if bench.scene.random.percent(1) && !bench.scene.dice.calm.get() {
            bench
                .scene
                .note("store-unreadable", format_args!("{}", envelope.message.id));
            return Err(Undecided::Store);
        }
        let (known, migrated) = self.aggregate(&envelope.message.key, bench)?;
        let recorded = bench.build.clone();
        if bench.scene.is_broken(Broken::SwitchedWithinTurn)
            && let Some(next) = &self.handed
        {
            bench.build = next.clone();
        }
        let invoked = invoke(&known, envelope, bench);
        bench.build = recorded;
        let (outcome, fuel) = match invoked {
            Err(Undecided::Broke(_)) if bench.scene.is_broken(Broken::RefusalOnFault) => {
                (no(envelope), 0)
            }
            other => other?,
        };
        let before = Before {
            state: known.stored.state.as_deref(),
            revision: known.stored.revision,
        };
        let description = &bench.build.description;
        let settlement = settle::settle(description, &LIMITS, envelope, before, outcome, fuel)
            .map_err(Undecided::Broke)?;
        Ok(Decided {
            settlement,
            migrated: known.stored.state.filter(|_| migrated),
        })
    }

    /// The aggregate as the last turn left it, in the shape of the build; and whether it had to be migrated.
    pub(crate) fn aggregate(
        &mut self,
        key: &str,
        bench: &mut Bench<'_>,
    ) -> Result<(Known, bool), Undecided> {
        let known = self.known.entry(key.to_owned()).or_insert_with(|| Known {
            stored: bench.store.aggregates.get(key).cloned().unwrap_or_default(),
            ticket: 0,
        });
        let mut known = known.clone();
        let (build, from) = (bench.build.clone(), known.stored.version);
        if known.stored.state.is_some() && bench.scene.dice.is_blind(&build.digest, key) {
            return Err(Undecided::NotMigrated);
        }
        let Some(state) = known
            .stored
            .state
            .as_deref()
            .filter(|_| from != build.shape.version)
        else {
            return Ok((known, false));
        };
        bench.scene.check(must(build.shape.reads(from), 6, || {
            let digest = &build.digest;
            format!("{key} has a state of version {from}, which {digest} can't read")
        }));
        bench
            .scene
            .note("migration", format_args!("{key} from {from}"));
        let state = rules(bench)
            .migrate(from, state)
            .and_then(|state| settle::check_state(&LIMITS, &state).map(|()| state))
            .map_err(Undecided::Broke)?;
        known.stored = StoredAggregate {
            state: Some(state.into()),
            version: build.shape.version,
            ..known.stored
        };
        Ok((known, true))
    }
}

impl Undecided {
    /// What a client is told.
    pub(crate) fn answer(&self) -> Answer {
        match self {
            Self::Malformed => Answer::Malformed,
            Self::RetryLater => Answer::TryLater,
            Self::Broke(_) => Answer::Broke,
            Self::NotMigrated => Answer::Quarantined,
            Self::Store => Answer::StoreFailed,
        }
    }
}

fn rules(bench: &Bench<'_>) -> Faulty {
    Faulty {
        rules: (*bench.build).clone(),
        dice: bench.scene.dice.clone(),
    }
}

/// Calls the rules of the build.
pub(crate) fn invoke(
    known: &Known,
    envelope: &Envelope,
    bench: &mut Bench<'_>,
) -> Result<(Outcome, u64), Undecided> {
    let state = known.stored.state.as_deref();
    let decision = rules(bench)
        .handle(state, &envelope.message)
        .map_err(Undecided::Broke)?;
    match decision.answer {
        Ok(outcome) => Ok((outcome, decision.fuel)),
        Err(Disposition::Malformed(_)) => Err(Undecided::Malformed),
        Err(Disposition::RetryLater(_)) => Err(Undecided::RetryLater),
    }
}

/// The wait before the next attempt, or why there is none.
pub(crate) fn what_next(
    undecided: Undecided,
    attempts: u32,
    scene: &mut Scene,
) -> Result<u64, &'static str> {
    let (may_pass, reason) = match undecided {
        Undecided::Malformed => (false, "malformed"),
        Undecided::RetryLater => (true, "retries-exhausted"),
        Undecided::Broke(fault) => match (fault.may_pass(), fault.kind) {
            (true, _) => (true, "deadline"),
            (false, FaultKind::Trap | FaultKind::OutOfFuel | FaultKind::OutOfMemory) => {
                (false, "trap")
            }
            (false, _) => (false, "bad-output"),
        },
        Undecided::NotMigrated => (false, "migration"),
        Undecided::Store => (true, "store"),
    };
    match RETRY.after(attempts, 0) {
        Next::RetryAfter(delay) if may_pass => {
            scene.note("retry", format_args!("attempt {attempts}, {reason}"));
            Ok(delay)
        }
        _ => {
            scene.note("dead-letter", format_args!("attempt {attempts}, {reason}"));
            scene.note(
                if may_pass { "given-up" } else { "hopeless" },
                format_args!("{reason}"),
            );
            Err(reason)
        }
    }
}

/// What a host that takes a fault for a refusal would decide.
fn no(envelope: &Envelope) -> Outcome {
    let mut events = Vec::new();
    if let Ok(body) = serde_json::from_str::<Body>(&envelope.message.body) {
        let body = Body {
            state: "REJECTED".into(),
            ..body
        };
        events.push(saga_core::outcome::Event {
            event_type: "credit-answered".into(),
            key: body.account.clone(),
            body: serde_json::to_string(&body).expect("a body is JSON"),
        });
    }
    let refusal = saga_core::outcome::Refusal {
        kind: saga_contract::description::RefusalKind::Conflict,
        code: "no".into(),
        detail: "no".into(),
        pointer: None,
    };
    Outcome {
        state: StateChange::Unchanged,
        events,
        timers: Vec::new(),
        reply: Some(Reply::Refused(refusal)),
    }
}
