//! The outbox, offsets of consumers, and the topics that they read.

use std::sync::Arc;

use saga_core::commit::Offset;

use super::{DEADLINE, NOW, Rig};
use crate::base::session::Proof;
use crate::store::streams::Backlog;
use crate::store::{OutboxReaders, OutboxRow, RELAY, StoredPlace};

const KAFKA: &str = "kafka:owner/g";

impl Rig {
    fn publish(&self, ticket: u64, values: &[&str], partition: i32) {
        let mut turn = self.turn(ticket, "k");
        for value in values {
            let row = self.row(value);
            turn = turn.publishes(OutboxRow { partition, ..row });
        }
        self.commit(turn).unwrap();
    }

    pub(super) fn values(
        &self,
        partition: i32,
        from: i64,
        most: usize,
        bytes: usize,
    ) -> Vec<(i64, String)> {
        let topic = (self.topic, Arc::from("t"));
        let reader = self.reader();
        let records = reader.records_within(&topic, partition, from, most, bytes);
        let value = |bytes: Option<Vec<u8>>| String::from_utf8(bytes.unwrap()).unwrap();
        (records.unwrap().into_iter())
            .map(|record| (record.position.offset, value(record.value)))
            .collect()
    }
}

fn numbered(from: i64, values: &[&str]) -> Vec<(i64, String)> {
    (from..)
        .zip(values.iter().map(|value| (*value).to_owned()))
        .collect()
}

pub(crate) fn offsets_of_the_outbox_have_no_gaps(rig: Rig) {
    rig.publish(1, &["a", "b"], 0);
    rig.refused(2, "k");
    let void = rig.turn(3, "k").on(2).publishes(rig.row("void"));
    assert!(rig.commit(void).is_err());
    rig.publish(4, &["x"], 2);
    rig.publish(5, &["c"], 0);
    assert_eq!(
        rig.values(0, 0, 9, usize::MAX),
        numbered(0, &["a", "b", "c"])
    );
    assert_eq!(rig.values(0, 1, 1, usize::MAX), numbered(1, &["b"]));
    assert_eq!(
        rig.values(0, 0, 9, 3),
        numbered(0, &["a", "b"]),
        "two bytes each"
    );
    assert_eq!(rig.values(2, 0, 9, usize::MAX), numbered(0, &["x"]));
    assert_eq!(rig.reader().partitions(rig.topic), Ok(3));
    let topic = (rig.topic, Arc::from("t"));
    let record = (rig.reader().records_within(&topic, 0, 0, 1, usize::MAX)).unwrap();
    let attributes = &record[0].attributes;
    assert_eq!(attributes.source.as_deref(), Some("/saga/owner"));
    assert_eq!(attributes.digest.as_deref(), Some("a"));
    let rig = rig.restarted();
    rig.publish(1, &["d"], 0);
    assert_eq!(rig.values(0, 3, 9, usize::MAX), numbered(3, &["d"]));
}

pub(crate) fn a_record_without_a_turn_is_published_behind_those_of_turns(rig: Rig) {
    rig.publish(1, &["a", "b"], 0);
    let seen = rig.store.published().count();
    let mut row = rig.row("own");
    row.from_generation = false;
    row.attributes.extra = vec![
        ("ce_source".into(), "/me".into()),
        ("by".into(), "ann".into()),
    ];
    assert_eq!(rig.store.append(row.clone()), Ok(2));
    assert!(rig.store.published().count() > seen, "readers are notified");
    rig.publish(2, &["c"], 0);
    assert_eq!(
        rig.values(0, 0, 9, usize::MAX),
        numbered(0, &["a", "b", "own", "c"])
    );
    row.partition = 4;
    assert_eq!(rig.store.append(row), Ok(0));
    let topic = (rig.topic, Arc::from("t"));
    let records = (rig.reader().records_within(&topic, 0, 2, 1, usize::MAX)).unwrap();
    let attributes = &records[0].attributes;
    assert_eq!(attributes.source.as_deref(), Some("/me"));
    assert_eq!(attributes.digest, None);
    assert_eq!(attributes.extra, [("by".to_owned(), "ann".to_owned())]);
}

