//! One decision, made again, and how it differs from the recorded one.
//!
//! Most decisions do not differ, and that is seen from their texts: JSON is read only where the texts
//! are not the same.

use std::borrow::Cow;

use saga_core::journal::NotWhole;
use saga_core::message::{Message, Origin};
use saga_core::outcome::{Disposition, Outcome, StateChange};
use saga_core::rules::{Decision, Fault};
use serde_json::Value;

use crate::rollout::probe::compare::{self, Part, ProbeSubject};
use crate::rollout::probe::trial::{TrialAnswer, TrialRun};
use crate::store::sample::Recorded;

/// Kind of the fault that rules don't take a message.
const NOT_TAKEN: &str = "not-taken";

/// What came of a decision.
pub(in crate::rollout) enum ReplayVerdict {
    /// The same, with this fuel.
    Unchanged(u64),
    /// Another one.
    Changed(Box<Changed>),
    /// The rules failed: the kind of fault, and its text.
    Fault(String, String),
    /// There is nothing to compare, whatever the rules do: the reason in general, and in particular.
    NoBaseline(String, String),
}

impl ReplayVerdict {
    /// Of a decision that can't be made again.
    pub(in crate::rollout) fn not_whole(why: &NotWhole) -> Self {
        let said = why.to_string();
        match why {
            NotWhole::Unreadable(_) => Self::NoBaseline("its record can't be read".into(), said),
            NotWhole::NoPayload(_) => Self::NoBaseline(said.clone(), said),
        }
    }
}

/// A decision that changed.
pub(in crate::rollout) struct Changed {
    /// The places at which it differs.
    pub(in crate::rollout) parts: Vec<Part>,
    /// The answer of the rules.
    pub(in crate::rollout) answer: TrialAnswer,
    /// The recorded decision, with its state in the shape of these rules.
    pub(in crate::rollout) recorded: Outcome,
    /// Its fuel; None if the rules did not decide.
    pub(in crate::rollout) fuel: Option<u64>,
}

/// A decision that was made again.
pub(in crate::rollout) struct MadeAgain {
    pub(in crate::rollout) verdict: ReplayVerdict,
    /// The states that the rules and the recorded decision left, in the shape of these rules. None
    /// if they are not asked for, or not known.
    pub(in crate::rollout) left: Option<(Option<String>, Option<String>)>,
}

/// The state to decide on, instead of the recorded one.
pub(in crate::rollout) type OwnState<'s> = Option<Option<&'s str>>;

/// Makes a decision again. With `follows`, the states afterwards are told.
pub(in crate::rollout) fn decide(
    trial: &mut TrialRun<'_>,
    recorded: &Recorded,
    own: OwnState<'_>,
    follows: bool,
) -> MadeAgain {
    let without_state = |verdict| MadeAgain {
        verdict,
        left: None,
    };
    let message = &recorded.message;
    let version = recorded.state_version;
    if !trial.reads(version) {
        let why = format!("these rules don't read states of version {version}");
        return without_state(ReplayVerdict::Fault("migration".into(), why));
    }
    let is_current = version == trial.version();
    let shaped = match &recorded.state {
        Some(state) if !is_current => match trial.shaped(version, state) {
            Ok(state) => Some(Cow::Owned(state)),
            Err(why) => {
                let why = format!("its state (version {version}) can't be read: {why}");
                return without_state(ReplayVerdict::Fault("migration".into(), why));
            }
        },
        state => state.as_deref().map(Cow::Borrowed),
    };
    let decided = match in_shape(trial, recorded) {
        Ok(decided) => decided,
        Err(why) => {
            let why = format!("the state that it left (version {version}) can't be read: {why}");
            return without_state(ReplayVerdict::Fault("migration".into(), why));
        }
    };
    let state = own.unwrap_or(shaped.as_deref());
    let compared = match not_taken(trial, message) {
        Some(why) => ReplayVerdict::Fault(NOT_TAKEN.into(), why).into(),
        None => {
            let befores = Befores {
                own: state,
                recorded: shaped.as_deref(),
                is_current,
            };
            compared(trial, message, &decided, befores)
        }
    };
    let left = follows.then(|| {
        let of_recorded = after(&decided.state, shaped.as_deref());
        let unchanged = StateChange::Unchanged;
        let change = match &compared.verdict {
            ReplayVerdict::Unchanged(_) => &decided.state,
            _ => compared.left.as_ref().unwrap_or(&unchanged),
        };
        (
            after(change, state).map(str::to_owned),
            of_recorded.map(str::to_owned),
        )
    });
    MadeAgain {
        verdict: compared.verdict,
        left,
    }
}

/// The states before a decision, in the shape of the rules.
#[derive(Clone, Copy)]
struct Befores<'s> {
    own: Option<&'s str>,
    recorded: Option<&'s str>,
    /// True if the recorded decision has that shape.
    is_current: bool,
}

struct Compared {
    verdict: ReplayVerdict,
    /// What the rules left, if that is not what was recorded.
    left: Option<StateChange>,
}

impl From<ReplayVerdict> for Compared {
    fn from(verdict: ReplayVerdict) -> Self {
        Self {
            verdict,
            left: None,
        }
    }
}

/// The recorded decision, with the state that it left in the shape of the rules.
fn in_shape<'r>(
    trial: &mut TrialRun<'_>,
    recorded: &'r Recorded,
) -> Result<Cow<'r, Outcome>, String> {
    let version = recorded.state_version;
    match &recorded.outcome.state {
        StateChange::Put(state) if version != trial.version() => Ok(Cow::Owned(Outcome {
            state: StateChange::Put(trial.shaped(version, state)?),
            ..recorded.outcome.clone()
        })),
        _ => Ok(Cow::Borrowed(&recorded.outcome)),
    }
}

