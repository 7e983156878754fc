"""RuntimeService on the wire: every method is one line to the function that does it.

Owns nothing but that mapping. Who calls, draining and errors are handled around it (``holdfast/interceptors.py``).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from holdfast import tracing
from holdfast.v1 import runtime_service_pb2 as pb
from holdfast.v1 import runtime_service_pb2_grpc
from runtime_service.api.definitions import list_definitions
from runtime_service.api.describing import describe_run, get_runtime_info
from runtime_service.api.errors import answered, each_answered
from runtime_service.api.finding import find_hook, find_runs
from runtime_service.api.front import Front
from runtime_service.api.starting import start_run
from runtime_service.api.steering import cancel_run, resume_hook, wake_run
from runtime_service.api.streaming import get_run_stream, read_run_stream
from runtime_service.api.waiting import await_run, watch_run


class RuntimeServicer(runtime_service_pb2_grpc.RuntimeServiceServicer):
    """The service. Methods raise Refusal for every error of the contract."""

    def __init__(self, front: Front) -> None:
        self._front = front

    async def StartRun(self, request: pb.StartRunRequest, context: Any) -> pb.StartRunResponse:
        return await answered(start_run(self._front, request, _caller(context)))

    async def AwaitRun(self, request: pb.AwaitRunRequest, context: Any) -> pb.AwaitRunResponse:
        return await answered(await_run(self._front, request))

    async def DescribeRun(self, request: pb.DescribeRunRequest, context: Any) -> pb.DescribeRunResponse:
        return await answered(describe_run(self._front, request))

    async def CancelRun(self, request: pb.CancelRunRequest, context: Any) -> pb.CancelRunResponse:
        return await answered(cancel_run(self._front, request))

    async def WakeRun(self, request: pb.WakeRunRequest, context: Any) -> pb.WakeRunResponse:
        return await answered(wake_run(self._front, request))

    async def ResumeHook(self, request: pb.ResumeHookRequest, context: Any) -> pb.ResumeHookResponse:
        return await answered(resume_hook(self._front, request, _caller(context)))

    async def WatchRun(self, request: pb.WatchRunRequest, context: Any) -> AsyncIterator[pb.WatchRunResponse]:
        async for message in each_answered(watch_run(self._front, request)):
            yield message

    async def ReadRunStream(
        self, request: pb.ReadRunStreamRequest, context: Any
    ) -> AsyncIterator[pb.ReadRunStreamResponse]:
        async for message in each_answered(read_run_stream(self._front, request)):
            yield message

    async def GetRunStream(self, request: pb.GetRunStreamRequest, context: Any) -> pb.GetRunStreamResponse:
        return await answered(get_run_stream(self._front, request))

    async def FindRuns(self, request: pb.FindRunsRequest, context: Any) -> pb.FindRunsResponse:
        return await answered(find_runs(self._front, request))

    async def FindHook(self, request: pb.FindHookRequest, context: Any) -> pb.FindHookResponse:
        return await answered(find_hook(self._front, request))

    async def ListDefinitions(self, request: pb.ListDefinitionsRequest, context: Any) -> pb.ListDefinitionsResponse:
        return list_definitions(self._front.worker.registry)

    async def GetRuntimeInfo(self, request: pb.GetRuntimeInfoRequest, context: Any) -> pb.GetRuntimeInfoResponse:
        return get_runtime_info(self._front)


def _caller(context: Any) -> tracing.Carrier:
    """Return the trace context that came with a call."""
    return tracing.of_metadata(context.invocation_metadata())
