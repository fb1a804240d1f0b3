"""`Then`: assertions on a decision."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from .. import _json
from .._shape import Misfit, shape_of
from ..decision import TimerChange
from ..event import EventType, Timer
from ..refusal import Malformed, RefusalType, Undecided
from ..rules import Outcome, Reply

if TYPE_CHECKING:
    from ._scenario import Scenario


class Then:
    """The decision on one message. Assertions may come in any order, but events are taken in the order in which they were
    published. Values are compared as JSON, numbers digit by digit."""

    def __init__(self, scenario: Scenario, verdict: Outcome | Undecided) -> None:
        self._scenario, self.verdict = scenario, verdict
        self._events = deque(verdict.events if isinstance(verdict, Outcome) else ())

    @property
    def outcome(self) -> Outcome:
        """The decision; an error where the message was not decided."""
        if isinstance(self.verdict, Outcome):
            return self.verdict
        raise AssertionError(f"expected a decision, got {_told(self.verdict)}")

    def state(self, expected: Any) -> Then:
        """The state was written, and is now this one."""
        outcome = self.outcome
        assert outcome.change == "put", f"expected a new state, got {outcome.change}"
        _same("the state", outcome.state, self._scenario._contract.state_type, expected)
        return self

    def unchanged(self) -> Then:
        """The state was not written."""
        outcome = self.outcome
        assert outcome.change == "unchanged", f"expected no change of the state, got {outcome.change} {outcome.state or ''}"
        return self

    def removed(self) -> Then:
        """The aggregate was removed."""
        outcome = self.outcome
        assert outcome.change == "remove", f"expected the aggregate to be removed, got {outcome.change}"
        return self

    def published(self, event: EventType[Any], key: object, body: Any) -> Then:
        """The next event is this one."""
        _ = self.outcome
        assert self._events, f"expected the event {event.name!r}, but no more were published"
        following = self._events.popleft()
        assert following.event_type == event.name, f"the next event is {following.event_type!r}, expected {event.name!r}"
        assert following.key == str(key), f"the key of {event.name!r} is {following.key!r}, expected {str(key)!r}"
        _same(f"the body of {event.name!r}", following.body, event.body, body)
        return self

    def published_no_more(self) -> Then:
        """No event but those named so far was published."""
        _ = self.outcome
        assert not self._events, f"expected no more events, got {list(self._events)}"
        return self

    def timer_set(self, timer: Timer[Any], due: int, body: Any = None) -> Then:
        """This timer was set, to `due` milliseconds since 1970-01-01T00:00:00Z."""
        timers = self.outcome.timers
        found = [one for one in timers if one.name == timer.name and one.due is not None]
        assert found, f"expected the timer {timer.name!r} to be set, got {list(timers)}"
        assert found[0].due == due, f"the timer {timer.name!r} is due at {found[0].due}, expected {due}"
        _same(f"the body of {timer.name!r}", found[0].body, timer.body, body)
        return self

    def timer_cancelled(self, timer: Timer[Any]) -> Then:
        """This timer was cancelled."""
        timers = self.outcome.timers
        assert TimerChange(timer.name) in timers, f"expected the timer {timer.name!r} to be cancelled, got {list(timers)}"
        return self

    def no_timers(self) -> Then:
        """No timer was set or cancelled."""
        timers = self.outcome.timers
        assert not timers, f"expected no timers, got {list(timers)}"
        return self

    def replied(self, expected: Any) -> Then:
        """The command was answered as done, with this body."""
        return self._replied("done", expected)

    def replied_pending(self, expected: Any) -> Then:
        """The command was answered as pending, with this body."""
        return self._replied("pending", expected)

    def refused(self, expected: RefusalType) -> Then:
        """The command was refused with this type, without any other effect."""
        refusal = self._reply.refusal
        assert refusal, f"expected the refusal {expected.code!r}, got {self._reply.kind} {self._reply.body}"
        assert (refusal.type.kind, refusal.type.code) == (expected.kind, expected.code), (
            f"expected the refusal {expected.code!r}, got {refusal.type.code!r}: {refusal.detail}"
        )
        return self.unchanged().published_no_more().no_timers()

    def refused_at(self, pointer: str) -> Then:
        """The command was refused for what is at this JSON pointer in its body."""
        refusal = self._reply.refusal
        assert refusal, f"expected a refusal at {pointer!r}, got {self._reply.kind} {self._reply.body}"
        assert refusal.pointer == pointer, f"expected a refusal at {pointer!r}, got one at {refusal.pointer!r}"
        return self

    def malformed(self, part: str) -> Then:
        """The message can never be decided, for a reason that contains this text."""
        return self._undecided("malformed", part)

    def retried_later(self, part: str) -> Then:
        """The message is to come again later, for a reason that contains this text."""
        return self._undecided("retry later", part)

    def and_then(self) -> Scenario:
        """Goes on with the aggregate as it is now."""
        scenario = self._scenario
        if isinstance(self.verdict, Outcome) and self.verdict.change != "unchanged":
            return scenario._goes_on(self.verdict.state)
        return scenario

    @property
    def _reply(self) -> Reply:
        reply = self.outcome.reply
        assert reply, "expected a reply, but only commands are answered"
        return reply

    def _replied(self, kind: str, expected: Any) -> Then:
        reply = self._reply
        shown = (
            f"the refusal {reply.refusal.type.code!r}: {reply.refusal.detail}" if reply.refusal else f"{reply.kind} {reply.body}"
        )
        assert reply.kind == kind, f"expected a reply ({kind}), got {shown}"
        scenario = self._scenario
        names = {one.name: one.reply_type for one in scenario._contract.commands}
        _same("the reply", reply.body, names[scenario._last], expected)
        return self

    def _undecided(self, kind: str, part: str) -> Then:
        found = _told(self.verdict)
        assert found.startswith(kind) and part in found, f"expected {kind} ({part!r}), got {found}"
        return self


def _told(verdict: Outcome | Undecided) -> str:
    if isinstance(verdict, Outcome):
        return f"a decision: {verdict}"
    return f"{'malformed' if isinstance(verdict, Malformed) else 'retry later'}: {verdict.why}"


def _same(what: str, actual: str | None, kind: Any, expected: Any) -> None:
    try:
        wanted = shape_of(kind).write(expected)
    except Misfit as misfit:
        raise AssertionError(f"the expected value of {what} does not fit: {misfit}") from None
    assert actual is not None and _json.same(_json.read(actual), _json.read(wanted)), (
        f"{what} differs:\n expected {wanted}\n got      {actual}"
    )
