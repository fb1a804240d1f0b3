//! The queries on tables of a real server: their answers, and the rows that they read for them.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

use std::sync::Arc;

use saga_contract::listing::FilterValue;
use saga_core::commit::FiredTimer;
use saga_core::identity::Identity;
use saga_core::journal;
use saga_core::message::{Message, Origin};
use saga_testkit::postgres;

use super::PostgresReader;
use super::row::get;
use crate::store::conformance::{message, nothing};
use crate::store::dead_letters::LetterFilter;
use crate::store::decisions::{self, DecisionRange, JournalSpan};
use crate::store::index::{Index, Page, Wanted};
use crate::store::list_changes::{ChangesWanted, JournalPosition};
use crate::store::postgres::address::ServerAddress;
use crate::store::read::ReadStore;
use crate::store::sample::SampledTopic;
use crate::store::streams::{Backlog, OutboxReaders, RELAY};

const TABLES: &str = include_str!("../schema.sql");

/// Rows of each table of [`large`].
const ROWS: i64 = 20_000;

/// The tables of a store in a schema of their own, which is dropped with it.
struct Tables {
    schema: String,
    reader: PostgresReader,
}

impl Tables {
    /// None where there is no server.
    fn new() -> Option<Self> {
        if !postgres::can_run() {
            return None;
        }
        let number = format!("{:016x}", fastrand::u64(..));
        let schema = format!("saga_read_{number}");
        let tables = Self {
            reader: reader(&schema),
            schema,
        };
        tables.run(&format!("CREATE SCHEMA {}; {TABLES}", tables.schema));
        tables.run(
            "INSERT INTO participants (name) VALUES ('order'), ('customer');
             INSERT INTO generations (participant, digest, component, version, state_version, since)
                 VALUES (1, 'a', 'a', '1', 3, 0), (2, 'b', 'b', '1', 1, 0);
             INSERT INTO topics (name) VALUES ('t'), ('u');",
        );
        Some(tables)
    }

    fn run(&self, text: &str) {
        self.reader.session().run(text).unwrap();
    }

    fn read(&self) -> &dyn ReadStore {
        &self.reader
    }

    /// A session of its own, whose statements are planned anew.
    fn again(&self) -> PostgresReader {
        reader(&self.schema)
    }

    /// Records a decision on `k`; the state before it is this one.
    fn decided(&self, name: &str, (seq, generation): (i64, i64), state: Option<&str>) {
        let message = Message {
            origin: Origin::Command,
            ..message(name, "k")
        };
        let decision = journal::encode(&message, state, &nothing()).unwrap();
        let written = self.reader.session().execute(
            "INSERT INTO journal VALUES ($1, $2, 'k', $1, $3, $4, 7, 1000::bigint + $1)",
            &[&seq, &generation, &state, &decision],
        );
        written.unwrap();
    }
}

impl Drop for Tables {
    fn drop(&mut self) {
        let dropped = format!("DROP SCHEMA {} CASCADE", self.schema);
        let _ = self.reader.session().run(&dropped);
    }
}

fn reader(schema: &str) -> PostgresReader {
    PostgresReader::open(&address(schema), Arc::default()).unwrap()
}

fn address(schema: &str) -> ServerAddress {
    ServerAddress::in_tests(schema.to_owned())
}

fn wanted(filters: &[(&str, &str)], after: Option<&str>, most: usize) -> Wanted {
    let text = |(pointer, value): &(&str, &str)| {
        (
            (*pointer).to_owned(),
            FilterValue::Text((*value).to_owned()),
        )
    };
    Wanted {
        participant: 1,
        filters: filters.iter().map(text).collect(),
        after: after.map(str::to_owned),
        most,
    }
}

fn fired(key: &str) -> FiredTimer {
    FiredTimer {
        key: key.into(),
        name: "later".into(),
        due: 5,
    }
}

fn identity(id: &str) -> Identity {
    Identity {
        id: id.into(),
        source: "/s".into(),
    }
}

fn range(key: Option<&str>) -> DecisionRange {
    DecisionRange {
        participant: 1,
        key: key.map(str::to_owned),
        ..DecisionRange::default()
    }
}

/// The answer does not matter.
fn done<T>(_: T) {}

type Asks = fn(&dyn ReadStore, JournalSpan);

