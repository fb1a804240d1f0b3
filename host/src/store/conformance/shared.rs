//! Two hosts on one store: what was decided on rows that the other one has changed is not written.

use saga_core::commit::{Offset, Write};
use saga_core::outcome::TimerChange;
use saga_core::worker::Ahead;

use super::parked::{parked_key, parking};
use super::turns::fired;
use super::{DEADLINE, Duration, NOW, Rig, StoreResult, TestTurn, journal, set};
use crate::store::engine::Activation;
use crate::store::hosts::HostRow;
use crate::store::{Known, ReadStore, StoreFaultKind};

/// True if an entry was not written and can be decided again.
fn is_superseded(fate: &StoreResult<()>) -> bool {
    matches!(fate, Err(fault) if fault.kind() == StoreFaultKind::Superseded)
}

/// A turn that changes nothing and publishes that.
fn refuses(rig: &Rig, ticket: u64, key: &str, revision: u64) -> TestTurn {
    let turn = rig
        .turn(ticket, key)
        .write(Write::Journal(journal(key, revision)));
    turn.publishes(rig.row("refused"))
}

pub(crate) fn invariant_4_a_state_is_decided_on_the_one_before_by_whichever_host(
    (one, other): (Rig, Rig),
) {
    one.commit(one.put(1, "k", 1, "one")).unwrap();
    // The other one has seen no aggregate of this key.
    let taken = other.taken(3);
    let session = taken.session.clone();
    let late = other.hand_in(other.put(1, "k", 1, "late").takes(taken));
    let behind = other.hand_in(other.put(2, "k", 2, "behind").on(1));
    let apart = other.hand_in(other.put(3, "apart", 1, "apart"));
    assert!(is_superseded(&late.recv().unwrap()));
    assert!(
        is_superseded(&behind.recv().unwrap()),
        "decided on the late one"
    );
    assert_eq!(apart.recv().unwrap(), Ok(()), "of another aggregate");
    assert!(session.is_cancelled(), "its record comes again");
    assert_eq!(other.broken(), [1, 2]);
    let state = |rig: &Rig| rig.reader().aggregate(rig.participant, "k").unwrap();
    assert_eq!(state(&other).state.as_deref(), Some("one"));
    // Decided again, each on what the other one has left.
    other
        .commit(other.put(4, "k", 2, "two").noticed(3))
        .unwrap();
    assert!(is_superseded(&one.commit(one.put(2, "k", 2, "stale"))));
    one.commit(one.put(3, "k", 3, "three").noticed(2)).unwrap();
    assert_eq!(state(&one).state.as_deref(), Some("three"));
}

pub(crate) fn a_refusal_that_another_host_has_overtaken_is_not_published((one, other): (Rig, Rig)) {
    assert_eq!(
        one.commit(refuses(&one, 1, "k", 0)),
        Ok(()),
        "there is none"
    );
    other.commit(other.put(1, "k", 1, "1")).unwrap();
    assert!(is_superseded(&one.commit(refuses(&one, 2, "k", 0))));
    assert_eq!(
        one.commit(refuses(&one, 3, "k", 1).noticed(2)),
        Ok(()),
        "as it is"
    );
    other.commit(other.put(2, "k", 2, "2")).unwrap();
    assert!(is_superseded(
        &one.commit(refuses(&one, 4, "k", 1).noticed(3))
    ));
    assert_eq!(one.values(0, 0, 9, usize::MAX).len(), 2, "refusals");
}

pub(crate) fn a_state_in_another_shape_replaces_no_later_one((one, other): (Rig, Rig)) {
    let migrates = |rig: &Rig, ticket, revision| {
        let migrated = Write::Migrated("migrated".into(), revision);
        rig.turn(ticket, "k").write(migrated)
    };
    one.commit(one.put(1, "k", 1, "1")).unwrap();
    one.commit(one.put(2, "k", 2, "2")).unwrap();
    assert!(is_superseded(&other.commit(migrates(&other, 1, 1))));
    assert_eq!(other.commit(migrates(&other, 2, 2).noticed(1)), Ok(()));
    let stored = one.reader().aggregate(one.participant, "k").unwrap();
    assert_eq!(
        (stored.revision, stored.state.as_deref()),
        (2, Some("migrated"))
    );
}

