//! A crash at every single step of writing, the machine's power loss included.
//!
//! A small library, loaded into the real process, ends it just before the nth write to the store's
//! files (`crash_point.c`): at every n in turn, once as `kill -9` does and once with everything taken back
//! that was not yet synced to disk. `SAGA_CRASH_POINTS=all` takes every step; otherwise it is every
//! [`STRIDE`]th and a different set each time.
//!
//! Needs Linux and a C compiler, which the host needs itself.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::aftermath::{Asked, decimal, look};
use crate::preload::{CRASH_POINT, steps};
use crate::support::{Host, PATIENCE, Response, Start, try_request};

/// Every how many steps there is a crash where not every step is asked for.
const STRIDE: u64 = 4;
/// More steps than the whole walk takes.
const MOST: u64 = 2_000;
/// Cents that the only customer may spend.
const LIMIT: i64 = 1_000;
/// Cents of the orders.
const ORDERS: [i64; 3] = [400, 600, 1];

fn start(data: &Path) -> Start {
    Start::new(&["customer", "order"], data).setting("instances", 1)
}

/// Registers the customer.
fn register(host: &Host) -> std::io::Result<Response> {
    let body = format!(
        r#"{{"name": "c", "creditLimit": {{"amount": {}}}}}"#,
        decimal(LIMIT)
    );
    let url = format!("{}/customers", host.url("customer"));
    try_request("POST", &url, &[("idempotency-key", "c")], body.as_bytes())
}

/// Places the order over so many cents, or says again that it is to be placed.
fn place(host: &Host, cents: i64) -> std::io::Result<Response> {
    let amount = decimal(cents);
    let body = format!(r#"{{"customerId": 1, "orderTotal": {{"amount": {amount}}}}}"#);
    let key = [("idempotency-key", amount.as_str())];
    let url = format!("{}/orders", host.url("order"));
    try_request("POST", &url, &key, body.as_bytes())
}

/// The walk: a customer, orders within the limit, up to it and beyond, a clean end. Says whether it came to its end.
fn walk(host: Host, asked: &mut Asked) -> bool {
    let orders = host.url("order").to_owned();
    match register(&host) {
        Ok(registered) if registered.status == 201 => asked.limits.push(LIMIT),
        _ => return false,
    }
    for cents in ORDERS {
        let Ok(placed) = place(&host, cents) else {
            asked.broken_off += 1;
            return false;
        };
        assert_eq!(placed.status, 201, "{}", placed.text());
        let id = placed.json()["orderId"].as_u64().unwrap();
        asked.acknowledged.push((id, 1, cents));
        let begun = Instant::now();
        loop {
            match try_request("GET", &format!("{orders}/orders/{id}"), &[], b"") {
                Err(_) => return false,
                Ok(answer) if answer.json()["orderState"] != "PENDING" => break,
                Ok(_) => assert!(begun.elapsed() < PATIENCE, "order {id} stays PENDING"),
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    host.stop().success()
}

/// One life that ends before this step, and the next one, which must find everything in order. Says
/// whether the first came to its end without reaching the step.
fn crash_at(step: u64, power: bool) -> bool {
    let data = tempfile::tempdir().unwrap();
    let mut command = start(data.path()).program();
    command
        .env("LD_PRELOAD", &*CRASH_POINT)
        .env("CRASH_AT", step.to_string());
    if power {
        command.env("CRASH_POWER", "1");
    }
    let mut asked = Asked::default();
    let finished =
        Host::try_from_command(command, data.path()).is_ok_and(|host| walk(host, &mut asked));

    let host = start(data.path()).start();
    let customer = host.get("customer", "/customer/1").status;
    match asked.limits.is_empty() {
        true if customer == 200 => asked.limits.push(LIMIT),
        true => assert_eq!(customer, 404),
        false => assert_eq!(
            customer, 200,
            "the customer is lost, step {step}, power {power}"
        ),
    }
    repeat(&host, &mut asked, step);
    let found = std::panic::catch_unwind(|| {
        let left = look(host, data.path(), asked, 5);
        left.invariant_1_every_event_is_decided_exactly_once();
        left.invariant_2_state_events_and_record_of_a_decision_are_there_together();
        left.invariant_3_credit_is_taken_once_for_each_approved_order();
        left.invariant_3_no_event_is_applied_twice();
        left.invariant_4_the_orders_of_a_customer_are_decided_in_their_order();
        left.invariant_10_every_acknowledged_order_is_there_as_it_was_placed_and_is_decided();
    });
    assert!(
        found.is_ok(),
        "step {step}, power {power}: the data is kept in {}",
        data.keep().display()
    );
    finished
}

/// Sends again every order that was sent: those that were acknowledged are answered as they were, and the one whose answer
/// did not come is acknowledged now, whether it was placed before the crash or not. There is one of each afterwards.
fn repeat(host: &Host, asked: &mut Asked, step: u64) {
    let sent = asked.acknowledged.len() + asked.broken_off;
    for (number, cents) in ORDERS.into_iter().take(sent).enumerate() {
        let again = place(host, cents).unwrap();
        assert_eq!(again.status, 201, "{}", again.text());
        let id = again.json()["orderId"].as_u64().unwrap();
        match asked.acknowledged.get(number) {
            Some(acknowledged) => {
                assert_eq!(*acknowledged, (id, 1, cents), "step {step}");
                let replayed = again.header("idempotency-replayed");
                assert_eq!(replayed, Some("true"), "step {step}");
            }
            None => asked.acknowledged.push((id, 1, cents)),
        }
    }
    asked.broken_off = 0;
}

fn every_step(power: bool) {
    let last = steps(STRIDE, MOST, |step| crash_at(step, power));
    assert!(last > 100, "the library saw {last} steps only");
}

#[test]
fn invariant_10_the_saga_survives_kill_9_before_any_write() {
    every_step(false);
}

#[test]
fn invariant_10_the_saga_survives_a_power_loss_before_any_write() {
    every_step(true);
}