/// Each query that reads a bounded number of rows, of ten each where the caller chooses; and the most
/// rows of tables and entries of indexes that it may read of any number. A row that is found by an
/// index counts twice, so that many are read for each that a query returns.
const BOUNDED: [(&str, i64, Asks); 53] = [
    ("aggregate", 9, |read, _| {
        done(read.aggregate(1, "7").unwrap())
    }),
    ("was_applied", 9, |read, _| {
        done(read.was_applied(1, &identity("7")).unwrap())
    }),
    ("is_quarantined", 9, |read, _| {
        done(read.is_quarantined(1, "7").unwrap())
    }),
    ("first_reply", 9, |read, _| {
        done(read.first_reply(1, "7").unwrap())
    }),
    ("timer_is_set", 9, |read, _| {
        done(read.timer_is_set(1, &fired("7")).unwrap())
    }),
    ("timer", 9, |read, _| {
        done(read.timer(1, &fired("7")).unwrap())
    }),
    ("due_timers", 60, |read, _| {
        done(read.due_timers(1, 1_000_000, 10).unwrap())
    }),
    ("due_timers, none", 60, |read, _| {
        done(read.due_timers(1, 0, 10).unwrap())
    }),
    ("first_timer", 9, |read, _| {
        done(read.first_timer(1).unwrap())
    }),
    ("page of all", 99, |read, _| {
        done(read.page(&wanted(&[], None, 10)))
    }),
    ("page after", 99, |read, _| {
        done(read.page(&wanted(&[], Some("777"), 10)))
    }),
    ("page of a value", 99, |read, _| {
        done(read.page(&wanted(&[("/colour", "red")], Some("777"), 10)));
    }),
    ("page of two values", 9_000, |read, _| {
        done(read.page(&wanted(&[("/colour", "red"), ("/kind", "rare")], None, 10)));
    }),
    ("compare_indexes", 20, |read, _| {
        done(read.compare_indexes(1, &[]).unwrap())
    }),
    ("offset", 9, |read, _| {
        done(read.offset("log:order/g", 1, 0).unwrap())
    }),
    ("place", 9, |read, _| {
        done(read.place("log:order/g", 1, 0).unwrap())
    }),
    ("partitions", 9, |read, _| done(read.partitions(1).unwrap())),
    ("extents", 20, |read, _| {
        done(read.extents(1, "log:order/g").unwrap())
    }),
    ("records_within", 60, |read, _| {
        done(
            read.records_within(&(1, "t".into()), 0, 777, 10, usize::MAX)
                .unwrap(),
        );
    }),
    ("waiting_topics", 30, |read, _| {
        done(read.waiting_topics().unwrap())
    }),
    ("backlogs of consumers", 40, |read, _| {
        done(read.backlogs(OutboxReaders::Consumers).unwrap());
    }),
    ("backlogs of the relay", 40, |read, _| {
        done(read.backlogs(OutboxReaders::Relay).unwrap())
    }),
    ("read_partitions", 20, |read, _| {
        done(read.read_partitions().unwrap())
    }),
    ("topic_id", 9, |read, _| {
        done(read.topic_id("kafka:order/g", 1).unwrap())
    }),
    ("next_parked", 20, |read, _| {
        done(read.next_parked(1, "7", 0).unwrap())
    }),
    ("oldest_retried", 99, |read, _| {
        done(read.oldest_retried(1, &[("t", "e")]).unwrap())
    }),
    ("parked_timers_up_to", 60, |read, _| {
        done(read.parked_timers_up_to(1, 10).unwrap())
    }),
    ("parked_timers", 60, |read, _| {
        done(read.parked_timers(1, 10).unwrap())
    }),
    ("dead_letters", 120, |read, _| {
        done(
            read.dead_letters(1, &LetterFilter::default(), 777, 10)
                .unwrap(),
        );
    }),
    ("dead_letters with ended ones", 120, |read, _| {
        let filter = LetterFilter {
            with_ended: true,
            ..LetterFilter::default()
        };
        done(read.dead_letters(1, &filter, 777, 10).unwrap());
    }),
    ("open_dead_letters_up_to", 60, |read, _| {
        done(read.open_dead_letters_up_to(1, 10).unwrap());
    }),
    ("is_letter_requested", 9, |read, _| {
        done(read.is_letter_requested(1, 7).unwrap())
    }),
    ("dead_letter", 20, |read, _| {
        done(read.dead_letter(1, 7).unwrap())
    }),
    ("parked_letter", 20, |read, _| {
        done(read.parked_letter(1, &identity("7")).unwrap())
    }),
    ("active", 20, |read, _| done(read.active(1).unwrap())),
    ("generations", 40, |read, _| {
        done(read.generations(1).unwrap())
    }),
    ("refused", 20, |read, _| done(read.refused(1).unwrap())),
    ("last_asked", 20, |read, _| {
        done(read.last_asked(1, Origin::Command, "c").unwrap())
    }),
    ("holds_states", 9, |read, _| {
        done(read.holds_states(1).unwrap())
    }),
    ("state_versions_outside", 20, |read, _| {
        done(read.state_versions_outside(1, 5, 7).unwrap());
    }),
    ("state_versions_outside, none", 20, |read, _| {
        done(read.state_versions_outside(1, 1, 3).unwrap());
    }),
    ("older_state_keys", 99, |read, _| {
        done(read.older_state_keys(1, 3, "777", 10).unwrap())
    }),
    ("quarantined_up_to", 60, |read, _| {
        done(read.quarantined_up_to(1, 10).unwrap())
    }),
    ("quarantined_keys", 60, |read, _| {
        done(read.quarantined_keys(1, 10).unwrap())
    }),
    ("releases", 20, |read, _| done(read.releases(1).unwrap())),
    ("journal_end", 9, |read, _| {
        done(read.journal_end().unwrap())
    }),
    ("list_changes", 12_000, |read, _| {
        let wanted = ChangesWanted {
            participant: 1,
            filters: wanted(&[("/colour", "red")], None, 0).filters,
            after: JournalPosition {
                seq: 7,
                time: 1_007,
            },
        };
        done(read.list_changes(&wanted).unwrap());
    }),
    ("decisions_span", 99, |read, _| {
        done(read.decisions_span(&range(None)).unwrap())
    }),
    ("decisions_span of a key, from the end", 99, |read, _| {
        let wanted = DecisionRange {
            last: Some(10),
            ..range(Some("7"))
        };
        done(read.decisions_span(&wanted).unwrap());
    }),
    ("decisions", 99, |read, span| {
        done(read.decisions(&range(None), span, 10).unwrap())
    }),
    ("decisions of a key", 99, |read, span| {
        done(read.decisions(&range(Some("7")), span, 10).unwrap());
    }),
    ("timers_after", 60, |read, _| {
        done(read.timers_after(1, ("7", "later"), 10).unwrap())
    }),
    ("parked_after", 99, |read, _| {
        done(read.parked_after(1, 777, 10).unwrap())
    }),
];

