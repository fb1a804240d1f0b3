//! Detection of a replaced log, as far as it can be tested without a broker that loses records;
//! times of records.

use super::*;
use crate::base::clock::now_ms;
use crate::store::StoredPlace;
use crate::transport::Proof;

fn place(rig: &TransportRig, partition: i32) -> StoredPlace {
    let source = &rig.source;
    let place = (rig.store.reader().unwrap()).place(&source.consumer, source.topic_row, partition);
    place.unwrap().unwrap()
}

/// Publishes one record to each partition, reads and settles them.
fn read_some(rig: &TransportRig, partitions: usize) {
    let consumer = rig.consuming();
    for _ in 0..partitions {
        rig.settle(&consumer.next());
    }
}

#[test]
fn where_to_read_on_is_stored_with_what_was_read_and_nothing_is_delivered_twice() {
    let cluster = cluster("t", 1);
    let theirs = producer(&cluster);
    let rig = rig_on(&cluster, "t");
    let say = |text: &str| {
        theirs
            .send(BaseRecord::<(), str>::to("t").payload(text))
            .unwrap();
        theirs.flush(DEADLINE).unwrap();
    };
    let mut proofs = Vec::new();
    for number in 0..3 {
        say(&number.to_string());
        let consumer = rig.consuming();
        let delivery = consumer.next();
        assert_eq!(value(&delivery.record), number.to_string());
        rig.settle(&delivery);
        let stored = place(&rig, 0);
        assert_eq!(stored.next, number + 1);
        proofs.push(stored.last.unwrap());
    }
    proofs.dedup();
    assert_eq!(proofs.len(), 3, "of different records");
}

#[test]
fn a_partition_with_another_record_in_the_place_of_the_last_one_is_read_no_further() {
    let cluster = cluster("t", 2);
    let rig = rig_on(&cluster, "t");
    let theirs = producer(&cluster);
    let say = |partition| {
        let record = BaseRecord::<(), str>::to("t").payload("x");
        theirs.send(record.partition(partition)).unwrap();
        theirs.flush(DEADLINE).unwrap();
    };
    (0..2).for_each(say);
    read_some(&rig, 2);
    // The stored proof is that of another record.
    let last = place(&rig, 0).last.map(|last| Proof {
        print: last.print ^ 1,
        ..last
    });
    (rig.store)
        .write_place(&rig.source.consumer, rig.source.topic_row, 0, (1, last))
        .unwrap();
    (0..2).for_each(say);
    let consumer = rig.consuming();
    assert_eq!(consumer.next().record.position.partition, 1);
    until("it is said", || rig.transport.halted().is_some());
    let said = rig.transport.halted().unwrap();
    for expected in [
        "topic t, partition 0: its log is not the one that was read in group group",
        "at offset 0 is a record of ",
        "It now goes from offset 0 to 2.",
        "saga seek t 0 OFFSET --group group",
    ] {
        assert!(said.contains(expected), "{said}");
    }
    assert_eq!(trouble(&rig), said);
    say(1);
    let next = consumer.next().record.position;
    assert_eq!(
        (next.partition, next.offset),
        (1, 2),
        "only that is held back"
    );
    assert_eq!(place(&rig, 0).next, 1);
    consumer.stop();
    assert_eq!(rig.transport.halted(), None, "nobody reads any more");
}

#[test]
fn a_record_was_made_when_its_header_says_whenever_it_was_sent() {
    let cluster = cluster("t", 1);
    let theirs = producer(&cluster);
    for made in [Some("2023-11-14T22:13:20.123Z"), None] {
        let headers = OwnedHeaders::new().insert(Header {
            key: "ce_time",
            value: made,
        });
        let record = BaseRecord::<(), str>::to("t").payload("x");
        theirs.send(record.headers(headers).timestamp(7)).unwrap();
    }
    theirs.flush(DEADLINE).unwrap();
    let rig = rig_on(&cluster, "t");
    let consumer = rig.consuming();
    assert_eq!(consumer.next().record.timestamp, 1_700_000_000_123);
    assert_eq!(consumer.next().record.timestamp, 7);
}

#[test]
fn a_record_is_sent_with_the_time_of_sending() {
    let cluster = cluster("t", 1);
    let rig = rig_on(&cluster, "t");
    let begun = now_ms();
    let _relay = rig.publishing();
    let mut row = rig.row("7", "{}");
    row.time = 1_700_000_000_000;
    rig.publish(vec![row]);
    let theirs: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", cluster.mock().bootstrap_servers())
        .set("group.id", "theirs")
        .set("auto.offset.reset", "earliest")
        .create()
        .unwrap();
    theirs.subscribe(&["t"]).unwrap();
    let message = theirs.iter().next().unwrap().unwrap();
    let sent = u64::try_from(message.timestamp().to_millis().unwrap()).unwrap();
    assert!((begun..=now_ms()).contains(&sent), "{sent}");
}
