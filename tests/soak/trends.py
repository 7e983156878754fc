"""What a soak says about change over time: a line through memory and descriptors, latencies first and last.

Pure functions of what was sampled, and the limits that they are held against. A leak is a slope that is more than
noise and more than a process may grow in an hour; a drift is judged from runs that met no fault, for faults come in
random order and cost more than any drift. Proof that leaks and drifts are seen: ``test_trends.py``.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from tests.crash.outcome import quantile
from tests.soak.faults import SETTLE_SECONDS, Happened
from tests.soak.load import Ended
from tests.soak.sampling import Life, Sample

HOUR_SECONDS: Final = 3600.0

#: Share of a life that is warm-up: caches fill, allocators find their size.
WARM_UP: Final = 0.2

#: What counts as no growth: this share of the mean an hour, for descriptors so many an hour.
RSS_GROWTH_MAX: Final = 0.03
FDS_GROWTH_MAX: Final = 2.0

#: A slope below so many of its own standard errors is noise.
_SIGNIFICANT_ERRORS: Final = 4.0

P99_DRIFT_MAX: Final = 0.10

#: A series of fewer samples says nothing.
_SAMPLES_MIN: Final = 10


@dataclass(frozen=True, slots=True)
class Line:
    """A line through samples: its slope an hour, the standard error of that, and the mean."""

    mean: float
    per_hour: float
    error: float

    @property
    def is_noise(self) -> bool:
        return abs(self.per_hour) <= _SIGNIFICANT_ERRORS * self.error


def line_through(points: Sequence[tuple[float, float]]) -> Line:
    """Fit a line by least squares through (seconds, value); needs three points that differ in time."""
    seconds, values = [at for at, _ in points], [value for _, value in points]
    slope, begin = statistics.linear_regression(seconds, values)
    middle = statistics.fmean(seconds)
    spread = sum((at - middle) ** 2 for at in seconds)
    left = sum((value - begin - slope * at) ** 2 for at, value in points)
    error = math.sqrt(left / (len(points) - 2) / spread)
    return Line(statistics.fmean(values), slope * HOUR_SECONDS, error * HOUR_SECONDS)


def warm(life: Life) -> Sequence[Sample]:
    """Return the samples of a life after its warm-up."""
    return [it for it in life.samples if it.at >= life.samples[0].at + WARM_UP * life.seconds]


def has_line(life: Life) -> bool:
    """Tell whether a life is long enough to say something."""
    return len(warm(life)) >= _SAMPLES_MIN


def rss_line(life: Life) -> Line:
    return line_through([(it.at, float(it.rss)) for it in warm(life)])


def fds_line(life: Life) -> Line:
    return line_through([(it.at, float(it.fds)) for it in warm(life)])


def grows(line: Line, most_per_hour: float) -> bool:
    """Tell whether a line is a leak."""
    return line.per_hour > most_per_hour and not line.is_noise


def undisturbed(runs: Iterable[Ended], faults: Sequence[Happened]) -> list[Ended]:
    """Keep the runs that lived beside no fault and not in the seconds after one."""
    times = [(it.began, it.ended + SETTLE_SECONDS) for it in faults]
    return [run for run in runs if not any(run.began <= until and run.ended >= since for since, until in times)]


@dataclass(frozen=True, slots=True)
class Window:
    """Latencies of runs that began in a part of the soak; everything in seconds, since its beginning."""

    since: float
    until: float
    count: int
    p50: float
    p99: float


def windows(runs: Sequence[Ended], began: float, seconds: float, count: int) -> list[Window]:
    """Cut a soak into equal parts; parts without a run are left out."""
    size = seconds / count
    found = []
    for number in range(count):
        since, until = began + number * size, began + (number + 1) * size
        if times := sorted(it.seconds for it in runs if since <= it.began < until):
            found.append(
                Window(number * size, (number + 1) * size, len(times), quantile(times, 0.5), quantile(times, 0.99))
            )
    return found


def drift(runs: Sequence[Ended], began: float, seconds: float) -> float | None:
    """Return by what share the p99 of the last third is above that of the first; None when one of them has no run."""
    thirds = {round(it.since / seconds * 3): it for it in windows(runs, began, seconds, 3)}
    if 0 not in thirds or 2 not in thirds:
        return None
    return thirds[2].p99 / thirds[0].p99 - 1
