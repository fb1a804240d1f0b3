"""JSON without loss: every number keeps the digits that it was written with.

A number with a fraction or an exponent is read as a `Decimal` that remembers its text, so that it is written again as it
was read: ``10.10`` stays ``10.10`` and ``3e2`` stays ``3e2``. A float appears nowhere.
"""

from __future__ import annotations

import json
from decimal import Decimal, InvalidOperation
from json.encoder import encode_basestring as _quoted
from typing import Any, NoReturn

#: Digits of the longest integer that is read as an `int`; Python itself reads no more (`sys.set_int_max_str_digits`).
_DIGITS = 4_000

#: The largest exponent that a `Decimal` has on machines of 32 bits, as components are.
_EXPONENT = 425_000_000

quoted = _quoted


class NotJson(ValueError):
    """A text is not JSON."""


class Written(Decimal):
    """A number as someone wrote it. A sum or a difference of it is a plain `Decimal`."""

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> Written:
        try:
            value = super().__new__(cls, text)
        except InvalidOperation:
            value = super().__new__(cls, _clamped(text))
        if not value.is_finite():
            value = super().__new__(cls, _clamped(text))
        value.text = text
        return value

    def __reduce__(self) -> tuple[type[Written], tuple[str]]:
        return Written, (self.text,)

    def __copy__(self) -> Written:
        return self

    def __deepcopy__(self, _: object) -> Written:
        return self


def _clamped(text: str) -> str:
    """The number with an exponent that a `Decimal` can have. It is as far beyond every bound as before."""
    mantissa, _, exponent = text.lower().partition("e")
    if not any(digit in "123456789" for digit in mantissa):
        return "0"
    bound = _EXPONENT - len(mantissa)
    return f"{mantissa}e{'-' if exponent.startswith('-') else ''}{bound}"


def _integer(text: str) -> int | Written:
    return Written(text) if text == "-0" or len(text) > _DIGITS else int(text)


def _no_number(text: str) -> NoReturn:
    raise NotJson(f"{text} is no JSON number")


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise NotJson(f"an object has two members named {json.dumps(name)}")
            seen.add(name)
    return members


_decode = json.JSONDecoder(parse_float=Written, parse_int=_integer, parse_constant=_no_number, object_pairs_hook=_members).decode


def read(text: str) -> Any:
    """The value of a JSON text: objects are dicts, numbers are ints or Decimals."""
    try:
        return _decode(text)
    except NotJson:
        raise
    except RecursionError:
        raise NotJson("it is nested too deep") from None
    except ValueError as error:
        raise NotJson(f"it is not JSON: {error}") from None


def whole(number: Decimal) -> int | None:
    """The integer of this value (`1.0` and `1e2` are integers to JSON Schema); none if it has a fraction or is too long."""
    if not number:
        return 0
    exponent = number.as_tuple().exponent
    if not isinstance(exponent, int) or number.adjusted() > _DIGITS or number.adjusted() < 0:
        return None
    return int(number) if exponent >= 0 or number == number.to_integral_value() else None


def number_text(number: Decimal) -> str:
    """The number as JSON."""
    if isinstance(number, Written):
        return number.text
    if not number.is_finite():
        raise ValueError(f"{number} is no JSON number")
    return format(number, "f") if -100 < number.adjusted() < 100 else str(number)


def write(value: Any) -> str:
    """A JSON value as text. A float is refused: it has lost digits already."""
    if value is None:
        return "null"
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, Decimal):
        return number_text(value)
    if isinstance(value, float):
        raise ValueError(
            f"{value!r} is a float, which loses digits: use Decimal or int (json.loads makes floats; use saga_sdk.loads)"
        )
    if isinstance(value, dict):
        for name in value:
            if not isinstance(name, str):
                raise ValueError(f"{name!r} is no name of a member: use a str")
        return "{" + ",".join(f"{_quoted(name)}:{write(one)}" for name, one in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(write, value)) + "]"
    if isinstance(value, (set, frozenset)):
        raise ValueError("a set has no order: use sorted(…)")
    raise ValueError(f"a {type(value).__name__} is no JSON value")


def same(one: Any, other: Any) -> bool:
    """True if two JSON values are the same, numbers digit by digit."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return write(one) == write(other)


def token(name: object) -> str:
    """A name as it stands in a JSON pointer."""
    return str(name).replace("~", "~0").replace("/", "~1")


def at(value: Any, pointer: str) -> Any:
    """The value at a JSON pointer; None if there is none."""
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict):
            value = value.get(name)
        elif isinstance(value, list) and name.isdigit() and int(name) < len(value):
            value = value[int(name)]
        else:
            return None
    return value