/// Makes the decision and compares it with the recorded one, which has the shape of the rules.
fn compared(
    trial: &mut TrialRun<'_>,
    message: &Message,
    decided: &Outcome,
    befores: Befores<'_>,
) -> Compared {
    let (answer, fuel) = match trial.answered(befores.own, message) {
        Ok(Decision { answer, fuel }) => (answer, fuel),
        Err(fault) => return of_fault(&fault).into(),
    };
    let mut outcome = match answer {
        Ok(outcome) => outcome,
        Err(disposition) => return not_decided(disposition, decided).into(),
    };
    if message.origin != Origin::Command {
        // Without a client, a reply is not recorded.
        outcome.reply = None;
    }
    if befores.is_current && outcome == *decided {
        return ReplayVerdict::Unchanged(fuel).into();
    }
    let outcome = match trial.settled(befores.own, message, outcome) {
        Ok(outcome) => outcome,
        // Leftovers of earlier calls may be the cause: it is tried again as a turn would.
        Err(_) => match trial.decide(befores.own, message) {
            Ok(TrialAnswer::Decided(outcome)) => *outcome,
            Ok(TrialAnswer::Malformed(why)) => {
                return not_decided(Disposition::Malformed(why), decided).into();
            }
            Ok(TrialAnswer::RetryLater(why)) => {
                return not_decided(Disposition::RetryLater(why), decided).into();
            }
            Err(failure) => return of_failure(failure).into(),
        },
    };
    let left = outcome.state.clone();
    let verdict = match differing(trial, decided, outcome, befores) {
        Ok((parts, _)) if parts.is_empty() => ReplayVerdict::Unchanged(fuel),
        Ok((parts, outcome)) => ReplayVerdict::Changed(Box::new(Changed {
            parts,
            answer: TrialAnswer::Decided(Box::new(outcome)),
            recorded: decided.clone(),
            fuel: Some(fuel),
        })),
        Err(why) => ReplayVerdict::Fault("migration".into(), why),
    };
    Compared {
        left: Some(left),
        verdict,
    }
}

/// The places at which two decisions differ: in the state, those of the states that they leave.
fn differing(
    trial: &mut TrialRun<'_>,
    decided: &Outcome,
    outcome: Outcome,
    befores: Befores<'_>,
) -> Result<(Vec<Part>, Outcome), String> {
    if *decided == outcome {
        return Ok((Vec::new(), outcome));
    }
    let version = trial.version();
    let mut ones = decided.clone();
    let mut others = outcome.clone();
    // What stays is what was there, if the other one writes.
    let stays = |change: &mut StateChange, other: &StateChange, before: Option<&str>| {
        if let (StateChange::Unchanged, StateChange::Put(_), Some(before)) =
            (&*change, other, before)
        {
            *change = StateChange::Put(before.to_owned());
        }
    };
    stays(&mut ones.state, &outcome.state, befores.recorded);
    stays(&mut others.state, &decided.state, befores.own);
    if ones.state != others.state {
        for change in [&mut ones.state, &mut others.state] {
            if let StateChange::Put(state) = change {
                let decoded = trial.decoded(version, state);
                *state =
                    decoded.map_err(|why| format!("a state that was left can't be read: {why}"))?;
            }
        }
    }
    let answer = TrialAnswer::Decided(Box::new(others));
    let mut parts = compare::differing(&ones, &answer);
    let writes = |change: &StateChange| matches!(change, StateChange::Put(_));
    let is_state = |part: &Part| part.subject == ProbeSubject::State;
    if writes(&decided.state) != writes(&outcome.state) && !parts.iter().any(is_state) {
        let word = |change: &StateChange| match writes(change) {
            true => "written as it was",
            false => "unchanged",
        };
        parts.insert(
            0,
            Part {
                subject: ProbeSubject::State,
                pointer: String::new(),
                decided: Some(Value::from(word(&decided.state))),
                would_decide: Some(Value::from(word(&outcome.state))),
            },
        );
    }
    Ok((parts, outcome))
}

/// The reason why the rules don't take such a message.
fn not_taken(trial: &TrialRun<'_>, message: &Message) -> Option<String> {
    let Message {
        origin,
        name,
        version,
        ..
    } = message;
    let what = format!("{} `{name}`", origin.word());
    if !trial.takes(message) {
        return Some(format!("these rules don't take the {what}"));
    }
    let mut subscriptions = trial.description().subscriptions.iter();
    let is_read = *origin != Origin::Event
        || subscriptions.any(|one| one.event_type == *name && one.shape(*version).is_some());
    (!is_read).then(|| format!("these rules don't read version {version} of the {what}"))
}

fn not_decided(disposition: Disposition, decided: &Outcome) -> ReplayVerdict {
    let answer = match disposition {
        Disposition::Malformed(why) => TrialAnswer::Malformed(why),
        Disposition::RetryLater(why) => TrialAnswer::RetryLater(why),
    };
    ReplayVerdict::Changed(Box::new(Changed {
        parts: compare::differing(decided, &answer),
        answer,
        recorded: decided.clone(),
        fuel: None,
    }))
}

fn of_fault(fault: &Fault) -> ReplayVerdict {
    ReplayVerdict::Fault(fault.kind.to_string(), fault.to_string())
}

/// A fault from its text, which begins with its kind.
fn of_failure(failure: String) -> ReplayVerdict {
    let kind = failure.split(':').next().unwrap_or_default().to_owned();
    ReplayVerdict::Fault(kind, failure)
}

/// The state after a change.
fn after<'s>(change: &'s StateChange, before: Option<&'s str>) -> Option<&'s str> {
    match change {
        StateChange::Unchanged => before,
        StateChange::Put(state) => Some(state),
        StateChange::Remove => None,
    }
}
