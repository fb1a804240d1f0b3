"""Given, when, then: tests of rules with plain pytest, without a component.

A scenario goes through the same code as the component: the state is encoded and decoded, the outcome encoded. Before the
message, the contract is checked for mistakes. After it, the outcome is checked against the contract and against the
limits that a host has by default. Then the rules decide once more in a process of their own, with another order of sets,
without pytest and without files: a decision that is another one there is reported.

    given(contract, Book(on_loan=False)).key("42").when_command("lend", Lent("Ann")) \\
        .state(Book(on_loan=True)).published(LENT, "42", Lent("Ann")).published_no_more().replied(None)
"""

from __future__ import annotations

from typing import Any

from .. import _json
from .._shape import Misfit
from ..contract import Contract
from ..refusal import Malformed
from ..rules import Rules
from ._replay import Replayed, replay
from ._scenario import Limits, Scenario
from ._then import Then

__all__ = [
    "Limits",
    "Replayed",
    "Scenario",
    "Then",
    "contract_problems",
    "given",
    "given_nothing",
    "migrated",
    "replay",
]


def given(contract: Contract, state: Any) -> Scenario:
    """Starts a scenario with an aggregate in this state."""
    try:
        text = contract.state.write(state)
    except Misfit as misfit:
        raise AssertionError(f"the given state does not fit: {misfit}") from None
    return Scenario(contract, text)


def given_nothing(contract: Contract) -> Scenario:
    """Starts a scenario in which the aggregate does not exist."""
    return Scenario(contract, None)


def contract_problems(contract: Contract) -> list[str]:
    """Mistakes in a contract, one sentence each. `saga verify` finds the others."""
    return contract.problems()


def migrated(contract: Contract, version: int, state: str) -> Any:
    """Reads a stored state of this version, older or present, as JSON text. Keep a state of each released version in a
    test: a change of the state that can't read it then fails."""
    rules = Rules(contract)
    try:
        return contract.state.read(_json.read(rules.migrate(version, state)))
    except Malformed as malformed:
        raise AssertionError(f"the stored state can't be read: {malformed.why}") from None
