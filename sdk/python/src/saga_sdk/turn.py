"""`Turn`: a rule's input besides the state and the body."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field
from typing import Annotated, Any, Generic, TypeVar, cast, get_args, get_origin

from . import _json
from ._shape import Misfit, shape_of
from .refusal import Malformed

K = TypeVar("K")
T = TypeVar("T")

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


@dataclass(frozen=True)
class Caller:
    """Who sent a command, as far as the host knows. The claims are JSON."""

    subject: str
    claims_text: str = "{}"
    #: What a test says of the caller's permissions. Rules are not told of permissions.
    permissions: tuple[str, ...] | None = None

    def claims(self, cls: type[T]) -> T:
        """The claims that the contract asks for with `claims`, as a dataclass or a dict."""
        try:
            return cast(T, shape_of(cls).read(_json.read(self.claims_text)))
        except (Misfit, _json.NotJson) as error:
            raise Malformed(f"the caller's claims: {error}") from None


@dataclass(frozen=True)
class Message:
    """A message as the host offers it."""

    origin: str
    name: str
    key: str
    body: str
    id: str = "test-1"
    source: str = "/test"
    time: int = 0
    correlation: str = "test-saga"
    causation: str | None = None
    caller: Caller | None = None
    metadata: tuple[tuple[str, str], ...] = ()
    version: int = 1
    parameters: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Turn(Generic[K]):
    """The circumstances of one message for one aggregate. The same for the same message, always, so a decision made from
    it can be replayed."""

    #: Key of the aggregate, in the type that the contract declares.
    key: K
    #: Identity of the message. The host applies one id at most once.
    id: str
    #: When the turn takes place, in milliseconds since 1970-01-01T00:00:00Z.
    time: int
    #: Source of the message: a URI reference such as `/saga/order`.
    source: str
    #: Id that all messages of one saga share.
    correlation: str
    #: Id of the message whose decision published this event or set this timer.
    causation: str | None
    #: Who sent the command. None for events and timers, and where the host does not authenticate callers.
    caller: Caller | None
    _metadata: tuple[tuple[str, str], ...] = field(repr=False)
    _parameters: tuple[tuple[str, str], ...] = field(repr=False)
    _settings: str = field(repr=False)

    @property
    def datetime(self) -> datetime.datetime:
        """When the turn takes place, in UTC."""
        return _EPOCH + datetime.timedelta(milliseconds=self.time)

    def metadata(self, name: str) -> str | None:
        """A header of the request or record that the contract asks for with `metadata`."""
        return dict(self._metadata).get(name)

    def parameter(self, name: str) -> str | None:
        """Value of a parameter in the command's path, percent-decoded."""
        return dict(self._parameters).get(name)

    def settings(self, cls: type[T]) -> T:
        """The settings that the operator gave to these rules, over the default ones."""
        try:
            return cast(T, shape_of(cls).read(_json.read(self._settings)))
        except (Misfit, _json.NotJson) as error:
            raise TypeError(f"the settings can't be read: {error}; declare this type with Contract.settings") from None


def turn_of(message: Message, key: Any, settings: str) -> Turn[Any]:
    return Turn(
        key,
        message.id,
        message.time,
        message.source,
        message.correlation,
        message.causation,
        message.caller,
        message.metadata,
        message.parameters,
        settings,
    )


def read_key(kind: Any, text: str) -> Any:
    """The key in its type. A message with another one is malformed."""
    if kind is str:
        return text
    arguments = get_args(kind) if get_origin(kind) is Annotated else ()
    base = arguments[0] if arguments else kind
    try:
        key = text if base is str else base(text)
        if arguments:
            shape_of(kind).read(key)
    except (ValueError, TypeError) as error:
        raise Malformed(f"the key {_json.quoted(text)} is no {base.__name__}: {error}") from None
    if str(key) != text:
        raise Malformed(f"the key {_json.quoted(text)} is no {base.__name__}: it is written {_json.quoted(str(key))}")
    return key
