"""A step worker for tests, with the generated stub and nothing else: one call a method."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import grpc.aio
from google.protobuf.duration_pb2 import Duration

from holdfast.v1 import payload_pb2
from holdfast.v1 import step_worker_service_pb2 as pb
from holdfast.v1.step_worker_service_pb2_grpc import StepWorkerServiceStub

ALL_STEPS = ("outside.render", "outside.watched", "outside.once", "outside.patient", "outside.local")


@dataclass(slots=True)
class Worker:
    """A worker on one channel. Values are JSON."""

    channel: grpc.aio.Channel
    name: str = "test-worker"
    queue: str = "node"

    @property
    def stub(self) -> Any:
        return StepWorkerServiceStub(self.channel)

    async def poll(self, *steps: str, wait_ms: int = 10_000) -> pb.StepTask | None:
        """Take one task; None when there was none in time."""
        names = pb.StepFilter(step_names=steps or ALL_STEPS, queue=self.queue)
        wait = Duration(seconds=wait_ms // 1000, nanos=wait_ms % 1000 * 1_000_000)
        answer = await self.stub.PollStep(pb.PollStepRequest(worker_id=self.name, filter=names, wait=wait), timeout=30)
        return answer.task if answer.HasField("task") else None

    async def take(self, *steps: str) -> pb.StepTask:
        """Take the task that must come."""
        task = await self.poll(*steps)
        assert task is not None
        return task

    async def beat(self, task: pb.StepTask, details: Any = None) -> pb.HeartbeatStepResponse:
        request = pb.HeartbeatStepRequest(task_token=task.task_token)
        if details is not None:
            request.details.CopyFrom(payload(details))
        return await self.stub.HeartbeatStep(request)

    async def complete(self, task: pb.StepTask, value: Any) -> None:
        await self.stub.CompleteStep(pb.CompleteStepRequest(task_token=task.task_token, output=payload(value)))

    async def fail(
        self, task: pb.StepTask, kind: str, message: str, *, retry_ms: int | None = None, **fields: Any
    ) -> pb.FailStepResponse:
        request = pb.FailStepRequest(task_token=task.task_token)
        request.failure.CopyFrom(payload_pb2.Failure(type=kind, message=message, **fields))
        if retry_ms is not None:
            request.retry_delay.FromMilliseconds(retry_ms)
        return await self.stub.FailStep(request)

    async def release(self, task: pb.StepTask) -> None:
        await self.stub.ReleaseStep(pb.ReleaseStepRequest(task_token=task.task_token, reason="not now"))


async def until(is_so: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait for a condition that nobody tells of; fails after ``seconds``."""
    async with asyncio.timeout(seconds):
        while not is_so():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def payload(value: Any) -> payload_pb2.Payload:
    return payload_pb2.Payload(text=json.dumps(value))


def value_of(task: pb.StepTask) -> Any:
    return json.loads(task.input.text)
