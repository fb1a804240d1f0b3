"""The order service's rules, given/when/then: the tests of `plugins/order/tests/rules.rs`."""

import json
from pathlib import Path

import pytest
from messages import (
    ANSWER_TIMEOUT,
    CREDIT_ANSWERED,
    INVALID_ORDER_TOTAL,
    ORDER_CANCELLED,
    ORDER_CREATED,
    ORDER_REJECTED,
    Balance,
    Order,
    OrderDetails,
    OrderRecord,
    Placed,
    Progress,
    Settings,
)  # fmt: skip
from order import contract

from saga_sdk import NOT_FOUND, Money, TimeSpan, loads
from saga_sdk.testing import Then, contract_problems, given, given_nothing, migrated, replay

HERE = Path(__file__).parent
RECORDED = HERE / "../../../../plugins/order/tests/cases/orders.jsonl"
CUSTOMER = 7


def order(state, credit, reason=None):
    return Order(CUSTOMER, Money(300), state, credit, reason)


PENDING, APPROVED, REJECTED = order("PENDING", "ASKED"), order("APPROVED", "RESERVED"), order("REJECTED", "REFUSED")


def late(credit, reason="the customer service did not answer within 5m"):
    return order("REJECTED", credit, reason)


def record(state, amount="300"):
    return OrderRecord(1, state, OrderDetails(CUSTOMER, Balance(loads(amount))))


def place(amount):
    return f'{{"customerId":{CUSTOMER},"orderTotal":{{"amount":{amount}}}}}'


def answered(given_order, state) -> Then:
    return given(contract, given_order).when_event(CREDIT_ANSWERED, record(state))


def cancelled(given_order) -> Then:
    return given(contract, given_order).when_command("cancel-order")


def progress(shown):
    return Progress(1, shown.state, shown.reason)


def test_the_contract_is_in_order():
    assert contract_problems(contract) == []


def test_orders_are_listed_by_customer_and_by_state():
    filters = contract.describe()["listings"][0]["filters"]
    assert [(one["parameter"], '"PENDING"' in one["schema"]) for one in filters] == [("customerId", False), ("state", True)]


@pytest.mark.parametrize("amount", ["300", "300.00", "3e2"])
def test_an_order_is_pending_and_published_in_one_decision(amount):
    then = given_nothing(contract).key(1).time(1_000).when_command_json("place-order", place(amount))
    then.state(PENDING).published(ORDER_CREATED, CUSTOMER, record("PENDING")).published_no_more()
    then.timer_set(ANSWER_TIMEOUT, 301_000, TimeSpan.seconds(300))
    then.replied_pending(Placed(1, "PENDING", CUSTOMER, Money(300)))
    assert then.outcome.reply.body == '{"orderId":1,"orderState":"PENDING","customerId":7,"orderTotal":300}'


def test_cents_arrive_on_the_topic_as_they_were_ordered():
    then = given_nothing(contract).when_command_json("place-order", place("10.25"))
    then.published(ORDER_CREATED, CUSTOMER, record("PENDING", "10.25"))


@pytest.mark.parametrize("amount", ["0", "-0.00", "-1", "0.001", "1e17", "123456789012345678901234567890"])
def test_a_total_that_is_no_money_above_zero_is_refused(amount):
    then = given_nothing(contract).when_command_json("place-order", place(amount))
    then.refused(INVALID_ORDER_TOTAL).refused_at("/orderTotal/amount")


def test_a_customer_number_beyond_64_bits_is_malformed():
    body = '{"customerId":9223372036854775808,"orderTotal":{"amount":1}}'
    given_nothing(contract).when_command_json("place-order", body).malformed("in /customerId")


@pytest.mark.parametrize(("answer", "expected"), [("APPROVED", APPROVED), ("REJECTED", REJECTED)])
def test_an_answer_decides_a_pending_order(answer, expected):
    answered(PENDING, answer).state(expected).published_no_more().timer_cancelled(ANSWER_TIMEOUT)


@pytest.mark.parametrize("decided", [APPROVED, REJECTED])
@pytest.mark.parametrize("answer", ["APPROVED", "REJECTED"])
def test_the_first_answer_stands(decided, answer):
    answered(decided, answer).unchanged().published_no_more()


def test_the_reason_tells_how_long_the_order_waited_whatever_the_setting_is_now():
    asked = given(contract, PENDING).settings(Settings(TimeSpan.seconds(3600)))
    reason = "the customer service did not answer within 3s"
    asked.when_timer(ANSWER_TIMEOUT, TimeSpan.seconds(3)).state(late("ASKED", reason))
    reason = "the customer service did not answer in time"
    given(contract, PENDING).when_timer(ANSWER_TIMEOUT, None).state(late("ASKED", reason))


def test_an_order_that_nobody_answers_is_rejected_with_a_reason():
    given(contract, PENDING).when_timer(ANSWER_TIMEOUT, TimeSpan.minutes(5)).state(late("ASKED")).published_no_more()
    given(contract, late("ASKED")).when_command("get-order").replied(progress(late("ASKED")))


def test_the_time_for_an_answer_is_a_setting():
    asked = given_nothing(contract).time(1_000).settings(Settings(TimeSpan.seconds(10)))
    asked.when_command_json("place-order", place("300")).timer_set(ANSWER_TIMEOUT, 11_000, TimeSpan.seconds(10))


@pytest.mark.parametrize("ended", [APPROVED, REJECTED, late("ASKED"), order("CANCELLED", "ASKED")])
def test_time_that_is_over_changes_no_order_that_ended(ended):
    given(contract, ended).when_timer(ANSWER_TIMEOUT, TimeSpan.minutes(5)).unchanged().published_no_more()


