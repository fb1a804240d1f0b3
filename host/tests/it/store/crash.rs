//! `kill -9` of the real process at random moments under load, restarted on the same data, many times.
//!
//! One run serves all tests here: the first that needs it makes it, each looks at one invariant of
//! what is left. `SAGA_CRASH_ROUNDS` sets how often the process is killed, `SAGA_CRASH_SEED` repeats
//! the choices of a run (the moments of a kill are still the machine's).

use std::collections::HashMap;
use std::path::Path;
use std::process::Stdio;
use std::sync::LazyLock;
use std::time::Duration;

use crate::aftermath::{Aftermath, Asked, credit_of, decimal, look, state_of};
use crate::support::{Host, Start, try_request};

/// How often the process is killed where nothing else is said.
const ROUNDS: u64 = 40;
const CLIENTS: u64 = 4;
/// Credit limits in cents. Half of the orders go to the first customer; most run out of credit.
pub const LIMITS: [i64; 6] = [2_000_000, 500, 0, 30_000, 1, 100_000_000];
/// Ids that are missing in a row before no more are looked for.
pub const GAP: u64 = 300;

static AFTERMATH: LazyLock<Aftermath> = LazyLock::new(|| many_times(ROUNDS, crash));

/// Crashes in a directory of its own, which is kept where that panics. Gives the seed and the number of rounds, which is
/// this one unless it is set.
pub fn many_times<T>(
    rounds: u64,
    crash: impl FnOnce(&Path, u64, u64) -> T + std::panic::UnwindSafe,
) -> T {
    let setting = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let seed = setting("SAGA_CRASH_SEED").unwrap_or_else(|| {
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_nanos() as u64
    });
    let rounds = setting("SAGA_CRASH_ROUNDS").unwrap_or(rounds);
    println!("SAGA_CRASH_SEED={seed} SAGA_CRASH_ROUNDS={rounds}");
    let data = tempfile::tempdir().unwrap();
    let found = std::panic::catch_unwind(|| crash(data.path(), seed, rounds));
    found.unwrap_or_else(|_| {
        panic!(
            "SAGA_CRASH_SEED={seed}; the data is kept in {}",
            data.keep().display()
        )
    })
}

fn start(data: &Path) -> Start {
    Start::new(&["customer", "order"], data)
        .setting("embedded.partitions", 3)
        .setting("instances", 3)
}

fn crash(data: &Path, seed: u64, rounds: u64) -> Aftermath {
    let mut random = Random(seed | 1);
    let host = start(data).start();
    register(&host);
    host.kill();
    let mut clients: Vec<Client> = (0..CLIENTS)
        .map(|number| Client::new(seed ^ (number + 1)))
        .collect();
    for _ in 0..rounds {
        if random.below(5) == 0 {
            // A crash while it recovers from the one before.
            let mut child = start(data)
                .program()
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            std::thread::sleep(Duration::from_micros(random.below(60_000)));
            child.kill().unwrap();
            child.wait().unwrap();
        }
        let host = start(data).start();
        let urls = (
            host.url("customer").to_owned(),
            host.url("order").to_owned(),
        );
        std::thread::scope(|scope| {
            let running: Vec<_> = clients
                .iter_mut()
                .map(|client| scope.spawn(|| client.run(&urls.0, &urls.1)))
                .collect();
            std::thread::sleep(Duration::from_micros(random.below(150_000)));
            host.kill();
            running
                .into_iter()
                .for_each(|client| client.join().unwrap());
        });
    }
    look(start(data).start(), data, asked(clients), GAP)
}

/// Registers a customer for each of the limits.
pub fn register(host: &Host) {
    for limit in LIMITS {
        let body = format!(
            r#"{{"name": "c", "creditLimit": {{"amount": {}}}}}"#,
            decimal(limit)
        );
        let registered = host.send("customer", "POST", "/customers", &body);
        assert_eq!(registered.status, 201, "{}", registered.text());
    }
}

/// What these clients know of what they asked for.
pub fn asked(clients: Vec<Client>) -> Asked {
    Asked {
        limits: LIMITS.to_vec(),
        broken_off: clients.iter().map(|client| client.broken_off).sum(),
        acknowledged: clients
            .into_iter()
            .flat_map(|client| client.acknowledged)
            .collect(),
    }
}

/// One client, which lives through all crashes.
pub struct Client {
    random: Random,
    acknowledged: Vec<(u64, u64, i64)>,
    broken_off: usize,
    /// What it has read: nothing of it may be taken back.
    decided: HashMap<u64, String>,
    credit: HashMap<u64, i64>,
}

impl Client {
    pub fn new(seed: u64) -> Self {
        Self {
            random: Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1),
            acknowledged: Vec::new(),
            broken_off: 0,
            decided: HashMap::new(),
            credit: HashMap::new(),
        }
    }

    /// Places orders and reads until the host is gone.
    pub fn run(&mut self, customers: &str, orders: &str) {
        loop {
            let hot = self.random.below(2) == 0;
            // One more than there are: nobody knows the last one.
            let customer = if hot {
                1
            } else {
                1 + self.random.below(LIMITS.len() as u64 + 1)
            };
            let cents = 1 + self.random.below(2_000) as i64;
            let body = format!(
                r#"{{"customerId": {customer}, "orderTotal": {{"amount": {}}}}}"#,
                decimal(cents)
            );
            match try_request("POST", &format!("{orders}/orders"), &[], body.as_bytes()) {
                Ok(placed) => {
                    assert_eq!(placed.status, 201, "{}", placed.text());
                    self.acknowledged.push((
                        placed.json()["orderId"].as_u64().unwrap(),
                        customer,
                        cents,
                    ));
                }
                Err(_) => {
                    self.broken_off += 1;
                    return;
                }
            }
            if self.read(customers, orders, customer).is_err() {
                return;
            }
        }
    }

    fn read(&mut self, customers: &str, orders: &str, customer: u64) -> std::io::Result<()> {
        let (order, ..) =
            self.acknowledged[self.random.below(self.acknowledged.len() as u64) as usize];
        let answer = try_request("GET", &format!("{orders}/orders/{order}"), &[], b"")?;
        let now = state_of(&answer)
            .unwrap_or_else(|| panic!("order {order} was acknowledged and is gone"));
        if let Some(before) = self.decided.get(&order) {
            assert_eq!(
                &now, before,
                "order {order} was read as decided, and went back"
            );
        }
        if now != "PENDING" {
            self.decided.insert(order, now);
        }
        if customer <= LIMITS.len() as u64 {
            let left = credit_of(&try_request(
                "GET",
                &format!("{customers}/customer/{customer}"),
                &[],
                b"",
            )?);
            assert!(left >= 0, "customer {customer} has {left} left");
            if let Some(before) = self.credit.insert(customer, left) {
                assert!(
                    left <= before,
                    "customer {customer} had {before} left, and now {left}"
                );
            }
        }
        Ok(())
    }
}

#[test]
fn the_crashes_hit_where_it_hurts() {
    let left = &*AFTERMATH;
    println!(
        "{} orders, {} acknowledged, {} broken off",
        left.orders.len(),
        left.asked.acknowledged.len(),
        left.asked.broken_off
    );
    assert!(
        left.asked.broken_off > 0,
        "no request was under way at any crash"
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

/// Xorshift: the same choices for the same seed.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) % bound
    }
}
