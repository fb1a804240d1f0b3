"""The decisions of the order service, the same as those of `plugins/order`, whose `domain.rs` has the table."""

from dataclasses import replace

import messages as m

from saga_sdk import Decision, Malformed, Money, MoneyError, NoReply, Refusal, TimeSpan, Turn


def place(request: m.PlaceOrder, turn: Turn[int]) -> Decision[m.Placed]:
    with m.INVALID_ORDER_TOTAL.on(MoneyError, at="/orderTotal/amount"):
        total = Money.above_zero(request.order_total.amount)
    order = m.Order(request.customer_id, total, "PENDING", "ASKED")
    timeout = turn.settings(m.Settings).answer_timeout
    decision = Decision.put(order).publish(m.ORDER_CREATED, order.customer_id, record(order, turn))
    decision = decision.set_timer(m.ANSWER_TIMEOUT, turn.time + timeout.millis, timeout)
    return decision.pending(m.Placed(turn.key, order.state, order.customer_id, total))


def cancel(order: m.Order, _: None, turn: Turn[int]) -> Decision[m.Progress]:
    if order.state == "REJECTED":
        raise Refusal(m.ORDER_REJECTED, f"order {turn.key} was rejected, so it can't be cancelled")
    ended = replace(order, state="CANCELLED")
    effects = {"PENDING": stored(ended), "APPROVED": released(ended, turn), "CANCELLED": Decision.unchanged()}
    return effects[order.state].reply(progress(ended, turn))


def progress(order: m.Order, turn: Turn[int]) -> m.Progress:
    return m.Progress(turn.key, order.state, order.reason)


def answered(order: m.Order | None, answer: m.OrderRecord, turn: Turn[int]) -> Decision[NoReply]:
    if answer.state not in ("APPROVED", "REJECTED"):
        raise Malformed("the answer's state is neither APPROVED nor REJECTED, so it answers nothing")
    if order is None:
        raise Malformed(f"there is no order {answer.id}")
    if order.credit != "ASKED":
        return Decision.unchanged()
    if order.state == "PENDING":
        return stored(replace(order, state=answer.state, credit="RESERVED" if answer.state == "APPROVED" else "REFUSED"))
    return released(order, turn) if answer.state == "APPROVED" else stored(replace(order, credit="REFUSED"))


def timed_out(order: m.Order, timeout: TimeSpan | None, turn: Turn[int]) -> Decision[NoReply]:
    reason = f"the customer service did not answer {f'within {timeout}' if timeout is not None else 'in time'}"
    return stored(replace(order, state="REJECTED", reason=reason)) if order.state == "PENDING" else Decision.unchanged()


def stored(order: m.Order) -> Decision[NoReply]:
    return Decision.put(order).cancel_timer(m.ANSWER_TIMEOUT)


def released(order: m.Order, turn: Turn[int]) -> Decision[NoReply]:
    order = replace(order, credit="RELEASED")
    return Decision.put(order).publish(m.ORDER_CANCELLED, order.customer_id, record(order, turn))


def record(order: m.Order, turn: Turn[int]) -> m.OrderRecord:
    details = m.OrderDetails(order.customer_id, m.Balance(order.order_total.decimal))
    return m.OrderRecord(m.signed(turn.key), order.state, details)
