//! The changes of lists, from the journal.

use saga_contract::listing::FilterValue;
use saga_core::commit::Write;
use saga_core::settle::JournalEntry;

use super::{NOW, Rig, SAGA, TestTurn, journal};
use crate::store::{ChangesWanted, JournalPosition};

/// A key, if it is in the list, and if it was.
type Seen = (String, bool, bool);

impl Rig {
    /// A decision that leaves the aggregate in this colour; None removes it.
    fn paint(
        &self,
        ticket: u64,
        key: &str,
        (revision, before): (u64, Option<&str>),
        to: Option<&str>,
    ) {
        self.commit(
            self.painted(ticket, key, (revision, before))
                .write(Write::State(to.map(coloured), revision + 1, SAGA.into())),
        )
        .unwrap();
    }

    /// The decision alone, on an aggregate that has this revision and colour.
    fn painted(&self, ticket: u64, key: &str, (revision, before): (u64, Option<&str>)) -> TestTurn {
        self.turn(ticket, key).write(Write::Journal(JournalEntry {
            state_before: before.map(coloured),
            time: NOW + ticket,
            ..journal(key, revision)
        }))
    }

    fn red_ones(&self, after: JournalPosition) -> Option<(Vec<Seen>, JournalPosition)> {
        let wanted = ChangesWanted {
            participant: self.participant,
            filters: vec![("/colour".into(), FilterValue::Text("red".into()))],
            after,
        };
        let changes = self.reader().list_changes(&wanted).unwrap()?;
        assert!(changes.is_all);
        let changed = changes.changed.into_iter();
        let changed = changed.map(|one| (one.key, one.is_in, one.was_in));
        Some((changed.collect(), changes.read))
    }
}

fn coloured(colour: &str) -> String {
    format!(r#"{{"colour":"{colour}"}}"#)
}

fn changed(key: &str, is_in: bool, was_in: bool) -> Seen {
    (key.to_owned(), is_in, was_in)
}

pub(crate) fn changes_of_a_list_go_on_from_any_place_that_the_journal_has(rig: Rig) {
    let start = rig.reader().journal_end().unwrap();
    assert_eq!(start, JournalPosition::default());
    assert_eq!(rig.red_ones(start), Some((vec![], start)));
    rig.paint(1, "a", (0, None), Some("red"));
    rig.paint(2, "b", (0, None), Some("blue"));
    let first = rig.reader().journal_end().unwrap();
    rig.paint(3, "a", (1, Some("red")), Some("blue"));
    rig.paint(4, "c", (0, None), Some("red"));
    rig.paint(5, "b", (1, Some("blue")), None);
    // A decision that leaves the state as it is.
    rig.commit(rig.painted(6, "c", (1, Some("red")))).unwrap();
    let end = rig.reader().journal_end().unwrap();
    assert_eq!(end.time, NOW + 6);
    let all = vec![changed("a", false, true), changed("c", true, false)];
    assert_eq!(rig.red_ones(start), Some((all.clone(), end)));
    assert_eq!(rig.red_ones(first), Some((all, end)));
    assert_eq!(rig.red_ones(end), Some((vec![], end)));
    // It was in the list in between, if never when a decision left off.
    rig.paint(7, "d", (0, None), Some("red"));
    rig.paint(8, "d", (1, Some("red")), Some("blue"));
    let passed = vec![changed("d", false, true)];
    assert_eq!(rig.red_ones(end).unwrap().0, passed);
    let rig = rig.restarted();
    assert_eq!(rig.red_ones(end).unwrap().0, passed, "after a restart");
    for (seq, time) in [(end.seq, end.time + 1), (end.seq + 9, end.time), (-1, 0)] {
        assert_eq!(rig.red_ones(JournalPosition { seq, time }), None);
    }
}

pub(crate) fn a_state_that_is_not_kept_may_have_been_in_a_list(rig: Rig) {
    for (ticket, key) in [(1, "new"), (2, "old")] {
        rig.commit(rig.put(ticket, key, 1, "{}")).unwrap();
    }
    let start = rig.reader().journal_end().unwrap();
    let leave = |ticket: u64, key: &str, before: Option<&str>| {
        let entry = JournalEntry {
            state_before: before.map(str::to_owned),
            time: NOW + ticket,
            ..journal(key, 1)
        };
        let turn = rig.turn(ticket, key).write(Write::Journal(entry));
        let blue = Write::State(Some(coloured("blue")), 2, SAGA.into());
        rig.commit(turn.write(blue)).unwrap();
    };
    leave(3, "new", None);
    leave(4, "old", Some(""));
    let expected = vec![changed("old", false, true)];
    assert_eq!(rig.red_ones(start).unwrap().0, expected);
}
