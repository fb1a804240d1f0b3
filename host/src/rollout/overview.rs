//! What is told of a participant's generations, from the store and the host's own copies.

use rusqlite::Connection;

use super::archive::Archive;
use super::file::File;
use super::report::{
    ComponentFile, GenerationOverview, ParkedOverview, ParkedTimer, ParticipantOverview,
    Quarantine, Quarantined, RefusedOverview, Way,
};
use crate::store::{history, parked};

/// Quarantined aggregates, and parked timers, that are told of at most.
const QUARANTINED: usize = 20;

/// What there is to tell of one participant. `file` is the file that it is configured with.
///
/// # Errors
/// What SQLite said.
pub fn of_participant(
    sql: &Connection,
    name: &str,
    row: i64,
    archive: &Archive,
    file: Option<&File>,
) -> rusqlite::Result<ParticipantOverview> {
    let active = history::active(sql, row)?;
    let active = active.map(|build| build.digest).unwrap_or_default();
    let generations = history::builds(sql, row)?
        .into_iter()
        .map(|past| GenerationOverview {
            is_active: past.build.digest == active,
            is_kept: archive.holds(&past.build.digest),
            digest: past.build.digest,
            version: past.build.version,
            state_version: past.build.state_version,
            since: past.since,
            way: Way::from_word(&past.way),
            activations: past.activations,
            decisions: past.decisions,
            refusals: past.refusals,
            faults: past.faults,
        })
        .collect();
    let refused = history::refused(sql, row)?
        .into_iter()
        .filter_map(|(time, way, refused)| {
            Some(RefusedOverview {
                time,
                way: Way::from_word(&way),
                refused: serde_json::from_str(&refused).ok()?,
            })
        })
        .collect();
    let (count, first) = history::quarantined(sql, row, QUARANTINED)?;
    let parked = parked(sql, row)?;
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

fn parked(sql: &Connection, row: i64) -> rusqlite::Result<ParkedOverview> {
    let (messages, bytes) = parked::totals(sql, row)?;
    let first = parked::timers(sql, row, QUARANTINED)?.into_iter();
    Ok(ParkedOverview {
        messages: messages as u64,
        bytes: bytes as u64,
        timers: parked::timers_up_to(sql, row, usize::MAX >> 1)?,
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
