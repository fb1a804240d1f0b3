//! `kill -9` of the real process at random moments under load, restarted on the same data, many times.
//!
//! One run serves all tests here: the first that needs it makes it, each looks at one invariant of
//! what is left. `SAGA_CRASH_ROUNDS` sets how often the process is killed, `SAGA_CRASH_SEED` repeats
//! the choices of a run (the moments of a kill are still the machine's).

use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use fastrand::Rng;

use crate::aftermath::{Aftermath, look};
use crate::crashes::{Client, GAP, asked, during_requests, many_times, register};
use crate::support::{Host, Start};

/// How often the process is killed where nothing else is said.
const ROUNDS: u64 = 40;
const CLIENTS: u64 = 4;
static AFTERMATH: LazyLock<Aftermath> = LazyLock::new(|| many_times(ROUNDS, crash));

fn start(data: &Path) -> Start {
    Start::new(&["customer", "order"], data)
        .setting("embedded.partitions", 3)
        .setting("instances", 3)
}

fn crash(data: &Path, seed: u64, rounds: u64) -> Aftermath {
    let mut random = Rng::with_seed(seed | 1);
    let host = start(data).start();
    register(&host);
    host.kill();
    let mut clients: Vec<Client> = (0..CLIENTS)
        .map(|number| Client::new(seed ^ (number + 1)))
        .collect();
    for _ in 0..rounds {
        if random.u64(..5) == 0 {
            // A crash while it recovers from the one before.
            let mut child = start(data).spawn_silent();
            std::thread::sleep(Duration::from_micros(random.u64(..60_000)));
            child.kill().unwrap();
            child.wait().unwrap();
        }
        let host = start(data).start();
        let after = Duration::from_micros(random.u64(..150_000));
        during_requests(&mut clients, host, after, Host::kill);
    }
    look(start(data).start(), data, asked(clients), GAP)
}

#[test]
fn the_crashes_hit_requests_in_flight_and_all_kinds_of_orders() {
    let left = &*AFTERMATH;
    println!(
        "{} orders, {} acknowledged, {} broken off",
        left.orders.len(),
        left.asked.acknowledged.len(),
        left.asked.broken_off
    );
    assert!(
        left.asked.broken_off > 0,
        "no request was in flight at any crash"
    );
    for state in ["APPROVED", "REJECTED"] {
        assert!(
            left.orders.values().any(|order| order == state),
            "no order is {state}"
        );
    }
}

#[test]
fn invariant_10_every_acknowledged_order_is_there_as_it_was_placed_and_is_decided() {
    AFTERMATH.invariant_10_every_acknowledged_order_is_there_as_it_was_placed_and_is_decided();
}

#[test]
fn invariant_3_credit_is_taken_once_for_each_approved_order() {
    AFTERMATH.invariant_3_credit_is_taken_once_for_each_approved_order();
}

#[test]
fn invariant_3_no_event_is_applied_twice() {
    AFTERMATH.invariant_3_no_event_is_applied_twice();
}

#[test]
fn invariant_2_state_events_and_record_of_a_decision_are_there_together() {
    AFTERMATH.invariant_2_state_events_and_record_of_a_decision_are_there_together();
}

#[test]
fn invariant_1_every_event_is_decided_exactly_once() {
    AFTERMATH.invariant_1_every_event_is_decided_exactly_once();
}

#[test]
fn invariant_4_the_orders_of_a_customer_are_decided_in_their_order() {
    AFTERMATH.invariant_4_the_orders_of_a_customer_are_decided_in_their_order();
}
