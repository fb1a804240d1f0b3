//! `saga rollback` where no host runs: the way back from a generation with which none starts.
//!
//! The store has its host's lock meanwhile. The checks are those of a rollback on a host that runs, as far as the active generation
//! can be loaded; where it can't, what is gone back to has to read what is stored.

use std::path::Path;
use std::time::Instant;

use rusqlite::Connection;

use super::back;
use super::flags::Flags;
use super::initial::{self, Replaced};
use super::loader::Loader;
use super::outcome::applied;
use super::report::{Applied, Check, NotApplied, Refused, Way};
use super::settings::{ParticipantSettings, RolloutSettings};
use super::usage;
use crate::base::clock::now_ms;
use crate::store::history::{self, PastBuild};
use crate::store::{StoreFile, look, trusted_now};

/// Whether a data directory has a store on which to go back.
#[must_use]
pub fn has_store(data: &Path) -> bool {
    // A store of an older schema is an error here, and brought up by opening it.
    !matches!(look(data), Ok(None))
}

/// Makes an earlier generation of a participant the one with which the host starts: the one of this digest (or the beginning of
/// one), or else the one that the active one replaced.
///
/// # Errors
/// Why not; then nothing is changed.
pub fn rollback(
    settings: &RolloutSettings,
    participant: &str,
    digest: Option<&str>,
    flags: Flags,
) -> Result<Applied, NotApplied> {
    let failed = |reason: String| NotApplied::Failed(reason);
    let data = settings.data_dir.display();
    let file = StoreFile::open(&settings.data_dir).map_err(|error| failed(error.to_string()))?;
    let unusable = |error: rusqlite::Error| NotApplied::Failed(format!("{data}: {error}"));
    let mut sql = file.writing().map_err(unusable)?;
    let (row, active, target) = choose(&sql, participant, digest).map_err(unusable)??;
    let loader = Loader::new(settings, crate::base::machine::Machine::default())
        .map_err(|error| failed(format!("{error:#}")))?;
    let began = Instant::now();
    let bytes = loader.archive().read(&target.build.digest).map_err(|reason| {
        NotApplied::UnknownGeneration(format!(
            "the host's copy of generation {} can't be used ({reason}); start with --apply and a component file instead",
            target.build.digest
        ))
    })?;
    let origin = format!("{} (kept by the host)", target.build.digest);
    let build = loader.load(&bytes, &origin).map_err(NotApplied::Refused)?;
    let own = settings.participants.get(participant);
    let own = own.cloned().unwrap_or_else(ParticipantSettings::default);
    // What was used is not out of use by a clock that leapt.
    let present = (&sql, trusted_now(&sql, now_ms()).map_err(unusable)?);
    let Replaced { notes, probe, .. } = initial::replace(
        &loader,
        settings,
        &own,
        (row, &active.build),
        &*build,
        present,
        flags,
    )
    .map_err(NotApplied::Refused)?;
    let unreadable = usage::unreadable(&sql, row, build.description()).map_err(unusable)?;
    if let Some(reason) = unreadable {
        let digest = Some(build.digest().to_owned());
        return Err(NotApplied::Refused(Refused::new(
            Check::Compatibility,
            vec![reason],
            digest,
        )));
    }
    let is_new = active.build.digest != target.build.digest;
    if is_new && !flags.dry_run {
        let turn = sql.transaction().map_err(unusable)?;
        history::activate(&turn, row, target.build.id, Way::Rollback.word(), now_ms())
            .and_then(|()| turn.commit())
            .map_err(unusable)?;
    }
    Ok(Applied {
        probe,
        notes,
        dry_run: flags.dry_run,
        checked_us: began.elapsed().as_micros() as u64,
        ..applied(&*build, &active.build.digest, is_new && !flags.dry_run)
    })
}

type Chosen = (i64, PastBuild, PastBuild);

/// The row of the participant, what is active, and what is gone back to.
fn choose(
    sql: &Connection,
    participant: &str,
    digest: Option<&str>,
) -> rusqlite::Result<Result<Chosen, NotApplied>> {
    let Some(row) = history::participant(sql, participant)? else {
        let names = history::participants(sql)?.join(", ");
        return Ok(Err(NotApplied::UnknownParticipant(
            participant.to_owned(),
            names,
        )));
    };
    let (mut builds, activations) = (history::builds(sql, row)?, history::activations(sql, row)?);
    let target = back::target(&builds, &activations, participant, digest).cloned();
    let active = match builds.is_empty() {
        true => Err(format!("{participant} never ran")),
        false => Ok(builds.swap_remove(0)),
    };
    Ok(active
        .and_then(|active| Ok((row, active, target?)))
        .map_err(NotApplied::UnknownGeneration))
}
