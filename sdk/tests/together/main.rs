//! `testing::together`: whole sagas under seeds, and the mistakes that it must find.

#![allow(clippy::restriction, reason = "a test fails by panicking")]

mod clients;
mod delivery;
mod library;
mod swaps;

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use library::{ANSWERED, Library, Readers, State, WISHED, mistake};
use saga_sdk::testing::together::{Together, World, together};

/// Copies of the book.
const COPIES: u32 = 3;

/// The message with which `test` fails.
#[track_caller]
pub(crate) fn failure(test: impl FnOnce()) -> String {
    let Err(panic) = catch_unwind(AssertUnwindSafe(test)) else {
        panic!("it did not fail");
    };
    match panic.downcast::<String>() {
        Ok(message) => *message,
        Err(_) => panic!("it failed with no text"),
    }
}

fn library<const READERS: u8, const LIBRARY: u8>() -> Together {
    together()
        .with::<Readers<READERS>>()
        .with::<Library<LIBRARY>>()
        .always("no book is made of nothing", |world| {
            let book = world.state::<Library<LIBRARY>>("Emma");
            let readers = world.states::<Readers<READERS>>();
            let reads = readers
                .iter()
                .filter(|(_, reader)| reader.state == State::Reads);
            let in_hand = u32::try_from(reads.count()).unwrap();
            assert!(book.is_none_or(|book| book.copies + in_hand <= COPIES));
        })
}

fn story<const READERS: u8, const LIBRARY: u8>(world: &mut World) {
    world.send_to::<Library<LIBRARY>>("Emma", "stock", &COPIES);
    for _ in 0..world.pick(1..6) {
        assert!(world.send::<Readers<READERS>>("wish", "Emma").is_done());
    }
    world.settle();
    let readers = world.states::<Readers<READERS>>();
    let count = |state| {
        readers
            .iter()
            .filter(|(_, reader)| reader.state == state)
            .count()
    };
    let in_hand = u32::try_from(count(State::Reads)).unwrap();
    let book = world.state::<Library<LIBRARY>>("Emma").unwrap();
    assert_eq!(book.copies + in_hand, COPIES, "copies are lost");
}

#[test]
fn a_right_saga_passes_whatever_happens() {
    library::<{ mistake::NONE }, { mistake::NONE }>()
        .check(1_000, story::<{ mistake::NONE }, { mistake::NONE }>);
}

#[test]
fn a_forgotten_compensation_is_found_with_the_faults_that_it_takes() {
    let report = failure(|| {
        library::<{ mistake::NO_COMPENSATION }, { mistake::NONE }>().check(
            100,
            story::<{ mistake::NO_COMPENSATION }, { mistake::NONE }>,
        );
    });
    for part in [
        "the saga failed under seed ",
        "copies are lost",
        "sdk/tests/together/main.rs:",
        "readers 1 decided on timer patience (t",
        "before    {\"book\":\"Emma\",\"state\":\"Waits\"}",
        "after     {\"book\":\"Emma\",\"state\":\"WentAway\"}",
        "To replay it, with all steps: SAGA_SEED=",
        "cargo test a_forgotten_compensation_is_found_with_the_faults_that_it_takes",
    ] {
        assert!(report.contains(part), "no {part:?} in {report}");
    }
    let one = ["delays", "outages"].map(|fault| format!("Faults that it takes: {fault}."));
    assert!(one.iter().any(|one| report.contains(one)), "{report}");
    let steps = report.lines().filter(|line| line.contains("  +")).count();
    assert!(steps <= 10, "one wish is enough: {report}");
}

#[test]
fn a_producer_that_repeats_itself_finds_rules_that_answer_twice() {
    let story = |world: &mut World| {
        story::<{ mistake::NONE }, { mistake::NONE }>(world);
        assert_eq!(
            world.events(ANSWERED).len(),
            world.states::<Readers<0>>().len(),
            "answered twice"
        );
    };
    // The same id twice is no problem: a host drops the second.
    library::<{ mistake::NONE }, { mistake::NONE }>().check(200, story);
    let report = failure(|| {
        library::<{ mistake::NONE }, { mistake::NONE }>()
            .repeats(WISHED)
            .check(100, story);
    });
    assert!(
        report.contains("Faults that it takes: repeats."),
        "{report}"
    );
    assert!(report.contains("comes again"), "{report}");
}

