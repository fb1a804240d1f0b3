//! The whole saga of four participants, with a gateway, a warehouse and clients, under many seeds.

#![allow(clippy::restriction, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::time::Instant;

use fulfilment_gateway::fake::{FakeGateway, MOST_CENTS, Trouble};
use fulfilment_gateway::{key_of, perform};
use fulfilment_inventory::{Delivery, Inventory};
use fulfilment_messages::{
    PAYMENT_ANSWERED, PAYMENT_REQUESTED, SHIPMENT_REQUESTED, STOCK_ANSWERED,
};
use fulfilment_orders::domain::OrderState;
use fulfilment_orders::{Orders, PlaceOrder, Progress};
use fulfilment_payments::{PaymentState, PaymentView, Payments, Report};
use fulfilment_shipping::{STOPPED, ShipmentState, Shipping};
use saga_sdk::testing::together::{Together, World, together};

const ITEMS: [&str; 2] = ["lamp", "table"];
/// Pieces of each item that were delivered.
const DELIVERED: u32 = 6;

/// The adapter and its gateway, which lose calls, answers and reports, are slow, and repeat reports.
#[derive(Default)]
struct Adapter {
    gateway: FakeGateway,
    /// Reports that come later: again, or after they are outdated.
    later: Vec<(u64, Report)>,
}

impl Adapter {
    fn act(&mut self, world: &mut World) -> bool {
        let to_do: Vec<PaymentView> = payments(world)
            .filter(|payment| {
                matches!(
                    payment.state,
                    PaymentState::Requested | PaymentState::Refunding
                )
            })
            .collect();
        if !to_do.is_empty() && world.chance(1, 2) {
            let payment = world.one_of(&to_do).clone();
            let trouble = [Trouble::None, Trouble::CallLost, Trouble::AnswerLost];
            let trouble = *world.one_of(&trouble);
            self.gateway.goes(vec![trouble]);
            if let Some(report) = perform(&payment, &mut self.gateway) {
                if world.chance(1, 2) {
                    self.later.push((payment.order, report.clone()));
                }
                if world.chance(2, 3) {
                    send_report(world, payment.order, &report);
                }
            }
        } else if !self.later.is_empty() {
            let place = world.pick(0..self.later.len() as u64);
            let (order, report) = self.later.swap_remove(usize::try_from(place).unwrap());
            send_report(world, order, &report);
        }
        !to_do.is_empty() || !self.later.is_empty()
    }
}

fn payments(world: &World) -> impl Iterator<Item = PaymentView> {
    let states = world.states::<Payments>().into_iter();
    states.map(|(order, payment)| PaymentView {
        order,
        cents: payment.cents,
        state: payment.state,
    })
}

/// A report that contradicts what is known is never sent by this gateway, however late it is.
fn send_report(world: &mut World, order: u64, report: &Report) {
    let answer = world.send_to::<Payments>(order, "report", report);
    assert!(
        answer.is_done(),
        "{report:?} of order {order}: {:?}",
        answer.problem()
    );
}

/// People who dispatch most shipments, and forget some.
#[derive(Default)]
struct Warehouse {
    forgotten: BTreeSet<u64>,
}

impl Warehouse {
    fn act(&mut self, world: &mut World) -> bool {
        let shipments = world.states::<Shipping>().into_iter();
        let to_do: Vec<u64> = shipments
            .filter(|(order, shipment)| {
                shipment.state == ShipmentState::Requested && !self.forgotten.contains(order)
            })
            .map(|(order, _)| order)
            .collect();
        let Some(order) = to_do.first().copied() else {
            return false;
        };
        if world.chance(1, 5) {
            self.forgotten.insert(order);
        } else {
            let answer = world.send_to::<Shipping>(order, "dispatch", &());
            assert!(
                answer.is_done() || answer.is_refused(STOPPED),
                "{:?}",
                answer.problem()
            );
        }
        true
    }
}

