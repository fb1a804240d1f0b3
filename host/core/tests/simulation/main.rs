//! The core under a seed: two participants, their stores, topics and clients, all in memory, with
//! every kind of trouble between any two steps, and a checker of the host's invariants.
//!
//! What is simulated is what ships: the worker's [`step`](saga_core::worker::Worker::step) and the
//! writer's [`Batch`](saga_core::commit::Batch). Around them are a store, topics, clients and
//! clocks in memory. A failure prints its seed; `SAGA_SIM_SEED=7 cargo test -p saga-core --test
//! simulation` runs that one again, step for step, and prints its trace. `SAGA_SIM_SEEDS=10000`
//! runs more of them.
//!
//! # Layout
//!
//! - [`world`]: the scheduler; [`scene`]: chance, clock, trace, calls; [`random`]: the seed's
//!   numbers
//! - [`rules`], [`description`]: the two participants; [`faults`]: the same, breaking
//! - [`process`], [`thread`](mod@thread), [`answers`], [`writer`], [`host`]: one participant's host
//! - [`swap`]: how it takes another build into use
//! - [`store`]: what survives its crash
//! - [`broker`]: the topics; [`strangers`]: what others put there
//! - [`checker`], [`journal`], [`generations`]: the invariants

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test binary: a panic is how a failure is reported"
)]

mod answers;
mod broker;
mod checker;
mod description;
mod faults;
mod generations;
mod host;
mod journal;
mod process;
mod random;
mod rules;
mod scene;
mod store;
mod strangers;
mod swap;
mod thread;
mod world;
mod writer;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use checker::Violation;
use scene::{Broken, Scene};

/// Seeds that one test run tries.
const SEEDS: u64 = if cfg!(debug_assertions) { 60 } else { 2_000 };

/// Seeds within which a broken step must be noticed.
const SEEDS_TO_NOTICE: u64 = 2_000;

#[test]
fn invariants_1_to_6_and_10_hold_whatever_happens() {
    if let Some(seed) = number("SAGA_SIM_SEED") {
        let (scene, result) = world::run(seed, None);
        println!("{}", scene.trace);
        if let Err(violation) = result {
            panic!("SAGA_SIM_SEED={seed}: {violation}");
        }
        return;
    }
    let seeds = number("SAGA_SIM_SEEDS").unwrap_or(SEEDS);
    let next = AtomicU64::new(0);
    let counts: Mutex<BTreeMap<&str, u64>> = Mutex::default();
    std::thread::scope(|threads| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            threads.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds {
                        return;
                    }
                    let counted = run_well(seed);
                    let mut counts = counts.lock().unwrap();
                    for (what, often) in counted {
                        *counts.entry(what).or_default() += often;
                    }
                }
            });
        }
    });
    let counts = counts.into_inner().unwrap();
    println!("{seeds} seeds: {counts:?}");
    // A simulation proves nothing about what it never reaches.
    for what in [
        "crash",
        "commit",
        "commit-failed",
        "broke",
        "one-refused",
        "unknown-happened",
        "unknown-failed",
        "void",
        "rebalance",
        "read-again",
        "repeated",
        "duplicate-refused",
        "copy",
        "same-id",
        "foreign",
        "retry",
        "dead-letter",
        "sync",
        "quarantined",
        "no-room",
        "paused",
        "read-waits",
        "store-unreadable",
        "apply",
        "lack",
        "hold",
        "states-unreadable",
        "older-states",
        "activation-failed",
        "switch",
        "swap",
        "readings-end",
        "long-turn",
        "routed-anew",
        "migration",
        "fire",
        "parked",
        "unparked",
        "timer-placed",
        "timer-parked",
    ] {
        assert!(
            counts.get(what).is_some_and(|often| *often > 0),
            "no seed came to {what}: {counts:?}"
        );
    }
}

#[test]
fn two_processes_on_one_store_keep_the_invariants_wherever_one_is_paused() {
    if let Some(seed) = number("SAGA_SIM_SHARED_SEED") {
        let (scene, result) = world::run_shared(seed, None);
        println!("{}", scene.trace);
        if let Err(violation) = result {
            panic!("SAGA_SIM_SHARED_SEED={seed}: {violation}");
        }
        return;
    }
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for seed in 0..SEEDS / 10 {
        let (scene, result) = world::run_shared(seed, None);
        if let Err(violation) = result {
            panic!("SAGA_SIM_SHARED_SEED={seed} repeats this: {violation}");
        }
        for (what, often) in scene.counts {
            *counts.entry(what).or_default() += often;
        }
    }
    for what in [
        "pause",
        "stale",
        "crash",
        "unknown-happened",
        "unknown-failed",
    ] {
        assert!(
            counts.contains_key(what),
            "no seed came to {what}: {counts:?}"
        );
    }
}

