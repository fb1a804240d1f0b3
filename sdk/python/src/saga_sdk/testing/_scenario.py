"""`Scenario`: an aggregate that waits for a message."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from .. import _json
from .._shape import Misfit, shape_of
from ..command import Command, path_parameters
from ..contract import Contract
from ..event import EventType, Timer
from ..refusal import Undecided
from ..rules import Outcome, Rules
from ..turn import Caller, Message
from ._checks import of_message, of_outcome, problems
from ._clean import decided_alike
from ._then import Then

_rules: dict[int, tuple[Contract, Rules]] = {}


@dataclass(frozen=True)
class Limits:
    """The limits of a turn that a host has by default, by their settings."""

    record_bytes: int = 1 << 20
    body_bytes: int = 1 << 20
    key_bytes: int = 512
    state_bytes: int = 256 << 10
    event_bytes: int = 512 << 10
    reply_bytes: int = 1 << 20
    events: int = 64
    timers: int = 16


def rules_of(contract: Contract) -> Rules:
    """The rules of a contract without mistakes, made once."""
    known = _rules.get(id(contract))
    if known is None:
        mistakes = contract.problems()
        assert not mistakes, "the contract has mistakes:\n" + "\n".join(mistakes)
        known = _rules[id(contract)] = (contract, Rules(contract))
    return known[1]


class Scenario:
    """An aggregate that waits for a message."""

    def __init__(self, contract: Contract, state: str | None) -> None:
        self._contract, self._rules, self._state = contract, rules_of(contract), state
        self._key: str | None = None
        self._parameters: dict[str, str] = {}
        self._limits = Limits()
        self._settings = contract.settings_text()
        self._caller: Caller | None = None
        self._metadata: dict[str, str] = {}
        self._turns = 0
        self._message = Message("command", "", "", "null")
        self._id: str | None = None
        self._last = ""

    def key(self, key: object) -> Scenario:
        """Key of the aggregate. By default the key that the contract finds in the body, or `1`."""
        self._key = str(key)
        return self

    def time(self, millis: int) -> Scenario:
        """Time of the next turns, in milliseconds since 1970-01-01T00:00:00Z. Unless given: 0."""
        self._message = replace(self._message, time=millis)
        return self

    def limits(self, limits: Limits) -> Scenario:
        """The limits of the hosts that will run the rules, if they are not the default ones."""
        self._limits = limits
        return self

    def settings(self, settings: Any) -> Scenario:
        """The settings that the operator gave, if they are not the default ones."""
        self._settings = _text(type(settings), settings, "the settings")
        return self

    def id(self, id: str) -> Scenario:
        """Id of the next message. Unless given: one that no other message of the scenario has."""
        self._id = id
        return self

    def source(self, source: str) -> Scenario:
        """Source of the next messages, a URI reference."""
        self._message = replace(self._message, source=source)
        return self

    def correlation(self, correlation: str) -> Scenario:
        """Id of the saga of the next messages."""
        self._message = replace(self._message, correlation=correlation)
        return self

    def caller(self, subject: str, claims: Any = None, permissions: tuple[str, ...] | None = None) -> Scenario:
        """Who sends the next commands. Unless given, the rules are not told. A command that requires a permission which
        `permissions` leaves out fails the test: a host answers 403."""
        text = "{}" if claims is None else _text(type(claims), claims, "the claims")
        self._caller = Caller(subject, text, permissions)
        return self

    def metadata(self, name: str, value: str) -> Scenario:
        """A header of the next requests and records."""
        asked = self._contract.metadata_names
        assert name in asked, f"the contract does not ask for the header {name!r}: add it to .metadata(…)"
        self._metadata[name] = value
        return self

    def parameter(self, name: str, value: str) -> Scenario:
        """A parameter in the path of the next commands, besides the key."""
        self._parameters[name] = value
        return self

    def when_command(self, name: str, body: Any = None) -> Then:
        """A client sends this command."""
        command = self._command(name)
        text = _text(command.body_type, body, "the command's body") if command.has_body else "null"
        return self.when_command_json(name, text)

    def when_command_json(self, name: str, body: str) -> Then:
        """A client sends this command with this text as its body."""
        command = self._command(name)
        key = self._key_in(body, command.key_value) if command.key_source == "body" else self._key_or_default()
        if self._caller and self._caller.permissions is not None:
            lacking = [one for one in command.permissions if one not in self._caller.permissions]
            assert not lacking, f"a host would not offer the message: the caller lacks the permission {', '.join(lacking)}"
        parameters = []
        for parameter in path_parameters(command.path):
            is_key = command.key_source == "path" and command.key_value == parameter
            value = key if is_key else self._parameters.get(parameter)
            assert value is not None, f"say .parameter({parameter!r}, …) for the path {command.path!r}"
            parameters.append((parameter, value))
        message = self._of("command", name, key, body)
        return self._run(replace(message, caller=self._caller, parameters=tuple(parameters)))

    def when_event(self, event: EventType[Any], body: Any) -> Then:
        """This event arrives, in the version that it says."""
        return self.when_event_json(event, _text(event.body, body, event.name))

    def when_event_json(self, event: EventType[Any], body: str) -> Then:
        """This event arrives with this text as its body."""
        found = [one for one in self._contract.subscriptions if (one.event.name, one.event.topic) == (event.name, event.topic)]
        assert found, f"there is no subscription to {event.name!r} on {event.topic!r}"
        pointers = {found[0].event.version: found[0].key}
        pointers.update({step.version: key or found[0].key for step, key in found[0].older})
        assert event.version in pointers, (
            f"the subscription to {event.name!r} does not read version {event.version}: a host would make a dead letter of it"
        )
        key = self._key_in(body, pointers[event.version])
        return self._run(replace(self._of("event", event.name, key, body), version=event.version))

    def when_timer(self, timer: Timer[Any], body: Any = None) -> Then:
        """This timer is due."""
        text = _text(timer.body, body, timer.name)
        return self._run(replace(self._of("timer", timer.name, self._key_or_default(), text), metadata=()))

    def _command(self, name: str) -> Command:
        commands = {one.name: one for one in self._contract.commands}
        assert name in commands, f"there is no command {name!r}, only {sorted(commands)}"
        return commands[name]

    def _of(self, origin: str, name: str, key: str, body: str) -> Message:
        return replace(
            self._message,
            origin=origin,
            name=name,
            key=key,
            body=body,
            id=self._id or f"test-{self._turns + 1}",
            metadata=tuple((one, self._metadata[one]) for one in self._contract.metadata_names if one in self._metadata),
        )

    def _run(self, message: Message) -> Then:
        self._turns += 1
        self._id, self._last = None, message.name
        beyond = of_message(self._limits, self._state, message)
        assert not beyond, "a host would not offer the message:\n" + "\n".join(beyond)
        verdict: Outcome | Undecided
        try:
            verdict = self._rules.handle(self._state, message, self._settings)
        except Undecided as undecided:
            verdict = undecided
        if isinstance(verdict, Outcome):
            beyond = of_outcome(self._limits, verdict)
            assert not beyond, "the outcome is beyond the host's limits, so nothing of it would take effect:\n" + "\n".join(
                beyond
            )
            mistakes = problems(self._contract, message, verdict)
            assert not mistakes, "the outcome breaks the contract:\n" + "\n".join(mistakes)
        decided_alike(self._contract, (self._state, message, self._settings), verdict)
        return Then(self, verdict)

    def _goes_on(self, state: str | None) -> Scenario:
        self._state = state
        return self

    def _key_or_default(self) -> str:
        return "1" if self._key is None else self._key

    def _key_in(self, body: str, pointer: str) -> str:
        if self._key is not None:
            return self._key
        try:
            key = _json.at(_json.read(body), pointer)
        except _json.NotJson:
            return self._key_or_default()
        return str(key) if isinstance(key, (str, int)) and not isinstance(key, bool) else self._key_or_default()


def _text(kind: Any, value: Any, what: str) -> str:
    try:
        return shape_of(kind).write(value)
    except Misfit as misfit:
        raise AssertionError(f"{what} does not fit: {misfit}") from None
