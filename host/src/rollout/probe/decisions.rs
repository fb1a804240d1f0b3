//! Recorded decisions: a candidate must be able to repeat them, and different decisions are
//! reported.

use saga_core::message::{Message, Origin};
use saga_core::outcome::StateChange;

use super::super::report::{Difference, DifferingPart};
use super::purity::{self, ResultDifference};
use super::trial::{TrialAnswer, TrialRun};
use super::{Harm, Probing, compare};
use crate::store::sample::Recorded;

/// Bytes of reported differences; further ones are only counted (invariant 9).
pub(super) const ROOM: usize = 1 << 20;

impl Probing<'_> {
    /// Offers a recorded message on the state of that time.
    pub(super) fn decision(&mut self, recorded: &Recorded) {
        let message = &recorded.message;
        if !self.candidate.reads(recorded.state_version) || !self.candidate.takes(message) {
            return;
        }
        self.report.inputs += 1;
        let harm = match message.origin {
            Origin::Command => Harm::RecordedCommand,
            Origin::Event => Harm::RecordedEvent,
            Origin::Timer => Harm::RecordedTimer,
        };
        let what = || format!("can't decide on the recorded {}", purity::name_of(message));
        let answer = self.tried(harm, what, |trial| decide_again(trial, recorded, message));
        let Some(answer) = answer else {
            return;
        };
        let mut decided = recorded.outcome.clone();
        if let StateChange::Put(state) = &decided.state {
            let version = recorded.state_version;
            let left = || {
                format!(
                    "can't read the state (version {version}) that aggregate {} had after {}",
                    message.key, message.id
                )
            };
            let Some(state) = self.tried(Harm::RecordedState, left, |trial| {
                trial.decoded(version, state).map_err(String::from)
            }) else {
                return;
            };
            decided.state = StateChange::Put(state);
        }
        let parts = compare::parts(&decided, &answer);
        if !parts.is_empty() {
            self.same_rules(recorded, message, &parts);
            self.otherwise(recorded, &answer, parts);
        }
    }

    /// Counts a difference against the candidate if the same rules made the recorded decision.
    fn same_rules(&mut self, recorded: &Recorded, message: &Message, parts: &[DifferingPart]) {
        let is_same =
            recorded.digest == self.digest && recorded.state_version == self.candidate.version();
        if let Some(difference) = ResultDifference::of_parts(parts).filter(|_| is_same) {
            let told = difference.told("was decided by the same rules before", "now");
            let on = format!("the {}", purity::name_of(message));
            let reason = purity::reason(&on, &told);
            self.failures.add(Harm::Impure, reason);
        }
    }

    fn otherwise(&mut self, recorded: &Recorded, answer: &TrialAnswer, parts: Vec<DifferingPart>) {
        self.report.decided_otherwise += 1;
        let message = &recorded.message;
        let decided = serde_json::to_string(&recorded.outcome).unwrap_or_default();
        let would_decide = answer.in_words();
        // Each outcome contains its parts, hence the factor.
        let bytes = 2 * (decided.len() + would_decide.len()) + message.key.len() + message.id.len();
        let Some(room) = self.room.checked_sub(bytes) else {
            return;
        };
        self.room = room;
        self.report.differences.push(Difference {
            message: message.id.clone(),
            name: message.name.clone(),
            key: message.key.clone(),
            parts,
            decided,
            would_decide,
        });
    }
}

/// The decision of these rules on a recorded message, with its state decoded and encoded again.
fn decide_again(
    trial: &mut TrialRun<'_>,
    recorded: &Recorded,
    message: &Message,
) -> Result<TrialAnswer, String> {
    let state = trial.shaped_if_any(recorded.state_version, recorded.state.as_deref())?;
    let answer = trial.decide(state.as_deref(), message);
    let mut answer = answer.map_err(|fault| fault.to_string())?;
    // A malformed command is reported to its client; an event or a timer would be lost.
    if message.origin != Origin::Command {
        answer = answer.or_malformed()?;
    }
    if let TrialAnswer::Decided(outcome) = &mut answer
        && let StateChange::Put(state) = &outcome.state
    {
        let decoded = trial.decoded(trial.version(), state);
        let decoded =
            decoded.map_err(|why| format!("it would leave a state that it can't read: {why}"))?;
        outcome.state = StateChange::Put(decoded);
    }
    Ok(answer)
}
