"""One tracer and one meter provider for the process, as a program has them; each test gets what was emitted."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import Decision, ParentBased, Sampler, SamplingResult


class Switch(Sampler):
    """Takes every trace that begins in a test of this folder and none of other tests."""

    is_on = False

    def should_sample(self, *args: Any, **kwargs: Any) -> SamplingResult:
        return SamplingResult(Decision.RECORD_AND_SAMPLE if self.is_on else Decision.DROP)

    def get_description(self) -> str:
        return "switch"


SAMPLER = Switch()


@cache
def _exporter() -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(sampler=ParentBased(SAMPLER))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return exporter


@cache
def _reader() -> InMemoryMetricReader:
    reader = InMemoryMetricReader()
    metrics.set_meter_provider(MeterProvider([reader]))
    return reader


@pytest.fixture
def emitted() -> Iterator[InMemorySpanExporter]:
    """What the spans of this test are exported to."""
    exporter = _exporter()
    SAMPLER.is_on = True
    yield exporter
    SAMPLER.is_on = False
    exporter.clear()


@pytest.fixture
def measured(emitted: InMemorySpanExporter) -> InMemoryMetricReader:
    """What the measurements of this process are read from."""
    return _reader()
