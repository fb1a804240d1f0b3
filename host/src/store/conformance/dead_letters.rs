//! Dead letters and the operators' requests for them.

use saga_core::commit::{
    DeadLetter, FailedRedrive, LetterEnd, LetterPlace, LetterRequest, ParkedLetter, ReturnedRecord,
    Write,
};

use super::parked::{parked_key, parking, record};
use super::{NOW, Rig, TestTurn, identity};
use crate::store::dead_letters::{LetterAnswer, LetterFilter, NewLetterRequest, StoredLetter};
use crate::store::parked::Parked;
use crate::store::{ParkedLimits, ParkedRoom};

fn letter(id: &str, offset: i64, is_parked: bool) -> DeadLetter {
    DeadLetter {
        group: "g".into(),
        declared_topic: "t".into(),
        record: record(id, offset),
        identity: Some(identity(id)),
        is_parked,
        reason: "malformed".into(),
        detail: "no JSON".into(),
        attempts: 1,
        digest: "a".into(),
        time: NOW,
    }
}

fn ask(rig: &Rig, letter: i64, request: LetterRequest) -> NewLetterRequest {
    NewLetterRequest {
        participant: rig.participant,
        letter,
        request,
        by: "ops".into(),
        now: NOW + 5,
        corrected: None,
        parking: None,
        place: None,
    }
}

/// A letter that is parked as the first message of the aggregate `k`.
pub(super) fn block(rig: &Rig, ticket: u64, id: &str, offset: i64) -> StoredLetter {
    let room = ParkedRoom::new(ParkedLimits::default(), (0, 0));
    let turn = (rig.turn(ticket, "k").notes(id)).write(Write::Park(Box::new(parking(id))));
    let turn = turn.write(Write::DeadLetter(Box::new(letter(id, offset, true))));
    let place = Some(room.take(10, 0).unwrap());
    rig.commit(TestTurn { place, ..turn }).unwrap();
    let filter = LetterFilter::default();
    let letters = rig.reader().dead_letters(rig.participant, &filter, 0, 99);
    let listed = letters.unwrap().pop().unwrap();
    assert_eq!(listed.letter.record.value, None, "lists hold no values");
    let stored = rig.reader().dead_letter(rig.participant, listed.id);
    stored.unwrap().unwrap().0
}

fn acts(rig: &Rig, letter: i64) -> Vec<(String, String)> {
    let one = rig.reader().dead_letter(rig.participant, letter).unwrap();
    let acts = one.unwrap().1.into_iter();
    acts.map(|act| (act.by, act.act)).collect()
}

fn parked_letter(id: i64, request: Option<(i64, LetterRequest)>) -> ParkedLetter {
    ParkedLetter {
        id,
        request,
        is_exhausted: false,
        is_aside: false,
    }
}

fn blocked(rig: &Rig) -> bool {
    let keys = rig.reader().parked_keys(rig.participant).unwrap();
    keys.iter().any(|key| key.letter.is_some())
}

