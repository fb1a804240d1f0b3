//! Which generation a host starts with.
//!
//! The one that was active, from the host's own copy, whatever has become of the file at the configured path: a
//! start never swaps rules unless it is asked to. The file is taken where nothing was active before.

use std::sync::Arc;

use rusqlite::Connection;

use super::check::{self, Drops, Present};
use super::loader::{Loader, refused};
use super::report::{Check, Refused};
use super::verify;
use crate::clock::now_ms;
use crate::config::{Config, ParticipantConfig};
use crate::generation::Build;
use crate::plugin::{compile, component};
use crate::store::history::BuildRow;

/// What a participant starts with.
pub struct Initial {
    /// The build.
    pub build: Arc<dyn Build>,
    /// Its bytes: they are to be kept.
    pub bytes: Option<Vec<u8>>,
    /// The digest of the file at the configured path; none where it can't be read.
    pub file: Option<String>,
}

/// Chooses and loads what a participant starts with. `active` is what was active before.
///
/// # Errors
/// Why it can't be loaded; or, where the file is to be applied at the start, why it may not replace what was
/// active.
pub fn choose(
    loader: &Loader,
    config: &Config,
    name: &str,
    own: &ParticipantConfig,
    active: Option<(i64, &BuildRow)>,
    sql: &Connection,
) -> Result<Initial, Refused> {
    let file = component::read(&own.component);
    let digest_of_file = file.as_ref().ok().map(|bytes| compile::digest(bytes));
    let path = own.component.display().to_string();
    let is_active = |digest: &Option<String>| {
        active.is_some_and(|(_, build)| digest.as_deref() == Some(&*build.digest))
    };
    let stays = |_: &(i64, &BuildRow)| !config.reload.apply_at_start || is_active(&digest_of_file);
    let Some((_, build)) = active.filter(stays) else {
        let bytes = file.map_err(|error| refused(&error, None))?;
        let candidate = loader.load(&bytes, &path)?;
        if let Some((row, build)) = active {
            replace(loader, config, own, (row, build), &*candidate, sql)?;
        }
        return Ok(Initial {
            build: candidate,
            bytes: Some(bytes),
            file: digest_of_file,
        });
    };
    if !is_active(&digest_of_file) {
        tracing::warn!(
            participant = name, %path, file = digest_of_file.as_deref().unwrap_or("can't be read"),
            active = %build.digest, version = %build.version,
            "the file is not what was active last, which goes on; `saga apply {name} {path}` makes it active, and so \
             does `saga run --apply`"
        );
    }
    let kept = match loader.archive().read(&build.digest) {
        Ok(kept) => kept,
        // The same bytes, wherever they are from.
        Err(_) if is_active(&digest_of_file) => file.map_err(|error| refused(&error, None))?,
        Err(reason) => {
            return Err(Refused::new(
                Check::Component,
                vec![format!(
                    "the host's copy of the active component of {name} can't be used: {reason}; put back the file with \
                     that digest, or start with --apply to make {path} active"
                )],
                Some(build.digest.clone()),
            ));
        }
    };
    let origin = format!("{} (kept by the host)", build.digest);
    Ok(Initial {
        build: loader.load(&kept, &origin)?,
        bytes: Some(kept),
        file: digest_of_file,
    })
}

/// Checks whether a candidate may replace what was active, as a swap would.
fn replace(
    loader: &Loader,
    config: &Config,
    own: &ParticipantConfig,
    (participant, active): (i64, &BuildRow),
    candidate: &dyn Build,
    sql: &Connection,
) -> Result<(), Refused> {
    let failed = |error: rusqlite::Error| {
        Refused::new(
            Check::Compatibility,
            vec![format!("the store can't be read: {error}")],
            None,
        )
    };
    let kept = (loader.archive().read(&active.digest).ok())
        .and_then(|bytes| loader.load(&bytes, &active.digest).ok());
    // Where the active build is lost there is nothing to compare with but what is stored.
    let active = kept.as_deref().unwrap_or(candidate);
    let present = Present {
        active: active.description(),
        participant,
        sources: verify::sources(sql, config, Some(own), active).map_err(failed)?,
        retention_ms: config.store.retention_hours.saturating_mul(3_600_000),
        now: now_ms(),
    };
    check::compare(sql, &present, candidate, Drops::Unused).map_err(failed)??;
    let (limits, most) = (&config.turn, config.reload.probe_inputs);
    let sources = verify::sources(sql, config, Some(own), candidate).map_err(failed)?;
    let inputs =
        check::inputs(sql, participant, &sources, candidate, limits, most).map_err(failed)?;
    check::probe(candidate, kept.as_deref(), limits, &inputs).map(drop)
}
