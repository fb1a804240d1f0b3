"""The exports of a component: the shapes of the WIT world on one side, `Rules` on the other. Only in components."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

import wit_world.exports as exports  # type: ignore[import-not-found]
from componentize_py_types import Err  # type: ignore[import-not-found]
from wit_world.imports import types as wit  # type: ignore[import-not-found]

from ._fault import remember_sources, report
from ._turn_values import DEEPEST, install
from .contract import Contract
from .refusal import RetryLater, Undecided
from .rules import Outcome, Rules
from .turn import Caller, Message

_ORIGINS = {wit.Origin.COMMAND: "command", wit.Origin.EVENT: "event", wit.Origin.TIMER: "timer"}


def rules_of(contract: Contract) -> type:
    """The class that componentize-py exports."""
    rules = Rules(contract)
    described = _described(rules.describe())
    install()
    remember_sources()
    sys.setrecursionlimit(DEEPEST)

    class Component(exports.Rules):  # type: ignore[misc]
        def describe(self) -> Any:
            return described

        def handle(self, state: str | None, message: Any, settings: str) -> Any:
            return _answered(lambda: _outcome(rules.handle(state, _message(message), settings)))

        def migrate(self, version: int, state: str) -> str:
            return str(_answered(lambda: rules.migrate(version, state)))

    return Component


def _answered(decide: Callable[[], Any]) -> Any:
    try:
        return decide()
    except Undecided as undecided:
        if isinstance(undecided, RetryLater):
            raise Err(wit.Disposition_RetryLater(undecided.why)) from None
        raise Err(wit.Disposition_Malformed(undecided.why)) from None
    except BaseException as error:
        # The host reports what is between these marks as the reason of the fault.
        print(f"saga-fault<{report(error)}>saga-fault", file=sys.stderr, flush=True)
        os.abort()


def _message(one: Any) -> Message:
    caller = one.caller
    return Message(
        origin=_ORIGINS[one.origin],
        name=one.name,
        key=one.key,
        body=one.body,
        id=one.id,
        source=one.source,
        time=one.time,
        correlation=one.correlation,
        causation=one.causation,
        caller=None if caller is None else Caller(caller.subject, caller.claims),
        metadata=tuple((header.name, header.value) for header in one.metadata),
        version=one.version,
        parameters=tuple((parameter.name, parameter.value) for parameter in one.parameters),
    )


def _outcome(outcome: Outcome) -> Any:
    changes = {"put": wit.StateChange_Put, "unchanged": wit.StateChange_Unchanged, "remove": wit.StateChange_Remove}
    change = changes[outcome.change]
    return wit.Outcome(
        state=change(outcome.state) if outcome.change == "put" else change(),
        events=[wit.Event(one.event_type, one.key, one.body) for one in outcome.events],
        timers=[
            wit.TimerChange_Cancel(one.name) if one.due is None else wit.TimerChange_Set(wit.Timer(one.name, one.due, one.body))
            for one in outcome.timers
        ],
        reply=_reply(outcome),
    )


def _reply(outcome: Outcome) -> Any:
    reply = outcome.reply
    if reply is None:
        return None
    if reply.refusal is not None:
        refusal = reply.refusal
        kind = wit.RefusalKind[refusal.type.kind.replace("-", "_").upper()]
        return wit.Reply_Refused(wit.Refusal(kind, refusal.type.code, refusal.detail, refusal.pointer))
    return wit.Reply_Done(reply.body) if reply.kind == "done" else wit.Reply_Pending(reply.body)


def _described(one: dict[str, Any]) -> Any:
    def many(cls: Any, members: list[dict[str, Any]]) -> list[Any]:
        return [cls(**member) for member in members]

    def command(all_members: dict[str, Any]) -> Any:
        members = dict(all_members)
        readable, (source, value) = members.pop("readable"), members.pop("key")
        kind = members.pop("kind")
        kinds = {"change": wit.CommandKind_Change, "read": wit.CommandKind_Read}
        sources = {"path": wit.KeySource_PathParameter, "body": wit.KeySource_Body}
        members["method"] = wit.Method[members["method"].upper()]
        members["refusals"] = [
            wit.RefusalDescription(
                wit.RefusalKind[refusal["kind"].replace("-", "_").upper()], refusal["code"], refusal["summary"]
            )
            for refusal in members["refusals"]
        ]
        return wit.Command(
            kind=wit.CommandKind_Create(readable) if kind == "create" else kinds[kind](),
            key=wit.KeySource_Generated() if source == "generated" else sources[source](value),
            **members,
        )

    def subscription(members: dict[str, Any]) -> Any:
        return wit.Subscription(**{**members, "older": many(wit.OlderVersion, members["older"])})

    def listing(members: dict[str, Any]) -> Any:
        return wit.Listing(**{**members, "filters": many(wit.Filter, members["filters"])})

    return wit.Description(
        **{
            **one,
            "state": wit.StateDescription(**one["state"]),
            "endpoint": wit.Endpoint(**one["endpoint"]),
            "commands": [command(members) for members in one["commands"]],
            "subscriptions": [subscription(members) for members in one["subscriptions"]],
            "publications": many(wit.Publication, one["publications"]),
            "timers": many(wit.TimerDescription, one["timers"]),
            "listings": [listing(members) for members in one["listings"]],
            "settings": None if one["settings"] is None else wit.SettingsDescription(**one["settings"]),
        }
    )
