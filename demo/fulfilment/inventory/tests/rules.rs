//! The rules of the stock.

use std::collections::BTreeMap;

use fulfilment_inventory::{Delivery, Inventory, Item, NOTHING_DELIVERED, TOO_MANY};
use fulfilment_messages::{
    ORDER_CLOSED, ORDER_PLACED, OrderClosed, OrderPlaced, STOCK_ANSWERED, StockAnswered,
};
use saga_sdk::testing::{given, given_nothing};

fn item(free: u32, reserved: &[(u64, u32)], shipped: u32) -> Item {
    Item {
        free,
        reserved: BTreeMap::from_iter(reserved.iter().copied()),
        shipped,
    }
}

fn placed(order: u64, quantity: u32) -> OrderPlaced {
    OrderPlaced {
        order,
        item: "lamp".to_owned(),
        quantity,
    }
}

fn closed(order: u64, shipped: bool) -> OrderClosed {
    OrderClosed {
        order,
        item: "lamp".to_owned(),
        shipped,
    }
}

#[test]
fn deliveries_add_up() {
    given_nothing::<Inventory>()
        .key("lamp")
        .when_command("deliver", &Delivery { quantity: 3 })
        .state(&item(3, &[], 0))
        .and_then()
        .when_command("deliver", &Delivery { quantity: 2 })
        .replied(&item(5, &[], 0));
    given_nothing::<Inventory>()
        .key("lamp")
        .when_command("deliver", &Delivery { quantity: 0 })
        .refused(NOTHING_DELIVERED);
}

#[test]
fn pieces_that_could_not_be_counted_are_refused() {
    // Those that are reserved may be free again, or leave.
    let nearly = item(1, &[(1, 2)], u32::MAX - 4);
    given::<Inventory>(nearly.clone())
        .key("lamp")
        .when_command("deliver", &Delivery { quantity: 1 })
        .replied(&item(2, &[(1, 2)], u32::MAX - 4));
    given::<Inventory>(nearly)
        .key("lamp")
        .when_command("deliver", &Delivery { quantity: 2 })
        .refused(TOO_MANY)
        .refused_at("/quantity");
}

#[test]
fn stock_is_reserved_as_long_as_there_is_enough() {
    given::<Inventory>(item(3, &[], 0))
        .when_event(ORDER_PLACED, &placed(1, 3))
        .state(&item(0, &[(1, 3)], 0))
        .published(
            STOCK_ANSWERED,
            1,
            &StockAnswered {
                order: 1,
                reserved: true,
            },
        )
        .and_then()
        .when_event(ORDER_PLACED, &placed(2, 1))
        .unchanged()
        .published(
            STOCK_ANSWERED,
            2,
            &StockAnswered {
                order: 2,
                reserved: false,
            },
        );
    given_nothing::<Inventory>()
        .when_event(ORDER_PLACED, &placed(1, 1))
        .published(
            STOCK_ANSWERED,
            1,
            &StockAnswered {
                order: 1,
                reserved: false,
            },
        );
}

#[test]
fn a_second_request_of_an_order_reserves_nothing_more() {
    given::<Inventory>(item(3, &[(1, 2)], 0))
        .when_event(ORDER_PLACED, &placed(1, 2))
        .unchanged()
        .published(
            STOCK_ANSWERED,
            1,
            &StockAnswered {
                order: 1,
                reserved: true,
            },
        );
}

#[test]
fn a_reservation_leaves_or_is_free_again_once() {
    given::<Inventory>(item(1, &[(1, 2), (2, 1)], 0))
        .when_event(ORDER_CLOSED, &closed(1, true))
        .state(&item(1, &[(2, 1)], 2))
        .and_then()
        .when_event(ORDER_CLOSED, &closed(2, false))
        .state(&item(2, &[], 2))
        .and_then()
        .when_event(ORDER_CLOSED, &closed(2, false))
        .unchanged()
        .published_no_more();
}
