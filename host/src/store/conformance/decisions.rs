//! The recorded decisions of a participant, read in pages.

use saga_core::commit::Write;
use saga_core::journal::{NotWhole, encode_outline};
use saga_core::settle::JournalEntry;

use super::{NOW, Rig, SAGA, generation, journal, message, nothing};
use crate::store::decisions::{DecisionRange, JournalRow, JournalSpan};

impl Rig {
    /// Decisions on these keys, one per millisecond, by the participant and generation of the rig.
    fn decide(&self, tickets: std::ops::Range<u64>, key: impl Fn(u64) -> &'static str) {
        for ticket in tickets {
            let stored = (self.reader().aggregate(self.participant, key(ticket))).unwrap();
            let entry = JournalEntry {
                time: NOW + ticket,
                fuel: ticket * 10,
                ..journal(key(ticket), stored.revision)
            };
            let turn = self.turn(ticket, key(ticket)).write(Write::State(
                None,
                stored.revision + 1,
                SAGA.into(),
            ));
            self.commit(turn.write(Write::Journal(entry))).unwrap();
        }
    }

    fn range(&self) -> DecisionRange {
        DecisionRange {
            participant: self.participant,
            ..DecisionRange::default()
        }
    }

    /// All wanted decisions, read in pages of at most `most`.
    fn read_decisions(&self, wanted: &DecisionRange, most: usize) -> Vec<JournalRow> {
        let reader = self.reader();
        let mut read = Vec::new();
        let Some(mut span) = reader.decisions_span(wanted).unwrap() else {
            return read;
        };
        while span.numbers() > 0 {
            let page = reader.decisions(wanted, span, most).unwrap();
            assert!(page.rows.len() <= most);
            assert!(page.read > span.after, "each page goes on");
            read.extend(page.rows);
            span.after = page.read;
        }
        read
    }

    /// Milliseconds after [`NOW`] of these decisions.
    fn times(&self, wanted: &DecisionRange) -> Vec<u64> {
        let read = self.read_decisions(wanted, 3);
        read.iter().map(|row| row.time - NOW).collect()
    }
}

pub(crate) fn decisions_are_read_from_the_journal_in_the_order_of_their_commits(rig: Rig) {
    assert_eq!(rig.reader().decisions_span(&rig.range()), Ok(None));
    rig.decide(1..8, |_| "k");
    // Another participant's.
    let (other, _) = rig.store.register_participant("another").unwrap();
    let of_other = rig.store.register_generation(other, generation("z", 1));
    let mut turn = rig.turn(8, "k");
    turn.entry.participant = other;
    turn.entry.generation = of_other.unwrap();
    rig.commit(turn.write(Write::Journal(journal("k", 0))))
        .unwrap();
    for most in [1, 3, 7, 100] {
        let read = rig.read_decisions(&rig.range(), most);
        assert!(read.is_sorted_by_key(|row| row.seq));
        assert_eq!(read.len(), 7, "in pages of {most}");
        for (row, number) in read.iter().zip(1..) {
            assert_eq!(
                (row.revision, row.fuel, row.time),
                (number - 1, number * 10, NOW + number)
            );
            let recorded = row.recorded.as_ref().unwrap();
            assert_eq!((&*row.key, &*recorded.digest), ("k", "a"));
            let expected = saga_core::message::Message {
                time: NOW + number,
                ..message("place", "k")
            };
            assert_eq!(recorded.message, expected);
            assert_eq!((recorded.state_version, &recorded.state), (1, &None));
        }
    }
    let of_another = DecisionRange {
        participant: other,
        ..DecisionRange::default()
    };
    assert_eq!(rig.read_decisions(&of_another, 9).len(), 1);
    // What is recorded later lies behind the span.
    let span = rig.reader().decisions_span(&rig.range()).unwrap().unwrap();
    rig.decide(9..10, |_| "k");
    let page = rig.reader().decisions(&rig.range(), span, 100).unwrap();
    assert_eq!((page.rows.len(), page.read), (7, span.up_to));
    let rest = JournalSpan {
        after: span.up_to,
        up_to: span.up_to + 1,
    };
    let page = rig.reader().decisions(&rig.range(), rest, 100).unwrap();
    assert_eq!(page.rows.len(), 1);
}

