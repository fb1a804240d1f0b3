//! The threads of a replay, also where one of them fails.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use saga_core::message::Origin;
use saga_core::outcome::StateChange;

use super::*;
use crate::rollout::probe::fake::{Fake, done, message, recorded, rules};
use crate::store::DecisionPage;

/// Decisions on a page.
const PAGE: usize = 10;

/// A journal in memory, which counts the decisions that were read.
struct Journal {
    rows: Vec<JournalRow>,
    read: Cell<usize>,
}

impl Journal {
    fn span(&self) -> JournalSpan {
        JournalSpan {
            after: 0,
            up_to: self.rows.len() as i64,
        }
    }
}

impl ReadDecisionPages for Journal {
    fn decisions(
        &self,
        _: &DecisionRange,
        span: JournalSpan,
        _: usize,
    ) -> StoreResult<DecisionPage> {
        let from = span.after as usize;
        let rows: Vec<_> = self.rows.iter().skip(from).take(PAGE).cloned().collect();
        self.read.set(self.read.get() + rows.len());
        Ok(DecisionPage {
            read: span.after + rows.len() as i64,
            rows,
        })
    }
}

fn journal(rows: i64) -> Journal {
    let rows = (1..=rows).map(|seq| JournalRow {
        seq,
        digest: "recorded".into(),
        key: format!("k{}", seq % 7),
        revision: 0,
        fuel: 1,
        time: 1,
        recorded: Ok(recorded(
            &message(Origin::Command, "set"),
            None,
            &done(StateChange::Unchanged),
        )),
    });
    Journal {
        rows: rows.collect(),
        read: Cell::new(0),
    }
}

/// Replays on four threads.
fn replayed(
    journal: &Journal,
    rules: Fake,
    mode: ReplayMode,
    is_over: &(dyn Fn() -> bool + Sync),
) -> Result<ReplayTally, NotReplayed> {
    let builds = Builds::candidate(Arc::new(rules));
    let terms = ReplayTerms {
        limits: &TurnLimits::default(),
        mode,
        builds: &builds,
        origin: &"data",
        threads: 4,
        is_over,
    };
    let wanted = DecisionRange::default();
    let span = journal.span();
    run_span(journal, &wanted, span, terms, &mut |_| {})
}

const MODES: [ReplayMode; 2] = [ReplayMode::Recorded, ReplayMode::Counterfactual];

#[test]
fn all_decisions_are_made_again_on_all_threads() {
    for mode in MODES {
        let journal = journal(503);
        let tally = replayed(&journal, rules(), mode, &|| false).unwrap();
        let report = tally.report("shop", mode, super::super::ReplayedRange::default());
        assert_eq!((report.replayed, report.unchanged), (503, 503));
    }
}

#[test]
fn a_thread_that_fails_ends_all_of_them_and_the_reader_with_its_reason() {
    let broken = Fake {
        is_broken: true,
        ..rules()
    };
    for mode in MODES {
        let journal = journal(100_000);
        let failed = replayed(&journal, broken.clone(), mode, &|| false).err();
        let says = "an instance can't be created: trap: no room";
        assert_eq!(failed, Some(NotReplayed::NoInstance(says.into())));
        assert!(journal.read.get() < 100_000, "{}", journal.read.get());
    }
}

#[test]
fn a_thread_that_panics_ends_the_replay_with_its_panic() {
    let panics = Fake {
        handle: |_, _| panic!("as the test wants"),
        ..rules()
    };
    for mode in MODES {
        let journal = journal(1_000);
        let caught = catch_unwind(AssertUnwindSafe(|| {
            replayed(&journal, panics.clone(), mode, &|| false).map(drop)
        }));
        let panic = caught.unwrap_err();
        assert_eq!(panic.downcast_ref(), Some(&"as the test wants"));
    }
}

#[test]
fn nobody_reads_on_for_a_result_that_is_not_needed() {
    let journal = journal(100_000);
    let over = replayed(&journal, rules(), ReplayMode::Recorded, &|| true).err();
    assert_eq!(over, Some(NotReplayed::Over));
    assert!(journal.read.get() <= PAGE, "{}", journal.read.get());
}
