"""`saga-sdk`, or `python -m saga_sdk`: builds a component of the rules."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from . import __version__
from .build import BuildError, build, project_at


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="saga-sdk", description="Builds the rules of a saga participant.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("build", help="build a component, with componentize-py from PyPI")
    one.add_argument("contract", nargs="?", help="module:variable (default: [tool.saga] contract in pyproject.toml)")
    one.add_argument("-o", "--output", type=Path, help="the component (default: dist/NAME.wasm)")
    one.add_argument("-C", "--directory", type=Path, default=Path(), help="the project's folder (default: this one)")
    given = parser.parse_args()
    try:
        project = project_at(given.directory.resolve(), given.contract)
        output = given.output or project.component
        digest = build(project, output.resolve())
    except BuildError as error:
        sys.exit(f"error: {error}")
    size = output.stat().st_size / 1e6
    print(f"{output}: {size:.1f} MB, digest {digest}")


if __name__ == "__main__":
    main()
