//! The customer service's rules, given/when/then.

#![allow(clippy::restriction, reason = "a test fails by panicking")]

use customer::domain::Account;
use customer::messages::{CreditLeft, Registered};
use customer::{CREDIT_ANSWERED, Customer, INVALID_CREDIT_LIMIT, ORDER_CANCELLED, ORDER_CREATED};
use saga_sdk::testing::{Scenario, contract_problems, given, given_nothing};
use saga_wire::{Money, OrderRecord, OrderState};

const CUSTOMER: i64 = 7;

fn money(text: &str) -> Money {
    text.parse().unwrap()
}

fn account(limit: &str, available: &str) -> Account {
    Account {
        name: "Ann".to_owned(),
        credit_limit: money(limit),
        available: money(available),
    }
}

/// The record that the order service sends; `amount` as it stands in the JSON text.
fn order(id: i64, amount: &str) -> OrderRecord {
    let text = format!(
        r#"{{"id":{id},"state":"PENDING","orderDetails":{{"customerId":{CUSTOMER},"orderTotal":{{"amount":{amount}}}}}}}"#
    );
    serde_json::from_str(&text).unwrap()
}

fn approved(order: OrderRecord) -> OrderRecord {
    order.with_state(OrderState::Approved)
}

fn rejected(order: OrderRecord) -> OrderRecord {
    order.with_state(OrderState::Rejected)
}

