"""The types in the signature of a handler."""

from __future__ import annotations

import inspect
import sys
import typing
from collections.abc import Callable
from typing import Any

from .decision import Decision, NoReply


def types_of(function: Callable[..., Any], number: int, what: str) -> tuple[list[Any], Any]:
    """The types of the parameters of a function, and what it returns."""
    name = getattr(function, "__qualname__", repr(function))
    try:
        names = [one.name for one in inspect.signature(function).parameters.values()]
        target: Any = function if inspect.isroutine(function) or isinstance(function, type) else type(function).__call__
        hinted: Any = vars(target).get("__init__") if isinstance(target, type) else target
        hints = typing.get_type_hints(hinted, include_extras=True)
    except NameError as error:
        raise TypeError(f"{what}: a type of {name} is not known: {error}: name it at the top of its module") from None
    if len(names) != number:
        raise TypeError(f"{what}: {name} takes {len(names)} arguments, but is called with {number}")
    if names[:1] == ["self"] and "self" not in hints:
        hints["self"] = _owner(function)
    for one in names:
        if one not in hints:
            raise TypeError(f"{what}: {name} does not say the type of {one}: write `{one}: …`")
    if isinstance(target, type):
        return [hints[one] for one in names], target
    if "return" not in hints:
        raise TypeError(f"{what}: {name} does not say what it returns: write `-> …`")
    return [hints[one] for one in names], hints["return"]


def _owner(function: Any) -> Any:
    """The class of which a function is a method."""
    owner: Any = sys.modules[function.__module__]
    for name in function.__qualname__.split(".")[:-1]:
        owner = getattr(owner, name)
    return owner


def reply_of(returned: Any, what: str) -> Any:
    """The type of the reply of a handler that returns this."""
    if typing.get_origin(returned) is Decision:
        return typing.get_args(returned)[0]
    if returned is Decision:
        return NoReply
    raise TypeError(f"{what}: its handler must return a Decision[…], and returns {returned!r}")


def without_none(hint: Any) -> Any:
    """The type without the alternative None."""
    alternatives = typing.get_args(hint)
    others = [one for one in alternatives if one is not type(None)]
    return others[0] if len(others) == 1 and len(others) < len(alternatives) else hint
