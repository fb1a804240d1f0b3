"""What goes into a component, and mistakes that a build finds before the toolchain starts."""

from pathlib import Path

import pytest

from saga_sdk._environment import LIBRARY, VARIABLES, _number, _signed, library
from saga_sdk.build import BuildError, _gathered, _values, _write_app, project_at

EXAMPLE = Path(__file__).parents[1] / "examples" / "order"


def project(tmp_path, rules, name="rules"):
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "loan"\n[tool.saga]\ncontract = "rules:contract"\n')
    (tmp_path / f"{name}.py").write_text(rules)
    return project_at(tmp_path)


def test_a_project_is_what_its_manifest_says(tmp_path):
    found = project_at(EXAMPLE)
    assert (found.module, found.variable, found.sources) == ("order", "contract", (EXAMPLE / ".",))
    assert project(tmp_path, "").component == tmp_path / "dist/loan.wasm"
    with pytest.raises(BuildError, match="write it like loan.rules:contract"):
        project_at(tmp_path, "rules")
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    with pytest.raises(BuildError, match="does not say where the contract is: add"):
        project_at(tmp_path)


def test_the_manifest_is_read_without_a_reader_of_toml():
    text = '[project]\nname = "loan"\n[tool.saga]\ncontract = "a:b" # there\nsources = [\'src\']\n[tool.x]\ncontract = "c"\n'
    assert _values(text, "tool.saga") == {"contract": "a:b", "sources": ["src"]}
    assert _values(text, "project") == {"name": "loan"}


def test_what_the_rules_load_is_gathered_and_nothing_else(tmp_path):
    found = project_at(EXAMPLE)
    assert _gathered(found, tmp_path) == ["messages", "order", "rules"]
    _write_app(found, tmp_path)
    names = sorted(str(one.relative_to(tmp_path)) for one in tmp_path.rglob("*.py"))
    assert "order.py" in names
    assert "saga_sdk/_component.py" in names
    assert not [name for name in names if "test" in name or "build" in name or "__main__" in name]
    assert (tmp_path / LIBRARY).read_bytes() == library(VARIABLES)


def test_numbers_of_a_library_are_those_of_webassembly():
    assert [_number(value).hex() for value in (0, 127, 128, 300)] == ["00", "7f", "8001", "ac02"]
    assert [_signed(value).hex() for value in (0, 63, 64, 300)] == ["00", "3f", "c000", "ac02"]


@pytest.mark.parametrize(
    ("rules", "error"),
    [
        ("import no_such_module", "No module named 'no_such_module'"),
        ("contract = 1", "rules has no contract named contract"),
        (
            "from dataclasses import dataclass\nfrom saga_sdk import *\n"
            "@dataclass\nclass S:\n    price: float\n"
            "contract = Contract('x', '1', 'X.', state=S)",
            "S.price: float loses digits: use Decimal, int, or saga_sdk.Money",
        ),
        (
            "from saga_sdk import *\ndef show(state: str, turn: Turn) -> str:\n    return state\n"
            "contract = Contract('x', '1', 'X.', state=str).command(Command.read('show', '/x', show))",
            "command show: has no summary: add .summary",
        ),
        (
            "from saga_sdk import *\ndef show(state, turn):\n    return state\n"
            "contract = Contract('x', '1', 'X.', state=str).command(Command.read('show', '/x/{x}', show))",
            "command show: show does not say the type of state",
        ),
    ],
)
def test_a_mistake_is_found_before_the_toolchain_starts(tmp_path, rules, error):
    with pytest.raises(BuildError) as raised:
        _gathered(project(tmp_path, rules), tmp_path)
    assert error in str(raised.value)
