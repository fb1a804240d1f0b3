"""`Command`: something that a client may ask, and the function that decides on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from ._shape import Shape, shape_of
from ._signature import reply_of, types_of
from .decision import NoReply
from .refusal import ALREADY_EXISTS, NOT_FOUND, RefusalType

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]


class Command:
    """A command. Built by one of `create`, `change`, `upsert`, `read`, and given to `Contract.command`.

    The key of the aggregate is the only parameter in the path, unless `key_parameter` or `key_in_body` says otherwise; a
    `create` without either gets the next number from the host.
    """

    def __init__(self, kind: str, name: str, method: str, path: str, handler: Callable[..., Any]) -> None:
        self.kind, self.name, self.method, self.path, self.handler = kind, name, method, path, handler
        self.summary_text = ""
        self.readable: str | None = None
        self.refusals: list[RefusalType] = []
        self.permissions: list[str] = []
        self.is_pending: Callable[[Any], bool] | None = None
        what = f"command {name}"
        parameters, returned = types_of(handler, 3 if kind in ("change", "upsert") else 2, what)
        self.body_type = None if kind == "read" else parameters[-2]
        self.state_type = None if kind == "create" else parameters[0]
        self.reply_type = returned if kind == "read" else reply_of(returned, what)
        if self.reply_type is NoReply:
            raise TypeError(f"{what}: a command is answered: let its handler return a Decision[…] of its reply")
        names = path_parameters(path)
        self.key_source, self.key_value = "path", names[0] if len(names) == 1 else ""
        if kind == "create" and not names:
            self.key_source = "generated"
        if kind in ("change", "read"):
            self.refusals.append(NOT_FOUND)

    @staticmethod
    def create(name: str, method: Method, path: str, handler: Callable[..., Any]) -> Command:
        """Makes a new aggregate: `handler(body, turn)`. Where it exists already, the SDK refuses."""
        return Command("create", name, method, path, handler)

    @staticmethod
    def change(name: str, method: Method, path: str, handler: Callable[..., Any]) -> Command:
        """May change an aggregate that exists: `handler(state, body, turn)`. Where there is none, the SDK refuses. A
        command without a body takes None."""
        return Command("change", name, method, path, handler)

    @staticmethod
    def upsert(name: str, method: Method, path: str, handler: Callable[..., Any]) -> Command:
        """Makes an aggregate, or changes the one that exists: `handler(state or None, body, turn)`."""
        return Command("upsert", name, method, path, handler)

    @staticmethod
    def read(name: str, path: str, handler: Callable[..., Any]) -> Command:
        """A GET that answers from the aggregate's state: `handler(state, turn)` gives the reply."""
        return Command("read", name, "GET", path, handler)

    def summary(self, text: str) -> Command:
        """One sentence for the API document. Every command needs one."""
        self.summary_text = text
        return self

    def refuses(self, *refusals: RefusalType) -> Command:
        """Declares refusals that the handler may raise."""
        self.refusals += refusals
        return self

    def requires(self, *permissions: str) -> Command:
        """Declares permissions that the caller needs, for example `orders:cancel`."""
        self.permissions += permissions
        return self

    def readable_at(self, path: str) -> Command:
        """Declares the path at which a created aggregate can be read, with one parameter, the key."""
        self.readable = path
        return self

    def pending_while(self, is_pending: Callable[[Any], bool]) -> Command:
        """Declares the states on which the saga has yet to decide. A read then answers `pending`, and clients that wait
        for the decision wait until it does not."""
        self.is_pending = self.is_pending or is_pending
        return self

    def key_parameter(self, name: str) -> Command:
        """Takes the key from this parameter, where the path has several."""
        self.key_source, self.key_value = "path", name
        return self

    def key_in_body(self, pointer: str) -> Command:
        """Takes the key from the string or whole number at this JSON pointer in the request's body."""
        self.key_source, self.key_value = "body", pointer
        if self.kind == "create":
            self.refusals.append(ALREADY_EXISTS)
        return self

    @property
    def has_body(self) -> bool:
        return self.body_type is not type(None) and self.body_type is not None

    @property
    def body(self) -> Shape:
        return shape_of(self.body_type)

    @property
    def answer(self) -> Shape:
        return shape_of(self.reply_type)


def path_parameters(path: str) -> list[str]:
    """Names of the parameters in a path template, in order."""
    return [rest.partition("}")[0] for rest in path.split("{")[1:] if "}" in rest]