pub(crate) fn a_parked_dead_letter_blocks_its_aggregate_until_it_ends(rig: Rig) {
    let stored = block(&rig, 1, "one", 1);
    let (id, of) = (stored.id, rig.participant);
    assert_eq!(stored.letter, letter("one", 1, true), "all is kept");
    let reader = rig.reader();
    assert_eq!(reader.parked_keys(of), Ok(vec![parked_key("k", 1, true)]));
    assert_eq!(reader.oldest_retried(of, &[("t", "e")]), Ok(None));
    let behind = (rig.turn(2, "k").notes("two")).write(Write::Park(Box::new(parking("two"))));
    rig.commit(behind).unwrap();
    let waiting = || reader.dead_letter(of, id).unwrap().unwrap().0.waiting;
    assert_eq!(waiting(), 1);
    let found = || reader.next_parked(of, "k", 0).unwrap().unwrap();
    let head = |request| Some(parked_letter(id, request));
    assert_eq!(found().letter, head(None));

    let requested = LetterAnswer::Requested {
        key: "k".into(),
        is_new: false,
    };
    let redrive = || {
        rig.store
            .request_letter(ask(&rig, id, LetterRequest::Redrive))
    };
    assert_eq!(redrive(), Ok(requested.clone()));
    assert_eq!(found().letter, head(Some((1, LetterRequest::Redrive))));
    let failed = FailedRedrive {
        letter: id,
        request: 1,
        reason: "trap".into(),
        detail: "unreachable".into(),
        attempts: 3,
        digest: "b".into(),
        time: NOW + 6,
    };
    let turn = (rig.turn(3, "k")).write(Write::FailedRedrive(Box::new(failed)));
    rig.commit(turn).unwrap();
    assert_eq!(found().letter, head(None), "what was asked is done");
    let (after, _) = reader.dead_letter(of, id).unwrap().unwrap();
    assert_eq!((&*after.letter.reason, after.failed_redrives), ("trap", 1));
    assert!(blocked(&rig));

    assert_eq!(redrive(), Ok(requested));
    let settle = (rig
        .put(4, "k", 1, "{}")
        .beside_parked()
        .write(Write::Unpark(found().id)))
    .write(Write::InboxKept(identity("one"), NOW))
    .write(Write::LetterEnded(id, LetterEnd::Decided, NOW + 7));
    rig.commit(settle).unwrap();
    assert!(!blocked(&rig));
    assert_eq!(found().letter, None, "the next message is no dead letter");
    let (after, _) = reader.dead_letter(of, id).unwrap().unwrap();
    assert_eq!(after.ended, Some((LetterEnd::Decided, NOW + 7)));
    let again = redrive();
    assert_eq!(again, Ok(LetterAnswer::Ended(LetterEnd::Decided)));
    let expected = [
        ("ops", "redrive"),
        ("host", "failed"),
        ("ops", "redrive"),
        ("host", "decided"),
    ];
    let acts = acts(&rig, id);
    let acts: Vec<_> = acts.iter().map(|(by, act)| (&**by, &**act)).collect();
    assert_eq!(acts, expected);
}

pub(crate) fn a_dead_letter_that_is_not_parked_is_parked_to_be_redriven(rig: Rig) {
    let write = |ticket, id: &str| {
        let letter = Write::DeadLetter(Box::new(letter(id, 1, false)));
        rig.commit(rig.turn(ticket, "k").write(letter)).unwrap();
    };
    write(1, "one");
    write(2, "two");
    let room = ParkedRoom::new(ParkedLimits::default(), (0, 0));
    let request = LetterRequest::Redrive;
    let bare = rig.store.request_letter(ask(&rig, 1, request));
    assert_eq!(bare, Ok(LetterAnswer::NotParked));
    let asked = NewLetterRequest {
        parking: Some(("k".into(), parking("one"))),
        place: Some(room.take(10, 0).unwrap()),
        corrected: Some(b"other".to_vec()),
        ..ask(&rig, 1, request)
    };
    let requested = LetterAnswer::Requested {
        key: "k".into(),
        is_new: true,
    };
    assert_eq!(rig.store.request_letter(asked), Ok(requested));
    assert_eq!(room.used(), (1, 10));
    let (reader, of) = (rig.reader(), rig.participant);
    let row = reader.next_parked(of, "k", 0).unwrap().unwrap();
    let aside = ParkedLetter {
        is_aside: true,
        ..parked_letter(1, Some((1, LetterRequest::Redrive)))
    };
    assert_eq!(row.letter, Some(aside));
    assert!(!blocked(&rig), "it held nothing back");
    let counted = reader.open_dead_letters_up_to(of, 9);
    assert_eq!(
        counted,
        Ok((2, 0)),
        "it blocks nothing while it is redriven"
    );
    let Parked::Event(event) = row.message else {
        panic!("a record");
    };
    assert_eq!(event.record.value.as_deref(), Some(&b"other"[..]));
    let (stored, _) = reader.dead_letter(of, 1).unwrap().unwrap();
    let kept = stored.letter.record.value.as_deref();
    assert_eq!(kept, Some(&b"one"[..]), "the original stays");
    assert_eq!(stored.corrected.as_deref(), Some(&b"other"[..]));

    // A letter that is known by its position only, which was noted when it was given up.
    let place = saga_core::identity::of_position(&record("", 3).position);
    let by_place = DeadLetter {
        identity: Some(place.clone()),
        ..letter("three", 3, false)
    };
    let turn = (rig.turn(3, "k")).write(Write::Inbox(place.clone(), NOW));
    let turn = turn.write(Write::DeadLetter(Box::new(by_place)));
    rig.commit(turn).unwrap();
    let mut parked = parking("three");
    if let Parked::Event(event) = &mut parked.message {
        (event.identity, event.record.position.offset) = (place, 3);
    }
    let asked = NewLetterRequest {
        parking: Some(("k".into(), parked)),
        ..ask(&rig, 3, LetterRequest::Redrive)
    };
    let again = rig.store.request_letter(asked).unwrap();
    assert!(matches!(
        again,
        LetterAnswer::Requested { is_new: true, .. }
    ));

    // A letter whose record came again and was decided.
    let came_again = rig.turn(4, "k").notes("two");
    rig.commit(came_again).unwrap();
    let asked = NewLetterRequest {
        parking: Some(("k".into(), parking("two"))),
        place: Some(room.take(10, 0).unwrap()),
        ..ask(&rig, 2, LetterRequest::Redrive)
    };
    let meanwhile = rig.store.request_letter(asked);
    assert_eq!(meanwhile, Ok(LetterAnswer::DecidedMeanwhile));
    assert_eq!(room.used(), (1, 10), "it takes no place");
    let unknown = rig
        .store
        .request_letter(ask(&rig, 77, LetterRequest::Discard));
    assert_eq!(unknown, Ok(LetterAnswer::Unknown));
}