#[test]
fn invariant_10_a_shared_store_that_does_not_compare_revisions_is_noticed() {
    noticed_in(world::run_shared, Broken::RevisionNotCompared, &[10], "");
}

#[test]
fn invariant_1_a_shared_store_that_does_not_compare_epochs_is_noticed() {
    noticed_in(world::run_shared, Broken::EpochNotCompared, &[1, 4], "");
}

#[test]
fn invariant_3_a_shared_store_that_does_not_count_timers_is_noticed() {
    noticed_in(world::run_shared, Broken::TimerNotCounted, &[2, 3, 10], "");
}

#[test]
fn a_seed_replays_step_for_step() {
    let (first, second) = (world::run(11, None).0, world::run(11, None).0);
    assert!(
        first.trace.lines().count() > 500,
        "the run is too short to prove anything"
    );
    assert_eq!(first.trace, second.trace);
    assert_ne!(
        first.trace,
        world::run(12, None).0.trace,
        "the seed decides nothing"
    );
}

#[test]
fn invariant_1_an_offset_stored_beyond_the_window_is_noticed() {
    noticed(Broken::OffsetBeyondWindow, &[1]);
}

#[test]
fn invariant_2_events_committed_apart_from_the_state_are_noticed() {
    noticed(Broken::OutboxApart, &[2]);
}

#[test]
fn invariant_2_a_timer_that_outlives_its_turn_is_noticed() {
    noticed(Broken::TimerNotConsumed, &[2, 3]);
}

#[test]
fn invariant_3_an_inbox_that_is_not_consulted_is_noticed() {
    noticed(Broken::InboxNotConsulted, &[3]);
}

#[test]
fn invariant_3_a_dead_letter_that_is_tried_again_is_noticed() {
    noticed(Broken::DeadLetterForgotten, &[3]);
}

#[test]
fn invariant_4_a_key_that_is_not_held_back_is_noticed() {
    noticed(Broken::KeyNotHeldBack, &[4]);
}

#[test]
fn invariant_4_a_message_that_overtakes_what_is_parked_is_noticed() {
    noticed(Broken::ParkedOvertaken, &[4]);
}

#[test]
fn invariant_10_a_number_of_a_parked_message_that_is_given_twice_is_noticed() {
    noticed_as(Broken::ParkedNumberReused, &[10], "nobody offers it");
}

#[test]
fn invariant_10_a_parked_timer_that_is_decided_before_what_did_not_come_to_be_is_noticed() {
    noticed_as(Broken::ParkedTimerGoesOn, &[10], "nobody offers it");
}

#[test]
fn invariant_3_a_parked_event_that_is_not_remembered_is_noticed() {
    noticed(Broken::ParkedNotRemembered, &[2, 3]);
}

#[test]
fn invariant_4_a_reading_that_goes_on_past_a_record_that_was_not_written_is_noticed() {
    noticed(Broken::ReadingOutlivesVoid, &[4]);
}

#[test]
fn invariant_4_a_reading_that_goes_on_under_other_subscriptions_is_noticed() {
    noticed(Broken::ReadingOutlivesSwap, &[4]);
}

#[test]
fn invariant_5_a_fault_taken_for_a_refusal_is_noticed() {
    noticed(Broken::RefusalOnFault, &[5]);
}

#[test]
fn invariant_6_a_digest_of_another_build_is_noticed() {
    noticed(Broken::BuildOfTheCommit, &[6]);
}

#[test]
fn invariant_6_a_build_that_decides_before_it_is_active_is_noticed() {
    noticed_as(Broken::HandedBeforeActivation, &[6], "was not active then");
}

#[test]
fn invariant_6_an_active_build_without_a_copy_is_noticed() {
    noticed(Broken::CopiedAfterActivation, &[6]);
}

#[test]
fn invariant_6_a_start_with_another_build_than_the_active_one_is_noticed() {
    noticed(Broken::StartsWithFile, &[6]);
}

#[test]
fn invariants_6_and_10_an_activation_that_a_crash_takes_back_is_noticed() {
    noticed(Broken::ActivationNotWritten, &[6, 10]);
}

