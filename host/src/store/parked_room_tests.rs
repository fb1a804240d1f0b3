#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use super::*;

fn room(messages: usize, bytes: usize, aggregate_messages: usize) -> Arc<ParkedRoom> {
    let limits = ParkedLimits {
        messages,
        bytes,
        aggregate_messages,
    };
    ParkedRoom::new(limits, (0, 0))
}

#[test]
fn invariant_9_what_is_parked_is_bounded_in_number_bytes_and_for_each_aggregate() {
    let room = room(3, 100, 2);
    let first = room.take(60, 0).unwrap();
    assert_eq!(room.take(41, 0).unwrap_err(), Bound::Bytes);
    assert_eq!(room.take(1, 2).unwrap_err(), Bound::AggregateMessages);
    let second = room.take(40, 1).unwrap();
    let third = room.take(0, 0).unwrap();
    assert_eq!(room.take(0, 0).unwrap_err(), Bound::Messages);
    assert_eq!(room.used(), (3, 100));
    // A parked message counts until it is settled; a place without one is freed.
    first.keep();
    drop((first, second, third));
    assert_eq!(room.used(), (1, 60));
    room.leave(60);
    assert_eq!(room.used(), (0, 0));
}

#[test]
fn a_full_room_is_reported_once_until_a_tenth_is_free() {
    let room = room(20, 100, 9);
    let mut places: Vec<_> = (0..20).map(|_| room.take(1, 0).unwrap()).collect();
    assert!(room.take(1, 0).is_err());
    assert!(room.has_just_filled());
    assert!(!room.has_just_filled());
    // One message comes, one goes: this is not reported.
    places.truncate(18);
    assert!(!room.has_just_filled());
    places.truncate(17);
    assert!(room.has_just_filled());
}
