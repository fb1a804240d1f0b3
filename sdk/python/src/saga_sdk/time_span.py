"""`TimeSpan`: a length of time as operators write it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

_UNITS = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1))
_WRITTEN = re.compile(r"([0-9]{1,9})(ms|s|m|h|d)")


@dataclass(frozen=True, order=True)
class TimeSpan:
    """A length of time for the settings of rules, written `500ms`, `30s`, `5m`, `2h` or `7d`."""

    millis: int

    @classmethod
    def parse(cls, text: str) -> TimeSpan:
        """Reads `90s`."""
        found = _WRITTEN.fullmatch(text)
        if not found:
            raise ValueError(f'"{text}" is no time span: write it like 500ms, 30s, 5m, 2h or 7d')
        return cls(int(found[1]) * dict(_UNITS)[found[2]])

    @classmethod
    def seconds(cls, seconds: int) -> TimeSpan:
        """This many seconds."""
        return cls(seconds * 1_000)

    @classmethod
    def minutes(cls, minutes: int) -> TimeSpan:
        """This many minutes."""
        return cls(minutes * 60_000)

    def __str__(self) -> str:
        if not self.millis:
            return "0s"
        name, unit = next((name, unit) for name, unit in _UNITS if self.millis % unit == 0)
        return f"{self.millis // unit}{name}"

    @classmethod
    def __json_read__(cls, value: Any) -> TimeSpan:
        if not isinstance(value, str):
            raise ValueError("expected a time span such as 30s")
        return cls.parse(value)

    def __json_write__(self) -> str:
        return str(self)

    @classmethod
    def __json_schema__(cls) -> dict[str, Any]:
        return {
            "title": "a length of time",
            "type": "string",
            "pattern": "^[0-9]{1,9}(ms|s|m|h|d)$",
            "examples": ["30s", "5m"],
        }
