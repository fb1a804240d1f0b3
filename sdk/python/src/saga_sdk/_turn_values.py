"""What a rule may read besides its arguments: values that follow from the turn, so that a decision can be replayed.

In a component the clock is the turn's: the host sees to that. Chance follows from the message: `random`, `uuid4`,
`os.urandom` and `secrets` give the same values for the same message, in a component and in a test, whatever was decided
before. What can't be made a value of the turn is a clear error.
"""

from __future__ import annotations

import decimal
import hashlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .turn import Message


class ImpureError(RuntimeError):
    """A rule used something that is not an argument, and no value of the turn."""


#: What every turn begins with: another turn may have changed it.
_ARITHMETIC = decimal.Context(
    prec=28,
    rounding=decimal.ROUND_HALF_EVEN,
    Emin=-999_999,
    Emax=999_999,
    capitals=1,
    clamp=0,
    traps=[decimal.InvalidOperation, decimal.DivisionByZero, decimal.Overflow],
)


class _Chance:
    """Bytes that follow from a message."""

    def __init__(self) -> None:
        self.seed = b""
        self.drawn = 0

    def begin(self, message: Message) -> None:
        self.seed = f"{message.source}\n{message.id}\n{message.key}".encode()
        self.drawn = 0

    def __call__(self, number: int) -> bytes:
        taken = b""
        while len(taken) < number:
            self.drawn += 1
            taken += hashlib.sha256(b"%d\n" % self.drawn + self.seed).digest()
        return taken[:number]


_chance = _Chance()


#: Rules may recurse this deep, in a component and in a test.
DEEPEST = 5_000


def _refuse(what: str, instead: str) -> Any:
    def refused(*_: object, **__: object) -> Any:
        raise ImpureError(f"a rule can't use {what}: {instead}")

    return refused


_REFUSED = {
    "uuid": {
        "getnode": _refuse("the address of the machine (uuid1, getnode)", "use uuid4, which follows from the message"),
        "uuid1": _refuse("uuid1, which has the address of the machine", "use uuid4, which follows from the message"),
        "uuid6": _refuse("uuid6, which has the address of the machine", "use uuid4, which follows from the message"),
        "uuid7": _refuse("uuid7, which counts on from the last one", "use uuid4, which follows from the message"),
    },
    "time": {
        "sleep": _refuse("time.sleep", "set a timer"),
        "monotonic": _refuse("time.monotonic", "use turn.time"),
        "monotonic_ns": _refuse("time.monotonic_ns", "use turn.time"),
        "perf_counter": _refuse("time.perf_counter", "use turn.time"),
        "perf_counter_ns": _refuse("time.perf_counter_ns", "use turn.time"),
        "process_time": _refuse("time.process_time", "use turn.time"),
        "process_time_ns": _refuse("time.process_time_ns", "use turn.time"),
    },
}


def patches() -> list[tuple[Any, str, Any]]:
    """What a turn sees instead: module, name, value. Only modules that are loaded."""
    found: list[tuple[Any, str, Any]] = [(os, "urandom", _chance)]
    random = sys.modules.get("random")
    if random is not None:
        found.append((random, "_urandom", _chance))
        found.append((random.Random, "seed", _seeded(random)))
    for name, refused in _REFUSED.items():
        module = sys.modules.get(name)
        if module is not None:
            found += [(module, attribute, value) for attribute, value in refused.items() if hasattr(module, attribute)]
    return [one for one in found if hasattr(one[0], one[1])]


_original_seed: Any = None


def _seeded(random: Any) -> Any:
    """`Random.seed`, which takes bytes of the turn where it is given nothing."""
    global _original_seed
    if _original_seed is None:
        _original_seed = random.Random.seed

    def seed(self: Any, a: Any = None, version: int = 2) -> None:
        _original_seed(self, _chance(32) if a is None else a, version)

    return seed


def begin(message: Message) -> None:
    """Begins a turn: arithmetic and chance as if no other turn had been."""
    decimal.setcontext(_ARITHMETIC.copy())
    _chance.begin(message)
    random = sys.modules.get("random")
    if random is not None:
        random._inst.seed(_chance.seed)
        random._inst.gauss_next = None


@contextmanager
def _in_component(message: Message) -> Iterator[None]:
    # An instance of a component decides, and does nothing else: nothing is put back.
    begin(message)
    yield


@contextmanager
def _in_test(message: Message) -> Iterator[None]:
    from .testing._guard import guarded

    with guarded(message):
        yield


turn_values = _in_component if sys.platform == "wasi" else _in_test


def install() -> None:
    """Puts the patches in place, for good. When a component is built."""
    for module, name, value in patches():
        setattr(module, name, value)
