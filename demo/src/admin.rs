//! The host's admin interface as an operator's program sees it: swap a component, go back, ask what ran.
//!
//! Owns: its paths, and reading its answers strictly.
//!
//! Must not know: how a host swaps, or what an answer ought to be in a given situation (`swaps`, `walk`).

use bytes::Bytes;
use serde::Deserialize;

use crate::contract::{CallError, result};
use saga_testkit::http::{BaseUrl, Client};

/// The answer to a swap.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Swapped {
    /// Digest of the build that decides now.
    pub digest: String,
    /// The version that it declares.
    pub version: String,
    /// Digest of the build that decided before.
    pub previous: String,
    /// False where it decided already.
    pub changed: bool,
    /// The trial on recorded inputs before.
    pub probe: Probe,
    /// Time that the checks took, in microseconds.
    pub checked_us: u64,
    /// Time from the decision to swap until all turns ran on it, in microseconds.
    pub swapped_us: u64,
}

/// The trial of a build on recorded inputs, before it was taken.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Probe {
    /// Recorded inputs that were offered to it.
    pub inputs: u64,
    /// Those on which it decided otherwise than was recorded.
    pub decided_otherwise: u64,
}

/// Everything that has run for one participant.
#[derive(Debug, Clone, Deserialize)]
pub struct Generations {
    /// The builds.
    pub generations: Vec<Generation>,
}

/// One build that has run.
#[derive(Debug, Clone, Deserialize)]
pub struct Generation {
    /// Its digest.
    pub digest: String,
    /// The version that it declares.
    pub version: String,
    /// How often it became the one that decides.
    pub activations: u64,
    /// Messages that it decided.
    pub decisions: u64,
    /// Messages on which it broke.
    pub faults: u64,
}

/// Path of `PUT …/component`.
pub fn component_path(url: &BaseUrl, participant: &str) -> String {
    url.path(format_args!("/participants/{participant}/component"))
}

/// Path of `POST …/rollback`.
pub fn rollback_path(url: &BaseUrl, participant: &str) -> String {
    url.path(format_args!("/participants/{participant}/rollback"))
}

/// Reads the answer to a swap or a rollback.
///
/// # Errors
/// Says what is missing.
pub fn read_swapped(body: &[u8]) -> Result<Swapped, String> {
    serde_json::from_slice(body).map_err(|error| error.to_string())
}

/// The admin interface over one connection.
#[derive(Debug)]
pub struct AdminService(pub Client);

impl AdminService {
    /// Makes a component the one that decides; the answer comes when all turns run on it.
    ///
    /// # Errors
    /// No answer, no 2xx (the text says why it was refused), or not the fields that were promised.
    pub async fn swap(
        &mut self,
        participant: &str,
        component: Bytes,
    ) -> Result<Swapped, CallError> {
        let path = component_path(self.0.url(), participant);
        let answer = self.0.put(&path, component).await;
        result(answer, "PUT", &path, read_swapped)
    }

    /// The generations of a participant.
    ///
    /// # Errors
    /// No answer, no 2xx, or not the fields that were promised.
    pub async fn generations(&mut self, participant: &str) -> Result<Generations, CallError> {
        let url = self.0.url();
        let path = url.path(format_args!("/participants/{participant}/generations"));
        let answer = self.0.get(&path).await;
        result(answer, "GET", &path, |body| {
            serde_json::from_slice(body).map_err(|error| error.to_string())
        })
    }
}
