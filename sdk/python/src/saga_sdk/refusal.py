"""Three ways to say no: `Refusal`, `Malformed`, `RetryLater`. A rule raises them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class RefusalType:
    """A type of refusal that a command may answer. `code` is a stable word for programs, `summary` one sentence for the
    API document."""

    kind: str
    code: str
    summary: str

    @classmethod
    def invalid(cls, code: str, summary: str) -> RefusalType:
        """The request makes no sense to the rules (HTTP 422)."""
        return cls("invalid", code, summary)

    @classmethod
    def not_found(cls, code: str, summary: str) -> RefusalType:
        """There is no such aggregate (HTTP 404)."""
        return cls("not-found", code, summary)

    @classmethod
    def conflict(cls, code: str, summary: str) -> RefusalType:
        """The aggregate's state does not allow it (HTTP 409)."""
        return cls("conflict", code, summary)

    @classmethod
    def forbidden(cls, code: str, summary: str) -> RefusalType:
        """The caller may not (HTTP 403)."""
        return cls("forbidden", code, summary)

    @contextmanager
    def on(self, error: type[Exception], at: str | None = None) -> Iterator[None]:
        """Refuses the command if this error is raised within: ``with NO_MONEY.on(MoneyError, at="/amount"): …``. Its text
        is what the client is told."""
        try:
            yield
        except error as raised:
            raise Refusal(self, str(raised), at) from None


#: The refusal where a command is for an aggregate that does not exist.
NOT_FOUND = RefusalType.not_found("not-found", "There is nothing of this key.")

#: The refusal where a command would make an aggregate that exists.
ALREADY_EXISTS = RefusalType.conflict("already-exists", "There is one of this key already.")


class Refusal(Exception):
    """The business says no to a command: nothing changes. The command declares the type with `refuses`.

    `detail` is a sentence for people that says what was wrong and what to do; `at` is the place in the request's body
    that it is about, as a JSON pointer.
    """

    def __init__(self, type: RefusalType, detail: str, at: str | None = None) -> None:
        super().__init__(f"{type.code}: {detail}")
        self.type, self.detail, self.pointer = type, detail, at


class Undecided(Exception):
    """A message that was not decided."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class Malformed(Undecided):
    """This message can never be decided: an event becomes a dead letter, a client gets 400. The text says why."""


class RetryLater(Undecided):
    """Not now: the host offers the message again later, in order, for a while. The text says what it waits for."""
