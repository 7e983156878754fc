"""Findings as SARIF 2.1.0, the format that code hosts show beside the code."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from holdfast.lint.finding import Finding
from holdfast.lint.rules import RULES, SYNTAX, UNKNOWN_RULE

_SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"

#: The rules that are not in the table: summary of each.
_OWN: Final = {
    SYNTAX: "The file cannot be parsed.",
    UNKNOWN_RULE: "A comment ignores a rule that does not exist.",
}


def sarif(findings: Iterable[Finding], version: str) -> dict[str, Any]:
    """Return the log of one run of the linter; ``version`` is that of holdfast."""
    summaries = {**{rule.name: rule.summary for rule in RULES.values()}, **_OWN}
    rules = [{"id": name, "shortDescription": {"text": summary}} for name, summary in summaries.items()]
    indexes = {name: index for index, name in enumerate(summaries)}
    driver = {"name": "holdfast lint", "version": version, "rules": rules}
    results = [_result(finding, indexes[finding.rule]) for finding in findings]
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": results}]}


def _result(finding: Finding, rule_index: int) -> dict[str, Any]:
    place = {
        "artifactLocation": {"uri": Path(finding.path).as_posix()},
        "region": {"startLine": finding.line, "startColumn": finding.column},
    }
    return {
        "ruleId": finding.rule,
        "ruleIndex": rule_index,
        "level": "error",
        "message": {"text": finding.message},
        "locations": [{"physicalLocation": place}],
    }
