//! The orders of a load run, with the expected decision of each.
//!
//! Owns: drawing limits and amounts from a seed so that the results can be checked although orders
//! run concurrently. There are two kinds of customers:
//!
//! * **Certain** (three of four): an order either exceeds the whole limit and must be rejected, or
//!   it must be approved, since all such orders fit together. Those with an odd number use the limit
//!   up to the cent.
//! * **Contended** (every fourth): no order exceeds the limit, but all together do. The order of
//!   arrival determines which are rejected, so only sums can be checked; but here orders compete.
//!
//! Must not know: ids, HTTP, results.

use fastrand::Rng;
use saga_demo_client::cents::Cents;
use saga_demo_client::contract::OrderState;

/// The largest amount of an order within the limit: 100.00.
const AMOUNT_MAX: u64 = 10_000;
/// Every customer whose number is divisible by this is contended.
const CONTENDED_EVERY: usize = 4;

/// The limits and orders of a load run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Credit limit of each customer.
    pub(crate) limits: Vec<Cents>,
    /// Orders in the order in which they are placed.
    pub(crate) orders: Vec<PlannedOrder>,
}

/// One order to place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PlannedOrder {
    /// Index into [`Plan::limits`].
    pub(crate) customer: usize,
    /// Amount of the order.
    pub(crate) total: Cents,
    /// The state that it must reach; None if that depends on the order of arrival.
    pub(crate) expected: Option<OrderState>,
}

impl Plan {
    /// Draws a plan: `orders` spread evenly over `customers`, about `beyond_per_million` of them
    /// beyond the limit. No customers means no orders.
    pub(crate) fn draw(
        customers: usize,
        orders: usize,
        beyond_per_million: u64,
        seed: u64,
    ) -> Self {
        let mut draw = Draw {
            random: Rng::with_seed(seed),
            beyond_per_million,
            orders: Vec::with_capacity(orders),
        };
        let mut limits = Vec::with_capacity(customers);
        for customer in 0..customers {
            let count = orders / customers + usize::from(customer < orders % customers);
            let contended = beyond_per_million > 0 && customer.is_multiple_of(CONTENDED_EVERY);
            limits.push(match contended {
                true => draw.contended_customer(customer, count),
                false => draw.certain_customer(customer, count),
            });
        }
        let Draw {
            mut random,
            mut orders,
            ..
        } = draw;
        random.shuffle(&mut orders);
        Self { limits, orders }
    }
}

/// A plan that is being drawn.
struct Draw {
    random: Rng,
    beyond_per_million: u64,
    orders: Vec<PlannedOrder>,
}

impl Draw {
    /// Draws the orders of a customer; returns the limit.
    fn certain_customer(&mut self, customer: usize, count: usize) -> Cents {
        let beyond = (0..count)
            .filter(|_| self.random.u64(..1_000_000) < self.beyond_per_million)
            .count();
        let mut limit = 0;
        for _ in beyond..count {
            let amount = self.amount();
            limit += amount;
            self.plan(customer, amount, Some(OrderState::Approved));
        }
        // Customers with an odd number have no credit to spare.
        if limit == 0 || customer.is_multiple_of(2) {
            limit += self.amount();
        }
        for _ in 0..beyond {
            // Down to a single cent too much, which reveals a rule that rounds.
            let excess = match self.random.u64(..1_000_000) < 500_000 {
                true => 1,
                false => self.amount(),
            };
            self.plan(customer, limit + excess, Some(OrderState::Rejected));
        }
        Cents(limit)
    }

    /// Draws the orders of a customer; returns the limit.
    fn contended_customer(&mut self, customer: usize, count: usize) -> Cents {
        let (mut sum, mut largest) = (0_i64, 1_i64);
        for _ in 0..count {
            let amount = self.amount();
            sum += amount;
            largest = largest.max(amount);
            self.plan(customer, amount, None);
        }
        let within = 1_000_000_u64.saturating_sub(self.beyond_per_million);
        let kept = i128::from(sum) * i128::from(within) / 1_000_000;
        Cents(i64::try_from(kept).unwrap_or(sum).max(largest))
    }

    fn plan(&mut self, customer: usize, cents: i64, expected: Option<OrderState>) {
        let total = Cents(cents);
        self.orders.push(PlannedOrder {
            customer,
            total,
            expected,
        });
    }

    /// An amount in cents.
    fn amount(&mut self) -> i64 {
        i64::try_from(1 + self.random.u64(..AMOUNT_MAX)).unwrap_or(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TENTH: u64 = 100_000;

    fn sums(plan: &Plan, expected: Option<OrderState>) -> Vec<i64> {
        let mut sums = vec![0; plan.limits.len()];
        for order in plan
            .orders
            .iter()
            .filter(|order| order.expected == expected)
        {
            sums[order.customer] += order.total.0;
        }
        sums
    }

    #[test]
    fn orders_to_approve_fit_together_and_orders_to_reject_exceed_the_limit() {
        let plan = Plan::draw(1_000, 20_000, TENTH, 7);
        assert_eq!(plan.orders.len(), 20_000);
        for (sum, limit) in sums(&plan, Some(OrderState::Approved))
            .iter()
            .zip(&plan.limits)
        {
            assert!(*sum <= limit.0);
        }
        for order in &plan.orders {
            let exceeds = order.total > plan.limits[order.customer];
            assert_eq!(
                exceeds,
                order.expected == Some(OrderState::Rejected),
                "{order:?}"
            );
        }
        for (sum, limit) in sums(&plan, None)
            .iter()
            .zip(&plan.limits)
            .step_by(CONTENDED_EVERY)
        {
            assert!(
                *sum > limit.0,
                "contended customers must exceed their limit"
            );
        }
    }

    #[test]
    fn about_a_tenth_is_beyond_and_some_limits_are_used_up() {
        let plan = Plan::draw(1_000, 20_000, TENTH, 7);
        let beyond = plan
            .orders
            .iter()
            .filter(|order| order.expected == Some(OrderState::Rejected))
            .count();
        assert!((1_200..1_800).contains(&beyond), "{beyond} of 15,000");
        let approved = sums(&plan, Some(OrderState::Approved));
        let used_up = approved
            .iter()
            .zip(&plan.limits)
            .filter(|(sum, limit)| **sum == limit.0)
            .count();
        assert!(used_up > 400, "{used_up}");
    }

    #[test]
    fn a_seed_repeats_itself() {
        assert_eq!(Plan::draw(10, 100, TENTH, 3), Plan::draw(10, 100, TENTH, 3));
        assert_ne!(Plan::draw(10, 100, TENTH, 3), Plan::draw(10, 100, TENTH, 4));
    }

    #[test]
    fn nothing_beyond_means_that_all_must_be_approved() {
        let plan = Plan::draw(10, 100, 0, 3);
        assert!(
            plan.orders
                .iter()
                .all(|order| order.expected == Some(OrderState::Approved))
        );
    }
}
