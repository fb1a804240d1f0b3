"""Builds a component of the rules with componentize-py, which comes from PyPI.

Owns what goes into the component: the modules that the rules load, and nothing else of the project or of its libraries.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ._environment import LIBRARY, VARIABLES, library

#: The toolchain with which this SDK is tested.
TOOLCHAIN = "0.25.1"

#: The module that componentize-py loads. Not the name of an author's module.
_APP = "saga_component_of_rules"

_SDK = Path(__file__).parent

#: What a component has no use for.
_LEFT_OUT = {"__pycache__", "testing", "build.py", "__main__.py", "_build_step.py", "_environment.py", "wit", "py.typed"}


class BuildError(Exception):
    """The component can't be built. The text says why, and what to do."""


@dataclass(frozen=True)
class Project:
    """A project with rules: its folder, the folders of its sources, where its contract is, and what is built of it."""

    root: Path
    sources: tuple[Path, ...]
    module: str
    variable: str
    #: The component that is built unless another file is named.
    component: Path


def project_at(root: Path, contract: str | None = None) -> Project:
    """Reads `[tool.saga]` of the project's `pyproject.toml`."""
    file = root / "pyproject.toml"
    table, name = _table(file) if file.exists() else ({}, None)
    contract = contract or table.get("contract")
    if not contract:
        raise BuildError(
            f'{file} does not say where the contract is: add\n\n  [tool.saga]\n  contract = "loan.rules:contract"\n\n'
            "which is the name of a module, and of a variable in it"
        )
    module, colon, variable = contract.partition(":")
    if not colon or not module or not variable.isidentifier():
        raise BuildError(f"{contract!r} is no place of a contract: write it like loan.rules:contract")
    names = table.get("sources") or (["src"] if (root / "src").is_dir() else ["."])
    component = root / (table.get("component") or f"dist/{name or root.name}.wasm")
    return Project(root, tuple(root / name for name in names), module, variable, component)


def _table(file: Path) -> tuple[dict[str, Any], str | None]:
    """`[tool.saga]`, and the name of the project."""
    text = file.read_text(encoding="utf-8")
    if sys.version_info >= (3, 11):
        import tomllib

        try:
            found = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise BuildError(f"{file} is not TOML: {error}") from None
        return dict(found.get("tool", {}).get("saga", {})), found.get("project", {}).get("name")
    # Python 3.10 reads no TOML: the values stand on lines of their own.
    return _values(text, "tool.saga"), _values(text, "project").get("name")


def _values(text: str, table: str) -> dict[str, Any]:
    section = re.search(rf"^\[{re.escape(table)}\]\s*$(.*?)(?=^\[|\Z)", text, re.M | re.S)
    names = "contract|sources|component|name"
    lines = re.findall(rf"^\s*({names})\s*=\s*(.+?)\s*(?:#.*)?$", section[1], re.M) if section else []
    return {name: json.loads(value.replace("'", '"')) for name, value in lines}


def build(project: Project, output: Path) -> str:
    """Builds the component, and returns its digest."""
    try:
        version = importlib.metadata.version("componentize-py")
    except importlib.metadata.PackageNotFoundError:
        raise BuildError(f"componentize-py is not installed in {sys.prefix}: pip install componentize-py=={TOOLCHAIN}") from None
    with tempfile.TemporaryDirectory(prefix="saga-sdk-") as folder:
        app = Path(folder) / "app"
        app.mkdir()
        for name in _gathered(project, app):
            print(f"  {name}", file=sys.stderr)
        _write_app(project, app)
        sources = _digest_of(app, version)
        known = _known(output, sources)
        if known:
            return known
        made = Path(folder) / "made.wasm"
        _componentize(app, made)
        output.parent.mkdir(parents=True, exist_ok=True)
        # In one step: whoever watches the file never sees half of it.
        beside = output.with_name(f".{output.name}.new")
        shutil.copyfile(made, beside)
        beside.replace(output)
    digest = hashlib.sha256(output.read_bytes()).hexdigest()
    _note(output).write_text(f"{sources} {digest}\n")
    if version != TOOLCHAIN:
        print(f"note: built with componentize-py {version}; this SDK is tested with {TOOLCHAIN}", file=sys.stderr)
    return digest


def _note(output: Path) -> Path:
    """Says from which sources a component was built. The toolchain makes other bytes of the same sources each time, so a
    component whose sources have not changed is kept."""
    return output.with_name(f".{output.name}.sources")


