"""A fault in words: what was raised, and where, the place of the rules first."""

from __future__ import annotations

import linecache
import os
import traceback
from types import TracebackType

from .rules import place

#: Places that a report names.
_PLACES = 6

_HERE = os.path.dirname(__file__)


def report(error: BaseException) -> str:
    """The message of an exception, with files and lines. A host keeps about 1,000 bytes of it."""
    lines = [f"{type(error).__name__}: {_shortened(str(error))}" if str(error) else type(error).__name__]
    if isinstance(error, ImportError) and error.name:
        lines[0] = (
            f"{lines[0]}: a component has no files, so the module {error.name!r} can't be imported in a turn: "
            "import it at the top of the rules"
        )
    frames = _frames(error.__traceback__)
    shown = [one for one in frames if not one.filename.startswith(_HERE)] or frames
    for number, frame in enumerate(reversed(shown[-_PLACES:])):
        source = linecache.getline(frame.filename, frame.lineno or 0).strip()
        where = f"{place(frame.filename)}:{frame.lineno}, in {frame.name}"
        lines.append(f"{'at' if number == 0 else 'called at'} {where}{f': {source}' if source else ''}")
    if len(shown) > _PLACES:
        lines.append(f"and {len(shown) - _PLACES} more places")
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None:
        lines.append(f"while this was raised: {type(cause).__name__}: {_shortened(str(cause))}")
    return "\n".join(lines)


def _frames(trace: TracebackType | None) -> list[traceback.FrameSummary]:
    frames = []
    for frame, line in traceback.walk_tb(trace):
        code = frame.f_code
        frames.append(traceback.FrameSummary(code.co_filename, line, code.co_name, lookup_line=False))
    return frames


def _shortened(text: str) -> str:
    return text if len(text) <= 400 else f"{text[:400]}…"
