//! Rules are swapped while the host runs.
//!
//! ```text
//! bytes → component → world → description → compatibility → settings → probe → copy → active → workers → routes, sources
//! ```
//!
//! # Layout
//!
//! - [`reloader`]: takes what is to be applied, one after the other; [`hosted`]: a participant that runs
//! - `candidate`: from bytes to everything that a swap needs; `handover`: the swap itself
//! - [`loader`], [`archive`]: from bytes to a component; the host's own copies
//! - [`check`], [`usage`], [`probe`]: what speaks against a candidate; [`neighbours`]: whether it is understood; [`flags`]: what
//!   the operator allows
//! - [`fit`]: the topics and sources of a generation
//! - [`initial`]: which generation a host starts with
//! - [`back`]: which generation is gone back to; [`stopped`]: where no host runs
//! - [`watch`]: the files of the components are looked at; [`file`]: one of them
//! - [`verify`]: all checks, offline; [`backup`]: a copy of a data directory
//! - [`overview`], [`report`], `outcome`: what is told of generations and of swaps
//!
//! Whatever fails leaves the active generation active and says so: nothing is silently reverted. Invariant 6
//! (a turn runs wholly on one generation) is kept by the workers. Must not know: Kafka, signals, the command line.

pub mod archive;
pub mod back;
pub mod backup;
mod candidate;
pub mod check;
pub mod file;
pub mod fit;
pub mod flags;
mod handover;
pub mod hosted;
pub mod initial;
pub mod loader;
pub mod neighbours;
mod outcome;
pub mod overview;
pub mod probe;
pub mod reloader;
pub mod report;
pub mod settings;
pub mod stopped;
pub mod usage;
pub mod verify;
pub mod watch;

use std::path::Path;

pub use reloader::{Apply, Reloader, Surroundings};

use archive::Archive;
use report::{NotApplied, Overview};

/// What a store has to tell of its participants, or of one, beside the host that may be running on it.
///
/// # Errors
/// When there is no such participant, or the store can't be read.
pub fn offline_overview(data: &Path, participant: Option<&str>) -> Result<Overview, NotApplied> {
    let failed = |reason: String| NotApplied::Failed(reason);
    let sql = crate::store::look(data)
        .map_err(|error| failed(error.to_string()))?
        .ok_or_else(|| failed(format!("{}: there is no store", data.display())))?;
    let archive = Archive::new(data);
    let read = || -> rusqlite::Result<(Vec<String>, Overview)> {
        let names = crate::store::history::participants(&sql)?;
        let mut participants = Vec::new();
        for name in names
            .iter()
            .filter(|name| participant.is_none_or(|wanted| wanted == **name))
        {
            if let Some(row) = crate::store::history::participant(&sql, name)? {
                participants.push(overview::of_participant(&sql, name, row, &archive, None)?);
            }
        }
        Ok((names, Overview { participants }))
    };
    let (names, overview) = read().map_err(|error| failed(error.to_string()))?;
    match participant {
        Some(wanted) if overview.participants.is_empty() => Err(NotApplied::UnknownParticipant(
            wanted.to_owned(),
            names.join(", "),
        )),
        _ => Ok(overview),
    }
}
