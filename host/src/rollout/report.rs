//! What is told of generations and of swaps: the words of the admin interface and of `--json`.
//!
//! Plain values, which serialize to what the admin interface answers and what the command line reads
//! back. Times are milliseconds since the Unix epoch; digests are SHA-256 in hexadecimal.

use saga_contract::reason::shorten;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// By which way a generation became the active one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// The host started with it.
    Start,
    /// Its file was replaced while the host ran.
    File,
    /// The host was sent SIGHUP after its file had been replaced.
    Signal,
    /// It was handed to the admin interface.
    Apply,
    /// It was gone back to.
    Rollback,
}

impl Way {
    /// How the store calls it.
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

    /// What the store calls so.
    #[must_use]
    pub fn from_word(word: &str) -> Self {
        [Self::File, Self::Signal, Self::Apply, Self::Rollback]
            .into_iter()
            .find(|way| way.word() == word)
            .unwrap_or(Self::Start)
    }
}

/// Which check a component did not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// It could not be read, or is not a component that compiles.
    Component,
    /// It is of another world: an export is missing or differs, or an import is not granted.
    World,
    /// It broke in `describe`, or what it says of itself makes no sense.
    Description,
    /// It does not fit the settings: topics that are renamed, an address, another participant's group.
    Settings,
    /// It is another participant, lacks something that is in use, or can't read what is stored.
    Compatibility,
    /// It can't do what the active build can with what is recorded, stored or in flight.
    Probe,
}

impl Check {
    /// How it is called in what is told of it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Component => "component",
            Self::World => "world",
            Self::Description => "description",
            Self::Settings => "settings",
            Self::Compatibility => "compatibility",
            Self::Probe => "probe",
        }
    }
}

/// What a candidate was tried on, and what it showed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Probe {
    /// Recorded inputs that were offered to it.
    pub inputs: usize,
    /// Those on which it decided otherwise than was recorded: in the shape of its states, and by the values of JSON.
    pub decided_otherwise: usize,
    /// The latest of them, as many as fit into a mebibyte.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<Difference>,
    /// Stored states that it was given to read.
    pub states: usize,
    /// Those that neither it nor the active build can read.
    pub states_not_read: usize,
    /// Quarantined aggregates that it was given to read.
    pub quarantined: usize,
    /// Those that it can read.
    pub quarantined_read: usize,
    /// Timers that are set, which were offered to it.
    pub timers: usize,
    /// Events that wait, which were offered to it.
    pub events: usize,
    /// Inputs for which there was no time.
    pub left_out: usize,
    /// What an operator should know; goes to the notes of what is told.
    #[serde(skip)]
    pub notes: Vec<String>,
}

/// A recorded message on which a candidate decides otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// Id of the message.
    pub message: String,
    /// Command name, event type or timer name.
    pub name: String,
    /// Key of the aggregate.
    pub key: String,
    /// Where the decisions differ.
    pub parts: Vec<Part>,
    /// What was decided, as recorded: JSON.
    pub decided: String,
    /// What the candidate decides; or why it does not decide.
    pub would_decide: String,
}

/// A place in which two decisions differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// What differs: the state, an event, a timer, the reply; or whether there is an answer at all.
    pub what: String,
    /// Where in it: a JSON pointer.
    pub pointer: String,
    /// What stands there in what was decided, in the shape of the candidate's states; none where nothing does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided: Option<Value>,
    /// What stands there in what the candidate decides.
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
    /// Version of the shape of its states.
    pub state_version: u32,
    /// What it was tried on; none where there was no store to take it from.
    pub probe: Option<Probe>,
    /// What an operator should know though it is no reason to refuse it.
    pub notes: Vec<String>,
}

/// A component that is active.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// The participant.
    pub participant: String,
    /// Digest of the active generation.
    pub digest: String,
    /// The version that it declares.
    pub version: String,
    /// Digest of the generation that was active before.
    pub previous: String,
    /// False where it was the active one already, or was checked only.
    pub changed: bool,
    /// Whether it was checked only; `digest` and `version` are of what would be active.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// What it was tried on.
    pub probe: Probe,
    /// What an operator should know though it is no reason to refuse it.
    pub notes: Vec<String>,
    /// Time that the checks took, compilation included, in microseconds.
    pub checked_us: u64,
    /// Time from the decision to swap until all turns run on it, in microseconds.
    pub swapped_us: u64,
}

