//! `saga rollback` of a stopped host: the way back from a generation with which the host does not
//! start.
//!
//! Holds the host's lock on the store. The checks are those of a rollback on a running host, as far
//! as the active generation can be loaded; otherwise the target must be able to read what is
//! stored.

use std::time::Instant;

use super::flags::Flags;
use super::gate::ROLLBACK_PASSES;
use super::gate::report::GenerationChange;
use super::initial::{self, Replacement};
use super::loader::{CheckRoutes, Loader};
use super::outcome::applied;
use super::report::{Check, NotApplied, Refused, SwapResult, Way};
use super::rollback_target;
use super::settings::{Gate, ParticipantSettings, RolloutSettings};
use super::usage;
use crate::base::clock::now_ms;
use crate::base::machine::Machine;
use crate::store::history::PastGeneration;
use crate::store::{Activation, ReadStore, StoreFault, StoreLocation, StoreResult};

/// True if there is a store.
#[must_use]
pub fn has_store(data: &StoreLocation) -> bool {
    // Opening the store reports its errors.
    !matches!(data.look(), Ok(None))
}

/// Makes a former generation of a participant the one with which the host starts: the one of this
/// digest (or its beginning), or else the one that the active one replaced.
///
/// # Errors
/// The reason; nothing is changed then.
pub fn rollback(
    settings: &RolloutSettings,
    participant: &str,
    digest: Option<&str>,
    flags: Flags,
    check_routes: CheckRoutes,
) -> Result<SwapResult, NotApplied> {
    let failed = |reason: String| NotApplied::Failed(reason);
    let data = &settings.store;
    let mut store = (data.own())
        .map_err(|error| failed(error.to_string()))?
        .ok_or_else(|| failed(format!("{data}: there is no store")))?;
    let unusable = |error: StoreFault| NotApplied::Failed(format!("{data}: {error}"));
    let reading = store.reading();
    let (row, active, target) = choose(reading, participant, digest).map_err(unusable)??;
    let loader = Loader::new(settings, Machine::default(), check_routes)
        .map_err(|error| failed(format!("{error:#}")))?;
    let began = Instant::now();
    let bytes = loader.archive().read(&target.generation.component).map_err(|reason| {
        NotApplied::UnknownGeneration(format!(
            "the host's copy of generation {} can't be used ({reason}); start with --apply and a component file instead",
            target.generation.digest
        ))
    })?;
    let origin = format!("{} (kept by the host)", target.generation.digest);
    let given = target.generation.given();
    let build = (loader.load(&bytes, &origin, given)).map_err(NotApplied::Refused)?;
    let own = settings.participants.get(participant);
    let own = own.cloned().unwrap_or_else(ParticipantSettings::default);
    // What was used is not out of use by a clock that leapt.
    let present = (reading, reading.trusted_now(now_ms()).map_err(unusable)?);
    let Replacement {
        mut notes,
        probe,
        contract,
        ..
    } = initial::replace(
        &loader,
        settings,
        &own,
        (row, &active.generation),
        &*build,
        present,
        flags,
    )
    .map_err(NotApplied::Refused)?;
    let unreadable = usage::unreadable(reading, row, build.description()).map_err(unusable)?;
    if let Some(reason) = unreadable {
        let digest = Some(build.digest().to_owned());
        return Err(NotApplied::Refused(Refused::new(
            Check::Compatibility,
            vec![reason],
            digest,
        )));
    }
    let change = GenerationChange::of(contract, None);
    if settings.gate.gate == Gate::Replay {
        notes.push(ROLLBACK_PASSES.to_owned());
    }
    let is_new = active.generation.digest != target.generation.digest;
    if is_new && !flags.dry_run {
        let activation = Activation {
            participant: row,
            generation: target.generation.id,
            way: Way::Rollback.word(),
            now: now_ms(),
            change: change.to_text(),
            replaces: None,
            renamed: Vec::new(),
        };
        store.activate(&activation).map_err(unusable)?;
    }
    Ok(SwapResult {
        previous_settings: active.generation.settings.clone(),
        probe,
        class: is_new.then_some(change.class),
        notes,
        dry_run: flags.dry_run,
        checked_us: began.elapsed().as_micros() as u64,
        ..applied(&*build, &active.generation.digest, is_new && !flags.dry_run)
    })
}

type RollbackChoice = (i64, PastGeneration, PastGeneration);

/// The row of the participant, the active generation, and the target.
fn choose(
    reading: &dyn ReadStore,
    participant: &str,
    digest: Option<&str>,
) -> StoreResult<Result<RollbackChoice, NotApplied>> {
    let Some(row) = reading.participant(participant)? else {
        let names = reading.participants()?.join(", ");
        return Ok(Err(NotApplied::UnknownParticipant(
            participant.to_owned(),
            names,
        )));
    };
    let (mut generations, activations) = (reading.generations(row)?, reading.activations(row)?);
    let target = rollback_target::target(&generations, &activations, participant, digest).cloned();
    let active = match generations.is_empty() {
        true => Err(format!("{participant} never ran")),
        false => Ok(generations.swap_remove(0)),
    };
    Ok(active
        .and_then(|active| Ok((row, active, target?)))
        .map_err(NotApplied::UnknownGeneration))
}
