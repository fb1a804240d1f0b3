//! The generation that a host starts with.
//!
//! It is the one that was active, loaded from the host's own copy, whatever has become of the file
//! at the configured path: a start swaps rules only on request. The file is used if no generation
//! was active before.

use std::sync::Arc;

use saga_contract::values;

use super::check::{self, Present};
use super::flags::Flags;
use super::gate::report::{ContractClass, GateReport, GenerationChange};
use super::gate::{self, GateCheck, GateStop};
use super::given_settings::GivenSettings;
use super::loader::{Loader, refused};
use super::probe::{Terms, Tolerance};
use super::report::{Check, ProbeReport, Refused};
use super::settings::{Gate, ParticipantSettings, RolloutSettings};
use super::{neighbours, rule_settings, verify};
use crate::base::generation::CompiledRules;
use crate::plugin::{compile, component};
use crate::store::history::GenerationRow;
use crate::store::{ReadStore, StoreFault};

/// The generation that a participant starts with.
pub struct InitialGeneration {
    /// The rules.
    pub build: Arc<dyn CompiledRules>,
    /// The component's bytes, to be archived.
    pub bytes: Option<Vec<u8>>,
    /// The digest of the configured file; `None` if it can't be read.
    pub file: Option<String>,
    /// The rules that were active before, if the start replaces them and they can still be loaded.
    pub replaced: Option<Arc<dyn CompiledRules>>,
    /// The change that it is, as the store keeps it; None if it replaces nothing.
    pub change: Option<String>,
}

/// Chooses and loads the generation that a participant starts with. `active` was active before;
/// `now` is the time for judging use.
///
/// # Errors
/// The reason why it can't be loaded; or, if the file is to be applied at the start, why it may not
/// replace the active generation.
pub fn choose(
    loader: &Loader,
    settings: &RolloutSettings,
    name: &str,
    own: &ParticipantSettings,
    active: Option<(i64, &GenerationRow)>,
    (reading, now): (&dyn ReadStore, u64),
) -> Result<InitialGeneration, Refused> {
    let file = component::read(&own.component);
    let digest_of_file = file.as_ref().ok().map(|bytes| compile::digest(bytes));
    let path = own.component.display().to_string();
    let is_active = |digest: &Option<String>| {
        active.is_some_and(|(_, build)| digest.as_deref() == Some(&*build.component))
    };
    let has_settings = active.is_some_and(|(_, build)| build.given() == own.rules);
    let stays = |_: &(i64, &GenerationRow)| {
        !settings.reload.apply_at_start || (is_active(&digest_of_file) && has_settings)
    };
    let Some((_, build)) = active.filter(stays) else {
        let bytes = file.map_err(|error| refused(&error, None))?;
        let candidate = loader.load(&bytes, &path, GivenSettings::configured(own.rules.clone()))?;
        warn(&*candidate, &path, settings);
        let (replaced, change) = match active {
            Some(active) => {
                let present = (reading, now);
                replace_at_start(loader, settings, (name, own), active, &candidate, present)?
            }
            None => (None, None),
        };
        return Ok(InitialGeneration {
            replaced,
            change,
            build: candidate,
            bytes: Some(bytes),
            file: digest_of_file,
        });
    };
    let same = (is_active(&digest_of_file), has_settings);
    warn_of_differences(name, own, build, digest_of_file.as_deref(), same);
    let kept = match loader.archive().read(&build.component) {
        Ok(kept) => kept,
        // The file has the same bytes.
        Err(_) if is_active(&digest_of_file) => file.map_err(|error| refused(&error, None))?,
        Err(reason) => {
            let reason = format!(
                "the host's copy of the active component of {name} can't be used: {reason}; put back the file with \
                 that digest, start with --apply to make {path} active, or go back with `saga rollback {name}`"
            );
            let digest = Some(build.digest.clone());
            return Err(Refused::new(Check::Component, vec![reason], digest));
        }
    };
    let origin = format!("{} (kept by the host)", build.digest);
    let build = loader
        .load(&kept, &origin, build.given())
        .map_err(|refused| with_way_back(refused, name, &path))?;
    warn(&*build, &origin, settings);
    Ok(InitialGeneration {
        build,
        bytes: Some(kept),
        file: digest_of_file,
        replaced: None,
        change: None,
    })
}

