//! Orders of a few clients while something happens, and the books that must hold afterwards.
//!
//! The clients stop nowhere: whatever happens, each order must be answered with 201. Amounts are in cents.
//!
//! Must not know: what happens.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use fastrand::Rng;
use serde_json::Value;

use crate::expect::until;
use crate::saga::{left, register, state};
use crate::store_file::rows;
use crate::support::{Host, PATIENCE};

/// Credit limits. Half of the orders go to the first customer; some run out of credit, one has none.
const LIMITS: [i64; 5] = [100_000_000, 30_000, 500, 0, 100_000_000];

/// Clients that order at the same time.
const CLIENTS: u64 = 2;

/// How long a client looks at its order before it places the next one: it is an outage that is tried, not speed.
const LOOK: Duration = Duration::from_millis(10);

/// The customer, and the amount.
#[derive(Debug, Clone, Copy)]
struct Order {
    customer: u64,
    cents: i64,
}

/// Clients that place orders.
pub struct Load<'h> {
    customers: &'h Host,
    orders: &'h Host,
    /// Registered customers: id and limit.
    limits: BTreeMap<u64, i64>,
    placed: Mutex<BTreeMap<u64, Order>>,
    is_over: AtomicBool,
}

/// Ends the load also where what happens panics.
struct Over<'l>(&'l AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Registers customers, has clients place orders while something happens, and checks the books when it is over.
pub fn during<'h>(customers: &'h Host, orders: &'h Host, happens: impl FnOnce(&Load<'h>)) {
    let limits = LIMITS.map(|limit| (register(customers, decimal(limit)), limit));
    let load = &Load {
        customers,
        orders,
        limits: limits.into(),
        placed: Mutex::default(),
        is_over: AtomicBool::new(false),
    };
    std::thread::scope(|scope| {
        let over = Over(&load.is_over);
        let clients: Vec<_> = (1..=CLIENTS)
            .map(|seed| scope.spawn(move || load.client(Rng::with_seed(seed))))
            .collect();
        happens(load);
        drop(over);
        clients
            .into_iter()
            .for_each(|client| client.join().unwrap());
    });
    load.check_books();
}

impl Load<'_> {
    /// Waits until so many more orders have been placed.
    pub fn until_placed(&self, more: usize) {
        let goal = self.placed().len() + more;
        until(&format!("{goal} orders are placed"), || {
            self.placed().len() >= goal
        });
    }

    /// Waits until an order that is placed from now on is decided.
    pub fn until_decided(&self) {
        let last = self.placed().keys().last().copied();
        let mut next = None;
        until("an order is placed", || {
            next = self.placed().keys().copied().find(|id| Some(*id) > last);
            next.is_some()
        });
        self.decision(next.unwrap());
    }

    /// Waits until an order is decided; gives how.
    fn decision(&self, id: u64) -> String {
        let start = Instant::now();
        loop {
            let state = state(self.orders, id);
            if state != "PENDING" {
                return state;
            }
            assert!(
                start.elapsed() < PATIENCE,
                "order {id} is not decided. The log of the customer service:\n{}\nThat of the order service:\n{}",
                self.customers.log(),
                self.orders.log()
            );
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn client(&self, mut random: Rng) {
        while !self.is_over.load(Ordering::Relaxed) {
            let customers = self.limits.len() as u64;
            let customer = match random.u64(..2) {
                0 => 1,
                // One more than there are: nobody knows the last one.
                _ => 1 + random.u64(..customers + 1),
            };
            let cents = 1 + random.u64(..2_000) as i64;
            let id = crate::saga::place(self.orders, customer, decimal(cents));
            let before = self.placed().insert(id, Order { customer, cents });
            assert!(before.is_none(), "order id {id} was given out twice");
            std::thread::sleep(LOOK);
        }
    }

    fn placed(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, Order>> {
        self.placed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until every order is decided. What was approved was taken off the limit, once; what was rejected was too much.
    fn check_books(&self) {
        let mut taken: BTreeMap<u64, i64> = BTreeMap::new();
        let mut smallest_refused: BTreeMap<u64, i64> = BTreeMap::new();
        for (id, Order { customer, cents }) in &*self.placed() {
            match self.decision(*id).as_str() {
                "APPROVED" => *taken.entry(*customer).or_default() += cents,
                "REJECTED" => {
                    let smallest = smallest_refused.entry(*customer).or_insert(*cents);
                    *smallest = *cents.min(smallest);
                }
                state => panic!("order {id} is {state}"),
            }
        }
        for (customer, limit) in &self.limits {
            let left = cents(&left(self.customers, *customer));
            let taken = taken.remove(customer).unwrap_or_default();
            assert_eq!(limit - taken, left, "credit left of customer {customer}");
            // Credit only goes down, so that what would fit now would have fitted then.
            let refused = smallest_refused.get(customer);
            assert!(
                refused.is_none_or(|refused| *refused > left),
                "customer {customer} was refused {refused:?} and has {left} left"
            );
        }
        assert_eq!(taken, BTreeMap::new(), "approved for who is not known");
    }
}

/// Checks that each of these services has decided each event once, and all of them on the same orders. Gives their number.
pub fn decided_once(customer_data: &Path, order_data: &Path) -> usize {
    let [customer, order] = [customer_data, order_data].map(|data| {
        let query = "SELECT json_extract(message, '$.id'), json_extract(json_extract(message, '$.body'), '$.id')
                     FROM journal WHERE json_extract(message, '$.origin') = 'event'";
        let decided = rows(data, query);
        let ids: BTreeSet<_> = decided.iter().map(|row| &row[0]).collect();
        assert_eq!(ids.len(), decided.len(), "an event was decided twice");
        let orders: BTreeSet<u64> = decided.iter().map(|row| row[1].parse().unwrap()).collect();
        assert_eq!(orders.len(), decided.len(), "an order was decided twice");
        orders
    });
    assert_eq!(customer, order, "orders that each has decided on");
    customer.len()
}

/// An amount as it stands in JSON.
fn decimal(cents: i64) -> Value {
    serde_json::from_str(&format!("{}.{:02}", cents / 100, cents % 100)).unwrap()
}

/// The cents of an amount.
fn cents(amount: &Value) -> i64 {
    let text = amount.to_string();
    let (whole, part) = text.split_once('.').unwrap_or((&text, ""));
    let part = format!("{part:0<2}");
    assert!(amount.is_number() && part.len() == 2, "{text} is no amount");
    whole.parse::<i64>().unwrap() * 100 + part.parse::<i64>().unwrap()
}
