//! The kinds of rows that make up a store, for any engine: tables with their columns.
//!
//! A value that engines store in different forms (ids, trace contexts, recorded decisions) is given
//! in its plain form. What an engine keeps for itself has no kind: members of lists, which a host
//! computes at its start, marks of files, dictionaries, the hosts of a store, its identity.

/// A kind of rows.
#[derive(Debug)]
pub(crate) struct Kind {
    /// The table.
    pub(crate) table: &'static str,
    /// What people call its rows.
    pub(crate) name: &'static str,
    pub(crate) columns: &'static [Column],
    /// The number of columns, from the first one on, that identify a row.
    pub(crate) key: usize,
}

/// A column: its name and the form of its values.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) form: Form,
}

/// The form of a column's values, any of which may be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// A number of 64 bits.
    Integer,
    /// A number of 32 bits.
    Small,
    /// 0 or 1.
    Boolean,
    Text,
    Bytes,
    /// The text of an id.
    Id,
    /// The text of a trace context.
    Trace,
    /// The bytes of a recorded decision; see `saga_core::journal`.
    Decision,
}

use Form::{Boolean, Bytes, Decision, Id, Integer, Small, Text, Trace};

const fn column(name: &'static str, form: Form) -> Column {
    Column { name, form }
}

macro_rules! kinds {
    ($($(#[doc = $doc:literal])* $table:ident ($name:literal, key $key:literal) { $($column:ident $form:ident),* $(,)? })*) => {
        &[$(Kind {
            table: stringify!($table),
            name: $name,
            columns: &[$(column(stringify!($column), $form)),*],
            key: $key,
        }),*]
    };
}

/// The kind that has the last given numbers, which are not given again, of tables whose rows are
/// named by number: engines keep them in various ways.
pub(crate) const LAST_NUMBERS: &str = "last_numbers";

/// All kinds. A row refers to rows of earlier kinds only.
pub(crate) const KINDS: &[Kind] = kinds! {
    participants ("participants", key 1) { id Integer, name Text, last_key Integer }
    generations ("generations", key 1) {
        id Integer, participant Integer, digest Text, component Text, settings Text, version Text, state_version Integer,
        since Integer, fuel_terms Text,
    }
    activations ("activations", key 1) {
        id Integer, participant Integer, generation Integer, time Integer, way Text, change Text,
    }
    refused_components ("refused components", key 1) {
        id Integer, participant Integer, time Integer, way Text, refused Text,
    }
    tallies ("tallies", key 3) {
        generation Integer, origin Text, name Text, decisions Integer, refusals Integer, faults Integer, last Integer,
    }
    topics ("topics", key 1) { id Integer, name Text }
    topic_ids ("identities of topics", key 2) { consumer Text, topic Integer, id Text }
    partitions ("ends of partitions", key 2) { topic Integer, partition Small, next_offset Integer }
    offsets ("offsets", key 3) {
        consumer Text, topic Integer, partition Small, next_offset Integer, dropped Integer, last_time Integer,
        last_print Integer, log Text,
    }
    aggregates ("aggregates", key 2) {
        participant Integer, key Text, revision Integer, state_version Integer, state Text, correlation Id,
    }
    inbox ("identities of applied events", key 3) { participant Integer, id Id, source Text, time Integer }
    outbox ("published records", key 3) {
        topic Integer, partition Small, position Integer, generation Integer, event_type Text, key Bytes, value Bytes,
        event_id Id, correlation Id, causation Id, traceparent Trace, extra Text, time Integer,
    }
    timers ("timers", key 3) {
        participant Integer, key Text, name Text, due Integer, body Text, set_by Id, correlation Id, traceparent Trace,
        parked Integer, reason Text, detail Text, attempts Integer, digest Text,
    }
    parked ("parked messages", key 1) {
        id Integer, participant Integer, key Text, name Text, bytes Integer, time Integer, due Integer, event_id Id,
        source Text, consumer_group Text, topic Text, declared_topic Text, incarnation Text, partition Small,
        position Integer, made Integer, attributes Text, record_key Bytes, value Bytes,
    }
    dead_letters ("dead letters", key 1) {
        id Integer, participant Integer, aggregate Text, consumer Text, topic Text, declared_topic Text,
        incarnation Text, partition Small, position Integer, made Integer, attributes Text, key Bytes, value Bytes,
        event_id Id, source Text, reason Text, detail Text, attempts Integer, digest Text, time Integer, parked Integer,
        corrected Bytes, failed_redrives Integer, is_aside Boolean, request Text, requests Integer, ended Integer,
        ended_as Text,
    }
    dead_letter_acts ("acts on dead letters", key 1) {
        id Integer, letter Integer, time Integer, by Text, act Text, detail Text, value Bytes,
    }
    quarantine ("quarantined aggregates", key 2) {
        participant Integer, key Text, generation Integer, reason Text, time Integer,
    }
    quarantine_releases ("requests to release them", key 1) {
        id Integer, participant Integer, key Text, by Text, time Integer, reason Text,
    }
    idempotency_keys ("idempotency keys", key 2) {
        participant Integer, key Text, fingerprint Bytes, aggregate Text, reply Text, correlation Id, time Integer,
    }
    journal ("recorded decisions", key 1) {
        seq Integer, generation Integer, key Text, revision Integer, state Text, decision Decision, fuel Integer,
        time Integer,
    }
    last_numbers ("last given numbers", key 1) { name Text, last Integer }
};

impl Kind {
    /// The kind of this table's rows.
    pub(crate) fn of(table: &str) -> Option<&'static Self> {
        KINDS.iter().find(|kind| kind.table == table)
    }

    /// The place of this column among the columns.
    pub(crate) fn place(&self, column: &str) -> Option<usize> {
        self.columns.iter().position(|one| one.name == column)
    }
}
