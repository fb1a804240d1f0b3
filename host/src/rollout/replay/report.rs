//! The result of a replay, as values: what `--json` prints. Times are milliseconds since the Unix
//! epoch.

use serde::Serialize;

use crate::base::generation::RuleSettings;
use crate::rollout::report::DifferingPart;

/// How decisions are made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReplayMode {
    /// By a candidate, each on the state that it was made on.
    Recorded,
    /// By a candidate, each on the state that the candidate's own decisions led to.
    Counterfactual,
    /// By the rules that made them.
    OwnRules,
}

/// The result of a replay.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReplayReport {
    /// The participant.
    pub participant: String,
    /// How decisions were made again.
    pub mode: ReplayMode,
    /// The candidate; None if each decision was made by its own rules.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rules: Option<RulesUnderReplay>,
    /// What was asked for, and found.
    pub range: ReplayedRange,
    /// Decisions that were made again: unchanged, changed, or a fault.
    pub replayed: u64,
    /// Those that are the same.
    pub unchanged: u64,
    /// Those that are others.
    pub changed: u64,
    /// Those of the changed ones and of the faults that were made on another state than the recorded
    /// one.
    pub on_other_states: u64,
    /// Those on which the rules failed.
    pub faults: u64,
    /// Recorded decisions that were not made again, by reason.
    pub no_baseline: Vec<NoBaseline>,
    /// Changes, by what changed. A decision may be in several.
    pub changes: Vec<ChangeGroup>,
    /// Faults, by kind.
    pub fault_groups: Vec<FaultGroup>,
    /// Counts of each message.
    pub messages: Vec<MessageCounts>,
    /// Fuel of the decisions for which both are known.
    pub fuel: FuelCounts,
    /// If the fuel of unchanged decisions is the recorded one; only for decisions by their own rules.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub own_fuel: Option<OwnFuel>,
    /// Identifies the changes and faults: the same for the same ones, whatever their order.
    pub change_set: String,
    /// Duration in milliseconds.
    pub elapsed_ms: u64,
}

impl ReplayReport {
    /// True if no decision changed, none is a fault, none took other fuel where it must be the same, and those that could not be made again are
    /// not all of them. Rules that decided must still be there, all of them.
    #[must_use]
    pub fn is_unchanged(&self) -> bool {
        let is_enough = self.replayed > 0 && self.mode != ReplayMode::OwnRules;
        !self.has_changes() && !self.has_other_fuel() && (is_enough || self.no_baseline.is_empty())
    }

    /// True if a decision changed, or is a fault.
    #[must_use]
    pub fn has_changes(&self) -> bool {
        self.changed > 0 || self.faults > 0
    }

    /// True if a decision took other fuel, although it must be the same.
    #[must_use]
    pub fn has_other_fuel(&self) -> bool {
        self.own_fuel.as_ref().is_some_and(|fuel| fuel.others > 0)
    }

    /// True if the rules that decided are shown not to be a function of their input.
    #[must_use]
    pub fn is_impure(&self) -> bool {
        self.mode == ReplayMode::OwnRules && (self.has_changes() || self.has_other_fuel())
    }

    /// Number of the recorded decisions that were not made again.
    #[must_use]
    pub fn not_replayed(&self) -> u64 {
        self.no_baseline.iter().map(|one| one.count).sum()
    }
}

/// A candidate.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RulesUnderReplay {
    /// Its digest, of component and settings.
    pub digest: String,
    /// The version that it declares.
    pub version: String,
    /// Version of its states.
    pub state_version: u32,
    /// The settings of its rules.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settings: Option<RuleSettings>,
}

/// The decisions that were asked for, and the times of those that were found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ReplayedRange {
    /// Only decisions from this time on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    /// Only the last ones, this many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<u64>,
    /// Only those on this aggregate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Time of the earliest one that was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<u64>,
    /// Time of the latest one that was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
}

/// Recorded decisions that were not made again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NoBaseline {
    /// Why.
    pub reason: String,
    /// Their number.
    pub count: u64,
    /// Key of the first one.
    pub key: String,
    /// What was said of the first one.
    pub detail: String,
}