#[test]
fn invariant_6_a_worker_that_two_swaps_passed_by_is_noticed() {
    noticed(Broken::SwapNotAwaited, &[6]);
}

#[test]
fn invariant_6_a_turn_on_two_builds_is_noticed() {
    noticed(Broken::SwitchedWithinTurn, &[6]);
}

#[test]
fn invariant_6_a_state_that_comes_to_be_behind_the_back_of_a_rollback_is_noticed() {
    noticed(Broken::WorkersNotHeld, &[6]);
}

#[test]
fn invariant_6_a_state_that_was_not_yet_stored_when_states_were_checked_is_noticed() {
    noticed(Broken::StatesCheckedBefore, &[6]);
}

#[test]
fn invariant_5_what_was_admitted_by_another_description_is_noticed() {
    noticed(Broken::AdmissionNotCompared, &[5]);
}

#[test]
fn invariant_2_a_migrated_state_that_is_not_written_is_noticed() {
    noticed(Broken::MigrationNotWritten, &[2]);
}

#[test]
fn invariant_10_an_answer_before_the_commit_is_noticed() {
    noticed(Broken::AnswerBeforeCommit, &[10]);
}

#[test]
fn invariant_10_decisions_on_an_entry_that_was_not_written_are_noticed() {
    noticed(Broken::BrokenChainWritten, &[4, 10]);
}

#[test]
fn invariant_10_a_worker_that_goes_on_from_a_state_that_was_not_written_is_noticed() {
    noticed(Broken::BrokenStateKept, &[10]);
}

#[test]
fn invariant_10_an_event_whose_entry_broke_and_that_is_taken_for_applied_is_noticed() {
    noticed(Broken::BrokenIdentityKept, &[1, 10]);
}

#[test]
fn invariant_10_workers_that_are_told_before_the_commit_are_noticed() {
    noticed(Broken::ToldBeforeCommit, &[10]);
}

#[test]
fn invariant_10_a_commit_that_happened_and_is_taken_for_failed_is_noticed() {
    noticed(Broken::UnknownTakenForFailed, &[10]);
}

#[test]
fn invariant_10_a_commit_that_did_not_happen_and_is_taken_for_a_good_one_is_noticed() {
    noticed(Broken::UnknownTakenForCommitted, &[10]);
}

#[test]
fn invariant_10_a_written_command_that_is_told_it_failed_is_noticed() {
    noticed(Broken::WrittenToldVoid, &[10]);
}

#[test]
fn invariant_10_a_key_that_is_given_out_twice_is_noticed() {
    noticed(Broken::KeysForgotten, &[10]);
}

/// Runs a seed that must go well; gives what happened how often.
fn run_well(seed: u64) -> BTreeMap<&'static str, u64> {
    let (scene, result) = world::run(seed, None);
    if let Err(violation) = result {
        let lines: Vec<_> = scene.trace.lines().collect();
        let last = lines[lines.len().saturating_sub(40)..].join("\n");
        panic!("SAGA_SIM_SEED={seed} repeats this: {violation}\nthe last steps were\n{last}");
    }
    scene.counts
}

/// A world with this broken step is reported, by some seed, as breaking one of these invariants.
fn noticed(broken: Broken, invariants: &[u32]) {
    noticed_as(broken, invariants, "");
}

/// The same, in these words.
fn noticed_as(broken: Broken, invariants: &[u32], words: &str) {
    noticed_in(world::run, broken, invariants, words);
}

/// The same, in this kind of world.
fn noticed_in(
    world: fn(u64, Option<Broken>) -> (Scene, Result<(), Violation>),
    broken: Broken,
    invariants: &[u32],
    words: &str,
) {
    let mut reported = Vec::new();
    for seed in 0..SEEDS_TO_NOTICE {
        let run = std::panic::catch_unwind(|| world(seed, Some(broken)).1);
        match run.unwrap_or_else(|_| panic!("seed {seed} with {broken:?} panicked")) {
            Err(violation)
                if invariants.contains(&violation.invariant) && violation.what.contains(words) =>
            {
                println!("{broken:?}: seed {seed}, {violation}");
                return;
            }
            Err(violation) => reported.push(violation),
            Ok(()) => {}
        }
    }
    panic!(
        "{broken:?} was not noticed as {invariants:?} in {SEEDS_TO_NOTICE} seeds; reported was {reported:?}"
    );
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} is not a number: {text}")),
    )
}
