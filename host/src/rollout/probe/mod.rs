//! The probe: a candidate is tried on recorded, stored and waiting inputs, and must succeed where
//! the active generation does. Each call must have the same result on a used and on a fresh
//! instance, and the decisions of the same component must be those that it made before.
//!
//! A different decision is reported and no reason to refuse, since new rules are meant to decide
//! differently. Nor is a failure that the active generation shares: the candidate is no worse. An
//! operator may override the rest ([`Tolerance`]). Must not know: the store, the turn loop. Its
//! inputs are given, and nothing takes effect.
//!
//! # Layout
//!
//! - this file: the order of the probe
//! - `failures`: reasons to refuse the candidate, and notes on other failures
//! - `trial`: calls of rules outside of any turn
//! - `stored`: stored states, and lists that find them
//! - `waiting`: set timers and waiting events
//! - `decisions`: recorded decisions; `compare`: differences between two of them
//! - `purity`: is the candidate a function of its input?

pub(super) mod compare;
mod decisions;
mod failures;
#[cfg(test)]
pub(in crate::rollout) mod fake;
mod purity;
mod stored;
pub(super) mod trial;
mod waiting;

use std::sync::Arc;
use std::time::{Duration, Instant};

use saga_contract::difference as json;
use saga_core::limits::TurnLimits;
use saga_core::message::Message;
use saga_core::outcome::Outcome;
use saga_core::record::Record;
use saga_core::rules::Fault;
use serde::Serialize;
use serde_json::Value;

pub use self::failures::Tolerance;
use self::failures::{Failures, Harm};
use self::stored::StateFindings;
use self::trial::{TrialAnswer, TrialRun};
use super::report;
use crate::base::clock::now_ms;
use crate::base::generation::CompiledRules;
use crate::store::read::StoredAggregate;
use crate::store::sample::{Keyed, PendingTimer, Recorded};

/// Longest time of a probe, not counting the last call. Remaining inputs are left out, and their
/// number is reported.
const LONGEST: Duration = Duration::from_secs(20);

/// Inputs of a probe.
#[derive(Debug, Default)]
pub struct Inputs {
    /// Recorded decisions, the latest first.
    pub recorded: Vec<Recorded>,
    /// Stored states.
    pub states: Vec<Keyed>,
    /// Quarantined aggregates.
    pub quarantined: Vec<Keyed>,
    /// Set timers.
    pub timers: Vec<PendingTimer>,
    /// Records that wait for the participant, in order.
    pub in_flight: Vec<PendingRecord>,
}

/// A record that waits for a participant, parked or unread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingRecord {
    /// Its topic as declared by the participant.
    pub declared_topic: Arc<str>,
    /// The record.
    pub record: Record,
    /// The aggregate that the candidate assigns it to; `None` if it can't.
    pub aggregate: Option<Keyed>,
}

/// Terms of a probe.
#[derive(Clone, Copy)]
pub struct Terms<'t> {
    /// Limits of the candidate's turns.
    pub limits: &'t TurnLimits,
    /// Failures that are tolerated.
    pub allowed: Tolerance,
    /// Returns true once the result is not needed any more, which ends the probe.
    pub is_over: &'t dyn Fn() -> bool,
}

/// The reason why a candidate did not pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotPassed {
    /// No instance could be created.
    NoInstance(String),
    /// On what it failed, and how.
    Fails(Vec<String>),
}

/// Probes a candidate. The active generation, if any, gets the inputs that the candidate fails.
///
/// # Errors
/// On what it failed, and how.
pub fn probe(
    candidate: &dyn CompiledRules,
    active: Option<&dyn CompiledRules>,
    terms: Terms<'_>,
    inputs: &Inputs,
) -> Result<report::ProbeReport, NotPassed> {
    let now = now_ms();
    let trial =
        |build| TrialRun::new(build, terms.limits, now).map_err(|fault| no_instance(&fault));
    let digest = candidate.digest();
    let candidate = TrialRun::compared(candidate, terms.limits, now)
        .map_err(|fault| NotPassed::NoInstance(no_instance(&fault)))?;
    let (active, untried) = match active.map(trial).transpose() {
        Ok(active) => (active, None),
        // The candidate is not to blame.
        Err(why) => (None, Some(why)),
    };
    let mut probing = Probing {
        digest,
        candidate,
        active,
        terms,
        report: report::ProbeReport::default(),
        failures: Failures::new(terms.allowed),
        looks: StateFindings::default(),
        room: decisions::ROOM,
    };
    let untried =
        untried.map(|why| format!("the active build could not be tried beside it: {why}"));
    probing.report.notes.extend(untried);
    let began = Instant::now();
    // Each kind gets a share of the time, plus what the kinds before left.
    let within = |part: u32| began + LONGEST * part / 4;
    probing.each(&inputs.states, within(1), Probing::state);
    probing.each(&inputs.quarantined, within(1), Probing::quarantined);
    probing.each(&inputs.timers, within(2), Probing::timer);
    probing.each(&inputs.in_flight, within(3), Probing::in_flight);
    probing.each(&inputs.recorded, within(4), Probing::decision);
    probing.finish()
}

