//! Readings of a consumer, without a broker.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{Consumer as _, ConsumerContext as _};
use rdkafka::error::KafkaError;
use rdkafka::types::{RDKafkaErrorCode as Code, RDKafkaRespErr};
use rdkafka::{ClientContext as _, TopicPartitionList};

use super::partition::PartitionState;
use super::reading::Reading;
use super::{Consumer, in_turn};
use crate::kafka::health::condition::{LogChange, unreadable};
use crate::kafka::tests::nobody;
use crate::transport::{Delivery, Proof, Sink};

struct NoSink;

impl Sink for NoSink {
    fn deliver(&self, _: Delivery) {}
}

#[test]
fn a_partition_that_cannot_be_fetched_from_its_offset_is_reported_after_a_while() {
    let (rig, parts) = nobody();
    let (name, row) = (&rig.source.consumer, rig.source.topic_row);
    rig.store.write_offset(name, row, 0, 7).unwrap();
    let consumer = Consumer::new(parts.clone(), rig.source.clone(), Arc::new(NoSink)).unwrap();
    // This partition was never assigned.
    let mut state = PartitionState::new();
    consumer.begin_if_due(0, &mut state);
    assert!(state.unsought.is_some() && parts.conditions.text().is_none());
    state.unsought = Instant::now().checked_sub(Duration::from_secs(6));
    state.reading = Reading::begins_after(Duration::ZERO, None);
    consumer.begin_if_due(0, &mut state);
    let said = parts.conditions.text().unwrap();
    assert!(
        said.contains("can't be read in group group: no fetch from offset 7 on"),
        "{said}"
    );
}

#[test]
fn a_partition_begins_where_the_store_says_and_in_a_known_topic_never_where_the_group_is() {
    use rdkafka::Offset;
    let (rig, parts) = nobody();
    let start = |fallback| {
        let consumer = Consumer::new(parts.clone(), rig.source.clone(), Arc::new(NoSink)).unwrap();
        consumer.begin(0, fallback, &mut PartitionState::new())
    };
    let (name, row) = (&rig.source.consumer, rig.source.topic_row);
    assert_eq!(start(None), None);
    assert_eq!(start(Some(3)), Some(Offset::Offset(3)));
    rig.store.first_topic(name, row, "id", &[]).unwrap();
    assert_eq!(start(None), Some(Offset::Beginning));
    rig.store.write_offset(name, row, 0, 7).unwrap();
    assert_eq!(start(Some(3)), Some(Offset::Offset(7)));
    let last = Some(Proof { time: 1, print: 1 });
    rig.store.write_place(name, row, 0, (7, last)).unwrap();
    assert_eq!(
        start(None),
        Some(Offset::Offset(6)),
        "the last record is read again"
    );
}

#[test]
fn missing_rights_that_an_earlier_client_reported_are_over_when_records_come() {
    let (rig, parts) = nobody();
    let consumer = || Consumer::new(parts.clone(), rig.source.clone(), Arc::new(NoSink)).unwrap();
    let code = Code::GroupAuthorizationFailed;
    let refused = unreadable(&parts.settings, &rig.source, None, code, "no");
    parts.conditions.report(refused);
    assert!(parts.conditions.text().is_some());
    consumer().rights_granted();
    assert_eq!(parts.conditions.text(), None);
}

#[test]
fn a_halted_partition_keeps_no_condition_of_the_others() {
    let mut state = PartitionState::new();
    assert!(!state.is_fine(), "nothing has come yet");
    state.reading.halt(LogChange::Short { expected: 5 });
    assert!(state.is_fine());
}

#[test]
fn every_partition_has_its_turn() {
    let partitions = BTreeMap::from([0, 1, 4].map(|number| (number, ())));
    for (first, expected) in [
        (0, [0, 1, 4]),
        (1, [1, 4, 0]),
        (2, [4, 0, 1]),
        (5, [0, 1, 4]),
    ] {
        assert_eq!(in_turn(&partitions, first), expected, "{first}");
    }
}

#[test]
fn a_client_that_is_being_closed_leaves_no_assignment_unanswered() {
    let (rig, parts) = nobody();
    let consumer = Consumer::new(parts, rig.source.clone(), Arc::new(NoSink)).unwrap();
    let (client, context) = (&*consumer.client, consumer.client.context());
    let assign = |partition| {
        let mut list = TopicPartitionList::new();
        list.add_partition("t", partition);
        let event = RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        context.rebalance(client, event, &mut list);
    };
    let assigned = || {
        let list = client.assignment().unwrap();
        let elements = list.elements();
        let numbers = elements.iter().map(|element| element.partition());
        numbers.collect::<Vec<i32>>()
    };
    assign(0);
    assert!(assigned().is_empty(), "the thread answers");
    context.begin_closing(client);
    assert_eq!(assigned(), [0], "the thread answers no more");
    assign(1);
    assert_eq!(assigned(), [1]);
    context.error(KafkaError::Global(Code::AllBrokersDown), "none");
    assert!(context.next().is_none());
}
