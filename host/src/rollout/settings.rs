//! Settings of the participants and of the swaps of their rules.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use saga_core::journal::Kept;
use saga_core::limits::TurnLimits;
use saga_core::retry::RetryPolicy;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rule_settings::RuleSettings;
use crate::apidocs::security::Security;
use crate::base::certificate::CertificateFiles;
use crate::plugin::{CompileLimits, GuestLimits};
use crate::store::StoreLocation;

/// All settings of this module.
#[derive(Debug, Clone)]
pub struct RolloutSettings {
    /// Directory with the compiled code and the copies of components, and the store if it is a file.
    pub data_dir: PathBuf,
    /// The store.
    pub store: StoreLocation,
    /// Instances of each participant.
    pub instances: usize,
    /// Most items on one page of a list.
    pub page_items: usize,
    /// Who may send which request.
    pub security: Security,
    /// Settings of swaps.
    pub reload: ReloadSettings,
    /// What a change of rules must show first, and what is shown of rules that decide.
    pub gate: GateSettings,
    /// Hours after which published events, identities and recorded decisions may be deleted.
    pub retention_hours: u64,
    /// Limits of a turn.
    pub turn: TurnLimits,
    /// Limits of a component's instance.
    pub guest: GuestLimits,
    /// Limits of compiling.
    pub compile: CompileLimits,
    /// True if records travel over Kafka, false for the embedded log.
    pub has_kafka: bool,
    /// The participants, by name.
    pub participants: BTreeMap<String, ParticipantSettings>,
}

impl RolloutSettings {
    /// The same for a host with this store. One in a directory has the copies of components there.
    #[must_use]
    pub fn on(self, store: StoreLocation) -> Self {
        let data_dir = store.directory().map(ToOwned::to_owned);
        Self {
            data_dir: data_dir.unwrap_or(self.data_dir),
            store,
            ..self
        }
    }
}

/// Settings of swaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReloadSettings {
    /// Interval in milliseconds at which the components' files are checked for changes; 0 to not watch them.
    #[schemars(range(min = 0, max = 60_000))]
    pub watch_ms: u64,
    /// Most recorded inputs, stored states, set timers and waiting events (of each) that a component is tried on before it
    /// becomes active. 0 tries nothing.
    #[schemars(range(min = 0, max = 10_000))]
    pub probe_inputs: usize,
    /// Earlier generations of each participant whose components are kept for a rollback.
    #[schemars(range(min = 1, max = 1_000))]
    pub keep: usize,
    /// True to activate the components at the configured paths at the start, even if another generation was active before.
    pub apply_at_start: bool,
}

impl Default for ReloadSettings {
    fn default() -> Self {
        Self {
            watch_ms: 500,
            probe_inputs: 64,
            keep: 10,
            apply_at_start: false,
        }
    }
}

/// What a candidate must pass besides its checks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Gate {
    /// Nothing.
    #[default]
    None,
    /// It decides recorded decisions as they were decided, or an operator acknowledges the changes.
    Replay,
}

/// What a change of rules must show first, and what is shown of rules that decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GateSettings {
    /// `replay` to refuse rules that change recorded decisions, unless an operator acknowledges the
    /// changes; a rollback passes. `none` to not replay.
    pub gate: Gate,
    /// Most recorded decisions of a participant that the gate replays: the latest ones.
    #[schemars(range(min = 1, max = i64::MAX))]
    pub gate_decisions: u64,
    /// Hours back for which the gate replays recorded decisions. If these are fewer than the store keeps
    /// them, changes can be acknowledged for the rest of that time.
    #[schemars(range(min = 1, max = 876_000))]
    pub gate_hours: u64,
    /// Audit one of this many decisions: it is made again on a fresh instance, after its commit and
    /// beside the turns. Another outcome is an alarm: the rules keep something. 0 for no audit.
    #[schemars(range(min = 0, max = 1_000_000_000))]
    pub audit_one_in: u64,
}

impl Default for GateSettings {
    fn default() -> Self {
        Self {
            gate: Gate::None,
            gate_decisions: 100_000,
            gate_hours: 120,
            audit_one_in: 0,
        }
    }
}

/// Settings of one participant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ParticipantSettings {
    /// Path of the component.
    pub component: PathBuf,
    /// Address to listen on. Default: 127.0.0.1 and the port in the component's description.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<SocketAddr>,
    /// Prefix of all paths. Default: the one in the component's description.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_path: Option<String>,
    /// Certificate of its listener, instead of the one for all listeners.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<CertificateFiles>,
    /// Names of topics on the broker, by their names in the component; for those that differ.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub topics: BTreeMap<String, String>,
    /// Names of consumer groups on the broker, by their names in the component; for those that differ.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub groups: BTreeMap<String, String>,
    /// Retries of its messages, instead of `[retry]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<RetryPolicy>,
    /// Make each call of its rules on a fresh instance, so that nothing that they keep can reach
    /// another message. A decision then takes some 50 microseconds longer.
    pub fresh_instances: bool,
    /// `no-payloads` to record of its decisions only names, ids and sizes, without the texts of
    /// messages, states, events, timers and replies. Such decisions can't be replayed. `full` to
    /// record everything.
    pub journal: Kept,
    /// Settings of its rules: the component's description names them, with their defaults. They are
    /// used at the first start, and with `saga run --apply`; `saga apply --set` changes them
    /// while the host runs.
    #[serde(skip_serializing_if = "RuleSettings::is_empty")]
    pub rules: RuleSettings,
}

impl ParticipantSettings {
    /// Retries of its messages: its own policy, or else the one of all participants.
    #[must_use]
    pub fn retry(&self, of_all: RetryPolicy) -> RetryPolicy {
        self.retry.unwrap_or(of_all)
    }
}