/// The other queries: they count rows of a participant, or return one for each key, generation or
/// participant, or read a part of a table that does not depend on its size.
fn ask_the_rest(read: &dyn ReadStore, span: JournalSpan) {
    read.unread("log:order/g", 1, "e").unwrap();
    read.parked_totals(1).unwrap();
    read.parked_keys(1).unwrap();
    read.parked_events(1, "e").unwrap();
    read.dead_letter_reasons(1).unwrap();
    read.participant("order").unwrap();
    read.participants().unwrap();
    read.topic("t").unwrap();
    read.generation(1, "a").unwrap();
    read.activations(1).unwrap();
    read.timers_set(1, "later").unwrap();
    read.older_states(1, 3).unwrap();
    read.quarantined(1, 10).unwrap();
    read.deciding_generations(&range(None), span).unwrap();
    read.topic_readers(1).unwrap();
    read.sample_journal(1, 16).unwrap();
    read.sample_states(1, 16).unwrap();
    read.sample_quarantined(1, 16).unwrap();
    read.sample_timers(1, 16).unwrap();
    read.sample_parked(1, 16).unwrap();
    for consumer in [Some("log:order/g"), None] {
        let topic = SampledTopic {
            consumer,
            row: 1,
            name: &"t".into(),
        };
        read.sample_unread(1, topic, 16).unwrap();
    }
    read.trusted_now(0).unwrap();
}

