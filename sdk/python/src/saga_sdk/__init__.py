"""Write the rules of a saga participant in Python; run them as a WebAssembly component.

A participant is a pure function: it gets the state of one aggregate and one message, and decides the new state, events,
timers and reply. It has no clock, no network, no storage.
"""

from ._json import read as loads
from ._json import write as dumps
from ._shape import UnknownType
from ._turn_values import ImpureError
from .command import Command
from .contract import Contract
from .decision import Decision, NoReply
from .event import EventType, Timer
from .hints import Doc, Extra, Int32, Int64, Length, Pattern, Range, UInt32, UInt64, camel_case, example
from .listing import Listing
from .money import Money, MoneyError
from .refusal import ALREADY_EXISTS, NOT_FOUND, Malformed, Refusal, RefusalType, RetryLater
from .subscription import Subscription
from .time_span import TimeSpan
from .turn import Caller, Turn

__version__ = "0.1.0"

__all__ = [
    "ALREADY_EXISTS",
    "NOT_FOUND",
    "Caller",
    "Command",
    "Contract",
    "Decision",
    "Doc",
    "EventType",
    "Extra",
    "ImpureError",
    "Int32",
    "Int64",
    "Length",
    "Listing",
    "Malformed",
    "Money",
    "MoneyError",
    "NoReply",
    "Pattern",
    "Range",
    "Refusal",
    "RefusalType",
    "RetryLater",
    "Subscription",
    "TimeSpan",
    "Timer",
    "Turn",
    "UInt32",
    "UInt64",
    "UnknownType",
    "camel_case",
    "dumps",
    "example",
    "loads",
]
