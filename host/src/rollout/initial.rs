//! Which generation a host starts with.
//!
//! The one that was active, from the host's own copy, whatever has become of the file at the configured path: a
//! start never swaps rules unless it is asked to. The file is taken where nothing was active before.

use std::sync::Arc;

use rusqlite::Connection;

use super::check::{self, Present};
use super::flags::Flags;
use super::loader::{Loader, refused};
use super::probe::{Allowed, Terms};
use super::report::{Check, Probe, Refused};
use super::settings::{ParticipantSettings, RolloutSettings};
use super::{neighbours, verify};
use crate::base::generation::Build;
use crate::http::routes::Routes;
use crate::http::schema;
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
    /// What was active before, where the start replaces it and it can still be loaded.
    pub replaced: Option<Arc<dyn Build>>,
}

/// Chooses and loads what a participant starts with. `active` is what was active before, `now` the time by which something
/// counts as in use.
///
/// # Errors
/// Why it can't be loaded; or, where the file is to be applied at the start, why it may not replace what was
/// active.
pub fn choose(
    loader: &Loader,
    settings: &RolloutSettings,
    name: &str,
    own: &ParticipantSettings,
    active: Option<(i64, &BuildRow)>,
    (sql, now): (&Connection, u64),
) -> Result<Initial, Refused> {
    let file = component::read(&own.component);
    let digest_of_file = file.as_ref().ok().map(|bytes| compile::digest(bytes));
    let path = own.component.display().to_string();
    let is_active = |digest: &Option<String>| {
        active.is_some_and(|(_, build)| digest.as_deref() == Some(&*build.digest))
    };
    let stays =
        |_: &(i64, &BuildRow)| !settings.reload.apply_at_start || is_active(&digest_of_file);
    let Some((_, build)) = active.filter(stays) else {
        let bytes = file.map_err(|error| refused(&error, None))?;
        let candidate = loader.load(&bytes, &path)?;
        warn(&*candidate, &path);
        let replaced = match active {
            Some(active) => {
                let flags = Flags::default();
                let replaced = replace(
                    loader,
                    settings,
                    own,
                    active,
                    &*candidate,
                    (sql, now),
                    flags,
                )?;
                for note in &replaced.notes {
                    tracing::warn!(participant = name, %note, "the start replaces what was active");
                }
                replaced.kept
            }
            None => None,
        };
        return Ok(Initial {
            replaced,
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
                     that digest, start with --apply to make {path} active, or go back with `saga rollback {name}`"
                )],
                Some(build.digest.clone()),
            ));
        }
    };
    let origin = format!("{} (kept by the host)", build.digest);
    let build = loader
        .load(&kept, &origin)
        .map_err(|refused| with_way_back(refused, name, &path))?;
    warn(&*build, &origin);
    Ok(Initial {
        build,
        bytes: Some(kept),
        file: digest_of_file,
        replaced: None,
    })
}

/// A host that can't start with what is active needs other rules.
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

/// Says at the start what a swap says in its notes.
fn warn(build: &dyn Build, origin: &str) {
    let note = build.note().map(str::to_owned);
    for note in note.into_iter().chain(schema::remarks(build.description())) {
        tracing::warn!(participant = %build.description().name, component = origin, "{note}");
    }
}

/// What was found where a candidate may replace what was active.
pub(super) struct Replaced {
    /// What was active; none where it can't be loaded any more.
    pub(super) kept: Option<Arc<dyn Build>>,
    /// What an operator should know.
    pub(super) notes: Vec<String>,
    /// What the candidate was tried on.
    pub(super) probe: Probe,
}

/// Checks whether a candidate may replace what was active, as a swap would. How it goes with the other
/// participants is for the start to see when all are chosen.
pub(super) fn replace(
    loader: &Loader,
    settings: &RolloutSettings,
    own: &ParticipantSettings,
    (participant, active): (i64, &BuildRow),
    candidate: &dyn Build,
    (sql, now): (&Connection, u64),
    flags: Flags,
) -> Result<Replaced, Refused> {
    let failed = |error: rusqlite::Error| {
        Refused::new(
            Check::Compatibility,
            vec![format!("the store can't be read: {error}")],
            None,
        )
    };
    let description = candidate.description();
    let base_path = own.base_path.as_ref();
    let base_path = base_path.unwrap_or(&description.endpoint.base_path);
    Routes::new(description, base_path).map_err(|reason| {
        let digest = Some(candidate.digest().to_owned());
        Refused::new(Check::Description, vec![reason], digest)
    })?;
    let kept = (loader.archive().read(&active.digest).ok())
        .and_then(|bytes| loader.load(&bytes, &active.digest).ok());
    // Where the active build is lost there is nothing to compare with but what is stored.
    let active = kept.as_deref().unwrap_or(candidate);
    let described = active.description();
    let (found, _) = neighbours::apart(neighbours::against(described, description));
    let present = Present {
        active: active.description(),
        participant,
        sources: verify::sources(sql, settings, Some(own), active).map_err(failed)?,
        retention_ms: settings.retention_hours.saturating_mul(3_600_000),
        now,
        shapes: Arc::new(found),
    };
    let compared = check::compare(sql, &present, candidate, flags).map_err(failed)??;
    let base_path = own.base_path.as_ref();
    let base_path = base_path.unwrap_or(&described.endpoint.base_path);
    let moved = check::endpoint(own, described, base_path, candidate, flags)?;
    let (limits, most) = (&settings.turn, settings.reload.probe_inputs);
    let sources = verify::sources(sql, settings, Some(own), candidate).map_err(failed)?;
    let inputs =
        check::inputs(sql, participant, &sources, candidate, limits, most).map_err(failed)?;
    let allowed = match kept {
        None if !flags.allow_breaking => Allowed::AllButStates,
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
        // Without it there is no other start.
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
    Ok(Replaced { kept, notes, probe })
}