pub(crate) fn a_timer_fires_on_one_of_two_hosts((one, other): (Rig, Rig)) {
    let turn = |rig: &Rig, ticket, timers: Vec<TimerChange>| {
        let turn = rig.turn(ticket, "k").timers(timers);
        turn.write(Write::Journal(journal("k", 0)))
    };
    let due = || Write::Fired(fired("k", "a", NOW));
    one.commit(turn(&one, 1, vec![set("a", NOW)])).unwrap();
    other.commit(turn(&other, 1, vec![]).write(due())).unwrap();
    assert!(is_superseded(
        &one.commit(turn(&one, 2, vec![]).write(due()))
    ));
    // One that was set for another time since then does not fire either.
    one.commit(turn(&one, 3, vec![set("a", NOW + 1)]).noticed(2))
        .unwrap();
    let late = turn(&other, 2, vec![]).write(due());
    assert!(is_superseded(&other.commit(late)));
}

pub(crate) fn an_idempotency_key_has_the_reply_of_one_of_two_hosts((one, other): (Rig, Rig)) {
    let claims = |rig: &Rig| match rig.store.claim(rig.participant, "a", [7; 32]) {
        Known::Claimed(claim) => claim,
        other => panic!("{other:?}"),
    };
    let (first, second) = (claims(&one), claims(&other));
    one.commit(one.put(1, "k", 1, "1").replies(first)).unwrap();
    let late = other.put(1, "other", 1, "1").replies(second.clone());
    assert!(is_superseded(&other.commit(late)));
    assert!(second.is_kept(), "there is a reply to look up");
    let reply = other.reader().first_reply(other.participant, "a").unwrap();
    assert_eq!(reply.unwrap().aggregate, "k");
}

pub(crate) fn invariant_3_an_event_is_applied_by_one_of_two_hosts((one, other): (Rig, Rig)) {
    one.commit(one.put(1, "k", 1, "1").notes("event")).unwrap();
    let again = other.put(1, "k", 2, "2").notes("event");
    assert_eq!(other.commit(again.takes(other.taken(5))), Ok(()));
    let stored = other.reader().aggregate(other.participant, "k").unwrap();
    assert_eq!(stored.revision, 1);
    let next = other.reader().offset("log:owner/g", other.topic, 0);
    assert_eq!(next, Ok(Some(6)), "its record is consumed");
}

pub(crate) fn invariant_1_a_partition_is_read_by_the_host_that_claimed_it_last(
    (one, other): (Rig, Rig),
) {
    let of = "log:owner/g";
    let claim = |rig: &Rig| rig.store.claim_partition(of, rig.topic, 0).unwrap();
    let takes = |rig: &Rig, ticket, key: &str, epoch, offset| {
        let taken = rig.taken_under(epoch, offset);
        let session = taken.session.clone();
        let turn = rig.put(ticket, key, 1, "1").takes(taken);
        (rig.hand_in(turn).recv().unwrap(), session)
    };
    let first = claim(&one);
    assert_eq!(takes(&one, 1, "a", first, 0).0, Ok(()));
    let second = claim(&other);
    let (fate, session) = takes(&one, 2, "b", first, 1);
    assert!(is_superseded(&fate) && session.is_cancelled());
    assert_eq!(takes(&other, 1, "b", second, 1).0, Ok(()));
    let place = one.reader().place(of, one.topic, 0).unwrap().unwrap();
    assert_eq!((place.next, place.epoch), (2, second));
    // The same for progress without turns.
    let progress = |rig: &Rig, epoch, next| {
        let progress = Offset {
            consumer: of.into(),
            topic: rig.topic,
            partition: 0,
            next,
            epoch,
            last: None,
        };
        rig.store.hand_in_offsets(vec![progress]).recv().unwrap()
    };
    assert!(is_superseded(&progress(&one, first, 9)));
    assert_eq!(progress(&other, second, 7), Ok(()));
    assert_eq!(one.reader().offset(of, one.topic, 0), Ok(Some(7)));
}