/// Fills all tables that grow.
fn large(tables: &Tables) {
    let decision = journal::encode(&message("c", "k"), None, &nothing()).unwrap();
    tables.run(&format!(
        "INSERT INTO aggregates SELECT 1, n::text, 2, CASE WHEN n % 2 = 0 THEN 2 ELSE 3 END,
             '{{\"colour\":\"red\"}}', 'saga' FROM generate_series(1, {ROWS}) n;
         INSERT INTO lists VALUES (1, ''), (1, '/colour'), (1, '/kind');
         INSERT INTO listed SELECT 1, '', '', n::text FROM generate_series(1, {ROWS}) n;
         INSERT INTO listed SELECT 1, '/colour', 'sred', n::text FROM generate_series(1, {ROWS}) n;
         INSERT INTO listed SELECT 1, '/kind', 'srare', n::text FROM generate_series(1, {ROWS}) n;
         INSERT INTO inbox SELECT 1, n::text, '/s', n FROM generate_series(1, {ROWS}) n;
         INSERT INTO outbox (topic, partition, position, generation, event_type, key, value, time)
             SELECT 1, 0, n, 1, 'e', 'k', 'v', n FROM generate_series(1, {ROWS}) n;
         INSERT INTO partitions VALUES (1, 0, {ROWS} + 1);
         INSERT INTO offsets (consumer, topic, partition, next_offset)
             VALUES ('log:order/g', 1, 0, 9), ('kafka:order/g', 1, 0, 9), ('log:relay', 1, 0, 9);
         INSERT INTO timers (participant, key, name, due, body, set_by, correlation, parked)
             SELECT 1, n::text, 'later', n, '1', 's', 'c', CASE WHEN n % 2 = 0 THEN n END
             FROM generate_series(1, {ROWS}) n;
         INSERT INTO journal SELECT n, 1, (n % 1000)::text, 1, '{{\"colour\":\"red\"}}', '\\x{}', 1, 1000 + n
             FROM generate_series(1, {ROWS}) n;
         INSERT INTO parked (participant, key, name, bytes, time, event_id, source, consumer_group, topic,
                 declared_topic, partition, position, made, attributes)
             SELECT 1, n::text, 'e', 10, n, n::text, '/s', 'g', 't', 't', 0, n, n, '{{}}'
             FROM generate_series(1, {ROWS}) n;
         INSERT INTO dead_letters (participant, aggregate, consumer, topic, declared_topic, partition, position, made,
                 attributes, event_id, source, reason, detail, attempts, digest, time, parked, ended, ended_as)
             SELECT 1, n::text, 'g', 't', 't', 0, n, n, '{{}}', n::text, '/s', 'malformed', '', 1, 'a', n,
                 CASE WHEN n % 2 = 0 THEN n END, CASE WHEN n % 2 = 1 AND n > 800 THEN n END, 'decided'
             FROM generate_series(1, {ROWS}) n;
         DELETE FROM dead_letters WHERE id IN (2, 3);
         INSERT INTO quarantine SELECT 1, n::text, 1, 'why', n FROM generate_series(100, {ROWS}) n;
         INSERT INTO activations (participant, generation, time, way) VALUES (1, 1, 5, 'start');
         INSERT INTO tallies VALUES (1, 'command', 'c', 1, 5, 1, 0, 9), (1, 'command', 'c', 2, 3, 1, 2, 11);
         INSERT INTO idempotency_keys SELECT 1, n::text, 'f', 'a', '1', 'c', n FROM generate_series(1, {ROWS}) n;",
        saga_core::hex(decision.iter())
    ));
}

/// Rows of tables and entries of indexes read so far.
fn read_so_far(tables: &Tables) -> i64 {
    let sql = tables.reader.session();
    let text = "SELECT ((SELECT coalesce(sum(seq_tup_read), 0) FROM pg_stat_user_tables WHERE schemaname = $1)
        + (SELECT coalesce(sum(idx_tup_read), 0) FROM pg_stat_user_indexes WHERE schemaname = $1)
        + (SELECT coalesce(sum(idx_tup_fetch), 0) FROM pg_stat_user_tables WHERE schemaname = $1))::bigint";
    get(&sql.one(text, &[&tables.schema]).unwrap(), 0).unwrap()
}

fn flush(reader: &PostgresReader) {
    let flush = "SELECT pg_stat_force_next_flush()";
    reader.session().run(flush).unwrap();
}

fn assert_bounded(tables: &Tables, reader: &PostgresReader, when: &str) {
    let span = JournalSpan {
        after: 7,
        up_to: ROWS,
    };
    let mut wrong = Vec::new();
    for (name, most, ask) in BOUNDED {
        flush(reader);
        let before = read_so_far(tables);
        ask(reader, span);
        flush(reader);
        let read = read_so_far(tables) - before;
        if read > most {
            wrong.push(format!("{name}: {read} rows"));
        }
    }
    assert!(wrong.is_empty(), "{when}: {wrong:#?}");
}

