//! Clients that live through crashes of the host, and what they know of what they asked for.
//!
//! `SAGA_CRASH_ROUNDS` sets how often the process is killed, `SAGA_CRASH_SEED` repeats the choices of a run (the
//! moments of a kill are still the machine's).

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use fastrand::Rng;

use crate::aftermath::{Asked, credit_of, decimal, state_of};
use crate::support::{Host, try_request};

/// Credit limits in cents. Half of the orders go to the first customer; most run out of credit.
pub const LIMITS: [i64; 6] = [2_000_000, 500, 0, 30_000, 1, 100_000_000];
/// Ids that are missing in a row before no more are looked for.
pub const GAP: u64 = 300;

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

/// Crashes a host after a while in which these clients send requests; returns when they have noticed.
pub fn during_requests(
    clients: &mut [Client],
    host: Host,
    after: Duration,
    crash: impl FnOnce(Host),
) {
    let [customer, order] = ["customer", "order"].map(|name| host.url(name).to_owned());
    std::thread::scope(|scope| {
        for client in clients {
            scope.spawn(|| client.run(&customer, &order));
        }
        std::thread::sleep(after);
        crash(host);
    });
}

/// The answers that these clients had.
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
    random: Rng,
    acknowledged: Vec<(u64, u64, i64)>,
    broken_off: usize,
    /// Its readings: no later one may contradict them.
    decided: HashMap<u64, String>,
    credit: HashMap<u64, i64>,
}

impl Client {
    pub fn new(seed: u64) -> Self {
        Self {
            random: Rng::with_seed(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1),
            acknowledged: Vec::new(),
            broken_off: 0,
            decided: HashMap::new(),
            credit: HashMap::new(),
        }
    }

    /// Places orders and reads until the host is gone.
    pub fn run(&mut self, customers: &str, orders: &str) {
        loop {
            let hot = self.random.u64(..2) == 0;
            // One more than there are: nobody knows the last one.
            let customer = if hot {
                1
            } else {
                1 + self.random.u64(..LIMITS.len() as u64 + 1)
            };
            let cents = 1 + self.random.u64(..2_000) as i64;
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
            self.acknowledged[self.random.u64(..self.acknowledged.len() as u64) as usize];
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
