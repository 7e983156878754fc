"""What a benchmark says: a figure with its spread, held against a floor of the same run and against a target.

Owns the arithmetic and nothing that runs. A ratio says the same on a slow disk and on a fast one; a figure without a
target is there to be looked at.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure. ``value`` in ``unit`` (of samples: their median), held against ``floor`` in the same unit.

    ``is_more_better``: a rate, which meets its target from above. ``p90``/``p99`` are None where there is no spread.
    """

    name: str
    value: float
    unit: str
    floor_name: str = ""
    floor: float = 0.0
    target: float | None = None
    p90: float | None = None
    p99: float | None = None
    is_more_better: bool = False

    @property
    def ratio(self) -> float | None:
        return self.value / self.floor if self.floor else None

    @property
    def is_met(self) -> bool:
        return self.is_within(1.0)

    def is_within(self, slack: float) -> bool:
        """Whether the ratio is no worse than the target by a factor of ``slack``; without a target it is."""
        if self.target is None or self.ratio is None:
            return True
        return self.ratio >= self.target / slack if self.is_more_better else self.ratio <= self.target * slack


def of_samples(
    name: str,
    samples: Sequence[float],
    *,
    floor_name: str = "",
    floor: float = 0.0,
    target: float | None = None,
    per: int = 1,
) -> Figure:
    """Build a figure in ms from samples in ms, each of which was ``per`` things one after the other."""
    ordered = sorted(sample / per for sample in samples)
    return Figure(
        name,
        statistics.median(ordered),
        "ms",
        floor_name,
        floor,
        target,
        p90=ordered[len(ordered) * 90 // 100],
        p99=ordered[len(ordered) * 99 // 100],
    )
