//! The overview of a participant's generations, from the store and the archive.

use super::component_file::ConfiguredFile;
use super::report::{
    ComponentFile, DeadLetterOverview, GenerationOverview, ParkedOverview, ParkedTimerOverview,
    ParticipantOverview, QuarantineOverview, QuarantinedOverview, RefusedOverview, Way,
};
use crate::store::{ReadStore, StoreResult};

/// Most dead letters that are counted for an overview.
const DEAD_LETTERS: usize = 10_000;

/// Most quarantined aggregates, and parked timers, in an overview.
const QUARANTINED: usize = 20;

/// The overview of one participant. `kept` are the components of the archive; `file` is the file that it is configured with.
///
/// # Errors
/// An error of the store.
pub fn of_participant(
    reading: &dyn ReadStore,
    name: &str,
    row: i64,
    kept: &[String],
    file: Option<&ConfiguredFile>,
) -> StoreResult<ParticipantOverview> {
    let active = reading.active(row)?;
    let (active, component) = active
        .map(|active| (active.digest, active.component))
        .unwrap_or_default();
    let generations = reading
        .generations(row)?
        .into_iter()
        .map(|past| GenerationOverview {
            is_active: past.generation.digest == active,
            is_kept: kept.contains(&past.generation.component),
            component: past.generation.component,
            settings: past.generation.settings,
            digest: past.generation.digest,
            version: past.generation.version,
            state_version: past.generation.state_version,
            since: past.since,
            way: Way::from_word(&past.way),
            change: (past.change.as_deref()).and_then(|text| serde_json::from_str(text).ok()),
            activations: past.activations,
            decisions: past.decisions,
            refusals: past.refusals,
            faults: past.faults,
        })
        .collect();
    let refused = reading
        .refused(row)?
        .into_iter()
        .filter_map(|(time, way, refused)| {
            Some(RefusedOverview {
                time,
                way: Way::from_word(&way),
                refused: serde_json::from_str(&refused).ok()?,
            })
        })
        .collect();
    let (count, first) = reading.quarantined(row, QUARANTINED)?;
    let parked = parked(reading, row)?;
    let (open, blocked_aggregates) = reading.open_dead_letters_up_to(row, DEAD_LETTERS)?;
    Ok(ParticipantOverview {
        name: name.to_owned(),
        file: file.map(|file| compared(file, &component)),
        active,
        generations,
        refused,
        quarantine: QuarantineOverview {
            count,
            first: first
                .into_iter()
                .map(|aggregate| QuarantinedOverview {
                    key: aggregate.key,
                    reason: aggregate.reason,
                    since: aggregate.since,
                })
                .collect(),
        },
        parked,
        dead_letters: DeadLetterOverview {
            open,
            blocked_aggregates,
        },
        audit: None,
        stale_seconds: None,
    })
}

fn parked(reading: &dyn ReadStore, row: i64) -> StoreResult<ParkedOverview> {
    let (messages, bytes) = reading.parked_totals(row)?;
    let first = reading.parked_timers(row, QUARANTINED)?.into_iter();
    Ok(ParkedOverview {
        messages: messages as u64,
        bytes: bytes as u64,
        timers: reading.parked_timers_up_to(row, usize::MAX >> 1)?,
        first_timers: first
            .map(|timer| ParkedTimerOverview {
                key: timer.key,
                name: timer.name,
                since: timer.since,
                reason: timer.reason,
                detail: timer.detail,
            })
            .collect(),
    })
}

fn compared(file: &ConfiguredFile, active: &str) -> ComponentFile {
    let digest = file.digest();
    ComponentFile {
        path: file.path().display().to_string(),
        is_active: digest.as_deref() == Some(active),
        digest,
    }
}
