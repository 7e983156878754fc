"""Pages of ListRuns over very many finished runs: each filter alone and with others, at both ends and in the middle.

Asked over a socket, as programs ask. A figure is the slowest of the three pages (its median), so that no end hides
behind another; p99 is that of all. The filters that never meet (no order was ever cancelled) are there on purpose: a
store that walks one index and looks for the other reads everything for an empty page.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from benchmarks.figures import Figure
from benchmarks.scale import filling
from holdfast.v1 import entity_pb2, store_service_pb2_grpc
from holdfast.v1 import store_service_pb2 as api
from store_service.rules import clock, cursors

#: Milliseconds that a page may take.
TARGET_MS: Final = 50.0
PAGE_SIZE: Final = 50
_TIMES: Final = 15
_WARM_UP: Final = 2

_STATUS: Final = {
    filling.COMPLETED: entity_pb2.RUN_STATUS_COMPLETED,
    filling.FAILED: entity_pb2.RUN_STATUS_FAILED,
    filling.CANCELLED: entity_pb2.RUN_STATUS_CANCELLED,
}


@dataclass(frozen=True, slots=True)
class Question:
    """A filter, in the words of ListRuns, that knows which of the filled runs it is about."""

    workflow: str = ""
    ends: tuple[str, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)
    has_parent: bool = False
    is_in_window: bool = False
    is_ascending: bool = False
    statuses: tuple[int, ...] = ()

    def request(self, count: int) -> api.ListRunsRequest:
        """Return the request of its first page in a store of ``count`` runs."""
        request = api.ListRunsRequest(
            page_size=PAGE_SIZE,
            workflow_name=self.workflow,
            statuses=[*(_STATUS[end] for end in self.ends), *self.statuses],
            attributes=self.attributes,
            parent_run_id=filling.PARENT if self.has_parent else "",
            order=entity_pb2.SORT_ORDER_ASCENDING if self.is_ascending else entity_pb2.SORT_ORDER_DESCENDING,
        )
        if self.is_in_window:
            request.create_time_from.CopyFrom(clock.to_timestamp(_created_ms(count // 4)))
            request.create_time_until.CopyFrom(clock.to_timestamp(_created_ms(count * 3 // 4)))
        return request

    def numbers(self, count: int) -> Iterator[int]:
        """Yield the runs that it is about, last page first."""
        numbers = range(count * self.is_in_window // 4, count * 3 // 4 if self.is_in_window else count)
        return filter(self._is_about, reversed(numbers) if self.is_ascending else numbers)

    def _is_about(self, number: int) -> bool:
        return (
            not self.statuses
            and (not self.workflow or filling.workflow_of(number) == self.workflow)
            and (not self.ends or filling.end_of(number) in self.ends)
            and (not self.has_parent or number % 10 == 1)
            and self.attributes.items() <= filling.attributes_of(number).items()
        )


QUESTIONS: Final[Mapping[str, Question]] = {
    "all": Question(),
    "all, oldest first": Question(is_ascending=True),
    "failed": Question(ends=(filling.FAILED,)),
    "completed or failed": Question(ends=(filling.COMPLETED, filling.FAILED)),
    "still open: none": Question(statuses=(entity_pb2.RUN_STATUS_PENDING, entity_pb2.RUN_STATUS_RUNNING)),
    "a workflow of half of the runs": Question(workflow="orders"),
    "a rare workflow": Question(workflow="audits"),
    "a workflow and its failed runs": Question(workflow="orders", ends=(filling.FAILED,)),
    "a workflow and an end that never meet": Question(workflow="orders", ends=(filling.CANCELLED,)),
    "a rare workflow, completed or failed": Question(workflow="audits", ends=(filling.COMPLETED, filling.FAILED)),
    "an attribute of most runs": Question(attributes={"region": "eu"}),
    "an attribute of most runs, oldest first": Question(attributes={"region": "eu"}, is_ascending=True),
    "an attribute of few runs": Question(attributes={"customer": "c-7"}),
    "two attributes": Question(attributes={"region": "eu", "customer": "c-7"}),
    "two attributes that never meet": Question(attributes={"region": "eu", "customer": "c-8"}),
    "an attribute and an end": Question(attributes={"region": "eu"}, ends=(filling.CANCELLED,)),
    "an attribute and a workflow": Question(attributes={"region": "us"}, workflow="orders"),
    "an attribute and a workflow that never meet": Question(attributes={"region": "us"}, workflow="shop-7"),
    "children of a run": Question(has_parent=True),
    "children of a run that failed: none": Question(has_parent=True, ends=(filling.FAILED,)),
    "created between": Question(is_in_window=True),
    "created between, a workflow": Question(is_in_window=True, workflow="orders"),
    "created between, an end, an attribute": Question(
        is_in_window=True, ends=(filling.FAILED,), attributes={"region": "eu"}
    ),
    "everything at once": Question(
        is_in_window=True, workflow="orders", ends=(filling.FAILED,), attributes={"region": "us", "customer": "c-4"}
    ),
}


async def measure(channel: Any, count: int, engine: str, times: int = _TIMES) -> list[Figure]:
    """Ask a store of ``count`` filled runs for three pages of each question."""
    stub = store_service_pb2_grpc.StoreServiceStub(channel)
    return [await _measured(stub, name, question, count, engine, times) for name, question in QUESTIONS.items()]


async def _measured(stub: Any, name: str, question: Question, count: int, engine: str, times: int) -> Figure:
    taken: list[list[float]] = []
    for request, wanted in _pages(question, count):
        page = [await _timed(stub, request, wanted) for _ in range(_WARM_UP + times)]
        taken.append(page[min(_WARM_UP, times) :])
    every = sorted(ms for page in taken for ms in page)
    slowest = max(statistics.median(page) for page in taken)
    return Figure(
        f"{engine}, page of {count:,} runs: {name}",
        slowest,
        "ms",
        "50 ms",
        TARGET_MS,
        1.0,
        p90=every[len(every) * 90 // 100],
        p99=every[len(every) * 99 // 100],
    )


def _pages(question: Question, count: int) -> Iterator[tuple[api.ListRunsRequest, Callable[[int], bool]]]:
    """Yield the requests of the first, a middle and the last page, each with what its length must be."""
    last = list(islice(question.numbers(count), PAGE_SIZE + 1))
    is_long = len(last) > PAGE_SIZE
    first = question.request(count)
    yield first, (lambda length: length == PAGE_SIZE) if is_long else (lambda length: length == len(last))
    if is_long:
        yield _after(first, count // 2), lambda length: length > 0
        yield _after(first, last[-1]), lambda length: length == PAGE_SIZE


def _after(first: api.ListRunsRequest, number: int) -> api.ListRunsRequest:
    """Return the request of the page after a run, with the token that the store would have given."""
    request = api.ListRunsRequest()
    request.CopyFrom(first)
    request.page_token = cursors.page_token(cursors.scope_of(first), (_created_ms(number), filling.run_id_of(number)))
    return request


async def _timed(stub: Any, request: api.ListRunsRequest, is_right: Callable[[int], bool]) -> float:
    begin = time.perf_counter()
    answer = await stub.ListRuns(request, timeout=120)
    taken = (time.perf_counter() - begin) * 1000
    if not is_right(len(answer.runs)):
        raise AssertionError(f"a page of {len(answer.runs)} runs for {request}")
    return taken


def _created_ms(number: int) -> int:
    return filling.FIRST_MS + number * filling.APART_MS
