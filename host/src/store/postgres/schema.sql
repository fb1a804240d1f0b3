-- The tables of a store, in the PostgreSQL schema that is named after it. Times are milliseconds since the Unix epoch,
-- JSON is stored as the text in which it arrived.

-- The version of these tables, and the name by which other hosts know this store.
CREATE TABLE store (
    version  integer NOT NULL,
    identity text NOT NULL
);
-- The hosts that have this store open; row 0 is a command that has it alone. A commit of an incarnation that is not the
-- row's is refused, and one of another epoch.
CREATE TABLE hosts (
    id          bigint PRIMARY KEY,
    incarnation bigint NOT NULL,
    name        text NOT NULL,             -- where it runs
    since       timestamptz NOT NULL,
    seen        timestamptz NOT NULL,      -- its last sign of life; 'epoch' once it has ended
    batch       bigint NOT NULL DEFAULT 0, -- number of its last commit: tells if one whose answer was lost took place
    epoch       bigint NOT NULL,           -- number of activations in this store; the same in all rows
    followed    bigint NOT NULL DEFAULT -1, -- the number of those after which it has taken over what was active; -1 before
    behind      text                       -- why it can't take over what is active; NULL if it can
);
-- What one host at a time does for all: which hosts could, and which one does.
CREATE TABLE candidates (
    host bigint NOT NULL,
    duty text COLLATE "C" NOT NULL,
    PRIMARY KEY (host, duty)
);
CREATE TABLE duties (
    name        text COLLATE "C" PRIMARY KEY,
    host        bigint NOT NULL,
    incarnation bigint NOT NULL
);
-- The generation that a host is about to activate, and what the other hosts of its participant say to that. Without a
-- participant there is none.
CREATE TABLE proposal (
    only_one    boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    number      bigint NOT NULL,
    participant bigint,
    generation  bigint,
    host        bigint NOT NULL,
    incarnation bigint NOT NULL
);
CREATE TABLE answers (
    number      bigint NOT NULL,           -- of the proposal
    host        bigint NOT NULL,
    incarnation bigint NOT NULL,
    refused     text,                      -- why it can't; NULL if it is ready
    PRIMARY KEY (number, host)
);
-- Participants that have run on this store, and the last key that was generated for each.
CREATE TABLE participants (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name     text COLLATE "C" NOT NULL UNIQUE,
    last_key bigint NOT NULL DEFAULT 0
);
-- Generations: components that have decided, with the settings of their rules.
CREATE TABLE generations (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    participant   bigint NOT NULL REFERENCES participants,
    digest        text COLLATE "C" NOT NULL, -- of component and settings
    component     text NOT NULL,             -- digest of the component alone
    settings      text,                      -- what the operator gave, a JSON object; NULL for none
    version       text NOT NULL,
    state_version bigint NOT NULL,
    since         bigint NOT NULL,
    fuel_terms    text,                      -- what fuel depends on, and since when, a JSON array; NULL if not known
    UNIQUE (participant, digest)
);
-- The components of these generations, for all hosts.
CREATE TABLE components (
    digest text COLLATE "C" PRIMARY KEY, -- SHA-256, hexadecimal
    bytes  bytea NOT NULL
);
ALTER TABLE components ALTER COLUMN bytes SET STORAGE EXTERNAL; -- not compressed: they are read rarely, and whole
CREATE TABLE topics (
    id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text COLLATE "C" NOT NULL UNIQUE
);
-- The state of every aggregate.
CREATE TABLE aggregates (
    participant   bigint NOT NULL,
    key           text COLLATE "C" NOT NULL,
    revision      bigint NOT NULL,
    state_version bigint NOT NULL,
    state         text,               -- NULL once it was removed: the revision lives on
    correlation   text,               -- of the message that created it
    PRIMARY KEY (participant, key)
);
CREATE INDEX aggregates_by_version ON aggregates (participant, state_version, key) WHERE state IS NOT NULL;
-- The lists of a participant: pointers into its states; '' for the list of all aggregates.
CREATE TABLE lists (
    participant bigint NOT NULL,
    pointer     text COLLATE "C" NOT NULL,
    PRIMARY KEY (participant, pointer)
);
-- The members of the lists, which the host computes from the states. A row is written only if its value changes.
CREATE TABLE listed (
    participant bigint NOT NULL,
    pointer     text COLLATE "C" NOT NULL,
    value       text COLLATE "C" NOT NULL, -- see host/src/store/postgres/lists.rs; '' in the list of all aggregates
    key         text COLLATE "C" NOT NULL,
    PRIMARY KEY (participant, pointer, key)
);
CREATE INDEX listed_in_order ON listed (participant, pointer, value, length(key), key);
-- Identities of the events that were applied.
CREATE TABLE inbox (
    participant bigint NOT NULL,
    id          text COLLATE "C" NOT NULL,
    source      text COLLATE "C" NOT NULL,
    time        bigint NOT NULL,
    PRIMARY KEY (participant, id, source)
);
CREATE INDEX inbox_by_time ON inbox (time);
-- Published events. In the embedded log a row is the record; with Kafka the relay copies it there.
CREATE TABLE outbox (
    topic       bigint NOT NULL,
    partition   integer NOT NULL,
    position    bigint NOT NULL,      -- the record's offset
    generation  bigint,               -- NULL for a dead letter
    event_type  text,
    key         bytea,
    value       bytea,
    event_id    text,
    correlation text,
    causation   text,
    traceparent text,
    extra       text,                 -- further headers, a JSON array of pairs
    time        bigint NOT NULL,
    PRIMARY KEY (topic, partition, position)
);
-- The next offset of every partition of the outbox; it outlives the rows.
CREATE TABLE partitions (
    topic       bigint NOT NULL,
    partition   integer NOT NULL,
    next_offset bigint NOT NULL,
    PRIMARY KEY (topic, partition)
);
-- Where each consumer group reads on.
CREATE TABLE offsets (
    consumer    text COLLATE "C" NOT NULL, -- participant and group, or the relay
    topic       bigint NOT NULL,
    partition   integer NOT NULL,
    next_offset bigint,               -- NULL until it has read something
    epoch       bigint NOT NULL DEFAULT 0, -- counts the hosts that have read it; an offset of another epoch is refused
    owner       bigint,               -- the host that has claimed it last; NULL once that has left
    dropped     bigint,               -- when the consumer was dropped; NULL while it reads
    -- The last record before the offset, where it came from Kafka: its time, and a hash of its content.
    last_time   bigint,
    last_print  bigint,
    log         text,                 -- sets apart positions from the same ones in a log that was there before; NULL in the first
    PRIMARY KEY (consumer, topic, partition)
);
CREATE TABLE timers (
    participant bigint NOT NULL,
    key         text COLLATE "C" NOT NULL,
    name        text COLLATE "C" NOT NULL,
    due         bigint NOT NULL,
    body        text NOT NULL,
    set_by      text NOT NULL,        -- id of the message that set it
    correlation text NOT NULL,
    traceparent text,
    -- Of one that could not be decided: since when, why and how often; NULL for one that is offered when it is due.
    parked      bigint,
    reason      text,
    detail      text,
    attempts    bigint,
    digest      text,
    PRIMARY KEY (participant, key, name)
);
CREATE INDEX timers_by_due ON timers (participant, due, key, name) WHERE parked IS NULL;
CREATE INDEX parked_timers ON timers (participant, parked) WHERE parked IS NOT NULL;
-- The last number in the journal: numbers follow the order of the commits.
CREATE TABLE journal_end (
    seq bigint NOT NULL
);
-- Recorded decisions, in the order of their commits.
CREATE TABLE journal (
    seq        bigint PRIMARY KEY,
    generation bigint NOT NULL,
    key        text NOT NULL,
    revision   bigint NOT NULL,       -- as the rules saw it
    state      text,                  -- as the rules saw it; empty if it is not kept
    decision   bytea NOT NULL,        -- the message and the answer; see saga_core::journal
    fuel       bigint NOT NULL,
    time       bigint NOT NULL
);
CREATE INDEX journal_by_key ON journal (key, seq);
-- Records that could not be decided. Operators name them by their numbers.
CREATE TABLE dead_letters (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    participant     bigint NOT NULL,
    aggregate       text COLLATE "C", -- key of the aggregate; NULL where the record could not be admitted
    consumer        text NOT NULL,    -- the group
    topic           text NOT NULL,
    declared_topic  text NOT NULL,    -- as the participant calls it
    incarnation     text,
    partition       integer NOT NULL,
    position        bigint NOT NULL,
    made            bigint NOT NULL,  -- time of the record
    attributes      text NOT NULL,    -- what its headers say, JSON
    key             bytea,            -- of the record
    value           bytea,
    event_id        text,             -- with source, the identity of the message; NULL where it could not be admitted
    source          text,
    reason          text NOT NULL,    -- malformed, retries-exhausted, parking-full, or the kind of fault
    detail          text NOT NULL,
    attempts        bigint NOT NULL,
    digest          text NOT NULL,
    time            bigint NOT NULL,
    parked          bigint,           -- number of the parked message that it is; NULL for one that holds nothing back
    corrected       bytea,            -- the value with which it is redriven instead of its own
    failed_redrives bigint NOT NULL DEFAULT 0,
    is_aside        boolean NOT NULL DEFAULT false, -- parked only to be redriven; it holds nothing back once that failed
    request         text,             -- redrive or discard, until that is done
    requests        bigint NOT NULL DEFAULT 0, -- how many there were, the present one included
    ended           bigint,           -- when
    ended_as        text              -- decided or discarded
);
CREATE INDEX dead_letters_by_time ON dead_letters (time);
CREATE INDEX open_dead_letters ON dead_letters (participant, reason) WHERE ended IS NULL;
CREATE INDEX open_dead_letters_in_order ON dead_letters (participant, id) WHERE ended IS NULL;
CREATE UNIQUE INDEX parked_dead_letters ON dead_letters (parked) WHERE parked IS NOT NULL;
CREATE INDEX blocked_aggregates ON dead_letters (participant, aggregate, parked) WHERE parked IS NOT NULL;
-- What was done with dead letters, by whom.
CREATE TABLE dead_letter_acts (
    id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    letter bigint NOT NULL REFERENCES dead_letters ON DELETE CASCADE,
    time   bigint NOT NULL,
    by     text NOT NULL,             -- the name of an operator's token, a record, or `host`
    act    text NOT NULL,             -- redrive, discard, returned, failed, decided, discarded
    detail text NOT NULL,
    value  bytea                      -- of a redrive with another value
);
CREATE INDEX acts_by_letter ON dead_letter_acts (letter, id);
-- Which generation became active when; the last row of a participant is the active one.
CREATE TABLE activations (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    participant bigint NOT NULL,
    generation  bigint NOT NULL,
    time        bigint NOT NULL,
    way         text NOT NULL,        -- start, file, signal, apply, rollback
    change      text                  -- JSON: its class, and what the gate found; NULL if that is not known
);
CREATE INDEX activations_by_participant ON activations (participant, id);
-- What each generation was asked, and what came of it, as counted by each host.
CREATE TABLE tallies (
    generation bigint NOT NULL,
    origin     text COLLATE "C" NOT NULL, -- command, event, timer
    name       text COLLATE "C" NOT NULL,
    host       bigint NOT NULL,
    decisions  bigint NOT NULL,
    refusals   bigint NOT NULL,
    faults     bigint NOT NULL,
    last       bigint NOT NULL,       -- when it was last asked, reads included
    PRIMARY KEY (generation, origin, name, host)
);
-- Components that were refused.
CREATE TABLE refused_components (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    participant bigint NOT NULL,
    time        bigint NOT NULL,
    way         text NOT NULL,
    refused     text NOT NULL         -- JSON: which check, the reasons, the digest
);
CREATE INDEX refused_by_participant ON refused_components (participant, id);
-- Aggregates whose states could not be migrated; a row goes when one can.
CREATE TABLE quarantine (
    participant bigint NOT NULL,
    key         text COLLATE "C" NOT NULL,
    generation  bigint NOT NULL,
    reason      text NOT NULL,
    time        bigint NOT NULL,
    PRIMARY KEY (participant, key)
);
CREATE INDEX quarantine_by_time ON quarantine (participant, time, key);
-- The latest requests of operators to release a quarantined aggregate.
CREATE TABLE quarantine_releases (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    participant bigint NOT NULL,
    key         text NOT NULL,
    by          text NOT NULL,        -- the operator
    time        bigint NOT NULL,
    reason      text                  -- why it was not released, empty if it was; NULL until that is known
);
CREATE INDEX releases_by_participant ON quarantine_releases (participant, id);
-- The topic that a consumer of Kafka reads under a name; a recreated topic has another id.
CREATE TABLE topic_ids (
    consumer text COLLATE "C" NOT NULL,
    topic    bigint NOT NULL,
    id       text NOT NULL,
    PRIMARY KEY (consumer, topic)
);
CREATE TABLE idempotency_keys (
    participant bigint NOT NULL,
    key         text COLLATE "C" NOT NULL, -- the client's
    fingerprint bytea NOT NULL,       -- of the request, SHA-256
    aggregate   text NOT NULL,        -- key of the aggregate
    reply       text NOT NULL,        -- JSON: done, pending, refused
    correlation text NOT NULL,
    time        bigint NOT NULL,
    PRIMARY KEY (participant, key)
);
CREATE INDEX idempotency_keys_by_time ON idempotency_keys (time);
-- Messages that wait until they can be decided, in the order of their numbers for each key: records that were consumed,
-- and the places of timers among them.
CREATE TABLE parked (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    participant    bigint NOT NULL,
    key            text COLLATE "C" NOT NULL, -- of the aggregate
    name           text COLLATE "C" NOT NULL, -- event type, or name of the timer
    bytes          bigint NOT NULL,
    time           bigint NOT NULL,
    due            bigint,            -- of a timer; NULL for a record
    event_id       text COLLATE "C",  -- with source, the identity of the message; NULL for a timer
    source         text COLLATE "C",
    consumer_group text,
    topic          text,
    declared_topic text,              -- as the participant calls it
    incarnation    text,
    partition      integer,
    position       bigint,
    made           bigint,            -- time of the record
    attributes     text,              -- what its headers say, JSON
    record_key     bytea,
    value          bytea
);
CREATE INDEX parked_by_key ON parked (participant, key, id);
CREATE INDEX parked_in_order ON parked (participant, id);
CREATE UNIQUE INDEX parked_by_identity ON parked (participant, event_id, source) WHERE source IS NOT NULL;

INSERT INTO journal_end VALUES (0);
-- Begins with the time (milliseconds, hexadecimal), so that of two stores the older one comes first.
INSERT INTO store VALUES (5, lpad(to_hex((extract(epoch FROM clock_timestamp()) * 1000)::bigint), 11, '0')
    || substr(md5(gen_random_uuid()::text), 1, 8));
