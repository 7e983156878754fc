"""`holdfast lint` as a command: its formats, its exit codes, and what it says about files that are not there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from holdfast.lint import RULES, lint_source
from holdfast.lint.sarif import sarif

BAD = "import time\nfrom holdfast import workflow\n\n@workflow\nasync def flow() -> float:\n    return time.time()\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "bad.py").write_text(BAD)
    (tmp_path / "good.py").write_text("x = 1\n")
    return tmp_path


def lint(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "holdfast.cli", "lint", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def test_text_names_the_place_and_the_exit_code_is_1(folder: Path) -> None:
    done = lint(folder, "flows", "good.py")
    assert done.returncode == 1
    assert done.stdout.startswith("flows/bad.py:6:12: clock: time.time() in workflow flow")
    assert len(done.stdout.splitlines()) == 1


def test_nothing_found_is_silent_and_0(folder: Path) -> None:
    done = lint(folder, "good.py")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_json_is_one_finding_a_line(folder: Path) -> None:
    done = lint(folder, "--json", ".")
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 1
    assert [(it["path"], it["line"], it["column"], it["rule"]) for it in found] == [("flows/bad.py", 6, 12, "clock")]


def test_sarif_holds_every_rule_and_the_findings(folder: Path) -> None:
    done = lint(folder, "--sarif", "flows/bad.py")
    log = json.loads(done.stdout)
    run = log["runs"][0]
    assert (done.returncode, log["version"]) == (1, "2.1.0")
    assert {rule["id"] for rule in run["tool"]["driver"]["rules"]} >= set(RULES)
    place = run["results"][0]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "flows/bad.py"
    assert place["region"] == {"startLine": 6, "startColumn": 12}


def test_sarif_of_nothing_is_a_whole_log_too() -> None:
    assert sarif([], "1")["runs"][0]["results"] == []


def test_the_index_of_a_rule_is_that_of_its_id() -> None:
    run = sarif(lint_source(BAD, "bad.py"), "1")["runs"][0]
    result = run["results"][0]
    assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]


@pytest.mark.parametrize("words", [("missing.py",), ("--json", "--sarif", "good.py"), ()])
def test_wrong_use_is_2(folder: Path, words: tuple[str, ...]) -> None:
    done = lint(folder, *words)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_nothing_of_a_linted_file_is_imported(folder: Path) -> None:
    (folder / "loud.py").write_text("raise SystemExit(7)\n")
    assert lint(folder, "loud.py").returncode == 0
