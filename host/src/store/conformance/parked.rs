//! Parked messages and timers.

use std::sync::Arc;

use saga_core::outcome::StateChange;
use saga_core::record::{Attributes, Position, Record};

use super::turns::fired;
use super::{NOW, Rig, identity, set, settlement};
use crate::store::parked::{Parked, ParkedEvent, ParkedRow, ParkedTimer, Parking, Unparked};
use crate::store::{Entry, ParkedLimits, ParkedRoom};

fn parking(room: &Arc<ParkedRoom>, id: &str) -> Parking {
    let record = Record {
        position: Position {
            topic: "t".into(),
            incarnation: None,
            partition: 0,
            offset: 1,
        },
        timestamp: NOW,
        key: Some(b"k".to_vec()),
        value: Some(id.into()),
        attributes: Attributes::default(),
    };
    Parking {
        key: "k".into(),
        message: Parked::Event(Box::new(ParkedEvent {
            identity: identity(id),
            name: "e".into(),
            group: "g".into(),
            declared_topic: "t".into(),
            record,
        })),
        place: room.take(10, 0).unwrap(),
        time: NOW,
    }
}

pub(crate) fn parked_messages_wait_in_a_row_and_are_settled_once(rig: Rig) {
    let room = ParkedRoom::new(ParkedLimits::default(), (0, 0));
    let park = |ticket, id, run| Entry {
        parking: Some(Box::new(parking(&room, id))),
        run,
        ..rig.nothing(ticket)
    };
    rig.commit(park(1, "one", 0)).unwrap();
    rig.commit(park(2, "two", 0)).unwrap();
    rig.commit(park(3, "one", 0)).unwrap();
    assert_eq!(rig.progress.run(), 1, "it is parked already");
    rig.store.settle_up();
    assert_eq!(room.used(), (2, 20), "and takes no second place");
    let reader = rig.reader();
    let of = rig.participant;
    assert_eq!(reader.parked_totals(of), Ok((2, 20)));
    assert_eq!(reader.parked_keys(of), Ok(vec![("k".into(), 2)]));
    assert_eq!(reader.parked_events(of, "e"), Ok(2));
    assert_eq!(reader.was_applied(of, &identity("one")), Ok(true));
    assert_eq!(
        reader.oldest_retried(of, &[("t", "e")]),
        Ok(Some(("k".into(), NOW)))
    );
    assert_eq!(reader.oldest_retried(of, &[("t", "x")]), Ok(None));
    let first = reader.next_parked(of, "k", 0).unwrap().unwrap();
    let second = reader.next_parked(of, "k", first.id).unwrap().unwrap();
    let name = |row: &ParkedRow| match &row.message {
        Parked::Event(event) => event.identity.id.clone(),
        Parked::Timer(name, _) => name.clone(),
    };
    assert_eq!((&*name(&first), &*name(&second)), ("one", "two"));
    assert_eq!(reader.next_parked(of, "k", second.id), Ok(None));
    let settle = |ticket, run| Entry {
        unparked: Some(Box::new(Unparked {
            id: first.id,
            bytes: first.bytes,
            identity: Some(identity("one")),
            room: room.clone(),
        })),
        run,
        ..rig.put(ticket, "k", ticket, "{}")
    };
    rig.commit(settle(4, 1)).unwrap();
    assert_eq!((room.used(), rig.progress.run()), ((1, 10), 1));
    rig.commit(settle(5, 1)).unwrap();
    assert_eq!((room.used(), rig.progress.run()), ((1, 10), 2));
    let stored = reader.aggregate(of, "k").unwrap();
    assert_eq!(stored.revision, 4, "the second attempt changed nothing");
    assert_eq!(reader.was_applied(of, &identity("one")), Ok(true));
}

pub(crate) fn parked_timers_are_not_due_until_they_are_released(rig: Rig) {
    let mut settlement = settlement("k", 1, StateChange::Unchanged);
    settlement.timers = vec![set("a", NOW)];
    let set = Entry {
        settlement: Some(settlement),
        ..rig.nothing(1)
    };
    rig.commit(set).unwrap();
    let park = Entry {
        parked_timer: Some(Box::new(ParkedTimer {
            fired: fired("k", "a", NOW),
            reason: "trap".into(),
            detail: "unreachable".into(),
            attempts: 3,
            digest: "a".into(),
            time: NOW + 1,
        })),
        ..rig.nothing(2)
    };
    rig.commit(park).unwrap();
    let (reader, of) = (rig.reader(), rig.participant);
    assert_eq!(reader.due_timers(of, NOW + 9, 9), Ok((vec![], None)));
    assert_eq!(reader.parked_timers_up_to(of, 9), Ok(1));
    let parked = reader.parked_timers(of, 9).unwrap();
    assert_eq!((&*parked[0].reason, parked[0].since), ("trap", NOW + 1));
    assert_eq!(rig.store.release_timers(of), Ok(1));
    assert_eq!(reader.due_timers(of, NOW + 9, 9).unwrap().0.len(), 1);
    assert_eq!(rig.store.release_timers(of), Ok(0));
}
