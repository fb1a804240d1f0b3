//! The conformance suite: the tests that every transport must pass.
//!
//! A [`TransportRig`] is a store with a transport on it. [`suite!`](super::conformance::suite)
//! makes the tests of all cases for a function that makes a rig, so that none can be left out. No
//! test waits for time to pass; every wait is for an event, with a deadline at which the test
//! fails. The cases about swaps of rules are in [`swap`].

mod swap;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use saga_core::commit::{Link, Write};
use saga_core::record::{Attributes, Position, Record};
use tokio_util::sync::CancellationToken;

pub(crate) use swap::*;

use super::{Delivery, IN_FLIGHT_BYTES, Readings, Share, Sink, Source, Transport, WINDOW};
use crate::base::clock::now_ms;
use crate::metrics::Commits;
use crate::store::{
    Entry, Handed, IdempotencySettings, NewGeneration, OutboxReaders, OutboxRow, Store,
    StoreSettings, Taken,
};

/// Longest wait for an event. Kafka's group protocol alone takes seconds.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// A thread ends within this time of its `stop`, even if a record is in flight that is never
/// settled.
pub(crate) const PROMPTLY: Duration = Duration::from_millis(3_000);

/// A topic that exists, and is not published at the start.
pub(crate) const LATER: &str = "later";

/// Makes a test of each case for `$rig`, which makes a [`TransportRig`] whose topic has this many
/// partitions.
///
/// The rig also has a topic [`LATER`] with one partition, which is not published yet.
macro_rules! suite {
    ($rig:expr) => {
        $crate::transport::conformance::suite!(
            $rig,
            a_record_arrives_whole,
            records_of_a_key_arrive_in_order,
            a_record_without_attributes_key_or_value_arrives,
            a_restart_goes_on_without_loss,
            invariant_1_the_stored_offset_is_where_reading_starts,
            a_cancelled_session_reads_again_from_the_stored_offset,
            invariant_9_no_more_than_the_window_is_in_flight,
            invariant_9_no_more_bytes_than_the_bound_are_in_flight,
            what_is_published_before_anyone_reads_is_read,
            threads_end_promptly,
            a_topic_added_later_is_published_with_what_the_outbox_held,
            topics_may_be_added_before_the_relay_runs_and_after_it_ended,
            a_source_is_stopped_alone_and_another_group_goes_on,
            a_stopped_source_delivers_no_further_record,
            a_source_started_again_goes_on_from_the_stored_offset,
            sources_end_with_the_parent_of_their_tokens
        );
    };
    ($rig:expr, $($case:ident),+) => {
        $(
            #[test]
            fn $case() {
                $crate::transport::conformance::$case($rig);
            }
        )+
    };
}
pub(crate) use suite;

/// A store with a transport on it.
pub(crate) struct TransportRig {
    // Dropped first: its threads use the store.
    pub(crate) transport: Box<dyn Transport>,
    pub(crate) store: Arc<Store>,
    pub(crate) source: Arc<Source>,
    /// Parent of the tokens of all its threads.
    pub(crate) stop: CancellationToken,
    participant: i64,
    generation: i64,
    _directory: tempfile::TempDir,
    /// Further things that must live as long, e.g. a broker.
    _broker: Box<dyn std::any::Any>,
}

/// A thread of a transport; stopped when this is dropped.
pub(crate) struct Running {
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

/// A consumer and its deliveries.
pub(crate) struct Consuming {
    pub(crate) deliveries: Receiver<Delivery>,
    running: Running,
}

pub(crate) struct Channel(Sender<Delivery>);

impl Sink for Channel {
    fn deliver(&self, delivery: Delivery) {
        // The test may have ended.
        let _ = self.0.send(delivery);
    }
}

impl TransportRig {
    /// A rig with a store of its own.
    pub(crate) fn new(
        topic: &str,
        readers: OutboxReaders,
        transport: impl FnOnce(Arc<Store>) -> Box<dyn Transport>,
        broker: impl std::any::Any,
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = crate::store::StoreLocation::Directory(directory.path().into())
            .open(
                StoreSettings::default(),
                IdempotencySettings::default(),
                readers,
                Commits::default(),
            )
            .unwrap();
        let (participant, _) = store.register_participant("order").unwrap();
        let generation = NewGeneration {
            digest: "digest".into(),
            component: "digest".into(),
            settings: None,
            version: "1.0.0".into(),
            state_version: 1,
            fuel_terms: None,
            now: 0,
        };
        let generation = store.register_generation(participant, generation).unwrap();
        let topic_row = store.register_topic(topic).unwrap();
        let transport = transport(store.clone());
        let source = source(transport.as_ref(), &(topic.into(), topic_row), "group");
        Self {
            transport,
            store,
            source,
            stop: CancellationToken::new(),
            participant,
            generation,
            _directory: directory,
            _broker: Box::new(broker),
        }
    }

