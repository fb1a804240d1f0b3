"""What a type hint can't say of a value: ``Annotated[int, Range(1, 100), Doc("The number of seats.")]``.

A host checks the bodies of requests against these before it calls the rules, and the SDK checks what rules write. A test
may give rules a body beyond them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated, Any, TypeVar

_C = TypeVar("_C", bound=type)


class Hint:
    """Something that a schema says of a value."""

    checked = True

    def members(self) -> dict[str, Any]:
        """What it adds to the schema."""
        raise NotImplementedError

    def misfit(self, value: Any) -> str | None:
        """Why a value does not fit; none if it does."""
        return None


@dataclass(frozen=True)
class Doc(Hint):
    """A sentence for people, in the API document."""

    text: str
    checked = False

    def members(self) -> dict[str, Any]:
        return {"description": self.text}


@dataclass(frozen=True)
class Range(Hint):
    """A number from `min` to `max`, or above `above`."""

    min: int | Decimal | None = None
    max: int | Decimal | None = None
    above: int | Decimal | None = None
    #: The format of the schema, such as `int64`.
    format: str | None = None
    #: True if a body beyond it is malformed for the rules too, and not only for the host.
    always: bool = False

    def members(self) -> dict[str, Any]:
        all_members = {"format": self.format, "minimum": self.min, "maximum": self.max, "exclusiveMinimum": self.above}
        return {name: value for name, value in all_members.items() if value is not None}

    def misfit(self, value: Any) -> str | None:
        if self.min is not None and value < self.min:
            return f"expected at least {self.min}, got {value}"
        if self.max is not None and value > self.max:
            return f"expected at most {self.max}, got {value}"
        if self.above is not None and value <= self.above:
            return f"expected more than {self.above}, got {value}"
        return None


@dataclass(frozen=True)
class Length(Hint):
    """A text of this many characters, or a list of this many items."""

    min: int | None = None
    max: int | None = None

    def members(self) -> dict[str, Any]:
        all_members = {"minLength": self.min, "maxLength": self.max}
        return {name: value for name, value in all_members.items() if value is not None}

    def misfit(self, value: Any) -> str | None:
        if self.min is not None and len(value) < self.min:
            return f"expected at least {self.min} characters, got {len(value)}"
        if self.max is not None and len(value) > self.max:
            return f"expected at most {self.max} characters, got {len(value)}"
        return None


@dataclass(frozen=True)
class Pattern(Hint):
    """A text in which this regular expression finds something."""

    text: str

    def members(self) -> dict[str, Any]:
        return {"pattern": self.text}

    def misfit(self, value: Any) -> str | None:
        return None if re.search(self.text, value) else f"expected a text that matches {self.text}"


@dataclass(frozen=True)
class Extra(Hint):
    """Any other members of the schema. The SDK does not check them."""

    schema: dict[str, Any] = field(hash=False)
    checked = False

    def members(self) -> dict[str, Any]:
        return self.schema


#: Integers of 64 and 32 bits. A body with another one is malformed.
Int64 = Annotated[int, Range(-(2**63), 2**63 - 1, format="int64", always=True)]
UInt64 = Annotated[int, Range(0, 2**64 - 1, format="uint64", always=True)]
Int32 = Annotated[int, Range(-(2**31), 2**31 - 1, format="int32", always=True)]
UInt32 = Annotated[int, Range(0, 2**32 - 1, format="uint32", always=True)]


def camel_case(cls: _C) -> _C:
    """Names the members of a dataclass in JSON like `orderTotal`, not like `order_total`."""
    cls.__saga_names__ = staticmethod(_camel)  # type: ignore[attr-defined]
    return cls


def example(value: Any) -> Callable[[_C], _C]:
    """Gives a dataclass an example, as JSON, which prefills Swagger UI."""

    def with_example(cls: _C) -> _C:
        cls.__saga_example__ = value  # type: ignore[attr-defined]
        return cls

    return with_example


def _camel(name: str) -> str:
    first, *others = name.strip("_").split("_")
    return first + "".join(other[:1].upper() + other[1:] for other in others)
