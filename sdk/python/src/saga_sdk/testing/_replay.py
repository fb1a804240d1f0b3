"""Recorded decisions, made again by the rules as they are now."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .. import _json
from ..contract import Contract
from ..refusal import Malformed, Undecided
from ..rules import Outcome
from ..turn import Caller, Message

_SHOWN = 20


class Replayed:
    """Recorded decisions that were made again."""

    def __init__(self, decisions: int, changes: list[str]) -> None:
        self.decisions, self.changes = decisions, changes

    def unchanged(self) -> None:
        """All decisions are the recorded ones."""
        self.changed(0)

    def changed(self, expected: int) -> None:
        """This many decisions are others than the recorded ones."""
        found = len(self.changes)
        shown = "\n".join(self.changes[:_SHOWN])
        assert found == expected, (
            f"{found} of {self.decisions} recorded decisions changed, and {expected} were expected to\n{shown}"
        )


def replay(contract: Contract, path: str | Path) -> Replayed:
    """Makes the decisions of a file again that `saga journal export` wrote, each on its recorded state, with the recorded
    settings."""
    from ._scenario import rules_of

    lines = [_json.read(line) for line in Path(path).read_text(encoding="utf-8").splitlines() if line.strip()]
    header, *cases = lines
    assert header.get("format") == "saga-cases", f"{path} is not a file of `saga journal export`"
    assert header["participant"] == contract.name, (
        f"the recorded decisions are of the participant {header['participant']!r}, and these are the rules of {contract.name!r}"
    )
    decided = [one for one in cases if "message" in one]
    assert any(one.get("decisions") == len(decided) for one in cases[-1:]), f"{path} was cut off: export it again"
    generations = {one["digest"]: one for one in header["generations"]}
    rules = rules_of(contract)
    defaults = _json.read(contract.settings_text())
    changes = []
    for case in decided:
        generation = generations[case["generation"]]
        state = _json.write(case["state"]) if case.get("state") is not None else None
        recorded = case["outcome"]
        now: Any
        try:
            if generation["state_version"] != contract.version_of_state:
                state = None if state is None else rules.migrate(generation["state_version"], state)
                put = recorded["state"].get("put") if isinstance(recorded["state"], dict) else None
                if put is not None:
                    migrated = _json.read(rules.migrate(generation["state_version"], _json.write(put)))
                    recorded = {**recorded, "state": {"put": migrated}}
            settings = {**defaults, **{k: v for k, v in generation["settings"].items() if k in defaults}}
            now = shown(rules.handle(state, _message(case["message"]), _json.write(settings)))
        except Undecided as undecided:
            now = f"{'malformed' if isinstance(undecided, Malformed) else 'retry later'}: {undecided.why}"
        except Exception as error:
            now = f"{type(error).__name__}: {error}"
        if isinstance(now, str) or not _json.same(recorded, now):
            message = case["message"]
            told = now if isinstance(now, str) else _json.write(now)
            changes.append(
                f"key {message['key']!r}, {message['origin']} {message['name']!r} (decision {case['seq']}):\n"
                f"  recorded {_json.write(recorded)}\n  now      {told}"
            )
    return Replayed(len(decided), changes)


def _message(one: dict[str, Any]) -> Message:
    caller = one.get("caller")
    return Message(
        origin=one["origin"],
        name=one["name"],
        key=one["key"],
        body=_json.write(one["body"]),
        id=one["id"],
        source=one["source"],
        time=one["time"],
        correlation=one["correlation"],
        causation=one.get("causation"),
        caller=Caller(caller["subject"], _json.write(caller["claims"])) if caller else None,
        metadata=tuple((name, value) for name, value in one["metadata"]),
        version=one["version"],
        parameters=tuple((name, value) for name, value in one["parameters"]),
    )


def shown(outcome: Outcome) -> dict[str, Any]:
    """A decision in the shape of a file."""
    value: dict[str, Any] = {
        "state": {"put": _json.read(outcome.state)}
        if outcome.state is not None
        else {"unchanged": "unchanged", "remove": "removed"}[outcome.change],
        "events": [{"type": one.event_type, "key": one.key, "body": _json.read(one.body)} for one in outcome.events],
        "timers": [
            {"cancel": one.name}
            if one.due is None
            else {"set": {"name": one.name, "due": one.due, "body": _json.read(one.body or "null")}}
            for one in outcome.timers
        ],
    }
    reply = outcome.reply
    if reply and reply.refusal:
        refusal = reply.refusal
        words = {"kind": refusal.type.kind, "code": refusal.type.code, "detail": refusal.detail}
        value["reply"] = {"refused": {**words, "pointer": refusal.pointer}}
    elif reply:
        value["reply"] = {reply.kind: _json.read(reply.body or "null")}
    return value
