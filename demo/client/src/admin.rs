//! A client of the host's admin interface: swap a component, roll back, list generations.
//!
//! Owns: its paths, and strict reading of its answers.
//!
//! Must not know: how a host swaps, or the expected answers (`swaps`, `walk`).

use bytes::Bytes;
use serde::Deserialize;

use crate::contract::{CallError, result};
use saga_testkit::http::{BaseUrl, Client};

/// The answer to a swap.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Swapped {
    /// Digest of the build that is active now.
    pub digest: String,
    /// Its declared version.
    pub version: String,
    /// Digest of the build that was active before.
    pub previous: String,
    /// False if it was active already.
    pub changed: bool,
    /// The probe on recorded inputs before the swap.
    pub probe: ProbeResult,
    /// Time that the checks took, in microseconds.
    pub checked_us: u64,
    /// Time from the decision to swap until all turns used the new build, in microseconds.
    pub swapped_us: u64,
}

/// The probe of a build on recorded inputs, before it became active.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ProbeResult {
    /// Recorded inputs that it was given.
    pub inputs: u64,
    /// Inputs that it decided differently.
    pub decided_otherwise: u64,
}

/// All generations of one participant.
#[derive(Debug, Clone, Deserialize)]
pub struct Generations {
    /// The generations.
    pub generations: Vec<ListedGeneration>,
}

/// A build that was active at some time.
#[derive(Debug, Clone, Deserialize)]
pub struct ListedGeneration {
    /// Its digest.
    pub digest: String,
    /// Its declared version.
    pub version: String,
    /// Number of its activations.
    pub activations: u64,
    /// Messages that it has decided.
    pub decisions: u64,
    /// Messages on which it has failed.
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

/// Path of `PATCH …/settings`.
pub fn settings_path(url: &BaseUrl, participant: &str) -> String {
    url.path(format_args!("/participants/{participant}/settings"))
}

/// Path of `GET …/dead-letters`, for one aggregate.
pub fn dead_letters_path(url: &BaseUrl, participant: &str, key: i64) -> String {
    url.path(format_args!(
        "/participants/{participant}/dead-letters?key={key}"
    ))
}

/// Path of `POST …/dead-letters/NUMBER/ACT`.
pub fn dead_letter_path(url: &BaseUrl, participant: &str, letter: i64, act: &str) -> String {
    url.path(format_args!(
        "/participants/{participant}/dead-letters/{letter}/{act}"
    ))
}

/// Reads the answer to a swap or rollback.
///
/// # Errors
/// The answer lacks something.
pub fn read_swapped(body: &[u8]) -> Result<Swapped, String> {
    serde_json::from_slice(body).map_err(|error| error.to_string())
}

/// A dead letter.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct DeadLetter {
    /// Its number.
    pub id: i64,
    /// Its state.
    pub state: String,
    /// The kind of the failure.
    pub reason: String,
}

/// Reads a list that must hold one dead letter.
///
/// # Errors
/// The answer lacks something, or has none or several letters.
pub fn read_only_letter(body: &[u8]) -> Result<DeadLetter, String> {
    #[derive(Deserialize)]
    struct Page {
        letters: Vec<DeadLetter>,
    }
    let page: Page = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    match <[DeadLetter; 1]>::try_from(page.letters) {
        Ok([letter]) => Ok(letter),
        Err(letters) => Err(format!("it lists {} dead letters", letters.len())),
    }
}

/// Reads the answer to a redrive.
///
/// # Errors
/// The answer lacks something.
pub fn read_letter(body: &[u8]) -> Result<DeadLetter, String> {
    serde_json::from_slice(body).map_err(|error| error.to_string())
}

/// Reads the answer to a trial: the state in the order event that the component would publish.
///
/// # Errors
/// The component would not decide the message, or not publish one event, or the answer lacks
/// something.
pub fn read_trial(body: &[u8]) -> Result<String, String> {
    #[derive(Deserialize)]
    struct Trial {
        would_decide: WouldDecide,
    }
    #[derive(Deserialize)]
    struct WouldDecide {
        events: [Event; 1],
    }
    #[derive(Deserialize)]
    struct Event {
        body: String,
    }
    #[derive(Deserialize)]
    struct Order {
        state: String,
    }
    let read = || {
        let trial: Trial = serde_json::from_slice(body)?;
        let [event] = trial.would_decide.events;
        serde_json::from_str(&event.body).map(|order: Order| order.state)
    };
    read().map_err(|error: serde_json::Error| error.to_string())
}

/// The admin interface over one connection.
#[derive(Debug)]
pub struct AdminService(pub Client);

impl AdminService {
    /// Activates a component; the answer comes when all turns use it.
    ///
    /// # Errors
    /// There is no answer, no 2xx (with the reason of the refusal), or a promised field is missing.
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
    /// There is no answer, no 2xx, or a promised field is missing.
    pub async fn generations(&mut self, participant: &str) -> Result<Generations, CallError> {
        let url = self.0.url();
        let path = url.path(format_args!("/participants/{participant}/generations"));
        let answer = self.0.get(&path).await;
        result(answer, "GET", &path, |body| {
            serde_json::from_slice(body).map_err(|error| error.to_string())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_must_have_one_letter() {
        let letter = r#"{"id":3,"state":"open","reason":"trap"}"#;
        let list =
            |letters: &str| read_only_letter(format!(r#"{{"letters":[{letters}]}}"#).as_bytes());
        assert_eq!(list(letter).map(|letter| letter.id), Ok(3));
        assert_eq!(list(""), Err("it lists 0 dead letters".into()));
        let two = format!("{letter},{letter}");
        assert_eq!(list(&two), Err("it lists 2 dead letters".into()));
    }

    #[test]
    fn a_component_that_would_not_decide_has_no_state() {
        let decides = br#"{"would_decide":{"events":[{"body":"{\"state\":\"REJECTED\"}"}]}}"#;
        assert_eq!(read_trial(decides), Ok("REJECTED".into()));
        for wrong in [
            r#"{"would_fail":"trap"}"#,
            r#"{"would_decide":{"events":[]}}"#,
        ] {
            assert!(read_trial(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
