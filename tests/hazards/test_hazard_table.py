"""The table of docs/hazards.md is true: every hazard has its line, and every test that a line names exists."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

HAZARDS = list(range(1, 37))

_LINE = re.compile(r"^\| (\d+) \|.*\|$", re.MULTILINE)
_TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")

TABLE = (ROOT / "docs" / "hazards.md").read_text()
NAMED = sorted(set(_TEST.findall(TABLE)))


@cache
def _functions(path: str) -> frozenset[str]:
    """Return the names of all functions in a file, empty when there is none."""
    file = ROOT / path
    tree = ast.parse(file.read_text() if file.exists() else "")
    return frozenset(it.name for it in ast.walk(tree) if isinstance(it, ast.FunctionDef | ast.AsyncFunctionDef))


def test_every_hazard_has_a_line_with_a_test() -> None:
    lines = {int(found[1]): found[0] for found in _LINE.finditer(TABLE)}
    assert sorted(lines) == HAZARDS
    assert all(_TEST.search(line) for line in lines.values())


@pytest.mark.parametrize(("path", "name"), NAMED)
def test_every_test_that_the_table_names_exists(path: str, name: str) -> None:
    assert name in _functions(path)
