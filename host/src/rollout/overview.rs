//! What is told of a participant's generations, from the store and the host's own copies.

use super::archive::Archive;
use super::file::File;
use super::report::{
    ComponentFile, GenerationOverview, ParkedOverview, ParkedTimer, ParticipantOverview,
    Quarantine, Quarantined, RefusedOverview, Way,
};
use crate::store::{Answer, ReadStore};

/// Quarantined aggregates, and parked timers, that are told of at most.
const QUARANTINED: usize = 20;

/// What there is to tell of one participant. `file` is the file that it is configured with.
///
/// # Errors
/// What the store said.
pub fn of_participant(
    reading: &dyn ReadStore,
    name: &str,
    row: i64,
    archive: &Archive,
    file: Option<&File>,
) -> Answer<ParticipantOverview> {
    let active = reading.active(row)?;
    let active = active.map(|active| active.digest).unwrap_or_default();
    let generations = reading
        .generations(row)?
        .into_iter()
        .map(|past| GenerationOverview {
            is_active: past.generation.digest == active,
            is_kept: archive.holds(&past.generation.digest),
            digest: past.generation.digest,
            version: past.generation.version,
            state_version: past.generation.state_version,
            since: past.since,
            way: Way::from_word(&past.way),
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
    Ok(ParticipantOverview {
        name: name.to_owned(),
        file: file.map(|file| compared(file, &active)),
        active,
        generations,
        refused,
        quarantine: Quarantine {
            count,
            first: first
                .into_iter()
                .map(|aggregate| Quarantined {
                    key: aggregate.key,
                    reason: aggregate.reason,
                    since: aggregate.since,
                })
                .collect(),
        },
        parked,
        stale_seconds: None,
    })
}

fn parked(reading: &dyn ReadStore, row: i64) -> Answer<ParkedOverview> {
    let (messages, bytes) = reading.parked_totals(row)?;
    let first = reading.parked_timers(row, QUARANTINED)?.into_iter();
    Ok(ParkedOverview {
        messages: messages as u64,
        bytes: bytes as u64,
        timers: reading.parked_timers_up_to(row, usize::MAX >> 1)?,
        first_timers: first
            .map(|timer| ParkedTimer {
                key: timer.key,
                name: timer.name,
                since: timer.since,
                reason: timer.reason,
                detail: timer.detail,
            })
            .collect(),
    })
}

fn compared(file: &File, active: &str) -> ComponentFile {
    let digest = file.digest();
    ComponentFile {
        path: file.path().display().to_string(),
        is_active: digest.as_deref() == Some(active),
        digest,
    }
}