/// Hands turns in while the writer is busy, so that they are written by one commit. Returns their
/// fates.
fn written_together(rig: &Rig, turns: Vec<TestTurn>) -> Vec<StoreResult<()>> {
    let (begin, begun) = crossbeam_channel::bounded::<()>(0);
    let (release, released) = crossbeam_channel::bounded::<()>(0);
    let mut fates = Vec::new();
    let (store, activation) = (&rig.store, rig.activation(rig.generation, "never"));
    std::thread::scope(|threads| {
        let busy = threads.spawn(move || {
            let waits = move |_: &dyn ReadStore| {
                drop(begin);
                // Until the other end is dropped.
                let _ = released.recv();
                Ok(false)
            };
            store.activate_if(activation, Box::new(waits)).unwrap()
        });
        let _ = begun.recv();
        fates.extend(turns.into_iter().map(|turn| rig.hand_in(turn)));
        drop(release);
        assert!(!busy.join().unwrap());
    });
    let fate = |fate: crossbeam_channel::Receiver<_>| fate.recv_timeout(DEADLINE).unwrap();
    fates.into_iter().map(fate).collect()
}

pub(crate) fn invariant_1_no_offset_passes_a_record_that_was_refused_behind_others(
    (one, other): (Rig, Rig),
) {
    let of = "log:owner/g";
    let epoch = (other.store.claim_partition(of, other.topic, 0)).unwrap();
    one.commit(one.put(1, "k", 1, "one")).unwrap();
    let first = other.taken_under(epoch, 5);
    let second = other.taken_in(first.session.clone(), 6);
    let session = first.session.clone();
    let turns = vec![
        other.put(1, "a", 1, "1").takes(first),
        other.put(2, "k", 1, "late").takes(second),
    ];
    let fates = written_together(&other, turns);
    assert_eq!(fates[0], Ok(()));
    assert!(is_superseded(&fates[1]) && session.is_cancelled());
    let next = other.reader().offset(of, other.topic, 0);
    assert_eq!(next, Ok(Some(6)), "the second record is read again");
}

pub(crate) fn invariant_1_a_claim_made_again_does_not_cover_what_was_read_under_the_first(
    (one, other): (Rig, Rig),
) {
    let of = "log:owner/g";
    let claim = |rig: &Rig| rig.store.claim_partition(of, rig.topic, 0).unwrap();
    let first = claim(&one);
    claim(&other);
    let second = claim(&one);
    let turns = vec![
        one.put(1, "a", 1, "1").takes(one.taken_under(first, 5)),
        one.put(2, "b", 1, "1").takes(one.taken_under(second, 9)),
    ];
    let fates = written_together(&one, turns);
    assert!(is_superseded(&fates[0]), "the other one may have read it");
    assert_eq!(fates[1], Ok(()));
}

pub(crate) fn invariant_4_nothing_overtakes_what_another_host_has_parked((one, other): (Rig, Rig)) {
    let park = one.turn(1, "k").notes("one");
    one.commit(park.write(Write::Park(Box::new(parking("one")))))
        .unwrap();
    assert!(is_superseded(&other.commit(other.put(1, "k", 1, "1"))));
    let found = other
        .reader()
        .shared_aggregate(other.participant, "k")
        .unwrap();
    assert_eq!(found.parked, Some(parked_key("k", 1, false)));
    let mut ahead = Ahead::default();
    ahead.aggregates.insert("k".into(), None);
    (other.reader().load_ahead(other.participant, &mut ahead)).unwrap();
    assert_eq!(ahead.aggregate("k"), Some(found));
    let knows = other.put(2, "k", 1, "1").beside_parked();
    assert_eq!(other.commit(knows.noticed(1)), Ok(()), "a command may");
    assert_eq!(other.commit(other.put(3, "apart", 1, "1")), Ok(()));
}

