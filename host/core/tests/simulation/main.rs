//! The core under a seed: two participants with their stores, topics and clients in memory, every
//! kind of fault between any two steps, and a checker of the invariants.
//!
//! The simulation runs the host's own code: the worker's [`step`](saga_core::worker::Worker::step)
//! and the writer's [`Batch`](saga_core::commit::Batch). The store, topics, clients and clocks
//! around them are in memory. A failure prints its seed; `SAGA_SIM_SEED=7 cargo test -p saga-core
//! --test simulation` repeats that run, step for step, and prints its trace. `SAGA_SIM_SEEDS=10000`
//! runs more seeds. `SAGA_SIM_HOSTS_SEED` and `SAGA_SIM_HOSTS_SEEDS` do the same for worlds with
//! several hosts on each store.
//!
//! # Layout
//!
//! - [`world`]: the scheduler; [`scene`]: the defect, clock, trace, calls; [`random`]: the seed's
//!   numbers
//! - [`rules`], [`description`]: the two participants; [`faults`]: the same with faults
//! - [`process`], [`offers`], [`thread`](mod@thread), [`answers`], [`writer`], [`host`]: the host
//!   of one participant
//! - [`swap`]: its swaps to other builds
//! - [`store`], [`apply`]: the store, which survives a crash
//! - [`broker`]: the topics; [`strangers`]: records of other producers
//! - [`hosts`]: several hosts on one store; [`shared`](mod@shared): the writer of each; [`call`]: what the
//!   server refuses
//! - [`checker`], [`journal`], [`generations`], [`reads`]: the invariants; [`broken`]: worlds that
//!   break them

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test binary: a panic is how a failure is reported"
)]

mod answers;
mod apply;
mod broken;
mod broker;
mod call;
mod checker;
mod description;
mod faults;
mod generations;
mod host;
mod hosts;
mod journal;
mod offers;
mod process;
mod random;
mod reads;
mod rules;
mod scene;
mod shared;
mod store;
mod strangers;
mod swap;
mod thread;
mod world;
mod writer;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Number of seeds of one test run.
const SEEDS: u64 = if cfg!(debug_assertions) { 60 } else { 2_000 };

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
    // A simulation proves nothing about code that it never reaches.
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
        "redrive",
        "redrive-failed",
        "returned",
        "discard",
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
fn two_to_four_hosts_on_one_store_keep_the_invariants_wherever_they_are_paused_or_end() {
    if let Some(seed) = number("SAGA_SIM_HOSTS_SEED") {
        let (scene, result) = world::run_shared(seed, None);
        println!("{}", scene.trace);
        if let Err(violation) = result {
            panic!("SAGA_SIM_HOSTS_SEED={seed}: {violation}");
        }
        return;
    }
    let seeds = number("SAGA_SIM_HOSTS_SEEDS").unwrap_or(SEEDS / 5);
    let first = number("SAGA_SIM_HOSTS_FIRST").unwrap_or(0);
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for seed in first..first + seeds {
        let (scene, result) = world::run_shared(seed, None);
        if let Err(violation) = result {
            let lines: Vec<_> = scene.trace.lines().collect();
            let last = lines[lines.len().saturating_sub(40)..].join("\n");
            panic!(
                "SAGA_SIM_HOSTS_SEED={seed} repeats this: {violation}\nthe last steps were\n{last}"
            );
        }
        for (what, often) in scene.counts {
            *counts.entry(what).or_default() += often;
        }
    }
    println!("{seeds} seeds: {counts:?}");
    for what in [
        "pause",
        "die",
        "start",
        "evicted",
        "moved",
        "alone",
        "stale",
        "call-refused",
        "duplicate-refused",
        "decided-again",
        "replied-elsewhere",
        "stalled",
        "locked",
        "unknown-happened",
        "unknown-failed",
        "unknown-late",
        "propose",
        "follow",
        "swap",
        "older-states",
    ] {
        assert!(
            counts.contains_key(what),
            "no seed came to {what}: {counts:?}"
        );
    }
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

/// Runs a seed that must succeed; returns how often each kind of event happened.
fn run_well(seed: u64) -> BTreeMap<&'static str, u64> {
    let (scene, result) = world::run(seed, None);
    if let Err(violation) = result {
        let lines: Vec<_> = scene.trace.lines().collect();
        let last = lines[lines.len().saturating_sub(40)..].join("\n");
        panic!("SAGA_SIM_SEED={seed} repeats this: {violation}\nthe last steps were\n{last}");
    }
    scene.counts
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} is not a number: {text}")),
    )
}
