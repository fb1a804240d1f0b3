//! The bounds of what is read of sagas (invariant 9).

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use saga_core::message::{Message, Origin};
use saga_core::outcome::Outcome;

use super::*;
use crate::explain::waits::Expected;
use crate::store::decisions::ReadDecisionPages;
use crate::store::decisions::{DecisionPage, JournalSpan};

fn row(seq: i64, correlation: &str, bytes: usize) -> JournalRow {
    let message = Message {
        id: format!("m-{seq}"),
        source: "/saga/order/commands".into(),
        origin: Origin::Command,
        name: "place".into(),
        key: "17".into(),
        time: 100,
        correlation: correlation.into(),
        causation: None,
        caller: None,
        metadata: Vec::new(),
        version: 1,
        parameters: Vec::new(),
        body: "b".repeat(bytes),
    };
    let outcome = Outcome {
        state: StateChange::Unchanged,
        events: Vec::new(),
        timers: Vec::new(),
        reply: None,
    };
    JournalRow {
        seq,
        digest: "d".into(),
        key: "17".into(),
        revision: 0,
        fuel: 1,
        time: 100 + seq as u64,
        recorded: Ok(Recorded {
            digest: "d".into(),
            state_version: 1,
            state: None,
            message,
            outcome,
        }),
    }
}

fn unreadable(seq: i64) -> JournalRow {
    JournalRow {
        recorded: Err(NotWhole::Unreadable("damaged".into())),
        ..row(seq, "c", 0)
    }
}

fn order() -> Known {
    Known {
        name: "order".into(),
        row: 1,
        versions: BTreeMap::new(),
    }
}

fn gathered() -> Gathered {
    Gathered::new(&["c".to_owned()])
}

/// Takes these decisions until it wants no more.
fn gather(gathered: &mut Gathered, rows: impl Iterator<Item = JournalRow>) -> usize {
    let mut taken = 0;
    for row in rows {
        if gathered.decision(&order(), row).is_break() {
            break;
        }
        taken += 1;
    }
    taken
}

#[test]
fn of_many_decisions_the_first_are_explained_and_the_rest_is_said_to_be_left_out() {
    let mut found = gathered();
    let most = MOST as i64;
    let mut others = gather(&mut found, (1..=most).map(|seq| row(2 * seq, "c", 1)));
    assert_eq!((found.decisions.len(), found.is_incomplete), (MOST, false));
    // One of another saga takes no room, and an earlier one of another participant takes that of the last.
    others += gather(&mut found, [row(2 * most + 1, "other", 1)].into_iter());
    assert_eq!((others, found.is_incomplete), (MOST + 1, false));
    gather(&mut found, [row(3, "c", 1)].into_iter());
    assert_eq!((found.decisions.len(), found.is_incomplete), (MOST, true));
    assert_eq!(found.decisions.last_key_value().unwrap().0, &(2 * most - 2));
    // Nothing is read whose cause may be missing.
    let after = (2 * most..2 * most + 50).map(|seq| row(seq, "c", 1));
    assert_eq!(gather(&mut found, after), 0);
    let told = Found {
        wanted: vec!["c".into()],
        others: Vec::new(),
        participants: vec!["order".into()],
        gathered: found,
    };
    let told = told.explained();
    assert!(told.is_incomplete);
    assert_eq!(told.sagas[0].timeline.decisions, MOST);
}

#[test]
fn of_large_decisions_those_are_explained_that_have_room() {
    let mut found = gathered();
    let large = (1..100).map(|seq| row(seq, "c", ROOM / 4 + 1));
    gather(&mut found, large);
    let kept: Vec<_> = found.decisions.keys().copied().collect();
    assert_eq!(kept, [1, 2, 3]);
    assert!(found.is_incomplete && found.bytes <= ROOM);
}

#[test]
fn decisions_that_can_not_be_read_are_counted() {
    let mut found = gathered();
    let rows = [unreadable(1), row(2, "c", 1), unreadable(3)];
    gather(&mut found, rows.into_iter());
    assert_eq!((found.decisions.len(), found.unreadable), (1, 2));
}

#[test]
fn of_many_waits_the_first_are_listed_and_the_rest_is_said_to_be_left_out() {
    let mut found = gathered();
    let wait = || Wait {
        correlation: "c".into(),
        participant: "order".into(),
        key: None,
        since: None,
        what: Expected::Timer {
            name: "late".into(),
            due: 0,
            parked: None,
        },
    };
    for _ in 0..MOST {
        found.wait(wait());
    }
    assert!(!found.is_incomplete);
    found.wait(wait());
    let parts = &found.by_correlation["c"];
    assert_eq!((parts.pending.len(), found.is_incomplete), (MOST, true));
}

/// Decisions of an aggregate, in one page.
struct Journal(Vec<JournalRow>);

impl ReadDecisionPages for Journal {
    fn decisions(
        &self,
        _: &DecisionRange,
        span: JournalSpan,
        _: usize,
    ) -> StoreResult<DecisionPage> {
        Ok(DecisionPage {
            rows: self.0.clone(),
            read: span.up_to,
        })
    }
}

impl ReadDecisions for Journal {
    fn decisions_span(&self, _: &DecisionRange) -> StoreResult<Option<JournalSpan>> {
        Ok(self.0.last().map(|last| JournalSpan {
            after: 0,
            up_to: last.seq,
        }))
    }

    fn deciding_generations(
        &self,
        _: &DecisionRange,
        _: JournalSpan,
    ) -> StoreResult<BTreeSet<String>> {
        Ok(BTreeSet::new())
    }
}

#[test]
fn of_many_sagas_of_an_aggregate_the_latest_are_known() {
    let many = SAGAS as i64 + 5;
    let mut rows: Vec<_> = (1..=many)
        .map(|seq| row(seq, &format!("c-{seq}"), 0))
        .collect();
    // The first one goes on.
    rows.insert(100, row(101, "c-1", 0));
    rows.push(unreadable(many + 9));
    let found = sagas_decided(&Journal(rows), &DecisionRange::default()).unwrap();
    assert_eq!(found.len(), SAGAS);
    for (saga, is_known) in [("c-1", true), ("c-2", false), ("c-6", false), ("c-7", true)] {
        assert_eq!(found.contains_key(saga), is_known, "{saga}");
    }
    let (_, first) = &found["c-1"];
    assert_eq!((first.decisions, &*first.first), (2, "place"));
}
