//! Entries and their fates; aggregates, timers, parked messages and idempotency keys.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use crossbeam_channel::bounded;
use saga_core::outcome::StateChange;

use super::{DEADLINE, NOW, Rig, identity, set, settlement};
use crate::base::changes::Watch;
use crate::store::{Claim, DeadLetter, Entry, FiredTimer, KeptReply, Known};

pub(super) fn fired(key: &str, name: &str, due: u64) -> FiredTimer {
    FiredTimer {
        key: key.into(),
        name: name.into(),
        due,
    }
}

fn claim(rig: &Rig, key: &str) -> Arc<Claim> {
    match rig.store.claim(rig.participant, key, [7; 32]) {
        Known::Claimed(claim) => claim,
        other => panic!("{key}: {other:?}"),
    }
}

pub(crate) fn invariant_2_everything_of_a_turn_is_committed_with_it(rig: Rig) {
    let mut entry = rig.put(1, "k", 1, "{}");
    if let Some(settlement) = &mut entry.settlement {
        settlement.inbox = Some(identity("event"));
        settlement.timers = vec![set("late", NOW + 1)];
    }
    let entry = Entry {
        outbox: vec![rig.row("out")],
        kept_reply: Some(KeptReply {
            claim: claim(&rig, "key"),
            reply: "{}".into(),
        }),
        taken: Some(rig.taken(4)),
        ..entry
    };
    assert_eq!(rig.commit(entry), Ok(()));
    assert_eq!(rig.progress.committed(), 1);
    let reader = rig.reader();
    let stored = reader.aggregate(rig.participant, "k").unwrap();
    assert_eq!((stored.state.as_deref(), stored.revision), (Some("{}"), 1));
    let is_applied = |id| reader.was_applied(rig.participant, &identity(id)).unwrap();
    assert!(is_applied("event") && !is_applied("other"));
    let timer = reader.first_timer(rig.participant).unwrap();
    assert_eq!(timer, Some((NOW + 1, "k".into(), "late".into())));
    assert_eq!(reader.offset("log:room/g", rig.topic, 0), Ok(Some(5)));
    let topic = (rig.topic, "t".into());
    let records = reader.records_within(&topic, 0, 0, 9, usize::MAX).unwrap();
    assert_eq!(records.len(), 1);
    let reply = reader.first_reply(rig.participant, "key").unwrap().unwrap();
    assert_eq!((&*reply.aggregate, &*reply.reply), ("k", "{}"));
    assert_eq!(reply.fingerprint, [7; 32]);
    let recorded = reader.sample_journal(rig.participant, 9).unwrap();
    assert_eq!(recorded.len(), 1);
    assert_eq!(
        reader.aggregate(rig.participant, "x"),
        Ok(Default::default())
    );
}

pub(crate) fn invariant_3_an_event_is_applied_once_and_its_record_is_settled(rig: Rig) {
    let turn = |ticket, state: &str, offset| {
        let mut entry = rig.put(ticket, "k", ticket, state);
        if let Some(settlement) = &mut entry.settlement {
            settlement.inbox = Some(identity("event"));
        }
        Entry {
            outbox: vec![rig.row("out")],
            taken: Some(rig.taken(offset)),
            ..entry
        }
    };
    assert_eq!(rig.commit(turn(1, "1", 0)), Ok(()));
    assert_eq!(rig.progress.run(), 0);
    assert_eq!(rig.commit(turn(2, "2", 7)), Ok(()), "told as committed");
    let reader = rig.reader();
    let stored = reader.aggregate(rig.participant, "k").unwrap();
    assert_eq!(stored.state.as_deref(), Some("1"));
    assert_eq!(reader.offset("log:room/g", rig.topic, 0), Ok(Some(8)));
    assert_eq!(reader.extents(rig.topic, "log:room/g").unwrap()[0].end, 1);
    assert_eq!(
        rig.progress.run(),
        1,
        "its worker went on from another state"
    );
    // A dead letter has an identity too.
    let letter = Entry {
        put_aside: Some(identity("event")),
        dead_letter: Some(dead_letter()),
        run: 1,
        ..rig.nothing(3)
    };
    assert_eq!(rig.commit(letter), Ok(()));
    assert_eq!(rig.progress.run(), 2);
}

fn dead_letter() -> DeadLetter {
    DeadLetter {
        consumer: "g".into(),
        topic: "t".into(),
        partition: 0,
        offset: 0,
        key: None,
        value: None,
        reason: "malformed".into(),
        detail: "no JSON".into(),
        attempts: 1,
        digest: "a".into(),
        time: NOW,
    }
}

