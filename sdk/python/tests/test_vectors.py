"""The vectors that the order rules of every language run: what these rules decide is what stands there, byte for byte."""

import json
from pathlib import Path

import pytest
from order import contract

from saga_sdk.refusal import Malformed, RetryLater
from saga_sdk.rules import Outcome, Rules
from saga_sdk.turn import Message

FILE = Path(__file__).parents[2] / "vectors" / "order.json"
VECTORS = json.loads(FILE.read_text(encoding="utf-8"))
#: How the reasons begin that are the SDK's.
SDK_REASONS = ("the body is not", "the key ", "these rules know no")

rules = Rules(contract)


def told(outcome: Outcome):
    reply = outcome.reply
    refusal = reply.refusal if reply else None
    return {
        "state": {"put": outcome.state} if outcome.change == "put" else outcome.change,
        "events": [{"type": one.event_type, "key": one.key, "body": one.body} for one in outcome.events],
        "timers": [
            {"cancel": one.name} if one.due is None else {"set": {"name": one.name, "due": one.due, "body": one.body}}
            for one in outcome.timers
        ],
        "reply": {
            "refused": {
                "kind": refusal.type.kind,
                "code": refusal.type.code,
                "detail": refusal.detail,
                "pointer": refusal.pointer,
            }
        }
        if refusal
        else {reply.kind: reply.body}
        if reply
        else None,
    }


def reason(text):
    return None if text.startswith(SDK_REASONS) else text


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["name"])
def test_a_decision_is_byte_for_byte_the_same(case):
    try:
        found = {"outcome": told(rules.handle(case["state"], Message(**case["message"]), case["settings"]))}
    except Malformed as malformed:
        found = {"malformed": reason(malformed.why)}
    except RetryLater as later:
        found = {"retry-later": reason(later.why)}
    assert found == case["result"]


@pytest.mark.parametrize("case", VECTORS["migrations"], ids=lambda case: case["name"])
def test_a_migrated_state_is_byte_for_byte_the_same(case):
    try:
        found = {"state": rules.migrate(case["version"], case["state"])}
    except Malformed:
        found = {"malformed": None}
    assert found == case["result"]