def _digest_of(app: Path, version: str) -> str:
    """The digest of all that goes into a component."""
    digest = hashlib.sha256(f"componentize-py {version}\n".encode())
    for one in sorted((*app.rglob("*"), _SDK / "wit" / "participant.wit")):
        if one.is_file():
            name = one.relative_to(app) if one.is_relative_to(app) else one.name
            digest.update(f"{name} {hashlib.sha256(one.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def _known(output: Path, sources: str) -> str | None:
    """The digest of the component that was built from these sources, if it is still there."""
    try:
        of_sources, digest = _note(output).read_text().split()
        is_it = of_sources == sources and hashlib.sha256(output.read_bytes()).hexdigest() == digest
    except (OSError, ValueError):
        return None
    return digest if is_it else None


_LIST = """
import importlib, json, sys
before = set(sys.modules)
from saga_sdk._purity import is_python
contract = getattr(importlib.import_module(sys.argv[1]), sys.argv[2], None)
from saga_sdk import Contract
if not isinstance(contract, Contract):
    sys.exit(f"{sys.argv[1]} has no contract named {sys.argv[2]}")
problems = contract.problems()
if problems:
    sys.exit("the contract has mistakes:\\n" + "\\n".join(problems))
def is_gathered(name, one):
    return name not in before and getattr(one, "__file__", None) and not is_python(one)
tops = sorted({name.partition(".")[0] for name, one in sys.modules.items() if is_gathered(name, one)})
files = {name: sys.modules[name].__file__ or next(iter(sys.modules[name].__path__)) for name in tops if name in sys.modules}
print(json.dumps(files))
"""


def _gathered(project: Project, app: Path) -> list[str]:
    """Copies the modules that the rules load: the project's, its libraries' and the SDK's."""
    path = os.pathsep.join([*map(str, project.sources), str(_SDK.parent)])
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0"}
    command = [sys.executable, "-c", _LIST, project.module, project.variable]
    found = subprocess.run(command, env=environment, cwd=project.root, capture_output=True, text=True, encoding="utf-8")
    if found.returncode:
        raise BuildError(f"the rules can't be loaded:\n{found.stderr.strip()}")
    modules: dict[str, str] = json.loads(found.stdout.strip().splitlines()[-1])
    for name, file in modules.items():
        source = Path(file)
        if name == _APP:
            raise BuildError(f"{_APP} is the name of the SDK's own module: name yours otherwise")
        if source.suffix not in (".py", "") and not source.is_dir():
            raise BuildError(
                f"the module {name!r} is native code ({source}), which can't run in a component: use one in pure Python"
            )
        if source.name == "__init__.py" or source.is_dir():
            _copy_package(source if source.is_dir() else source.parent, app / name, name == "saga_sdk")
        else:
            shutil.copyfile(source, app / source.name)
    return [name for name in modules if name != "saga_sdk"]


def _copy_package(source: Path, target: Path, is_sdk: bool) -> None:
    for one in sorted(source.iterdir()):
        if one.name in (_LEFT_OUT if is_sdk else {"__pycache__"}):
            continue
        if one.is_dir():
            _copy_package(one, target / one.name, is_sdk=False)
        elif one.suffix in (".py", ".json", ".txt"):
            target.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(one, target / one.name)


def _write_app(project: Project, app: Path) -> None:
    """The module that componentize-py loads. The rules come first, so that what they load is known."""
    (app / f"{_APP}.py").write_text(
        f"from {project.module} import {project.variable} as _contract\n"
        "from saga_sdk._component import rules_of\n\n"
        "Rules = rules_of(_contract)\n",
        encoding="utf-8",
    )
    (app / LIBRARY).write_bytes(library(VARIABLES))


def _componentize(app: Path, output: Path) -> None:
    step = [sys.executable, str(_SDK / "_build_step.py"), str(_SDK / "wit"), str(app), _APP, str(output)]
    environment = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONPATH")}
    environment |= {"PYTHONHASHSEED": "0", "SOURCE_DATE_EPOCH": "0", "TMPDIR": str(app.parent)}
    done = subprocess.run(step, env=environment, capture_output=True, text=True, encoding="utf-8", errors="replace")
    if done.returncode or not output.exists():
        said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise BuildError("componentize-py failed:\n" + "\n".join(said[-30:]))
