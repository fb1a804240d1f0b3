//! `kill -9` of the real process at random moments under load, with the store on a PostgreSQL server that is killed too
//! now and then. See `crash`, whose invariants these are.

use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use fastrand::Rng;
use saga_testkit::postgres::can_start;

use crate::aftermath::{Aftermath, StoreLeft, look_into};
use crate::crashes::{Client, GAP, asked, during_requests, many_times, register};
use crate::server_store::ServerStore;

/// How often the process is killed where nothing else is said.
const ROUNDS: u64 = 6;
const CLIENTS: u64 = 4;
static AFTERMATH: LazyLock<Option<Aftermath>> =
    LazyLock::new(|| can_start().then(|| many_times(ROUNDS, crash)));

fn crash(data: &Path, seed: u64, rounds: u64) -> Aftermath {
    let store = ServerStore::new();
    let start = || {
        let start = store.host(&["customer", "order"], data);
        start
            .setting("embedded.partitions", 3)
            .setting("instances", 3)
    };
    let mut random = Rng::with_seed(seed | 1);
    let host = start().start();
    register(&host);
    assert!(host.stop().success());
    let mut clients: Vec<Client> = (0..CLIENTS)
        .map(|number| Client::new(seed ^ (number + 1)))
        .collect();
    for round in 0..rounds {
        let host = start().start();
        let after = Duration::from_micros(random.u64(..300_000));
        during_requests(&mut clients, host, after, |host| {
            host.kill();
            if round % 3 == 2 {
                // While it may still work on what the host has sent.
                store.server.kill();
            }
        });
        if round % 3 == 2 {
            store.server.start_again().unwrap();
        }
    }
    look_into(
        start().start(),
        StoreLeft::Server(&store),
        asked(clients),
        GAP,
    )
}

fn aftermath() -> Option<&'static Aftermath> {
    AFTERMATH.as_ref()
}

#[test]
fn invariant_10_every_acknowledged_order_is_there_as_it_was_placed_and_is_decided() {
    let Some(left) = aftermath() else { return };
    assert!(
        left.asked.broken_off > 0,
        "no request was in flight at any crash"
    );
    left.invariant_10_every_acknowledged_order_is_there_as_it_was_placed_and_is_decided();
}

#[test]
fn invariant_3_credit_is_taken_once_for_each_approved_order() {
    let Some(left) = aftermath() else { return };
    left.invariant_3_credit_is_taken_once_for_each_approved_order();
    left.invariant_3_no_event_is_applied_twice();
}

#[test]
fn invariant_2_state_events_and_record_of_a_decision_are_there_together() {
    let Some(left) = aftermath() else { return };
    left.invariant_2_state_events_and_record_of_a_decision_are_there_together();
}

#[test]
fn invariants_1_and_4_every_event_is_decided_exactly_once_and_in_its_order() {
    let Some(left) = aftermath() else { return };
    left.invariant_1_every_event_is_decided_exactly_once();
    left.invariant_4_the_orders_of_a_customer_are_decided_in_their_order();
}
