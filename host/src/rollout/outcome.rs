//! Reports of a swap, a refusal or a dry run: in the log, in the metrics, in the store.

use super::hosted::HostedParticipant;
use super::reloader::{Apply, ReloaderState};
use super::report::{NotApplied, ProbeReport, Refused, SwapResult, Way};
use crate::base::clock::now_ms;
use crate::base::generation::CompiledRules;
use crate::plugin::compile;

impl ReloaderState {
    /// Reports a dry run, which leaves no trace but in the log.
    pub(super) fn report_dry_run(
        &self,
        hosted: &HostedParticipant,
        apply: &Apply,
        result: &Result<SwapResult, NotApplied>,
    ) {
        let (participant, way, origin) = (
            hosted.participant.name(),
            apply.way.word(),
            apply.origin.as_str(),
        );
        let error = result.as_ref().err().map(ToString::to_string);
        tracing::info!(
            participant,
            way,
            origin,
            error,
            "a component was checked only; nothing was changed"
        );
        let digest = compile::digest(&apply.bytes);
        if let Some(loader) = &self.around.loader
            && digest != hosted.participant.active().component()
        {
            loader.forget(&digest);
        }
    }

    /// Logs and counts the result of a swap, and records a refusal in the store.
    pub(super) fn report_swap(
        &self,
        hosted: &HostedParticipant,
        apply: &Apply,
        result: &Result<SwapResult, NotApplied>,
    ) {
        let (participant, way, origin) = (
            hosted.participant.name(),
            apply.way.word(),
            apply.origin.as_str(),
        );
        (self.around.swaps).count(participant, way, outcome(result));
        match result {
            Ok(applied) if applied.changed => tracing::info!(
                participant, way, origin, digest = %applied.digest, version = %applied.version,
                previous = %applied.previous, notes = %applied.notes.join("; "), "rules swapped"
            ),
            Ok(applied) => tracing::info!(
                participant, way, origin, digest = %applied.digest, "these rules are active already"
            ),
            Err(error) => {
                let active = hosted.participant.active();
                let remedy = remedy(participant, apply, error);
                tracing::warn!(
                    participant, way, origin, %error, active = active.digest(), remedy,
                    "the component was refused; the active generation stays"
                );
            }
        }
        if let Err(NotApplied::Refused(refused)) = result {
            let digest = compile::digest(&apply.bytes);
            if let Some(loader) = &self.around.loader {
                loader.forget(&digest);
            }
            let noted = Refused {
                component: Some(digest),
                ..refused.clone()
            };
            let text = serde_json::to_string(&noted).unwrap_or_default();
            let (row, way) = (hosted.row, apply.way.word());
            let noted = self.around.store.note_refused(row, way, &text, now_ms());
            if let Err(fault) = noted {
                tracing::warn!(%fault, "the refusal of a component can't be stored");
            }
        }
    }
}

/// The result of a swap, as a metric label.
fn outcome(result: &Result<SwapResult, NotApplied>) -> &'static str {
    match result {
        Ok(applied) if applied.changed => "swapped",
        Ok(_) => "unchanged",
        Err(NotApplied::Refused(_)) => "refused",
        Err(NotApplied::Busy(_)) => "busy",
        Err(_) => "failed",
    }
}

/// The command that would apply a refused component, if there is one.
fn remedy(participant: &str, apply: &Apply, error: &NotApplied) -> Option<String> {
    let NotApplied::Refused(refused) = error else {
        return None;
    };
    if refused.allowed_by.is_empty() {
        return None;
    }
    let given = apply.flags.names().map(str::to_owned);
    let flags = given.chain(refused.allowed_by.iter().cloned());
    let flags: String = flags.map(|flag| format!(" --{flag}")).collect();
    Some(match apply.way {
        // By its digest, since another generation may be active by then.
        Way::Rollback => {
            let digest = refused.digest.as_deref().unwrap_or_default();
            format!("saga rollback{flags} {participant} {digest}")
        }
        Way::File | Way::Signal => format!("saga apply{flags} {participant} {}", apply.origin),
        Way::Apply | Way::Start => format!("saga apply{flags} {participant} PATH"),
    })
}

/// The result for these rules as the active ones, or as the would-be active ones.
pub(super) fn applied(build: &dyn CompiledRules, previous: &str, changed: bool) -> SwapResult {
    SwapResult {
        participant: build.description().name.clone(),
        digest: build.digest().to_owned(),
        settings: build.settings().cloned(),
        version: build.description().version.clone(),
        dry_run: false,
        previous_settings: None,
        previous: previous.to_owned(),
        changed,
        probe: ProbeReport::default(),
        class: None,
        gate: None,
        notes: Vec::new(),
        checked_us: 0,
        swapped_us: 0,
    }
}
