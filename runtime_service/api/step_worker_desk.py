"""What a step worker may say, checked and carried out: shared by the unary calls and the stream.

Owns nothing: the checks are ``step_worker_checks.py``, the work is ``runtime_service/tasks``. Raises Refusal, and what
the store answers.
"""

from __future__ import annotations

import asyncio
import random

from google.protobuf.timestamp_pb2 import Timestamp

from holdfast.refusal import Refusal
from holdfast.v1 import step_worker_service_pb2 as pb
from runtime_service.api import checks
from runtime_service.api import step_worker_checks as worker_checks
from runtime_service.api.front import Front
from runtime_service.store import milliseconds
from runtime_service.tasks import limits
from runtime_service.tasks.taking import Taken, Taking
from runtime_service.tasks.token import read_token


class Desk:
    """The calls of workers to one runtime."""

    def __init__(self, front: Front) -> None:
        worker = front.worker
        self.front = front
        self.reporting = worker.reporting
        self.taking = Taking(front.store, worker.clock, random.Random(), worker.reporting)

    async def poll(self, request: pb.PollStepRequest) -> Taken | None:
        """Take one task, waiting for it; a drain ends the wait."""
        worker_checks.check_worker(request.worker_id)
        queues = worker_checks.queues_of(request.filter)
        wait_ms = checks.duration_ms(request, "wait", default=limits.POLL_MS_DEFAULT, least=0, most=limits.POLL_MS_MAX)
        return await self.take(queues, request.worker_id, wait_ms)

    async def take(self, queues: list[str], worker_id: str, wait_ms: int) -> Taken | None:
        """Take one task unless the process drains first."""
        if self.front.draining.is_set():
            raise Refusal("NOT_READY", "this runtime is shutting down: poll another one")
        taking = asyncio.ensure_future(self.taking.take(queues, worker_id, wait_ms))
        drained = asyncio.ensure_future(self.front.draining.wait())
        try:
            await asyncio.wait({taking, drained}, return_when=asyncio.FIRST_COMPLETED)
            return taking.result() if taking.done() else None
        finally:
            drained.cancel()
            taking.cancel()

    async def heartbeat(self, request: pb.HeartbeatStepRequest) -> pb.HeartbeatStepResponse:
        """Prolong a lease and say whether the attempt is still wanted."""
        sign = await self.reporting.heartbeat(read_token(request.task_token), worker_checks.details_of(request))
        return pb.HeartbeatStepResponse(cancel_requested=sign.is_unwanted, next_deadline=_time(sign.next_ms))

    async def complete(self, request: pb.CompleteStepRequest) -> pb.CompleteStepResponse:
        """Record a result."""
        await self.reporting.complete(read_token(request.task_token), worker_checks.output_of(request))
        return pb.CompleteStepResponse()

    async def fail(self, request: pb.FailStepRequest) -> pb.FailStepResponse:
        """Record a failure and say whether it is tried again."""
        token, failure = read_token(request.task_token), worker_checks.failure_of(request)
        retrying = await self.reporting.fail(token, failure, worker_checks.retry_delay_ms(request))
        if retrying is None:
            return pb.FailStepResponse()
        return pb.FailStepResponse(will_retry=True, retry_time=retrying.retry_time)

    async def release(self, request: pb.ReleaseStepRequest) -> pb.ReleaseStepResponse:
        """Give a task back."""
        checks.check_text(request.reason, "reason", chars_max=limits.REASON_CHARS_MAX)
        await self.reporting.release(read_token(request.task_token), request.reason)
        return pb.ReleaseStepResponse()


def as_task(taken: Taken) -> pb.StepTask:
    """Build what the worker gets."""
    token, step = taken.token, taken.step
    return pb.StepTask(
        task_token=token.written(),
        run_id=token.run_id,
        step_id=token.step_id,
        step_name=token.step_name,
        workflow_name=token.workflow_name,
        input=step.input,
        attempt=token.attempt,
        deadline=_time(token.deadline_ms) if token.deadline_ms else None,
        heartbeat_timeout=milliseconds(token.silence_ms) if token.silence_ms else None,
        last_heartbeat=taken.last_heartbeat,
        create_time=step.create_time,
        trace_context=token.address.trace_context,
    )


def _time(value_ms: int) -> Timestamp:
    stamp = Timestamp()
    stamp.FromMilliseconds(value_ms)
    return stamp