    /// Starts the relay, if the transport has one.
    pub(crate) fn publishing(&self) -> Running {
        self.publishing_to(vec![(self.source.topic.clone(), self.source.topic_row)])
    }

    /// The same for other topics, by name and row.
    pub(crate) fn publishing_to(&self, topics: Vec<(Arc<str>, i64)>) -> Running {
        let stop = self.stop.child_token();
        let thread = self.transport.publish(topics, stop.clone()).unwrap();
        Running { stop, thread }
    }

    /// Starts a consumer.
    pub(crate) fn consuming(&self) -> Consuming {
        self.consuming_from(&self.source)
    }

    /// Starts a consumer of another source.
    pub(crate) fn consuming_from(&self, source: &Arc<Source>) -> Consuming {
        self.consuming_by(source, unbounded())
    }

    fn consuming_by(
        &self,
        source: &Arc<Source>,
        (sender, deliveries): (Sender<Delivery>, Receiver<Delivery>),
    ) -> Consuming {
        let stop = self.stop.child_token();
        let thread = self
            .transport
            .consume(source.clone(), Arc::new(Channel(sender)), stop.clone())
            .unwrap();
        Consuming {
            deliveries,
            running: Running {
                stop,
                thread: Some(thread),
            },
        }
    }

    /// A topic by name, with its row.
    pub(crate) fn topic(&self, name: &str) -> (Arc<str>, i64) {
        (name.into(), self.store.register_topic(name).unwrap())
    }

    /// A topic as a source of another group.
    pub(crate) fn source_of(&self, topic: &(Arc<str>, i64), group: &str) -> Arc<Source> {
        source(self.transport.as_ref(), topic, group)
    }

    /// Commits records to be published.
    pub(crate) fn publish(&self, rows: Vec<OutboxRow>) {
        self.commit(rows, None);
    }

    /// Commits records with the key `k`, and these numbers as values.
    fn publish_numbers(&self, numbers: std::ops::Range<i64>) {
        let row = |number: i64| self.row("k", &number.to_string());
        self.publish(numbers.map(row).collect());
    }

    /// Commits that a record was consumed.
    pub(crate) fn settle(&self, delivery: &Delivery) {
        let taken = Taken {
            session: delivery.session.clone(),
            offset: delivery.record.position.offset,
            may_repeat: delivery.may_repeat,
            // The delivery holds the share, as long as the test keeps it.
            share: Share::default(),
        };
        self.commit(Vec::new(), Some(taken));
    }

    /// A record with this key.
    pub(crate) fn row(&self, key: &str, value: &str) -> OutboxRow {
        let partitions = self.transport.partitions(&self.source.topic) as usize;
        OutboxRow {
            topic: self.source.topic_row,
            partition: (key.bytes().map(usize::from).sum::<usize>() % partitions) as i32,
            key: Some(key.into()),
            value: Some(value.into()),
            attributes: Attributes {
                id: Some(format!("id-{key}-{value}")),
                ..Attributes::default()
            },
            from_generation: true,
            // An old record might be pruned before it is read for the first time.
            time: now_ms(),
        }
    }

    /// The consumer's offset in the store.
    pub(crate) fn stored(&self, partition: i32) -> Option<i64> {
        let reader = self.store.reader().unwrap();
        reader
            .offset(&self.source.consumer, self.source.topic_row, partition)
            .unwrap()
    }

