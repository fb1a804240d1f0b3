//! The tables, and the version of their shape.
//!
//! The version is in `PRAGMA user_version`. A file of another version than this build's is refused
//! and not changed. Once a version has been released, the next one comes with a migration step to
//! it, in one transaction.

use rusqlite::Connection;

/// Version of the shape that this build reads and writes.
pub(super) const VERSION: i64 = 3;

/// Marks the file as a store (`PRAGMA application_id`): "SAGA" in ASCII.
pub(super) const APPLICATION_ID: i64 = 0x5341_4741;

/// Creates the tables in an empty file. To be called in a transaction.
pub(super) fn create(sql: &Connection) -> rusqlite::Result<()> {
    sql.execute_batch(TABLES)?;
    sql.pragma_update(None, "user_version", VERSION)?;
    sql.pragma_update(None, "application_id", APPLICATION_ID)
}

/// Rows are small, since a commit costs by its bytes. Repeated names (participants, topics,
/// generations) are numbers in the rows. Text is UTF-8; JSON is stored as the text in which it
/// arrived. An *id* or a *trace context* is bytes if it has the usual form, see `ids`.
const TABLES: &str = "
-- Participants that have run on this store, and the last key that was generated for each.
CREATE TABLE participants (
    id       INTEGER PRIMARY KEY,
    name     TEXT NOT NULL UNIQUE,
    last_key INTEGER NOT NULL DEFAULT 0
);
-- Generations: components that have decided, with the settings of their rules.
CREATE TABLE generations (
    id            INTEGER PRIMARY KEY,
    participant   INTEGER NOT NULL REFERENCES participants,
    digest        TEXT NOT NULL,      -- of component and settings
    component     TEXT NOT NULL,      -- digest of the component alone
    settings      TEXT,               -- what the operator gave, a JSON object; NULL for none
    version       TEXT NOT NULL,
    state_version INTEGER NOT NULL,
    since         INTEGER NOT NULL,
    fuel_terms    TEXT,               -- what fuel depends on, and since when, a JSON array; NULL if not known
    UNIQUE (participant, digest)
);
CREATE TABLE topics (
    id   INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
);
-- The state of every aggregate.
CREATE TABLE aggregates (
    participant   INTEGER NOT NULL,
    key           TEXT NOT NULL,
    revision      INTEGER NOT NULL,
    state_version INTEGER NOT NULL,
    state         TEXT,               -- NULL once it was removed: the revision lives on
    correlation,                      -- id; of the message that created it
    PRIMARY KEY (participant, key)
) WITHOUT ROWID;
-- Identities of the events that were applied.
CREATE TABLE inbox (
    participant INTEGER NOT NULL,
    id          NOT NULL,
    source      TEXT NOT NULL,
    time        INTEGER NOT NULL,
    PRIMARY KEY (participant, id, source)
) WITHOUT ROWID;
-- Published events. In the embedded log a row is the record; with Kafka the relay copies it there.
CREATE TABLE outbox (
    topic       INTEGER NOT NULL,
    partition   INTEGER NOT NULL,
    offset      INTEGER NOT NULL,
    generation  INTEGER,              -- NULL for a dead letter
    event_type  TEXT,
    key         BLOB,
    value       BLOB,
    event_id,                         -- id
    correlation,                      -- id
    causation,                        -- id
    traceparent,                      -- trace context
    extra       TEXT,                 -- further headers, a JSON array of pairs
    time        INTEGER NOT NULL,
    PRIMARY KEY (topic, partition, offset)
) WITHOUT ROWID;
-- The same for people: with names, and ids as text. The host does not use it.
CREATE VIEW published AS SELECT t.name AS topic, partition, offset, event_type, CAST(key AS TEXT) AS key,
    CAST(value AS TEXT) AS value, datetime(time / 1000.0, 'unixepoch', 'subsec') AS time,
    CASE typeof(event_id) WHEN 'blob' THEN lower(substr(hex(event_id), 1, 8) || '-' || substr(hex(event_id), 9, 4) || '-'
        || substr(hex(event_id), 13, 4) || '-' || substr(hex(event_id), 17, 4) || '-' || substr(hex(event_id), 21)) ELSE event_id END AS event_id,
    CASE typeof(correlation) WHEN 'blob' THEN lower(substr(hex(correlation), 1, 8) || '-' || substr(hex(correlation), 9, 4) || '-'
        || substr(hex(correlation), 13, 4) || '-' || substr(hex(correlation), 17, 4) || '-' || substr(hex(correlation), 21)) ELSE correlation END AS correlation,
    CASE typeof(causation) WHEN 'blob' THEN lower(substr(hex(causation), 1, 8) || '-' || substr(hex(causation), 9, 4) || '-'
        || substr(hex(causation), 13, 4) || '-' || substr(hex(causation), 17, 4) || '-' || substr(hex(causation), 21)) ELSE causation END AS causation
    FROM outbox JOIN topics t ON t.id = topic;
