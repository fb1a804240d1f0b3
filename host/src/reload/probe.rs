//! A candidate is tried on what was recorded: it must not break on what the rules before it decided.
//!
//! That it decides otherwise is no reason to refuse it, for that is what a new rule is for; where it does is told.
//! Knows neither the store nor the pipeline: recorded inputs come as they are, and nothing takes effect.

use std::time::{Duration, Instant};

use saga_core::description::Description;
use saga_core::limits::TurnLimits;
use saga_core::message::{Envelope, Message, Origin};
use saga_core::outcome::Disposition;
use saga_core::rules::{Fault, FaultKind, Rules, shorten};
use saga_core::settle::{self, Before};

use super::report::{self, Difference};
use crate::generation::Build;
use crate::store::history::Recorded;

/// Longest that a probe takes, but for the call that is under way: beyond it the rest is left out.
const LONGEST: Duration = Duration::from_secs(20);

/// Differences that are told at most.
const DIFFERENCES: usize = 10;

/// Reasons that are told at most.
const REASONS: usize = 3;

/// What a candidate is tried on.
#[derive(Debug, Default)]
pub struct Inputs {
    /// Recorded decisions, the latest first.
    pub recorded: Vec<Recorded>,
    /// Stored states of older shapes: key, version, state.
    pub states: Vec<(String, u32, String)>,
}

/// Tries a candidate.
///
/// # Errors
/// On what it broke, and how.
pub fn probe(
    build: &dyn Build,
    limits: &TurnLimits,
    inputs: Inputs,
) -> Result<report::Probe, Vec<String>> {
    let rules = build.instance();
    let mut candidate = Candidate {
        rules: rules.map_err(|fault| vec![format!("an instance can't be made: {fault}")])?,
        description: build.description(),
        limits,
        report: report::Probe::default(),
        reasons: Vec::new(),
        first_unmigrated: None,
    };
    let until = Instant::now() + LONGEST;
    for (key, version, state) in &inputs.states {
        if candidate.is_done(until) {
            break;
        }
        candidate.migrate(key, *version, state);
    }
    for recorded in &inputs.recorded {
        if candidate.is_done(until) {
            break;
        }
        candidate.decide(recorded);
    }
    candidate.finish()
}

struct Candidate<'b> {
    rules: Box<dyn Rules + Send>,
    description: &'b Description,
    limits: &'b TurnLimits,
    report: report::Probe,
    reasons: Vec<String>,
    first_unmigrated: Option<String>,
}

impl Candidate<'_> {
    fn is_done(&self, until: Instant) -> bool {
        self.reasons.len() >= REASONS || Instant::now() >= until
    }

    fn migrate(&mut self, key: &str, version: u32, state: &str) {
        if version >= self.description.state.version {
            return;
        }
        self.report.states += 1;
        let migrated = self.migrated(version, state);
        match migrated {
            Ok(_) => {}
            Err(fault) if fault.kind == FaultKind::Migration => {
                self.report.states_not_migrated += 1;
                self.first_unmigrated
                    .get_or_insert_with(|| format!("that of {key}: {}", fault.detail));
            }
            Err(fault) => self.reasons.push(format!(
                "broke when it migrated the state of {key} from version {version}: {fault}"
            )),
        }
    }

    fn migrated(&mut self, version: u32, state: &str) -> Result<String, Fault> {
        let rules = &mut self.rules;
        let mut migrate = || -> Result<String, Fault> {
            let migrated = again_if_late(|| rules.migrate(version, state))?;
            settle::check_state(self.limits, &migrated)?;
            Ok(migrated)
        };
        match migrate() {
            Err(fault) if !fault.may_pass() && self.rules.renew() => self.migrated(version, state),
            migrated => migrated,
        }
    }

    fn decide(&mut self, recorded: &Recorded) {
        let Ok(message) = serde_json::from_str::<Message>(&recorded.message) else {
            return;
        };
        let current = self.description.state.version;
        if recorded.state_version > current || !self.takes(&message) {
            return;
        }
        let state = match &recorded.state {
            Some(state) if recorded.state_version < current => {
                match self.migrated(recorded.state_version, state) {
                    Ok(state) => Some(state),
                    // What it can't migrate was looked at already.
                    Err(fault) if fault.kind == FaultKind::Migration => return,
                    Err(fault) => return self.broke(&message, &fault),
                }
            }
            state => state.clone(),
        };
        self.report.inputs += 1;
        match self.outcome(state.as_deref(), message.clone()) {
            Ok(outcome) if outcome == recorded.outcome => {}
            Ok(outcome) => self.otherwise(message, &recorded.outcome, outcome),
            Err(fault) => self.broke(&message, &fault),
        }
    }

    fn otherwise(&mut self, message: Message, decided: &str, would_decide: String) {
        self.report.decided_otherwise += 1;
        if self.report.differences.len() < DIFFERENCES {
            self.report.differences.push(Difference {
                message: message.id,
                name: message.name,
                key: message.key,
                decided: shorten(decided.to_owned()),
                would_decide: shorten(would_decide),
            });
        }
    }

    /// What it decides, as it would be recorded; or why it does not decide.
    fn outcome(&mut self, state: Option<&str>, message: Message) -> Result<String, Fault> {
        let rules = &mut self.rules;
        let decision = again_if_late(|| rules.handle(state, &message))?;
        let outcome = match decision.answer {
            Ok(outcome) => outcome,
            Err(Disposition::Malformed(reason)) => return Ok(format!("malformed: {reason}")),
            Err(Disposition::RetryLater(reason)) => return Ok(format!("retry later: {reason}")),
        };
        let envelope = Envelope {
            made_at: message.time,
            message,
            traceparent: None,
        };
        let before = Before { state, revision: 0 };
        let fuel = decision.fuel;
        let settled = settle::settle(
            self.description,
            self.limits,
            &envelope,
            before,
            outcome,
            fuel,
        );
        match settled {
            // As in a turn: what earlier calls left may be why.
            Err(fault) if !fault.may_pass() && self.rules.renew() => {
                self.outcome(state, envelope.message)
            }
            settled => settled.map(|settlement| settlement.journal.outcome),
        }
    }

    /// Whether it takes such messages at all.
    fn takes(&self, message: &Message) -> bool {
        let name = &message.name;
        match message.origin {
            Origin::Command => self.description.command(name).is_some(),
            Origin::Event => {
                let mut subscriptions = self.description.subscriptions.iter();
                subscriptions.any(|subscription| subscription.event_type == *name)
            }
            Origin::Timer => self
                .description
                .timers
                .iter()
                .any(|timer| timer.name == *name),
        }
    }

    fn broke(&mut self, message: &Message, fault: &Fault) {
        self.reasons.push(format!(
            "broke on the recorded message {} `{}` of aggregate {}: {fault}",
            message.id, message.name, message.key
        ));
    }

    fn finish(mut self) -> Result<report::Probe, Vec<String>> {
        let report = self.report;
        if report.states > 0 && report.states == report.states_not_migrated {
            let first = self.first_unmigrated.unwrap_or_default();
            self.reasons.push(format!(
                "could migrate none of {} stored states, such as {first}",
                report.states
            ));
        }
        if self.reasons.is_empty() {
            Ok(report)
        } else {
            Err(self.reasons)
        }
    }
}

/// The clock is not the candidate's fault: what was late is tried once more.
fn again_if_late<T>(mut call: impl FnMut() -> Result<T, Fault>) -> Result<T, Fault> {
    match call() {
        Err(fault) if fault.may_pass() => call(),
        result => result,
    }
}
