"""What a host would not offer, and what it would not accept of an outcome, one sentence each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..contract import Contract
from ..refusal import ALREADY_EXISTS
from ..rules import Outcome
from ..turn import Message

if TYPE_CHECKING:
    from ._scenario import Limits


def of_message(limits: Limits, state: str | None, message: Message) -> list[str]:
    found: list[str] = []
    _bytes(found, "the given state", state or "", "turn.state_bytes", limits.state_bytes)
    _bytes(found, "the key", message.key, "turn.key_bytes", limits.key_bytes)
    what, setting, limit = {
        "command": ("the command's body", "http.body_bytes", limits.body_bytes),
        "event": ("the event", "turn.record_bytes", limits.record_bytes),
        "timer": ("the timer", "turn.event_bytes", limits.event_bytes),
    }[message.origin]
    _bytes(found, what, message.body, setting, limit)
    return found


def of_outcome(limits: Limits, outcome: Outcome) -> list[str]:
    found: list[str] = []
    _bytes(found, "the state", outcome.state or "", "turn.state_bytes", limits.state_bytes)
    _number(found, "publishes", "events", len(outcome.events), "turn.events", limits.events)
    for event in outcome.events:
        _bytes(found, f"the event {event.event_type!r}", event.body, "turn.event_bytes", limits.event_bytes)
        _bytes(found, f"the key of the event {event.event_type!r}", event.key, "turn.key_bytes", limits.key_bytes)
    _number(found, "sets or cancels", "timers", len(outcome.timers), "turn.timers", limits.timers)
    for timer in outcome.timers:
        _bytes(found, f"the timer {timer.name!r}", timer.body or "", "turn.event_bytes", limits.event_bytes)
    if outcome.reply:
        refusal = outcome.reply.refusal
        words = f"{refusal.detail}{refusal.type.code}{refusal.pointer or ''}" if refusal else outcome.reply.body or ""
        _bytes(found, "the reply", words, "turn.reply_bytes", limits.reply_bytes)
    return found


def problems(contract: Contract, message: Message, outcome: Outcome) -> list[str]:
    """Everything in an outcome that the contract does not allow."""
    found = []
    published = {one.name for one in contract.publications}
    for event in outcome.events:
        if event.event_type not in published:
            found.append(f"it publishes {event.event_type!r}, which the contract does not declare: add .publishes(…)")
        if not event.key:
            found.append(f"the event {event.event_type!r} has an empty key")
    timers = {timer.name for timer, _ in contract.timers}
    for timer in outcome.timers:
        if timer.name not in timers:
            found.append(f"it sets or cancels the timer {timer.name!r}, which the contract does not declare: add .timer(…)")
        if timer.due is not None and timer.due >= 2**63:
            found.append(f"the timer {timer.name!r} is due at {timer.due}")
    command = next((one for one in contract.commands if one.name == message.name), None)
    if message.origin == "command" and command:
        refusal = outcome.reply.refusal if outcome.reply else None
        if refusal:
            declared = {(one.kind, one.code) for one in command.refusals}
            # The SDK refuses to create what exists; only keys out of requests can bring it about.
            is_sdks = command.kind == "create" and refusal.type == ALREADY_EXISTS
            if (refusal.type.kind, refusal.type.code) not in declared and not is_sdks:
                found.append(f"command {command.name!r} does not declare the refusal {refusal.type.code!r}: add .refuses(…)")
        elif command.kind == "create" and outcome.change != "put":
            found.append(f"command {command.name!r} creates, but was answered without a state: use Decision.put or refuse it")
    return found


def _bytes(found: list[str], what: str, text: str, setting: str, limit: int) -> None:
    number = len(text.encode())
    if number > limit:
        found.append(f"{what} has {number} bytes, and a host takes {limit} unless its operator raises `{setting}`")


def _number(found: list[str], does: str, what: str, number: int, setting: str, limit: int) -> None:
    if number > limit:
        found.append(f"it {does} {number} {what}, and a host takes {limit} unless its operator raises `{setting}`")
