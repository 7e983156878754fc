"""What became of one crash, and what many of them come to.

Owns the words of the report: a schedule is a way to crash, an outcome is one crash and its verdict. Recovery is the
time from the death of the process until the next event entered the log. Nothing here runs anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Outcome:
    """One crash: where, whether the run got stuck, what is wrong (empty: nothing), and how long recovery took."""

    place: str
    is_stuck: bool = False
    findings: tuple[str, ...] = ()
    recovery_seconds: float | None = None


@dataclass(slots=True)
class Tally:
    """All outcomes of one schedule; ``crashes`` are processes that really died."""

    schedule: str
    seconds: float = 0.0
    crashes: int = 0
    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def stuck(self) -> int:
        return sum(it.is_stuck for it in self.outcomes)

    @property
    def failures(self) -> list[str]:
        """Everything that is wrong, with its place."""
        stuck = [f"{it.place}: stuck" for it in self.outcomes if it.is_stuck]
        return stuck + [f"{it.place}: {finding}" for it in self.outcomes for finding in it.findings]

    def line(self) -> str:
        """Return one line of the report."""
        verdict = "ok" if not self.failures else f"{len(self.failures)} WRONG"
        times = sorted(it.recovery_seconds for it in self.outcomes if it.recovery_seconds is not None)
        recovery = f"p50 {quantile(times, 0.5):6.3f} s  p99 {quantile(times, 0.99):6.3f} s" if times else ""
        counts = f"{self.crashes:5} crashes  {self.stuck:2} stuck  {verdict:8}"
        return f"{self.schedule:44} {counts}  {recovery:30} {self.seconds:6.1f} s"


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value below which ``share`` of the sorted values lie."""
    return values[min(len(values) - 1, int(share * len(values)))]


def report(tallies: Sequence[Tally]) -> Iterator[str]:
    """Yield the lines that sum all schedules up."""
    crashes = sum(it.crashes for it in tallies)
    failures = [text for it in tallies for text in it.failures]
    yield from failures
    stuck = sum(it.stuck for it in tallies)
    yield f"{crashes} crashes, {stuck} runs stuck, {len(failures) or 'nothing'} wrong"
