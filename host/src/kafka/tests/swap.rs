//! Swaps of rules on Kafka must not disturb the members of other groups. The changes of groups are
//! read from the log, as by an operator.

use std::io::Write;
use std::sync::OnceLock;

use parking_lot::Mutex;

use super::*;

/// The log of this process.
#[derive(Clone, Copy)]
struct Log;

static LINES: Mutex<Vec<u8>> = Mutex::new(Vec::new());

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut lines = LINES.lock();
        lines.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// Keeps the log from now on. Consumers log on threads of their own, so this is the log of the
    /// process.
    fn kept() -> Self {
        static KEPT: OnceLock<()> = OnceLock::new();
        KEPT.get_or_init(|| {
            tracing_subscriber::fmt()
                .with_ansi(false)
                .with_max_level(tracing::Level::INFO)
                .with_writer(|| Log)
                .init();
        });
        Self
    }

    /// Number of log lines about this event of a group on a topic, with exactly these partitions.
    fn count(self, what: &str, group: &str, topic: &str, partitions: &[i32]) -> usize {
        let (what, whose) = (
            format!("partitions {what}"),
            format!("group={group} topic={topic} partitions={partitions:?}"),
        );
        self.lines(&what, &whose)
    }

    /// Number of assignments and revocations of a group's partitions.
    fn changes(self, group: &str) -> usize {
        let group = format!("group={group} ");
        self.lines("partitions assigned", &group) + self.lines("partitions revoked", &group)
    }

    fn lines(self, what: &str, whose: &str) -> usize {
        let lines = LINES.lock();
        let text = std::str::from_utf8(&lines).unwrap();
        let is_it = |line: &&str| line.contains(what) && line.contains(whose);
        text.lines().filter(is_it).count()
    }
}

#[test]
fn sources_that_come_and_go_are_said_and_no_other_group_notices() {
    let log = Log::kept();
    let cluster = cluster("t", 2);
    cluster.mock().create_topic(LATER, 1, 1).unwrap();
    let rig = rig_on(&cluster, "t");
    let topic = (rig.source.topic.clone(), rig.source.topic_row);
    let later = rig.topic(LATER);
    let _relay = rig.publishing();
    let staying = rig.consuming_from(&rig.source_of(&topic, "unmoved"));
    rig.publish(vec![rig.row("k", "0")]);
    let before = staying.next();
    rig.settle(&before);
    assert_eq!(log.count("assigned", "unmoved", "t", &[0, 1]), 1);

    rig.transport.publish_too(vec![later.clone()]);
    for round in 1..=3 {
        let same_topic = rig.consuming_from(&rig.source_of(&topic, "moving"));
        let new_topic = rig.consuming_from(&rig.source_of(&later, "new"));
        rig.publish(vec![
            rig.row("k", &round.to_string()),
            crate::store::OutboxRow {
                topic: later.1,
                ..rig.row("k", &round.to_string())
            },
        ]);
        // The group has settled nothing, so it reads from the beginning.
        assert_eq!(same_topic.values(1), ["0"]);
        assert_eq!(new_topic.values(1), ["1"]);
        same_topic.stop();
        new_topic.stop();
        for what in ["assigned", "revoked"] {
            assert_eq!(log.count(what, "moving", "t", &[0, 1]), round);
            assert_eq!(log.count(what, "new", LATER, &[0]), round);
        }
        let meanwhile = staying.next();
        assert_eq!(value(&meanwhile.record), round.to_string());
        assert!(Arc::ptr_eq(&before.session, &meanwhile.session));
    }
    assert_eq!(log.changes("unmoved"), 1);
}

#[test]
fn a_rebalance_within_a_group_is_said_even_where_no_partition_moves() {
    let log = Log::kept();
    let cluster = cluster("t", 1);
    cluster.mock().create_topic(LATER, 1, 1).unwrap();
    let rig = rig_on(&cluster, "t");
    let topic = (rig.source.topic.clone(), rig.source.topic_row);
    let _relay = rig.publishing();
    let first = rig.consuming_from(&rig.source_of(&topic, "shared"));
    rig.publish(vec![rig.row("k", "0")]);
    let before = first.next();
    let _second = rig.consuming_from(&rig.source_of(&rig.topic(LATER), "shared"));
    until("the first member is told", || {
        log.count("assigned", "shared", "t", &[]) == 1
    });
    rig.publish(vec![rig.row("k", "1")]);
    let after = first.next();
    assert!(
        Arc::ptr_eq(&before.session, &after.session),
        "it keeps its partition"
    );
}

#[test]
fn a_topic_that_is_added_waits_in_the_outbox_until_then() {
    let cluster = cluster("t", 1);
    let rig = rig_on(&cluster, "t");
    let later = rig.topic(LATER);
    let progress = |row| {
        let reader = rig.store.reader().unwrap();
        reader.offset(produce::RELAY, row, 0).unwrap()
    };
    let row = |topic, value: &str| crate::store::OutboxRow {
        topic,
        ..rig.row("k", value)
    };
    let _relay = rig.publishing();
    rig.publish(vec![row(later.1, "0"), row(rig.source.topic_row, "0")]);
    until("the first topic is published", || {
        progress(rig.source.topic_row) == Some(1)
    });
    assert_eq!(progress(later.1), None);

    // A topic that can't be created holds up nothing else.
    rig.transport.publish_too(vec![later.clone()]);
    until("it is said", || {
        trouble(&rig).contains("topic later does not exist")
    });
    rig.publish(vec![row(later.1, "1"), row(rig.source.topic_row, "1")]);
    until("the first topic flows", || {
        progress(rig.source.topic_row) == Some(2)
    });
    cluster.mock().create_topic(LATER, 1, 1).unwrap();
    until("both are published", || progress(later.1) == Some(2));
    let of_later = rig.consuming_from(&rig.source_of(&later, "of-later"));
    assert_eq!(of_later.values(2), ["0", "1"]);
    until("it is over", || rig.transport.trouble().is_none());
}

#[test]
fn the_troubles_of_a_source_end_with_it() {
    // The mock broker can't create topics.
    let cluster = cluster("t", 1);
    let rig = rig_on(&cluster, "t");
    let missing = rig.source_of(&rig.topic("missing"), "group");
    let (one, another) = (rig.consuming_from(&missing), rig.consuming_from(&missing));
    until("it is said", || {
        trouble(&rig).contains("topic missing does not exist")
    });
    one.stop();
    assert!(
        trouble(&rig).contains("topic missing"),
        "one still needs it"
    );
    another.stop();
    assert_eq!(rig.transport.trouble(), None);

    // The supervisor continues for others.
    let consumer = rig.consuming();
    let _relay = rig.publishing();
    rig.publish(vec![rig.row("k", "0")]);
    assert_eq!(consumer.values(1), ["0"]);
    assert_eq!(rig.transport.trouble(), None);
}
