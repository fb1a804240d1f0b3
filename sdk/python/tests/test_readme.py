"""The README's participant is one, and its test passes."""

import re
import subprocess
import sys
from pathlib import Path


def test_the_participant_of_the_readme(tmp_path):
    text = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    files = re.findall(r"```(?:python|toml)\n# (\S+)\n(.*?)```", text, re.S)
    assert [name for name, _ in files] == ["rules.py", "test_rules.py", "pyproject.toml"]
    for name, content in files:
        (tmp_path / name).write_text(content)
    source = str(Path(__file__).parents[1] / "src")
    run = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(tmp_path)]
    path = f"{source}:{tmp_path}"
    told = subprocess.run(run, cwd=tmp_path, env={"PYTHONPATH": path}, capture_output=True, text=True)
    assert told.returncode == 0, told.stdout
    problems = "from rules import contract; print(contract.problems())"
    told = subprocess.run([sys.executable, "-c", problems], cwd=tmp_path, env={"PYTHONPATH": path}, capture_output=True, text=True)
    assert told.stdout.strip() == "[]", told.stderr