/// Why a component was not taken. The generation that was active stays so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The check that it did not pass.
    pub check: Check,
    /// Everything that is wrong.
    pub reasons: Vec<String>,
    /// Its digest, where it could be read.
    pub digest: Option<String>,
    /// The flags with which it would be taken all the same; none where nothing would.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_by: Vec<String>,
}

/// Reasons that are told of one component at most.
const REASONS: usize = 16;

impl Refused {
    /// Why a component was not taken, in bounded words: they may quote what it says of itself.
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
            allowed_by: Vec::new(),
        }
    }
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.reasons.join("; "))
    }
}

/// Why a swap did not take place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotApplied {
    /// There is no such participant; these are there.
    #[error("there is no participant `{0}`; there are: {1}")]
    UnknownParticipant(String, String),
    /// There is no such generation to go back to.
    #[error("{0}")]
    UnknownGeneration(String),
    /// The component was refused.
    #[error("{0}")]
    Refused(Refused),
    /// Too many swaps wait already, or the host is stopping.
    #[error("{0}")]
    Busy(String),
    /// The host could not do it: the store, the disk.
    #[error("{0}")]
    Failed(String),
}

/// All participants.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overview {
    /// In the order of their names.
    pub participants: Vec<ParticipantOverview>,
}

/// One participant: what decides, what has decided, what was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParticipantOverview {
    /// Name.
    pub name: String,
    /// Digest of the active generation.
    pub active: String,
    /// The file that it was configured with.
    pub file: Option<ComponentFile>,
    /// Everything that has run, the latest first.
    pub generations: Vec<GenerationOverview>,
    /// The components that were refused lately, the latest first.
    pub refused: Vec<RefusedOverview>,
    /// The aggregates whose states can't be read.
    pub quarantine: Quarantine,
    /// What waits in the store until it can be decided.
    #[serde(default)]
    pub parked: ParkedOverview,
    /// Seconds since all this was looked up, where the store does not answer now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale_seconds: Option<u64>,
}

/// What waits in the store until it can be decided.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParkedOverview {
    /// Messages: of quarantined aggregates, and of those that wait for another attempt.
    pub messages: u64,
    /// Bytes of these messages.
    pub bytes: u64,
    /// Timers that are due and could not be decided.
    pub timers: u64,
    /// Those of them that are parked longest.
    pub first_timers: Vec<ParkedTimer>,
}

/// A timer that could not be decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParkedTimer {
    /// Key of its aggregate.
    pub key: String,
    /// Its name.
    pub name: String,
    /// Since when it is parked.
    pub since: u64,
    /// Why, as a stable word.
    pub reason: String,
    /// What was wrong.
    pub detail: String,
}

/// The aggregates whose states can't be read. Messages for them are parked; one goes from here as soon as a generation can read
/// it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantine {
    /// How many there are.
    pub count: u64,
    /// Those that are here longest.
    pub first: Vec<Quarantined>,
}

/// An aggregate whose state can't be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    /// Its key.
    pub key: String,
    /// Why.
    pub reason: String,
    /// Since when.
    pub since: u64,
}

/// The file that a participant is configured with, compared with what is active.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentFile {
    /// Its path.
    pub path: String,
    /// Its digest; none where it can't be read.
    pub digest: Option<String>,
    /// Whether it is the active generation.
    pub is_active: bool,
}

/// One generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GenerationOverview {
    /// Its digest.
    pub digest: String,
    /// The version that it declares.
    pub version: String,
    /// Version of the shape of its states.
    pub state_version: u32,
    /// Whether it is the active one.
    pub is_active: bool,
    /// When it last became active.
    pub since: u64,
    /// By which way.
    pub way: Way,
    /// How often it became active.
    pub activations: u64,
    /// Messages that it decided, refusals included.
    pub decisions: u64,
    /// Commands that it answered with a business no.
    pub refusals: u64,
    /// Messages on which it broke.
    pub faults: u64,
    /// Whether the host still has a copy, so that it can be gone back to.
    pub is_kept: bool,
}

/// A component that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedOverview {
    /// When.
    pub time: u64,
    /// By which way it came.
    pub way: Way,
    /// Why, and its digest.
    #[serde(flatten)]
    pub refused: Refused,
}
