//! The rules of orders: each answer in each state, in time and late.

use fulfilment_messages::{
    Cancelled, ORDER_CLOSED, ORDER_PLACED, OrderClosed, OrderPlaced, PAYMENT_ANSWERED,
    PAYMENT_CANCELLED, PAYMENT_REFUNDED, PAYMENT_REQUESTED, PaymentAnswered, PaymentRefunded,
    PaymentRequested, SHIPMENT_ANSWERED, SHIPMENT_CANCELLED, SHIPMENT_REQUESTED, STOCK_ANSWERED,
    ShipmentAnswered, ShipmentRequested, StockAnswered,
};
use fulfilment_orders::domain::{Order, OrderState};
use fulfilment_orders::{
    ALREADY_SHIPPED, DEADLINE, EMPTY_ORDER, Orders, PlaceOrder, Progress, Settings,
};
use saga_sdk::testing::{Scenario, given, given_nothing};
use saga_sdk::{EventType, TimeSpan};
use serde::Serialize;

use OrderState::{
    Approved, Cancelled as CancelledState, Pending, Refunding, Reserved, Shipped, Stopping,
};

const ALL: [OrderState; 7] = [
    Pending,
    Reserved,
    Approved,
    Stopping,
    Refunding,
    Shipped,
    CancelledState,
];

fn order(state: OrderState, reason: Option<&str>) -> Order {
    Order {
        item: "lamp".to_owned(),
        quantity: 2,
        cents: 4_200,
        state,
        reason: reason.map(str::to_owned),
    }
}

fn given_an(state: OrderState) -> Scenario<Orders> {
    given::<Orders>(order(state, None))
        .key(7)
        .time(1_000)
        .settings(&Settings {
            stock_within: TimeSpan::from_secs(1),
            payment_within: TimeSpan::from_secs(2),
            shipment_within: TimeSpan::from_secs(3),
        })
}

fn closed(shipped: bool) -> OrderClosed {
    OrderClosed {
        order: 7,
        item: "lamp".to_owned(),
        shipped,
    }
}

fn shipment_answered(shipped: bool) -> ShipmentAnswered {
    ShipmentAnswered { order: 7, shipped }
}

const CANCELLED: Cancelled = Cancelled { order: 7 };

#[test]
fn an_order_is_placed_and_asks_for_stock() {
    let request = PlaceOrder {
        item: "lamp".to_owned(),
        quantity: 2,
        cents: 4_200,
    };
    let placed = OrderPlaced {
        order: 7,
        item: "lamp".to_owned(),
        quantity: 2,
    };
    given_nothing::<Orders>()
        .key(7)
        .when_command("place-order", &request)
        .state(&order(Pending, None))
        .published(ORDER_PLACED, "lamp", &placed)
        .published_no_more()
        .timer_set(DEADLINE, 60_000, &Pending)
        .replied_pending(&Progress {
            order: 7,
            state: Pending,
            reason: None,
        });
    for (quantity, cents) in [(0, 4_200), (2, 0)] {
        let empty = PlaceOrder {
            quantity,
            cents,
            ..request.clone()
        };
        given_nothing::<Orders>()
            .when_command("place-order", &empty)
            .refused(EMPTY_ORDER);
    }
}

#[test]
fn each_answer_leads_to_the_next_request_with_its_own_deadline() {
    given_an(Pending)
        .when_event(
            STOCK_ANSWERED,
            &StockAnswered {
                order: 7,
                reserved: true,
            },
        )
        .state(&order(Reserved, None))
        .published(
            PAYMENT_REQUESTED,
            7,
            &PaymentRequested {
                order: 7,
                cents: 4_200,
            },
        )
        .published_no_more()
        .timer_set(DEADLINE, 3_000, &Reserved)
        .and_then()
        .when_event(
            PAYMENT_ANSWERED,
            &PaymentAnswered {
                order: 7,
                paid: true,
            },
        )
        .state(&order(Approved, None))
        .published(
            SHIPMENT_REQUESTED,
            7,
            &ShipmentRequested {
                order: 7,
                item: "lamp".to_owned(),
                quantity: 2,
            },
        )
        .published_no_more()
        .timer_set(DEADLINE, 4_000, &Approved)
        .and_then()
        .when_event(SHIPMENT_ANSWERED, &shipment_answered(true))
        .state(&order(Shipped, None))
        .published(ORDER_CLOSED, "lamp", &closed(true))
        .published_no_more()
        .timer_cancelled(DEADLINE);
}

