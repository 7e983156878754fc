"""Told when steps of a run end: one watch a run, for as long as anybody here follows it.

For runs with attempts that are out: the process that runs such an attempt learns that nobody waits for it any more,
and the one that holds the run learns of a result that another process recorded. A hint, as every push: who is told
looks at the log, or at the step. Must never be what correctness rests on: heartbeats and wake messages are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

import structlog

from holdfast.errors import HoldfastError, RunNotFound
from holdfast.v1 import event_pb2, payload_pb2, store_service_pb2
from runtime_service.store import Store

log = structlog.get_logger(__name__)

#: Called with each end, and with None when there may have been some that were not seen.
Tell = Callable[[event_pb2.Event | None], None]

#: Ends of steps, of attempts and of runs.
_TYPES: Final = (
    event_pb2.EVENT_TYPE_STEP_COMPLETED,
    event_pb2.EVENT_TYPE_STEP_FAILED,
    event_pb2.EVENT_TYPE_STEP_RETRYING,
    event_pb2.EVENT_TYPE_RUN_COMPLETED,
    event_pb2.EVENT_TYPE_RUN_FAILED,
    event_pb2.EVENT_TYPE_RUN_CANCELLED,
)

#: Seconds between two tries to reach the store.
_PAUSE_SECONDS: Final = 0.2


@dataclass(slots=True)
class _Followed:
    told: list[Tell] = field(default_factory=list)
    task: asyncio.Task[None] | None = None


class StepEnds:
    """The ends of steps, by run."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._runs: dict[str, _Followed] = {}

    @contextmanager
    def follow(self, run_id: str, tell: Tell) -> Iterator[None]:
        """Tell of ends in the run while the block lasts; first of all once that there may have been some before."""
        followed = self._runs.setdefault(run_id, _Followed())
        followed.told.append(tell)
        if followed.task is None:
            followed.task = asyncio.create_task(self._watch_for_ever(run_id, followed), name=f"ends:{run_id}")
        else:
            asyncio.get_running_loop().call_soon(tell, None)
        try:
            yield
        finally:
            followed.told.remove(tell)
            if not followed.told:
                followed.task.cancel()
                del self._runs[run_id]

    async def _watch_for_ever(self, run_id: str, followed: _Followed) -> None:
        cursor = ""
        while True:
            request = store_service_pb2.WatchEventsRequest(
                run_id=run_id,
                cursor=cursor,
                start=store_service_pb2.WATCH_START_NOW,
                types=_TYPES,
                stop_at_terminal=True,
                view=payload_pb2.PAYLOAD_VIEW_OMITTED,
            )
            try:
                async for message in self._store.watch(request):
                    cursor = message.cursor or cursor
                    _pass_on(message, followed.told)
                    if message.closing.reason == store_service_pb2.WATCH_CLOSING_REASON_TERMINAL:
                        return
            except RunNotFound:
                return
            except HoldfastError as error:
                log.info("watch of a run interrupted", run_id=run_id, error=str(error))
                cursor = ""
            await asyncio.sleep(_PAUSE_SECONDS)


def _pass_on(message: store_service_pb2.WatchEventsResponse, told: list[Tell]) -> None:
    kind = message.WhichOneof("kind")
    events: list[event_pb2.Event | None] = list(message.batch.events) if kind == "batch" else []
    if kind == "caught_up":
        events.append(None)
    for event in events:
        for tell in list(told):
            tell(event)
