//! The decisions of the cautious build that differ, as given/when/then, and a check that no others
//! do.

#![allow(clippy::restriction, reason = "a test fails by panicking")]

use customer::Customer;
use customer_cautious::domain::Account;
use customer_cautious::messages::{CreditLeft, Registered};
use customer_cautious::{CREDIT_ANSWERED, CautiousCustomer, ORDER_CREATED};
use saga_sdk::native::{Description, Rules};
use saga_sdk::testing::{contract_problems, given, given_nothing};
use saga_wire::{Money, OrderRecord, OrderState};

const CUSTOMER: i64 = 7;

fn money(text: &str) -> Money {
    text.parse().unwrap()
}

fn ann(available: &str) -> Account {
    Account {
        name: "Ann".to_owned(),
        credit_limit: money("100000"),
        available: money(available),
    }
}

fn order(amount: &str) -> OrderRecord {
    let text = format!(
        r#"{{"id":1,"state":"PENDING","orderDetails":{{"customerId":{CUSTOMER},"orderTotal":{{"amount":{amount}}}}}}}"#
    );
    serde_json::from_str(&text).unwrap()
}

/// The order is rejected, and no credit is reserved.
#[track_caller]
fn rejects(available: &str, amount: &str) {
    given::<CautiousCustomer>(ann(available))
        .when_event(ORDER_CREATED, &order(amount))
        .unchanged()
        .published(
            CREDIT_ANSWERED,
            CUSTOMER,
            &order(amount).with_state(OrderState::Rejected),
        )
        .published_no_more();
}

#[test]
fn the_contract_is_in_order() {
    assert_eq!(
        contract_problems::<CautiousCustomer>(),
        Vec::<String>::new()
    );
}

#[test]
fn the_description_differs_only_in_the_version() {
    let present = Rules::<Customer>::new().describe();
    let cautious = Rules::<CautiousCustomer>::new().describe();
    assert_ne!(present.version, cautious.version);
    let expected = Description {
        version: cautious.version.clone(),
        ..present
    };
    assert_eq!(cautious, expected);
}

#[test]
fn a_customer_registers_and_is_shown_with_what_is_left() {
    given_nothing::<CautiousCustomer>()
        .key(CUSTOMER)
        .when_command_json(
            "register-customer",
            r#"{"name":"Ann","creditLimit":{"amount":100000}}"#,
        )
        .state(&ann("100000"))
        .replied(&Registered {
            customer_id: 7,
            name: "Ann".to_owned(),
            amount: money("100000"),
        });
    given::<CautiousCustomer>(ann("90000"))
        .key(CUSTOMER)
        .when_command("get-customer", &())
        .replied(&CreditLeft {
            id: 7,
            name: "Ann".to_owned(),
            credit_limit: money("90000"),
        });
}

#[test]
fn an_order_above_the_cap_is_rejected_though_the_credit_would_do() {
    rejects("100000", "20000");
    rejects("100000", "10000.01");
}

#[test]
fn an_order_at_the_cap_takes_its_amount_from_the_credit() {
    given::<CautiousCustomer>(ann("100000"))
        .when_event(ORDER_CREATED, &order("10000"))
        .state(&ann("90000"))
        .published(
            CREDIT_ANSWERED,
            CUSTOMER,
            &order("10000").with_state(OrderState::Approved),
        )
        .published_no_more();
}

#[test]
fn orders_beyond_the_credit_are_still_rejected() {
    rejects("5", "5.01");
    rejects("100000", "-1");
    given_nothing::<CautiousCustomer>()
        .when_event(ORDER_CREATED, &order("20000"))
        .unchanged()
        .published(
            CREDIT_ANSWERED,
            CUSTOMER,
            &order("20000").with_state(OrderState::Rejected),
        )
        .published_no_more();
}

#[test]
fn a_large_order_that_is_not_pending_is_malformed() {
    given::<CautiousCustomer>(ann("100000"))
        .when_event(
            ORDER_CREATED,
            &order("20000").with_state(OrderState::Approved),
        )
        .malformed("not PENDING");
}
