//! The gate: a candidate that changes recorded decisions is refused, unless an operator acknowledges
//! exactly these changes.
//!
//! The candidate makes the latest recorded decisions again, each on the state that it was made on.
//! A refusal names the hash of the changes; with that hash, the same candidate passes. The host goes
//! on deciding meanwhile, so an acknowledged set is made again on the part of the journal on which it
//! was found, and later decisions may change only in ways that the acknowledged ones do.
//!
//! # Layout
//!
//! - this file: the decision
//! - [`report`]: what was found, as values
//!
//! Must not know: how a candidate became one, the admin interface.

pub mod report;

use std::collections::BTreeSet;
use std::sync::Arc;

use saga_contract::description::Description;
use saga_core::limits::TurnLimits;

use self::report::{ContractClass, GateReport, GateSpan, LaterDecisions};
use super::replay::report::ReplayReport;
use super::replay::{self, NotReplayed, SpanReplay};
use super::report::{Check, Refused};
use super::settings::GateSettings;
use crate::base::generation::CompiledRules;
use crate::store::{DecisionRange, JournalSpan, ReadStore, StoreFault, StoreLocation};

/// The option that acknowledges a change set, as on the command line and in the admin interface.
pub const ACKNOWLEDGE: &str = "acknowledge";

/// Why a rollback is not replayed, for the operator.
pub(super) const ROLLBACK_PASSES: &str = "a rollback passes the gate without a replay: it goes back to rules that were active before, and must be possible at once";

/// Changes that an operator has acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledged {
    /// Identifies them.
    pub change_set: String,
    /// The operator.
    pub by: String,
}

/// What the gate is asked.
#[derive(Clone, Copy)]
pub(super) struct GateCheck<'g> {
    /// Name and row of the participant.
    pub(super) participant: (&'g str, i64),
    pub(super) candidate: &'g Arc<dyn CompiledRules>,
    /// The data directory, for errors.
    pub(super) data: &'g StoreLocation,
    pub(super) settings: &'g GateSettings,
    pub(super) limits: &'g TurnLimits,
    /// Trusted time, in milliseconds since the Unix epoch.
    pub(super) now: u64,
    pub(super) acknowledged: Option<&'g Acknowledged>,
    /// True once nobody needs the answer.
    pub(super) is_over: &'g (dyn Fn() -> bool + Sync),
}

/// The reason why a candidate does not pass.
pub(super) enum GateStop {
    /// It changes decisions.
    Refused(Refused),
    /// Nobody needs the answer any more.
    Over,
    /// The store can't be read, or no instance can be made.
    Failed(String),
}

/// A part of the journal that was replayed.
struct Found {
    report: ReplayReport,
    span: GateSpan,
}

