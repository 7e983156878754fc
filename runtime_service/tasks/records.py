"""What the store has recorded about a step that went out: reads only, shared by all who act for such steps."""

from __future__ import annotations

from typing import Final

from holdfast.errors import EntityNotFound, ResourceNotFound, RunNotFound
from holdfast.v1 import entity_pb2, event_pb2, payload_pb2, queue_service_pb2, store_service_pb2
from runtime_service.store import Call, Store
from runtime_service.tasks.messages import Watched
from runtime_service.tasks.policy import RELEASED

#: Step events read for the count of attempts that were given back; more than a policy that anybody writes allows.
_RETRIES_READ_MAX: Final = 1_000


class Records:
    """Reads of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def step(self, run_id: str, step_id: str) -> entity_pb2.Step | None:
        """Return a step with its values as stored; None when it or its run is not there (any more)."""
        request = store_service_pb2.GetStepRequest(run_id=run_id, step_id=step_id, view=payload_pb2.PAYLOAD_VIEW_STORED)
        get_step: Call[store_service_pb2.GetStepResponse] = self._store.events.GetStep
        try:
            return (await self._store.call(get_step, request)).step
        except (EntityNotFound, RunNotFound):
            return None

    async def details(self, step: entity_pb2.Step) -> payload_pb2.Payload | None:
        """Return what an attempt of a step said last before it failed, as stored; None when it said nothing."""
        for event in await self._newest(step, event_pb2.EVENT_TYPE_STEP_RETRYING, 1):
            if event.step_retrying.HasField("heartbeat_details"):
                return event.step_retrying.heartbeat_details
        return None

    async def spared(self, step: entity_pb2.Step) -> int:
        """Count the attempts of a step that were given back."""
        if step.attempt <= 1:
            return 0
        events = await self._newest(step, event_pb2.EVENT_TYPE_STEP_RETRYING, _RETRIES_READ_MAX)
        return sum(event.step_retrying.failure.type == RELEASED for event in events)

    async def task(self, watched: Watched) -> queue_service_pb2.QueueMessage | None:
        """Return the message of an attempt's task with what its holder said last; None when it is settled."""
        address = watched.address
        request = queue_service_pb2.ListMessagesRequest(
            queue=address.message_queue, group=address.group, view=payload_pb2.PAYLOAD_VIEW_STORED
        )
        list_messages: Call[queue_service_pb2.ListMessagesResponse] = self._store.queue.ListMessages
        try:
            messages = (await self._store.call(list_messages, request)).messages
        except ResourceNotFound:
            return None
        return next((it for it in messages if it.message_id == watched.task_id), None)

    async def event_of_request(self, run_id: str, request_id: str) -> event_pb2.Event | None:
        """Return the event that a request wrote, None when it wrote none."""
        request = store_service_pb2.GetEventRequest(run_id=run_id, request_id=request_id)
        get_event: Call[store_service_pb2.GetEventResponse] = self._store.events.GetEvent
        try:
            return (await self._store.call(get_event, request)).event
        except (EntityNotFound, RunNotFound):
            return None

    async def _newest(
        self, step: entity_pb2.Step, kind: event_pb2.EventType.ValueType, count: int
    ) -> list[event_pb2.Event]:
        request = store_service_pb2.ListEventsRequest(
            run_id=step.run_id,
            correlation_id=step.step_id,
            types=[kind],
            order=entity_pb2.SORT_ORDER_DESCENDING,
            page_size=count,
        )
        list_events: Call[store_service_pb2.ListEventsResponse] = self._store.events.ListEvents
        try:
            return list((await self._store.call(list_events, request)).events)
        except RunNotFound:
            return []
