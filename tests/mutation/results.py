"""What became of each mutant: one line of JSON a run of it, kept in ``.mutation/results.jsonl``.

Owns the file. The first line of a mutant is what the tests of that day made of it, the last what those of today do.
"""

from __future__ import annotations

import json
from typing import Any, Final

from tests.mutation.draws import KEPT, Key
from tests.mutation.runner import Result

RESULTS: Final = KEPT / "results.jsonl"

_DEAD: Final = ("killed", "hung")


def note(result: Result) -> None:
    """Keep a result."""
    with RESULTS.open("a") as file:
        file.write(json.dumps(result.as_dict()) + "\n")


def outcomes(*, first: bool = False) -> dict[Key, str]:
    """Return the newest outcome of each mutant, or its first."""
    if not RESULTS.exists():
        return {}
    rows: list[dict[str, Any]] = [json.loads(line) for line in RESULTS.read_text().splitlines()]
    return {(row["module"], row["what"]): row["outcome"] for row in (reversed(rows) if first else rows)}


def is_dead(outcome: str) -> bool:
    """Return whether tests noticed the mutant."""
    return outcome in _DEAD
