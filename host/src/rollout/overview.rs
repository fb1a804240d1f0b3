//! The overview of a participant's generations, from the store and the archive.

use rusqlite::Connection;

use super::archive::Archive;
use super::component_file::ConfiguredFile;
use super::report::{
    ComponentFile, GenerationOverview, ParkedOverview, ParkedTimerOverview, ParticipantOverview,
    QuarantineOverview, QuarantinedOverview, RefusedOverview, Way,
};
use crate::store::{history, parked};

/// Most quarantined aggregates, and parked timers, in an overview.
const QUARANTINED: usize = 20;

/// The overview of one participant. `file` is the file that it is configured with.
///
/// # Errors
/// An SQLite error.
pub fn of_participant(
    sql: &Connection,
    name: &str,
    row: i64,
    archive: &Archive,
    file: Option<&ConfiguredFile>,
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