#[test]
fn queries_read_as_many_rows_in_large_tables_as_they_return() {
    let Some(tables) = Tables::new() else { return };
    // Their plans are made for empty tables.
    let first = tables.again();
    let nothing = JournalSpan::default();
    for (_, _, ask) in BOUNDED {
        ask(&first, nothing);
    }
    ask_the_rest(&first, nothing);
    large(&tables);
    assert_bounded(&tables, &first, "planned for empty tables");
    ask_the_rest(&first, nothing);
    tables.run("VACUUM ANALYZE");
    let second = tables.again();
    assert_bounded(&tables, &second, "planned for large tables");
    ask_the_rest(&second, nothing);
    assert!(first.is_sound() && second.is_sound());
}

#[test]
fn texts_that_the_server_does_not_have_are_not_found() {
    let Some(tables) = Tables::new() else { return };
    let read = tables.read();
    assert_eq!(read.aggregate(1, "\0").unwrap().revision, 0);
    assert!(!read.was_applied(1, &identity("\0")).unwrap());
    assert!(!read.is_quarantined(1, "\0").unwrap());
    assert_eq!(read.first_reply(1, "\0"), Ok(None));
    assert_eq!(read.parked_letter(1, &identity("\0")), Ok(None));
    let filter = LetterFilter {
        reason: Some("\0".into()),
        ..LetterFilter::default()
    };
    assert_eq!(read.dead_letters(1, &filter, 0, 9), Ok(Vec::new()));
    assert!(read.is_sound());
}

#[test]
fn a_list_that_is_not_there_is_a_fault_and_pages_go_on_where_they_ended() {
    let Some(tables) = Tables::new() else { return };
    let read = tables.read();
    let filters = [("/colour", "red"), ("/kind", "rare")];
    let fault = read.page(&wanted(&[], None, 9)).unwrap_err().to_string();
    assert!(fault.contains("is not there"), "{fault}");
    tables.run(
        "INSERT INTO lists VALUES (1, ''), (1, '/colour'), (2, '/kind');
         INSERT INTO listed SELECT 1, '/colour', 'sred', n::text FROM generate_series(1, 12000) n;",
    );
    assert_eq!(read.page(&wanted(&[], None, 9)), Ok(Page::default()));
    read.page(&wanted(&filters, None, 9)).unwrap_err();
    tables.run(
        "INSERT INTO lists VALUES (1, '/kind');
         INSERT INTO listed VALUES (1, '/kind', 'srare', '9'), (1, '/kind', 'srare', '10'), (1, '/kind', 'srare', '2500'),
             (1, '/kind', 'srare', '11000'), (1, '/kind', 'sother', '11'), (2, '/kind', 'srare', '12');",
    );
    let page = |filters: &[(&str, &str)], after, most| {
        let page = read.page(&wanted(filters, after, most)).unwrap();
        (page.keys.join(" "), page.next)
    };
    assert_eq!(page(&filters, None, 2), ("9 10".into(), Some("10".into())));
    // As many as one page may look at.
    assert_eq!(
        page(&filters, Some("10"), 2),
        ("2500".into(), Some("10010".into()))
    );
    assert_eq!(page(&filters, Some("10010"), 2), ("11000".into(), None));
    let red = &filters[..1];
    assert_eq!(
        page(red, Some("9"), 3),
        ("10 11 12".into(), Some("12".into()))
    );
    assert_eq!(page(red, Some("11998"), 2), ("11999 12000".into(), None));
    let all = [None, Some("/colour"), Some("/kind")].map(|pointer| Index::of(1, pointer));
    assert_eq!(read.compare_indexes(1, &all), Ok((true, false)));
    assert_eq!(read.compare_indexes(1, &all[..2]), Ok((true, true)));
    assert_eq!(read.compare_indexes(2, &all), Ok((false, false)));
}

