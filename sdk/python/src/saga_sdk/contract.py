"""`Contract`: the description of a participant, with the functions that decide."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import _json, migration
from ._shape import Misfit, Shape, schema_text, shape_of
from ._signature import reply_of, types_of, without_none
from .command import Command, path_parameters
from .decision import NoReply
from .event import EventType, Timer
from .listing import Listing, schema_at
from .migration import Migration
from .subscription import Subscription

#: A description in the names of the WIT world.
Description = dict[str, Any]


class Contract:
    """The description of a participant with aggregates of this state and keys of this type: `str`, `UInt64` for numbers
    that the host gives, or any type that is read from text and written as the same text.

    A mistake in it is found when a test of the participant runs, and by `saga verify`.
    """

    def __init__(self, name: str, version: str, summary: str, *, state: Any, key: Any = str) -> None:
        self.name, self.version, self.summary = name, version, summary
        self.state_type, self.key_type = state, key
        self.base_path, self.port = "", 0
        self.version_of_state = 1
        self.migrations: list[Migration] = []
        self.commands: list[Command] = []
        self.subscriptions: list[Subscription] = []
        self.publications: list[EventType[Any]] = []
        self.timers: list[tuple[Timer[Any], Callable[..., Any]]] = []
        self.listings: list[Listing] = []
        self.default_settings: Any = None
        self.metadata_names: list[str] = []
        self.claim_names: list[str] = []

    def endpoint(self, base_path: str, port: int) -> Contract:
        """The default endpoint of the commands: a prefix of every path (empty, or `/…` without a `/` at its end) and a TCP
        port (0: the host chooses). The operator may override both."""
        self.base_path, self.port = base_path, port
        return self

    def state_version(self, version: int) -> Contract:
        """Version of the shape of the state, where it is not 1. It goes up whenever stored states of the former shape can't
        be read any more, or would lose something by it."""
        self.version_of_state = version
        return self

    def migrate(self, version: int, step: Callable[[Any], Any]) -> Contract:
        """Reads states of this version, by making them the shape of the next version. Oldest first."""
        self.migrations.append(Migration.of(version, step))
        return self

    def command(self, command: Command) -> Contract:
        """Takes a command."""
        if command.state_type is not None:
            self._same_state(f"command {command.name}", command.state_type)
        self.commands.append(command)
        return self

    def on(self, subscription: Subscription) -> Contract:
        """Listens to an event."""
        self._same_state(f"subscription {subscription.event.name}", subscription.state_type)
        self.subscriptions.append(subscription)
        return self

    def publishes(self, *events: EventType[Any]) -> Contract:
        """Declares events that handlers may publish."""
        self.publications += events
        return self

    def timer(self, timer: Timer[Any], handler: Callable[..., Any]) -> Contract:
        """Declares a timer that handlers may set, and decides when it is due: `handler(state, body, turn)`. A timer of an
        aggregate that is gone by then does nothing."""
        what = f"timer {timer.name}"
        parameters, returned = types_of(handler, 3, what)
        self._same_state(what, parameters[0])
        if reply_of(returned, what) is not NoReply:
            raise TypeError(f"{what}: a timer is not answered: let its handler return a Decision without a reply")
        if shape_of(parameters[1]) is not timer.shape:
            raise TypeError(f"{what}: its handler reads {parameters[1]!r}, but the timer has {timer.body!r}")
        self.timers.append((timer, handler))
        return self

    def settings(self, default: Any) -> Contract:
        """Takes settings from the operator: a dataclass with the default values. Handlers read them with
        `turn.settings(Type)`."""
        self.default_settings = default
        return self

    def metadata(self, *names: str) -> Contract:
        """Asks for headers of requests and records by name, in lower case. They are recorded with each message."""
        self.metadata_names += names
        return self

    def claims(self, *names: str) -> Contract:
        """Asks for claims of callers by name. They are recorded with each command."""
        self.claim_names += names
        return self

    def listing(self, listing: Listing) -> Contract:
        """Lets clients read the participant's aggregates page by page."""
        self.listings.append(listing)
        return self

    @property
    def state(self) -> Shape:
        return shape_of(self.state_type)

    def describe(self) -> Description:
        """The description for the host. Makes every schema."""
        written = _json.read(schema_text(self.state, writes=True)) if self.listings else {}
        return {
            "name": self.name,
            "version": self.version,
            "summary": self.summary,
            "state": {
                "version": self.version_of_state,
                "oldest_readable": min((one.version for one in self.migrations), default=self.version_of_state),
                "schema": schema_text(self.state, writes=False),
            },
            "endpoint": {"base_path": self.base_path, "port": self.port},
            "commands": [_command(one) for one in self.commands],
            "subscriptions": [_subscription(one) for one in self.subscriptions],
            "publications": [
                {
                    "event_type": one.name,
                    "topic": one.topic,
                    "schema": schema_text(one.shape, writes=True),
                    "version": one.version,
                }
                for one in self.publications
            ],
            "timers": [{"name": timer.name, "schema": schema_text(timer.shape, writes=False)} for timer, _ in self.timers],
            "listings": [
                {
                    "name": one.name,
                    "summary": one.summary_text,
                    "path": one.path,
                    "item": one.item,
                    "filters": [
                        {"parameter": name, "pointer": pointer, "schema": schema_at(written, pointer)}
                        for name, pointer in one.filters
                    ],
                }
                for one in self.listings
            ],
            "settings": self._settings(),
            "metadata": list(self.metadata_names),
            "claims": list(self.claim_names),
        }

    def settings_text(self) -> str:
        """The settings of rules for which the operator gave none."""
        if self.default_settings is None:
            return "{}"
        return shape_of(type(self.default_settings)).write(self.default_settings)

    def handlers(self) -> list[Callable[..., Any]]:
        """All functions that decide."""
        handlers: list[Callable[..., Any]] = [one.handler for one in self.commands]
        handlers += [one.handler for one in self.subscriptions]
        handlers += [handler for _, handler in self.timers]
        handlers += [one.step for one in self.migrations]
        return handlers + [step.step for one in self.subscriptions for step, _ in one.older]

    def problems(self) -> list[str]:
        """Mistakes in the contract, one sentence each. `saga verify` finds the others."""
        found: list[str] = []
        _twice(found, "command", [one.name for one in self.commands])
        _twice(found, "timer", [timer.name for timer, _ in self.timers])
        _twice(found, "publication", [one.name for one in self.publications])
        _twice(found, "subscription", [f"{one.event.name} on {one.event.topic}" for one in self.subscriptions])
        for command in self.commands:
            what = f"command {command.name}"
            if not command.summary_text:
                found.append(f"{what}: has no summary: add .summary(…)")
            if command.key_source == "path" and command.key_value not in path_parameters(command.path):
                found.append(f"{what}: its path {command.path!r} has no parameter that is the key: add .key_parameter(…)")
            if command.is_pending and command.kind != "read":
                found.append(f"{what}: is no read, so pending_while means nothing: let its handler answer .pending(…)")
        names = [one.name for one in self.commands if one.kind == "read"]
        for listing in self.listings:
            if not listing.summary_text:
                found.append(f"listing {listing.name}: has no summary: add .summary(…)")
            if listing.item not in names:
                found.append(f"listing {listing.name}: there is no read {listing.item!r}")
        found += migration.problems(self.migrations, "state", self.version_of_state, self.state_type)
        for one in self.subscriptions:
            steps = [step for step, _ in one.older]
            found += migration.problems(steps, one.event.name, one.event.version, one.body_type)
        try:
            described = self.describe()
        except (Misfit, TypeError) as error:
            return [*found, str(error)]
        for listed in described["listings"]:
            for one_filter in listed["filters"]:
                if one_filter["schema"] == "false":
                    found.append(f"listing {listed['name']}: the state has nothing at {one_filter['pointer']!r}")
        return found

    def _same_state(self, what: str, state: Any) -> None:
        if without_none(state) != self.state_type and state != self.state_type:
            raise TypeError(f"{what}: its handler reads the state {state!r}, but the contract has {self.state_type!r}")

    def _settings(self) -> Description | None:
        if self.default_settings is None:
            return None
        schema = schema_text(shape_of(type(self.default_settings)), writes=False)
        return {"schema": schema, "default": self.settings_text()}

    def __deepcopy__(self, _: object) -> Contract:
        return self


def _command(command: Command) -> Description:
    return {
        "name": command.name,
        "summary": command.summary_text,
        "method": command.method.lower(),
        "path": command.path,
        "kind": {"create": "create", "read": "read"}.get(command.kind, "change"),
        "readable": command.readable,
        "key": (command.key_source, command.key_value),
        "request": schema_text(command.body, writes=False) if command.has_body else None,
        "reply": schema_text(command.answer, writes=True),
        "refusals": [{"kind": one.kind, "code": one.code, "summary": one.summary} for one in command.refusals],
        "requires": list(command.permissions),
    }


def _subscription(one: Subscription) -> Description:
    return {
        "event_type": one.event.name,
        "topic": one.event.topic,
        "group": one.group,
        "key": one.key,
        "untyped": one.is_untyped,
        "schema": schema_text(one.event.shape, writes=False),
        "version": one.event.version,
        "older": [
            {"version": step.version, "key": key or one.key, "schema": schema_text(step.shape, writes=False)}
            for step, key in one.older
        ],
    }


def _twice(found: list[str], what: str, names: list[str]) -> None:
    found += [f"{what} {name}: there are two of this name" for name in sorted({*names}) if names.count(name) > 1]
