//! The order service's rules, given/when/then.

#![allow(clippy::restriction, reason = "a test fails by panicking")]

use order::domain::{Credit, Order};
use order::messages::{Placed, Progress, Settings};
use order::{ANSWER_TIMEOUT, CREDIT_ANSWERED, INVALID_ORDER_TOTAL, ORDER_CANCELLED, ORDER_CREATED};
use order::{ORDER_REJECTED, OrderService};
use saga_sdk::TimeSpan;
use saga_sdk::native::Rules;
use saga_sdk::testing::{Scenario, Then, contract_problems, given, given_nothing, migrated};
use saga_wire::{Money, OrderRecord, OrderState};

const CUSTOMER: i64 = 7;

fn money(text: &str) -> Money {
    text.parse().unwrap()
}

fn order(state: OrderState, credit: Credit) -> Order {
    Order {
        customer_id: CUSTOMER,
        order_total: money("300"),
        state,
        credit,
        reason: None,
    }
}

fn pending() -> Order {
    order(OrderState::Pending, Credit::Asked)
}

fn approved() -> Order {
    order(OrderState::Approved, Credit::Reserved)
}

fn rejected() -> Order {
    order(OrderState::Rejected, Credit::Refused)
}

/// Rejected because nobody answered in time.
fn late(credit: Credit) -> Order {
    Order {
        reason: Some("the customer service did not answer within 5m".to_owned()),
        ..order(OrderState::Rejected, credit)
    }
}

fn answered(order: Order, answer: &str) -> Then<OrderService> {
    given::<OrderService>(order).when_event(CREDIT_ANSWERED, &record(answer, "300"))
}

fn cancelled(order: Order) -> Then<OrderService> {
    given::<OrderService>(order).when_command("cancel-order", &())
}

