//! Runs of a test under many seeds, and the report of the first that fails.

use std::cell::Cell;
use std::fmt::Write as _;
use std::rc::Rc;

use super::blueprint::Blueprint;
use super::faults::{Faults, InjectedFault};
use super::panics;
use super::random::Random;
use super::world::World;
use crate::testing::fail;

/// The variable that names the one seed to run.
const SEED: &str = "SAGA_SEED";

/// Steps that the report shows, unless one seed is replayed.
const SHOWN: usize = 30;

/// Runs of each smaller set of faults, in search of a simple failure.
const VARIATIONS: u64 = 48;

/// Steps of failed runs after which the search ends.
const SHRINKING: usize = 50_000;

/// A run that failed.
struct Failure {
    world: World,
    message: String,
}

/// Runs the story under each seed, or under the one of the environment.
#[track_caller]
pub(super) fn check(blueprint: &Rc<Blueprint>, seeds: u64, story: &dyn Fn(&mut World)) {
    let one = match std::env::var(SEED) {
        Ok(text) => match text.parse() {
            Ok(seed) => Some(seed),
            Err(_) => fail(&format!("{SEED} is {text:?}, not a number")),
        },
        Err(_) => None,
    };
    let seeds = one.map_or(0..seeds, |seed: u64| seed..seed.saturating_add(1));
    for seed in seeds {
        let faults = Faults::of(seed, &mut Random::new(seed, 1));
        if let Some(failure) = run(blueprint, (seed, 0), faults, story) {
            let failure = shrunk(blueprint, seed, failure, story);
            fail(&report(&failure, seed, one.is_some()));
        }
    }
}

/// Tells the story once; returns the failure, if it fails.
fn run(
    blueprint: &Rc<Blueprint>,
    (seed, variation): (u64, u64),
    faults: Faults,
    story: &dyn Fn(&mut World),
) -> Option<Failure> {
    let mut world = World::new(blueprint, (seed, variation), faults);
    let told = panics::caught(|| {
        story(&mut world);
        world.doing = "the end".to_owned();
        let letters = world.take_dead_letters();
        if !letters.is_empty() {
            fail(&format!(
                "there are dead letters: {letters:#?}\nIf they are right, take them with take_dead_letters()"
            ));
        }
    });
    let message = told.err()?;
    Some(Failure { world, message })
}

/// A failure with as few faults and steps as were found. It depends on the seed alone.
fn shrunk(
    blueprint: &Rc<Blueprint>,
    seed: u64,
    failure: Failure,
    story: &dyn Fn(&mut World),
) -> Failure {
    let steps = Cell::new(0);
    let shortest = |faults: &Faults| {
        let affordable = (0..VARIATIONS).take_while(|_| steps.get() < SHRINKING);
        let failures = affordable.filter_map(|one| {
            let failure = run(blueprint, (seed, one), faults.clone(), story)?;
            steps.set(steps.get() + failure.world.steps);
            Some(failure)
        });
        failures.min_by_key(|failure| failure.world.timeline.len())
    };
    if let Some(calm) = shortest(&Faults::default()) {
        return calm;
    }
    let mut failure = failure;
    for fault in InjectedFault::ALL {
        let faults = &failure.world.faults;
        if faults.has(fault) {
            failure = shortest(&faults.without(fault)).unwrap_or(failure);
        }
    }
    let faults = failure.world.faults.clone();
    shortest(&faults).unwrap_or(failure)
}

fn report(failure: &Failure, seed: u64, shows_all: bool) -> String {
    let Failure { world, message } = failure;
    let mut text = format!("the saga failed under seed {seed}\n");
    // Writing to a string does not fail.
    if !world.doing.is_empty() {
        let _ = writeln!(text, "while:  {}", world.doing);
    }
    let _ = writeln!(text, "{message}\n");
    let _ = writeln!(text, "Faults that it takes: {}.", world.faults.names());
    let last = (!shows_all).then_some(SHOWN);
    let _ = writeln!(text, "{}", world.timeline.show(last));
    let thread = std::thread::current();
    let test = thread
        .name()
        .filter(|name| *name != "main")
        .unwrap_or_default();
    let _ = write!(
        text,
        "To replay it, with all steps: {SEED}={seed} cargo test {test}"
    );
    text
}
