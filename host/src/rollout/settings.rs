//! The settings on which the choice and the swap of rules depend.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use saga_core::limits::TurnLimits;
use saga_core::retry::RetryPolicy;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::http::tls::CertificateFiles;
use crate::plugin::{CompileLimits, GuestLimits};

/// Everything that is set of it.
#[derive(Debug, Clone)]
pub struct RolloutSettings {
    /// Directory with the store, the compiled code and the copies of components.
    pub data_dir: PathBuf,
    /// Instances of each participant.
    pub instances: usize,
    /// Items on one page of a list at most.
    pub page_items: usize,
    /// How rules are swapped.
    pub reload: ReloadSettings,
    /// Hours after which published events, identities and recorded decisions may be deleted.
    pub retention_hours: u64,
    /// Bounds of a turn.
    pub turn: TurnLimits,
    /// Bounds of a guest.
    pub guest: GuestLimits,
    /// Bounds of compiling.
    pub compile: CompileLimits,
    /// Whether records travel over Kafka; otherwise over the embedded log.
    pub has_kafka: bool,
    /// The participants, by name.
    pub participants: BTreeMap<String, ParticipantSettings>,
}

/// How rules are swapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReloadSettings {
    /// Milliseconds between two looks at the components' files; 0 where they are not watched.
    #[schemars(range(min = 0, max = 60_000))]
    pub watch_ms: u64,
    /// What a component is tried on before it is taken: of recorded inputs, stored states, set timers and waiting events at most
    /// so many each. 0 tries nothing.
    #[schemars(range(min = 0, max = 10_000))]
    pub probe_inputs: usize,
    /// Earlier generations of each participant whose components are kept, to go back to.
    #[schemars(range(min = 1, max = 1_000))]
    pub keep: usize,
    /// Whether the components at the configured paths are taken at the start even where another generation was
    /// active before.
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

/// One participant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ParticipantSettings {
    /// The component.
    pub component: PathBuf,
    /// Where it listens; none for 127.0.0.1 and the port that the component names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<SocketAddr>,
    /// Path prefix; none for the one that the component names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_path: Option<String>,
    /// The certificate that it shows, instead of that of all listeners.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<CertificateFiles>,
    /// Topics that are called otherwise on the broker, by their name in the component.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub topics: BTreeMap<String, String>,
    /// Consumer groups that are called otherwise, by their name in the component.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub groups: BTreeMap<String, String>,
    /// Further attempts at its messages, where they are not those of `[retry]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<RetryPolicy>,
}

impl ParticipantSettings {
    /// Further attempts at its messages.
    #[must_use]
    pub fn retry(&self, of_all: RetryPolicy) -> RetryPolicy {
        self.retry.unwrap_or(of_all)
    }
}