-- The next offset of every partition of the outbox; it outlives the rows.
CREATE TABLE partitions (
    topic       INTEGER NOT NULL,
    partition   INTEGER NOT NULL,
    next_offset INTEGER NOT NULL,
    PRIMARY KEY (topic, partition)
) WITHOUT ROWID;
-- Where each consumer group reads on.
CREATE TABLE offsets (
    consumer    TEXT NOT NULL,        -- participant and group, or the relay
    topic       INTEGER NOT NULL,
    partition   INTEGER NOT NULL,
    next_offset INTEGER NOT NULL,
    dropped     INTEGER,              -- when the consumer was dropped; NULL while it reads
    -- The last record before the offset, where it came from Kafka: its time, and a hash of its content.
    last_time   INTEGER,
    last_print  INTEGER,
    log         TEXT,                 -- sets apart positions from the same ones in a log that was there before; NULL in the first
    PRIMARY KEY (consumer, topic, partition)
) WITHOUT ROWID;
CREATE TABLE timers (
    participant INTEGER NOT NULL,
    key         TEXT NOT NULL,
    name        TEXT NOT NULL,
    due         INTEGER NOT NULL,
    body        TEXT NOT NULL,
    set_by      NOT NULL,             -- id of the message that set it
    correlation NOT NULL,             -- id
    traceparent,                      -- trace context
    -- Of one that could not be decided: since when, why and how often; NULL for one that is offered when it is due.
    parked      INTEGER,
    reason      TEXT,
    detail      TEXT,
    attempts    INTEGER,
    digest      TEXT,
    PRIMARY KEY (participant, key, name)
) WITHOUT ROWID;
CREATE INDEX timers_by_due ON timers (participant, due) WHERE parked IS NULL;
CREATE INDEX parked_timers ON timers (participant, parked) WHERE parked IS NOT NULL;
-- Recorded decisions, in the order of their commits.
CREATE TABLE journal (
    seq        INTEGER PRIMARY KEY,
    generation INTEGER NOT NULL,
    key        TEXT NOT NULL,
    revision   INTEGER NOT NULL,      -- as the rules saw it
    state      TEXT,                  -- as the rules saw it; empty if it is not kept
    decision   BLOB NOT NULL,         -- the message and the answer; see `packing`
    fuel       INTEGER NOT NULL,
    time       INTEGER NOT NULL
);
-- What decisions on messages of a name are compressed with: the first of them. It is as private as they are, so each
-- is used for a time only and deleted with the last of them. No number is given twice.
CREATE TABLE dictionaries (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    participant INTEGER NOT NULL,
    origin      TEXT NOT NULL,        -- command, event, timer
    name        TEXT NOT NULL,
    used_until  INTEGER NOT NULL,     -- time of the last decision that may use it
    bytes       BLOB NOT NULL
);
-- Records that could not be decided. Operators name them by their numbers, of which none is given twice.
CREATE TABLE dead_letters (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    participant     INTEGER NOT NULL,
    aggregate       TEXT,             -- key of the aggregate; NULL where the record could not be admitted
    consumer        TEXT NOT NULL,    -- the group
    topic           TEXT NOT NULL,
    declared_topic  TEXT NOT NULL,    -- as the participant calls it
    incarnation     TEXT,
    partition       INTEGER NOT NULL,
    offset          INTEGER NOT NULL,
    made            INTEGER NOT NULL, -- time of the record
    attributes      TEXT NOT NULL,    -- what its headers say, JSON
    key             BLOB,             -- of the record
    value           BLOB,
    event_id,                         -- id; with source, the identity of the message; NULL where it could not be admitted
    source          TEXT,
    reason          TEXT NOT NULL,    -- malformed, retries-exhausted, parking-full, or the kind of fault
    detail          TEXT NOT NULL,
    attempts        INTEGER NOT NULL,
    digest          TEXT NOT NULL,
    time            INTEGER NOT NULL,
    parked          INTEGER,          -- number of the parked message that it is; NULL for one that holds nothing back
    corrected       BLOB,             -- the value with which it is redriven instead of its own
    failed_redrives INTEGER NOT NULL DEFAULT 0,
    is_aside        INTEGER NOT NULL DEFAULT 0, -- parked only to be redriven; it holds nothing back once that failed
    request         TEXT,             -- redrive or discard, until that is done
    requests        INTEGER NOT NULL DEFAULT 0, -- how many there were, the present one included
    ended           INTEGER,          -- when
    ended_as        TEXT              -- decided or discarded
);
CREATE INDEX open_dead_letters ON dead_letters (participant, reason) WHERE ended IS NULL;
CREATE UNIQUE INDEX parked_dead_letters ON dead_letters (parked) WHERE parked IS NOT NULL;
CREATE INDEX blocked_aggregates ON dead_letters (participant, aggregate) WHERE parked IS NOT NULL;
-- What was done with dead letters, by whom.
CREATE TABLE dead_letter_acts (
    id     INTEGER PRIMARY KEY,
    letter INTEGER NOT NULL,
    time   INTEGER NOT NULL,
    by     TEXT NOT NULL,             -- the name of an operator's token, a record, or `host`
    act    TEXT NOT NULL,             -- redrive, discard, returned, failed, decided, discarded
    detail TEXT NOT NULL,
    value  BLOB                       -- of a redrive with another value
);
CREATE INDEX acts_by_letter ON dead_letter_acts (letter, id);
CREATE TRIGGER acts_go_with_their_letter AFTER DELETE ON dead_letters BEGIN
    DELETE FROM dead_letter_acts WHERE letter = OLD.id;
