"""The order service of the Customer/Order saga: its contract. The types are in `messages.py`, the decisions in `rules.py`."""

from messages import (
    ANSWER_TIMEOUT,
    CREDIT_ANSWERED,
    INVALID_ORDER_TOTAL,
    ORDER_CANCELLED,
    ORDER_CREATED,
    ORDER_REJECTED,
    Order,
    OrderBeforeCancellation,
    Settings,
)
from rules import answered, cancel, place, progress, timed_out

from saga_sdk import Command, Contract, Listing, Subscription, TimeSpan, UInt64

SUMMARY = "Takes orders and follows them until they are approved, rejected or cancelled."

contract = (
    Contract("order", "0.1.0", SUMMARY, state=Order, key=UInt64)
    .endpoint("/customer-order/order-service", 8082)
    .settings(Settings(answer_timeout=TimeSpan.minutes(5)))
    .state_version(2)
    .migrate(1, OrderBeforeCancellation.with_credit)
    .command(
        Command.create("place-order", "POST", "/orders", place)
        .summary("Places an order; the customer's credit decides on it later.")
        .readable_at("/orders/{orderId}")
        .refuses(INVALID_ORDER_TOTAL)
    )
    .command(
        Command.change("cancel-order", "POST", "/orders/{orderId}/cancel", cancel)
        .summary("Cancels an order that is pending or approved; its credit is given back.")
        .refuses(ORDER_REJECTED)
    )
    .command(
        Command.read("get-order", "/orders/{orderId}", progress)
        .summary("Tells how far an order is.")
        .pending_while(lambda order: order.state == "PENDING")
    )
    .listing(
        Listing.of("list-orders", "/orders", "get-order")
        .summary("Lists the orders, the oldest first.")
        .filter("customerId", "/customerId")
        .filter("state", "/state")
    )
    .on(Subscription.to(CREDIT_ANSWERED, "customer", "/id", answered).untyped())
    .timer(ANSWER_TIMEOUT, timed_out)
    .publishes(ORDER_CREATED, ORDER_CANCELLED)
)
