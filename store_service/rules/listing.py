"""Reads of runs, steps, hooks and waits: one of them, or a page.

Owns the get and list methods and their page tokens, which name the last row shown and hold a checksum over the
filter, so that a token cannot be used with another one. Rows inserted meanwhile never move a page: the order is by
what a row was created with. Payloads come from the events through ``filling.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from google.protobuf.message import Message

from holdfast.refusal import Refusal
from holdfast.v1 import entity_pb2
from holdfast.v1 import store_service_pb2 as api
from store_service import limits
from store_service.engines.contract import EntityKind, EntityQuery, EntityRow, Reader, RunQuery, RunRow
from store_service.rules import clock, cursors, filling, refusals, stored, views
from store_service.rules.reading import page_size, require_run
from store_service.rules.views import View

Row = TypeVar("Row", RunRow, EntityRow)


def get_run(reader: Reader, request: api.GetRunRequest) -> api.GetRunResponse:
    """Return a run. Raises RUN_NOT_FOUND."""
    return api.GetRunResponse(run=filling.run(reader, require_run(reader, request.run_id), request.view))


def list_runs(reader: Reader, request: api.ListRunsRequest) -> api.ListRunsResponse:
    """Return a page of runs, newest first unless asked otherwise. Raises INVALID_CURSOR."""
    scope = cursors.scope_of(request)
    size = page_size(request.page_size)
    after = cursors.read_page_token(request.page_token, scope)
    query = RunQuery(
        limit=size + 1,
        descending=request.order != entity_pb2.SORT_ORDER_ASCENDING,
        after=(int(after[0]), str(after[1])) if after else None,
        statuses=tuple(request.statuses),
        workflow_name=request.workflow_name,
        attributes=dict(request.attributes),
        create_from_ms=_ms(request, "create_time_from"),
        create_until_ms=_ms(request, "create_time_until"),
        parent_run_id=request.parent_run_id,
    )
    view = views.resolve(request.view, views.OMITTED)
    runs, last = _fit(reader.runs(query), size, lambda row: filling.run(reader, row, view))
    token = cursors.page_token(scope, (last.create_ms, last.run_id)) if last else ""
    return api.ListRunsResponse(runs=runs, next_page_token=token)


def get_step(reader: Reader, request: api.GetStepRequest) -> api.GetStepResponse:
    """Return a step. Raises RUN_NOT_FOUND or ENTITY_NOT_FOUND."""
    return api.GetStepResponse(
        step=_get(reader, request.run_id, EntityKind.STEP, request.step_id, request.view)  # type: ignore[arg-type]
    )


def list_steps(reader: Reader, request: api.ListStepsRequest) -> api.ListStepsResponse:
    """Return a page of a run's steps, in order of creation. Raises RUN_NOT_FOUND or INVALID_CURSOR."""
    require_run(reader, request.run_id)
    query = _query(EntityKind.STEP, request)
    steps, token = _page(reader, request, query, views.resolve(request.view, views.OMITTED))
    return api.ListStepsResponse(steps=steps, next_page_token=token)


def get_hook(reader: Reader, request: api.GetHookRequest) -> api.GetHookResponse:
    """Return a hook by reference, or the open hook that holds a token. Raises RUN_NOT_FOUND or ENTITY_NOT_FOUND."""
    if request.WhichOneof("selector") == "token":
        run_id, hook_id = _holder(reader, request.token)
    else:
        run_id, hook_id = request.ref.run_id, request.ref.hook_id
    return api.GetHookResponse(
        hook=_get(reader, run_id, EntityKind.HOOK, hook_id, request.view)  # type: ignore[arg-type]
    )


def list_hooks(reader: Reader, request: api.ListHooksRequest) -> api.ListHooksResponse:
    """Return a page of hooks, of one run or of all, in order of creation. Raises RUN_NOT_FOUND or INVALID_CURSOR."""
    if request.run_id:
        require_run(reader, request.run_id)
    query = _query(EntityKind.HOOK, request)
    hooks, token = _page(reader, request, query, views.resolve(request.view, views.OMITTED))
    return api.ListHooksResponse(hooks=hooks, next_page_token=token)


def get_wait(reader: Reader, request: api.GetWaitRequest) -> api.GetWaitResponse:
    """Return a wait. Raises RUN_NOT_FOUND or ENTITY_NOT_FOUND."""
    return api.GetWaitResponse(
        wait=_get(reader, request.run_id, EntityKind.WAIT, request.wait_id, views.STORED)  # type: ignore[arg-type]
    )


def list_waits(reader: Reader, request: api.ListWaitsRequest) -> api.ListWaitsResponse:
    """Return a page of waits, of one run or of all, in order of resume time. Raises RUN_NOT_FOUND or INVALID_CURSOR."""
    if request.run_id:
        require_run(reader, request.run_id)
    query = _query(EntityKind.WAIT, request, _ms(request, "resume_time_until"))
    waits, token = _page(reader, request, query, views.OMITTED)
    return api.ListWaitsResponse(waits=waits, next_page_token=token)


def _ms(request: Message, name: str) -> int | None:
    return clock.to_ms(getattr(request, name)) if request.HasField(name) else None


def _get(reader: Reader, run_id: str, kind: EntityKind, entity_id: str, view: View) -> stored.EntityMessage:
    require_run(reader, run_id)
    row = reader.entity(run_id, kind, entity_id)
    if row is None:
        raise refusals.entity_not_found(run_id, kind, entity_id)
    return filling.entity(reader, row, view)


def _holder(reader: Reader, token: str) -> tuple[str, str]:
    holder = reader.token(token)
    if holder is None or holder.retain_until_ms is not None:
        raise Refusal("ENTITY_NOT_FOUND", f"no open hook has the token {token}", metadata={"token": token})
    return holder.run_id, holder.hook_id


def _query(kind: EntityKind, request: Any, due_until_ms: int | None = None) -> EntityQuery:
    after = cursors.read_page_token(request.page_token, cursors.scope_of(request))
    return EntityQuery(
        kind=kind,
        limit=page_size(request.page_size) + 1,
        run_id=request.run_id,
        after=(int(after[0]), str(after[1]), str(after[2])) if after else None,
        statuses=tuple(request.statuses),
        due_until_ms=due_until_ms,
    )


def _page(reader: Reader, request: Message, query: EntityQuery, view: View) -> tuple[list[Any], str]:
    shown, last = _fit(reader.entities(query), query.limit - 1, lambda row: filling.entity(reader, row, view))
    if last is None:
        return shown, ""
    key = (_sort_value(reader, query, last), last.run_id, last.entity_id)
    return shown, cursors.page_token(cursors.scope_of(request), key)


def _sort_value(reader: Reader, query: EntityQuery, row: EntityRow) -> int:
    """What the engine sorts this list by; see `EntityQuery`."""
    if row.kind is EntityKind.WAIT:
        return row.due_ms or 0
    if query.run_id:
        return row.created_seq
    created = reader.event(row.run_id, row.created_seq)
    if created is None:
        raise stored.corrupt(row.run_id, f"event {row.created_seq} is missing", seq=row.created_seq)
    return created.at


def _fit(rows: Sequence[Row], size: int, show: Callable[[Row], Message]) -> tuple[list[Any], Row | None]:
    """Show rows until the page is full by count or by bytes; returns the last one shown if others follow."""
    shown: list[Message] = []
    room = limits.PAGE_BYTES_MAX
    for row in rows[:size]:
        shown.append(show(row))
        room -= shown[-1].ByteSize()
        if room <= 0:
            break
    return shown, rows[len(shown) - 1] if len(rows) > len(shown) else None
