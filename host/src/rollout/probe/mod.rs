//! A candidate is tried on what was recorded, what is stored and what is in flight: it must be able to do what the build
//! before it can.
//!
//! That it decides otherwise is no reason to refuse it, for that is what a new rule is for; where it does is told. What
//! the active build can't do either is none: the candidate is no worse. An operator may take it all the same ([`Allowed`]).
//! Knows neither the store nor the pipeline: inputs come as they are, and nothing takes effect.
//!
//! # Layout
//!
//! - this file: the order in which it is tried
//! - `failures`: what is a reason to refuse it, and what is told of the rest
//! - `trial`: a build that is called outside of any turn
//! - `stored`: stored states, and what lists find in them
//! - `waiting`: timers that are set, events that wait
//! - `decisions`: recorded decisions; `compare`, `json`: where two of them differ

mod compare;
mod decisions;
mod failures;
#[cfg(test)]
mod fake;
mod json;
mod stored;
mod trial;
mod waiting;

use std::sync::Arc;
use std::time::{Duration, Instant};

use saga_core::limits::TurnLimits;
use saga_core::record::Record;

pub use self::failures::Allowed;
use self::failures::{Failures, Harm};
use self::stored::Looks;
use self::trial::Trial;
use super::report;
use crate::base::clock::now_ms;
use crate::base::generation::Build;
use crate::store::sample::{Keyed, Pending, Recorded};

/// Longest that a probe takes, but for the call that is under way: beyond it the rest is left out, and it is told how much.
const LONGEST: Duration = Duration::from_secs(20);

/// What a candidate is tried on.
#[derive(Debug, Default)]
pub struct Inputs {
    /// Recorded decisions, the latest first.
    pub recorded: Vec<Recorded>,
    /// Stored states.
    pub states: Vec<Keyed>,
    /// Quarantined aggregates.
    pub quarantined: Vec<Keyed>,
    /// Timers that are set.
    pub timers: Vec<Pending>,
    /// Records that the participant has yet to take, in their order.
    pub in_flight: Vec<InFlight>,
}

/// A record that a participant has yet to take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InFlight {
    /// Its topic, as the participant calls it.
    pub declared_topic: Arc<str>,
    /// The record.
    pub record: Record,
    /// The aggregate that the candidate takes it for; none where it can't tell.
    pub aggregate: Option<Keyed>,
}

/// How a candidate is tried.
#[derive(Clone, Copy)]
pub struct Terms<'t> {
    /// Limits of its turns.
    pub limits: &'t TurnLimits,
    /// What it may fail.
    pub allowed: Allowed,
    /// Whether nobody waits for what comes of it any more: then the rest is left out.
    pub is_over: &'t dyn Fn() -> bool,
}

/// Why a candidate is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotPassed {
    /// It can't be tried at all.
    NoInstance(String),
    /// On what it failed, and how.
    Fails(Vec<String>),
}

/// Tries a candidate, and the active build, if there is one, on what the candidate fails.
///
/// # Errors
/// On what it failed, and how.
pub fn probe(
    candidate: &dyn Build,
    active: Option<&dyn Build>,
    terms: Terms<'_>,
    inputs: &Inputs,
) -> Result<report::Probe, NotPassed> {
    let now = now_ms();
    let trial = |build| {
        Trial::new(build, terms.limits, now)
            .map_err(|fault| format!("an instance can't be made: {fault}"))
    };
    let candidate = trial(candidate).map_err(NotPassed::NoInstance)?;
    let (active, untried) = match active.map(trial).transpose() {
        Ok(active) => (active, None),
        // The candidate is none the worse for it.
        Err(why) => (None, Some(why)),
    };
    let mut probing = Probing {
        candidate,
        active,
        terms,
        report: report::Probe::default(),
        failures: Failures::new(terms.allowed),
        looks: Looks::default(),
        room: decisions::ROOM,
    };
    let untried =
        untried.map(|why| format!("the active build could not be tried beside it: {why}"));
    probing.report.notes.extend(untried);
    let began = Instant::now();
    // None takes all of the time, unless the others leave it.
    let within = |part: u32| began + LONGEST * part / 4;
    probing.each(&inputs.states, within(1), Probing::state);
    probing.each(&inputs.quarantined, within(1), Probing::quarantined);
    probing.each(&inputs.timers, within(2), Probing::timer);
    probing.each(&inputs.in_flight, within(3), Probing::in_flight);
    probing.each(&inputs.recorded, within(4), Probing::decision);
    probing.finish()
}

struct Probing<'b> {
    candidate: Trial<'b>,
    active: Option<Trial<'b>>,
    terms: Terms<'b>,
    report: report::Probe,
    failures: Failures,
    looks: Looks,
    /// Bytes of differences that may still be told.
    room: usize,
}

impl<'b> Probing<'b> {
    /// Tries it on each of these inputs, until a time.
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
        }
    }

    /// What the candidate makes of something; none where it fails. That may be a reason to refuse it where the active build does
    /// not fail.
    fn tried<T>(
        &mut self,
        harm: Harm,
        what: impl Fn() -> String,
        attempt: impl Fn(&mut Trial<'b>) -> Result<T, String>,
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

    fn finish(mut self) -> Result<report::Probe, NotPassed> {
        self.looks_told();
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
#[path = "terms_tests.rs"]
mod terms_tests;
