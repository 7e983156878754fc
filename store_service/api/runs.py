"""Runs and the store itself: get, list, delete, and what this server is and allows.

Owns nothing but checks and answers; rules are ``rules/listing.py`` and ``rules/retention.py``.
"""

from __future__ import annotations

from typing import Final

from holdfast.installed import installed_version
from holdfast.refusal import invalid_field
from holdfast.v1 import entity_pb2
from holdfast.v1 import store_service_pb2 as api
from store_service import limits
from store_service.api import checks
from store_service.api.parts import Context, Parts
from store_service.rules import clock, listing, retention

#: Optional features of this server, by the names of the contract's fields and methods.
CAPABILITIES: Final = (
    "state_seq",
    "delta_after_seq",
    "held_receipts",
    "wake_queue",
    "watch_all_runs",
    "consume",
    "streams",
)


class RunsApi:
    """The run methods of StoreService, and GetStoreInfo."""

    _parts: Parts

    async def GetRun(self, request: api.GetRunRequest, context: Context) -> api.GetRunResponse:
        checks.identifier(request.run_id, "run_id")
        checks.payload_view(request)
        return await self._parts.engine.read(lambda reader: listing.get_run(reader, request))

    async def ListRuns(self, request: api.ListRunsRequest, context: Context) -> api.ListRunsResponse:
        checks.page(request)
        checks.enums(entity_pb2.RunStatus, request.statuses, "statuses")
        checks.text(request.workflow_name, "workflow_name", limits.WORKFLOW_NAME_CHARS_MAX)
        checks.attributes(request.attributes, "attributes")
        checks.time_ms(request, "create_time_from", "create_time_from")
        checks.time_ms(request, "create_time_until", "create_time_until")
        checks.optional_identifier(request.parent_run_id, "parent_run_id")
        checks.enum(entity_pb2.SortOrder, request.order, "order")
        return await self._parts.engine.read(lambda reader: listing.list_runs(reader, request))

    async def DeleteRuns(self, request: api.DeleteRunsRequest, context: Context) -> api.DeleteRunsResponse:
        if not request.run_ids:
            raise invalid_field("run_ids", "is empty; name at least one run")
        run_ids = checks.identifiers(request.run_ids, "run_ids")
        if len(run_ids) > limits.DELETE_RUNS_MAX:
            raise checks.too_large("delete_runs", limits.DELETE_RUNS_MAX, len(run_ids), "run_ids")
        engine = self._parts.engine
        await engine.read(lambda reader: retention.require_ended(reader, run_ids))
        counts = [
            await engine.write(lambda tx, some=some: retention.delete_runs(tx, some))  # type: ignore[misc]
            for some in retention.in_units(run_ids)
        ]
        return api.DeleteRunsResponse(deleted_count=sum(counts))

    async def GetStoreInfo(self, request: api.GetStoreInfoRequest, context: Context) -> api.GetStoreInfoResponse:
        response = api.GetStoreInfoResponse(
            server_version=installed_version(),
            store_id=self._parts.store_id,
            backend=self._parts.engine.backend,
            capabilities=CAPABILITIES,
            limits=store_limits(),
            server_time=clock.to_timestamp(self._parts.clock()),
            namespace=self._parts.namespace,
        )
        return response


def store_limits() -> api.StoreLimits:
    """Return the limits in force that clients meet."""
    found = api.StoreLimits(
        payload_bytes=limits.PAYLOAD_BYTES_MAX,
        batch_events=limits.BATCH_EVENTS_MAX,
        run_events=limits.RUN_EVENTS_MAX,
        chunk_bytes=limits.CHUNK_BYTES_MAX,
    )
    found.lease_duration.FromMilliseconds(limits.LEASE_MS_MAX)
    found.request_id_window.FromMilliseconds(limits.REQUEST_ID_WINDOW_MS)
    return found