fn no_instance(fault: &Fault) -> String {
    format!("an instance can't be created: {fault}")
}

/// The decision of rules on one message for an aggregate as it is stored, without effect.
///
/// # Errors
/// The reason why they don't decide: their answer, or how they fail.
pub fn decision_on(
    build: &dyn CompiledRules,
    limits: &TurnLimits,
    stored: &StoredAggregate,
    message: &Message,
) -> Result<Outcome, String> {
    let mut trial = TrialRun::new(build, limits, now_ms()).map_err(|fault| fault.to_string())?;
    // As a turn would check them.
    trial.schemas = trial.schemas.filter(|_| limits.check_outputs);
    match trial.answer(stored, message)? {
        TrialAnswer::Decided(outcome) => Ok(*outcome),
        TrialAnswer::Malformed(why) => Err(format!("malformed: {why}")),
        TrialAnswer::RetryLater(why) => Err(format!("retry-later: {why}")),
    }
}

/// A place of a state that changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ValueChange {
    /// JSON pointer.
    pub pointer: String,
    /// The value before; `None` if there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// The value after; `None` if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

/// The places at which two JSON texts differ, at most `most`.
#[must_use]
pub fn changes(before: Option<&str>, after: &str, most: usize) -> Vec<ValueChange> {
    let (before, after) = (before.map(compare::parsed), compare::parsed(after));
    let differences = json::differences(before.as_ref(), Some(&after), most);
    let change = |(pointer, before, after): (String, Option<&Value>, Option<&Value>)| ValueChange {
        pointer,
        before: before.cloned(),
        after: after.cloned(),
    };
    differences.into_iter().map(change).collect()
}

struct Probing<'b> {
    /// Digest of the candidate's component and settings.
    digest: &'b str,
    candidate: TrialRun<'b>,
    active: Option<TrialRun<'b>>,
    terms: Terms<'b>,
    report: report::ProbeReport,
    failures: Failures,
    looks: StateFindings,
    /// Bytes of differences that may still be reported.
    room: usize,
}

impl<'b> Probing<'b> {
    /// Tries each of these inputs, until a deadline.
    fn each<T>(&mut self, inputs: &[T], until: Instant, mut on: impl FnMut(&mut Self, &T)) {
        for (number, input) in inputs.iter().enumerate() {
            if self.failures.are_enough() || (self.terms.is_over)() {
                return;
            }
            if Instant::now() >= until {
                self.report.left_out += inputs.len() - number;
                return;
            }
            on(self, input);
            if let Some(impurity) = self.candidate.impurity() {
                self.failures.add(Harm::Impure, impurity);
            }
        }
    }

    /// The candidate's result; `None` if it fails. A failure that the active generation does not
    /// share counts against the candidate.
    fn tried<T>(
        &mut self,
        harm: Harm,
        what: impl Fn() -> String,
        attempt: impl Fn(&mut TrialRun<'b>) -> Result<T, String>,
    ) -> Option<T> {
        let failure = match attempt(&mut self.candidate) {
            Ok(made) => return Some(made),
            Err(failure) => format!("{}: {failure}", what()),
        };
        let is_new = (self.active.as_mut()).is_none_or(|active| attempt(active).is_ok());
        if is_new {
            self.failures.add(harm, failure);
        } else {
            self.failures.add_as_before(failure);
        }
        None
    }

    fn finish(mut self) -> Result<report::ProbeReport, NotPassed> {
        self.report_findings();
        let mut report = self.report;
        let failed = self.failures.weighed().map_err(NotPassed::Fails)?;
        report.notes.extend(failed);
        if report.left_out > 0 {
            report.notes.push(format!(
                "the time for trying it was over after {} s: {} inputs were left out",
                LONGEST.as_secs(),
                report.left_out
            ));
        }
        Ok(report)
    }
}

#[cfg(test)]
#[path = "probe_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "purity_tests.rs"]
mod purity_tests;

#[cfg(test)]
#[path = "terms_tests.rs"]
mod terms_tests;
