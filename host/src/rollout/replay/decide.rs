//! One decision, made again, and how it differs from the recorded one.
//!
//! Most decisions do not differ, and that is seen from their texts: JSON is read only where the texts
//! are not the same.

use std::borrow::Cow;

use saga_core::journal::NotWhole;
use saga_core::message::{Message, Origin};
use saga_core::outcome::{Disposition, Outcome, StateChange};
use saga_core::rules::{Decision, Fault, FaultKind};
use serde_json::Value;

use crate::rollout::probe::compare::{self, Part, ProbeSubject};
use crate::rollout::probe::trial::{NotShaped, TrialAnswer, TrialRun};
use crate::store::sample::Recorded;

/// The way in which rules failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(in crate::rollout) enum ReplayFault {
    /// They don't take the message.
    #[error("not-taken")]
    NotTaken,
    /// A fault of a call.
    #[error("{0}")]
    Call(FaultKind),
}

impl ReplayFault {
    /// True if they could decide another time.
    pub(in crate::rollout) fn may_pass(self) -> bool {
        match self {
            Self::NotTaken => false,
            Self::Call(kind) => kind.may_pass(),
        }
    }
}

/// What came of a decision.
pub(in crate::rollout) enum ReplayVerdict {
    /// The same, with this fuel.
    Unchanged(u64),
    /// Another one.
    Changed(Box<Changed>),
    /// The rules failed, for this reason.
    Fault(ReplayFault, String),
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
        let fault = ReplayFault::Call(FaultKind::Migration);
        return without_state(ReplayVerdict::Fault(fault, why));
    }
    let is_current = version == trial.version();
    let shaped = match &recorded.state {
        Some(state) if !is_current => match trial.shaped(version, state) {
            Ok(state) => Some(Cow::Owned(state)),
            Err(error) => {
                let what = format!("its state (version {version}) can't be read");
                return without_state(of_shape(&what, &error));
            }
        },
        state => state.as_deref().map(Cow::Borrowed),
    };
    let decided = match in_shape(trial, recorded) {
        Ok(decided) => decided,
        Err(error) => {
            let what = format!("the state that it left (version {version}) can't be read");
            return without_state(of_shape(&what, &error));
        }
    };
    let state = own.unwrap_or(shaped.as_deref());
    let compared = match not_taken(trial, message) {
        Some(why) => ReplayVerdict::Fault(ReplayFault::NotTaken, why).into(),
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
) -> Result<Cow<'r, Outcome>, NotShaped> {
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
            Err(fault) => return of_fault(&fault).into(),
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
        Err(error) => of_shape("a state that was left can't be read", &error),
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
) -> Result<(Vec<Part>, Outcome), NotShaped> {
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
                *state = trial.decoded(version, state)?;
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
    ReplayVerdict::Fault(ReplayFault::Call(fault.kind), fault.to_string())
}

fn of_shape(what: &str, error: &NotShaped) -> ReplayVerdict {
    ReplayVerdict::Fault(ReplayFault::Call(error.kind), format!("{what}: {error}"))
}

/// The state after a change.
fn after<'s>(change: &'s StateChange, before: Option<&'s str>) -> Option<&'s str> {
    match change {
        StateChange::Unchanged => before,
        StateChange::Put(state) => Some(state),
        StateChange::Remove => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

    use saga_core::limits::TurnLimits;

    use super::*;
    use crate::rollout::probe::fake::{Fake, Keeps, done, message, recorded, rules};

    /// The fault of rules that put another text of the state than was recorded, so it is read.
    fn fault_of(keeps: Keeps, migrate: fn(u32, Value) -> Result<Value, String>) -> ReplayFault {
        let rules = Fake {
            handle: |_, _| done(StateChange::Put(r#"{"a":2}"#.into())),
            keeps,
            migrate,
            ..rules()
        };
        let decided = done(StateChange::Put(r#"{"a":1}"#.into()));
        let recorded = recorded(&message(Origin::Event, "sold"), None, &decided);
        let limits = TurnLimits::default();
        let mut trial = TrialRun::new(&rules, &limits, 1).unwrap();
        match decide(&mut trial, &recorded, None, false).verdict {
            ReplayVerdict::Fault(fault, _) => fault,
            _ => panic!("the rules did not fail"),
        }
    }

    #[test]
    fn a_state_that_is_read_too_late_is_no_fault_of_the_rules() {
        let late = fault_of(Keeps::MigratesLate, |_, state| Ok(state));
        assert_eq!(late, ReplayFault::Call(FaultKind::Deadline));
        assert!(late.may_pass());
        let unread = fault_of(Keeps::Nothing, |_, _| Err("missing field".into()));
        assert_eq!(unread, ReplayFault::Call(FaultKind::Migration));
        assert!(!unread.may_pass() && !ReplayFault::NotTaken.may_pass());
    }
}
