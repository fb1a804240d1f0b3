"""A turn in a test: the values of the turn in place of the machine's, put back afterwards."""

from __future__ import annotations

import datetime
import decimal
import random
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .._turn_values import DEEPEST, ImpureError, begin, patches
from ..rules import place
from ..turn import Message

_CLOCKS = {time.time, time.time_ns, time.monotonic, time.monotonic_ns, time.perf_counter, time.perf_counter_ns}
_NOW = {"now", "utcnow", "today"}


def _watched(frame: Any, event: str, called: Any) -> None:
    """A profiler that refuses to read the machine's clock, where a patch can't reach."""
    if event != "c_call":
        return
    name, owner = getattr(called, "__name__", ""), getattr(called, "__self__", None)
    is_now = name in _NOW and isinstance(owner, type) and issubclass(owner, datetime.date)
    if is_now or called in _CLOCKS:
        what = f"{owner.__name__}.{name}()" if is_now and isinstance(owner, type) else f"time.{name}()"
        where = f"{place(frame.f_code.co_filename)}:{frame.f_lineno}"
        raise ImpureError(
            f"the rule reads the machine's clock, {what}, at {where}: use turn.time or turn.datetime (in a component it would "
            "be the time of the turn)"
        )


@contextmanager
def guarded(message: Message) -> Iterator[None]:
    """The values of the turn, until it ends."""
    arithmetic, chance, profiler = decimal.getcontext(), random.getstate(), sys.getprofile()
    deepest = sys.getrecursionlimit()
    changed = [(module, name, getattr(module, name)) for module, name, _ in _all_patches(message)]
    try:
        for module, name, value in _all_patches(message):
            setattr(module, name, value)
        begin(message)
        sys.setrecursionlimit(max(DEEPEST, deepest))
        sys.setprofile(_watched)
        yield
    finally:
        sys.setprofile(profiler)
        sys.setrecursionlimit(deepest)
        for module, name, value in changed:
            setattr(module, name, value)
        decimal.setcontext(arithmetic)
        random.setstate(chance)


def _all_patches(message: Message) -> list[tuple[Any, str, Any]]:
    clock = [(time, "time", lambda: message.time / 1_000), (time, "time_ns", lambda: message.time * 1_000_000)]
    return [*patches(), *clock]