pub(crate) fn wanted_decisions_are_those_of_a_time_a_number_a_key_or_a_generation(rig: Rig) {
    rig.decide(1..21, |number| if number % 4 == 0 { "b" } else { "a" });
    let since = |after| DecisionRange {
        since: Some(NOW + after),
        ..rig.range()
    };
    assert_eq!(rig.times(&since(18)), [18, 19, 20]);
    assert_eq!(rig.times(&since(0)).len(), 20);
    assert!(rig.times(&since(21)).is_empty());
    let last = |last| DecisionRange {
        last: Some(last),
        ..rig.range()
    };
    assert_eq!(rig.times(&last(2)), [19, 20]);
    assert_eq!(rig.times(&last(1_000)).len(), 20);
    assert!(rig.times(&last(0)).is_empty());
    let of_key = |key: &str, wanted| DecisionRange {
        key: Some(key.to_owned()),
        ..wanted
    };
    assert_eq!(rig.times(&of_key("b", rig.range())), [4, 8, 12, 16, 20]);
    assert_eq!(rig.times(&of_key("b", last(2))), [16, 20]);
    assert_eq!(rig.times(&of_key("b", since(9))), [12, 16, 20]);
    assert!(rig.times(&of_key("c", rig.range())).is_empty());
    // Two of another generation.
    let of_b = rig
        .store
        .register_generation(rig.participant, generation("b", 1));
    let of_b = of_b.unwrap();
    for ticket in 21..23 {
        let entry = JournalEntry {
            time: NOW + ticket,
            ..journal("b", 5)
        };
        let mut turn = rig.turn(ticket, "b");
        turn.entry.generation = of_b;
        rig.commit(turn.write(Write::Journal(entry))).unwrap();
    }
    let of = |digest: &str, wanted| DecisionRange {
        generation: Some(digest.to_owned()),
        ..wanted
    };
    assert_eq!(rig.times(&of("b", rig.range())), [21, 22]);
    assert_eq!(rig.times(&of("a", last(2))), [19, 20]);
    assert_eq!(rig.times(&of("a", of_key("b", since(19)))), [20]);
    assert!(rig.times(&of("c", rig.range())).is_empty());
    let read = rig.read_decisions(&rig.range(), 100);
    let digests = read.iter().map(|row| &*row.digest);
    assert!(digests.eq(std::iter::repeat_n("a", 20).chain(["b", "b"])));
    let deciding = |wanted: &DecisionRange| {
        let reader = rig.reader();
        let span = reader.decisions_span(wanted).unwrap().unwrap();
        reader.deciding_generations(wanted, span).unwrap()
    };
    assert!(deciding(&rig.range()).iter().eq(["a", "b"]));
    assert!(deciding(&last(2)).iter().eq(["b"]));
    assert!(deciding(&of_key("a", rig.range())).iter().eq(["a"]));
    let all = DecisionRange {
        last: Some(1),
        ..of_key("a", since(5))
    };
    assert_eq!(rig.times(&all), [19]);
}

pub(crate) fn decisions_without_a_payload_are_read_as_outlines_and_not_tried(rig: Rig) {
    let asked = message("place", "k");
    let outcome = nothing();
    let entry = JournalEntry {
        state_before: Some(String::new()),
        decision: encode_outline(&asked, Some("[1]"), &outcome).unwrap(),
        ..journal("k", 0)
    };
    for ticket in 1..4 {
        let turn = rig.turn(ticket, "k");
        rig.commit(turn.write(Write::Journal(entry.clone())))
            .unwrap();
    }
    for row in rig.read_decisions(&rig.range(), 9) {
        assert_eq!((row.revision, &*row.digest), (0, "a"));
        let Err(NotWhole::NoPayload(outline)) = row.recorded else {
            panic!("{row:?}");
        };
        assert_eq!(outline.sizes.state_before, Some(3));
        assert_eq!(outline.message.id, asked.id);
    }
    assert_eq!(rig.reader().sample_journal(rig.participant, 9), Ok(vec![]));
}
