"""What every call of the front door finds: the worker behind it and the facts about this process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from holdfast.v1 import entity_pb2, payload_pb2, store_service_pb2
from runtime_service.store import Store
from runtime_service.worker.worker import Worker

View = payload_pb2.PayloadView.ValueType

#: States of a run that takes no more events.
ENDED = frozenset((entity_pb2.RUN_STATUS_COMPLETED, entity_pb2.RUN_STATUS_FAILED, entity_pb2.RUN_STATUS_CANCELLED))


class Draining(asyncio.Event):
    """Set once the process stops. Waits that are many and short are called then, in place of a task for each."""

    def __init__(self) -> None:
        super().__init__()
        #: Called when it is set; whoever is in here takes himself out again.
        self.listeners: set[Callable[[], None]] = set()

    def set(self) -> None:
        super().set()
        for tell in list(self.listeners):
            tell()


@dataclass(slots=True)
class Front:
    """The surroundings of a call. ``draining`` is set once the process stops: long polls answer at once then.

    ``store_id`` and ``namespace`` are "" until the store has answered for the first time.
    """

    worker: Worker
    runtime_id: str
    server_version: str
    store_id: str = ""
    namespace: str = ""
    draining: Draining = field(default_factory=Draining)

    @property
    def store(self) -> Store:
        return self.worker.store

    async def run(
        self, run_id: str, view: payload_pb2.PayloadView.ValueType = payload_pb2.PAYLOAD_VIEW_STORED
    ) -> entity_pb2.Run:
        """Read a run; raises RunNotFound."""
        request = store_service_pb2.GetRunRequest(run_id=run_id, view=view)
        answer: store_service_pb2.GetRunResponse = await self.store.call(self.store.events.GetRun, request)
        return answer.run


def has_ended(run: entity_pb2.Run) -> bool:
    """Tell whether the run takes no more events."""
    return run.status in ENDED
