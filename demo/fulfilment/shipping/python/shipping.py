"""The rules of shipments in Python: the same as in the Rust crate beside this folder, which says why they are so."""

from dataclasses import dataclass, replace
from typing import Literal

from saga_sdk import Command, Contract, Decision, EventType, Listing, Malformed, NoReply, Refusal, RefusalType, Subscription
from saga_sdk import Turn, UInt32, UInt64

State = Literal["REQUESTED", "DISPATCHED", "STOPPED"]


@dataclass(frozen=True)
class Shipment:
    """The shipment of an order."""

    item: str
    quantity: UInt32
    state: State


@dataclass(frozen=True)
class ShipmentView:
    """A shipment as the warehouse sees it."""

    order: UInt64
    shipment: Shipment


@dataclass(frozen=True)
class ShipmentRequested:
    """An order asks for its shipment."""

    order: UInt64
    item: str
    quantity: UInt32


@dataclass(frozen=True)
class Cancelled:
    """An order is given up."""

    order: UInt64


@dataclass(frozen=True)
class ShipmentAnswered:
    """The order was shipped, or will not be."""

    order: UInt64
    shipped: bool


SHIPMENT_REQUESTED = EventType("fulfilment.shipment.requested", "fulfilment-shipment-requests", ShipmentRequested)
SHIPMENT_CANCELLED = EventType("fulfilment.shipment.cancelled", "fulfilment-shipment-requests", Cancelled)
SHIPMENT_ANSWERED = EventType("fulfilment.shipment.answered", "fulfilment-shipments", ShipmentAnswered)
STOPPED = RefusalType.conflict("stopped", "The order was cancelled: keep the goods.")


def requested(shipment: Shipment | None, request: ShipmentRequested, turn: Turn[int]) -> Decision[NoReply]:
    if shipment is not None:
        return Decision.unchanged()  # asked again
    return Decision.put(Shipment(request.item, request.quantity, "REQUESTED"))


def dispatch(shipment: Shipment, _: None, turn: Turn[int]) -> Decision[ShipmentView]:
    if shipment.state == "STOPPED":
        raise Refusal(STOPPED, f"order {turn.key} was cancelled: keep the goods")
    if shipment.state == "DISPATCHED":
        return Decision.unchanged().reply(view(shipment, turn))
    shipment = replace(shipment, state="DISPATCHED")
    return answered(shipment, turn).reply(view(shipment, turn))


def cancelled(shipment: Shipment | None, _: Cancelled, turn: Turn[int]) -> Decision[NoReply]:
    if shipment is None:
        # The request is on the same topic with the same key, so it came first, or never.
        raise Malformed(f"there is no shipment of order {turn.key}")
    if shipment.state != "REQUESTED":
        return Decision.unchanged()  # too late, or known: the order has been told, or will be
    return answered(replace(shipment, state="STOPPED"), turn)


def answered(shipment: Shipment, turn: Turn[int]) -> Decision[NoReply]:
    """Stores a shipment that is decided, and tells the order."""
    answer = ShipmentAnswered(turn.key, shipment.state == "DISPATCHED")
    return Decision.put(shipment).publish(SHIPMENT_ANSWERED, turn.key, answer)


def view(shipment: Shipment, turn: Turn[int]) -> ShipmentView:
    return ShipmentView(turn.key, shipment)


contract = (
    Contract("shipping", "0.1.0", "Keeps the shipments that a warehouse dispatches.", state=Shipment, key=UInt64)
    .endpoint("/fulfilment", 8094)
    .command(
        Command.change("dispatch", "POST", "/shipments/{order}/dispatch", dispatch)
        .summary("The goods have left the warehouse.")
        .requires("shipments:dispatch")
        .refuses(STOPPED)
    )
    .command(Command.read("get-shipment", "/shipments/{order}", view).summary("Tells how far a shipment is."))
    .listing(
        Listing.of("list-shipments", "/shipments", "get-shipment")
        .summary("Lists the shipments; REQUESTED is what the warehouse has to do.")
        .filter("state", "/state")
    )
    .on(Subscription.to(SHIPMENT_REQUESTED, "shipping", "/order", requested))
    .on(Subscription.to(SHIPMENT_CANCELLED, "shipping", "/order", cancelled))
    .publishes(SHIPMENT_ANSWERED)
)