fn fulfilment() -> Together {
    together()
        .with::<Orders>()
        .with::<Inventory>()
        .with::<Payments>()
        .with::<Shipping>()
        // A producer that repeats itself does no harm either.
        .repeats(STOCK_ANSWERED)
        .repeats(PAYMENT_REQUESTED)
        .repeats(PAYMENT_ANSWERED)
        .repeats(SHIPMENT_REQUESTED)
        .outside(Adapter::act)
        .outside(Warehouse::act)
        .always("no piece is made, and none is lost", |world| {
            for (name, item) in world.states::<Inventory>() {
                let reserved: u32 = item.reserved.values().sum();
                assert_eq!(
                    item.free + reserved + item.shipped,
                    DELIVERED,
                    "{name}: {item:?}"
                );
            }
        })
        .always("nothing leaves unpaid", |world| {
            let gateway = &world.outside::<Adapter>().gateway;
            for (order, shipment) in world.states::<Shipping>() {
                if shipment.state == ShipmentState::Dispatched {
                    assert!(
                        gateway.held(&key_of(order)) > 0,
                        "order {order} left without its money"
                    );
                }
            }
        })
        .always(
            "money is held only for orders that may still be shipped, or are refunded",
            |world| {
                let gateway = &world.outside::<Adapter>().gateway;
                for (order, state) in world.states::<Orders>() {
                    let is_held = gateway.held(&key_of(order)) > 0;
                    assert!(
                        !is_held || state.state != OrderState::Cancelled,
                        "order {order}: {state:?}"
                    );
                }
            },
        )
}

fn story(world: &mut World) {
    for item in ITEMS {
        let delivery = Delivery {
            quantity: DELIVERED,
        };
        assert!(
            world
                .send_to::<Inventory>(item, "deliver", &delivery)
                .is_done()
        );
    }
    let mut placed = Vec::new();
    for _ in 0..world.pick(1..6) {
        let order = PlaceOrder {
            item: (*world.one_of(&ITEMS)).to_owned(),
            quantity: u32::try_from(world.pick(1..5)).unwrap(),
            cents: world.pick(1..MOST_CENTS * 5 / 4),
        };
        let progress: Progress = world.send::<Orders>("place-order", &order).reply();
        placed.push(progress.order);
        if world.chance(1, 3) {
            let steps = world.pick(0..20);
            world.run(steps);
            let order = *world.one_of(&placed);
            world.send_to::<Orders>(order, "cancel-order", &());
        }
    }
    world.settle();
}

/// The invariants at the end, when nothing is left to happen.
fn check_books(world: &World) {
    let gateway = &world.outside::<Adapter>().gateway;
    let (mut due, mut shipped) = (0, 0);
    for (number, order) in world.states::<Orders>() {
        match order.state {
            OrderState::Shipped => {
                due += order.cents;
                shipped += order.quantity;
                assert_eq!(gateway.held(&key_of(number)), order.cents);
            }
            OrderState::Cancelled => assert!(order.reason.is_some(), "order {number}"),
            pending => panic!("order {number} is {pending:?} for ever"),
        }
    }
    assert_eq!(gateway.balance(), due, "money");
    let items = world.states::<Inventory>();
    assert!(
        items.iter().all(|(_, item)| item.reserved.is_empty()),
        "{items:?}"
    );
    assert_eq!(
        items.iter().map(|(_, item)| item.shipped).sum::<u32>(),
        shipped,
        "stock"
    );
}

#[test]
fn every_order_is_shipped_and_paid_or_undone_under_1000_seeds() {
    let start = Instant::now();
    let ends = std::cell::RefCell::new(BTreeSet::new());
    fulfilment().check(1_000, |world| {
        story(world);
        check_books(world);
        for (_, order) in world.states::<Orders>() {
            ends.borrow_mut()
                .insert((format!("{:?}", order.state), order.reason));
        }
    });
    println!("1,000 seeds took {:?}", start.elapsed());
    // Every end was reached, so every way was gone.
    let ends = ends.into_inner();
    for reason in [
        "there is not enough stock",
        "the payment was declined",
        "a client cancelled it",
        "the inventory did not answer in time",
        "the payment took too long",
        "the shipment took too long",
    ] {
        let end = ("Cancelled".to_owned(), Some(reason.to_owned()));
        assert!(
            ends.contains(&end) || std::env::var("SAGA_SEED").is_ok(),
            "{reason}: {ends:?}"
        );
    }
}
