"""The decisions of the order service, the same as those of `plugins/order`, whose `domain.rs` has the table."""

from dataclasses import replace

from messages import (
    ANSWER_TIMEOUT,
    INVALID_ORDER_TOTAL,
    ORDER_CANCELLED,
    ORDER_CREATED,
    ORDER_REJECTED,
    Balance,
    Order,
    OrderDetails,
    OrderRecord,
    Placed,
    PlaceOrder,
    Progress,
    Settings,
    signed,
)  # fmt: skip

from saga_sdk import Decision, Malformed, Money, MoneyError, NoReply, Refusal, TimeSpan, Turn


def place(request: PlaceOrder, turn: Turn[int]) -> Decision[Placed]:
    try:
        total = Money.above_zero(request.order_total.amount)
    except MoneyError as error:
        raise Refusal(INVALID_ORDER_TOTAL, str(error), at="/orderTotal/amount") from None
    order, timeout = Order(request.customer_id, total, "PENDING", "ASKED"), turn.settings(Settings).answer_timeout
    decision = Decision.put(order).publish(ORDER_CREATED, order.customer_id, record(order, turn))
    decision = decision.set_timer(ANSWER_TIMEOUT, turn.time + timeout.millis, timeout)
    return decision.pending(Placed(turn.key, order.state, order.customer_id, total))


def cancel(order: Order, _: None, turn: Turn[int]) -> Decision[Progress]:
    if order.state == "REJECTED":
        raise Refusal(ORDER_REJECTED, f"order {turn.key} was rejected, so it can't be cancelled")
    ended = replace(order, state="CANCELLED")
    effects = {"PENDING": stored(ended), "APPROVED": released(ended, turn), "CANCELLED": Decision.unchanged()}
    return effects[order.state].reply(progress(ended, turn))


def progress(order: Order, turn: Turn[int]) -> Progress:
    return Progress(turn.key, order.state, order.reason)


def answered(order: Order | None, answer: OrderRecord, turn: Turn[int]) -> Decision[NoReply]:
    is_reserved, is_pending = answer.state == "APPROVED", order is not None and order.state == "PENDING"
    if answer.state not in ("APPROVED", "REJECTED"):
        raise Malformed("the answer's state is neither APPROVED nor REJECTED, so it answers nothing")
    if order is None:
        raise Malformed(f"there is no order {answer.id}")
    if order.credit != "ASKED":
        return Decision.unchanged()
    if is_reserved and not is_pending:
        return released(order, turn)
    credit, state = "RESERVED" if is_reserved else "REFUSED", answer.state if is_pending else order.state
    return stored(replace(order, credit=credit, state=state))


def timed_out(order: Order, timeout: TimeSpan | None, turn: Turn[int]) -> Decision[NoReply]:
    reason = f"the customer service did not answer {f'within {timeout}' if timeout is not None else 'in time'}"
    return stored(replace(order, state="REJECTED", reason=reason)) if order.state == "PENDING" else Decision.unchanged()


def stored(order: Order) -> Decision[NoReply]:
    return Decision.put(order).cancel_timer(ANSWER_TIMEOUT)


def released(order: Order, turn: Turn[int]) -> Decision[NoReply]:
    order = replace(order, credit="RELEASED")
    return Decision.put(order).publish(ORDER_CANCELLED, order.customer_id, record(order, turn))


def record(order: Order, turn: Turn[int]) -> OrderRecord:
    return OrderRecord(signed(turn.key), order.state, OrderDetails(order.customer_id, Balance(order.order_total.decimal)))
