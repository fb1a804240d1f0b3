"""A fault in words: what was raised, and where, the place of the rules first."""

from __future__ import annotations

import linecache
import sys
import traceback
from collections import deque
from types import TracebackType

from ._purity import is_authors, is_authors_file
from ._turn_values import ImpureError
from .rules import Fault, place

#: Places that a report names.
_PLACES = 6

#: Innermost frames that are looked at: to look at those of an endless recursion would use up the fuel.
_LOOKED_AT = 100


def remember_sources() -> None:
    """Keeps the lines of the author's files, which a component does not have."""
    for module in list(sys.modules.values()):
        if is_authors(module):
            file = module.__file__ or ""
            lines = linecache.getlines(file)
            linecache.cache[file] = (sum(map(len, lines)), None, lines, file)


def report(error: BaseException) -> str:
    """The message of an exception, with files and lines. A host keeps about 1,000 bytes of it."""
    lines = [f"{type(error).__name__}: {_shortened(str(error))}" if str(error) else type(error).__name__]
    if isinstance(error, ImportError) and error.name:
        lines[0] = (
            f"{lines[0]}: a component has no files, so the module {error.name!r} can't be imported in a turn: "
            "import it at the top of the rules"
        )
    frames = _frames(error.__traceback__)
    theirs = [one for one in frames if is_authors_file(one.filename)]
    # The SDK's own errors say what to do: where it found them says nothing.
    shown = theirs or ([] if isinstance(error, (Fault, ImpureError)) else frames)
    for number, frame in enumerate(reversed(shown[-_PLACES:])):
        source = linecache.getline(frame.filename, frame.lineno or 0).strip()
        where = f"{place(frame.filename)}:{frame.lineno}, in {frame.name}"
        lines.append(f"{'at' if number == 0 else 'called at'} {where}{f': {_shortened(source, 100)}' if source else ''}")
    if len(shown) > _PLACES:
        lines.append("and more places")
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None:
        lines.append(f"while this was raised: {type(cause).__name__}: {_shortened(str(cause))}")
    return "\n".join(lines)


def _frames(trace: TracebackType | None) -> list[traceback.FrameSummary]:
    innermost = deque(((frame.f_code, line) for frame, line in traceback.walk_tb(trace)), maxlen=_LOOKED_AT)
    return [
        traceback.FrameSummary(code.co_filename, line, code.co_name, lookup_line=False) for code, line in innermost
    ]


def _shortened(text: str, length: int = 400) -> str:
    return text if len(text) <= length else f"{text[:length]}…"
