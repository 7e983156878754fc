"""StepWorkerService on the wire: steps for workers in any language.

Every method is one line to the desk or the stream. Nothing is kept between two calls.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from holdfast.v1 import step_worker_service_pb2 as pb
from holdfast.v1 import step_worker_service_pb2_grpc
from runtime_service.api.errors import answered, each_answered
from runtime_service.api.front import Front
from runtime_service.api.step_worker_desk import Desk, as_task
from runtime_service.api.step_worker_stream import work_steps


class StepWorkerServicer(step_worker_service_pb2_grpc.StepWorkerServiceServicer):
    """The service. Methods raise Refusal for every error of the contract."""

    def __init__(self, front: Front) -> None:
        self._desk = Desk(front)

    async def PollStep(self, request: pb.PollStepRequest, context: Any) -> pb.PollStepResponse:
        taken = await answered(self._desk.poll(request))
        left_seconds = context.time_remaining()
        if taken is not None and left_seconds is not None and left_seconds <= 0:
            # The caller's deadline has passed: grpc would send to nobody and tell nobody.
            await self._desk.taking.release_untold(taken)
        return pb.PollStepResponse(task=None if taken is None else as_task(taken))

    async def HeartbeatStep(self, request: pb.HeartbeatStepRequest, context: Any) -> pb.HeartbeatStepResponse:
        return await answered(self._desk.heartbeat(request))

    async def CompleteStep(self, request: pb.CompleteStepRequest, context: Any) -> pb.CompleteStepResponse:
        return await answered(self._desk.complete(request))

    async def FailStep(self, request: pb.FailStepRequest, context: Any) -> pb.FailStepResponse:
        return await answered(self._desk.fail(request))

    async def ReleaseStep(self, request: pb.ReleaseStepRequest, context: Any) -> pb.ReleaseStepResponse:
        return await answered(self._desk.release(request))

    async def WorkSteps(
        self, request_iterator: AsyncIterator[pb.WorkStepsRequest], context: Any
    ) -> AsyncIterator[pb.WorkStepsResponse]:
        async for message in each_answered(work_steps(self._desk, request_iterator)):
            yield message