/// Warns if the file or the configured settings are not those of the rules that stay active.
fn warn_of_differences(
    name: &str,
    own: &ParticipantSettings,
    build: &GenerationRow,
    file: Option<&str>,
    (same_file, same_settings): (bool, bool),
) {
    if !same_file {
        let path = own.component.display();
        tracing::warn!(
            participant = name, %path, file = file.unwrap_or("can't be read"),
            active = %build.digest, version = %build.version,
            "the file differs from the component that was active last, which stays active; `saga apply {name} {path}` makes it active, and so \
             does `saga run --apply`"
        );
    }
    if !same_settings {
        let before = build.settings.as_ref();
        tracing::warn!(
            participant = name, configured = %rule_settings::told(&own.rules),
            active = %before.map(rule_settings::told).unwrap_or_default(),
            "the settings of the rules are not those that were active last, which go on; `saga apply {name} --set` changes \
             them, and `saga run --apply` takes the configured ones"
        );
    }
}

/// The rules that were active, unless they are lost, and what the gate found, as it is recorded.
type ReplacedRules = (Option<Arc<dyn CompiledRules>>, Option<String>);

/// Checks that the file's component may replace the active rules at the start. Returns these rules,
/// unless they are lost, and what the gate found, as it is recorded.
fn replace_at_start(
    loader: &Loader,
    settings: &RolloutSettings,
    (name, own): (&str, &ParticipantSettings),
    active: (i64, &GenerationRow),
    candidate: &Arc<dyn CompiledRules>,
    present: (&dyn ReadStore, u64),
) -> Result<ReplacedRules, Refused> {
    let flags = Flags::default();
    let replaced = replace(loader, settings, own, active, &**candidate, present, flags)?;
    for note in &replaced.notes {
        tracing::warn!(participant = name, %note, "the start replaces what was active");
    }
    let found = replayed(settings, name, active, candidate, present)?;
    let change = GenerationChange::of(replaced.contract, found).to_text();
    Ok((replaced.kept, change))
}

/// Replays recorded decisions before a start replaces the active rules, if there is a gate.
fn replayed(
    settings: &RolloutSettings,
    name: &str,
    (participant, active): (i64, &GenerationRow),
    candidate: &Arc<dyn CompiledRules>,
    (reading, now): (&dyn ReadStore, u64),
) -> Result<Option<GateReport>, Refused> {
    if settings.gate.gate == Gate::None || active.digest == candidate.digest() {
        return Ok(None);
    }
    let check = GateCheck {
        participant: (name, participant),
        candidate,
        data: &settings.store,
        settings: &settings.gate,
        limits: &settings.turn,
        now,
        acknowledged: None,
        is_over: &|| false,
    };
    let unknown = |reason: String| {
        let reason = format!("recorded decisions can't be replayed: {reason}");
        Refused::new(
            Check::Replay,
            vec![reason],
            Some(candidate.digest().to_owned()),
        )
    };
    match check.check(reading) {
        Ok(found) => Ok(Some(found)),
        Err(GateStop::Refused(refused)) => Err(refused),
        Err(GateStop::Failed(reason)) => Err(unknown(reason)),
        Err(GateStop::Over) => Err(unknown("the host ends".into())),
    }
}

/// Adds the advice for a host that can't start with its active generation.
fn with_way_back(refused: Refused, name: &str, path: &str) -> Refused {
    let Refused {
        check,
        mut reasons,
        digest,
        ..
    } = refused;
    reasons.push(format!(
        "these are the active rules of {name}: go back with `saga rollback {name}` while the host is stopped, or start with \
         --apply to make {path} active"
    ));
    Refused::new(check, reasons, digest)
}

/// Logs at the start the notes that a swap would return.
fn warn(build: &dyn CompiledRules, origin: &str, settings: &RolloutSettings) {
    let description = build.description();
    let notes = build.note().map(str::to_owned).into_iter();
    let notes = notes.chain(values::remarks(description));
    for note in notes.chain(settings.security.remark(description)) {
        tracing::warn!(participant = %build.description().name, component = origin, "{note}");
    }
}

