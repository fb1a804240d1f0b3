"""What the order service stores, what it is told and tells, and what it refuses."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Literal

from saga_sdk import Doc, EventType, Extra, Int64, Money, RefusalType, Timer, TimeSpan, UInt64, camel_case, example

OrderState = Literal["PENDING", "APPROVED", "REJECTED", "CANCELLED"]
Credit = Literal["ASKED", "RESERVED", "REFUSED", "RELEASED"]
Why = Annotated[str | None, Doc("The reason why it was rejected, if it is not the customer's credit.")]
Positive = Extra({"minimum": 1, "maximum": 9_223_372_036_854_775_807})


@dataclass(frozen=True)
class Settings:
    """The settings of the rules."""

    answer_timeout: Annotated[TimeSpan, Doc("Time after which an order that nobody answered is rejected.")]


@camel_case
@dataclass(frozen=True)
class Order:
    """An order that was placed."""

    customer_id: Annotated[Int64, Doc("Number of the customer who placed it.")]
    order_total: Annotated[Money, Doc("What it costs.")]
    state: Annotated[OrderState, Doc("How far it is.")]
    credit: Annotated[Credit, Doc("The customer's credit for it.")]
    reason: Why = None


@camel_case
@dataclass(frozen=True)
class OrderBeforeCancellation:
    """An order as builds before cancellation stored it."""

    customer_id: Int64
    order_total: Money
    state: OrderState

    def with_credit(self) -> Order:
        """The same order as this build stores it."""
        credits: dict[OrderState, Credit]
        credits = {"PENDING": "ASKED", "CANCELLED": "ASKED", "APPROVED": "RESERVED", "REJECTED": "REFUSED"}
        return Order(self.customer_id, self.order_total, self.state, credits[self.state])


@dataclass(frozen=True)
class OrderTotal:
    """An order's total, as clients write it."""

    amount: Annotated[
        Decimal,
        Doc("More than zero, at most 9·10¹⁶, at most two decimals."),
        Extra({"exclusiveMinimum": 0, "maximum": 90_000_000_000_000_000}),
    ]


@example({"customerId": 1, "orderTotal": {"amount": 300}})
@camel_case
@dataclass(frozen=True)
class PlaceOrder:
    """An order to place."""

    customer_id: Annotated[Int64, Positive, Doc("Number of the customer who orders.")]
    order_total: Annotated[OrderTotal, Doc("What the order costs.")]


@example({"orderId": 1, "orderState": "PENDING", "customerId": 1, "orderTotal": 300})
@camel_case
@dataclass(frozen=True)
class Placed:
    """An order that was placed."""

    order_id: Annotated[UInt64, Doc("Number that the order was given.")]
    order_state: Annotated[OrderState, Doc("`PENDING`.")]
    customer_id: Annotated[Int64, Doc("Number of the customer who ordered.")]
    order_total: Annotated[Money, Doc("What the order costs.")]


@example({"orderId": 1, "orderState": "APPROVED"})
@camel_case
@dataclass(frozen=True)
class Progress:
    """How far an order is."""

    order_id: Annotated[UInt64, Doc("Number of the order.")]
    order_state: Annotated[OrderState, Doc("How far it is.")]
    reason: Why = None


@dataclass(frozen=True)
class Balance:
    """An amount in an object of its own."""

    amount: Annotated[Decimal, Doc("The amount, as the peer wrote it.")]


@camel_case
@dataclass(frozen=True)
class OrderDetails:
    """Who ordered, for how much."""

    customer_id: Annotated[Int64, Doc("Number of the customer.")]
    order_total: Annotated[Balance, Doc("What the order costs.")]


def signed(number: int) -> int:
    """A number of 64 bits as peers read it, whose numbers are signed."""
    return (number + 2**63) % 2**64 - 2**63


@example({"id": 1, "state": "PENDING", "orderDetails": {"customerId": 1, "orderTotal": {"amount": 300}}})
@camel_case
@dataclass(frozen=True)
class OrderRecord:
    """One order, as the services tell each other of it."""

    id: Annotated[Int64, Doc("Number of the order.")]
    state: Annotated[OrderState, Doc("How far it is, or how it was answered.")]
    order_details: Annotated[OrderDetails, Doc("Who ordered, for how much.")]


ORDER_CREATED = EventType("saga.order.created", "orderTopic", OrderRecord)
CREDIT_ANSWERED = EventType("saga.customer.credit-answered", "customerTopic", OrderRecord)
ORDER_CANCELLED = EventType("saga.order.cancelled", "cancellationTopic", OrderRecord)
ANSWER_TIMEOUT = Timer("answer-timeout", TimeSpan | None)
INVALID_ORDER_TOTAL = RefusalType.invalid(
    "invalid-order-total", "The order's total is no amount of money above zero: finer than a cent, say."
)
ORDER_REJECTED = RefusalType.conflict("order-rejected", "The order was rejected, so there is nothing to cancel.")
