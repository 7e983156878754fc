"""A finding, and the rule it belongs to: the two values of the linter."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from holdfast.lint.module import Module

#: What a check yields: where, and what to say.
Spot = tuple[ast.AST, str]
Check = Callable[[Module], Iterator[Spot]]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. ``summary`` is a sentence for lists of rules; ``check`` finds the spots in a module."""

    name: str
    summary: str
    check: Check


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """Where a rule is broken. ``line`` and ``column`` count from 1."""

    path: str
    line: int
    column: int
    rule: str
    message: str

    @property
    def text(self) -> str:
        """The finding as compilers print them."""
        return f"{self.path}:{self.line}:{self.column}: {self.rule}: {self.message}"

    def as_json(self) -> dict[str, Any]:
        """Return what programs read."""
        return {
            "path": self.path,
            "line": self.line,
            "column": self.column,
            "rule": self.rule,
            "message": self.message,
        }