pub(crate) fn invariant_6_rules_that_another_host_has_replaced_decide_nothing(
    (one, other): (Rig, Rig),
) {
    let next = one.second(1);
    let activate = |generation| {
        let activation = one.activation(generation, "apply");
        one.store.activate(&[activation], &[]).unwrap();
    };
    other.commit(other.put(1, "k", 1, "1")).unwrap();
    activate(one.generation);
    assert_eq!(other.commit(other.put(2, "k", 2, "2")), Ok(()), "as before");
    let seen = other.store.activated().count();
    activate(next);
    let late = other.hand_in(other.put(3, "k", 3, "late"));
    assert!(is_superseded(&late.recv().unwrap()));
    let mut new = other.put(4, "k", 3, "new").noticed(3);
    new.entry.generation = next;
    assert_eq!(other.commit(new), Ok(()), "at once");
    assert!(is_superseded(&one.commit(one.put(1, "k", 4, "late"))));
    other.store.activated().wait(seen, DEADLINE);
    assert!(other.store.activated().count() > seen, "is told");
}

pub(crate) fn invariant_6_rules_replace_only_those_that_they_were_compared_with(
    (one, other): (Rig, Rig),
) {
    let (second, third) = (one.second(2), one.generation_of("c", 2));
    let activate = |rig: &Rig, generation, replaces| {
        let activation = Activation {
            replaces,
            ..rig.activation(generation, "apply")
        };
        rig.store.activate(&[activation], &[])
    };
    activate(&one, one.generation, None).unwrap();
    activate(&one, second, Some(one.generation)).unwrap();
    // The other host was asleep meanwhile.
    let late = activate(&other, third, Some(one.generation));
    assert!(is_superseded(&late));
    let active = one.reader().active(one.participant).unwrap().unwrap();
    assert_eq!(active.id, second);
    activate(&other, third, Some(second)).unwrap();
}

pub(crate) fn generated_keys_are_those_of_one_host((one, other): (Rig, Rig)) {
    let reserve = |rig: &Rig| rig.store.reserve_keys(rig.participant).unwrap().unwrap();
    let (first, second, third) = (reserve(&one), reserve(&other), reserve(&one));
    assert!(first.0 == 1 && first.1 > first.0);
    assert_eq!((second.0, third.0), (first.1 + 1, second.1 + 1));
    let give_back = |rig: &Rig, unused| rig.store.return_keys(rig.participant, unused).unwrap();
    give_back(&other, (second.0 + 1, second.1));
    assert_eq!(reserve(&one).0, third.1 + 1, "others were taken since");
    let last = reserve(&other);
    give_back(&other, (last.0 + 2, last.1));
    assert_eq!(reserve(&one).0, last.0 + 2);
}

pub(crate) fn a_duty_is_one_hosts_and_goes_on_with_another((one, other): (Rig, Rig)) {
    let (mine, yours) = (
        one.store.duties().offer("a"),
        other.store.duties().offer("a"),
    );
    let (more, more_too) = (
        one.store.duties().offer("b"),
        other.store.duties().offer("b"),
    );
    let until = |what: &str, is_so: &dyn Fn() -> bool| {
        let began = std::time::Instant::now();
        while !is_so() {
            assert!(began.elapsed() < DEADLINE, "{what}");
            let changed = one.store.published();
            changed.wait(changed.count(), std::time::Duration::from_millis(20));
        }
    };
    until("each has one", &|| {
        (mine.is_mine() ^ yours.is_mine())
            && (more.is_mine() ^ more_too.is_mine())
            && mine.is_mine() ^ more.is_mine()
    });
    other.store.close();
    until("the one that is left has both", &|| {
        mine.is_mine() && more.is_mine()
    });
    assert!(!one.store.has_others());
}

