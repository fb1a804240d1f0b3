"""Stored states, and events, of older shapes, brought up step by step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import _json
from ._shape import Misfit, Shape, shape_of
from ._signature import types_of


@dataclass
class Migration:
    """One step: from `version` to the next."""

    version: int
    step: Callable[[Any], Any]
    reads: Any
    gives: Any

    @classmethod
    def of(cls, version: int, step: Callable[[Any], Any]) -> Migration:
        parameters, gives = types_of(step, 1, f"the migration of version {version}")
        return cls(version, step, parameters[0], gives)

    @property
    def shape(self) -> Shape:
        return shape_of(self.reads)

    def run(self, text: str) -> str:
        return shape_of(self.gives).write(self.step(self.shape.read(_json.read(text))))


def run(steps: list[Migration], what: str, version: int, current: int, text: str) -> str:
    """Brings a value of an older version to the current one."""
    if version > current:
        raise Misfit(f"{what} of version {version} is newer than these rules, which know version {current}")
    for now in range(version, current):
        step = next((one for one in steps if one.version == now), None)
        if step is None:
            raise Misfit(f"no migration reads {what} of version {now}")
        try:
            text = step.run(text)
        except (Misfit, _json.NotJson) as error:
            raise Misfit(f"{what} of version {now} can't be read: {error}") from None
    return text


def problems(steps: list[Migration], what: str, current: int, last: Any) -> list[str]:
    """Mistakes in a chain, which must end with a `last` of version `current`."""
    found = []
    for index, step in enumerate(steps):
        follows = steps[index + 1] if index + 1 < len(steps) else None
        expected, version = (follows.reads, follows.version) if follows else (last, current)
        where = f"migration of {what} version {step.version}"
        if step.gives != expected:
            found.append(f"{where}: gives {step.gives!r}, but the next one reads {expected!r}")
        if step.version + 1 != version:
            found.append(
                f"{where}: is followed by version {version}: versions must follow each other, oldest first, up to the present one"
            )
    return found
