//! The ledger of a load run, and its checks.
//!
//! Owns: one account per customer, in cents, and the checks of each account:
//!
//! * limit − Σ approved = credit left, and credit left ≥ 0;
//! * a rejected order is larger than the credit left at the end: credit only decreases, so an order
//!   that fits at the end would have fitted earlier;
//! * an order whose decision was certain beforehand was decided that way.
//!
//! Orders whose POST broke off count as *possibly applied*: some choice among them must explain the
//! credit left. Must not know: HTTP, time, the number of connections.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::load::plan::PlannedOrder;
use crate::saga::{DecidedSaga, Unfinished};
use saga_demo_client::cents::Cents;
use saga_demo_client::contract::{CallError, OrderState};

/// Number of violations that end a run: more would show nothing new.
const VIOLATIONS_MAX: usize = 1_000;
/// Most different sums of possibly applied orders that are tried; beyond that only bounds are
/// checked.
const SUMS_MAX: usize = 100_000;

/// A violation: something that must not be.
#[derive(Debug)]
pub(crate) enum Violation {
    /// A call failed, or an order is still PENDING.
    Failed(String),
    /// A decision differs from the only correct one.
    WrongDecision {
        /// Id of the order.
        order_id: i64,
        /// Id of the customer.
        customer_id: i64,
        /// Amount of the order.
        total: Cents,
        /// Limit of the customer.
        limit: Cents,
        /// The correct state.
        expected: OrderState,
        /// The actual state.
        found: OrderState,
    },
    /// Limit, approved orders and credit left don't add up.
    Credit {
        /// Id of the customer.
        customer_id: i64,
        /// Limit of the customer.
        limit: Cents,
        /// Sum of the approved orders.
        approved: Cents,
        /// Number of orders that may or may not have been applied.
        unknown: usize,
        /// Credit left according to the customer service.
        left: Cents,
    },
    /// An order was rejected that would fit even at the end.
    RejectedButFits {
        /// Id of the customer.
        customer_id: i64,
        /// The smallest rejected order.
        total: Cents,
        /// Credit left according to the customer service.
        left: Cents,
    },
    /// Two POSTs were answered with the same id.
    SameId {
        /// The id.
        order_id: i64,
    },
}

impl Violation {
    /// True for a call that failed, and for an order that stayed PENDING.
    pub(crate) fn is_failure(&self) -> bool {
        matches!(self, Self::Failed(_))
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(text) => f.write_str(text),
            Self::WrongDecision {
                order_id,
                customer_id,
                total,
                limit,
                expected,
                found,
            } => write!(
                f,
                "order {order_id} over {total} of customer {customer_id} (limit {limit}) must be {expected}, is {found}"
            ),
            Self::Credit {
                customer_id,
                limit,
                approved,
                unknown,
                left,
            } => {
                let due = Cents(limit.0.saturating_sub(approved.0));
                write!(
                    f,
                    "customer {customer_id}: limit {limit} - approved {approved} leaves {due}"
                )?;
                if *unknown > 0 {
                    write!(f, ", less some of {unknown} orders of unknown fate")?;
                }
                write!(f, ", but the service says {left}")
            }
            Self::RejectedButFits {
                customer_id,
                total,
                left,
            } => write!(
                f,
                "customer {customer_id}: an order over {total} was rejected although {left} is left even now"
            ),
            Self::SameId { order_id } => write!(f, "order id {order_id} was given twice"),
        }
    }
}

/// Numbers of orders by their ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Decided APPROVED.
    pub(crate) approved: usize,
    /// Decided REJECTED.
    pub(crate) rejected: usize,
    /// Possibly placed: the POST broke off (only for runs that retry).
    pub(crate) unknown: usize,
}

/// The ledger of a run.
#[derive(Debug)]
pub(crate) struct Ledger {
    accounts: Vec<Mutex<LedgerAccount>>,
    violations: Mutex<Vec<Violation>>,
    order_ids: Mutex<Vec<i64>>,
    counts: Mutex<Counts>,
    breaks_allowed: bool,
}

#[derive(Debug)]
struct LedgerAccount {
    customer_id: i64,
    limit: Cents,
    approved: Cents,
    smallest_rejected: Option<Cents>,
    unknown: Vec<Cents>,
}

impl Ledger {
    /// Opens one account per customer (id, limit). With `breaks_allowed` a POST that breaks off is
    /// no violation, but an order of unknown outcome.
    pub(crate) fn new(
        customers: impl IntoIterator<Item = (i64, Cents)>,
        breaks_allowed: bool,
    ) -> Self {
        let accounts = customers.into_iter().map(|(customer_id, limit)| {
            let (approved, smallest_rejected, unknown) = (Cents(0), None, Vec::new());
            Mutex::new(LedgerAccount {
                customer_id,
                limit,
                approved,
                smallest_rejected,
                unknown,
            })
        });
        Self {
            accounts: accounts.collect(),
            violations: Mutex::default(),
            order_ids: Mutex::default(),
            counts: Mutex::default(),
            breaks_allowed,
        }
    }