pub(crate) fn what_was_decided_after_a_duplicate_is_void_and_comes_again(rig: Rig) {
    let with_event = |mut entry: Entry| {
        if let Some(settlement) = &mut entry.settlement {
            settlement.inbox = Some(identity("event"));
        }
        entry
    };
    rig.commit(with_event(rig.put(1, "k", 1, "1"))).unwrap();
    let duplicate = rig.hand_in(with_event(rig.put(2, "k", 2, "2")));
    let taken = rig.taken(3);
    let session = taken.session.clone();
    let behind = rig.hand_in(Entry {
        taken: Some(taken),
        ..rig.put(3, "k", 3, "3")
    });
    assert_eq!(duplicate.recv_timeout(DEADLINE), Ok(Ok(())));
    assert!(behind.recv_timeout(DEADLINE).unwrap().is_err());
    assert!(session.is_cancelled(), "its record comes again");
    let reader = rig.reader();
    let stored = reader.aggregate(rig.participant, "k").unwrap();
    assert_eq!((stored.revision, stored.state.as_deref()), (1, Some("1")));
    assert_eq!(reader.offset("log:room/g", rig.topic, 0), Ok(None));
    let next = Entry {
        run: rig.progress.run(),
        ..rig.put(4, "k", 2, "4")
    };
    assert_eq!(rig.commit(next), Ok(()));
    // A reading that was cancelled settles nothing more.
    let taken = rig.taken(9);
    taken.session.cancel();
    let late = Entry {
        taken: Some(taken),
        run: rig.progress.run(),
        ..rig.put(5, "k", 3, "5")
    };
    assert!(rig.commit(late).is_err());
}

pub(crate) fn what_was_read_in_a_run_that_is_over_is_not_answered(rig: Rig) {
    let ask = |run| {
        let (say, said) = bounded(1);
        let done = Box::new(move |result| drop(say.send(result)));
        rig.store.after(rig.progress.clone(), run, done);
        said.recv_timeout(DEADLINE).unwrap()
    };
    let first = rig.hand_in(rig.put(1, "k", 1, "1"));
    assert_eq!(ask(0), Ok(()));
    assert_eq!(
        first.try_recv(),
        Ok(Ok(())),
        "what was before it is told first"
    );
    assert!(ask(7).is_err());
    rig.store.settle_up();
}

pub(crate) fn invariant_10_what_was_told_is_there_after_a_restart(rig: Rig) {
    let entry = Entry {
        generated_key: Some(41),
        kept_reply: Some(KeptReply {
            claim: claim(&rig, "key"),
            reply: "{}".into(),
        }),
        ..rig.put(1, "41", 1, "{}")
    };
    rig.commit(entry).unwrap();
    let identity = rig.store.identity().to_owned();
    let rig = rig.restarted();
    assert_eq!(rig.store.identity(), identity);
    let stored = rig.reader().aggregate(rig.participant, "41").unwrap();
    assert_eq!(stored.revision, 1);
    let registered = rig.store.register_participant("room");
    assert_eq!(registered, Ok((rig.participant, 41)));
    let known = rig.store.claim(rig.participant, "key", [7; 32]);
    assert!(matches!(known, Known::Replied), "{known:?}");
}

pub(crate) fn a_removed_aggregate_keeps_its_revision_and_loses_its_timers(rig: Rig) {
    let mut entry = rig.put(1, "k", 1, "{}");
    if let Some(settlement) = &mut entry.settlement {
        settlement.timers = vec![set("one", NOW)];
    }
    rig.commit(entry).unwrap();
    let mut gone = settlement("k", 2, StateChange::Remove);
    gone.timers = vec![set("other", NOW)];
    let gone = Entry {
        settlement: Some(gone),
        ..rig.nothing(2)
    };
    rig.commit(gone).unwrap();
    let reader = rig.reader();
    let stored = reader.aggregate(rig.participant, "k").unwrap();
    assert_eq!((stored.revision, stored.state), (2, None));
    let is_set = |name| {
        let timer = fired("k", name, NOW);
        reader.timer_is_set(rig.participant, &timer).unwrap()
    };
    assert!(is_set("other") && !is_set("one"));
    assert_eq!(reader.timers_set(rig.participant, "other"), Ok(1));
    assert_eq!(reader.holds_states(rig.participant), Ok(false));
}