#[test]
fn a_panic_of_a_rule_is_reported_with_its_message() {
    let report = failure(|| {
        library::<{ mistake::NONE }, { mistake::PANIC }>()
            .check(100, story::<{ mistake::NONE }, { mistake::PANIC }>);
    });
    assert!(
        report.contains("while:  library Emma decided on event wished (e"),
        "{report}"
    );
    assert!(report.contains("nothing is left"), "{report}");
    assert!(report.contains("library.rs:"), "{report}");
}

#[test]
fn an_outcome_beyond_the_limits_fails() {
    let report = failure(|| {
        library::<{ mistake::NONE }, { mistake::TOO_MANY }>()
            .check(1, story::<{ mistake::NONE }, { mistake::TOO_MANY }>);
    });
    assert!(report.contains("it publishes 65 events"), "{report}");
    assert!(report.contains("`turn.events`"), "{report}");
}

#[test]
fn a_late_answer_that_is_malformed_leaves_a_dead_letter() {
    let report = failure(|| {
        library::<{ mistake::LATE_IS_MALFORMED }, { mistake::NONE }>().check(100, |world| {
            world.send_to::<Library<0>>("Emma", "stock", &COPIES);
            world.send::<Readers<{ mistake::LATE_IS_MALFORMED }>>("wish", "Emma");
            world.settle();
        });
    });
    assert!(report.contains("there are dead letters"), "{report}");
    assert!(report.contains("nobody waits for this"), "{report}");
}

#[test]
fn an_invariant_is_named_where_it_is_broken() {
    let report = failure(|| {
        library::<{ mistake::NONE }, { mistake::NONE }>()
            .always("nobody reads", |world| {
                let readers = world.states::<Readers<0>>();
                assert!(
                    readers
                        .iter()
                        .all(|(_, reader)| reader.state != State::Reads)
                );
            })
            .check(1, story::<{ mistake::NONE }, { mistake::NONE }>);
    });
    assert!(report.contains("failed under seed 0"), "{report}");
    assert!(report.contains("while:  always: nobody reads"), "{report}");
    assert!(report.contains("Faults that it takes: none."), "{report}");
}

#[test]
fn the_same_seed_is_the_same_run() {
    let run = || {
        let seen = RefCell::new(Vec::new());
        library::<{ mistake::NONE }, { mistake::NONE }>()
            .repeats(WISHED)
            .check(50, |world| {
                story_without_check(world);
                let bodies: Vec<_> = world.events(ANSWERED);
                seen.borrow_mut()
                    .push((world.time(), bodies, world.states::<Readers<0>>()));
            });
        seen.into_inner()
    };
    let (first, second) = (run(), run());
    assert_eq!(first, second);
    let times: std::collections::BTreeSet<_> = first.iter().map(|(time, ..)| time).collect();
    assert!(times.len() > 25, "seeds differ: {times:?}");
}

fn story_without_check(world: &mut World) {
    world.send_to::<Library<0>>("Emma", "stock", &COPIES);
    for _ in 0..world.pick(1..6) {
        world.send::<Readers<0>>("wish", "Emma");
    }
    world.settle();
}

/// This program, for one test, with a seed in the environment.
fn under_seed(seed: &str, test: &str) -> (bool, String) {
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", test, "--nocapture"]);
    let output = child.env("SAGA_SEED", seed).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

#[test]
fn all_seeds_run_or_the_one_of_the_environment() {
    let runs = std::cell::Cell::new(0);
    library::<{ mistake::NONE }, { mistake::NONE }>().check(5, |_| runs.set(runs.get() + 1));
    let expected = std::env::var("SAGA_SEED").map_or(5, |_| 1);
    assert_eq!(runs.get(), expected);
}

#[test]
fn the_environment_names_a_seed() {
    let (passed, text) = under_seed("17", "all_seeds_run_or_the_one_of_the_environment");
    assert!(passed, "{text}");
    let (passed, text) = under_seed("x", "all_seeds_run_or_the_one_of_the_environment");
    assert!(
        !passed && text.contains("SAGA_SEED is \"x\", not a number"),
        "{text}"
    );
}
