//! Recorded decisions as a file, for tests of rules (`saga_contract::cases`).
//!
//! The store is only read, in pages, and a host may run on it meanwhile.
//!
//! # Layout
//!
//! - this file: the order of the lines
//! - [`form`]: a decision in the form of the file
//! - `redaction`: values that are replaced
//!
//! Must not know: the command line.

pub mod form;
mod redaction;

use std::collections::BTreeSet;
use std::io::Write;
use std::ops::ControlFlow;

use saga_contract::cases::{self, Case, Generation, Header};

use self::redaction::Redaction;
use super::replay::{self, NotReplayed};
use super::selection::Selection;
use super::verify;
use crate::store::{JournalRow, StoreLocation, decisions};

/// The decisions that are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    /// The participant that decided.
    pub participant: String,
    /// The data directory of its host.
    pub data: StoreLocation,
    /// Which of its decisions.
    pub selection: Selection,
    /// JSON pointers to values that are replaced.
    pub redact: Vec<String>,
}

/// What was written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exported {
    /// Number of decisions.
    pub decisions: u64,
    /// The decisions that were left out, because they can't be read.
    pub left_out: u64,
    /// The first of them, and why.
    pub first_left_out: Option<String>,
    /// Pointers at which no decision had a value.
    pub not_found: Vec<String>,
}

/// Writes recorded decisions.
///
/// # Errors
/// The reason why that is not possible, or not for all.
pub fn export(request: &Export, out: &mut dyn Write) -> Result<Exported, NotReplayed> {
    let data = &request.data;
    let unread = |error| NotReplayed::from(verify::unreadable(data, &error));
    let mut redaction = Redaction::new(&request.redact).map_err(NotReplayed::BadPointer)?;
    let reading = &*verify::open(data)?;
    let row = replay::participant(reading, &request.participant, data)?;
    let wanted = request.selection.range(reading, row).map_err(unread)?;
    let span = reading.decisions_span(&wanted).map_err(unread)?;
    let digests = match span {
        Some(span) => reading
            .deciding_generations(&wanted, span)
            .map_err(unread)?,
        None => BTreeSet::new(),
    };
    let generations = reading.generations(row).map_err(unread)?;
    let generations = generations.into_iter().map(|past| past.generation);
    let used = generations.filter(|one| digests.contains(&one.digest));
    let header = Header {
        participant: request.participant.clone(),
        generations: used
            .map(|one| Generation {
                settings: one.given().into_iter().collect(),
                digest: one.digest,
                version: one.version,
                state_version: one.state_version,
            })
            .collect(),
        redacted: request.redact.clone(),
    };
    write(out, &header.line())?;
    let mut exported = Exported::default();
    let mut write_row = |row: JournalRow| {
        let named = |case: Case| match header.names(&case) {
            true => Ok(case),
            false => Err("the store does not know its rules any more".to_owned()),
        };
        let case = match form::case(&row).and_then(named) {
            Ok(case) => case,
            Err(why) => {
                exported.left_out += 1;
                exported
                    .first_left_out
                    .get_or_insert_with(|| format!("decision {} on {}: {why}", row.seq, row.key));
                return Ok(());
            }
        };
        let case = redaction.redacted(case).map_err(|reason| {
            NotReplayed::Refusal(format!("decision {} on {}: {reason}", row.seq, row.key))
        })?;
        exported.decisions += 1;
        write(out, &case.line())
    };
    let on = |row| match write_row(row) {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => ControlFlow::Break(error),
    };
    if let Some(span) = span
        && let ControlFlow::Break(error) =
            decisions::each_of_span(reading, &wanted, span, on).map_err(unread)?
    {
        return Err(error);
    }
    write(out, &cases::last_line(exported.decisions))?;
    out.flush().map_err(|error| unwritten(&error))?;
    if exported.decisions > 0 {
        exported.not_found = redaction.not_found();
    }
    Ok(exported)
}

fn write(out: &mut dyn Write, line: &str) -> Result<(), NotReplayed> {
    writeln!(out, "{line}").map_err(|error| unwritten(&error))
}

fn unwritten(error: &std::io::Error) -> NotReplayed {
    NotReplayed::Failed(format!("the decisions can't be written: {error}"))
}