#[test]
fn a_page_of_records_ends_with_the_one_that_reaches_the_bytes() {
    let Some(tables) = Tables::new() else { return };
    tables.run(
        "INSERT INTO outbox (topic, partition, position, generation, key, value, extra, time) VALUES
             (1, 0, 0, 2, 'kk', 'vvv', NULL, 5), (1, 0, 2, NULL, NULL, 'vvvvv', '[[\"a\",\"b\"],[\"ce_source\",\"/x\"]]', 6),
             (1, 0, 3, 1, 'k', NULL, NULL, 7), (1, 1, 0, 1, 'k', NULL, NULL, 8);
         INSERT INTO partitions VALUES (1, 0, 4), (1, 1, 1), (2, 0, 3);
         INSERT INTO offsets (consumer, topic, partition, next_offset, dropped) VALUES
             ('log:order/g', 1, 0, 1, NULL), ('log:old/g', 1, 0, 0, 7), ('kafka:a/b/c', 1, 0, 8, NULL);",
    );
    let read = tables.read();
    let offsets = |most, bytes| {
        let records = read
            .records_within(&(1, "t".into()), 0, 0, most, bytes)
            .unwrap();
        let offset = |record: &saga_core::record::Record| record.position.offset;
        records.iter().map(offset).collect::<Vec<_>>()
    };
    assert_eq!(offsets(9, 5), [0]);
    assert_eq!(offsets(9, 6), [0, 2]);
    assert_eq!(offsets(9, usize::MAX), [0, 2, 3]);
    assert_eq!(offsets(2, usize::MAX), [0, 2]);
    let records = read.records_within(&(1, "t".into()), 0, 0, 9, 99).unwrap();
    let sources: Vec<_> = records
        .iter()
        .map(|one| one.attributes.source.as_deref())
        .collect();
    assert_eq!(
        sources,
        [Some("/saga/customer"), Some("/x"), Some("/saga/order")]
    );
    assert_eq!(
        records[1].attributes.extra,
        [("a".to_owned(), "b".to_owned())]
    );
    let extents = read.extents(1, "log:order/g").unwrap();
    let extents: Vec<_> = extents
        .iter()
        .map(|one| (one.partition, one.end, one.reached))
        .collect();
    assert_eq!(extents, [(0, 4, Some(2)), (1, 1, Some(0))]);
    let backlogs = read.backlogs(OutboxReaders::Consumers).unwrap();
    let expected = Backlog {
        published: 5,
        waiting: 2,
        oldest: Some(6),
    };
    assert_eq!(
        backlogs["t"], expected,
        "a dropped consumer holds nothing back"
    );
    assert!(read.backlogs(OutboxReaders::Relay).unwrap().is_empty());
    assert_eq!(read.offset(RELAY, 1, 0), Ok(None));
    let group = read.read_partitions().unwrap().pop().unwrap().group;
    assert_eq!(group, "b/c");
    assert_eq!(read.waiting_topics(), Ok(vec![("t".into(), 1)]));
}

#[test]
fn changes_of_a_list_come_from_the_states_before_and_now() {
    let Some(tables) = Tables::new() else { return };
    let red = r#"{"colour":"red","note":"\u0000"}"#;
    let blue = r#"{"colour":"blue"}"#;
    tables.decided("c", (1, 1), Some(red));
    tables.decided("c", (2, 1), Some(blue));
    tables.decided("c", (3, 2), Some(red));
    let state = |state: Option<&str>| {
        let text = "INSERT INTO aggregates VALUES (1, 'k', 9, 3, $1, NULL)
            ON CONFLICT (participant, key) DO UPDATE SET state = excluded.state";
        tables.reader.session().execute(text, &[&state]).unwrap();
    };
    let read = tables.read();
    let changed = |after: JournalPosition, filters| {
        let wanted = ChangesWanted {
            participant: 1,
            filters,
            after,
        };
        let changes = read.list_changes(&wanted).unwrap()?;
        assert!(changes.is_all && changes.read.seq == 3);
        let one = |one: crate::store::ChangedItem| (one.position.seq, one.is_in, one.was_in);
        Some(changes.changed.into_iter().map(one).collect::<Vec<_>>())
    };
    let of = |value| wanted(&[("/colour", value)], None, 0).filters;
    let start = JournalPosition::default();
    let first = JournalPosition {
        seq: 1,
        time: 1_001,
    };
    state(Some(blue));
    assert_eq!(changed(start, of("red")), Some(vec![(1, false, true)]));
    assert_eq!(changed(first, of("red")), Some(vec![]));
    assert_eq!(changed(first, of("blue")), Some(vec![(2, true, true)]));
    assert_eq!(changed(first, vec![]), Some(vec![(2, true, true)]));
    state(None);
    assert_eq!(changed(start, vec![]), Some(vec![(1, false, true)]));
    let elsewhere = JournalPosition { seq: 1, time: 7 };
    assert_eq!(changed(elsewhere, vec![]), None);
}

