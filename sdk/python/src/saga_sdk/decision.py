"""`Decision`: what a rule decides. All of it takes effect together, or none of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Generic, Literal, TypeVar, cast

from .event import EventType, Timer

R = TypeVar("R")
S = TypeVar("S")
B = TypeVar("B")


class NoReply:
    """Marks a decision that answers nobody: what handlers of events and timers return."""


@dataclass(frozen=True)
class Published:
    """An event to publish; its body is JSON."""

    event_type: str
    key: str
    body: str


@dataclass(frozen=True)
class TimerChange:
    """A timer to set (`due` in milliseconds since 1970-01-01T00:00:00Z), or to cancel."""

    name: str
    due: int | None = None
    body: str | None = None


@dataclass(frozen=True)
class Decision(Generic[R]):
    """The decision of a rule on one message.

    Starts with the change of the state (`put`, `unchanged`, `remove`), goes on with events and timers, and ends, in a
    command, with `reply` or `pending`. A rule that decides otherwise raises `Refusal`, `Malformed` or `RetryLater`.
    """

    change: Literal["put", "unchanged", "remove"]
    state: Any = None
    events: tuple[Published, ...] = ()
    timers: tuple[TimerChange, ...] = ()
    answer: Literal["done", "pending"] | None = None
    body: Any = field(default=None)

    @staticmethod
    def put(state: Any) -> Decision[NoReply]:
        """The state becomes this one."""
        return Decision("put", state)

    @staticmethod
    def unchanged() -> Decision[NoReply]:
        """The state stays as it is; where there was none, there is none."""
        return Decision("unchanged")

    @staticmethod
    def remove() -> Decision[NoReply]:
        """Removes the aggregate: its next message finds no state."""
        return Decision("remove")

    def publish(self, event: EventType[B], key: object, body: B) -> Decision[R]:
        """Publishes an event. Events with the same key arrive in the order they were published."""
        return replace(self, events=(*self.events, Published(event.name, _key(key), event.text_of(body))))

    def set_timer(self, timer: Timer[B], due: int, body: B | None = None) -> Decision[R]:
        """Sets a timer of this aggregate, or moves it, to `due` milliseconds since 1970-01-01T00:00:00Z. A time in the
        past means at once."""
        if type(due) is not int or due < 0:
            raise TypeError(f"the timer {timer.name!r} is due at milliseconds since 1970 (turn.time + …), not at {due!r}")
        return replace(self, timers=(*self.timers, TimerChange(timer.name, due, timer.text_of(cast(B, body)))))

    def cancel_timer(self, timer: Timer[Any]) -> Decision[R]:
        """Cancels a timer of this aggregate. One that is not set is fine."""
        return replace(self, timers=(*self.timers, TimerChange(timer.name)))

    def reply(self, body: B) -> Decision[B]:
        """Answers the command: done."""
        return cast("Decision[B]", replace(self, answer="done", body=body))

    def pending(self, body: B) -> Decision[B]:
        """Answers the command: taken, and the saga has yet to decide."""
        return cast("Decision[B]", replace(self, answer="pending", body=body))


def _key(key: object) -> str:
    if isinstance(key, float):
        raise TypeError(f"the key {key!r} is a float: use an int or a str")
    return str(key)
