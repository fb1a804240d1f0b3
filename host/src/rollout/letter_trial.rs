//! A candidate's decision on a dead letter, without any effect.

use saga_core::outcome::Outcome;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::probe;
use super::reloader::{Apply, Reloader, ReloaderState};
use super::report::{NotApplied, Refused};
use super::rule_settings::{CandidateSettings, SettingsChange};
use crate::plugin::compile;
use crate::turn::dead_letters::admit_to;

/// The decision of a candidate on a dead letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LetterTrial {
    /// Number of the letter.
    pub id: i64,
    /// The participant.
    pub participant: String,
    /// Digest of the candidate.
    pub digest: String,
    /// The version that it declares.
    pub version: String,
    /// The decision: the change of the state, events and timers; `None` if it would not decide.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub would_decide: Option<Value>,
    /// The reason why it would not decide.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub would_fail: Option<String>,
}

/// A candidate, to be tried on a dead letter.
pub struct TryOnLetter {
    /// The participant.
    pub participant: String,
    /// Number of the letter.
    pub letter: i64,
    /// The component's bytes.
    pub bytes: Vec<u8>,
    /// Changes of the settings of its rules.
    pub settings: SettingsChange,
}

impl Reloader {
    /// Tries a candidate on a dead letter, with the aggregate as it is stored; `None` if there is no
    /// such letter.
    ///
    /// # Errors
    /// The candidate can't be loaded, or the store can't be read.
    pub async fn try_on_letter(
        &self,
        request: TryOnLetter,
    ) -> Result<Option<LetterTrial>, NotApplied> {
        self.blocking(move |state| state.try_on_letter(&request))
            .await
    }
}

impl ReloaderState {
    fn try_on_letter(&self, request: &TryOnLetter) -> Result<Option<LetterTrial>, NotApplied> {
        let hosted = self.of(&request.participant)?;
        let active = hosted.participant.active();
        let change = CandidateSettings::Changed(request.settings.clone());
        let given = change.given(active.generation.build.settings());
        let loader = self.loader()?;
        let load = || loader.load(&request.bytes, Apply::SENT, given);
        let digest = || compile::digest(&request.bytes);
        let build = (self.low_priority()?)
            .run(load)
            .unwrap_or_else(|| Err(Refused::broke_the_compiler(Apply::SENT, digest())))
            .map_err(NotApplied::Refused)?;
        let (row, limits) = (hosted.row, &self.around.settings.turn);
        let found = self.read(|reading| {
            let Some((letter, _)) = reading.dead_letter(row, request.letter)? else {
                return Ok(None);
            };
            let admitted = admit_to(build.description(), limits, &letter, None);
            let decision = match admitted {
                Ok((_, message)) => {
                    let stored = reading.aggregate(row, &message.key)?;
                    probe::decision_on(&*build, limits, &stored, &message)
                }
                Err(problem) => Err(problem.to_string()),
            };
            Ok(Some(decision))
        });
        let decision = found.map_err(NotApplied::Failed)?;
        Ok(decision.map(|decision: Result<Outcome, String>| {
            let (would_decide, would_fail) = match decision {
                Ok(outcome) => (serde_json::to_value(outcome).ok(), None),
                Err(reason) => (None, Some(reason)),
            };
            LetterTrial {
                id: request.letter,
                participant: request.participant.clone(),
                digest: build.digest().to_owned(),
                version: build.description().version.clone(),
                would_decide,
                would_fail,
            }
        }))
    }
}