    /// The id of a customer; None beyond the last one.
    pub(crate) fn customer_id(&self, customer: usize) -> Option<i64> {
        self.accounts
            .get(customer)
            .map(|account| lock(account).customer_id)
    }

    /// Number of customers.
    pub(crate) fn customers(&self) -> usize {
        self.accounts.len()
    }

    /// Enters the end of a saga.
    pub(crate) fn book(&self, order: &PlannedOrder, end: Result<DecidedSaga, Unfinished>) {
        let Some(account) = self.accounts.get(order.customer) else {
            return;
        };
        let mut account = lock(account);
        let decided = match end {
            Ok(decided) => decided,
            Err(unfinished) => {
                self.book_unfinished(&mut account, order.total, unfinished);
                return;
            }
        };
        lock(&self.order_ids).push(decided.order_id);
        let mut counts = lock(&self.counts);
        if decided.state == OrderState::Approved {
            counts.approved += 1;
            account.approved = Cents(account.approved.0.saturating_add(order.total.0));
        } else {
            counts.rejected += 1;
            let smallest = account
                .smallest_rejected
                .map_or(order.total, |total| total.min(order.total));
            account.smallest_rejected = Some(smallest);
        }
        if let Some(expected) = order.expected.filter(|expected| *expected != decided.state) {
            self.add(Violation::WrongDecision {
                order_id: decided.order_id,
                customer_id: account.customer_id,
                total: order.total,
                limit: account.limit,
                expected,
                found: decided.state,
            });
        }
    }

    fn book_unfinished(&self, account: &mut LedgerAccount, total: Cents, unfinished: Unfinished) {
        match &unfinished {
            Unfinished::Post(error) if !error.fate_unknown() => {}
            Unfinished::Post(_) => {
                account.unknown.push(total);
                if self.breaks_allowed {
                    lock(&self.counts).unknown += 1;
                    return;
                }
            }
            // The order exists, so its credit may be reserved: one violation, not two.
            Unfinished::Ask { order_id, .. } | Unfinished::Pending { order_id, .. } => {
                account.unknown.push(total);
                lock(&self.order_ids).push(*order_id);
            }
        }
        self.add(Violation::Failed(unfinished.to_string()));
    }

    /// Compares the credit that the customer service reports with the account.
    pub(crate) fn compare(&self, customer: usize, left: Result<Cents, CallError>) {
        let Some(account) = self.accounts.get(customer) else {
            return;
        };
        match left {
            Ok(left) => lock(account)
                .violations(left)
                .into_iter()
                .for_each(|violation| self.add(violation)),
            Err(error) => self.add(Violation::Failed(error.to_string())),
        }
    }

    /// Adds a violation that others found.
    pub(crate) fn add(&self, violation: Violation) {
        let mut violations = lock(&self.violations);
        if violations.len() < VIOLATIONS_MAX {
            violations.push(violation);
        }
    }

    /// True if there are so many violations that the run should end.
    pub(crate) fn hopeless(&self) -> bool {
        lock(&self.violations).len() >= VIOLATIONS_MAX
    }

    /// Numbers of orders by their ends so far.
    pub(crate) fn counts(&self) -> Counts {
        *lock(&self.counts)
    }

    /// Ids for orders of unknown outcome: those between the lowest and the highest known id that no
    /// POST was answered with, and as many beyond it as there are such orders.
    pub(crate) fn unseen_order_ids(&self) -> Vec<i64> {
        let seen: BTreeSet<i64> = lock(&self.order_ids).iter().copied().collect();
        let unknown = i64::try_from(self.counts().unknown).unwrap_or(0);
        let (Some(first), Some(last)) = (seen.first(), seen.last()) else {
            return Vec::new();
        };
        (*first..=last.saturating_add(unknown))
            .filter(|id| !seen.contains(id))
            .take(SUMS_MAX)
            .collect()
    }

    /// Closes the ledger: returns all violations.
    pub(crate) fn close(&self) -> Vec<Violation> {
        let mut ids = std::mem::take(&mut *lock(&self.order_ids));
        ids.sort_unstable();
        for (order_id, _) in ids
            .iter()
            .zip(ids.iter().skip(1))
            .filter(|(one, next)| one == next)
        {
            self.add(Violation::SameId {
                order_id: *order_id,
            });
        }
        std::mem::take(&mut *lock(&self.violations))
    }
}

impl LedgerAccount {
    fn violations(&self, left: Cents) -> Vec<Violation> {
        let mut violations = Vec::new();
        if left < Cents(0) || !self.explains(left) {
            violations.push(Violation::Credit {
                customer_id: self.customer_id,
                limit: self.limit,
                approved: self.approved,
                unknown: self.unknown.len(),
                left,
            });
        }
        if let Some(total) = self.smallest_rejected.filter(|total| *total <= left) {
            violations.push(Violation::RejectedButFits {
                customer_id: self.customer_id,
                total,
                left,
            });
        }
        violations
    }

