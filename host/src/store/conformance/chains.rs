//! Refused entries: what they were decided on does not hold.

use crossbeam_channel::bounded;
use saga_core::commit::Link;

use super::{DEADLINE, Rig};

pub(crate) fn what_was_decided_after_a_duplicate_is_void_and_comes_again(rig: Rig) {
    rig.commit(rig.put(1, "k", 1, "1").notes("event")).unwrap();
    let duplicate = rig.hand_in(rig.put(2, "k", 2, "2").notes("event"));
    let taken = rig.taken(3);
    let session = taken.session.clone();
    let behind = rig.hand_in(rig.put(3, "k", 3, "3").on(2).takes(taken));
    let other = rig.hand_in(rig.put(4, "other", 1, "4"));
    assert_eq!(duplicate.recv_timeout(DEADLINE), Ok(Ok(())));
    assert!(behind.recv_timeout(DEADLINE).unwrap().is_err());
    assert_eq!(other.recv_timeout(DEADLINE), Ok(Ok(())), "of another key");
    assert!(session.is_cancelled(), "its record comes again");
    let reader = rig.reader();
    let stored = reader.aggregate(rig.participant, "k").unwrap();
    assert_eq!((stored.revision, stored.state.as_deref()), (1, Some("1")));
    assert_eq!(reader.offset("log:owner/g", rig.topic, 0), Ok(None));
    assert_eq!((rig.progress.settled(), rig.broken()), (4, vec![2, 3]));
    let next = rig.put(5, "k", 2, "5").noticed(4);
    assert_eq!(rig.commit(next), Ok(()));
    // A cancelled reading settles nothing more.
    let taken = rig.taken(9);
    taken.session.cancel();
    let late = rig.put(6, "k", 3, "6").noticed(5).takes(taken);
    assert!(rig.commit(late).is_err());
}

pub(crate) fn a_refused_entry_breaks_its_own_chain_only(rig: Rig) {
    let put = |ticket, key: &str, revision| rig.put(ticket, key, revision, &ticket.to_string());
    let turn = |ticket, key: &str| put(ticket, key, 1);
    let refused = rig.refused(1, "k");
    let behind = put(4, "other", 2).on(3);
    let fates = [turn(2, "k").on(1), turn(3, "other"), behind]
        .map(|turn| rig.hand_in(turn))
        .map(|fate| fate.recv_timeout(DEADLINE).unwrap().is_ok());
    assert!(refused.recv_timeout(DEADLINE).unwrap().is_err());
    assert_eq!(fates, [false, true, true]);
    // In a later commit too, until its worker has noticed.
    let behind = turn(5, "k").on(2).noticed(1);
    assert!(rig.commit(behind).is_err());
    let mut of_another_worker = turn(1, "foreign").on(5);
    of_another_worker.link.worker = rig.store.worker_number();
    assert_eq!(rig.commit(of_another_worker), Ok(()));
    assert_eq!(rig.broken(), [1, 2, 5]);
    assert_eq!(rig.commit(turn(6, "k").noticed(5)), Ok(()));
    assert_eq!(rig.commit(put(7, "k", 2).on(6).noticed(5)), Ok(()));
    assert_eq!((rig.progress.settled(), rig.broken()), (7, vec![]));
    let reader = rig.reader();
    let state = |key| reader.aggregate(rig.participant, key).unwrap().state;
    let states = ["k", "other", "foreign"].map(state);
    let expected = ["7", "4", "1"].map(|state| Some(state.to_owned()));
    assert_eq!(states, expected);
}

pub(crate) fn what_was_read_from_an_entry_that_is_not_written_is_not_answered(rig: Rig) {
    let ask = |worker, base| {
        let (say, said) = bounded(1);
        let done = Box::new(move |result| drop(say.send(result)));
        let link = Link {
            worker,
            ticket: 0,
            base,
            noticed: 0,
        };
        rig.store.after(link, done);
        said.recv_timeout(DEADLINE).unwrap()
    };
    let first = rig.hand_in(rig.put(1, "k", 1, "1"));
    assert_eq!(ask(rig.worker, 1), Ok(()));
    assert_eq!(
        first.try_recv(),
        Ok(Ok(())),
        "what was before it is told first"
    );
    let refused = rig.refused(2, "k");
    assert!(ask(rig.worker, 2).is_err());
    assert!(refused.try_recv().unwrap().is_err(), "this too");
    assert_eq!(ask(rig.worker, 1), Ok(()), "that one is written");
    let other = rig.store.worker_number();
    assert_eq!(ask(other, 2), Ok(()), "it has tickets of its own");
    rig.store.settle_up();
}