pub(crate) fn hosts_are_told_with_what_they_do((one, other): (Rig, Rig)) {
    let offers = |rig: &Rig| ["timers owner", "relay"].map(|duty| rig.store.duties().offer(duty));
    let (_offered, _offered_too) = (offers(&one), offers(&other));
    one.store
        .claim_partition("log:owner/g", one.topic, 0)
        .unwrap();
    let claimed = |rig: &Rig| {
        rig.store
            .claim_partition("kafka:owner/g", rig.topic, 1)
            .unwrap()
    };
    claimed(&one);
    claimed(&other);
    let until = |what: &str, is_so: &dyn Fn(&[HostRow]) -> bool| {
        let began = std::time::Instant::now();
        loop {
            let hosts = one.reader().hosts().unwrap();
            if is_so(&hosts) {
                return hosts;
            }
            assert!(began.elapsed() < DEADLINE, "{what}: {hosts:?}");
            let changed = one.store.published();
            changed.wait(changed.count(), Duration::from_millis(20));
        }
    };
    let all = ["pruning", "relay", "timers owner"];
    let hosts = until("each does some", &|hosts| {
        let of = hosts.iter().flat_map(|host| &host.duties);
        let mut duties: Vec<&str> = of.map(String::as_str).collect();
        duties.sort_unstable();
        duties == all && hosts.iter().all(|host| !host.duties.is_empty())
    });
    let ids: Vec<_> = hosts.iter().map(|host| Some(host.id)).collect();
    assert_eq!(ids, [one.store.this_host(), other.store.this_host()]);
    for host in &hosts {
        assert_eq!(host.participants, ["owner"]);
        assert!(!host.is_gone && host.silent_ms < 5_000 && !host.is_current);
        assert!(host.name.ends_with(&format!(":{}", std::process::id())));
    }
    let read = |host: &HostRow| -> Vec<(i32, String)> {
        let read = host.partitions.iter();
        read.map(|one| (one.partition, one.consumer.clone()))
            .collect()
    };
    assert_eq!(read(&hosts[0]), [(0, "log:owner/g".to_owned())]);
    assert_eq!(read(&hosts[1]), [(1, "kafka:owner/g".to_owned())]);

    let proposals = other.store.proposals().unwrap();
    proposals
        .note_followed(Ok(proposals.changes().unwrap()))
        .unwrap();
    let is_current = |host: usize| one.reader().hosts().unwrap()[host].is_current;
    assert_eq!((is_current(0), is_current(1)), (false, true));
    let activation = one.activation(one.generation, "apply");
    one.store.activate(&[activation], &[]).unwrap();
    assert!(!is_current(1), "until it has followed");
    proposals.note_followed(Err("no bytes".into())).unwrap();
    let told = one.reader().hosts().unwrap().swap_remove(1);
    assert_eq!(
        (told.is_current, told.behind.as_deref()),
        (false, Some("no bytes"))
    );

    other.store.close();
    let left = until("the one that is left does all", &|hosts| {
        hosts.iter().all(|host| host.duties == all)
    });
    assert_eq!((left.len(), left[0].id), (1, hosts[0].id));
}

pub(crate) fn what_another_host_changes_is_told((one, other): (Rig, Rig)) {
    let published = one.store.published().clone();
    let mut watch = one.store.changes().watch(one.participant, "k");
    let seen = published.count();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    for ticket in 1..1_000 {
        other.commit(other.put(ticket, "k", ticket, "1")).unwrap();
        let told = async {
            tokio::time::timeout(std::time::Duration::from_millis(50), watch.changed()).await
        };
        if runtime.block_on(told).is_ok() && published.count() > seen {
            return;
        }
    }
    panic!("nothing was told");
}
