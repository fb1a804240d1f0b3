//! Entries that are written or known, and their writes: aggregates, timers, idempotency keys.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use saga_core::commit::{Broken, Write};
use saga_core::worker::Ahead;

use super::{DEADLINE, NOW, Rig, SAGA, identity, journal, set};
use crate::base::changes::ChangeWatch;
use crate::store::read::SharedAggregate;
use crate::store::{Claim, DeadLetter, FiredTimer, FirstReply, Known};

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
    let turn = (rig.put(1, "k", 1, "{}").notes("event"))
        .publishes(rig.row("out"))
        .timers(vec![set("late", NOW + 1)])
        .replies(claim(&rig, "key"))
        .takes(rig.taken(4));
    assert_eq!(rig.commit(turn), Ok(()));
    assert_eq!((rig.progress.settled(), rig.broken()), (1, vec![]));
    let reader = rig.reader();
    let stored = reader.aggregate(rig.participant, "k").unwrap();
    assert_eq!((stored.state.as_deref(), stored.revision), (Some("{}"), 1));
    let is_applied = |id| reader.was_applied(rig.participant, &identity(id)).unwrap();
    assert!(is_applied("event") && !is_applied("other"));
    let timer = reader.first_timer(rig.participant).unwrap();
    assert_eq!(timer, Some((NOW + 1, "k".into(), "late".into())));
    assert_eq!(reader.offset("log:owner/g", rig.topic, 0), Ok(Some(5)));
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
        (rig.put(ticket, "k", ticket, state).notes("event"))
            .publishes(rig.row("out"))
            .takes(rig.taken(offset))
    };
    assert_eq!(rig.commit(turn(1, "1", 0)), Ok(()));
    assert_eq!(rig.progress.broken(), []);
    assert_eq!(rig.commit(turn(2, "2", 7)), Ok(()), "told as committed");
    let reader = rig.reader();
    let stored = reader.aggregate(rig.participant, "k").unwrap();
    assert_eq!(stored.state.as_deref(), Some("1"));
    assert_eq!(reader.offset("log:owner/g", rig.topic, 0), Ok(Some(8)));
    assert_eq!(reader.extents(rig.topic, "log:owner/g").unwrap()[0].end, 1);
    let broken = Broken {
        ticket: 2,
        key: Some("k".into()),
    };
    let why = "its worker went on from another state";
    assert_eq!(rig.progress.broken(), [broken], "{why}");
    // A dead letter has an identity too.
    let letter = Write::DeadLetter(Box::new(dead_letter()));
    let letter = rig.turn(3, "k").notes("event").write(letter);
    assert_eq!(rig.commit(letter), Ok(()));
    assert_eq!(rig.broken(), [3]);
    assert_eq!(rig.progress.settled(), 3);
}

fn dead_letter() -> DeadLetter {
    DeadLetter {
        group: "g".into(),
        declared_topic: "t".into(),
        record: super::parked::record("e", 0),
        identity: None,
        is_parked: false,
        reason: "malformed".into(),
        detail: "no JSON".into(),
        attempts: 1,
        digest: "a".into(),
        time: NOW,
    }
}

pub(crate) fn invariant_10_what_was_told_is_there_after_a_restart(rig: Rig) {
    let turn = rig.put(1, "41", 1, "{}").write(Write::GeneratedKey(41));
    rig.commit(turn.replies(claim(&rig, "key"))).unwrap();
    let identity = rig.store.identity().to_owned();
    let rig = rig.restarted();
    assert_eq!(rig.store.identity(), identity);
    let stored = rig.reader().aggregate(rig.participant, "41").unwrap();
    assert_eq!(
        (stored.revision, stored.correlation.as_deref()),
        (1, Some(SAGA))
    );
    let registered = rig.store.register_participant("owner");
    assert_eq!(registered, Ok((rig.participant, 41)));
    let known = rig.store.claim(rig.participant, "key", [7; 32]);
    assert!(
        rig.store.is_shared() || matches!(known, Known::Replied),
        "{known:?}"
    );
    let first = rig.reader().first_reply(rig.participant, "key").unwrap();
    assert!(first.is_some());
}

