//! Messages that wait, read in pages.

use saga_core::commit::Write;

use super::dead_letters::block;
use super::parked::parking;
use super::turns::fired;
use super::{NOW, Rig, SAGA, identity, journal, set};
use crate::store::RELAY;
use crate::store::parked::ParkedTimer;
use crate::store::waiting::{ParkedRecord, SetTimer, TopicReader};

pub(crate) fn timers_are_read_in_the_order_of_their_keys_and_names(rig: Rig) {
    for (ticket, key, names) in [(1, "b", &["x"][..]), (2, "a", &["z", "y"])] {
        let timers = names.iter().map(|name| set(name, NOW + ticket)).collect();
        let turn = rig.turn(ticket, key).timers(timers);
        rig.commit(turn.write(Write::Journal(journal(key, 0))))
            .unwrap();
    }
    let parked = ParkedTimer {
        fired: fired("a", "y", NOW + 2),
        reason: "trap".into(),
        detail: "unreachable".into(),
        attempts: 3,
        digest: "a".into(),
        time: NOW + 9,
    };
    let park = rig.turn(3, "a");
    rig.commit(park.write(Write::ParkTimer(Box::new(parked))))
        .unwrap();
    let timer = |key: &str, name: &str, due| SetTimer {
        key: key.into(),
        name: name.into(),
        due,
        set_by: "cause".into(),
        correlation: SAGA.into(),
        parked: None,
    };
    let parked = SetTimer {
        parked: Some((NOW + 9, "unreachable".into())),
        ..timer("a", "y", NOW + 2)
    };
    let (reader, of) = (rig.reader(), rig.participant);
    let first = reader.timers_after(of, ("", ""), 2);
    assert_eq!(first, Ok(vec![parked, timer("a", "z", NOW + 2)]));
    let rest = reader.timers_after(of, ("a", "z"), 2);
    assert_eq!(rest, Ok(vec![timer("b", "x", NOW + 1)]));
}

pub(crate) fn parked_records_are_read_with_what_they_wait_for(rig: Rig) {
    let letter = block(&rig, 1, "one", 1).id;
    let behind = rig.turn(2, "k").notes("two");
    rig.commit(behind.write(Write::Park(Box::new(parking("two")))))
        .unwrap();
    let mut apart = rig.turn(3, "other").notes("three");
    apart = apart.write(Write::Park(Box::new(parking("three"))));
    let reason = Write::Quarantine("no such state".into(), NOW);
    rig.commit(apart.write(reason)).unwrap();
    let record = |id, key: &str, name: &str, letter| ParkedRecord {
        id,
        key: key.into(),
        name: "e".into(),
        since: NOW,
        identity: identity(name),
        correlation: name.into(),
        letter,
        is_quarantined: letter.is_none(),
    };
    let (reader, of) = (rig.reader(), rig.participant);
    let page = reader.parked_after(of, 0, 9).unwrap();
    let [second, third] = [&page[0], &page[1]];
    assert_eq!(*second, record(second.id, "k", "two", Some(letter)));
    assert_eq!(*third, record(third.id, "other", "three", None));
    assert_eq!(page.len(), 2, "a dead letter is none of them");
    assert_eq!(reader.parked_after(of, 0, 1), Ok(page[..1].to_vec()));
    assert_eq!(
        reader.parked_after(of, second.id, 9),
        Ok(page[1..].to_vec())
    );
}

pub(crate) fn readers_of_a_topic_are_those_that_were_not_dropped(rig: Rig) {
    let consumer = "log:owner/g";
    for (name, partition, next) in [(consumer, 1, 7), (consumer, 0, 3), (RELAY, 0, 2)] {
        rig.store
            .write_offset(name, rig.topic, partition, next)
            .unwrap();
    }
    let reader = |consumer: &str, partition, next| TopicReader {
        consumer: consumer.into(),
        partition,
        next,
    };
    let readers = || {
        let mut readers = rig.reader().topic_readers(rig.topic).unwrap();
        readers.sort_by_key(|one| (one.consumer == RELAY, one.partition));
        readers
    };
    let both = [reader(consumer, 0, 3), reader(consumer, 1, 7)];
    let relay = reader(RELAY, 0, 2);
    assert_eq!(
        readers(),
        [&both[..], std::slice::from_ref(&relay)].concat()
    );
    rig.store.note_consumers("owner", &[], NOW).unwrap();
    assert_eq!(readers(), [relay]);
}
