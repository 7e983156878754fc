"""The table of rules, and what it is to lint a file: parse it, ask every rule, drop what is ignored."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from holdfast.lint.coroutines import blocking, swallowed_cancel, unawaited
from holdfast.lint.finding import Finding, Rule
from holdfast.lint.ignoring import ignored_rules
from holdfast.lint.module import Module
from holdfast.lint.order import unordered
from holdfast.lint.outside import CHECKS
from holdfast.lint.shared import mutable_global

#: Rules of the table's own: a file that cannot be read, and a comment that ignores a rule that does not exist.
SYNTAX: Final = "syntax"
UNKNOWN_RULE: Final = "unknown-rule"

#: Every rule by name. Complete against docs/authoring/lint.md: tests/lint/test_lint_rules.py.
RULES: Final[Mapping[str, Rule]] = {
    rule.name: rule
    for rule in (
        Rule("clock", "A workflow body reads a clock.", CHECKS["clock"]),
        Rule("random", "A workflow body draws random numbers.", CHECKS["random"]),
        Rule("uuid", "A workflow body makes a random or clock-based UUID.", CHECKS["uuid"]),
        Rule("files", "A workflow body uses files.", CHECKS["files"]),
        Rule("sockets", "A workflow body uses the network.", CHECKS["sockets"]),
        Rule("threads", "A workflow body starts threads.", CHECKS["threads"]),
        Rule("subprocess", "A workflow body starts processes.", CHECKS["subprocess"]),
        Rule("environment", "A workflow body uses environment variables.", CHECKS["environment"]),
        Rule("unordered", "The order of a set decides the order of steps.", unordered),
        Rule("swallowed-cancel", "A handler swallows CancelledError.", swallowed_cancel),
        Rule("mutable-global", "A workflow body depends on a module variable that changes.", mutable_global),
        Rule("blocking", "A blocking call in async code.", blocking),
        Rule("unawaited", "A step or coroutine is called and never awaited.", unawaited),
    )
}


def lint_file(path: Path, shown: str | None = None) -> list[Finding]:
    """Lint one file; ``shown`` is its path in findings. Raises OSError when it cannot be read."""
    source = path.read_bytes()
    try:
        text = source.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return [Finding(shown or str(path), 1, 1, SYNTAX, f"is not UTF-8: {error.reason} at byte {error.start}")]
    return lint_source(text, shown or str(path), path.resolve())


def lint_source(source: str, shown: str, path: Path | None = None) -> list[Finding]:
    """Lint source text; findings in order of their place. ``path`` is where modules beside it are looked for."""
    try:
        module = Module.parse(source, path)
    except (SyntaxError, ValueError) as error:
        line, column = getattr(error, "lineno", None) or 1, getattr(error, "offset", None) or 1
        return [Finding(shown, line, column, SYNTAX, f"cannot be parsed: {getattr(error, 'msg', None) or error}")]
    ignored = ignored_rules(source)
    found = {it for rule in RULES.values() for it in _findings(rule, module, shown) if not _is_ignored(it, ignored)}
    return sorted(found | set(_unknown(ignored, shown)))


def _findings(rule: Rule, module: Module, shown: str) -> Iterator[Finding]:
    for node, message in rule.check(module):
        assert isinstance(node, ast.stmt | ast.expr | ast.ExceptHandler)
        yield Finding(shown, node.lineno, node.col_offset + 1, rule.name, message)


def _is_ignored(finding: Finding, ignored: Mapping[int, frozenset[str]]) -> bool:
    rules = ignored.get(finding.line)
    return rules is not None and (not rules or finding.rule in rules)


def _unknown(ignored: Mapping[int, frozenset[str]], shown: str) -> Iterator[Finding]:
    for line, rules in ignored.items():
        for name in sorted(rules - set(RULES)):
            yield Finding(shown, line, 1, UNKNOWN_RULE, f"there is no rule {name!r}; rules are {', '.join(RULES)}")
