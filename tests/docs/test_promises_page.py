"""The page of promises is true: each line names tests, and every test that a line names exists."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "authoring" / "promises.md").read_text()
LINES = re.findall(r"^\| ([A-Z`].*?) \| (.*) \|$", PAGE, re.MULTILINE)
TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


@cache
def functions(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text())
    return frozenset(it.name for it in ast.walk(tree) if isinstance(it, ast.FunctionDef | ast.AsyncFunctionDef))


def test_every_promise_has_a_test_that_exists() -> None:
    assert len(LINES) > 20
    assert [promise for promise, tests in LINES if not TEST.search(tests)] == []
    named = [found for _, tests in LINES for found in TEST.findall(tests)]
    assert [f"{path}::{name}" for path, name in named if name not in functions(path)] == []
