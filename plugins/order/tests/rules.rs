//! The order service's rules, given/when/then.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

use order::domain::Order;
use order::{CREDIT_ANSWERED, INVALID_ORDER_TOTAL, ORDER_CREATED, OrderService, Placed, Progress};
use saga_sdk::native::Rules;
use saga_sdk::testing::{contract_problems, given, given_nothing};
use saga_wire::{Money, OrderRecord, OrderState};

const CUSTOMER: i64 = 7;

fn money(text: &str) -> Money {
    text.parse().unwrap()
}

fn order(state: OrderState) -> Order {
    Order {
        customer_id: CUSTOMER,
        order_total: money("300"),
        state,
    }
}

fn record(state: &str, amount: &str) -> OrderRecord {
    let text = format!(
        r#"{{"id":1,"state":"{state}","orderDetails":{{"customerId":{CUSTOMER},"orderTotal":{{"amount":{amount}}}}}}}"#
    );
    serde_json::from_str(&text).unwrap()
}

fn place(amount: &str) -> String {
    format!(r#"{{"customerId":{CUSTOMER},"orderTotal":{{"amount":{amount}}}}}"#)
}

#[test]
fn the_contract_is_in_order() {
    assert_eq!(contract_problems::<OrderService>(), Vec::<String>::new());
}

#[test]
fn orders_are_listed_by_customer_and_by_state() {
    let description = Rules::<OrderService>::new().describe();
    let filters = description.listings.iter().flat_map(|one| &one.filters);
    let kinds: Vec<_> = filters
        .map(|filter| (&*filter.parameter, filter.schema.contains("\"PENDING\"")))
        .collect();
    assert_eq!(kinds, [("customerId", false), ("state", true)]);
}

#[test]
fn an_order_is_pending_and_published_in_one_decision() {
    let placed = Placed {
        order_id: 1,
        order_state: OrderState::Pending,
        customer_id: CUSTOMER,
        order_total: money("300"),
    };
    for amount in ["300", "300.00", "3e2"] {
        given_nothing::<OrderService>()
            .key(1)
            .when_command_json("place-order", &place(amount))
            .state(&order(OrderState::Pending))
            .published(ORDER_CREATED, CUSTOMER, &record("PENDING", "300"))
            .published_no_more()
            .no_timers()
            .replied_pending(&placed);
    }
    assert_eq!(
        serde_json::to_string(&placed).unwrap(),
        r#"{"orderId":1,"orderState":"PENDING","customerId":7,"orderTotal":300}"#
    );
}

#[test]
fn cents_arrive_on_the_topic_as_they_were_ordered() {
    given_nothing::<OrderService>()
        .when_command_json("place-order", &place("10.25"))
        .published(ORDER_CREATED, CUSTOMER, &record("PENDING", "10.25"));
}

#[test]
fn a_total_that_is_no_money_above_zero_is_refused() {
    for amount in [
        "0",
        "-0.00",
        "-1",
        "0.001",
        "1e17",
        "123456789012345678901234567890",
    ] {
        given_nothing::<OrderService>()
            .when_command_json("place-order", &place(amount))
            .refused(INVALID_ORDER_TOTAL)
            .refused_at("/orderTotal/amount");
    }
}

#[test]
fn a_customer_number_beyond_64_bits_is_malformed() {
    given_nothing::<OrderService>()
        .when_command_json(
            "place-order",
            r#"{"customerId":9223372036854775808,"orderTotal":{"amount":1}}"#,
        )
        .malformed("in /customerId");
}

#[test]
fn an_answer_decides_a_pending_order() {
    for (answer, state) in [
        ("APPROVED", OrderState::Approved),
        ("REJECTED", OrderState::Rejected),
    ] {
        given::<OrderService>(order(OrderState::Pending))
            .when_event(CREDIT_ANSWERED, &record(answer, "300"))
            .state(&order(state))
            .published_no_more()
            .no_timers();
    }
}

#[test]
fn the_first_answer_stands() {
    for decided in [OrderState::Approved, OrderState::Rejected] {
        for answer in ["APPROVED", "REJECTED"] {
            given::<OrderService>(order(decided))
                .when_event(CREDIT_ANSWERED, &record(answer, "300"))
                .unchanged()
                .published_no_more();
        }
    }
}

#[test]
fn an_answer_for_no_order_is_malformed_so_that_someone_sees_it() {
    given_nothing::<OrderService>()
        .when_event(CREDIT_ANSWERED, &record("APPROVED", "300"))
        .malformed("there is no order 1");
}

#[test]
fn a_record_that_answers_nothing_is_malformed() {
    given::<OrderService>(order(OrderState::Pending))
        .when_event(CREDIT_ANSWERED, &record("PENDING", "300"))
        .malformed("PENDING");
    for text in ["null", "[]", "{}", "{\"id\":1}", "not json"] {
        given::<OrderService>(order(OrderState::Pending))
            .when_event_json(CREDIT_ANSWERED, text)
            .malformed("the body is not of the expected shape");
    }
}

#[test]
fn an_order_is_shown_with_its_state() {
    let progress = Progress {
        order_id: 1,
        order_state: OrderState::Approved,
    };
    given::<OrderService>(order(OrderState::Approved))
        .when_command("get-order", &())
        .unchanged()
        .replied(&progress);
    let undecided = Progress {
        order_state: OrderState::Pending,
        ..progress
    };
    given::<OrderService>(order(OrderState::Pending))
        .when_command("get-order", &())
        .unchanged()
        .replied_pending(&undecided);
    assert_eq!(
        serde_json::to_string(&progress).unwrap(),
        r#"{"orderId":1,"orderState":"APPROVED"}"#
    );
}

#[test]
fn an_order_that_does_not_exist_is_not_found() {
    given_nothing::<OrderService>()
        .when_command("get-order", &())
        .refused(saga_sdk::NOT_FOUND);
}

/// What the host checks before it calls the rules.
#[test]
fn the_request_schema_says_what_a_schema_can_say() {
    let description = saga_sdk::native::Rules::<OrderService>::new().describe();
    let command = description.commands.first().expect("a command");
    let schema = command.request.as_deref().expect("a request schema");
    let schema: serde_json::Value = serde_json::from_str(schema).unwrap();
    for (pointer, expected) in [
        ("/required", r#"["customerId","orderTotal"]"#),
        ("/properties/customerId/type", r#""integer""#),
        ("/properties/customerId/minimum", "1"),
        ("/properties/customerId/maximum", "9223372036854775807"),
        ("/properties/orderTotal/required", r#"["amount"]"#),
        (
            "/properties/orderTotal/properties/amount/type",
            r#""number""#,
        ),
        (
            "/properties/orderTotal/properties/amount/exclusiveMinimum",
            "0",
        ),
        (
            "/properties/orderTotal/properties/amount/maximum",
            "90000000000000000",
        ),
    ] {
        let found = schema.pointer(pointer).map(ToString::to_string);
        assert_eq!(found.as_deref(), Some(expected), "{pointer} in {schema:#}");
    }
}
