//! Reports of generations and swaps, in the words of the admin interface and of `--json`.
//!
//! Plain values, serialized by the admin interface and parsed by the command line. Times are
//! milliseconds since the Unix epoch; digests are SHA-256 in hexadecimal.

use super::audit::AuditOverview;
use super::gate::report::{ChangeClass, GateReport, GenerationChange};
use super::rule_settings::RuleSettings;
use saga_contract::reason::shorten;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The way by which a generation became active.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// Start of the host.
    Start,
    /// Replacement of its file while the host ran.
    File,
    /// SIGHUP after its file had been replaced.
    Signal,
    /// Upload to the admin interface.
    Apply,
    /// Rollback.
    Rollback,
}

impl Way {
    /// The word for it in the store.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::File => "file",
            Self::Signal => "signal",
            Self::Apply => "apply",
            Self::Rollback => "rollback",
        }
    }

    /// The way for a word of the store.
    #[must_use]
    pub fn from_word(word: &str) -> Self {
        [Self::File, Self::Signal, Self::Apply, Self::Rollback]
            .into_iter()
            .find(|way| way.word() == word)
            .unwrap_or(Self::Start)
    }
}

/// The check that a component did not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// It can't be read, or is not a component that compiles.
    Component,
    /// It is of another world: an export is missing or differs, or an import is not granted.
    World,
    /// It faulted in `describe`, or its description is invalid.
    Description,
    /// It contradicts the settings: renamed topics, an address, another participant's group.
    Settings,
    /// It is another participant, drops something that is in use, or can't read stored states.
    Compatibility,
    /// It fails on recorded, stored or waiting inputs on which the active generation succeeds.
    Probe,
    /// It changes recorded decisions, and nobody has acknowledged that.
    Replay,
}

impl Check {
    /// The word for it in reports.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Component => "component",
            Self::World => "world",
            Self::Description => "description",
            Self::Settings => "settings",
            Self::Compatibility => "compatibility",
            Self::Probe => "probe",
            Self::Replay => "replay",
        }
    }
}

/// Report of a probe.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProbeReport {
    /// Recorded inputs offered.
    pub inputs: usize,
    /// Recorded inputs decided differently; JSON is compared by value, in the shape of the
    /// candidate's states.
    pub decided_otherwise: usize,
    /// The latest differences, as many as fit into a mebibyte.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<Difference>,
    /// Stored states offered.
    pub states: usize,
    /// Stored states that neither the candidate nor the active generation can read.
    pub states_not_read: usize,
    /// Quarantined aggregates offered.
    pub quarantined: usize,
    /// Quarantined aggregates that it can read.
    pub quarantined_read: usize,
    /// Set timers offered.
    pub timers: usize,
    /// Waiting events offered.
    pub events: usize,
    /// Inputs left out for lack of time.
    pub left_out: usize,
    /// Notes for the operator; they become notes of the whole report.
    #[serde(skip)]
    pub notes: Vec<String>,
}

/// A recorded message that a candidate decides differently.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// Id of the message.
    pub message: String,
    /// Command name, event type or timer name.
    pub name: String,
    /// Key of the aggregate.
    pub key: String,
    /// The differing parts of the decisions.
    pub parts: Vec<DifferingPart>,
    /// The recorded decision: JSON.
    pub decided: String,
    /// The candidate's decision; or the reason why there is none.
    pub would_decide: String,
}

/// A difference between two decisions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DifferingPart {
    /// The differing part: the state, an event, a timer, the reply; or the answer as a whole.
    pub what: String,
    /// JSON pointer into that part.
    pub pointer: String,
    /// The recorded value, in the shape of the candidate's states; `None` if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided: Option<Value>,
    /// The candidate's value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub would_decide: Option<Value>,
}

/// A component that passed all checks offline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// The participant that it describes.
    pub participant: String,
    /// Its digest.
    pub digest: String,
    /// The version that it declares.
    pub version: String,
    /// Version of the state's shape.
    pub state_version: u32,
    /// The other participants that it agrees with, each with its version.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub compared_with: Vec<String>,
    /// Report of the probe; `None` without a store to take inputs from.
    pub probe: Option<ProbeReport>,
    /// Notes for the operator that are no reason to refuse it.
    pub notes: Vec<String>,
}

/// Result of a swap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwapResult {
    /// The participant.
    pub participant: String,
    /// Digest of the active generation.
    pub digest: String,
    /// The settings that the operator gave to its rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<RuleSettings>,
    /// The version that it declares.
    pub version: String,
    /// Digest of the generation that was active before.
    pub previous: String,
    /// The settings that its rules had; empty if nothing was compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_settings: Option<RuleSettings>,
    /// False if it was the active generation already, or in a dry run.
    pub changed: bool,
    /// True for a dry run; `digest` and `version` are then of the would-be generation.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// Report of the probe.
    pub probe: ProbeReport,
    /// The class of the change; None if nothing changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<ChangeClass>,
    /// What the gate found; None if there is no gate, or it was passed without a replay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<GateReport>,
    /// Notes for the operator that are no reason to refuse it.
    pub notes: Vec<String>,
    /// Duration of the checks, compilation included, in microseconds.
    pub checked_us: u64,
    /// Time from the decision to swap until all turns run on the new generation, in microseconds.
    pub swapped_us: u64,
}

/// The refusal of a component. The active generation stays active.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The check that failed.
    pub check: Check,
    /// All reasons.
    pub reasons: Vec<String>,
    /// Its digest, if it could be read.
    pub digest: Option<String>,
    /// The digest of its bytes, without settings; in the record of refusals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<String>,
    /// The flags that would override the refusal; empty if none would.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_by: Vec<String>,
    /// What the gate found, if it refuses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<Box<GateReport>>,
}

