"""Counts of claims, and of what the store refused, by cause: for `GetRuntimeInfo`, `DescribeRun` and /metrics.

In memory only: a refused call leaves no trace in the store, by law 3, so the counts begin with the process.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import Final

#: Runs whose own count is remembered; the oldest are forgotten first.
_RUNS_MAX: Final = 10_000


class Counters:
    """Claims, and refusals by cause and by run, since the process began."""

    def __init__(self) -> None:
        self.refusals: Counter[str] = Counter()
        #: Wake messages claimed since the process began.
        self.claims = 0
        self._by_run: OrderedDict[str, int] = OrderedDict()

    def refused(self, run_id: str, cause: str) -> None:
        """Count one refusal of a run's write."""
        self.refusals[cause] += 1
        self._by_run[run_id] = self._by_run.pop(run_id, 0) + 1
        if len(self._by_run) > _RUNS_MAX:
            self._by_run.popitem(last=False)

    def stale_by_run(self, run_id: str) -> int:
        """Return how often this process saw a write of the run refused."""
        return self._by_run.get(run_id, 0)
