"""A second opinion: the rules decide again in a process of their own.

There the modules are fresh, the order of sets is another one, and nothing is loaded but the rules, as in a component: no
pytest, no files, no late import. A decision that is another one there depends on something that is not its input.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
from dataclasses import asdict
from typing import IO, Any

from ..contract import Contract
from ..refusal import Malformed, Undecided
from ..rules import Outcome
from ..turn import Caller, Message

#: Set to 1, it leaves the second opinion out.
ONE_PROCESS = "SAGA_SDK_ONE_PROCESS"

_processes: dict[int, _Process | None] = {}

Input = tuple["str | None", Message, str]


def decided_alike(contract: Contract, given: Input, verdict: Outcome | Undecided) -> None:
    """Fails the test where the decision is another one in a process of its own."""
    if os.environ.get(ONE_PROCESS) == "1":
        return
    if id(contract) not in _processes:
        home = home_of(contract)
        _processes[id(contract)] = _Process(*home) if home else None
    process = _processes[id(contract)]
    if process is None:
        return
    state, message, settings = given
    answer = process.ask({"state": state, "message": asdict(message), "settings": settings})
    if "fault" in answer:
        raise AssertionError(f"the rules fail in a process of their own, as they would in a component:\n{answer['fault']}")
    here = told(verdict)
    if answer != here:
        names = [name for name in here if answer.get(name) != here[name]] or ["verdict"]
        shown = [f"  {name}: here {here.get(name)}, there {answer.get(name)}" for name in names]
        raise AssertionError(
            "the decision is another one in another process, so it depends on something that is not its input: the order of a "
            "set (write sorted(…)), a global, the address of an object\n" + "\n".join(shown)
        )


def told(verdict: Outcome | Undecided) -> dict[str, Any]:
    """A decision as JSON values."""
    if isinstance(verdict, Undecided):
        return {"malformed" if isinstance(verdict, Malformed) else "retry_later": verdict.why}
    reply, refusal = verdict.reply, verdict.reply.refusal if verdict.reply else None
    return {
        "change": verdict.change,
        "state": verdict.state,
        "events": [[one.event_type, one.key, one.body] for one in verdict.events],
        "timers": [[one.name, one.due, one.body] for one in verdict.timers],
        "reply": [reply.kind, reply.body] if reply and not refusal else None,
        "refusal": [refusal.type.kind, refusal.type.code, refusal.detail, refusal.pointer] if refusal else None,
    }


def home_of(contract: Contract) -> tuple[str, str] | None:
    """The module and the name under which a contract can be imported; None for one that only a test has."""
    for name, module in sorted(sys.modules.items()):
        last = name.rpartition(".")[2]
        if name == "__main__" or last.startswith("test_") or last.endswith("_test") or last == "conftest":
            continue
        for variable, value in list(getattr(module, "__dict__", {}).items()):
            if value is contract and getattr(module, "__file__", None):
                return name, variable
    return None


class _Process:
    def __init__(self, module: str, variable: str) -> None:
        own = os.environ.get("PYTHONHASHSEED", "")
        environment = {**os.environ, "PYTHONHASHSEED": str(int(own) + 1) if own.isdigit() else "1"}
        self._child = subprocess.Popen(
            [sys.executable, "-c", f"from {__name__} import serve; serve()", module, variable],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**environment, "PYTHONPATH": os.pathsep.join(one or "." for one in sys.path)},
            text=True,
            encoding="utf-8",
        )
        atexit.register(self._end)
        ready = self._line()
        if "fault" in ready:
            raise AssertionError(f"the rules can't be loaded in a process of their own:\n{ready['fault']}")

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        assert self._child.stdin
        self._child.stdin.write(json.dumps(question) + "\n")
        self._child.stdin.flush()
        return self._line()

    def _line(self) -> dict[str, Any]:
        assert self._child.stdout
        line = self._child.stdout.readline()
        if not line:
            raise AssertionError("the process in which the rules decide again has ended: see its error output")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _end(self) -> None:
        if self._child.stdin:
            self._child.stdin.close()
        self._child.wait()


class _NoMoreImports:
    """Finds no module: a component has no files."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def _serve(module: str, variable: str, answers: IO[str]) -> None:
    import importlib
    import linecache

    from .._fault import report
    from .._turn_values import ImpureError
    from ..rules import Rules
    from . import _guard

    def say(answer: dict[str, Any]) -> None:
        answers.write(json.dumps(answer) + "\n")
        answers.flush()

    try:
        rules = Rules(getattr(importlib.import_module(module), variable))
    except BaseException as error:
        say({"fault": report(error)})
        return
    for loaded in list(sys.modules.values()):
        if getattr(loaded, "__file__", None):
            linecache.getlines(loaded.__file__ or "")
    _ = _guard
    deciding = False

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        if deciding and (event == "open" or event.startswith(("socket.", "subprocess.", "os.listdir", "os.system"))):
            raise ImpureError(f"a rule has no files, no network and no other processes ({event} {arguments[:1]})")

    sys.addaudithook(audit)
    sys.meta_path.insert(0, _NoMoreImports())
    say({})
    for line in sys.stdin:
        question = json.loads(line)
        message = question["message"]
        caller = message["caller"]
        message["caller"] = Caller(caller["subject"], caller["claims_text"]) if caller else None
        for name in ("metadata", "parameters"):
            message[name] = tuple(tuple(one) for one in message[name])
        deciding = True
        try:
            answer = told(rules.handle(question["state"], Message(**message), question["settings"]))
        except Undecided as undecided:
            answer = told(undecided)
        except BaseException as error:
            deciding = False
            answer = {"fault": report(error)}
        deciding = False
        say(answer)


def serve() -> None:
    """Decides as it is asked to. What the rules print goes to the error output."""
    answers = sys.stdout
    sys.stdout = sys.stderr
    _serve(sys.argv[1], sys.argv[2], answers)
