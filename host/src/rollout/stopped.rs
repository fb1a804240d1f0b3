//! `saga rollback` of a stopped host: the way back from a generation with which the host does not
//! start.
//!
//! Holds the host's lock on the store. The checks are those of a rollback on a running host, as far
//! as the active generation can be loaded; otherwise the target must be able to read what is
//! stored.

use std::path::Path;
use std::time::Instant;

use rusqlite::Connection;

use super::flags::Flags;
use super::initial::{self, Replacement};
use super::loader::Loader;
use super::outcome::applied;
use super::report::{Check, NotApplied, Refused, SwapResult, Way};
use super::rollback_target;
use super::usage;
use crate::base::clock::now_ms;
use crate::config::{Config, ParticipantConfig};
use crate::store::history::{self, PastBuild};
use crate::store::{StoreFile, look, trusted_now};

/// True if a data directory has a store.
#[must_use]
pub fn has_store(data: &Path) -> bool {
    // A store of an older schema is an error here; opening it migrates it.
    !matches!(look(data), Ok(None))
}

/// Makes a former generation of a participant the one with which the host starts: the one of this
/// digest (or its beginning), or else the one that the active one replaced.
///
/// # Errors
/// The reason; nothing is changed then.
pub fn rollback(
    config: &Config,
    participant: &str,
    digest: Option<&str>,
    flags: Flags,
) -> Result<SwapResult, NotApplied> {
    let failed = |reason: String| NotApplied::Failed(reason);
    let data = config.data_dir.display();
    let file = StoreFile::open(&config.data_dir).map_err(|error| failed(error.to_string()))?;
    let unusable = |error: rusqlite::Error| NotApplied::Failed(format!("{data}: {error}"));
    let mut sql = file.writing().map_err(unusable)?;
    let (row, active, target) = choose(&sql, participant, digest).map_err(unusable)??;
    let loader = Loader::new(config, crate::base::machine::Machine::default())
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
    let own = config.participants.get(participant);
    let own = own.cloned().unwrap_or_else(ParticipantConfig::default);
    // Trusted time: a clock that leapt ahead must not put anything out of use.
    let present = (&sql, trusted_now(&sql, now_ms()).map_err(unusable)?);
    let Replacement { notes, probe, .. } = initial::replace(
        &loader,
        config,
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
    Ok(SwapResult {
        probe,
        notes,
        dry_run: flags.dry_run,
        checked_us: began.elapsed().as_micros() as u64,
        ..applied(&*build, &active.build.digest, is_new && !flags.dry_run)
    })
}

type Chosen = (i64, PastBuild, PastBuild);

/// The row of the participant, the active generation, and the target.
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
    let target = rollback_target::target(&builds, &activations, participant, digest).cloned();
    let active = match builds.is_empty() {
        true => Err(format!("{participant} never ran")),
        false => Ok(builds.swap_remove(0)),
    };
    Ok(active
        .and_then(|active| Ok((row, active, target?)))
        .map_err(NotApplied::UnknownGeneration))
}