END;
-- Which generation became active when; the last row of a participant is the active one.
CREATE TABLE activations (
    id          INTEGER PRIMARY KEY,
    participant INTEGER NOT NULL,
    generation  INTEGER NOT NULL,
    time        INTEGER NOT NULL,
    way         TEXT NOT NULL,        -- start, file, signal, apply, rollback
    change      TEXT                  -- JSON: its class, and what the gate found; NULL if that is not known
);
CREATE INDEX activations_by_participant ON activations (participant, id);
-- What each generation was asked, and what came of it.
CREATE TABLE tallies (
    generation INTEGER NOT NULL,
    origin     TEXT NOT NULL,         -- command, event, timer
    name       TEXT NOT NULL,
    decisions  INTEGER NOT NULL,
    refusals   INTEGER NOT NULL,
    faults     INTEGER NOT NULL,
    last       INTEGER NOT NULL,      -- when it was last asked, reads included
    PRIMARY KEY (generation, origin, name)
) WITHOUT ROWID;
-- Components that were refused.
CREATE TABLE refused_components (
    id          INTEGER PRIMARY KEY,
    participant INTEGER NOT NULL,
    time        INTEGER NOT NULL,
    way         TEXT NOT NULL,
    refused     TEXT NOT NULL         -- JSON: which check, the reasons, the digest
);
-- Aggregates whose states could not be migrated; a row goes when one can.
CREATE TABLE quarantine (
    participant INTEGER NOT NULL,
    key         TEXT NOT NULL,
    generation  INTEGER NOT NULL,
    reason      TEXT NOT NULL,
    time        INTEGER NOT NULL,
    PRIMARY KEY (participant, key)
) WITHOUT ROWID;
-- The latest requests of operators to release a quarantined aggregate.
CREATE TABLE quarantine_releases (
    id          INTEGER PRIMARY KEY,
    participant INTEGER NOT NULL,
    key         TEXT NOT NULL,
    by          TEXT NOT NULL,        -- the operator
    time        INTEGER NOT NULL,
    reason      TEXT                  -- why it was not released, empty if it was; NULL until that is known
);
CREATE INDEX releases_by_participant ON quarantine_releases (participant, id);
-- By which name others know this store.
CREATE TABLE identity (
    id TEXT NOT NULL
);
-- Begins with the time (milliseconds, hexadecimal), so that of two stores the older one comes first.
INSERT INTO identity VALUES (printf('%011x', CAST(unixepoch('subsec') * 1000 AS INTEGER)) || lower(hex(randomblob(4))));
-- The topic that a consumer of Kafka reads under a name; a recreated topic has another id.
CREATE TABLE topic_ids (
    consumer TEXT NOT NULL,
    topic    INTEGER NOT NULL,
    id       TEXT NOT NULL,
    PRIMARY KEY (consumer, topic)
) WITHOUT ROWID;
-- In the order of their commits, so that the oldest go first and new ones lie side by side.
CREATE TABLE idempotency_keys (
    seq         INTEGER PRIMARY KEY,
    participant INTEGER NOT NULL,
    key         TEXT NOT NULL,        -- the client's
    fingerprint BLOB NOT NULL,        -- of the request, SHA-256
    aggregate   TEXT NOT NULL,        -- key of the aggregate
    reply       TEXT NOT NULL,        -- JSON: done, pending, refused
    correlation NOT NULL,             -- id
    time        INTEGER NOT NULL,
    UNIQUE (participant, key)
);
-- By which the file and its log are known to belong together; see host/src/store/sqlite/log_mark.rs.
CREATE TABLE log_mark (
    mark TEXT NOT NULL
);
INSERT INTO log_mark VALUES (lower(hex(randomblob(10))));
-- The time up to which old rows were deleted by; empty until it is known. See host/src/store/sqlite/trusted_time.rs.
CREATE TABLE trusted_time (
    time INTEGER NOT NULL
);
-- Messages that wait until they can be decided, in the order of their numbers for each key: records that were consumed,
-- and the places of timers among them. No number is given twice: workers go on after the one that they settled last.
CREATE TABLE parked (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    participant    INTEGER NOT NULL,
    key            TEXT NOT NULL,     -- of the aggregate
    name           TEXT NOT NULL,     -- event type, or name of the timer
    bytes          INTEGER NOT NULL,
    time           INTEGER NOT NULL,
    due            INTEGER,           -- of a timer; NULL for a record
    event_id,                         -- id; with source, the identity of the message; NULL for a timer
    source         TEXT,
    consumer_group TEXT,
    topic          TEXT,
    declared_topic TEXT,              -- as the participant calls it
    incarnation    TEXT,
    partition      INTEGER,
    offset         INTEGER,
    made           INTEGER,           -- time of the record
    attributes     TEXT,              -- what its headers say, JSON
    record_key     BLOB,
    value          BLOB
);
CREATE INDEX parked_by_key ON parked (participant, key, id, bytes);
CREATE UNIQUE INDEX parked_by_identity ON parked (participant, event_id, source) WHERE source IS NOT NULL;
";

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use saga_core::identity::uuid_v8;

    use super::*;
    use crate::store::sqlite::ids::Id;

    #[test]
    fn people_read_published_records_with_names_and_ids_as_text() {
        let sql = Connection::open_in_memory().unwrap();
        create(&sql).unwrap();
        let id = uuid_v8(1_700_000_000_000, [0xab; 10]);
        sql.execute_batch("INSERT INTO topics VALUES (1, 't')")
            .unwrap();
        sql.execute(
            "INSERT INTO outbox (topic, partition, offset, key, value, event_id, correlation, time)
             VALUES (1, 0, 0, CAST('k' AS BLOB), CAST('{}' AS BLOB), ?1, ?2, 1700000000123)",
            [Id::of(&id), Id::of("shop-17")],
        )
        .unwrap();
        let columns = "topic, key, value, time, event_id, correlation";
        let row: [String; 6] = sql
            .query_row(&format!("SELECT {columns} FROM published"), [], |row| {
                let column = |at| row.get(at);
                Ok([
                    column(0)?,
                    column(1)?,
                    column(2)?,
                    column(3)?,
                    column(4)?,
                    column(5)?,
                ])
            })
            .unwrap();
        let time = "2023-11-14 22:13:20.123";
        assert_eq!(row, ["t", "k", "{}", time, &id, "shop-17"]);
    }
}