fn register(limit: &str) -> String {
    format!(r#"{{"name":"Ann","creditLimit":{{"amount":{limit}}}}}"#)
}

/// One order that is approved and leaves this much credit.
#[track_caller]
fn approves(scenario: Scenario<Customer>, amount: &str, left: &Account) -> Scenario<Customer> {
    scenario
        .when_event(ORDER_CREATED, &order(1, amount))
        .state(left)
        .published(CREDIT_ANSWERED, CUSTOMER, &approved(order(1, amount)))
        .published_no_more()
        .no_timers()
        .and_then()
}

/// One order that is rejected and leaves the state as it is.
#[track_caller]
fn rejects(scenario: Scenario<Customer>, amount: &str) -> Scenario<Customer> {
    scenario
        .when_event(ORDER_CREATED, &order(1, amount))
        .unchanged()
        .published(CREDIT_ANSWERED, CUSTOMER, &rejected(order(1, amount)))
        .published_no_more()
        .no_timers()
        .and_then()
}

#[test]
fn the_contract_is_in_order() {
    assert_eq!(contract_problems::<Customer>(), Vec::<String>::new());
}

#[test]
fn a_customer_registers_with_all_of_the_limit_left() {
    let registered = Registered {
        customer_id: 7,
        name: "Ann".to_owned(),
        amount: money("1000"),
    };
    for limit in ["1000", "1000.00", "1e3"] {
        given_nothing::<Customer>()
            .key(CUSTOMER)
            .when_command_json("register-customer", &register(limit))
            .state(&account("1000", "1000"))
            .published_no_more()
            .replied(&registered);
    }
    assert_eq!(
        serde_json::to_string(&registered).unwrap(),
        r#"{"customerId":7,"name":"Ann","amount":1000}"#
    );
}

#[test]
fn a_limit_of_zero_is_legal() {
    let registered = given_nothing::<Customer>()
        .key(CUSTOMER)
        .when_command_json("register-customer", &register("0"))
        .state(&account("0", "0"))
        .and_then();
    rejects(registered, "0.01");
}

#[test]
fn a_limit_that_is_no_money_is_refused() {
    for limit in ["0.001", "-1", "1e17", "123456789012345678901234567890"] {
        given_nothing::<Customer>()
            .when_command_json("register-customer", &register(limit))
            .refused(INVALID_CREDIT_LIMIT)
            .refused_at("/creditLimit/amount");
    }
}

#[test]
fn what_more_a_client_sends_is_read_past() {
    given_nothing::<Customer>()
        .key(CUSTOMER)
        .when_command_json(
            "register-customer",
            r#"{"name":"Ann","vip":true,"creditLimit":{"amount":5,"currency":"KRW"}}"#,
        )
        .state(&account("5", "5"));
}

#[test]
fn a_body_of_another_shape_is_malformed_and_says_where() {
    given_nothing::<Customer>()
        .when_command_json(
            "register-customer",
            r#"{"name":"Ann","creditLimit":{"amount":"5"}}"#,
        )
        .malformed("in /creditLimit/amount");
}

#[test]
fn a_customer_is_shown_with_what_is_left() {
    let left = CreditLeft {
        id: 7,
        name: "Ann".to_owned(),
        credit_limit: money("700"),
    };
    given::<Customer>(account("1000", "700"))
        .key(CUSTOMER)
        .when_command("get-customer", &())
        .unchanged()
        .replied(&left);
    assert_eq!(
        serde_json::to_string(&left).unwrap(),
        r#"{"id":7,"name":"Ann","creditLimit":700}"#
    );
}

#[test]
fn a_customer_that_does_not_exist_is_not_found() {
    given_nothing::<Customer>()
        .when_command("get-customer", &())
        .refused(saga_sdk::NOT_FOUND);
}

#[test]
fn an_order_takes_its_amount_from_the_credit_once() {
    let ann = given::<Customer>(account("1000", "1000"));
    approves(ann, "300", &account("1000", "700"));
}

#[test]
fn credit_may_be_used_up_exactly() {
    let ann = given::<Customer>(account("1000", "1000"));
    let ann = approves(ann, "300", &account("1000", "700"));
    let ann = approves(ann, "700", &account("1000", "0"));
    rejects(ann, "0.01");
}

#[test]
fn an_order_beyond_what_is_left_is_rejected_and_a_smaller_one_still_fits() {
    let ann = given::<Customer>(account("1000", "700"));
    let ann = rejects(ann, "700.01");
    approves(ann, "700", &account("1000", "0"));
}

#[test]
fn no_cent_is_lost() {
    let ann = given::<Customer>(account("10.25", "10.25"));
    let ann = approves(ann, "0.1", &account("10.25", "10.15"));
    let ann = approves(ann, "0.2", &account("10.25", "9.95"));
    approves(ann, "9.95", &account("10.25", "0"));
}

#[test]
fn an_amount_is_the_same_however_it_is_written() {
    for amount in ["300", "300.0", "300.00", "3e2"] {
        let ann = given::<Customer>(account("1000", "1000"));
        approves(ann, amount, &account("1000", "700"));
    }
}

#[test]
fn an_order_without_a_legal_amount_is_rejected() {
    for amount in [
        "0",
        "0.00",
        "-1",
        "0.001",
        "1e17",
        "123456789012345678901234567890",
    ] {
        rejects(given::<Customer>(account("1000", "1000")), amount);
    }
}

#[test]
fn an_order_of_an_unknown_customer_is_rejected_and_makes_no_customer() {
    rejects(given_nothing::<Customer>(), "1");
}

#[test]
fn a_record_that_is_no_pending_order_is_malformed() {
    for record in [approved(order(1, "1")), rejected(order(1, "1"))] {
        given::<Customer>(account("1000", "1000"))
            .when_event(ORDER_CREATED, &record)
            .malformed("not PENDING");
    }
    for text in ["null", "[]", "{}", "{\"id\":1}", "not json"] {
        given::<Customer>(account("1000", "1000"))
            .when_event_json(ORDER_CREATED, text)
            .malformed("the body is not of the expected shape");
    }
}

#[test]
fn an_order_that_is_cancelled_or_came_too_late_gives_its_credit_back() {
    for state in [OrderState::Cancelled, OrderState::Rejected] {
        given::<Customer>(account("1000", "700"))
            .when_event(ORDER_CANCELLED, &order(1, "300").with_state(state))
            .state(&account("1000", "1000"))
            .published_no_more();
    }
}

#[test]
fn no_more_credit_is_given_back_than_is_reserved() {
    let cancelled = |amount| order(1, amount).with_state(OrderState::Cancelled);
    given::<Customer>(account("1000", "700.01"))
        .when_event(ORDER_CANCELLED, &cancelled("300"))
        .malformed("more credit than is reserved");
    given_nothing::<Customer>()
        .when_event(ORDER_CANCELLED, &cancelled("300"))
        .malformed("there is no customer 7");
    given::<Customer>(account("1000", "0"))
        .when_event(ORDER_CANCELLED, &cancelled("-1"))
        .malformed("negative");
}

#[test]
fn an_order_that_holds_no_credit_gives_none_back() {
    for record in [order(1, "300"), approved(order(1, "300"))] {
        given::<Customer>(account("1000", "700"))
            .when_event(ORDER_CANCELLED, &record)
            .malformed("neither CANCELLED nor REJECTED");
    }
}

/// The checks of the host before it calls the rules.
#[test]
fn the_request_schema_says_what_a_schema_can_say() {
    let description = saga_sdk::native::Rules::<Customer>::new().describe();
    let command = description.commands.first().expect("a command");
    let schema = command.request.as_deref().expect("a request schema");
    let schema: serde_json::Value = serde_json::from_str(schema).unwrap();
    for (pointer, expected) in [
        ("/required", r#"["name","creditLimit"]"#),
        ("/properties/name/type", r#""string""#),
        ("/properties/name/minLength", "1"),
        ("/properties/name/maxLength", "200"),
        ("/properties/name/pattern", r#""\\S""#),
        ("/properties/creditLimit/required", r#"["amount"]"#),
        (
            "/properties/creditLimit/properties/amount/type",
            r#""number""#,
        ),
        ("/properties/creditLimit/properties/amount/minimum", "0"),
        (
            "/properties/creditLimit/properties/amount/maximum",
            "90000000000000000",
        ),
    ] {
        let found = schema.pointer(pointer).map(ToString::to_string);
        assert_eq!(found.as_deref(), Some(expected), "{pointer} in {schema:#}");
    }
}

#[test]
fn recorded_answers_are_those_of_today() {
    // `saga journal export customer --redact /name`.
    saga_sdk::replay!(Customer, "tests/cases/customers.jsonl").unchanged();
}
