//! Everything that a candidate is checked for beyond that it can be loaded: another participant, what it
//! lacks of what is in use, what it can't read of what is stored, whether it breaks on recorded inputs.
//!
//! Reads the store and changes nothing, so it serves a host that runs as well as the check offline.

use std::sync::Arc;

use rusqlite::Connection;
use saga_core::compatibility;
use saga_core::description::Description;
use saga_core::limits::TurnLimits;
use saga_core::shapes::{Concerns, Found};

use super::flags::{DROP_USED, Flags, Objections};
use super::probe::{self, Inputs};
use super::report::{Check, Probe, Refused};
use super::usage::Usage;
use crate::config::ParticipantConfig;
use crate::generation::Build;
use crate::store::history;
use crate::transport::Source;

/// Stored states of older shapes that a candidate is tried on.
const STATES: usize = 64;

/// What a candidate is compared with.
pub struct Present<'p> {
    /// What the active build says of itself.
    pub active: &'p Description,
    /// Row of the participant.
    pub participant: i64,
    /// What is read.
    pub sources: Vec<Arc<Source>>,
    /// Milliseconds for which something that was asked counts as in use.
    pub retention_ms: u64,
    /// Milliseconds since the Unix epoch.
    pub now: u64,
    /// What was found of the candidate beside the active build and the other participants.
    pub shapes: Arc<Found>,
}

/// What the comparison showed, where there is no reason to refuse.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// Whether the candidate lacks anything, so that its first turn must not begin before the last turn of
    /// the active build has ended.
    pub lacks: bool,
    /// What an operator should know.
    pub notes: Vec<String>,
}

/// Compares a candidate with what is there.
///
/// # Errors
/// Everything that speaks against it, or what SQLite said.
pub fn compare(
    sql: &Connection,
    present: &Present<'_>,
    candidate: &dyn Build,
    flags: Flags,
) -> rusqlite::Result<Result<Compared, Refused>> {
    let description = candidate.description();
    let lacks = compatibility::lacks(present.active, description);
    let usage = Usage {
        sql,
        participant: present.participant,
        consumers: (present.sources.iter())
            .map(|source| {
                let declared = source.declared_topic.clone();
                (source.consumer.clone(), source.topic_row, declared)
            })
            .collect(),
        retention_ms: present.retention_ms,
        now: present.now,
    };
    let conflicts = usage.conflicts(description, &lacks)?;
    let mut objections = Objections {
        hard: conflicts.hard,
        used: conflicts.used,
        breaking: Vec::new(),
    };
    let mut notes = conflicts.unused;
    notes.extend(usage.object(&present.shapes, &mut objections)?);
    // A timer may be set, or a state stored, until the first turn of the candidate.
    let mut breaks = present.shapes.breaks.iter();
    let may_come = breaks.any(|one| one.concerns != Concerns::Others);
    Ok(objections
        .weigh(flags, candidate.digest())
        .map(|allowed| Compared {
            lacks: !lacks.is_empty() || may_come,
            notes: notes.into_iter().chain(allowed).collect(),
        }))
}

/// Compares where a candidate wants to be served with where the active build is: that would follow only at the next start.
/// Where it moves all routes it is as if they were dropped.
///
/// # Errors
/// That its routes would move.
pub fn endpoint(
    own: &ParticipantConfig,
    active: &Description,
    base_path: &str,
    candidate: &dyn Build,
    flags: Flags,
) -> Result<Option<String>, Refused> {
    let declared = &candidate.description().endpoint;
    if own.base_path.is_none() && declared.base_path != base_path {
        let moves = format!(
            "its base path is `{}`, not `{base_path}`: from the next start on, all routes would be elsewhere; set \
             base_path to keep them, or to move them",
            declared.base_path
        );
        if flags.drop_used {
            return Ok(Some(moves));
        }
        let digest = Some(candidate.digest().to_owned());
        return Err(Refused {
            allowed_by: vec![DROP_USED.to_owned()],
            ..Refused::new(Check::Compatibility, vec![moves], digest)
        });
    }
    let (now, then) = (active.endpoint.port, declared.port);
    let moves = own.listen.is_none() && now != then;
    Ok(moves.then(|| {
        format!("its port is {then}, not {now}: it is served there from the next start on; set listen to keep the other")
    }))
}

/// What a candidate is to be tried on: at most so many recorded inputs, and stored states of older shapes.
///
/// # Errors
/// What SQLite said.
pub fn inputs(
    sql: &Connection,
    participant: i64,
    candidate: &dyn Build,
    most: usize,
) -> rusqlite::Result<Inputs> {
    let version = candidate.description().state.version;
    Ok(Inputs {
        recorded: history::recorded(sql, participant, most)?,
        states: history::states_of_other_versions(sql, participant, version, STATES.min(most))?,
    })
}

/// Tries a candidate on recorded inputs.
///
/// # Errors
/// On what it broke.
pub fn probe(candidate: &dyn Build, limits: &TurnLimits, inputs: Inputs) -> Result<Probe, Refused> {
    probe::probe(candidate, limits, inputs)
        .map_err(|reasons| Refused::new(Check::Probe, reasons, Some(candidate.digest().to_owned())))
}
