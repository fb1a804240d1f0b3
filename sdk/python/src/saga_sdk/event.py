"""`EventType` and `Timer`: names with a Python type behind them."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Generic, TypeVar

from ._shape import Misfit, Shape, shape_of

B = TypeVar("B")


class _Named(Generic[B]):
    name: str
    body: Any

    @cached_property
    def shape(self) -> Shape:
        return shape_of(self.body)

    def text_of(self, body: B) -> str:
        """The body as JSON."""
        try:
            return self.shape.write(body)
        except Misfit as misfit:
            raise TypeError(f"the body of {self.name!r} does not fit: {misfit}") from None

    def __deepcopy__(self, _: object) -> _Named[B]:
        return self


class EventType(_Named[B]):
    """A type of event: its name (the CloudEvents `type`), the topic that it travels on, the type of its body.

    The version goes up when those who read the former body can't read the new one. They read both with
    `Subscription.upcast`, and are deployed first.
    """

    def __init__(self, name: str, topic: str, body: type[B] | Any, version: int = 1) -> None:
        self.name, self.topic, self.body, self.version = name, topic, body, version

    def __repr__(self) -> str:
        return f"EventType({self.name!r}, {self.topic!r})"


class Timer(_Named[B]):
    """A timer that an aggregate may set: its name and the type of its body.

    Timers belong to the aggregate of the turn and are identified by name: setting one again moves it.
    """

    def __init__(self, name: str, body: type[B] | Any = None) -> None:
        self.name, self.body = name, body

    def __repr__(self) -> str:
        return f"Timer({self.name!r})"
