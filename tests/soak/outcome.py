"""What a soak comes to: a verdict on each promise, with the numbers behind it.

Owns the words. A verdict is None where there is nothing to judge: trends of a soak of seconds, latencies on a machine
that others use. Read ``trends.py`` for what a trend is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from tests.soak.faults import Happened
from tests.soak.load import Ended
from tests.soak.sampling import MEBIBYTE, Life
from tests.soak.trends import (
    FDS_GROWTH_MAX,
    P99_DRIFT_MAX,
    RSS_GROWTH_MAX,
    Window,
    drift,
    fds_line,
    grows,
    has_line,
    rss_line,
    undisturbed,
    windows,
)

#: A soak, or a life of a process, that is shorter says nothing about trends.
TREND_SECONDS_MIN: Final = 600.0

WINDOWS: Final = 12


@dataclass(frozen=True, slots=True)
class Verdict:
    """One line of the report; ``is_kept`` None: not judged."""

    promise: str
    found: str
    is_kept: bool | None


@dataclass(slots=True)
class Soak:
    """Everything that was seen. ``late`` are runs that did not end, with what they wait for."""

    seconds: float
    per_second: float
    capacity: float | None
    is_shared: bool
    began: float = 0.0
    ended: list[Ended] = field(default_factory=list)
    started: int = 0
    late: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    faults: list[Happened] = field(default_factory=list)
    lives: list[Life] = field(default_factory=list)
    longest: list[Life] = field(default_factory=list)
    sizes: list[tuple[float, int]] = field(default_factory=list)
    audits: int = 0
    deleted: int = 0
    findings: list[str] = field(default_factory=list)
    logged: list[str] = field(default_factory=list)

    @property
    def judges_trends(self) -> bool:
        return self.seconds >= TREND_SECONDS_MIN

    @property
    def calm(self) -> list[Ended]:
        """The runs that met no fault."""
        return undisturbed(self.ended, self.faults)

    def windows(self, runs: Sequence[Ended]) -> list[Window]:
        return windows(runs, self.began, self.seconds, WINDOWS)

    def verdicts(self) -> list[Verdict]:
        """Judge everything."""
        late = f"; {len(self.late)} did not" if self.late else ""
        return [
            Verdict("every run ends, with the right result", f"{len(self.ended)} of {self.started}{late}", self._ends),
            Verdict("every law of the log is kept", f"{self.audits} audits", not self.findings),
            Verdict("nothing unforeseen in the logs", f"{len(self.logged)} lines", not self.logged),
            *self._growth(),
            *self._drift(),
        ]

    @property
    def _ends(self) -> bool:
        return not self.late and not self.wrong and len(self.ended) == self.started

    def _growth(self) -> Iterator[Verdict]:
        for life in filter(has_line, self.longest):
            rss, fds = rss_line(life), fds_line(life)
            if life.seconds < TREND_SECONDS_MIN:
                mean = f"{rss.mean / MEBIBYTE:.0f} MiB, {fds.mean:.0f} descriptors; too short to tell more"
                yield Verdict(f"{life.name}: memory and descriptors stay", mean, None)
                continue
            grown = rss.per_hour / MEBIBYTE
            share = rss.per_hour / rss.mean
            of = f"over {life.seconds / 60:.1f} min of {rss.mean / MEBIBYTE:.0f} MiB"
            rss_kept, fds_kept = not grows(rss, RSS_GROWTH_MAX * rss.mean), not grows(fds, FDS_GROWTH_MAX)
            yield Verdict(
                f"{life.name}: memory stays",
                f"{grown:+.2f} ± {rss.error / MEBIBYTE:.2f} MiB an hour ({share:+.1%}) {of}",
                rss_kept,
            )
            yield Verdict(
                f"{life.name}: descriptors stay",
                f"{fds.per_hour:+.2f} ± {fds.error:.2f} an hour, of {fds.mean:.0f}",
                fds_kept,
            )

    def _drift(self) -> Iterator[Verdict]:
        change = drift(self.calm, self.began, self.seconds)
        found = "no runs to tell" if change is None else f"{change:+.1%} from the first third to the last"
        is_judged = self.judges_trends and not self.is_shared and change is not None
        yield Verdict(
            "p99 of runs that met no fault stays", found, (change or 0) < P99_DRIFT_MAX if is_judged else None
        )
