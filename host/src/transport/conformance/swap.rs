//! Swaps of rules: topics are published, and sources come and go, while the rest runs on.

use super::*;

fn rows(rig: &TransportRig, topic: i64, numbers: std::ops::Range<usize>) -> Vec<OutboxRow> {
    let row = |number: usize| OutboxRow {
        topic,
        ..rig.row("k", &number.to_string())
    };
    numbers.map(row).collect()
}

fn numbers(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|number| number.to_string()).collect()
}

pub(crate) fn a_topic_added_later_is_published_with_what_the_outbox_held(
    rig: impl Fn(i32) -> TransportRig,
) {
    let rig = rig(1);
    let _relay = rig.publishing();
    let consumer = rig.consuming();
    let later = rig.topic(LATER);
    rig.publish(rows(&rig, later.1, 0..100));
    rig.publish(rows(&rig, rig.source.topic_row, 0..1));
    let first = consumer.next();

    // While records of the other topic are in flight.
    rig.publish(rows(&rig, rig.source.topic_row, 1..500));
    rig.transport.publish_too(vec![later.clone()]);
    rig.publish(rows(&rig, later.1, 100..150));
    let known = (rig.source.topic.clone(), rig.source.topic_row);
    rig.transport.publish_too(vec![later.clone(), known]);
    rig.publish(rows(&rig, later.1, 150..200));

    let of_later = rig.consuming_from(&rig.source_of(&later, "of-later"));
    assert_eq!(of_later.values(200), numbers(0..200));
    assert_eq!(consumer.values(499), numbers(1..500));
    // Any record published twice would come before these.
    rig.publish(rows(&rig, later.1, 200..201));
    rig.publish(rows(&rig, rig.source.topic_row, 500..501));
    assert_eq!(of_later.values(1), ["200"]);
    let last = consumer.next();
    assert_eq!(value(&last.record), "500");
    assert!(Arc::ptr_eq(&first.session, &last.session));
}

pub(crate) fn topics_may_be_added_before_the_relay_runs_and_after_it_ended(
    rig: impl Fn(i32) -> TransportRig,
) {
    let rig = rig(1);
    let later = rig.topic(LATER);
    rig.transport.publish_too(vec![later.clone()]);
    rig.publish(rows(&rig, later.1, 0..3));
    let relay = rig.publishing_to(Vec::new());
    let of_later = rig.consuming_from(&rig.source_of(&later, "of-later"));
    assert_eq!(of_later.values(3), numbers(0..3));
    relay.stop();

    let added = (rig.source.topic.clone(), rig.source.topic_row);
    rig.transport.publish_too(vec![added]);
    rig.publish(rows(&rig, rig.source.topic_row, 0..3));
    rig.publish(rows(&rig, later.1, 3..4));
    let _relay = rig.publishing_to(Vec::new());
    assert_eq!(rig.consuming().values(3), numbers(0..3));
    assert_eq!(of_later.values(1), ["3"]);
}

pub(crate) fn a_source_is_stopped_alone_and_another_group_goes_on(
    rig: impl Fn(i32) -> TransportRig,
) {
    let rig = rig(1);
    let topic = (rig.source.topic.clone(), rig.source.topic_row);
    let _relay = rig.publishing();
    let staying = rig.consuming_from(&rig.source_of(&topic, "staying"));
    let leaving = rig.consuming();
    rig.publish(vec![rig.row("k", "0"), rig.row("k", "1")]);
    let before = staying.next();
    rig.settle(&before);
    rig.settle(&staying.next());
    let in_flight = (leaving.next(), leaving.next());
    rig.settle(&in_flight.0);

    let took = leaving.stop();
    assert!(took < PROMPTLY, "{took:?}");
    assert!(!rig.stop.is_cancelled());
    // Records in flight may still be settled.
    rig.settle(&in_flight.1);
    assert_eq!(rig.stored(0), Some(2));

    rig.publish(vec![rig.row("k", "2")]);
    let after = staying.next();
    assert_eq!(value(&after.record), "2");
    assert!(
        Arc::ptr_eq(&before.session, &after.session),
        "its partition was not taken away and given again"
    );
}

pub(crate) fn a_stopped_source_delivers_no_further_record(rig: impl Fn(i32) -> TransportRig) {
    let rig = rig(1);
    let _relay = rig.publishing();
    rig.publish(rows(&rig, rig.source.topic_row, 0..100));
    // Once the second reader has them, all of them have come from the broker, if there is one.
    let topic = (rig.source.topic.clone(), rig.source.topic_row);
    let other = rig.consuming_from(&rig.source_of(&topic, "other"));
    assert_eq!(other.values(100).len(), 100);

    // A slow sink: takes a record only on request.
    let slow = rig.consuming_by(&rig.source, crossbeam_channel::bounded(0));
    let first = slow.next();
    slow.running.stop.cancel();
    // The thread ends with its sender.
    let mut more = 0;
    while slow.deliveries.recv_timeout(DEADLINE).is_ok() {
        more += 1;
    }
    assert!(more <= 1, "{more} records were delivered after the stop");
    rig.settle(&first);
    assert_eq!(rig.consuming().values(99), numbers(1..100));
}

pub(crate) fn a_source_started_again_goes_on_from_the_stored_offset(
    rig: impl Fn(i32) -> TransportRig,
) {
    let rig = rig(1);
    let _relay = rig.publishing();
    rig.publish(rows(&rig, rig.source.topic_row, 0..10));
    let consumer = rig.consuming();
    let deliveries: Vec<Delivery> = (0..10).map(|_| consumer.next()).collect();
    deliveries[..5].iter().for_each(|one| rig.settle(one));
    consumer.stop();
    // Settled after the end, one of them out of order: the offset stays below the gap.
    for late in [5, 6, 8] {
        rig.settle(&deliveries[late]);
    }
    assert_eq!(rig.stored(0), Some(7));
    rig.publish(rows(&rig, rig.source.topic_row, 10..12));

    let consumer = rig.consuming();
    let again: Vec<Delivery> = (0..5).map(|_| consumer.next()).collect();
    let values: Vec<String> = again.iter().map(|one| value(&one.record)).collect();
    assert_eq!(values, numbers(7..12), "nothing left out");
    assert!(
        again.iter().all(|one| one.may_repeat),
        "the one that was settled is known by its id"
    );
    again.iter().for_each(|one| rig.settle(one));
    consumer.stop();
    assert_eq!(rig.stored(0), Some(12));

    let consumer = rig.consuming();
    rig.publish(rows(&rig, rig.source.topic_row, 12..13));
    assert_eq!(consumer.values(1), ["12"], "nothing twice");
}

pub(crate) fn sources_end_with_the_parent_of_their_tokens(rig: impl Fn(i32) -> TransportRig) {
    let rig = rig(1);
    let consumer = rig.consuming();
    let relay = rig.publishing();
    rig.publish(vec![rig.row("k", "0")]);
    assert_eq!(consumer.values(1), ["0"]);
    rig.stop.cancel();
    // Nobody cancels their own tokens.
    assert_eq!(
        consumer.deliveries.recv_timeout(PROMPTLY).err(),
        Some(RecvTimeoutError::Disconnected)
    );
    relay.stop();
}
