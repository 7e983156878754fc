"""The runs of a store against the code that is loaded: every open one, and a sample of the ended ones.

Only reads. A run that goes on meanwhile is replayed as far as its log was when it was read; one that was deleted
meanwhile is passed over.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Final

from holdfast.definitions import Registry
from holdfast.errors import NotRegistered, RunNotFound
from holdfast.v1 import entity_pb2, payload_pb2, store_service_pb2
from runtime_service.replaying.divergence import first_divergence
from runtime_service.replaying.report import Report
from runtime_service.store import Store
from runtime_service.worker.routing import workflow_of

Statuses = Sequence[entity_pb2.RunStatus.ValueType]

_OPEN: Final[Statuses] = (entity_pb2.RUN_STATUS_PENDING, entity_pb2.RUN_STATUS_RUNNING)
_ENDED: Final[Statuses] = (
    entity_pb2.RUN_STATUS_COMPLETED,
    entity_pb2.RUN_STATUS_FAILED,
    entity_pb2.RUN_STATUS_CANCELLED,
)

_PAGE: Final = 200


async def check_store(store: Store, registry: Registry, *, sample: int) -> Report:
    """Replay every open run and the newest ``sample`` ended ones of each workflow. Raises NotReady and its like."""
    report = Report()
    async for run in _runs(store, _OPEN):
        await _check_open(store, registry, run, report)
    for name in sorted(registry.workflows) if sample else ():
        left = sample
        async for run in _runs(store, _ENDED, name):
            if run.version == registry.workflow(name).version:
                report.ended_count += await _replay(store, registry, run, report)
                left -= 1
            if not left:
                break
    return report


async def _check_open(store: Store, registry: Registry, run: entity_pb2.Run, report: Report) -> None:
    if run.workflow_name not in registry.workflows:
        report.unknown[run.workflow_name] += 1
        return
    try:
        report.open_count += await _replay(store, registry, run, report)
    except NotRegistered:
        report.other_versions[f"{run.workflow_name} {run.version}".rstrip()] += 1


async def _replay(store: Store, registry: Registry, run: entity_pb2.Run, report: Report) -> bool:
    """Replay one run; False when it is gone. Raises NotRegistered for another version."""
    workflow = workflow_of(registry, run.workflow_name, run.version)
    try:
        events = await store.events_after(run.run_id, 0)
    except RunNotFound:
        return False
    divergence = first_divergence(workflow, events)
    if divergence is not None:
        report.divergences.append(divergence)
    return True


async def _runs(store: Store, statuses: Statuses, workflow_name: str = "") -> AsyncIterator[entity_pb2.Run]:
    request = store_service_pb2.ListRunsRequest(
        page_size=_PAGE, statuses=statuses, workflow_name=workflow_name, view=payload_pb2.PAYLOAD_VIEW_OMITTED
    )
    while True:
        page: store_service_pb2.ListRunsResponse = await store.call(store.events.ListRuns, request)
        for run in page.runs:
            yield run
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token
