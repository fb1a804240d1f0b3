"""`Subscription`: an event that a participant listens to, and the function that decides on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ._signature import reply_of, types_of
from .decision import NoReply
from .event import EventType
from .migration import Migration


class Subscription:
    """An event, and its handler: `handler(state or None, body, turn)`."""

    def __init__(self, event: EventType[Any], group: str, key: str, handler: Callable[..., Any]) -> None:
        self.event, self.group, self.key, self.handler = event, group, key, handler
        self.is_untyped = False
        self.older: list[tuple[Migration, str | None]] = []
        what = f"subscription {event.name}"
        parameters, returned = types_of(handler, 3, what)
        self.state_type, self.body_type = parameters[0], parameters[1]
        if reply_of(returned, what) is not NoReply:
            raise TypeError(f"{what}: an event is not answered: let its handler return a Decision without a reply")
        if self.body_type != event.body:
            raise TypeError(f"{what}: its handler reads {self.body_type!r}, but the event has {event.body!r}")

    @staticmethod
    def to(event: EventType[Any], group: str, key: str, handler: Callable[..., Any]) -> Subscription:
        """Listens to this event in this consumer group. `key` is the JSON pointer to the aggregate's key in the body."""
        return Subscription(event, group, key, handler)

    def untyped(self) -> Subscription:
        """Takes records on the topic that name no event type for this event too. At most one subscription of a topic
        may."""
        self.is_untyped = True
        return self

    def upcast(self, version: int, step: Callable[[Any], Any], key: str | None = None) -> Subscription:
        """Reads events of this older version too, by making their bodies those of the next version; `key` is the pointer
        to the key in them, where it is another one. Oldest first."""
        self.older.append((Migration.of(version, step), key))
        return self
