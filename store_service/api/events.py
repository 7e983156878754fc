"""Creating and reading events.

Owns the way of a create through the api: check fields, check sizes, append inside one unit of work, show the answer in
the view asked for. Every decision about the log is ``rules/append.py``'s.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from holdfast.refusal import invalid_field
from holdfast.v1 import entity_pb2, event_pb2
from holdfast.v1 import store_service_pb2 as api
from store_service.api import checks, event_checks, queue_checks
from store_service.api.parts import Context, Parts
from store_service.engines.contract import Transaction
from store_service.rules import filling, reading, views
from store_service.rules.append import Append, Appended, append
from store_service.rules.kinds import KINDS
from store_service.rules.needs import of_append
from store_service.rules.stored import EntityMessage
from store_service.rules.views import View


class EventsApi:
    """The event methods of StoreService."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def CreateEvent(self, request: api.CreateEventRequest, context: Context) -> api.CreateEventResponse:
        lease_wake_ms = queue_checks.lease_ms(request, "lease_wake", "lease_wake")
        answer = await self._append(request, [request.event], lambda index: "event", lease_wake_ms)
        response = api.CreateEventResponse(
            event=answer.events[0],
            run=answer.run,
            interleaved=answer.interleaved,
            message_ids=answer.message_ids,
            deduplicated=answer.deduplicated,
            next_cursor=answer.next_cursor,
            wake_lease=answer.wake_lease,
        )
        _set_entity(response, answer.entities[0])
        return response

    async def CreateEvents(self, request: api.CreateEventsRequest, context: Context) -> api.CreateEventsResponse:
        answer = await self._append(request, request.events, lambda index: f"events[{index}]")
        return api.CreateEventsResponse(
            events=answer.events,
            run=answer.run,
            interleaved=answer.interleaved,
            message_ids=answer.message_ids,
            deduplicated=answer.deduplicated,
            next_cursor=answer.next_cursor,
        )

    async def GetEvent(self, request: api.GetEventRequest, context: Context) -> api.GetEventResponse:
        _check_position(request)
        checks.payload_view(request)
        return await self._parts.engine.read(lambda reader: reading.get_event(reader, request))

    async def ListEvents(self, request: api.ListEventsRequest, context: Context) -> api.ListEventsResponse:
        checks.identifier(request.run_id, "run_id")
        checks.page(request)
        checks.enum(entity_pb2.SortOrder, request.order, "order")
        checks.enums(event_pb2.EventType, request.types, "types")
        checks.optional_identifier(request.correlation_id, "correlation_id")
        if checks.optional_natural(request, "after_seq", "after_seq") is not None and request.cursor:
            raise invalid_field("after_seq", "is set together with cursor; one position is enough")
        return await self._parts.engine.read(lambda reader: reading.list_events(reader, request))

    async def _append(
        self,
        request: Any,
        events: Sequence[event_pb2.Event],
        field: Callable[[int], str],
        lease_wake_ms: int | None = None,
    ) -> Appended:
        check_create(request, events, field)
        view = views.resolve(request.view, views.OMITTED)
        wanted = wanted_by(request, events, lease_wake_ms)
        now_ms = self._parts.clock()
        needs = of_append(wanted)
        return await self._parts.engine.write(lambda tx: append_and_show(tx, wanted, view, now_ms), needs)


def check_create(request: Any, events: Sequence[event_pb2.Event], field: Callable[[int], str]) -> None:
    """Fields of the whole request first, sizes after: the order of the contract."""
    if not events:
        raise invalid_field("events", "is empty; send at least one event")
    checks.optional_identifier(request.run_id, "run_id")
    found = event_checks.check_events(events, field)
    _check_run_created(request.run_id, events, field)
    for name in ("state_updated_at", "state_seq", "delta_after_seq"):
        checks.optional_natural(request, name, name)
    checks.request_id(request.request_id)
    checks.payload_view(request)
    queue_checks.check_messages(request.messages, lambda index: f"messages[{index}]")
    checks.receipts(request.ack_receipts, "ack_receipts")
    checks.receipts(request.held_receipts, "held_receipts")
    event_checks.check_sizes(events, found)
    queue_checks.check_message_sizes(request.messages, lambda index: f"messages[{index}]")


def wanted_by(request: Any, events: Sequence[event_pb2.Event], lease_wake_ms: int | None = None) -> Append:
    """Return what a checked create asks of the append."""
    return Append(
        run_id=request.run_id,
        events=events,
        state_updated_at=request.state_updated_at if request.HasField("state_updated_at") else None,
        state_seq=request.state_seq if request.HasField("state_seq") else None,
        delta_after_seq=request.delta_after_seq if request.HasField("delta_after_seq") else None,
        request_id=request.request_id,
        messages=request.messages,
        ack_receipts=request.ack_receipts,
        held_receipts=request.held_receipts,
        lease_wake_ms=lease_wake_ms,
    )


def _check_run_created(run_id: str, events: Sequence[event_pb2.Event], field: Callable[[int], str]) -> None:
    if not run_id and not events[0].HasField("run_created"):
        raise invalid_field("run_id", "is empty; only a create that begins with run_created may leave it out")
    for index, event in enumerate(events[1:], start=1):
        if event.HasField("run_created"):
            raise invalid_field(f"{field(index)}.run_created", "must be the first event of its batch")


def _check_position(request: api.GetEventRequest) -> None:
    position = request.WhichOneof("position")
    check_run = checks.optional_identifier if position == "request_id" else checks.identifier
    check_run(request.run_id, "run_id")
    if position is None:
        raise invalid_field("position", "is not set; name the event by event_id, seq or request_id")
    if position == "request_id":
        checks.request_id(request.request_id, is_required=True)
    if position == "seq" and request.seq < 1:
        raise invalid_field("seq", f"is {request.seq}; the first event of a run has 1")
    if position == "event_id":
        checks.identifier(request.event_id, "event_id")


def append_and_show(tx: Transaction, wanted: Append, view: View, now_ms: int) -> Appended:
    """Append inside a unit of work and return the answer in the view asked for."""
    answer = append(tx, wanted, now_ms)
    if view != views.OMITTED:
        _fill(tx, answer, view)
    for event in answer.events:
        views.show_event(event, view)
    return answer


def _fill(tx: Transaction, answer: Appended, view: View) -> None:
    """Put the payloads into the run and the entities, which the append leaves out, in place."""
    row = tx.run(answer.run.run_id)
    assert row is not None
    answer.run.CopyFrom(filling.run(tx, row, view))
    for event, entity in zip(answer.events, answer.entities, strict=True):
        kind = KINDS[event.type].entity
        if entity is None or kind is None:
            continue
        entity_row = tx.entity(event.run_id, kind, event.correlation_id)
        assert entity_row is not None
        entity.CopyFrom(filling.entity(tx, entity_row, view))  # type: ignore[arg-type]


def _set_entity(response: api.CreateEventResponse, entity: EntityMessage | None) -> None:
    if isinstance(entity, entity_pb2.Step):
        response.step.CopyFrom(entity)
    elif isinstance(entity, entity_pb2.Hook):
        response.hook.CopyFrom(entity)
    elif isinstance(entity, entity_pb2.Wait):
        response.wait.CopyFrom(entity)
