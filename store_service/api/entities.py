"""Steps, hooks and waits: get and list.

Owns nothing but checks; rules are ``rules/listing.py``.
"""

from __future__ import annotations

from holdfast.refusal import invalid_field
from holdfast.v1 import entity_pb2
from holdfast.v1 import store_service_pb2 as api
from store_service import limits
from store_service.api import checks
from store_service.api.parts import Context, Parts
from store_service.rules import listing


class EntitiesApi:
    """The step, hook and wait methods of StoreService."""

    _parts: Parts

    async def GetStep(self, request: api.GetStepRequest, context: Context) -> api.GetStepResponse:
        checks.identifier(request.run_id, "run_id")
        checks.identifier(request.step_id, "step_id")
        checks.payload_view(request)
        return await self._parts.engine.read(lambda reader: listing.get_step(reader, request))

    async def ListSteps(self, request: api.ListStepsRequest, context: Context) -> api.ListStepsResponse:
        checks.identifier(request.run_id, "run_id")
        checks.page(request)
        checks.enums(entity_pb2.StepStatus, request.statuses, "statuses")
        return await self._parts.engine.read(lambda reader: listing.list_steps(reader, request))

    async def GetHook(self, request: api.GetHookRequest, context: Context) -> api.GetHookResponse:
        _check_selector(request)
        checks.payload_view(request)
        return await self._parts.engine.read(lambda reader: listing.get_hook(reader, request))

    async def ListHooks(self, request: api.ListHooksRequest, context: Context) -> api.ListHooksResponse:
        checks.optional_identifier(request.run_id, "run_id")
        checks.page(request)
        checks.enums(entity_pb2.HookStatus, request.statuses, "statuses")
        return await self._parts.engine.read(lambda reader: listing.list_hooks(reader, request))

    async def GetWait(self, request: api.GetWaitRequest, context: Context) -> api.GetWaitResponse:
        checks.identifier(request.run_id, "run_id")
        checks.identifier(request.wait_id, "wait_id")
        return await self._parts.engine.read(lambda reader: listing.get_wait(reader, request))

    async def ListWaits(self, request: api.ListWaitsRequest, context: Context) -> api.ListWaitsResponse:
        checks.optional_identifier(request.run_id, "run_id")
        checks.page(request)
        checks.enums(entity_pb2.WaitStatus, request.statuses, "statuses")
        checks.time_ms(request, "resume_time_until", "resume_time_until")
        return await self._parts.engine.read(lambda reader: listing.list_waits(reader, request))


def _check_selector(request: api.GetHookRequest) -> None:
    selector = request.WhichOneof("selector")
    if selector is None:
        raise invalid_field("selector", "is not set; name the hook by ref or by token")
    if selector == "token":
        checks.text(request.token, "token", limits.TOKEN_CHARS_MAX, is_required=True)
    else:
        checks.identifier(request.ref.run_id, "ref.run_id")
        checks.identifier(request.ref.hook_id, "ref.hook_id")