    fn commit(&self, outbox: Vec<OutboxRow>, taken: Option<Taken>) {
        let (give, take) = unbounded();
        let mut entry = Entry::empty(self.participant, self.generation, 1);
        entry.writes = (outbox.into_iter().map(Box::new).map(Write::Publish)).collect();
        self.store.commit(Box::new(Handed {
            entry,
            link: Link {
                worker: 1,
                ticket: 1,
                base: 0,
                noticed: 0,
            },
            taken,
            place: None,
            leaves: None,
            claim: None,
            progress: Arc::default(),
            measured: None,
            done: Box::new(move |result| give.send(result).unwrap()),
        }));
        take.recv_timeout(DEADLINE).unwrap().unwrap();
    }
}

impl Running {
    /// Stops it, by its token only; returns the time that this took.
    pub(crate) fn stop(mut self) -> Duration {
        self.end()
    }

    fn end(&mut self) -> Duration {
        let start = Instant::now();
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
        start.elapsed()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.end();
        }
    }
}

impl Consuming {
    /// The next delivery.
    pub(crate) fn next(&self) -> Delivery {
        self.deliveries
            .recv_timeout(DEADLINE)
            .expect("a record should have arrived")
    }

    /// The values of the next deliveries, as text.
    pub(crate) fn values(&self, count: usize) -> Vec<String> {
        (0..count).map(|_| value(&self.next().record)).collect()
    }

    /// Stops it; returns the time that this took.
    pub(crate) fn stop(self) -> Duration {
        self.running.stop()
    }
}

pub(crate) fn source(
    transport: &dyn Transport,
    topic: &(Arc<str>, i64),
    group: &str,
) -> Arc<Source> {
    Arc::new(Source {
        readings: Readings::default(),
        consumer: format!("{}:order/{group}", transport.offset_namespace()).into(),
        group: group.into(),
        topic: topic.0.clone(),
        declared_topic: topic.0.clone(),
        topic_row: topic.1,
    })
}

/// The value as text.
pub(crate) fn value(record: &Record) -> String {
    String::from_utf8(record.value.clone().unwrap()).unwrap()
}

pub(crate) fn a_record_arrives_whole(rig: impl Fn(i32) -> TransportRig) {
    let rig = rig(1);
    let _relay = rig.publishing();
    let consumer = rig.consuming();
    let attributes = Attributes {
        id: Some("id".into()),
        source: None,
        event_type: Some("order-created".into()),
        correlation: Some("correlation".into()),
        causation: Some("causation".into()),
        digest: None,
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
        extra: Vec::new(),
    };
    let value = r#"{"id":1,"state":"PENDING","orderDetails":{"customerId":1,"orderTotal":{"amount":10.25}}}"#;
    let row = OutboxRow {
        attributes: attributes.clone(),
        ..rig.row("1", value)
    };
    let time = row.time;
    rig.publish(vec![row]);

    let Delivery {
        session, record, ..
    } = consumer.next();
    assert_eq!(
        record.position,
        Position {
            topic: rig.source.topic.clone(),
            incarnation: record.position.incarnation.clone(),
            partition: 0,
            offset: 0
        }
    );
    assert_eq!(record.key.as_deref(), Some(&b"1"[..]));
    assert_eq!(record.value.as_deref(), Some(value.as_bytes()));
    assert_eq!(record.timestamp, time);
    let from_generation = Attributes {
        source: Some("/saga/order".into()),
        digest: Some("digest".into()),
        ..attributes
    };
    assert_eq!(record.attributes, from_generation);
    assert_eq!(
        (session.partition, session.source.clone()),
        (0, rig.source.clone())
    );
}