/// A redrive has failed, and its entry is on its way to the store when the next one is requested.
pub(crate) fn a_request_during_a_failed_redrive_finds_the_letter_parked(rig: Rig) {
    let dead = Write::DeadLetter(Box::new(letter("one", 1, false)));
    rig.commit(rig.turn(1, "k").write(dead)).unwrap();
    let room = ParkedRoom::new(ParkedLimits::default(), (0, 0));
    let (reader, of) = (rig.reader(), rig.participant);
    let redrive = || NewLetterRequest {
        parking: Some(("k".into(), parking("one"))),
        place: Some(room.take(10, 0).unwrap()),
        ..ask(&rig, 1, LetterRequest::Redrive)
    };
    let requested = |is_new| {
        let key = "k".into();
        Ok(LetterAnswer::Requested { key, is_new })
    };
    assert_eq!(rig.store.request_letter(redrive()), requested(true));
    let parked = || reader.next_parked(of, "k", 0).unwrap();
    let first = parked().unwrap();
    let failed = |ticket, request| {
        let failed = FailedRedrive {
            letter: 1,
            request,
            reason: "trap".into(),
            detail: "unreachable".into(),
            attempts: 3,
            digest: "b".into(),
            time: NOW + 6,
        };
        let turn = (rig.turn(ticket, "k")).write(Write::FailedAside(Box::new(failed)));
        let turn = turn.write(Write::Unpark(first.id));
        TestTurn {
            leaves: Some((room.clone(), 10)),
            ..turn.write(Write::InboxForgotten(identity("one")))
        }
    };
    assert_eq!(rig.store.request_letter(redrive()), requested(false));
    rig.commit(failed(2, 1)).unwrap();
    assert_eq!(rig.broken(), [2], "its worker tries the letter again");
    let aside = |request| {
        Some(ParkedLetter {
            is_aside: true,
            ..parked_letter(1, Some((request, LetterRequest::Redrive)))
        })
    };
    assert_eq!(parked().and_then(|row| row.letter), aside(2));
    assert_eq!(
        (reader.is_letter_requested(of, 1), room.used()),
        (Ok(Some(true)), (1, 10))
    );
    rig.commit(failed(3, 2)).unwrap();
    assert_eq!((parked(), room.used()), (None, (0, 0)));
    assert_eq!(reader.is_letter_requested(of, 1), Ok(Some(false)));
    rig.commit(failed(4, 2)).unwrap();
    assert_eq!(rig.broken(), [4], "that is done already");
    let (stored, _) = reader.dead_letter(of, 1).unwrap().unwrap();
    assert_eq!(stored.failed_redrives, 1);

    // A discard is not lost either.
    assert_eq!(rig.store.request_letter(redrive()), requested(true));
    let discard = ask(&rig, 1, LetterRequest::Discard);
    assert_eq!(rig.store.request_letter(discard), requested(false));
    rig.commit(failed(5, 3)).unwrap();
    let kept = parked().and_then(|row| row.letter?.request);
    assert_eq!(kept, Some((4, LetterRequest::Discard)));
}

