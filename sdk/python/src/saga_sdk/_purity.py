"""Globals that rules change: an instance decides on many messages, so a value that one turn leaves behind would change the
decisions of the next.

Owns what the modules of the rules hold when they are loaded, and the comparison after each turn.
"""

from __future__ import annotations

import enum
import os
import random
import sys
import sysconfig
import types
from collections import deque
from collections.abc import Callable, Iterator
from operator import is_
from typing import Any

from ._turn_values import ImpureError

_ATOMS = (str, bytes, int, float, complex, bool, type(None), type(...), types.ModuleType, types.BuiltinFunctionType)

_DEPTH = 8


class Globals:
    """The globals of the modules in which these functions are, and of those that they use."""

    def __init__(self, functions: list[Callable[..., Any]]) -> None:
        #: For each namespace: its name, its names, its values, what can change within.
        self._spaces: list[tuple[str, Any, int, list[str], list[Any], list[tuple[str, Any, Any]]]] = []
        for module in _modules(functions):
            self._watch(_shown(module), vars(module))
            for value in list(vars(module).values()):
                if isinstance(value, types.FunctionType) and any(map(_may_change, _parts(value))):
                    functions = [*functions, value]
                if isinstance(value, type) and value.__module__ == module.__name__ and not issubclass(value, enum.Enum):
                    self._watch(f"{value.__qualname__} of {_shown(module)}", vars(value))
        self._held = [(one, _held_by(one)) for one in functions if any(map(_may_change, _parts(one)))]

    def _watch(self, what: str, space: Any) -> None:
        names = [name for name in space if not name.startswith("__")]
        values = [space[name] for name in names]
        inner = [(name, value, _frozen(value)) for name, value in zip(names, values, strict=True) if _may_change(value)]
        self._spaces.append((what, space, len(space), names, values, inner))

    def check(self) -> None:
        """Raises `ImpureError` if a global is another one than when the rules were loaded."""
        for what, space, number, names, values, inner in self._spaces:
            if not all(map(is_, map(space.get, names), values)):
                for name, value in zip(names, values, strict=True):
                    if space.get(name) is not value:
                        raise _changed(name, what)
            for name, value, frozen in inner:
                if _frozen(value) != frozen:
                    raise _changed(name, what)
            if len(space) != number:
                for name in space:
                    if not name.startswith("__") and name not in names:
                        raise _changed(name, what)
        for function, held in self._held:
            if _held_by(function) != held:
                name = getattr(function, "__qualname__", repr(function))
                raise ImpureError(f"the rule changed a default argument or a variable around {name}: {_ADVICE}")


_ADVICE = (
    "an instance decides on many messages, so a decision may depend on its arguments only: keep the value in the state, or "
    "make it anew in each turn"
)


def _changed(name: str, what: str) -> ImpureError:
    return ImpureError(f"the rule changed the global {name!r} of {what}: {_ADVICE}")


def _shown(module: types.ModuleType) -> str:
    return module.__name__


def _modules(functions: list[Callable[..., Any]]) -> list[types.ModuleType]:
    """The author's modules: those of the functions, and the ones whose functions, classes and modules they use."""
    found: dict[str, types.ModuleType] = {}
    names = [one.__module__ for one in functions if getattr(one, "__module__", None)]
    while names:
        name = names.pop()
        module = sys.modules.get(name)
        if name in found or module is None or not is_authors(module):
            continue
        found[name] = module
        for value in list(vars(module).values()):
            used = value.__name__ if isinstance(value, types.ModuleType) else getattr(value, "__module__", None)
            if isinstance(used, str):
                names.append(used)
    return sorted(found.values(), key=lambda one: one.__name__)


def is_python(module: types.ModuleType) -> bool:
    """True if a module is of Python itself."""
    file = (getattr(module, "__file__", None) or "").replace("\\", "/")
    return not _is_library(file) and any(file.startswith(f"{one}/") for one in _LIBRARIES)


def is_authors(module: types.ModuleType) -> bool:
    """True if a module is neither Python's nor a library's nor this SDK's."""
    return is_authors_file(getattr(module, "__file__", None) or "")


def is_authors_file(file: str) -> bool:
    """The same of a module's file."""
    file = file.replace("\\", "/")
    if not file or file.startswith(("<", _SDK)) or _is_library(file):
        return False
    return not any(file.startswith(f"{one}/") for one in _LIBRARIES)


def _is_library(file: str) -> bool:
    return "/site-packages/" in file or "/dist-packages/" in file


_SDK = os.path.dirname(__file__).replace("\\", "/") + "/"

_LIBRARIES = [
    one.replace("\\", "/").rstrip("/")
    for one in {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"), "/python", "/world", "/bundled"}
    if one
]


def _may_change(value: Any) -> bool:
    if isinstance(value, (*_ATOMS, type, types.FunctionType, enum.Enum)) or _is_sdks(value):
        return False
    return isinstance(value, (list, dict, set, bytearray, deque, tuple, frozenset, random.Random)) or (
        hasattr(value, "__dict__") or _is_iterator(value)
    )


def _is_sdks(value: Any) -> bool:
    return type(value).__module__.partition(".")[0] == __name__.partition(".")[0]


def _is_iterator(value: Any) -> bool:
    return type(value).__module__ == "itertools"


def _frozen(value: Any, depth: int = _DEPTH) -> Any:
    """What two equal values have alike, and a changed one has not."""
    if depth == 0 or isinstance(value, _ATOMS):
        return value if isinstance(value, (str, bytes, int, float, complex)) else id(value)
    if isinstance(value, (list, tuple, deque)):
        return (type(value), id(value), *[_frozen(one, depth - 1) for one in value])
    if isinstance(value, dict):
        return (id(value), *[(_frozen(name, depth - 1), _frozen(one, depth - 1)) for name, one in value.items()])
    if isinstance(value, (set, frozenset)):
        return (id(value), frozenset(_frozen(one, depth - 1) for one in value))
    if isinstance(value, bytearray):
        return bytes(value)
    if isinstance(value, random.Random):
        return value.getstate()
    if _is_iterator(value):
        return repr(value)
    if isinstance(value, (type, types.FunctionType, enum.Enum)) or _is_sdks(value):
        return id(value)
    members = getattr(value, "__dict__", None)
    return (id(value), _frozen(members, depth - 1)) if isinstance(members, dict) and members else id(value)


def _held_by(function: Any) -> Any:
    """What a function holds from turn to turn: its defaults, attributes and the variables around it."""
    return tuple(_frozen(one) for one in _parts(function))


def _parts(function: Any) -> Iterator[Any]:
    yield getattr(function, "__defaults__", None)
    yield getattr(function, "__kwdefaults__", None)
    yield getattr(function, "__dict__", None) or None
    for cell in getattr(function, "__closure__", None) or ():
        try:
            yield cell.cell_contents
        except ValueError:
            yield None
