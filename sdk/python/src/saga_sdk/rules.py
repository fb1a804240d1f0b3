"""`Rules`: a contract ready to decide. The component and the test kit run exactly this.

A bad body is the message's fault (`Malformed`). A stored state that the rules can't read ends the turn as a fault, so that
the message is neither lost nor answered.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from . import _json, migration
from ._purity import Globals
from ._shape import Misfit, Shape
from ._turn_values import turn_values
from .command import Command
from .contract import Contract, Description
from .decision import Decision, Published, TimerChange
from .refusal import ALREADY_EXISTS, NOT_FOUND, Malformed, Refusal, RefusalType, Undecided
from .turn import Message, Turn, read_key, turn_of


class Fault(Exception):
    """A mistake of the rules or of the host: the turn ends, and nothing changes."""


@dataclass(frozen=True)
class Reply:
    """The answer to a command: its body, or a refusal."""

    kind: str
    body: str | None = None
    refusal: Refusal | None = None


@dataclass(frozen=True)
class Outcome:
    """The effects of a decision. The values are JSON."""

    change: str
    state: str | None = None
    events: tuple[Published, ...] = ()
    timers: tuple[TimerChange, ...] = ()
    reply: Reply | None = None


class Rules:
    """The rules of a contract."""

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self._commands = {one.name: one for one in contract.commands}
        self._events = {one.event.name: one for one in reversed(contract.subscriptions)}
        self._timers = {timer.name: (timer, handler) for timer, handler in contract.timers}
        # Made before the first message, so that no turn pays for them.
        self._state = contract.state
        for command in contract.commands:
            _ = command.answer, command.body
        self.globals = Globals(contract.handlers())

    def describe(self) -> Description:
        """`rules.describe` of the WIT world."""
        return self.contract.describe()

    def handle(self, state: str | None, message: Message, settings: str) -> Outcome:
        """`rules.handle` of the WIT world. Raises `Malformed` and `RetryLater`; any other exception is a fault."""
        with turn_values(message):
            try:
                outcome = self._decide(state, message, settings)
            except Undecided:
                self.globals.check()
                raise
        self.globals.check()
        return outcome

    def migrate(self, version: int, state: str) -> str:
        """`rules.migrate` of the WIT world."""
        current = self.contract.version_of_state
        try:
            if version != current:
                return migration.run(self.contract.migrations, "a state", version, current, state)
            return self._state.write(self._state.read(_json.read(state)))
        except Misfit as error:
            raise Malformed(
                f"a state of version {version} can't be read: {error}" if version == current else str(error)
            ) from None
        except _json.NotJson as error:
            raise Malformed(f"a state of version {version} can't be read: {error}") from None

    def _decide(self, state: str | None, message: Message, settings: str) -> Outcome:
        if message.origin == "command" and message.name in self._commands:
            return self._command(self._commands[message.name], state, message, settings)
        if message.origin == "event" and message.name in self._events:
            subscription = self._events[message.name]
            body, current = message.body, subscription.event.version
            if message.version != current:
                steps, what = [step for step, _ in subscription.older], f"the event {message.name}"
                try:
                    body = migration.run(steps, what, message.version, current, body)
                except Misfit as misfit:
                    raise Malformed(str(misfit)) from None
            present = self._read_state(state)
            turn = self._turn(message, settings)
            decided = _run(subscription.handler, present, _body(subscription.event.shape, body), turn)
            return self._outcome(decided, subscription.handler)
        if message.origin == "timer" and message.name in self._timers:
            timer, handler = self._timers[message.name]
            present = self._read_state(state)
            if state is None:
                return Outcome("unchanged")
            turn = self._turn(message, settings)
            return self._outcome(_run(handler, present, _body(timer.shape, message.body), turn), handler)
        raise Malformed(f"these rules know no {message.origin} named {_json.quoted(message.name)}")

    def _command(self, command: Command, state: str | None, message: Message, settings: str) -> Outcome:
        if command.kind == "create" and state is not None:
            return _refused(Refusal(ALREADY_EXISTS, f"{_json.quoted(message.key)} exists already: choose another"))
        present = None if command.kind == "create" else self._read_state(state)
        if command.kind in ("change", "read") and state is None:
            return _refused(Refusal(NOT_FOUND, f"There is nothing of the key {_json.quoted(message.key)}."))
        turn = self._turn(message, settings)
        handler = command.handler
        try:
            if command.kind == "read":
                reply = handler(present, turn)
                kind = "pending" if command.is_pending and command.is_pending(present) else "done"
                text = _fitting(command.answer, reply, "the reply", handler)
                return Outcome("unchanged", reply=Reply(kind, text))
            # A command without a body ignores one that a client sends.
            body = _body(command.body, message.body) if command.has_body else None
            decided = handler(body, turn) if command.kind == "create" else handler(present, body, turn)
        except Refusal as refusal:
            return _refused(refusal)
        return self._outcome(decided, handler, command.answer)

    def _turn(self, message: Message, settings: str) -> Turn[Any]:
        return turn_of(message, read_key(self.contract.key_type, message.key), settings)

    def _read_state(self, text: str | None) -> Any:
        if text is None:
            return None
        try:
            return self._state.read(_json.read(text))
        except (Misfit, _json.NotJson) as error:
            raise Fault(
                f"the stored state can't be read by these rules: {error}; raise state_version and add a migration"
            ) from None

    def _outcome(self, decided: Any, handler: Callable[..., Any], answer: Shape | None = None) -> Outcome:
        if not isinstance(decided, Decision):
            _fault(f"the handler returned {type(decided).__name__}, and not a Decision", handler)
        if decided.change == "put" and decided.state is None:
            _fault("the new state is None: use Decision.remove()", handler)
        state = _fitting(self._state, decided.state, "the new state", handler) if decided.change == "put" else None
        reply = None
        if answer is not None:
            if decided.answer is None:
                _fault("the command is not answered: end the decision with .reply(…) or .pending(…)", handler)
            reply = Reply(decided.answer, _fitting(answer, decided.body, "the reply", handler))
        elif decided.answer is not None:
            _fault("only commands are answered", handler)
        return Outcome(decided.change, state, decided.events, decided.timers, reply)


def _run(handler: Callable[..., Any], *arguments: Any) -> Any:
    """The decision on an event or a timer, which can't be refused."""
    try:
        return handler(*arguments)
    except Refusal as refusal:
        _fault(f"only commands can be refused (it refused with {refusal.type.code!r}): publish an event", handler)


def _refused(refusal: Refusal) -> Outcome:
    return Outcome("unchanged", reply=Reply("refused", refusal=refusal))


def _body(shape: Shape, text: str) -> Any:
    try:
        return shape.read(_json.read(text))
    except (Misfit, _json.NotJson) as error:
        raise Malformed(f"the body is not of the expected shape: {error}") from None


def _fitting(shape: Shape, value: Any, what: str, handler: Callable[..., Any]) -> str:
    try:
        return shape.write(value)
    except Misfit as misfit:
        _fault(f"{what} does not fit: {misfit}", handler)


def _fault(reason: str, handler: Callable[..., Any]) -> NoReturn:
    code = getattr(handler, "__code__", None)
    where = f" (decided by {handler.__qualname__}, {place(code.co_filename)}:{code.co_firstlineno})" if code else ""
    raise Fault(reason + where) from None


def place(file: str) -> str:
    """The name of a file in a message: below the folder that was mounted when the component was built, or its end."""
    parts = file.replace("\\", "/").split("/")
    if len(parts) > 2 and parts[0] == "" and parts[1].isdigit():
        return "/".join(parts[2:])
    return "/".join(parts[-2:])


__all__ = ["Fault", "Outcome", "Reply", "Rules", "RefusalType"]
