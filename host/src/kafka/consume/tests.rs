//! What becomes of the readings of an assignment, without a broker.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};

use super::assignment::*;
use super::doubtful_records::DoubtfulRecords;
use super::log_identity::LogIdentity;
use super::partition::PartitionState;
use super::reading::Reading;
use crate::kafka::tests::nobody;
use crate::transport::Proof;

#[test]
fn a_reading_that_goes_back_ends_before_the_next_one_begins() {
    let (rig, parts) = nobody();
    let assignment = Assignment::new(&parts, rig.source.clone()).unwrap();
    let mut reading = Reading::Awaits { stored: None };
    let old = assignment.start(&mut reading, 0, (1_000, None), 1_000);
    (rig.store)
        .write_offset(&rig.source.consumer, rig.source.topic_row, 0, 1_001)
        .unwrap();

    assert!(assignment.go_back(&mut reading, 0, 900));
    assert!(old.is_cancelled(), "what is in flight of it is void");
    assert_eq!(
        rig.stored(0),
        Some(900),
        "a restart goes on where this reading does"
    );
    let new = assignment.start(&mut reading, 0, (900, None), 900);
    assert!(!Arc::ptr_eq(&old, &new) && !new.is_cancelled());
}

#[test]
fn a_partition_that_cannot_be_fetched_from_the_last_record_is_reported_after_a_while() {
    let (rig, parts) = nobody();
    let assignment = Assignment::new(&parts, rig.source.clone()).unwrap();
    let client: BaseConsumer<Assignment> = parts
        .settings
        .consumer_config("group", "member", "store")
        .create_with_context(assignment)
        .unwrap();
    let client = Arc::new(client);
    let mut log = LogIdentity::default();
    log.note(7, Proof { time: 1, print: 1 });
    assert!(log.doubt());
    let reading = Reading::Awaits { stored: Some(8) };
    let mut state = PartitionState::new(reading, DoubtfulRecords::default(), log);
    // Nobody has assigned it.
    let assignment = client.context();
    assignment.prepare(&client, 0, &mut state);
    assert_eq!(state.log.to_seek(), Some(7));
    assert!(state.unsought.is_some() && parts.conditions.text().is_none());
    state.unsought = Instant::now().checked_sub(Duration::from_secs(6));
    assignment.prepare(&client, 0, &mut state);
    let said = parts.conditions.text().unwrap();
    assert!(said.contains("can't be fetched from offset 7 on"), "{said}");
    assert!(state.is_failing, "it is over when records come");
}
