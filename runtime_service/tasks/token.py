"""The token of a task: everything that any runtime needs to speak for the attempt, so that none has to remember it.

The receipt in it is what counts: the store lets nobody write with one that is lost, and the record of the step says
which task its attempt was taken as, so that a receipt opens no other step, whatever a worker puts around it. Opaque to
workers, and not to be logged.
"""

from __future__ import annotations

import base64
import json
from dataclasses import astuple, dataclass, field
from typing import Final

from holdfast.refusal import invalid_field
from runtime_service.tasks.limits import TOKEN_CHARS_MAX
from runtime_service.tasks.messages import TaskAddress, Watched

_FORM: Final = 1


@dataclass(frozen=True, slots=True)
class TaskToken:
    """One attempt that is out. ``silence_ms`` is how long its lease lasts from a heartbeat on, 0 up to ``deadline_ms``.

    ``deadline_ms`` is when the attempt times out (epoch ms), 0 for never.
    """

    receipt: str = field(repr=False)
    run_id: str
    step_id: str
    step_name: str
    workflow_name: str
    queue: str
    attempt: int
    silence_ms: int
    deadline_ms: int
    traceparent: str = ""
    tracestate: str = ""

    @property
    def address(self) -> TaskAddress:
        """Which step it is of."""
        return TaskAddress(**{name: getattr(self, name) for name in TaskAddress.__slots__})

    @property
    def task_id(self) -> str:
        """The task that the receipt is for: only an attempt that was taken as this one may be spoken for with it."""
        return self.receipt.partition(".")[0]

    @property
    def watched(self) -> Watched:
        """The attempt, as those see it who look after it."""
        return Watched(self.address, self.attempt, self.task_id)

    def lease_ms(self, now_ms: int) -> int:
        """Return how long the lease is to last from now on, at least 1 ms."""
        left = self.deadline_ms - now_ms if self.deadline_ms else self.silence_ms
        return max(1, min(left, self.silence_ms or left))

    def written(self) -> str:
        """Return the token as text."""
        values = [_FORM, *astuple(self)]
        while values[-1] == "":
            # An untraced run's token is one that runtimes of before tracing can read.
            values.pop()
        return base64.urlsafe_b64encode(json.dumps(values, separators=(",", ":")).encode()).decode()


def read_token(text: str, field: str = "task_token") -> TaskToken:
    """Read a token. Raises Refusal INVALID_FIELD for a text that is none."""
    try:
        if len(text) > TOKEN_CHARS_MAX:
            raise ValueError("it is too long")
        form, *values = json.loads(base64.urlsafe_b64decode(text.encode()))
        token = TaskToken(*values)
        is_right = form == _FORM and all(isinstance(getattr(token, name), kind) for name, kind in _KINDS)
    except (ValueError, TypeError):
        is_right = False
    if not is_right:
        raise invalid_field(field, "is no token of a task")
    return token


_KINDS: Final = tuple(
    (name, int if name in ("attempt", "silence_ms", "deadline_ms") else str) for name in TaskToken.__slots__
)
