//! The gate's findings on a candidate, as values: in the answer, and with the generation.

use serde::{Deserialize, Serialize};

use crate::rollout::replay::report::ReplayReport;

/// Most ways of change in a report.
const WAYS: usize = 12;

/// What becomes of recorded decisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DecisionsClass {
    /// All that were made again are the same.
    Same,
    /// Some are others, or fail.
    Other,
    /// They were not replayed.
    NotReplayed,
}

/// What becomes of the contract: commands, events, timers, states and their schemas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ContractClass {
    /// It is the same.
    Same,
    /// It is another one, which drops and breaks nothing.
    Compatible,
    /// It drops something, or breaks a message or state, whether that is in use or not.
    Broken,
}

/// The class of a change of rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeClass {
    /// What becomes of recorded decisions.
    pub decisions: DecisionsClass,
    /// What becomes of the contract.
    pub contract: ContractClass,
}

impl std::fmt::Display for ChangeClass {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.decisions {
            DecisionsClass::Same => "same decisions",
            DecisionsClass::Other => "other decisions",
            DecisionsClass::NotReplayed => "decisions not replayed",
        })?;
        f.write_str(match self.contract {
            ContractClass::Same => ", same contract",
            ContractClass::Compatible => ", contract compatible",
            ContractClass::Broken => ", contract broken",
        })
    }
}

/// The change that a generation was, as it is recorded with its activation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GenerationChange {
    /// Its class.
    pub class: ChangeClass,
    /// What the gate found; None if there is no gate, or it was passed without a replay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<GateReport>,
}

impl GenerationChange {
    pub(in crate::rollout) fn of(contract: ContractClass, gate: Option<GateReport>) -> Self {
        let decisions = gate.as_ref().map(GateReport::class);
        Self {
            class: ChangeClass {
                decisions: decisions.unwrap_or(DecisionsClass::NotReplayed),
                contract,
            },
            gate,
        }
    }

    /// As the store keeps it; None if it has no such form.
    pub(in crate::rollout) fn to_text(&self) -> Option<String> {
        serde_json::to_string(self).ok()
    }
}

/// What a replay of recorded decisions found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateReport {
    /// Decisions that were made again.
    pub replayed: u64,
    /// Those of them that are others.
    pub changed: u64,
    /// Those of them on which the candidate fails.
    pub faults: u64,
    /// Recorded decisions that could not be made again, by reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub no_baseline: Vec<Count>,
    /// The ways in which they change, with the number of decisions. A decision may change in several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Count>,
    /// Identifies the changes and faults.
    pub change_set: String,
    /// Time of the earliest decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<u64>,
    /// Time of the latest decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
    /// The part of the journal that was replayed.
    pub span: GateSpan,
    /// Decisions that were recorded after those that were acknowledged. They change in the same ways.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub later: Option<LaterDecisions>,
    /// The operator who acknowledged the changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged_by: Option<String>,
}

/// A part of the journal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateSpan {
    /// Number of the last decision before it.
    pub after: i64,
    /// Number of its last decision.
    pub up_to: i64,
}

/// A number of decisions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// What they have in common.
    pub what: String,
    /// Their number.
    pub count: u64,
}

/// Decisions that were recorded after those that were acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaterDecisions {
    /// Those that were made again.
    pub replayed: u64,
    /// Those of them that are others.
    pub changed: u64,
    /// Those of them on which the candidate fails.
    pub faults: u64,
}

impl GateReport {
    pub(super) fn of(report: &ReplayReport, span: GateSpan) -> Self {
        let changes = report.changes.iter().map(|group| Count {
            what: group.in_words(),
            count: group.count,
        });
        let faults = report.fault_groups.iter().map(|group| Count {
            what: format!("fault {}", group.kind),
            count: group.count,
        });
        let mut changes: Vec<_> = faults.chain(changes).collect();
        let more = changes.len().saturating_sub(WAYS);
        if more > 0 {
            let rest = changes.drain(WAYS..).map(|one| one.count).sum();
            changes.push(Count {
                what: format!("{more} other ways"),
                count: rest,
            });
        }
        let no_baseline = report.no_baseline.iter().take(WAYS).map(|one| Count {
            what: one.reason.clone(),
            count: one.count,
        });
        Self {
            replayed: report.replayed,
            changed: report.changed,
            faults: report.faults,
            no_baseline: no_baseline.collect(),
            changes,
            change_set: report.change_set.clone(),
            first: report.range.first,
            until: report.range.until,
            span,
            later: None,
            acknowledged_by: None,
        }
    }

    /// What becomes of recorded decisions.
    #[must_use]
    pub fn class(&self) -> DecisionsClass {
        let later = self.later.is_some_and(|one| one.changed + one.faults > 0);
        if self.changed + self.faults > 0 || later {
            DecisionsClass::Other
        } else if self.replayed == 0 && self.not_replayed() > 0 {
            DecisionsClass::NotReplayed
        } else {
            DecisionsClass::Same
        }
    }

    /// Number of the recorded decisions that could not be made again.
    #[must_use]
    pub fn not_replayed(&self) -> u64 {
        self.no_baseline.iter().map(|one| one.count).sum()
    }

    /// `4000 recorded decisions were replayed: 37 change, 0 fail; 12 have no baseline`.
    #[must_use]
    pub fn in_words(&self) -> String {
        let mut words = format!(
            "{} recorded decisions were replayed: {} change, {} fail; {} have no baseline",
            self.replayed,
            self.changed,
            self.faults,
            self.not_replayed()
        );
        if let Some(one) = self.no_baseline.first() {
            words.push_str(&format!(" ({}: {})", one.what, one.count));
        }
        words
    }
}