    /// True if some choice among the orders of unknown outcome explains the credit left.
    fn explains(&self, left: Cents) -> bool {
        let missing = i128::from(self.limit.0) - i128::from(self.approved.0) - i128::from(left.0);
        let mut sums = BTreeSet::from([0_i128]);
        for total in &self.unknown {
            let with: Vec<i128> = sums.iter().map(|sum| sum + i128::from(total.0)).collect();
            sums.extend(with);
            if sums.len() > SUMS_MAX {
                let most: i128 = self.unknown.iter().map(|total| i128::from(total.0)).sum();
                return (0..=most).contains(&missing);
            }
        }
        sums.contains(&missing)
    }
}

/// A lock is poisoned only if a task panicked, and then the run ends with that panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use saga_testkit::http::RequestError;

    fn decided(order_id: i64, state: OrderState) -> Result<DecidedSaga, Unfinished> {
        Ok(DecidedSaga {
            order_id,
            state,
            posted: Duration::ZERO,
            decided: Duration::ZERO,
        })
    }

    fn lost() -> Result<DecidedSaga, Unfinished> {
        let error = RequestError::Lost {
            authority: "host:1".to_owned(),
            reason: "closed".to_owned(),
        };
        Err(Unfinished::Post(CallError::Transport {
            request: "POST /orders".to_owned(),
            error,
        }))
    }

    fn order(total: i64) -> PlannedOrder {
        PlannedOrder {
            customer: 0,
            total: Cents(total),
            expected: None,
        }
    }

    fn texts(ledger: &Ledger) -> Vec<String> {
        ledger.close().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn right_books_have_no_violation() {
        let ledger = Ledger::new([(1, Cents(1_000))], false);
        ledger.book(&order(300), decided(1, OrderState::Approved));
        ledger.book(&order(700), decided(2, OrderState::Approved));
        ledger.book(&order(1), decided(3, OrderState::Rejected));
        ledger.compare(0, Ok(Cents(0)));
        assert_eq!(texts(&ledger), Vec::<String>::new());
        assert_eq!(
            ledger.counts(),
            Counts {
                approved: 2,
                rejected: 1,
                unknown: 0
            }
        );
    }

    #[test]
    fn each_kind_of_violation_is_named() {
        let ledger = Ledger::new([(1, Cents(1_000))], false);
        let certain = PlannedOrder {
            expected: Some(OrderState::Rejected),
            ..order(1_001)
        };
        ledger.book(&certain, decided(7, OrderState::Approved));
        ledger.book(&order(5), decided(7, OrderState::Rejected));
        ledger.book(
            &order(6),
            Err(Unfinished::Pending {
                order_id: 8,
                waited: Duration::from_secs(1),
            }),
        );
        ledger.book(&order(6), lost());
        ledger.compare(0, Ok(Cents(10)));
        assert_eq!(
            texts(&ledger),
            [
                "order 7 over 10.01 of customer 1 (limit 10) must be REJECTED, is APPROVED",
                "order 8 is still PENDING after 1000 ms",
                "POST /orders: host:1 took the request and gave no whole answer (closed)",
                "customer 1: limit 10 - approved 10.01 leaves -0.01, less some of 2 orders of unknown fate, \
                 but the service says 0.10",
                "customer 1: an order over 0.05 was rejected although 0.10 is left even now",
                "order id 7 was given twice",
            ]
        );
    }

    #[test]
    fn negative_credit_is_a_violation_even_if_it_adds_up() {
        let ledger = Ledger::new([(1, Cents(1_000))], false);
        ledger.book(&order(1_001), decided(1, OrderState::Approved));
        ledger.compare(0, Ok(Cents(-1)));
        assert_eq!(texts(&ledger).len(), 1);
    }

    #[test]
    fn orders_of_unknown_fate_explain_only_sums_of_themselves() {
        for (left, right) in [
            (1_000, true),
            (900, true),
            (950, true),
            (850, true),
            (899, false),
            (700, false),
        ] {
            let ledger = Ledger::new([(1, Cents(1_000))], true);
            ledger.book(&order(100), lost());
            ledger.book(&order(50), lost());
            ledger.compare(0, Ok(Cents(left)));
            assert_eq!(texts(&ledger).is_empty(), right, "{left}");
            assert_eq!(ledger.counts().unknown, 2);
        }
    }

    #[test]
    fn ids_that_no_answer_named_are_found() {
        let ledger = Ledger::new([(1, Cents(1_000))], true);
        ledger.book(&order(1), decided(3, OrderState::Approved));
        ledger.book(&order(1), lost());
        ledger.book(&order(1), decided(5, OrderState::Approved));
        assert_eq!(ledger.unseen_order_ids(), [4, 6]);
    }
}