#[test]
fn decisions_are_read_in_pages_of_bounded_bytes() {
    let Some(tables) = Tables::new() else { return };
    let large = format!("\"{}\"", "x".repeat(2 << 20));
    for seq in [2, 3, 5] {
        tables.decided("c", (seq, 1), Some(&large));
    }
    tables.decided("d", (4, 2), None);
    tables.decided("d", (6, 1), None);
    let read = tables.read();
    let span = read.decisions_span(&range(None)).unwrap().unwrap();
    assert_eq!((span.after, span.up_to), (1, 6));
    let page = read.decisions(&range(None), span, 9).unwrap();
    let seqs =
        |page: &decisions::DecisionPage| page.rows.iter().map(|row| row.seq).collect::<Vec<_>>();
    assert_eq!((seqs(&page), page.read), (vec![2, 3], 3));
    let rest = JournalSpan { after: 3, up_to: 6 };
    let page = read.decisions(&range(Some("k")), rest, 9).unwrap();
    assert_eq!((seqs(&page), page.read), (vec![5, 6], 6));
    let page = read.decisions(&range(None), rest, 1).unwrap();
    assert_eq!((seqs(&page), page.read), (vec![5], 5));
    assert_eq!(page.rows[0].recorded.as_ref().unwrap().state_version, 3);
    for (last, after) in [(1, 5), (2, 4), (3, 2), (9, 1)] {
        for key in [None, Some("k")] {
            let wanted = DecisionRange {
                last: Some(last),
                ..range(key)
            };
            let span = read.decisions_span(&wanted).unwrap().unwrap();
            assert_eq!(span.after, after, "the last {last} of {key:?}");
        }
    }
    let other = DecisionRange {
        generation: Some("b".into()),
        ..range(None)
    };
    assert_eq!(
        read.decisions_span(&other),
        Ok(None),
        "of the other participant"
    );
    let all = JournalSpan { after: 0, up_to: 6 };
    let digests = read.deciding_generations(&range(None), all).unwrap();
    assert_eq!(digests.into_iter().collect::<Vec<_>>(), ["a"]);
    // Each kind once, latest first.
    let sampled = read.sample_journal(1, 2).unwrap();
    let names: Vec<_> = sampled
        .iter()
        .map(|one| one.message.name.as_str())
        .collect();
    assert_eq!(names, ["d", "c"]);
}

#[test]
fn older_states_come_in_the_order_of_keys_whatever_their_versions() {
    let Some(tables) = Tables::new() else { return };
    tables.run(
        "INSERT INTO aggregates VALUES (1, 'a', 1, 2, '1', NULL), (1, 'B', 1, 1, '1', NULL), (1, 'c', 1, 1, '1', NULL),
             (1, 'd', 1, 2, NULL, NULL), (1, 'e', 1, 3, '1', NULL), (1, 'f', 1, 4294967295, '1', NULL), (2, 'g', 1, 1, '1', NULL);
         INSERT INTO tallies VALUES (1, 'command', 'c', 1, 5, 1, 0, 9), (1, 'command', 'c', 2, 3, 1, 2, 11);
         INSERT INTO activations (participant, generation, time, way) VALUES (1, 1, 5, 'start'), (1, 1, 6, 'apply');",
    );
    let read = tables.read();
    let keys = |after, most| read.older_state_keys(1, 3, after, most).unwrap().join(" ");
    assert_eq!(keys("", 9), "B a c");
    assert_eq!(keys("", 2), "B a");
    assert_eq!(keys("a", 9), "c");
    assert_eq!(read.older_states(1, 3), Ok(3));
    assert_eq!(
        read.state_versions_outside(1, 2, 3),
        Ok(Some((1, u32::MAX)))
    );
    assert_eq!(read.state_versions_outside(1, 1, u32::MAX), Ok(None));
    // Two hosts have counted.
    let past = read.generations(1).unwrap().pop().unwrap();
    let counts = (past.activations, past.decisions, past.refusals, past.faults);
    assert_eq!((counts, past.since), ((2, 8, 2, 2), 6));
    assert_eq!(read.last_asked(1, Origin::Command, "c"), Ok(Some(11)));
}

#[test]
fn the_clock_of_the_server_counts() {
    let Some(tables) = Tables::new() else { return };
    let now = tables.read().trusted_now(0).unwrap();
    assert!(now > 1_700_000_000_000, "{now}");
}
