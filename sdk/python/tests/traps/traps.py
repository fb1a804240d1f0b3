"""Rules that do what rules should not, each in a command of its own. Tests say what becomes of it."""

import datetime
import importlib
import json
import os
import random
import secrets
import sys
import time
import uuid
from dataclasses import dataclass
from decimal import Decimal
from itertools import count
from typing import Any

from saga_sdk import (
    Command,
    Contract,
    Decision,
    EventType,
    Int64,
    Malformed,
    NoReply,
    Refusal,
    RefusalType,
    RetryLater,
    Subscription,
    Turn,
    camel_case,
)  # fmt: skip

TAKEN = RefusalType.conflict("taken", "The number is taken.")


@camel_case
@dataclass(frozen=True)
class Asked:
    """What a client asks for."""

    customer_id: Int64 = 1
    amount: Decimal = Decimal(0)
    what: str = ""


@camel_case
@dataclass(frozen=True)
class Note:
    """The state: what was asked last."""

    asked: Asked
    turns: int = 0


ASKED = EventType("traps.asked", "traps", Asked)

seen: list[str] = []
total = 0
numbers = count(1)


class Tally:
    """Keeps a number where it should not."""

    kept = 0


class OutOfStock(Exception):
    """An exception of the author."""


def keep(note: Note | None, asked: Asked, turn: Turn[str]) -> Decision[Asked]:
    return Decision.put(Note(asked)).publish(ASKED, turn.key, asked).reply(asked)


def fail(note: Note | None, asked: Asked, turn: Turn[str]) -> Decision[Any]:
    what = asked.what
    if what == "key":
        return {}["totals"]
    if what == "zero":
        return 1 / 0
    if what == "value":
        raise ValueError("the price is no number")
    if what == "own":
        raise OutOfStock("nothing left of C7")
    if what == "type":
        return 1 + "1"
    if what == "attribute":
        return None.price
    if what == "assert":
        assert asked.amount > 0, "an amount above zero"
    if what == "exit":
        sys.exit("the rules give up")
    if what == "chained":
        try:
            raise KeyError("C7")
        except KeyError as error:
            raise OutOfStock("no such seat") from error
    if what == "long":
        raise ValueError("x" * 5_000)
    if what == "unicode":
        raise ValueError("the price is ¥10 \N{SNOWMAN}")
    if what == "memory":
        return len([b"x" * 1_000_000 for _ in range(10_000)])
    if what == "loop":
        while True:
            pass
    if what == "refusal":
        raise Refusal(TAKEN, "it is taken", at="/what")
    if what == "malformed":
        raise Malformed("it makes no sense")
    if what == "later":
        raise RetryLater("the price list is missing")
    if what == "undeclared":
        raise Refusal(RefusalType.conflict("other", "Another one."), "it is another one")
    return Decision.unchanged().reply(None)


def late(note: Note | None, asked: Asked, turn: Turn[str]) -> Decision[str]:
    if asked.what == "statement":
        import colorsys

        return Decision.unchanged().reply(str(colorsys.rgb_to_hls(0, 0, 0)))
    if asked.what == "strptime":
        return Decision.unchanged().reply(str(datetime.datetime.strptime("2026-01-02", "%Y-%m-%d")))
    return Decision.unchanged().reply(importlib.import_module("colorsys").__name__)


def deep(note: Note | None, asked: Asked, turn: Turn[str]) -> Decision[int]:
    def down(level: int) -> int:
        return 0 if level == 0 else 1 + down(level - 1)

    return Decision.unchanged().reply(down(int(asked.amount)))


def chance(note: Note | None, asked: Asked, turn: Turn[str]) -> Decision[str]:
    drawn = {
        "random": lambda: f"{random.random()} {random.randint(1, 10**9)} {random.Random().random()}",
        "shuffle": lambda: str(random.sample(range(100), 20)),
        "uuid4": lambda: str(uuid.uuid4()),
        "uuid1": lambda: str(uuid.uuid1()),
        "urandom": lambda: os.urandom(8).hex(),
        "secrets": lambda: secrets.token_hex(8) + str(random.SystemRandom().random()),
    }
    return Decision.unchanged().reply(drawn[asked.what]())


def clock(note: Note | None, asked: Asked, turn: Turn[str]) -> Decision[str]:
    read = {
        "time": lambda: str(int(time.time() * 1_000)),
        "time_ns": lambda: str(time.time_ns()),
        "now": lambda: datetime.datetime.now(datetime.timezone.utc).isoformat(),
        "today": lambda: datetime.date.today().isoformat(),
        "turn": lambda: turn.datetime.isoformat(),
        "monotonic": lambda: str(time.monotonic()),
        "sleep": lambda: str(time.sleep(1)),
    }
    return Decision.unchanged().reply(read[asked.what]())


def remember(note: Note | None, asked: Asked, turn: Turn[str]) -> Decision[int]:
    global total
    if asked.what == "rebound":
        total += 1
    if asked.what == "list":
        seen.append(turn.id)
    if asked.what == "class":
        Tally.kept += 1
    if asked.what == "iterator":
        next(numbers)
    if asked.what == "new":
        globals()["fresh"] = turn.id
    if asked.what == "default":
        _with_default(turn.id)
    return Decision.unchanged().reply(total + len(seen) + Tally.kept)


def _with_default(id: str, ids: list[str] = []) -> None:  # noqa: B006
    ids.append(id)


def order_of_set(note: Note | None, asked: Asked, turn: Turn[str]) -> Decision[list[str]]:
    words = {f"word {number}" for number in range(20)}
    return Decision.unchanged().reply(sorted(words) if asked.what == "sorted" else list(words))


def naive(note: Note | None, asked: Asked, turn: Turn[str]) -> Decision[Any]:
    """Parses JSON in a text of its own."""
    return Decision.unchanged().reply(json.loads(asked.what))


def read_file(note: Note | None, asked: Asked, turn: Turn[str]) -> Decision[str]:
    with open(asked.what) as file:  # noqa: PTH123
        return Decision.unchanged().reply(file.read())


def show(note: Note, turn: Turn[str]) -> Note:
    return note


def asked_elsewhere(note: Note | None, asked: Asked, turn: Turn[str]) -> Decision[NoReply]:
    if asked.what:
        fail(note, asked, turn)
    return Decision.put(Note(asked))


def _command(name: str, handler: Any) -> Command:
    return Command.upsert(name, "POST", f"/notes/{{note}}/{name}", handler).summary(f"Tries {name}.").refuses(TAKEN)


contract = Contract("traps", "0.1.0", "Does what rules should not.", state=Note).endpoint("/traps", 0)
for _name, _handler in {
    "keep": keep,
    "fail": fail,
    "late": late,
    "deep": deep,
    "chance": chance,
    "clock": clock,
    "remember": remember,
    "order-of-set": order_of_set,
    "naive": naive,
    "read-file": read_file,
}.items():
    contract.command(_command(_name, _handler))
contract.command(Command.read("show", "/notes/{note}", show).summary("Shows a note."))
ASKED_ELSEWHERE = EventType("elsewhere.asked", "elsewhere", Asked)
contract.on(Subscription.to(ASKED_ELSEWHERE, "traps", "/customerId", asked_elsewhere)).publishes(ASKED)
