//! What a limit on single orders would change, calculated from what a client saw: no rule, no
//! component and no store is asked.
//!
//! Owns: the record of a run, and the calculation. A customer's orders were placed one after the
//! other, so their order is that of the decisions.
//!
//! Must not know: hosts, the output of `saga replay`.

use std::collections::BTreeSet;

use saga_demo_client::cents::Cents;

/// A customer, and all orders, as a client saw them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CustomerRecord {
    /// Id of the customer.
    pub(crate) id: i64,
    /// Credit limit.
    pub(crate) limit: Cents,
    /// Orders as they were placed, each after the answer to the one before.
    pub(crate) orders: Vec<OrderRecord>,
    /// Credit left at the end.
    pub(crate) left: Cents,
}

/// An order, as a client saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OrderRecord {
    /// Id of the order.
    pub(crate) id: i64,
    /// Its amount.
    pub(crate) total: Cents,
    /// True if it was approved, false if it was rejected.
    pub(crate) is_approved: bool,
}

/// What the limit would change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Predicted {
    /// Orders that were approved and would be rejected.
    pub(crate) rejected: BTreeSet<i64>,
    /// Orders that were rejected and would be approved.
    pub(crate) approved: BTreeSet<i64>,
    /// Orders that are approved either way, but leave another credit.
    pub(crate) other_credit: usize,
}

impl Predicted {
    /// Number of decisions that would be others.
    pub(crate) fn changed(&self) -> usize {
        self.rejected.len() + self.approved.len() + self.other_credit
    }

    fn extend(&mut self, other: Self) {
        self.rejected.extend(other.rejected);
        self.approved.extend(other.approved);
        self.other_credit += other.other_credit;
    }
}

/// What changes if each order is decided on the credit that was left then.
pub(crate) fn recorded(customers: &[CustomerRecord], largest: Cents) -> Predicted {
    let orders = customers.iter().flat_map(|customer| &customer.orders);
    let beyond = orders.filter(|order| order.is_approved && order.total > largest);
    Predicted {
        rejected: beyond.map(|order| order.id).collect(),
        ..Predicted::default()
    }
}

/// What changes if the limit had held from the start.
pub(crate) fn counterfactual(customers: &[CustomerRecord], largest: Cents) -> Predicted {
    let mut predicted = Predicted::default();
    for customer in customers {
        predicted.extend(of_customer(customer, largest));
    }
    predicted
}

/// The same for one customer.
pub(crate) fn of_customer(customer: &CustomerRecord, largest: Cents) -> Predicted {
    let mut predicted = Predicted::default();
    let mut was_left = customer.limit;
    for (order, (is_approved, left)) in customer.orders.iter().zip(decided(customer, largest)) {
        if order.is_approved {
            was_left = Cents(was_left.0 - order.total.0);
        }
        match (order.is_approved, is_approved) {
            (true, false) => _ = predicted.rejected.insert(order.id),
            (false, true) => _ = predicted.approved.insert(order.id),
            (true, true) => predicted.other_credit += usize::from(was_left != left),
            (false, false) => {}
        }
    }
    predicted
}

/// The decision on each order, with the credit that is left then, if no order above `largest` is
/// approved.
pub(crate) fn decided(
    customer: &CustomerRecord,
    largest: Cents,
) -> impl Iterator<Item = (bool, Cents)> {
    let orders = customer.orders.iter();
    orders.scan(customer.limit, move |left, order| {
        let is_approved = order.total <= *left && order.total <= largest;
        if is_approved {
            *left = Cents(left.0 - order.total.0);
        }
        Some((is_approved, *left))
    })
}

/// The ways in which the answers of a run differ from those that rules with this limit give.
pub(crate) fn violations(customers: &[CustomerRecord], largest: Cents) -> Vec<String> {
    let mut found = Vec::new();
    for customer in customers {
        let mut left = customer.limit;
        for (order, (is_approved, then)) in customer.orders.iter().zip(decided(customer, largest)) {
            left = then;
            if order.is_approved != is_approved {
                found.push(format!(
                    "order {} over {} of customer {}: approved is {}, must be {is_approved}",
                    order.id, order.total, customer.id, order.is_approved
                ));
            }
        }
        if left != customer.left {
            found.push(format!(
                "customer {}: {} is left, must be {left}",
                customer.id, customer.left
            ));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn customer(limit: i64, orders: &[(i64, bool)], left: i64) -> CustomerRecord {
        let orders = (1..)
            .zip(orders)
            .map(|(id, (total, is_approved))| OrderRecord {
                id,
                total: Cents(*total),
                is_approved: *is_approved,
            });
        CustomerRecord {
            id: 1,
            limit: Cents(limit),
            orders: orders.collect(),
            left: Cents(left),
        }
    }

    #[test]
    fn an_order_beyond_the_limit_leaves_room_for_a_later_one() {
        let orders = [(10, true), (70, true), (30, false), (20, true), (90, false)];
        let all = [customer(100, &orders, 0)];
        assert_eq!(violations(&all, Cents(i64::MAX)), [""; 0]);
        let ids = |ids: &[i64]| ids.iter().copied().collect::<BTreeSet<_>>();
        let on_recorded = recorded(&all, Cents(50));
        assert_eq!(
            (&on_recorded.rejected, on_recorded.changed()),
            (&ids(&[2]), 1)
        );
        let from_the_start = counterfactual(&all, Cents(50));
        assert_eq!(from_the_start.rejected, ids(&[2]));
        assert_eq!(from_the_start.approved, ids(&[3]));
        assert_eq!(
            (from_the_start.other_credit, from_the_start.changed()),
            (1, 3)
        );
    }

    #[test]
    fn a_wrong_answer_and_a_wrong_credit_are_named() {
        let all = [customer(100, &[(60, true), (50, true)], 30)];
        let found = violations(&all, Cents(i64::MAX));
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("order 2 over ") && found[1].starts_with("customer 1: "));
    }
}