pub(crate) fn records_of_a_key_arrive_in_order(rig: impl Fn(i32) -> TransportRig) {
    let rig = rig(4);
    let _relay = rig.publishing();
    let consumer = rig.consuming();
    let keys = ["a", "b", "c", "d", "e", "f"];
    for batch in 0..20 {
        let rows = (0..10)
            .flat_map(|number| keys.map(|key| rig.row(key, &format!("{}", batch * 10 + number))));
        rig.publish(rows.collect());
    }
    let mut arrived: BTreeMap<Vec<u8>, Vec<String>> = BTreeMap::new();
    let mut partitions: BTreeMap<Vec<u8>, i32> = BTreeMap::new();
    for _ in 0..keys.len() * 200 {
        let delivery = consumer.next();
        let key = delivery.record.key.clone().unwrap();
        let partition = *partitions
            .entry(key.clone())
            .or_insert(delivery.record.position.partition);
        assert_eq!(
            partition, delivery.record.position.partition,
            "a key stays in its partition"
        );
        arrived
            .entry(key)
            .or_default()
            .push(value(&delivery.record));
        rig.settle(&delivery);
    }
    let expected: Vec<String> = (0..200).map(|number| number.to_string()).collect();
    for key in keys {
        assert_eq!(arrived[key.as_bytes()], expected, "key {key}");
    }
    assert!(
        partitions
            .values()
            .collect::<std::collections::BTreeSet<_>>()
            .len()
            > 1,
        "{partitions:?}"
    );
}

pub(crate) fn a_record_without_attributes_key_or_value_arrives(rig: impl Fn(i32) -> TransportRig) {
    let rig = rig(1);
    let _relay = rig.publishing();
    let consumer = rig.consuming();
    let bare = OutboxRow {
        key: None,
        value: None,
        attributes: Attributes::default(),
        from_generation: false,
        ..rig.row("x", "")
    };
    rig.publish(vec![
        bare.clone(),
        OutboxRow {
            value: Some(Vec::new()),
            ..bare
        },
    ]);
    let (tombstone, empty) = (consumer.next().record, consumer.next().record);
    assert_eq!(
        (tombstone.key, tombstone.value, tombstone.attributes),
        (None, None, Attributes::default())
    );
    assert_eq!(empty.value, Some(Vec::new()), "empty is not missing");
}

pub(crate) fn a_restart_goes_on_without_loss(rig: impl Fn(i32) -> TransportRig) {
    let rig = rig(1);
    let relay = rig.publishing();
    rig.publish_numbers(0..10);
    let consumer = rig.consuming();
    for _ in 0..5 {
        rig.settle(&consumer.next());
    }
    // The later ones were delivered, but not decided.
    let undecided = consumer.next().record;
    assert_eq!(value(&undecided), "5");
    assert_eq!(consumer.values(4), ["6", "7", "8", "9"]);
    consumer.stop();
    relay.stop();
    assert_eq!(rig.stored(0), Some(5));

    rig.publish(vec![rig.row("k", "10")]);
    let _relay = rig.publishing();
    let consumer = rig.consuming();
    assert_eq!(consumer.next().record, undecided, "with the same identity");
    assert_eq!(consumer.values(5), ["6", "7", "8", "9", "10"]);
}

pub(crate) fn invariant_1_the_stored_offset_is_where_reading_starts(
    rig: impl Fn(i32) -> TransportRig,
) {
    let rig = rig(1);
    let _relay = rig.publishing();
    rig.publish_numbers(0..10);
    let consumer = rig.consuming();
    for _ in 0..8 {
        rig.settle(&consumer.next());
    }
    // Ends with a commit to the broker, if there is one.
    consumer.stop();

    // As after a restore from a backup: the store is behind the broker, and takes precedence.
    (rig.store)
        .write_offset(&rig.source.consumer, rig.source.topic_row, 0, 3)
        .unwrap();
    let consumer = rig.consuming();
    assert_eq!(consumer.values(7), ["3", "4", "5", "6", "7", "8", "9"]);
}