pub(crate) fn a_record_takes_the_place_of_a_parked_dead_letter(rig: Rig) {
    let stored = block(&rig, 1, "one", 1);
    let (reader, of) = (rig.reader(), rig.participant);
    let first = stored.letter.record.position.clone();
    let place = LetterPlace {
        letter: stored.id,
        key: "k".into(),
        position: first,
    };
    let found = |id| reader.parked_letter(of, &identity(id));
    assert_eq!((found("one"), found("two")), (Ok(Some(place)), Ok(None)));
    let returned = ReturnedRecord {
        letter: stored.id,
        record: record("mended", 8),
        time: NOW + 3,
    };
    let turn = (rig.turn(2, "k").notes("t/0/8")).write(Write::ReturnedRecord(Box::new(returned)));
    rig.commit(turn).unwrap();
    let row = reader.next_parked(of, "k", 0).unwrap().unwrap();
    let request = Some((1, LetterRequest::Redrive));
    assert_eq!(row.letter, Some(parked_letter(stored.id, request)));
    let Parked::Event(event) = row.message else {
        panic!("a record");
    };
    assert_eq!(event.record.value.as_deref(), Some(&b"mended"[..]));
    assert_eq!(event.record.position.offset, 1, "its place stays");
    assert_eq!(acts(&rig, stored.id), [("t/0/8".into(), "returned".into())]);
}

pub(crate) fn dead_letters_are_listed_by_what_is_asked(rig: Rig) {
    let parked = block(&rig, 1, "one", 1).id;
    let aside = DeadLetter {
        reason: "trap".into(),
        time: NOW + 10,
        ..letter("two", 2, false)
    };
    let turn = (rig.turn(2, "l")).write(Write::DeadLetter(Box::new(aside)));
    rig.commit(turn).unwrap();
    let (reader, of) = (rig.reader(), rig.participant);
    let ids = |filter: LetterFilter, after, most| {
        let letters = reader.dead_letters(of, &filter, after, most).unwrap();
        letters.iter().map(|letter| letter.id).collect::<Vec<_>>()
    };
    let all = LetterFilter::default;
    let aside = ids(all(), parked, 9)[0];
    assert_eq!(ids(all(), 0, 9), [parked, aside]);
    assert_eq!(ids(all(), 0, 1), [parked]);
    let aggregate = Some("l".into());
    assert_eq!(ids(LetterFilter { aggregate, ..all() }, 0, 9), [aside]);
    let reason = Some("malformed".into());
    assert_eq!(ids(LetterFilter { reason, ..all() }, 0, 9), [parked]);
    let before = Some(NOW + 1);
    assert_eq!(ids(LetterFilter { before, ..all() }, 0, 9), [parked]);
    let reasons = vec![("malformed".into(), 1), ("trap".into(), 1)];
    assert_eq!(reader.dead_letter_reasons(of), Ok(reasons));
    assert_eq!(reader.open_dead_letters_up_to(of, 9), Ok((2, 1)));
    assert_eq!(reader.open_dead_letters_up_to(of, 1), Ok((1, 1)));
    let discard = rig
        .store
        .request_letter(ask(&rig, aside, LetterRequest::Discard));
    assert_eq!(discard, Ok(LetterAnswer::Discarded));
    assert_eq!(ids(all(), 0, 9), [parked]);
    let with_ended = LetterFilter {
        with_ended: true,
        ..all()
    };
    assert_eq!(ids(with_ended, 0, 9), [parked, aside]);
}
