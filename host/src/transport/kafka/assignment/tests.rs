//! What becomes of the readings of an assignment, without a broker.

use std::sync::Arc;

use super::*;
use crate::transport::kafka::tests::nobody;

#[test]
fn a_reading_that_goes_back_ends_before_the_next_one_begins() {
    let (rig, parts) = nobody();
    let assignment = Assignment::new(&parts, rig.source.clone()).unwrap();
    let mut reading = Reading::Awaits { stored: None };
    let old = assignment.start(&mut reading, 0, (1_000, None), 1_000);
    let (name, row) = (rig.source.consumer.clone(), rig.source.topic_row);
    (rig.store)
        .run(move |sql| crate::store::write_offset(sql, &name, row, 0, 1_001))
        .unwrap();

    assert!(assignment.go_back(&mut reading, 0, 900));
    assert!(old.is_cancelled(), "what is under way of it is void");
    assert_eq!(
        rig.stored(0),
        Some(900),
        "a restart goes on where this reading does"
    );
    let new = assignment.start(&mut reading, 0, (900, None), 900);
    assert!(!Arc::ptr_eq(&old, &new) && !new.is_cancelled());
}