def given_back_once(then: Then):
    """Nothing that may still come gives the credit back again."""
    then = then.and_then().when_event(CREDIT_ANSWERED, record("APPROVED")).unchanged().published_no_more()
    then = then.and_then().when_event(CREDIT_ANSWERED, record("REJECTED")).unchanged().published_no_more()
    then.and_then().when_timer(ANSWER_TIMEOUT, TimeSpan.minutes(5)).unchanged().published_no_more()


def test_credit_that_is_reserved_too_late_is_given_back_once():
    then = answered(late("ASKED"), "APPROVED").state(late("RELEASED"))
    given_back_once(then.published(ORDER_CANCELLED, CUSTOMER, record("REJECTED")).published_no_more())


def test_a_refusal_that_comes_too_late_gives_nothing_back():
    answered(late("ASKED"), "REJECTED").state(late("REFUSED")).published_no_more()
    then = answered(order("CANCELLED", "ASKED"), "REJECTED")
    then.state(order("CANCELLED", "REFUSED")).published_no_more()


def test_a_pending_order_is_cancelled_and_the_credit_of_its_late_answer_given_back():
    ended = order("CANCELLED", "ASKED")
    then = cancelled(PENDING).state(ended).published_no_more().timer_cancelled(ANSWER_TIMEOUT).replied(progress(ended))
    then = then.and_then().when_event(CREDIT_ANSWERED, record("APPROVED")).state(order("CANCELLED", "RELEASED"))
    given_back_once(then.published(ORDER_CANCELLED, CUSTOMER, record("CANCELLED")).published_no_more())


def test_an_approved_order_is_cancelled_and_its_credit_given_back():
    ended = order("CANCELLED", "RELEASED")
    then = cancelled(APPROVED).state(ended).published(ORDER_CANCELLED, CUSTOMER, record("CANCELLED"))
    given_back_once(then.published_no_more().replied(progress(ended)))


@pytest.mark.parametrize("credit", ["ASKED", "RELEASED", "REFUSED"])
def test_a_second_cancellation_is_answered_and_changes_nothing(credit):
    ended = order("CANCELLED", credit)
    cancelled(ended).unchanged().published_no_more().replied(progress(ended))


@pytest.mark.parametrize("ended", [REJECTED, late("ASKED"), late("RELEASED")])
def test_an_order_that_was_rejected_can_not_be_cancelled(ended):
    cancelled(ended).refused(ORDER_REJECTED)


@pytest.mark.parametrize(("state", "expected"), [("PENDING", PENDING), ("APPROVED", APPROVED), ("REJECTED", REJECTED)])
def test_orders_of_the_builds_before_cancellation_are_read(state, expected):
    assert migrated(contract, 1, f'{{"customerId":7,"orderTotal":300,"state":"{state}"}}') == expected


def test_an_answer_for_no_order_is_malformed_so_that_someone_sees_it():
    given_nothing(contract).when_event(CREDIT_ANSWERED, record("APPROVED")).malformed("there is no order 1")


def test_a_record_that_answers_nothing_is_malformed():
    for state in ("PENDING", "CANCELLED"):
        answered(PENDING, state).malformed("neither APPROVED nor REJECTED")
    for text in ("null", "[]", "{}", '{"id":1}', "not json"):
        asked = given(contract, PENDING)
        asked.when_event_json(CREDIT_ANSWERED, text).malformed("the body is not of the expected shape")


def test_an_order_is_shown_with_its_state():
    then = given(contract, APPROVED).when_command("get-order").unchanged().replied(progress(APPROVED))
    assert then.outcome.reply.body == '{"orderId":1,"orderState":"APPROVED"}'
    given(contract, PENDING).when_command("get-order").unchanged().replied_pending(progress(PENDING))


def test_an_order_that_does_not_exist_is_not_found():
    given_nothing(contract).when_command("get-order").refused(NOT_FOUND)


@pytest.mark.parametrize(
    ("pointer", "expected"),
    [
        ("required", ["customerId", "orderTotal"]),
        ("properties customerId type", "integer"),
        ("properties customerId minimum", 1),
        ("properties customerId maximum", 9223372036854775807),
        ("properties orderTotal required", ["amount"]),
        ("properties orderTotal properties amount type", "number"),
        ("properties orderTotal properties amount exclusiveMinimum", 0),
        ("properties orderTotal properties amount maximum", 90000000000000000),
    ],
)
def test_the_request_schema_says_what_a_schema_can_say(pointer, expected):
    found = json.loads(contract.describe()["commands"][0]["request"])
    for name in pointer.split():
        found = found[name]
    assert found == expected


def test_recorded_orders_are_decided_as_they_were():
    replayed = replay(contract, RECORDED)
    replayed.unchanged()
    assert replayed.decisions > 5


def test_recorded_decisions_that_changed_or_were_cut_off_are_told(tmp_path):
    lines = RECORDED.read_text(encoding="utf-8").splitlines()
    file = tmp_path / "cases.jsonl"
    file.write_text("\n".join(lines).replace("send at most two decimals", "send whole cents"), encoding="utf-8")
    with pytest.raises(AssertionError, match="1 of 8 recorded decisions changed, and 0 were expected to\nkey "):
        replay(contract, file).unchanged()
    file.write_text("\n".join(lines[:-1]), encoding="utf-8")
    with pytest.raises(AssertionError, match="was cut off: export it again"):
        replay(contract, file)


def test_the_rules_take_40_lines():
    source = (HERE / "rules.py").read_text(encoding="utf-8")
    lines = [line for line in source.splitlines() if line.strip() and not line.startswith(('"""', "#"))]
    assert len(lines) <= 40