pub(crate) fn a_cancelled_session_reads_again_from_the_stored_offset(
    rig: impl Fn(i32) -> TransportRig,
) {
    let rig = rig(1);
    let _relay = rig.publishing();
    rig.publish_numbers(0..6);
    let consumer = rig.consuming();
    // Before an offset was stored: from the start.
    let first = consumer.next();
    first.session.cancel();
    let mut again = consumer.next();
    while Arc::ptr_eq(&again.session, &first.session) {
        again = consumer.next();
    }
    assert_eq!(value(&again.record), "0");
    assert_eq!(
        again.record, first.record,
        "a record that comes again has the same identity"
    );

    // After an offset was stored: from there.
    rig.settle(&again);
    assert_eq!(consumer.values(5), ["1", "2", "3", "4", "5"]);
    again.session.cancel();
    let third = consumer.next();
    assert!(!Arc::ptr_eq(&third.session, &again.session));
    assert_eq!(value(&third.record), "1");
    assert_eq!(consumer.values(4), ["2", "3", "4", "5"]);
}

pub(crate) fn invariant_9_no_more_than_the_window_is_in_flight(rig: impl Fn(i32) -> TransportRig) {
    let rig = rig(1);
    let _relay = rig.publishing();
    rig.publish(
        (0..WINDOW + 10)
            .map(|number| rig.row("k", &number.to_string()))
            .collect(),
    );
    let consumer = rig.consuming();
    let deliveries: Vec<Delivery> = (0..WINDOW).map(|_| consumer.next()).collect();
    assert_eq!(deliveries[0].session.room(), 0);
    // The absence of deliveries can only be seen by waiting; any record would be available already.
    assert_eq!(
        consumer
            .deliveries
            .recv_timeout(Duration::from_millis(300))
            .err(),
        Some(RecvTimeoutError::Timeout),
        "the window is full"
    );
    // The first record holds the window.
    rig.settle(&deliveries[1]);
    assert_eq!(deliveries[0].session.room(), 0);
    rig.settle(&deliveries[0]);
    assert_eq!(
        consumer.values(2),
        [WINDOW.to_string(), (WINDOW + 1).to_string()]
    );
    for delivery in &deliveries[2..] {
        rig.settle(delivery);
    }
    assert_eq!(consumer.values(8).last(), Some(&(WINDOW + 9).to_string()));
}

pub(crate) fn invariant_9_no_more_bytes_than_the_bound_are_in_flight(
    rig: impl Fn(i32) -> TransportRig,
) {
    const BYTES: usize = 900_000;
    let fit = IN_FLIGHT_BYTES.div_ceil(BYTES);
    let rig = rig(1);
    let _relay = rig.publishing();
    let large = "x".repeat(BYTES);
    let publish = || {
        // Its id would be as large.
        rig.publish(vec![OutboxRow {
            attributes: Attributes::default(),
            from_generation: false,
            ..rig.row("k", &large)
        }]);
    };
    let consumer = rig.consuming();
    let next = || {
        publish();
        consumer.next()
    };
    let mut deliveries: Vec<Delivery> = (0..fit).map(|_| next()).collect();
    publish();
    publish();
    // The absence of deliveries can only be seen by waiting.
    assert_eq!(
        consumer
            .deliveries
            .recv_timeout(Duration::from_millis(300))
            .err(),
        Some(RecvTimeoutError::Timeout),
        "{fit} records fill it"
    );
    // However they end: these are void.
    deliveries.drain(..2);
    assert_eq!(consumer.next().record.position.offset, fit as i64);
    assert_eq!(consumer.next().record.position.offset, fit as i64 + 1);
}

pub(crate) fn what_is_published_before_anyone_reads_is_read(rig: impl Fn(i32) -> TransportRig) {
    let rig = rig(1);
    rig.publish(vec![rig.row("k", "early")]);
    let _relay = rig.publishing();
    let consumer = rig.consuming();
    assert_eq!(consumer.values(1), ["early"]);
    rig.publish(vec![rig.row("k", "late")]);
    assert_eq!(consumer.values(1), ["late"]);
}

pub(crate) fn threads_end_promptly(rig: impl Fn(i32) -> TransportRig) {
    let rig = rig(1);
    let relay = rig.publishing();
    let consumer = rig.consuming();
    rig.publish(vec![rig.row("k", "1")]);
    consumer.next();
    let took = (consumer.stop(), relay.stop());
    assert!(took.0 < PROMPTLY && took.1 < PROMPTLY, "{took:?}");
}
