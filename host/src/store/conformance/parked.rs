//! Parked messages and timers.

use saga_core::commit::{Blocks, Write};
use saga_core::record::{Attributes, Position, Record};

use super::turns::fired;
use super::{NOW, Rig, TestTurn, identity, journal, set};
use crate::store::parked::{Parked, ParkedEvent, ParkedKey, ParkedRow, ParkedTimer, Parking};
use crate::store::{ParkedLimits, ParkedRoom};

pub(super) fn record(value: &str, offset: i64) -> Record {
    Record {
        position: Position {
            topic: "t".into(),
            incarnation: None,
            partition: 0,
            offset,
        },
        timestamp: NOW,
        key: Some(b"k".to_vec()),
        value: Some(value.into()),
        attributes: Attributes::default(),
    }
}

pub(super) fn parking(id: &str) -> Parking {
    Parking {
        message: Parked::Event(Box::new(ParkedEvent {
            identity: identity(id),
            name: "e".into(),
            group: "g".into(),
            declared_topic: "t".into(),
            record: record(id, 1),
        })),
        bytes: 10,
        time: NOW,
    }
}

pub(super) fn parked_key(key: &str, messages: usize, is_blocked: bool) -> ParkedKey {
    ParkedKey {
        key: key.into(),
        messages,
        letter: is_blocked.then_some(Blocks::All),
        is_requested: false,
    }
}

pub(crate) fn parked_messages_wait_in_their_order_and_are_settled_once(rig: Rig) {
    let room = ParkedRoom::new(ParkedLimits::default(), (0, 0));
    let park = |ticket, id| {
        let turn = rig.turn(ticket, "k").notes(id);
        TestTurn {
            place: Some(room.take(10, 0).unwrap()),
            ..turn.write(Write::Park(Box::new(parking(id))))
        }
    };
    rig.commit(park(1, "one")).unwrap();
    rig.commit(park(2, "two")).unwrap();
    assert!(rig.broken().is_empty());
    rig.commit(park(3, "one")).unwrap();
    assert_eq!(rig.broken(), [3], "it is parked already");
    rig.store.settle_up();
    assert_eq!(room.used(), (2, 20), "and takes no second place");
    let reader = rig.reader();
    let of = rig.participant;
    assert_eq!(reader.parked_totals(of), Ok((2, 20)));
    assert_eq!(reader.parked_keys(of), Ok(vec![parked_key("k", 2, false)]));
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
    let settle = |ticket| {
        let turn = rig.put(ticket, "k", ticket - 3, "{}");
        let turn = turn.beside_parked().write(Write::Unpark(first.id));
        TestTurn {
            leaves: Some((room.clone(), first.bytes)),
            ..turn.write(Write::InboxKept(identity("one"), NOW))
        }
    };
    rig.commit(settle(4)).unwrap();
    assert_eq!((room.used(), rig.broken()), ((1, 10), vec![]));
    rig.commit(settle(5)).unwrap();
    assert_eq!((room.used(), rig.broken()), ((1, 10), vec![5]));
    let stored = reader.aggregate(of, "k").unwrap();
    assert_eq!(stored.revision, 1, "the second attempt changed nothing");
    assert_eq!(reader.was_applied(of, &identity("one")), Ok(true));
}

pub(crate) fn parked_timers_are_not_due_until_they_are_released(rig: Rig) {
    let set = rig.turn(1, "k").timers(vec![set("a", NOW)]);
    let set = set.write(Write::Journal(journal("k", 0)));
    rig.commit(set).unwrap();
    let timer = ParkedTimer {
        fired: fired("k", "a", NOW),
        reason: "trap".into(),
        detail: "unreachable".into(),
        attempts: 3,
        digest: "a".into(),
        time: NOW + 1,
    };
    let park = rig.turn(2, "k").write(Write::ParkTimer(Box::new(timer)));
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
