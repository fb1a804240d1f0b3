//! The host's admin interface as an operator's program sees it: swap a component, go back, ask what ran.
//!
//! Owns: its paths, and reading its answers strictly.
//!
//! Must not know: how a host swaps, or what an answer ought to be in a given situation (`swaps`, `walk`).

use bytes::Bytes;
use serde::Deserialize;

use crate::contract::{CallError, result};
use crate::http::{Client, Endpoint};

/// What a swap was answered with.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Swapped {
    /// Digest of the build that decides now.
    pub(crate) digest: String,
    /// The version that it declares.
    pub(crate) version: String,
    /// Digest of the build that decided before.
    pub(crate) previous: String,
    /// False where it decided already.
    pub(crate) changed: bool,
    /// What recorded inputs showed before.
    pub(crate) probe: Probe,
    /// Time that the checks took, in microseconds.
    pub(crate) checked_us: u64,
    /// Time from the decision to swap until all turns ran on it, in microseconds.
    pub(crate) swapped_us: u64,
}

/// What a build made of recorded inputs before it was taken.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Probe {
    /// Recorded inputs that were offered to it.
    pub(crate) inputs: u64,
    /// Those on which it decided otherwise than was recorded.
    pub(crate) decided_otherwise: u64,
}

/// Everything that has run for one participant.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Generations {
    /// The builds.
    pub(crate) generations: Vec<Generation>,
}

/// One build that has run.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Generation {
    /// Its digest.
    pub(crate) digest: String,
    /// The version that it declares.
    pub(crate) version: String,
    /// How often it became the one that decides.
    pub(crate) activations: u64,
    /// Messages that it decided.
    pub(crate) decisions: u64,
    /// Messages on which it broke.
    pub(crate) faults: u64,
}

/// Path of `PUT …/component`.
pub(crate) fn component_path(endpoint: &Endpoint, participant: &str) -> String {
    endpoint.path(format_args!("/participants/{participant}/component"))
}

/// Path of `POST …/rollback`.
pub(crate) fn rollback_path(endpoint: &Endpoint, participant: &str) -> String {
    endpoint.path(format_args!("/participants/{participant}/rollback"))
}

/// Reads the answer to a swap or a rollback.
///
/// # Errors
/// Says what is missing.
pub(crate) fn read_swapped(body: &[u8]) -> Result<Swapped, String> {
    serde_json::from_slice(body).map_err(|error| error.to_string())
}

/// The admin interface over one connection.
#[derive(Debug)]
pub(crate) struct AdminService(pub(crate) Client);

impl AdminService {
    /// Makes a component the one that decides; the answer comes when all turns run on it.
    ///
    /// # Errors
    /// No answer, no 2xx (the text says why it was refused), or not the fields that were promised.
    pub(crate) async fn swap(
        &mut self,
        participant: &str,
        component: Bytes,
    ) -> Result<Swapped, CallError> {
        let path = component_path(self.0.endpoint(), participant);
        let answer = self.0.put(&path, component).await;
        result(answer, "PUT", &path, read_swapped)
    }

    /// What has run for a participant.
    ///
    /// # Errors
    /// No answer, no 2xx, or not the fields that were promised.
    pub(crate) async fn generations(
        &mut self,
        participant: &str,
    ) -> Result<Generations, CallError> {
        let endpoint = self.0.endpoint();
        let path = endpoint.path(format_args!("/participants/{participant}/generations"));
        let answer = self.0.get(&path).await;
        result(answer, "GET", &path, |body| {
            serde_json::from_slice(body).map_err(|error| error.to_string())
        })
    }
}