fn progress(order: &Order) -> Progress {
    Progress {
        order_id: 1,
        order_state: order.state,
        reason: order.reason.clone(),
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
            .time(1_000)
            .when_command_json("place-order", &place(amount))
            .state(&pending())
            .published(ORDER_CREATED, CUSTOMER, &record("PENDING", "300"))
            .published_no_more()
            .timer_set(ANSWER_TIMEOUT, 301_000, &timeout(300))
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
    for (answer, order) in [("APPROVED", approved()), ("REJECTED", rejected())] {
        answered(pending(), answer)
            .state(&order)
            .published_no_more()
            .timer_cancelled(ANSWER_TIMEOUT);
    }
}

#[test]
fn the_first_answer_stands() {
    for decided in [approved(), rejected()] {
        for answer in ["APPROVED", "REJECTED"] {
            answered(decided.clone(), answer)
                .unchanged()
                .published_no_more();
        }
    }
}

fn timeout(seconds: u32) -> Option<TimeSpan> {
    Some(TimeSpan::from_secs(seconds))
}

#[test]
fn the_reason_tells_how_long_the_order_waited_whatever_the_setting_is_now() {
    let settings = Settings {
        answer_timeout: TimeSpan::from_secs(3600),
    };
    let rejected = |reason: &str| Order {
        reason: Some(reason.into()),
        ..late(Credit::Asked)
    };
    given::<OrderService>(pending())
        .settings(&settings)
        .when_timer(ANSWER_TIMEOUT, &timeout(3))
        .state(&rejected("the customer service did not answer within 3s"));
    given::<OrderService>(pending())
        .when_timer(ANSWER_TIMEOUT, &None)
        .state(&rejected("the customer service did not answer in time"));
}

#[test]
fn an_order_that_nobody_answers_is_rejected_with_a_reason() {
    given::<OrderService>(pending())
        .when_timer(ANSWER_TIMEOUT, &timeout(300))
        .state(&late(Credit::Asked))
        .published_no_more();
    given::<OrderService>(late(Credit::Asked))
        .when_command("get-order", &())
        .replied(&progress(&late(Credit::Asked)));
}

#[test]
fn the_time_for_an_answer_is_a_setting() {
    let settings = Settings {
        answer_timeout: TimeSpan::from_secs(10),
    };
    given_nothing::<OrderService>()
        .time(1_000)
        .settings(&settings)
        .when_command_json("place-order", &place("300"))
        .timer_set(ANSWER_TIMEOUT, 11_000, &timeout(10));
}

#[test]
fn time_that_is_over_changes_no_order_that_ended() {
    for ended in [
        approved(),
        rejected(),
        late(Credit::Asked),
        order(OrderState::Cancelled, Credit::Asked),
    ] {
        given::<OrderService>(ended)
            .when_timer(ANSWER_TIMEOUT, &timeout(300))
            .unchanged()
            .published_no_more();
    }
}

#[test]
fn credit_that_is_reserved_too_late_is_given_back_once() {
    let late_answer = answered(late(Credit::Asked), "APPROVED")
        .state(&late(Credit::Released))
        .published(ORDER_CANCELLED, CUSTOMER, &record("REJECTED", "300"))
        .published_no_more();
    given_back_once(late_answer.and_then());
}

/// Nothing that may still come gives the credit back again.
fn given_back_once(order: Scenario<OrderService>) {
    order
        .when_event(CREDIT_ANSWERED, &record("APPROVED", "300"))
        .unchanged()
        .published_no_more()
        .and_then()
        .when_event(CREDIT_ANSWERED, &record("REJECTED", "300"))
        .unchanged()
        .published_no_more()
        .and_then()
        .when_timer(ANSWER_TIMEOUT, &timeout(300))
        .unchanged()
        .published_no_more();
}

#[test]
fn a_refusal_that_comes_too_late_gives_nothing_back() {
    answered(late(Credit::Asked), "REJECTED")
        .state(&late(Credit::Refused))
        .published_no_more();
    answered(order(OrderState::Cancelled, Credit::Asked), "REJECTED")
        .state(&order(OrderState::Cancelled, Credit::Refused))
        .published_no_more();
}

#[test]
fn a_pending_order_is_cancelled_and_the_credit_of_its_late_answer_given_back() {
    let ended = order(OrderState::Cancelled, Credit::Asked);
    let late_answer = cancelled(pending())
        .state(&ended)
        .published_no_more()
        .timer_cancelled(ANSWER_TIMEOUT)
        .replied(&progress(&ended))
        .and_then()
        .when_event(CREDIT_ANSWERED, &record("APPROVED", "300"))
        .state(&order(OrderState::Cancelled, Credit::Released))
        .published(ORDER_CANCELLED, CUSTOMER, &record("CANCELLED", "300"))
        .published_no_more();
    given_back_once(late_answer.and_then());
}

#[test]
fn an_approved_order_is_cancelled_and_its_credit_given_back() {
    let ended = order(OrderState::Cancelled, Credit::Released);
    let cancelled = cancelled(approved())
        .state(&ended)
        .published(ORDER_CANCELLED, CUSTOMER, &record("CANCELLED", "300"))
        .published_no_more()
        .replied(&progress(&ended));
    given_back_once(cancelled.and_then());
}

#[test]
fn a_second_cancellation_is_answered_and_changes_nothing() {
    for credit in [Credit::Asked, Credit::Released, Credit::Refused] {
        let ended = order(OrderState::Cancelled, credit);
        cancelled(ended.clone())
            .unchanged()
            .published_no_more()
            .replied(&progress(&ended));
    }
}

#[test]
fn an_order_that_was_rejected_can_not_be_cancelled() {
    for ended in [rejected(), late(Credit::Asked), late(Credit::Released)] {
        cancelled(ended).refused(ORDER_REJECTED);
    }
}

#[test]
fn orders_of_the_builds_before_cancellation_are_read() {
    for (state, expected) in [
        ("PENDING", pending()),
        ("APPROVED", approved()),
        ("REJECTED", rejected()),
    ] {
        let stored = format!(r#"{{"customerId":7,"orderTotal":300,"state":"{state}"}}"#);
        assert_eq!(migrated::<OrderService>(1, &stored), expected);
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
    for state in ["PENDING", "CANCELLED"] {
        answered(pending(), state).malformed("neither APPROVED nor REJECTED");
    }
    for text in ["null", "[]", "{}", "{\"id\":1}", "not json"] {
        given::<OrderService>(pending())
            .when_event_json(CREDIT_ANSWERED, text)
            .malformed("the body is not of the expected shape");
    }
}

#[test]
fn an_order_is_shown_with_its_state() {
    let progress = progress(&approved());
    given::<OrderService>(approved())
        .when_command("get-order", &())
        .unchanged()
        .replied(&progress);
    let undecided = self::progress(&pending());
    given::<OrderService>(pending())
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

/// The checks of the host before it calls the rules.
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

#[test]
fn recorded_orders_are_decided_as_they_were() {
    // `saga journal export order`, of a host on which orders were approved, rejected and cancelled.
    saga_sdk::replay!(OrderService, "tests/cases/orders.jsonl").unchanged();
}