pub(crate) fn a_timer_that_fired_goes_unless_it_was_set_anew(rig: Rig) {
    let turn = |ticket, timers, fired| {
        let mut settlement = settlement("k", ticket, StateChange::Unchanged);
        settlement.timers = timers;
        Entry {
            settlement: Some(settlement),
            fired,
            ..rig.nothing(ticket)
        }
    };
    let timers = vec![set("a", NOW), set("b", NOW + 1), set("c", NOW + 2)];
    rig.commit(turn(1, timers, None)).unwrap();
    let reader = rig.reader();
    let due = |now| {
        let (due, next) = reader.due_timers(rig.participant, now, 2).unwrap();
        let names: Vec<String> = due.into_iter().map(|timer| timer.name).collect();
        (names, next)
    };
    assert_eq!(due(NOW - 1), (vec![], Some(NOW)));
    let both = vec!["a".to_owned(), "b".to_owned()];
    assert_eq!(due(NOW + 9), (both, None), "as many as were asked for");
    let (a, b) = (fired("k", "a", NOW), fired("k", "b", NOW + 1));
    let timer = reader.timer(rig.participant, &a).unwrap().unwrap();
    assert_eq!((&*timer.set_by, &*timer.correlation), ("cause", "saga"));
    rig.commit(turn(2, vec![], Some(a.clone()))).unwrap();
    rig.commit(turn(3, vec![set("b", NOW + 5)], Some(b)))
        .unwrap();
    let cancel = saga_core::outcome::TimerChange::Cancel("c".into());
    rig.commit(turn(4, vec![cancel], None)).unwrap();
    assert_eq!(reader.timer(rig.participant, &a), Ok(None));
    let first = reader.first_timer(rig.participant).unwrap();
    assert_eq!(first, Some((NOW + 5, "k".into(), "b".into())));
    assert_eq!(reader.timers_set(rig.participant, "c"), Ok(0));
}

pub(crate) fn an_idempotency_key_has_the_first_reply_and_is_free_without_one(rig: Rig) {
    let meets = |key| rig.store.claim(rig.participant, key, [7; 32]);
    let kept = |key| KeptReply {
        claim: claim(&rig, key),
        reply: "{}".into(),
    };
    let entry = Entry {
        kept_reply: Some(kept("a")),
        ..rig.put(1, "k", 1, "{}")
    };
    assert!(matches!(meets("a"), Known::InUse));
    rig.commit(entry).unwrap();
    assert!(matches!(meets("a"), Known::Replied));
    let void = Entry {
        kept_reply: Some(kept("b")),
        run: 7,
        ..rig.put(2, "k", 2, "{}")
    };
    assert!(rig.commit(void).is_err());
    assert!(matches!(meets("b"), Known::Claimed(_)));
    assert_eq!(rig.reader().first_reply(rig.participant, "b"), Ok(None));
}

pub(crate) fn what_waits_is_counted(rig: Rig) {
    let (before, _) = rig.store.flow();
    rig.commit(rig.put(1, "k", 1, "{}")).unwrap();
    let (given, over) = rig.store.flow();
    assert!(given > before && over <= given, "{before} {given} {over}");
    let begun = Instant::now();
    loop {
        let (given, over) = rig.store.flow();
        if given == over {
            break;
        }
        assert!(begun.elapsed() < DEADLINE, "{given} {over}");
        std::thread::yield_now();
    }
}

fn is_told(watch: &mut Watch) -> bool {
    let changed = pin!(watch.changed());
    changed.poll(&mut Context::from_waker(Waker::noop())) == Poll::Ready(())
}

pub(crate) fn commits_are_told_to_those_who_wait(rig: Rig) {
    let (published, timers) = (rig.store.published(), rig.store.timers());
    let mut watch = rig.store.changes().watch(rig.participant, "k");
    let (outbox, due) = (published.rings(), timers.rings());
    rig.commit(rig.put(1, "other", 1, "{}")).unwrap();
    rig.store.settle_up();
    assert!(!is_told(&mut watch));
    let mut entry = rig.put(2, "k", 1, "{}");
    if let Some(settlement) = &mut entry.settlement {
        settlement.timers = vec![set("a", NOW)];
    }
    let outgoing = vec![rig.row("out")];
    rig.commit(Entry {
        outbox: outgoing,
        ..entry
    })
    .unwrap();
    rig.store.settle_up();
    assert!(is_told(&mut watch));
    assert_ne!(published.rings(), outbox);
    assert_ne!(timers.rings(), due);
}
