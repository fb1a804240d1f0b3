//! The rules of shipments.

use fulfilment_messages::{
    Cancelled, SHIPMENT_ANSWERED, SHIPMENT_CANCELLED, SHIPMENT_REQUESTED, ShipmentAnswered,
    ShipmentRequested,
};
use fulfilment_shipping::{STOPPED, Shipment, ShipmentState, ShipmentView, Shipping};
use saga_sdk::testing::{Scenario, given, given_nothing};

fn shipment(state: ShipmentState) -> Shipment {
    Shipment {
        item: "lamp".to_owned(),
        quantity: 2,
        state,
    }
}

fn given_a(state: ShipmentState) -> Scenario<Shipping> {
    given::<Shipping>(shipment(state)).key(7)
}

fn answer(shipped: bool) -> ShipmentAnswered {
    ShipmentAnswered { order: 7, shipped }
}

#[test]
fn a_shipment_is_requested_and_dispatched_once() {
    let request = ShipmentRequested {
        order: 7,
        item: "lamp".to_owned(),
        quantity: 2,
    };
    let dispatched = ShipmentView {
        order: 7,
        shipment: shipment(ShipmentState::Dispatched),
    };
    given_nothing::<Shipping>()
        .key(7)
        .when_event(SHIPMENT_REQUESTED, &request)
        .state(&shipment(ShipmentState::Requested))
        .published_no_more()
        .and_then()
        .when_event(SHIPMENT_REQUESTED, &request)
        .unchanged()
        .and_then()
        .when_command("dispatch", &())
        .published(SHIPMENT_ANSWERED, 7, &answer(true))
        .replied(&dispatched)
        .and_then()
        .when_command("dispatch", &())
        .unchanged()
        .published_no_more()
        .replied(&dispatched);
}

#[test]
fn a_cancellation_in_time_stops_it() {
    given_a(ShipmentState::Requested)
        .when_event(SHIPMENT_CANCELLED, &Cancelled { order: 7 })
        .state(&shipment(ShipmentState::Stopped))
        .published(SHIPMENT_ANSWERED, 7, &answer(false))
        .and_then()
        .when_command("dispatch", &())
        .refused(STOPPED);
}

#[test]
fn a_cancellation_that_comes_late_changes_nothing() {
    for state in [ShipmentState::Dispatched, ShipmentState::Stopped] {
        given_a(state)
            .when_event(SHIPMENT_CANCELLED, &Cancelled { order: 7 })
            .unchanged()
            .published_no_more();
    }
    given_nothing::<Shipping>()
        .when_event(SHIPMENT_CANCELLED, &Cancelled { order: 7 })
        .malformed("there is no shipment of order 7");
}