impl GateCheck<'_> {
    /// Lets a candidate pass that decides as recorded, or whose changes are acknowledged.
    pub(super) fn check(&self, reading: &dyn ReadStore) -> Result<GateReport, GateStop> {
        let wanted = DecisionRange {
            participant: self.participant.1,
            since: Some(
                (self.now).saturating_sub(self.settings.gate_hours.saturating_mul(3_600_000)),
            ),
            last: Some(self.settings.gate_decisions),
            ..DecisionRange::default()
        };
        let span = reading.decisions_span(&wanted).map_err(unread)?;
        if let (Some(acknowledged), Some(span)) = (self.acknowledged, span)
            && let Some(then) = self.refused_then(reading, acknowledged)?
            && then.up_to <= span.up_to
            && let Some(passed) = self.check_again(reading, acknowledged, then, span)?
        {
            return Ok(passed);
        }
        let found = self.found(reading, span.unwrap_or_default())?;
        let report = GateReport::of(&found.report, found.span);
        let is_acknowledged = |one: &Acknowledged| {
            one.change_set == report.change_set && report.class() != report::DecisionsClass::Same
        };
        match self.acknowledged.filter(|one| is_acknowledged(one)) {
            Some(acknowledged) => Ok(GateReport {
                acknowledged_by: Some(acknowledged.by.clone()),
                ..report
            }),
            None if report.class() == report::DecisionsClass::Same => Ok(report),
            None => Err(GateStop::Refused(self.refusal(report))),
        }
    }

    /// The part of the journal on which these changes were found when this candidate was refused.
    fn refused_then(
        &self,
        reading: &dyn ReadStore,
        acknowledged: &Acknowledged,
    ) -> Result<Option<GateSpan>, GateStop> {
        let refused = reading.refused(self.participant.1).map_err(unread)?;
        let mut refused = refused
            .iter()
            .filter_map(|(_, _, text)| serde_json::from_str::<Refused>(text).ok())
            .filter(|one| one.digest.as_deref() == Some(self.candidate.digest()))
            .filter_map(|one| one.gate);
        let then = refused.find(|gate| gate.change_set == acknowledged.change_set);
        Ok(then.map(|gate| gate.span))
    }

    /// Makes the acknowledged changes again, and the later decisions. None if there are others.
    fn check_again(
        &self,
        reading: &dyn ReadStore,
        acknowledged: &Acknowledged,
        then: GateSpan,
        now: JournalSpan,
    ) -> Result<Option<GateReport>, GateStop> {
        let as_then = JournalSpan {
            after: then.after,
            up_to: then.up_to,
        };
        let found = self.found(reading, as_then)?;
        if found.report.change_set != acknowledged.change_set {
            return Ok(None);
        }
        let later = JournalSpan {
            after: then.up_to,
            up_to: now.up_to,
        };
        let later = self.found(reading, later)?.report;
        let known = ways(&found.report);
        let is_known = |way: &Way| known.contains(way) || known.contains(&way.any());
        if !ways(&later).iter().all(is_known) {
            return Ok(None);
        }
        let counts = LaterDecisions {
            replayed: later.replayed,
            changed: later.changed,
            faults: later.faults,
        };
        Ok(Some(GateReport {
            later: (now.up_to > then.up_to).then_some(counts),
            acknowledged_by: Some(acknowledged.by.clone()),
            ..GateReport::of(&found.report, found.span)
        }))
    }

    fn found(&self, reading: &dyn ReadStore, span: JournalSpan) -> Result<Found, GateStop> {
        let asked = SpanReplay {
            participant: self.participant,
            candidate: self.candidate,
            data: self.data,
            limits: self.limits,
            span,
            is_over: self.is_over,
        };
        let report = replay::replay_span(reading, asked).map_err(|error| match error {
            NotReplayed::Over => GateStop::Over,
            error => GateStop::Failed(error.to_string()),
        })?;
        let span = GateSpan {
            after: span.after,
            up_to: span.up_to,
        };
        Ok(Found { report, span })
    }

    fn refusal(&self, report: GateReport) -> Refused {
        let digest = Some(self.candidate.digest().to_owned());
        let mut reasons = vec![report.in_words()];
        if report.class() == report::DecisionsClass::NotReplayed {
            reasons.push("none could be made again, so nothing is known of its decisions".into());
        }
        if let Some(acknowledged) = self.acknowledged {
            reasons.push(format!(
                "the change set is {}, not the acknowledged one, {}",
                report.change_set, acknowledged.change_set
            ));
        } else {
            reasons.push(format!("the change set is {}", report.change_set));
        }
        let ways = report.changes.iter();
        reasons.extend(ways.map(|one| format!("{}: {}", one.what, one.count)));
        let accepts = format!("{ACKNOWLEDGE}={}", report.change_set);
        Refused {
            allowed_by: vec![accepts],
            gate: Some(Box::new(report)),
            ..Refused::new(Check::Replay, reasons, digest)
        }
    }
}

/// A way in which decisions change: the place, and the transition where it has one of its own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Way {
    place: (String, String),
    transition: Option<(Option<String>, Option<String>)>,
}

impl Way {
    /// All changes at its place.
    fn any(&self) -> Self {
        Self {
            transition: None,
            ..self.clone()
        }
    }
}

/// The ways in which decisions change, and fail.
fn ways(report: &ReplayReport) -> BTreeSet<Way> {
    let changes = report.changes.iter().map(|group| Way {
        place: (group.what.clone(), group.pointer.clone()),
        transition: (group.from.is_some() || group.to.is_some())
            .then(|| (group.from.clone(), group.to.clone())),
    });
    let faults = report.fault_groups.iter().map(|group| Way {
        place: ("fault".into(), group.kind.clone()),
        transition: None,
    });
    changes.chain(faults).collect()
}

fn unread(fault: StoreFault) -> GateStop {
    GateStop::Failed(format!("the store can't be read: {fault}"))
}

/// The class of a candidate's contract. `breaks` tells if it drops or breaks anything.
pub(super) fn contract(
    active: &Description,
    candidate: &Description,
    breaks: bool,
) -> ContractClass {
    let mut as_active = candidate.clone();
    as_active.version.clone_from(&active.version);
    match breaks {
        true => ContractClass::Broken,
        false if as_active == *active => ContractClass::Same,
        false => ContractClass::Compatible,
    }
}
