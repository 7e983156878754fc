"""The queue messages of tasks: how a step goes out, and how an attempt that is out is looked after.

A step that goes out is one message in the queue of its step (``names.step_queue``), sent in the transaction that
records step_created or step_retrying. Its lease is the attempt: who holds it may act for the step. With each start
goes a *watch*, a message to the runtimes, due when the attempt should have ended or given a sign: so timeouts come
even when no worker is left that would take the task. Pure. Read ``taking.py`` next.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

from holdfast.tracing import NOBODY, Carrier
from holdfast.v1 import event_pb2, queue_service_pb2
from runtime_service.names import STEP_WATCH_QUEUE, step_queue
from runtime_service.tasks.limits import DELIVERIES_MAX

_DIGEST_CHARS: Final = 16

#: The fields of an address that may be empty, named as the headers of W3C Trace Context.
_TRACE: Final = ("traceparent", "tracestate")

#: Characters of one of them: what everybody has to pass on. A longer one is left out.
_TRACE_CHARS: Final = range(1, 513)


class Unreadable(ValueError):
    """A message in a queue of tasks that no runtime wrote."""


@dataclass(frozen=True, slots=True)
class TaskAddress:
    """Which step a task is of. ``queue`` is the step's, as declared.

    ``traceparent`` and ``tracestate`` are the run's trace context, "" for none: whoever runs the attempt goes on in the
    same trace. Baggage stays in the log, for it may be long.
    """

    run_id: str
    step_id: str
    step_name: str
    workflow_name: str
    queue: str
    traceparent: str = ""
    tracestate: str = ""

    @classmethod
    def of(cls, run_id: str, workflow_name: str, created: event_pb2.Event, trace: Carrier = NOBODY) -> Self:
        """Build from a step_created event, and the carrier of its run."""
        step = created.step_created
        address = (run_id, created.correlation_id, step.step_name, workflow_name, step.queue)
        return cls(*address, **{key: trace[key] for key in _TRACE if len(trace.get(key, "")) in _TRACE_CHARS})

    @property
    def trace_context(self) -> dict[str, str]:
        """The carrier of the run, as far as it travels with the task."""
        return {key: value for key in _TRACE if (value := getattr(self, key))}

    @property
    def group(self) -> str:
        """The group of its tasks: should there ever be two of a step, one is handed out at a time."""
        return f"{self.run_id}:{hashlib.sha256(self.step_id.encode()).hexdigest()[:_DIGEST_CHARS]}"

    @property
    def message_queue(self) -> str:
        """The queue that its tasks are in."""
        return step_queue(self.queue, self.step_name)


@dataclass(frozen=True, slots=True)
class Watched:
    """An attempt that is out, and the task that it was taken as."""

    address: TaskAddress
    attempt: int
    task_id: str


def task_message(address: TaskAddress, *, due_ms: int | None = None) -> queue_service_pb2.NewQueueMessage:
    """Build the task of the next attempt of a step, to be handed out from ``due_ms`` on. Its id becomes the task's."""
    return _message(address.message_queue, _told(address), due_ms, group=address.group)


def watch_message(watched: Watched, due_ms: int) -> queue_service_pb2.NewQueueMessage:
    """Build the look at an attempt that is to be taken at ``due_ms``."""
    body = {**_told(watched.address), "attempt": watched.attempt, "task_id": watched.task_id}
    return _message(STEP_WATCH_QUEUE, body, due_ms)


def read_task(message: queue_service_pb2.QueueMessage) -> TaskAddress:
    """Read a task's message. Raises Unreadable."""
    return _address(_body(message))


def read_watch(message: queue_service_pb2.QueueMessage) -> Watched:
    """Read a watch's message. Raises Unreadable."""
    body = _body(message)
    attempt, task_id = body.get("attempt"), body.get("task_id")
    if not isinstance(attempt, int) or not isinstance(task_id, str):
        raise Unreadable("it names no attempt and task")
    return Watched(_address(body), attempt, task_id)


def _message(
    queue: str, body: dict[str, Any], due_ms: int | None, group: str = ""
) -> queue_service_pb2.NewQueueMessage:
    message = queue_service_pb2.NewQueueMessage(queue=queue, group=group, max_deliveries=DELIVERIES_MAX)
    message.payload.text = json.dumps(body, separators=(",", ":"))
    if due_ms is not None:
        message.deliver_time.FromMilliseconds(due_ms)
    return message


def _told(address: TaskAddress) -> dict[str, Any]:
    return {name: value for name, value in asdict(address).items() if value}


def _body(message: queue_service_pb2.QueueMessage) -> dict[str, Any]:
    try:
        body = json.loads(message.payload.text)
    except ValueError as error:
        raise Unreadable(f"its body is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise Unreadable("its body is not an object")
    return body


def _address(body: dict[str, Any]) -> TaskAddress:
    values = {name: body.get(name, "" if name in _TRACE else None) for name in TaskAddress.__slots__}
    if not all(isinstance(value, str) and (value or name in _TRACE) for name, value in values.items()):
        raise Unreadable(f"it needs {', '.join(TaskAddress.__slots__)}")
    return TaskAddress(**{name: str(value) for name, value in values.items()})
