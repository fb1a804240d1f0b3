//! Invariant 6 for swaps: the active build at each time, and the builds of the entries.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::checker::{Violation, must};
use crate::process::Process;
use crate::rules::SagaRules;
use crate::store::Store;

/// After a crash there is one active build: that of the last committed activation; and no
/// acknowledged activation is lost.
pub(crate) fn after_start(process: &Process) -> Result<(), Violation> {
    let active = process.store.active();
    for thread in &process.threads {
        must(*thread.build() == *active, 6, || {
            format!(
                "{} is active, but {} decides",
                active.digest,
                thread.build().digest
            )
        })?;
    }
    must(process.admits == *active, 6, || {
        format!(
            "{} is active, but {} admits",
            active.digest, process.admits.digest
        )
    })?;
    let committed = process.store.activations.len();
    must(committed >= process.activations_told, 10, || {
        let told = process.activations_told;
        format!("{told} activations were told of, {committed} are left")
    })
}

/// Every entry is of the build that was active then, or of the one before, whose turns were in
/// flight (but only if its store has one host); none precedes the activation of its build, and no aggregate returns to a build that it
/// has left.
pub(crate) fn check(process: &Process) -> Result<(), Violation> {
    let store = &process.store;
    let mut last: BTreeMap<&str, usize> = BTreeMap::new();
    for row in &store.journal {
        let place = place(store, &row.build, row.sequence)?;
        let before = last.insert(&row.key, place).unwrap_or(0);
        must(before <= place, 6, || {
            format!(
                "key {}: decided by activation {place} after {before}",
                row.key
            )
        })?;
    }
    for letter in &store.dead {
        place(store, &letter.build, letter.sequence)?;
    }
    Ok(())
}

/// The number of the activation under which an entry was decided.
fn place(store: &Store, build: &Rc<SagaRules>, sequence: u64) -> Result<usize, Violation> {
    let before = store
        .activations
        .partition_point(|activation| activation.sequence < sequence);
    // On a shared store, none is written by the one before.
    let turns_end_later = store.shared.hosts.is_empty();
    let first = before.saturating_sub(1 + usize::from(turns_end_later));
    let possible = (first..before).rev();
    let place = possible
        .into_iter()
        .find(|place| store.activations[*place].build == *build);
    place.ok_or_else(|| Violation {
        invariant: 6,
        what: format!(
            "entry {sequence} is of {}, which was not active then",
            build.digest
        ),
    })
}