/// Findings of a candidate that may replace the active generation.
pub(super) struct Replacement {
    /// The rules that were active; `None` if they can't be loaded any more.
    pub(super) kept: Option<Arc<dyn CompiledRules>>,
    /// Notes for the operator.
    pub(super) notes: Vec<String>,
    /// The report of the probe.
    pub(super) probe: ProbeReport,
    /// The class of its contract.
    pub(super) contract: ContractClass,
}

/// Checks that a candidate may replace the active generation, as a swap would. The start compares
/// it with the other participants once all are chosen.
pub(super) fn replace(
    loader: &Loader,
    settings: &RolloutSettings,
    own: &ParticipantSettings,
    (participant, active): (i64, &GenerationRow),
    candidate: &dyn CompiledRules,
    (reading, now): (&dyn ReadStore, u64),
    flags: Flags,
) -> Result<Replacement, Refused> {
    let failed = |error: StoreFault| {
        Refused::new(
            Check::Compatibility,
            vec![format!("the store can't be read: {error}")],
            None,
        )
    };
    let description = candidate.description();
    check_alone(loader, settings, own, candidate)?;
    let kept = (loader.archive().read(&active.component).ok())
        .and_then(|bytes| loader.load(&bytes, &active.digest, active.given()).ok());
    // If the active component is lost, only stored data is left to compare with.
    let active = kept.as_deref().unwrap_or(candidate);
    let described = active.description();
    let (found, _) = neighbours::apart(neighbours::against(described, description));
    let present = Present {
        active: active.description(),
        participant,
        sources: verify::sources(reading, settings, Some(own), active).map_err(failed)?,
        retention_ms: settings.retention_hours.saturating_mul(3_600_000),
        now,
        shapes: Arc::new(found),
    };
    let compared = check::compare(reading, &present, candidate, flags).map_err(failed)??;
    let base_path = own.base_path.as_ref();
    let base_path = base_path.unwrap_or(&described.endpoint.base_path);
    let moved = check::endpoint(own, described, base_path, candidate, flags)?;
    let (limits, most) = (&settings.turn, settings.reload.probe_inputs);
    let sources = verify::sources(reading, settings, Some(own), candidate).map_err(failed)?;
    let inputs =
        check::inputs(reading, participant, &sources, candidate, limits, most).map_err(failed)?;
    let breaks = compared.breaks || check::moves(own, base_path, candidate);
    let contract = gate::contract(described, description, breaks);
    let allowed = match kept {
        None if !flags.allow_breaking => Tolerance::AllButStates,
        _ => flags.allowed(),
    };
    let terms = Terms {
        limits,
        allowed,
        is_over: &|| false,
    };
    let probe = check::probe(candidate, kept.as_deref(), terms, &inputs);
    let probe = probe.map_err(|refused| match kept {
        Some(_) => refused,
        // Without the active component there is no other way to start.
        None => Refused {
            allowed_by: Vec::new(),
            ..refused
        },
    })?;
    let notes = compared
        .notes
        .into_iter()
        .chain(moved)
        .chain(probe.notes.clone());
    let notes = notes
        .chain(neighbours::one_way(active, candidate))
        .collect();
    Ok(Replacement {
        kept,
        notes,
        probe,
        contract,
    })
}

/// Checks what a candidate's description must fulfil, whatever was active before.
fn check_alone(
    loader: &Loader,
    settings: &RolloutSettings,
    own: &ParticipantSettings,
    candidate: &dyn CompiledRules,
) -> Result<(), Refused> {
    let description = candidate.description();
    let base_path = own.base_path.as_ref();
    let base_path = base_path.unwrap_or(&description.endpoint.base_path);
    loader
        .check_routes(description, base_path)
        .map_err(|reason| {
            let digest = Some(candidate.digest().to_owned());
            Refused::new(Check::Description, vec![reason], digest)
        })?;
    (settings.security.check_metadata(description)).map_err(|reason| {
        let digest = Some(candidate.digest().to_owned());
        Refused::new(Check::Settings, vec![reason], digest)
    })
}