pub(crate) fn a_removed_aggregate_keeps_its_revision_and_loses_its_timers(rig: Rig) {
    let turn = rig.put(1, "k", 1, "{}").timers(vec![set("one", NOW)]);
    rig.commit(turn).unwrap();
    // The timer that fired goes with the aggregate.
    let gone = (rig.turn(2, "k").write(Write::State(None, 2, SAGA.into())))
        .timers(vec![set("other", NOW)])
        .write(Write::Journal(journal("k", 1)))
        .write(Write::Fired(fired("k", "one", NOW)));
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
    let turn = |ticket, timers| {
        let turn = rig.turn(ticket, "k").timers(timers);
        turn.write(Write::Journal(journal("k", 0)))
    };
    let timers = vec![set("a", NOW), set("b", NOW + 1), set("c", NOW + 2)];
    rig.commit(turn(1, timers)).unwrap();
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
    rig.commit(turn(2, vec![]).write(Write::Fired(a.clone())))
        .unwrap();
    let anew = turn(3, vec![set("b", NOW + 5)]);
    rig.commit(anew.write(Write::Fired(b))).unwrap();
    // Cancelled by the turn that it fired.
    let cancel = saga_core::outcome::TimerChange::Cancel("c".into());
    let c = fired("k", "c", NOW + 2);
    rig.commit(turn(4, vec![cancel]).write(Write::Fired(c)))
        .unwrap();
    assert_eq!(reader.timer(rig.participant, &a), Ok(None));
    let first = reader.first_timer(rig.participant).unwrap();
    assert_eq!(first, Some((NOW + 5, "k".into(), "b".into())));
    assert_eq!(reader.timers_set(rig.participant, "c"), Ok(0));
}

pub(crate) fn an_idempotency_key_has_the_first_reply_and_is_free_without_one(rig: Rig) {
    let meets = |key| rig.store.claim(rig.participant, key, [7; 32]);
    let turn = rig.put(1, "k", 1, "{}").replies(claim(&rig, "a"));
    assert!(matches!(meets("a"), Known::InUse));
    rig.commit(turn).unwrap();
    let first = rig.reader().first_reply(rig.participant, "a").unwrap();
    assert_eq!(first.unwrap().aggregate, "k");
    // Where other hosts reply too, each key is looked up.
    assert!(rig.store.is_shared() || matches!(meets("a"), Known::Replied));
    rig.refused(2, "k");
    let void = rig.put(3, "k", 2, "{}").on(2).replies(claim(&rig, "b"));
    assert!(rig.commit(void).is_err());
    assert!(matches!(meets("b"), Known::Claimed(_)));
    assert_eq!(rig.reader().first_reply(rig.participant, "b"), Ok(None));
}

pub(crate) fn rows_of_many_turns_are_loaded_at_once(rig: Rig) {
    let turn = rig.put(1, "k", 1, "{}").notes("event");
    rig.commit(turn.replies(claim(&rig, "a"))).unwrap();
    rig.commit(rig.put(2, "l", 1, "[]")).unwrap();
    let reader = rig.reader();
    let mut ahead = Ahead::default();
    for id in ["another", "event", "\0"] {
        ahead.identities.insert(identity(id), None);
    }
    for key in ["", "\0", "k", "l", "never"] {
        ahead.aggregates.insert(key.into(), None);
    }
    let known = SharedAggregate::default();
    ahead.aggregates.insert("new".into(), Some(known.clone()));
    assert!(!ahead.is_loaded());
    reader.load_ahead(rig.participant, &mut ahead).unwrap();
    assert!(ahead.is_loaded());
    for id in ["another", "event", "\0"] {
        let one = reader.was_applied(rig.participant, &identity(id)).unwrap();
        assert_eq!(
            (one, ahead.was_applied(&identity(id))),
            (id == "event", Some(one))
        );
        assert_eq!(
            ahead.was_applied(&identity(id)),
            None,
            "it may have changed since"
        );
    }
    for key in ["", "\0", "k", "l", "never"] {
        let one = reader.shared_aggregate(rig.participant, key).unwrap();
        assert_eq!(one.aggregate.revision, u64::from(["k", "l"].contains(&key)));
        assert_eq!(ahead.aggregate(key), Some(one));
    }
    assert_eq!(ahead.aggregate("new"), Some(known));
    assert_eq!(ahead.aggregate("new"), None);
    let replies = reader.first_replies(rig.participant, &["\0", "a", "b", "a"]);
    let found = |reply: Option<FirstReply>| reply.map(|reply| reply.aggregate);
    let found: Vec<_> = replies.unwrap().into_iter().map(found).collect();
    assert_eq!(found, [None, Some("k".into()), None, Some("k".into())]);
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

fn is_told(watch: &mut ChangeWatch) -> bool {
    let changed = pin!(watch.changed());
    changed.poll(&mut Context::from_waker(Waker::noop())) == Poll::Ready(())
}

pub(crate) fn commits_are_told_to_those_who_wait(rig: Rig) {
    let (published, timers) = (rig.store.published(), rig.store.timers());
    let mut watch = rig.store.changes().watch(rig.participant, "k");
    let (outbox, due) = (published.count(), timers.count());
    rig.commit(rig.put(1, "other", 1, "{}")).unwrap();
    rig.store.settle_up();
    assert!(!is_told(&mut watch));
    let turn = rig.put(2, "k", 1, "{}").publishes(rig.row("out"));
    rig.commit(turn.timers(vec![set("a", NOW)])).unwrap();
    rig.store.settle_up();
    assert!(is_told(&mut watch));
    assert_ne!(published.count(), outbox);
    assert_ne!(timers.count(), due);
}
