//! The whole Customer/Order saga under many seeds, with a swap of the customer's rules for these at any moment.

#![allow(clippy::restriction, reason = "a test fails by panicking")]

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use customer::Customer;
use customer::messages::{CreditLimit, Register, Registered};
use customer_cautious::CautiousCustomer;
use order::OrderService;
use order::messages::{OrderTotal, PlaceOrder, Placed};
use saga_sdk::testing::together::{World, together};
use saga_wire::{Money, OrderState};

fn story(world: &mut World) {
    let mut customers = Vec::new();
    for name in ["Ann", "Bob"] {
        let limit = Money::whole(u32::try_from(world.pick(0..30_000)).unwrap());
        let registration = Register {
            name: name.to_owned(),
            credit_limit: CreditLimit {
                amount: limit.into(),
            },
        };
        let registered = world.send::<Customer>("register-customer", &registration);
        let registered: Registered = registered.reply();
        customers.push(registered.customer_id.cast_signed());
    }
    customers.push(404); // whom nobody knows
    let mut orders = Vec::new();
    for _ in 0..world.pick(1..8) {
        let amount = Money::whole(u32::try_from(world.pick(1..15_000)).unwrap());
        let order = PlaceOrder {
            customer_id: *world.one_of(&customers),
            order_total: OrderTotal {
                amount: amount.into(),
            },
        };
        let placed: Placed = world.send::<OrderService>("place-order", &order).reply();
        orders.push(placed.order_id);
        if world.chance(1, 3) {
            let order = *world.one_of(&orders);
            world.send_to::<OrderService>(order, "cancel-order", &());
        }
    }
    world.settle();
}

#[test]
fn credit_is_reserved_for_approved_orders_and_for_no_others() {
    let ends = RefCell::new(BTreeSet::<String>::new());
    together()
        .with::<OrderService>()
        .with::<Customer>()
        .swaps_to::<CautiousCustomer>()
        .check(1_000, |world| {
            story(world);
            let mut reserved = BTreeMap::<i64, Money>::new();
            for (number, order) in world.states::<OrderService>() {
                assert!(
                    order.state != OrderState::Pending,
                    "order {number} is pending for ever"
                );
                if order.state == OrderState::Approved {
                    let sum = reserved.entry(order.customer_id).or_default();
                    *sum = sum.checked_add(order.order_total).unwrap();
                }
                let end = format!("{:?} {:?}", order.state, order.credit);
                ends.borrow_mut().insert(end);
            }
            for (number, account) in world.states::<CautiousCustomer>() {
                let reserved = reserved.get(&number).copied().unwrap_or_default();
                let taken = account.credit_limit.checked_sub(account.available);
                assert_eq!(taken, Some(reserved), "customer {number}");
            }
        });
    let ends: Vec<_> = ends.into_inner().into_iter().collect();
    let all = [
        "Approved Reserved",
        "Cancelled Refused",
        "Cancelled Released",
        "Rejected Refused",
        "Rejected Released",
    ];
    assert!(
        ends == all || std::env::var("SAGA_SEED").is_ok(),
        "{ends:?}"
    );
}
