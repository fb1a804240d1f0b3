"""The rules of the inventory in Python: the same as in the Rust crate beside this folder, which says why they are so."""

from dataclasses import dataclass, replace

from saga_sdk import Command, Contract, Decision, EventType, Listing, NoReply, Refusal, RefusalType, Subscription, Turn
from saga_sdk import UInt32, UInt64

MOST = 2**32 - 1


@dataclass(frozen=True)
class Item:
    """The stock of one item."""

    free: UInt32
    reserved: dict[UInt64, UInt32]
    shipped: UInt32


@dataclass(frozen=True)
class Delivery:
    """Pieces that come in."""

    quantity: UInt32


@dataclass(frozen=True)
class OrderPlaced:
    """An order asks for stock."""

    order: UInt64
    item: str
    quantity: UInt32


@dataclass(frozen=True)
class OrderClosed:
    """An order ended."""

    order: UInt64
    item: str
    shipped: bool


@dataclass(frozen=True)
class StockAnswered:
    """Stock was reserved for an order, or there was not enough."""

    order: UInt64
    reserved: bool


ORDER_PLACED = EventType("fulfilment.order.placed", "fulfilment-orders", OrderPlaced)
ORDER_CLOSED = EventType("fulfilment.order.closed", "fulfilment-orders", OrderClosed)
STOCK_ANSWERED = EventType("fulfilment.stock.answered", "fulfilment-stock", StockAnswered)
NOTHING_DELIVERED = RefusalType.invalid("nothing-delivered", "The delivery is empty.")
TOO_MANY = RefusalType.conflict("too-many", "There would be more pieces than can be counted.")


def deliver(item: Item | None, delivery: Delivery, turn: Turn[str]) -> Decision[Item]:
    if delivery.quantity == 0:
        raise Refusal(NOTHING_DELIVERED, "the delivery is empty: send a quantity above 0", at="/quantity")
    item = item or Item(0, {}, 0)
    counted = sum(item.reserved.values()) + item.free + item.shipped
    if counted + delivery.quantity > MOST:
        raise Refusal(TOO_MANY, f"{counted} pieces are counted already: send fewer", at="/quantity")
    item = replace(item, free=item.free + delivery.quantity)
    return Decision.put(item).reply(item)


def show(item: Item, turn: Turn[str]) -> Item:
    return item


def reserve(item: Item | None, placed: OrderPlaced, turn: Turn[str]) -> Decision[NoReply]:
    decision = Decision.unchanged()
    # Asked again: the answer is the same.
    reserved = item is not None and placed.order in item.reserved
    if item is not None and not reserved and item.free >= placed.quantity:
        reserved, orders = True, {**item.reserved, placed.order: placed.quantity}
        decision = Decision.put(replace(item, free=item.free - placed.quantity, reserved=orders))
    return decision.publish(STOCK_ANSWERED, placed.order, StockAnswered(placed.order, reserved))


def close(item: Item | None, closed: OrderClosed, turn: Turn[str]) -> Decision[NoReply]:
    if item is None or closed.order not in item.reserved:
        return Decision.unchanged()  # nothing was reserved, or it was closed before
    quantity = item.reserved[closed.order]
    item = replace(item, reserved={order: one for order, one in item.reserved.items() if order != closed.order})
    if closed.shipped:
        return Decision.put(replace(item, shipped=item.shipped + quantity))
    return Decision.put(replace(item, free=item.free + quantity))


contract = (
    Contract("inventory", "0.1.0", "Keeps the stock of items and reserves it for orders.", state=Item)
    .endpoint("/fulfilment", 8092)
    .command(
        Command.upsert("deliver", "POST", "/items/{item}/deliveries", deliver)
        .summary("Takes in a delivery of an item.")
        .refuses(NOTHING_DELIVERED, TOO_MANY)
    )
    .command(Command.read("get-item", "/items/{item}", show).summary("Tells the stock of an item."))
    .listing(Listing.of("list-items", "/items", "get-item").summary("Lists the items."))
    .on(Subscription.to(ORDER_PLACED, "inventory", "/item", reserve))
    .on(Subscription.to(ORDER_CLOSED, "inventory", "/item", close))
    .publishes(STOCK_ANSWERED)
)