/// Most reasons in a report.
const REASONS: usize = 16;

impl Refused {
    /// The refusal of a component on which the compiler or a check panicked.
    #[must_use]
    pub fn broke_the_compiler(origin: &str, digest: String) -> Self {
        let reason = format!("component {origin}: broke the compiler or a check");
        Self::new(Check::Component, vec![reason], Some(digest))
    }

    /// A refusal with bounded texts: they may quote the component's description.
    #[must_use]
    pub fn new(check: Check, reasons: Vec<String>, digest: Option<String>) -> Self {
        let more = reasons.len().saturating_sub(REASONS);
        let mut reasons: Vec<String> = reasons.into_iter().take(REASONS).map(shorten).collect();
        if more > 0 {
            reasons.push(format!("and {more} more"));
        }
        Self {
            check,
            reasons,
            digest,
            component: None,
            allowed_by: Vec::new(),
            gate: None,
        }
    }
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.reasons.join("; "))
    }
}

/// The reason why a swap did not take place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotApplied {
    /// Unknown participant; the second text lists the known ones.
    #[error("there is no participant `{0}`; there are: {1}")]
    UnknownParticipant(String, String),
    /// Unknown generation.
    #[error("{0}")]
    UnknownGeneration(String),
    /// The component was refused.
    #[error("{0}")]
    Refused(Refused),
    /// Too many swaps wait already, or the host is stopping.
    #[error("{0}")]
    Busy(String),
    /// The host failed: the store, the disk.
    #[error("{0}")]
    Failed(String),
}

/// The overview of all participants.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overview {
    /// Sorted by name.
    pub participants: Vec<ParticipantOverview>,
}

/// One participant: its active and former generations, and refused components.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParticipantOverview {
    /// Name.
    pub name: String,
    /// Digest of the active generation.
    pub active: String,
    /// The file that it was configured with.
    pub file: Option<ComponentFile>,
    /// All generations, the latest first.
    pub generations: Vec<GenerationOverview>,
    /// Recently refused components, the latest first.
    pub refused: Vec<RefusedOverview>,
    /// Aggregates whose states can't be read.
    pub quarantine: QuarantineOverview,
    /// Messages and timers that wait in the store until they can be decided.
    #[serde(default)]
    pub parked: ParkedOverview,
    /// Records that could not be decided.
    #[serde(default)]
    pub dead_letters: DeadLetterOverview,
    /// What the audit of its decisions found; None without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<AuditOverview>,
    /// Age of this overview in seconds, if the store does not answer now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale_seconds: Option<u64>,
}

/// Records that could not be decided.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetterOverview {
    /// Dead letters that were neither decided nor discarded, counted up to 10,000.
    pub open: u64,
    /// Aggregates whose later messages wait behind one of them.
    pub blocked_aggregates: u64,
}

/// Messages and timers that wait in the store until they can be decided.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParkedOverview {
    /// Messages of quarantined aggregates, and messages that wait for another attempt.
    pub messages: u64,
    /// Bytes of these messages.
    pub bytes: u64,
    /// Timers that are due and could not be decided.
    pub timers: u64,
    /// The timers that are parked longest.
    pub first_timers: Vec<ParkedTimerOverview>,
}

/// A timer that could not be decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParkedTimerOverview {
    /// Key of its aggregate.
    pub key: String,
    /// Its name.
    pub name: String,
    /// Since when it is parked.
    pub since: u64,
    /// The reason as a stable word.
    pub reason: String,
    /// The error.
    pub detail: String,
}

/// Aggregates whose states can't be read. Their messages are parked; an aggregate leaves quarantine
/// as soon as a generation can read it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuarantineOverview {
    /// Their number.
    pub count: u64,
    /// Those that are quarantined longest.
    pub first: Vec<QuarantinedOverview>,
}

/// An aggregate whose state can't be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuarantinedOverview {
    /// Its key.
    pub key: String,
    /// The reason.
    pub reason: String,
    /// Since when.
    pub since: u64,
}

/// The file that a participant is configured with, compared with the active generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentFile {
    /// Its path.
    pub path: String,
    /// Its digest; `None` if it can't be read.
    pub digest: Option<String>,
    /// True if it is the component of the active generation.
    pub is_active: bool,
}

/// One generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GenerationOverview {
    /// Its digest.
    pub digest: String,
    /// Digest of its component.
    pub component: String,
    /// The settings that the operator gave to the rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<RuleSettings>,
    /// The version that it declares.
    pub version: String,
    /// Version of the state's shape.
    pub state_version: u32,
    /// True for the active generation.
    pub is_active: bool,
    /// Time of its latest activation.
    pub since: u64,
    /// The way of its latest activation.
    pub way: Way,
    /// The change that its latest activation was; None if that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<GenerationChange>,
    /// Number of activations.
    pub activations: u64,
    /// Messages that it decided, refusals included.
    pub decisions: u64,
    /// Commands that it refused.
    pub refusals: u64,
    /// Messages on which it faulted.
    pub faults: u64,
    /// True if the host has a copy, so that a rollback to it is possible.
    pub is_kept: bool,
}

/// A component that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedOverview {
    /// Time of the refusal.
    pub time: u64,
    /// The way that it came.
    pub way: Way,
    /// The reasons, and its digest.
    #[serde(flatten)]
    pub refused: Refused,
}
