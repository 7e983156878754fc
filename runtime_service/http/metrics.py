"""What a runtime counts, in the format of Prometheus.

Owns the names. Counts and gauges of the worker are read when somebody asks, so that they cost nothing until then; only
HTTP requests are counted here. A registry of its own: nothing of the process's other metrics leaks in.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from runtime_service.worker.worker import Worker

#: Media type of the text format.
MEDIA_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """The metrics of one runtime."""

    def __init__(self, worker: Worker) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_OfWorker(worker))
        self._requests = Counter(
            "holdfast_http_requests", "HTTP requests answered.", ("route", "status"), registry=self._registry
        )

    def answered(self, route: str, status: int) -> None:
        """Count one request; ``route`` is a name of ours, never a path that somebody sent."""
        self._requests.labels(route, str(status)).inc()

    def text(self) -> bytes:
        """Return everything as text."""
        return generate_latest(self._registry)


class _OfWorker(Collector):
    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def collect(self) -> Iterator[Metric]:
        worker = self._worker
        refusals = CounterMetricFamily(
            "holdfast_refusals", "Writes of held runs that the store refused, by cause.", labels=("cause",)
        )
        for cause, count in sorted(worker.counters.refusals.items()):
            refusals.add_metric((cause,), count)
        yield refusals
        yield CounterMetricFamily("holdfast_claims", "Wake messages claimed.", value=worker.counters.claims)
        yield GaugeMetricFamily("holdfast_live_runs", "Runs with a live instance in memory.", value=worker.live_runs)
        yield GaugeMetricFamily("holdfast_held_runs", "Runs in the hands of this process.", value=worker.active_replays)
        yield GaugeMetricFamily("holdfast_active_steps", "Step attempts that run here.", value=worker.active_steps)
