//! The bug, and that nothing else is broken.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use customer_faulty::domain::Account;
use customer_faulty::{CREDIT_ANSWERED, FaultyCustomer, ORDER_CREATED};
use saga_sdk::testing::{contract_problems, given};
use saga_wire::{Money, OrderRecord, OrderState};

fn ann(available: &str) -> Account {
    let money = |text: &str| text.parse::<Money>().unwrap();
    Account {
        name: "Ann".to_owned(),
        credit_limit: money("1000"),
        available: money(available),
    }
}

fn order(amount: &str) -> OrderRecord {
    let text = format!(
        r#"{{"id":1,"state":"PENDING","orderDetails":{{"customerId":7,"orderTotal":{{"amount":{amount}}}}}}}"#
    );
    serde_json::from_str(&text).unwrap()
}

#[test]
fn the_contract_is_in_order() {
    assert_eq!(contract_problems::<FaultyCustomer>(), Vec::<String>::new());
}

#[test]
fn whole_amounts_are_reserved() {
    given::<FaultyCustomer>(ann("1000"))
        .when_event(ORDER_CREATED, &order("300"))
        .state(&ann("700"))
        .published(
            CREDIT_ANSWERED,
            7,
            &order("300").with_state(OrderState::Approved),
        );
}

#[test]
#[should_panic(expected = "an amount is a whole number, not 300.5")]
fn an_amount_with_cents_breaks_it() {
    given::<FaultyCustomer>(ann("1000")).when_event(ORDER_CREATED, &order("300.50"));
}
