//! The tables, and the version of their shape.
//!
//! The version stands in `PRAGMA user_version`. A file of another version than this build's is
//! refused and not touched. Once a version was released, the next one comes with a step that leads
//! to it, in one transaction.

use rusqlite::Connection;

/// Version of the shape that this build reads and writes.
pub(super) const VERSION: i64 = 1;

/// Marks the file as ours (`PRAGMA application_id`): "SAGA" in ASCII.
pub(super) const APPLICATION_ID: i64 = 0x5341_4741;

/// Makes the tables in an empty file. To be called in a transaction.
pub(super) fn create(sql: &Connection) -> rusqlite::Result<()> {
    sql.execute_batch(TABLES)?;
    sql.pragma_update(None, "user_version", VERSION)?;
    sql.pragma_update(None, "application_id", APPLICATION_ID)
}

/// Rows are kept small, for bytes are what a commit costs. Names that repeat (participants, topics,
/// generations) are numbers in the rows. Text is UTF-8; JSON is kept as the text it arrived as.
const TABLES: &str = "
-- Participants that have run on this store, and the last key that was generated for each.
CREATE TABLE participants (
    id       INTEGER PRIMARY KEY,
    name     TEXT NOT NULL UNIQUE,
    last_key INTEGER NOT NULL DEFAULT 0
);
-- Generations: components that have decided.
CREATE TABLE generations (
    id            INTEGER PRIMARY KEY,
    participant   INTEGER NOT NULL REFERENCES participants,
    digest        TEXT NOT NULL,
    version       TEXT NOT NULL,
    state_version INTEGER NOT NULL,
    since         INTEGER NOT NULL,
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
    PRIMARY KEY (participant, key)
) WITHOUT ROWID;
-- Identities of the events that were applied.
CREATE TABLE inbox (
    participant INTEGER NOT NULL,
    id          TEXT NOT NULL,
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
    event_id    TEXT,
    correlation TEXT,
    causation   TEXT,
    traceparent TEXT,
    extra       TEXT,                 -- further headers, a JSON array of pairs
    time        INTEGER NOT NULL,
    PRIMARY KEY (topic, partition, offset)
) WITHOUT ROWID;
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
    set_by      TEXT NOT NULL,        -- id of the message that set it
    correlation TEXT NOT NULL,
    traceparent TEXT,
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
    state      TEXT,                  -- as the rules saw it
    message    TEXT NOT NULL,
    outcome    TEXT NOT NULL,
    fuel       INTEGER NOT NULL,
    time       INTEGER NOT NULL
);
CREATE TABLE dead_letters (
    id          INTEGER PRIMARY KEY,
    participant INTEGER NOT NULL,
    consumer    TEXT NOT NULL,        -- the group, or `timer`
    topic       TEXT NOT NULL,
    partition   INTEGER NOT NULL,
    offset      INTEGER NOT NULL,
    key         BLOB,
    value       BLOB,
    reason      TEXT NOT NULL,        -- malformed, retries-exhausted, or the kind of fault
    detail      TEXT NOT NULL,
    attempts    INTEGER NOT NULL,
    digest      TEXT NOT NULL,
    time        INTEGER NOT NULL
);
-- Which generation became active when; the last row of a participant is the active one.
CREATE TABLE activations (
    id          INTEGER PRIMARY KEY,
    participant INTEGER NOT NULL,
    generation  INTEGER NOT NULL,
    time        INTEGER NOT NULL,
    way         TEXT NOT NULL         -- start, file, signal, apply, rollback
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
    is_first INTEGER NOT NULL,
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
    event_id       TEXT,              -- with source, the identity of the message; NULL for a timer
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