pub(crate) fn what_consumers_and_the_relay_have_not_read_waits(rig: Rig) {
    rig.publish(1, &["a", "b", "c"], 0);
    let reader = rig.reader();
    let waiting = |readers| {
        let backlogs = reader.backlogs(readers).unwrap();
        let of_topic = backlogs.get("t").cloned();
        of_topic.map(
            |Backlog {
                 published,
                 waiting,
                 oldest,
             }| (published, waiting, oldest),
        )
    };
    let consumers = OutboxReaders::Consumers;
    assert_eq!(waiting(consumers), Some((3, 0, None)), "nobody reads");
    rig.store
        .write_offset("log:owner/g", rig.topic, 0, 1)
        .unwrap();
    assert_eq!(waiting(consumers), Some((3, 2, Some(NOW))));
    assert_eq!(reader.unread("log:owner/g", rig.topic, "e"), Ok(2));
    assert_eq!(reader.unread("log:owner/g", rig.topic, "x"), Ok(0));
    assert_eq!(waiting(OutboxReaders::Relay), None, "nobody publishes");
    let topics = vec![(Arc::from("t"), rig.topic)];
    assert_eq!(reader.waiting_topics(), Ok(topics));
    let progress = Offset {
        consumer: RELAY.into(),
        topic: rig.topic,
        partition: 0,
        next: 2,
        epoch: 0,
        last: None,
    };
    let written = (rig.store).hand_in_offsets(vec![progress]);
    assert_eq!(written.recv_timeout(DEADLINE), Ok(Ok(())));
    assert_eq!(waiting(OutboxReaders::Relay), Some((2, 1, Some(NOW))));
    rig.store.write_offset(RELAY, rig.topic, 0, 3).unwrap();
    assert_eq!(reader.waiting_topics(), Ok(vec![]));
    // A consumer that no longer exists does not hold back the backlog.
    rig.store.note_consumers("owner", &[], NOW).unwrap();
    assert_eq!(waiting(consumers), Some((3, 0, None)));
    let own = [("log:owner/g".into(), rig.topic)];
    rig.store.note_consumers("owner", &own, NOW).unwrap();
    assert_eq!(waiting(consumers), Some((3, 2, Some(NOW))));
}

pub(crate) fn invariant_1_an_offset_is_stored_with_its_turn(rig: Rig) {
    let turn = |ticket, revision, offset| {
        let turn = rig.put(ticket, "k", revision, "{}");
        turn.takes(rig.taken(offset))
    };
    let stored = || rig.reader().offset("log:owner/g", rig.topic, 0).unwrap();
    assert_eq!(stored(), None);
    rig.commit(turn(1, 1, 4)).unwrap();
    assert_eq!(stored(), Some(5));
    rig.refused(2, "k");
    assert!(rig.commit(turn(3, 2, 5).on(2)).is_err());
    assert_eq!(stored(), Some(5), "it does not hold");
    // An offset that is written after a turn takes precedence.
    let turn = rig.hand_in(turn(4, 2, 8).noticed(3));
    rig.store
        .write_offset("log:owner/g", rig.topic, 0, 2)
        .unwrap();
    assert_eq!(turn.recv_timeout(DEADLINE), Ok(Ok(())));
    assert_eq!(stored(), Some(2));
}

pub(crate) fn offsets_are_written_and_kept_with_what_was_read_last(rig: Rig) {
    let last = Some(Proof {
        time: 5,
        print: u64::MAX - 3,
    });
    let reader = rig.reader();
    let place = || reader.place(KAFKA, rig.topic, 0).unwrap();
    assert_eq!(place(), None);
    let stored = |next, last| StoredPlace {
        epoch: 0,
        next,
        last,
        log: None,
    };
    rig.store
        .write_place(KAFKA, rig.topic, 0, (100, last))
        .unwrap();
    assert_eq!(place(), Some(stored(100, last)));
    rig.store.write_offset(KAFKA, rig.topic, 0, 60).unwrap();
    assert_eq!(
        place(),
        Some(stored(60, None)),
        "the proof was of another offset"
    );
    rig.store
        .write_offset("log:owner/g", rig.topic, 0, 7)
        .unwrap();
    let read = reader.read_partitions().unwrap();
    assert_eq!(read.len(), 1, "only Kafka's: {read:?}");
    assert_eq!(
        (&*read[0].topic, &*read[0].group, read[0].next),
        ("t", "g", 60)
    );
}

pub(crate) fn a_recreated_topic_is_read_from_its_beginning(rig: Rig) {
    let reader = rig.reader();
    let known = || reader.topic_id(KAFKA, rig.topic).unwrap();
    let at = |partition| reader.offset(KAFKA, rig.topic, partition).unwrap();
    assert_eq!(known(), None);
    rig.store.write_offset(KAFKA, rig.topic, 0, 100).unwrap();
    let starts = [(0, 90), (1, 30)];
    rig.store
        .first_topic(KAFKA, rig.topic, "one", &starts)
        .unwrap();
    assert_eq!(known(), Some("one".into()));
    assert_eq!((at(0), at(1)), (Some(100), Some(30)), "what is known stays");
    rig.store.next_topic(KAFKA, rig.topic, "two").unwrap();
    assert_eq!(known(), Some("two".into()));
    assert_eq!((at(0), at(1)), (Some(0), Some(0)));
    assert_eq!(reader.topic_id("kafka:other/g", rig.topic), Ok(None));
}
