//! Turns are counted under the names that a description lists, and series of old generations
//! disappear.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::time::Duration;

use prometheus_client::encoding::text::encode;
use saga_contract::description::{Command, KeySource, Method};
use saga_testkit::description as described;

use super::*;

fn description(timers: usize) -> Description {
    let key = KeySource::Body("/id".into());
    let make = described::command("make", Method::Post, "/things", CommandKind::Change, key);
    Description {
        version: "1".into(),
        commands: vec![Command {
            request: Some("{}".into()),
            ..make
        }],
        timers: (0..timers)
            .map(|number| described::timer(&format!("timer-{number}")))
            .collect(),
        ..described::description("p")
    }
}

fn told(registry: &Registry) -> String {
    let mut told = String::new();
    encode(&mut told, registry).unwrap();
    told
}

fn start() -> (Registry, Turns) {
    let mut registry = Registry::default();
    let families = TurnFamilies::register(&mut registry);
    let turns = Turns::new(&families, "p");
    (registry, turns)
}

fn series(end: &str, message: &str, digest: &str, count: u64) -> String {
    format!(
        "turns_total{{participant=\"p\",origin=\"command\",message=\"{message}\",outcome=\"{end}\",digest=\"{digest}\"}} {count}\n"
    )
}

#[test]
fn a_turn_counts_when_it_is_committed_and_not_before() {
    let (registry, turns) = start();
    let generation = turns.generation("0123456789abcdef", &description(1));
    let measured = |end| generation.to_commit(Origin::Command, "make", end, turns.now(), None);
    let waits = measured(End::Decided).unwrap();
    let digest = "0123456789ab";
    assert!(told(&registry).contains(&series("decided", "make", digest, 0)));
    waits.committed(Some(Instant::now() + Duration::from_secs(1)));
    measured(End::Refused).unwrap().is_void();
    let told = told(&registry);
    for (end, count) in [("decided", 1), ("refused", 0), ("void", 1)] {
        assert!(told.contains(&series(end, "make", digest, count)), "{told}");
    }
    let total = "turn_seconds_count{participant=\"p\",origin=\"command\"} 1\n";
    assert!(told.contains(total), "{told}");
    assert!(!told.contains("origin=\"command\",message=\"make\",outcome=\"dead-letter\""));
}

#[test]
fn series_of_generations_before_the_last_go_and_a_step_back_counts_on() {
    let (registry, turns) = start();
    let count = |digest: &str| {
        let generation = turns.generation(digest, &description(1));
        generation.ended(Origin::Command, "make", End::Decided, turns.now());
    };
    count("one");
    count("two");
    count("one");
    let now = told(&registry);
    assert!(now.contains(&series("decided", "make", "one", 2)), "{now}");
    assert!(now.contains(&series("decided", "make", "two", 1)), "{now}");
    count("three");
    let now = told(&registry);
    assert!(now.contains(&series("decided", "make", "one", 2)), "{now}");
    assert!(
        now.contains(&series("decided", "make", "three", 1)),
        "{now}"
    );
    assert!(!now.contains("digest=\"two\""), "{now}");
}

#[test]
fn invariant_9_however_much_is_listed_series_are_bounded() {
    let (registry, turns) = start();
    let mut many = description(10_000);
    for timer in many.timers.iter_mut().take(3) {
        timer.name = "n".repeat(100_000 + timer.name.len());
    }
    let generation = turns.generation("d", &many);
    let first = told(&registry);
    assert!(first.len() < 400_000, "{} bytes", first.len());
    generation.ended(Origin::Timer, "timer-9999", End::Decided, turns.now());
    generation.ended(Origin::Event, "never heard of", End::Decided, turns.now());
    let now = told(&registry);
    assert_eq!(now.lines().count(), first.lines().count());
    let other = "turns_total{participant=\"p\",origin=\"event\",message=\"other\",outcome=\"decided\",digest=\"d\"} 1\n";
    assert!(now.contains(other), "{now}");
}
