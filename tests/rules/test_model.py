"""Random operations: the store answers and keeps what a plain model in memory says, and its rows follow from its log.

Each search runs in a thread and hands every append to the real engine on the loop; a failure prints the shrunk
operations.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from hypothesis import HealthCheck, example, given, settings

from holdfast.refusal import Refusal
from holdfast.v1 import entity_pb2, event_pb2
from store_service.engines.contract import EntityKind, EntityQuery, Reader
from store_service.rules import clock, rebuild
from store_service.rules.refusals import status_name
from tests.rules.book import NOW, Book
from tests.rules.model import Model, Refused
from tests.rules.operations import OPENING, OPERATIONS, RARE, RUNS, Operation

T = TypeVar("T")
SEARCH = settings(deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow], database=None)

#: An engine over a socket pays a round trip where a file pays nothing.
EXAMPLES = {"sqlite": 200, "postgresql": 50}


@dataclass(slots=True)
class Play:
    """One example played against store and model side by side, on runs of its own."""

    book: Book
    wait: Callable[[Coroutine[Any, Any, Any]], Any]
    number: int
    answers: Counter[str]

    def run_id(self, index: int) -> str:
        return f"{RUNS[index]}_{self.number}"

    def play(self, operations: Iterable[Operation]) -> Model:
        model = Model()
        self.book.now_ms = NOW
        for operation in (*OPENING, *operations):
            self.book.now_ms += operation.clock_ms
            answers = self._both(model, operation)
            self.answers[answers[0]] += 1
            assert answers[0] == answers[1], f"store {answers[0]}, model {answers[1]}: {operation}"
        return model

    def _both(self, model: Model, operation: Operation) -> tuple[str, str]:
        run_id = self.run_id(operation.run)
        events = [self._own(event, operation) for event in operation.events]
        known = model.runs.get(run_id)
        head = len(known.log) if known else 0
        seen = None if operation.back is None else max(0, head - operation.back)
        store = self._answer(run_id, events, seen, operation.by_seq, head)
        try:
            model.append(run_id, events, seen, operation.by_seq, self.book.now_ms)
        except Refused as refused:
            return store, str(refused)
        return store, "accepted"

    def _own(self, event: event_pb2.Event, operation: Operation) -> event_pb2.Event:
        """Give an event the tokens of this example and a retry time from now."""
        own = event_pb2.Event()
        own.CopyFrom(event)
        if own.HasField("hook_created"):
            own.hook_created.token += f"_{self.number}"
        if own.HasField("step_retrying"):
            time = clock.to_timestamp(self.book.now_ms + operation.retry_in_ms)
            own.step_retrying.retry_time.CopyFrom(time)
        return own

    def _answer(self, run_id: str, events: list[event_pb2.Event], seen: int | None, by_seq: bool, head: int) -> str:
        fields: dict[str, int] = {}
        if seen is not None:
            fields = {"state_seq": seen} if by_seq else {"state_updated_at": self._time_of(run_id, seen, head)}
        try:
            self.wait(self.book.append(run_id, *events, **fields))
        except Refusal as refusal:
            return refusal.reason
        return "accepted"

    def _time_of(self, run_id: str, seq: int, head: int) -> int:
        row = self.wait(self.book.read(lambda reader: reader.event(run_id, min(seq, head)))) if seq else None
        at = row.at if row is not None else 0
        return at + 1 if seq > head else at


async def search(book: Book, check: Callable[[Play, Model], None], counts: Counter[str]) -> None:
    """Play random examples and check what each left behind."""
    loop = asyncio.get_running_loop()
    numbers = iter(range(1_000_000))

    def wait(work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, loop).result(30)

    @settings(SEARCH, max_examples=EXAMPLES[book.engine.backend])
    @example(list(RARE))
    @given(OPERATIONS)
    def examples(operations: list[Operation]) -> None:
        play = Play(book, wait, next(numbers), counts)
        check(play, play.play(operations))

    await asyncio.to_thread(examples)


def _check_statuses(play: Play, model: Model) -> None:
    for run_id, run in model.runs.items():
        row, entities = play.wait(play.book.read(lambda reader, run_id=run_id: rows_of(reader, run_id)))
        assert status_name(None, row.status) == f"RUN_STATUS_{run.status}"
        assert (row.head_seq, row.out_of_band_seq, row.replay_seq) == (len(run.log), run.last(1), run.last(2))
        found = {entity.entity_id: status_name(entity.kind, entity.status).split("_", 2)[2] for entity in entities}
        assert found == {name: thing.status for name, thing in run.things.items()}
    for token, owner in model.tokens.items():
        held = play.wait(play.book.read(lambda reader, token=token: reader.token(token)))
        assert (held.run_id, held.hook_id) == owner


def rows_of(reader: Reader, run_id: str) -> tuple[Any, list[Any]]:
    entities = [row for kind in EntityKind for row in reader.entities(EntityQuery(kind=kind, limit=100, run_id=run_id))]
    return reader.run(run_id), entities


def _check_derived(play: Play, model: Model) -> None:
    for run_id in model.runs:
        row, entities = play.wait(play.book.read(lambda reader, run_id=run_id: rows_of(reader, run_id)))
        read_log = play.book.read(lambda reader, run_id=run_id, row=row: rebuild.read_log(reader, run_id, row.head_seq))
        derived = rebuild.derive(play.wait(read_log))
        assert _without_body(derived.run) == _without_body(row)
        assert entity_pb2.Run.FromString(derived.run.body) == entity_pb2.Run.FromString(row.body)
        assert sorted(derived.entities, key=repr) == sorted(entities, key=repr)
        tokens = [token for token, (holder, _) in model.tokens.items() if holder == run_id]
        assert sorted(owner.token for owner in derived.tokens) == sorted(tokens)


def _without_body(row: Any) -> tuple[Any, ...]:
    """Map fields of a body have no fixed order in bytes, so bodies are compared as messages; checksums are of bytes."""
    return tuple(getattr(row, name) for name in row.__slots__ if name not in ("body", "head_checksum"))


async def test_random_operations_are_answered_as_a_plain_model_says(book: Book) -> None:
    answers: Counter[str] = Counter()
    await search(book, _check_statuses, answers)
    reached = {"accepted", "STALE_SNAPSHOT", "SNAPSHOT_AHEAD", "RUN_TERMINAL", "RUN_EXISTS"}
    assert reached | {"ENTITY_NOT_FOUND", "ENTITY_EXISTS", "ILLEGAL_TRANSITION"} <= set(answers), answers


async def test_rows_are_a_function_of_the_log(book: Book) -> None:
    await search(book, _check_derived, Counter())