#[test]
fn without_stock_there_is_nothing_to_undo() {
    given_an(Pending)
        .when_event(
            STOCK_ANSWERED,
            &StockAnswered {
                order: 7,
                reserved: false,
            },
        )
        .state(&order(CancelledState, Some("there is not enough stock")))
        .published_no_more()
        .timer_cancelled(DEADLINE);
}

#[test]
fn a_declined_payment_releases_the_stock() {
    given_an(Reserved)
        .when_event(
            PAYMENT_ANSWERED,
            &PaymentAnswered {
                order: 7,
                paid: false,
            },
        )
        .state(&order(CancelledState, Some("the payment was declined")))
        .published(ORDER_CLOSED, "lamp", &closed(false))
        .published_no_more();
}

#[test]
fn a_client_cancels_what_was_done_so_far() {
    let why = Some("a client cancelled it");
    given_an(Pending)
        .when_command("cancel-order", &())
        .state(&order(CancelledState, why))
        .published(ORDER_CLOSED, "lamp", &closed(false))
        .published_no_more()
        .replied(&Progress {
            order: 7,
            state: CancelledState,
            reason: why.map(str::to_owned),
        });
    given_an(Reserved)
        .when_command("cancel-order", &())
        .state(&order(Refunding, why))
        .published(PAYMENT_CANCELLED, 7, &CANCELLED)
        .published(ORDER_CLOSED, "lamp", &closed(false))
        .published_no_more()
        .replied_pending(&Progress {
            order: 7,
            state: Refunding,
            reason: why.map(str::to_owned),
        });
    given_an(Approved)
        .when_command("cancel-order", &())
        .state(&order(Stopping, why))
        .published(SHIPMENT_CANCELLED, 7, &CANCELLED)
        .published_no_more();
    given_an(Shipped)
        .when_command("cancel-order", &())
        .refused(ALREADY_SHIPPED);
    for state in [Stopping, Refunding, CancelledState] {
        given_an(state)
            .when_command("cancel-order", &())
            .unchanged()
            .published_no_more();
    }
}

#[test]
fn a_deadline_gives_up_what_waits_and_nothing_else() {
    for (state, reason, next) in [
        (
            Pending,
            "the inventory did not answer in time",
            CancelledState,
        ),
        (Reserved, "the payment took too long", Refunding),
        (Approved, "the shipment took too long", Stopping),
    ] {
        given_an(state)
            .when_timer(DEADLINE, &state)
            .state(&order(next, Some(reason)));
        for other in ALL.into_iter().filter(|other| *other != state) {
            given_an(other)
                .when_timer(DEADLINE, &state)
                .unchanged()
                .published_no_more();
        }
    }
}

#[test]
fn a_stopped_shipment_is_refunded_and_one_that_left_is_not() {
    given_an(Stopping)
        .when_event(SHIPMENT_ANSWERED, &shipment_answered(false))
        .state(&order(Refunding, None))
        .published(PAYMENT_CANCELLED, 7, &CANCELLED)
        .published(ORDER_CLOSED, "lamp", &closed(false))
        .published_no_more()
        .and_then()
        .when_event(PAYMENT_REFUNDED, &PaymentRefunded { order: 7 })
        .state(&order(CancelledState, None))
        .published_no_more();
    given_an(Stopping)
        .when_event(SHIPMENT_ANSWERED, &shipment_answered(true))
        .state(&order(Shipped, None))
        .published(ORDER_CLOSED, "lamp", &closed(true));
}

/// An answer changes nothing in any state but those that wait for it.
#[track_caller]
fn only_waited_for_in<B: Serialize>(states: &[OrderState], event: EventType<B>, answer: &B) {
    for state in ALL.into_iter().filter(|state| !states.contains(state)) {
        given_an(state)
            .when_event(event, answer)
            .unchanged()
            .published_no_more();
    }
}

#[test]
fn late_and_repeated_answers_change_nothing() {
    let order = 7;
    let reserved = StockAnswered {
        order,
        reserved: true,
    };
    only_waited_for_in(&[Pending], STOCK_ANSWERED, &reserved);
    let paid = PaymentAnswered { order, paid: true };
    only_waited_for_in(&[Reserved], PAYMENT_ANSWERED, &paid);
    only_waited_for_in(&[Refunding], PAYMENT_REFUNDED, &PaymentRefunded { order });
    let shipped = ShipmentAnswered {
        order,
        shipped: true,
    };
    only_waited_for_in(&[Approved, Stopping], SHIPMENT_ANSWERED, &shipped);
}

#[test]
fn an_answer_for_no_order_is_malformed() {
    given_nothing::<Orders>()
        .key(7)
        .when_event(
            STOCK_ANSWERED,
            &StockAnswered {
                order: 7,
                reserved: true,
            },
        )
        .malformed("there is no order 7");
}
