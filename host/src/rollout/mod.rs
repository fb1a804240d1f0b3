//! Swaps of rules while the host runs.
//!
//! ```text
//! bytes → component → world → description → compatibility → settings → probe → copy → active →
//! workers → routes, sources
//! ```
//!
//! A component is bytes with a digest; a candidate is a component under check; a generation is a
//! recorded one, active or retired.
//!
//! # Layout
//!
//! - [`reloader`]: performs swaps, one after the other; [`hosted`]: a hosted participant
//! - `candidate`: from bytes to a candidate that is ready to swap; `handover`: the swap itself
//! - `agreement`: the other hosts of a participant are ready for a swap; [`follow`]: swaps of others
//! - [`loader`], [`archive`]: from bytes to a component; the host's own copies
//! - [`check`], [`usage`], [`probe`]: reasons against a candidate; [`neighbours`]: comparison with
//!   the other participants; [`flags`]: the operator's overrides
//! - [`gate`]: what a candidate changes of recorded decisions, and who acknowledged it
//! - [`audit`]: decisions that were made, made again on fresh instances
//! - [`rule_settings`]: the operator's settings of the rules; [`given_settings`]: where they stand
//! - [`topics`]: topics and sources of a generation
//! - [`initial`]: the generation that a host starts with
//! - [`rollback_target`]: the target of a rollback; [`stopped`]: rollback of a stopped host
//! - [`watch`]: watches the components' files; [`component_file`]: one of them
//! - [`verify`]: all checks, offline; [`backup`]: a copy of a data directory; [`moving`]: a store copied to
//!   another place, and its check
//! - [`letter_trial`]: a candidate's decision on a dead letter
//! - [`replay`]: makes recorded decisions again, by a candidate or by the rules that made them
//! - [`repair`]: the decisions of one generation that fixed rules make otherwise
//! - [`cases`]: recorded decisions as a file, for tests of rules
//! - [`selection`]: the recorded decisions that these are about
//! - [`overview`], [`report`], `outcome`: reports of generations and of swaps
//!
//! Any failure leaves the active generation active and is reported: nothing is silently reverted.
//! The workers keep invariant 6 (a turn runs wholly on one generation). Must not know: Kafka,
//! signals, the command line.

mod agreement;
pub mod archive;
pub mod audit;
pub mod backup;
mod candidate;
pub mod cases;
pub mod check;
pub mod component_file;
pub mod flags;
pub mod follow;
pub mod gate;
pub mod given_settings;
mod handover;
pub mod hosted;
pub mod initial;
pub mod letter_trial;
pub mod loader;
pub mod moving;
pub mod neighbours;
mod outcome;
pub mod overview;
pub mod probe;
pub mod reloader;
pub mod repair;
pub mod replay;
pub mod report;
pub mod rollback_target;
pub mod rule_settings;
pub mod selection;
pub mod settings;
pub mod stopped;
pub mod topics;
pub mod usage;
pub mod verify;
pub mod watch;

pub use reloader::{Apply, Reloader, ReloaderParts};

use archive::Archive;
use report::{NotApplied, Overview};

use crate::store::{StoreLocation, StoreResult};

/// The overview of a store's participants, or of one, even while a host runs on it.
///
/// # Errors
/// If there is no such participant, or the store can't be read.
pub fn offline_overview(
    data: &StoreLocation,
    participant: Option<&str>,
) -> Result<Overview, NotApplied> {
    let failed = |reason: String| NotApplied::Failed(reason);
    let reading = data
        .look()
        .map_err(|error| failed(error.to_string()))?
        .ok_or_else(|| failed(format!("{}: there is no store", data)))?;
    let kept = Archive::of_store(data).digests().map_err(failed)?;
    let read = || -> StoreResult<(Vec<String>, Overview)> {
        let names = reading.participants()?;
        let mut participants = Vec::new();
        for name in names
            .iter()
            .filter(|name| participant.is_none_or(|wanted| wanted == **name))
        {
            if let Some(row) = reading.participant(name)? {
                participants.push(overview::of_participant(&*reading, name, row, &kept, None)?);
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