/// Decisions that changed in one way.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ChangeGroup {
    /// What changed: the state, an event, a timer, the reply, or the answer as a whole.
    pub what: String,
    /// JSON pointer into it; `*` stands for any item of a list.
    pub pointer: String,
    /// The recorded value; None if the decisions of the group have many different ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The value now; None if the decisions of the group have many different ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Number of decisions.
    pub count: u64,
    /// The first of them.
    pub examples: Vec<Example>,
}

impl ChangeGroup {
    /// `state /state: "APPROVED" -> "REJECTED"`.
    #[must_use]
    pub fn in_words(&self) -> String {
        let place = match self.pointer.as_str() {
            "" => self.what.clone(),
            pointer => format!("{} {pointer}", self.what),
        };
        match (&self.from, &self.to) {
            (Some(from), Some(to)) => format!("{place}: {from} -> {to}"),
            _ => format!("{place}: many values"),
        }
    }
}

/// Decisions on which the rules failed in one way.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FaultGroup {
    /// Kind of fault.
    pub kind: String,
    /// Number of decisions.
    pub count: u64,
    /// The first of them.
    pub examples: Vec<Example>,
}

/// A decision that changed. Long texts are cut.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Example {
    /// Its number in the journal.
    pub seq: i64,
    /// Key of the aggregate.
    pub key: String,
    /// Revision of the aggregate before it.
    pub revision: u64,
    /// Time of the decision.
    pub time: u64,
    /// Origin of the message: command, event or timer.
    pub origin: String,
    /// Command name, event type or timer name.
    pub name: String,
    /// Id of the message.
    pub message: String,
    /// Body of the message.
    pub body: String,
    /// The recorded state before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// The state before it in a counterfactual run, if it is not the recorded one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub own_state: Option<String>,
    /// The recorded decision: JSON.
    pub decided: String,
    /// The decision now: JSON, or the reason why there is none.
    pub would_decide: String,
    /// The places that differ.
    pub parts: Vec<DifferingPart>,
}

/// Counts of one message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MessageCounts {
    /// Origin of the message: command, event or timer.
    pub origin: String,
    /// Command name, event type or timer name.
    pub name: String,
    /// Decisions that were made again.
    pub replayed: u64,
    /// Those that changed.
    pub changed: u64,
    /// Those on which the rules failed.
    pub faults: u64,
    /// Fuel of the decisions for which both are known.
    pub fuel: FuelCounts,
}

/// Fuel of decisions that were made again by the rules that made them, with the same outcome. It must
/// be the recorded one where engine and configuration are the same.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct OwnFuel {
    /// Decisions that took the same.
    pub same: u64,
    /// Decisions that took other fuel, although it must be the same.
    pub others: u64,
    /// The first of these.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<OtherFuel>,
    /// Decisions whose fuel may be other, by reason.
    pub not_judged: Vec<NotJudged>,
}

/// A decision that took other fuel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OtherFuel {
    /// Key of the aggregate.
    pub key: String,
    /// Revision of the aggregate before it.
    pub revision: u64,
    /// Fuel as it was recorded.
    pub recorded: u64,
    /// Fuel now.
    pub now: u64,
}

/// Decisions whose fuel is not judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NotJudged {
    /// Why.
    pub reason: String,
    /// Their number.
    pub count: u64,
}

/// Fuel of decisions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct FuelCounts {
    /// Number of the decisions.
    pub decisions: u64,
    /// Those that took the same.
    pub same: u64,
    /// Fuel as it was recorded.
    pub recorded: u64,
    /// Fuel now.
    pub now: u64,
}

impl FuelCounts {
    /// The fuel now as a multiple of the recorded one.
    #[must_use]
    pub fn ratio(self) -> Option<f64> {
        (self.recorded > 0).then(|| self.now as f64 / self.recorded as f64)
    }

    /// Adds one decision.
    pub(super) fn add(&mut self, recorded: u64, now: u64) {
        self.decisions += 1;
        self.same += u64::from(recorded == now);
        self.recorded = self.recorded.saturating_add(recorded);
        self.now = self.now.saturating_add(now);
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.decisions += other.decisions;
        self.same += other.same;
        self.recorded = self.recorded.saturating_add(other.recorded);
        self.now = self.now.saturating_add(other.now);
    }
}
