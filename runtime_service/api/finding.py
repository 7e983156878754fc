"""FindRuns and FindHook: reads of the store, passed on for those who know the runtime's address only.

The store pages, filters and judges page tokens; nothing is kept here.
"""

from __future__ import annotations

from holdfast.limits import TOKEN_CHARS_MAX
from holdfast.refusal import invalid_field
from holdfast.v1 import entity_pb2, runtime_service_pb2, store_service_pb2
from runtime_service.api import checks, limits
from runtime_service.api.front import Front


async def find_runs(front: Front, request: runtime_service_pb2.FindRunsRequest) -> runtime_service_pb2.FindRunsResponse:
    """Return a page of runs."""
    _check_find(request)
    upstream = store_service_pb2.ListRunsRequest(
        page_size=request.page_size,
        page_token=request.page_token,
        statuses=request.statuses,
        workflow_name=request.workflow_name,
        attributes=request.attributes,
        order=request.order,
        view=request.view,
    )
    page: store_service_pb2.ListRunsResponse = await front.store.call(front.store.events.ListRuns, upstream)
    return runtime_service_pb2.FindRunsResponse(runs=page.runs, next_page_token=page.next_page_token)


def _check_find(request: runtime_service_pb2.FindRunsRequest) -> None:
    if request.page_size < 0:
        raise invalid_field("page_size", f"must not be negative, got {request.page_size}")
    for index, status in enumerate(request.statuses):
        checks.check_known(status, entity_pb2.RunStatus, f"statuses[{index}]")
    checks.check_text(request.workflow_name, "workflow_name", chars_max=limits.NAME_CHARS_MAX)
    checks.check_attributes(request.attributes)
    checks.check_known(request.order, entity_pb2.SortOrder, "order")
    checks.check_view(request.view)


async def find_hook(front: Front, request: runtime_service_pb2.FindHookRequest) -> runtime_service_pb2.FindHookResponse:
    """Return the open hook of a token."""
    checks.check_text(request.token, "token", chars_max=TOKEN_CHARS_MAX, may_be_empty=False)
    checks.check_view(request.view)
    upstream = store_service_pb2.GetHookRequest(token=request.token, view=request.view)
    answer: store_service_pb2.GetHookResponse = await front.store.call(front.store.events.GetHook, upstream)
    return runtime_service_pb2.FindHookResponse(hook=answer.hook)
