"""Every error that holdfast raises, in one tree.

    HoldfastError
    ├── FatalError               raised by steps: never retry
    ├── RetryableError           raised by steps: retry, perhaps after a given delay
    ├── StepFailed               a step failed for good; the original is the cause
    ├── StepTimeout              a step ran out of time (.kind: attempt, total, heartbeat)
    ├── RunFailed                a run failed; the original is the cause
    ├── RunCancelled             a run was cancelled
    ├── RemoteError              stands for an exception that cannot be rebuilt here
    ├── SerializationError       a value does not fit its annotation or JSON
    ├── NotDeterministic         a workflow body reached for the outside
    ├── ReplayDivergence         changed code met an old log
    ├── WrongContext             a primitive was called where it cannot work
    ├── LoadFailed               a module of workflows could not be loaded
    ├── HookConflict             another open hook has the token
    ├── HookDisposed             the hook was closed
    ├── LimitExceeded            a size or a count is over its limit
    ├── InvalidRequest           a field is malformed
    │   ├── InvalidPayload       a value for a hook that does not fit its type
    │   └── InvalidCursor        a cursor of another request
    ├── RunNotFound, EntityNotFound ⊃ HookNotFound, ResourceNotFound, NotRegistered
    ├── RunExists, EntityExists, RequestIdReused
    ├── StaleSnapshot            a decision came from an old log
    │   └── SnapshotAhead        … or from a log that no longer exists
    ├── IllegalTransition, RunTerminal, RetryTooEarly, LeaseLost, StreamClosed
    ├── CursorExpired, WriteConflict, Throttled, NotReady
    ├── Unauthenticated, PermissionDenied
    └── InternalError, CorruptLog

An error that a server answered keeps the contract's ``reason`` and ``metadata``; the translation is ``wire.py``. This
module must never import grpc.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar

from holdfast.durations import Duration, duration_ms
from holdfast.v1 import payload_pb2

if TYPE_CHECKING:
    from holdfast.refusal import FieldViolation
    from holdfast.v1 import event_pb2

_NOTHING: Mapping[str, str] = MappingProxyType({})


class HoldfastError(Exception):
    """Root of the tree.

    ``reason`` is the contract's ErrorReason without prefix, "" when no server answered; ``metadata`` holds the ids
    and numbers that the message mentions; ``retry_after_ms`` is the delay that the server asked for, else None.
    """

    reason: str = ""
    metadata: Mapping[str, str] = _NOTHING
    retry_after_ms: int | None = None


class FatalError(HoldfastError):
    """Raise it in a step that must not be retried."""


class RetryableError(HoldfastError):
    """Raise it in a step that should be retried, after ``retry_after`` when given (a duration).

    Raises ValueError for a malformed delay.
    """

    def __init__(self, message: str = "", *, retry_after: Duration | None = None) -> None:
        super().__init__(message)
        if retry_after is not None:
            self.retry_after_ms = duration_ms(retry_after, "retry_after")


class StepFailed(HoldfastError):
    """A step failed after its last attempt. The original error is ``__cause__``.

    ``failure`` is the ``holdfast.v1.Failure`` as recorded, None once the error has crossed a log itself.
    """

    def __init__(self, step_name: str, step_id: str = "", attempts: int = 0, message: str = "") -> None:
        super().__init__(step_name, step_id, attempts, message)
        self.step_name = step_name
        self.step_id = step_id
        self.attempts = attempts
        self.message = message
        self.failure: payload_pb2.Failure | None = None

    def __str__(self) -> str:
        times = "1 attempt" if self.attempts == 1 else f"{self.attempts} attempts"
        why = f": {self.message}" if self.message else ""
        return f"step {self.step_name} ({self.step_id}) failed after {times}{why}"


class StepTimeout(HoldfastError):
    """A step ran out of time. ``kind``: "attempt" (one attempt), "total" (all of them), "heartbeat" (silence)."""

    _WORDS: ClassVar[Mapping[str, str]] = {
        "attempt": "an attempt took longer than its timeout",
        "total": "all attempts together took longer than total_timeout",
        "heartbeat": "an attempt was silent for longer than heartbeat_timeout",
    }

    def __init__(self, kind: str, message: str = "") -> None:
        super().__init__(kind, message)
        self.kind = kind
        self.message = message or self._WORDS.get(kind, f"timeout: {kind}")

    def __str__(self) -> str:
        return self.message


class RunFailed(HoldfastError):
    """A run failed. ``failure`` is the ``holdfast.v1.Failure``; the original error is ``__cause__``.

    It may be given as its type and message too: that is how it is rebuilt when a parent failed because its child did.
    """

    def __init__(self, run_id: str, failure: payload_pb2.Failure | str, message: str = "") -> None:
        if isinstance(failure, str):
            failure = payload_pb2.Failure(type=failure, message=message)
        super().__init__(run_id, failure.type, failure.message)
        self.run_id = run_id
        self.failure = failure

    def __str__(self) -> str:
        return f"run {self.run_id} failed: {self.failure.type}: {self.failure.message}"


class RunCancelled(HoldfastError):
    """A run was cancelled; ``cancel_reason`` is what was given, perhaps ""."""

    def __init__(self, run_id: str, cancel_reason: str = "") -> None:
        super().__init__(run_id, cancel_reason)
        self.run_id = run_id
        self.cancel_reason = cancel_reason

    def __str__(self) -> str:
        return f"run {self.run_id} was cancelled" + (f": {self.cancel_reason}" if self.cancel_reason else "")


class RemoteError(HoldfastError):
    """Stands for an exception whose class is not here or cannot be rebuilt. ``type`` is its class name."""

    def __init__(self, type: str, message: str = "", traceback: str = "") -> None:
        super().__init__(type, message, traceback)
        self.type = type
        self.message = message
        self.traceback = traceback

    def __str__(self) -> str:
        return f"{self.type}: {self.message}" if self.message else self.type


class SerializationError(HoldfastError):
    """A value cannot be encoded, or does not fit its annotation. Names function, parameter and type."""


class NotDeterministic(HoldfastError):
    """A workflow body reached for the outside. Names the line and the replacement."""


class ReplayDivergence(HoldfastError):
    """The code does not do what the log says it did. Nothing was written; fixed code goes on.

    ``expected`` is what the log holds at ``seq``, ``found`` what the code did; the sources are "file:line" or "".
    """

    def __init__(
        self, expected: str, found: str, *, seq: int = 0, expected_source: str = "", found_source: str = ""
    ) -> None:
        super().__init__(expected, found)
        self.expected = expected
        self.found = found
        self.seq = seq
        self.expected_source = expected_source
        self.found_source = found_source

    def __str__(self) -> str:
        at = f"event {self.seq}: " if self.seq else ""
        expected = self.expected + (f" ({self.expected_source})" if self.expected_source else "")
        found = self.found + (f" ({self.found_source})" if self.found_source else "")
        return f"{at}the log expects {expected}, the code did {found}; bring the code back to what it was"


class WrongContext(HoldfastError):
    """A primitive was called where it cannot work. Names the place where it can."""


class LoadFailed(HoldfastError):
    """A module or file could not be loaded, or holds no definition. Names it and what to do."""


class HookConflict(HoldfastError):
    """Another open hook has the token; ``run_id`` is the run that holds it."""

    def __init__(self, token: str, run_id: str = "") -> None:
        super().__init__(token, run_id)
        self.token = token
        self.run_id = run_id

    def __str__(self) -> str:
        return f"the token {self.token!r} is taken by run {self.run_id}"


class HookDisposed(HoldfastError):
    """The hook was closed, by the workflow or by expiry; no payload will come."""


class LimitExceeded(HoldfastError):
    """A size or count is over its limit. ``limit`` is its name, ``actual`` 0 when not known."""

    def __init__(self, message: str, *, limit: str = "", max: int = 0, actual: int = 0) -> None:
        super().__init__(message)
        self.limit = limit
        self.max = max
        self.actual = actual


class InvalidRequest(HoldfastError):
    """A field is malformed, whatever the state. ``violations`` name the fields."""

    def __init__(self, message: str, *, violations: Sequence[FieldViolation] = ()) -> None:
        super().__init__(message)
        self.violations = tuple(violations)


class InvalidPayload(InvalidRequest):
    """A value sent to a hook does not fit the type the hook waits for. Nothing was delivered."""


class InvalidCursor(InvalidRequest):
    """A cursor or page token was not issued for this request. Begin without one."""


class RunNotFound(HoldfastError):
    """No such run."""


class EntityNotFound(HoldfastError):
    """No such step, hook, wait or event in the run."""


class HookNotFound(EntityNotFound):
    """No open hook listens under the token or id."""


class ResourceNotFound(HoldfastError):
    """No such queue, message or stream."""


class NotRegistered(HoldfastError):
    """No workflow or step has the name. Names what is near."""


class EntityExists(HoldfastError):
    """The id is taken in its run. With ``same_content`` a caller that retries may take the call for done."""

    def __init__(self, message: str, *, run_id: str = "", same_content: bool = False) -> None:
        super().__init__(message)
        self.run_id = run_id
        self.same_content = same_content


class RunExists(HoldfastError):
    """The run id is taken. With ``same_content`` a caller that retries may take the call for done."""

    def __init__(self, message: str, *, run_id: str = "", same_content: bool = False) -> None:
        super().__init__(message)
        self.run_id = run_id
        self.same_content = same_content


class RequestIdReused(HoldfastError):
    """The request id was used before for something else. Use a new one for each thing that must happen once."""


class StaleSnapshot(HoldfastError):
    """A decision came from a log that is behind. Never send it again as it was: extend the log, replay, decide anew.

    ``state_updated_at`` is the snapshot sent (None: sent by number only), ``marker`` the time it had to include,
    both epoch milliseconds; ``head_seq`` the newest seq; ``missed`` the events the snapshot lacks, all or none;
    ``cause`` the StaleCause, e.g. "OUT_OF_BAND_EVENT".
    """

    def __init__(
        self,
        message: str,
        *,
        state_updated_at: int | None = None,
        marker: int = 0,
        head_seq: int = 0,
        missed: Sequence[event_pb2.Event] = (),
        cause: str = "",
    ) -> None:
        super().__init__(message)
        self.state_updated_at = state_updated_at
        self.marker = marker
        self.head_seq = head_seq
        self.missed = list(missed)
        self.cause = cause


class SnapshotAhead(StaleSnapshot):
    """A snapshot names a position that the log does not have: the log it came from is gone. Load from the start."""


class _StatusRefusal(HoldfastError):
    """What a run or entity refuses because of its state."""

    def __init__(
        self,
        message: str,
        *,
        run_id: str = "",
        correlation_id: str = "",
        current_status: str = "",
        event_index: int = 0,
    ) -> None:
        super().__init__(message)
        self.run_id = run_id
        self.correlation_id = correlation_id
        self.current_status = current_status
        self.event_index = event_index


class IllegalTransition(_StatusRefusal):
    """The state of an entity does not allow the event. ``current_status`` is the enum name."""


class RunTerminal(_StatusRefusal):
    """The run has ended and takes no more events."""


class RetryTooEarly(HoldfastError):
    """The step may not start before its retry time; ``retry_time_ms`` is epoch milliseconds."""

    def __init__(self, message: str, *, retry_time_ms: int = 0) -> None:
        super().__init__(message)
        self.retry_time_ms = retry_time_ms


class LeaseLost(HoldfastError):
    """The lease behind a receipt has ended; somebody else may have the message (``taken_over``). Stop the work.

    ``expire_time_ms`` is when it ended, epoch milliseconds; 0 when that is not known (any more).
    """

    def __init__(
        self, message: str, *, message_id: str = "", taken_over: bool = False, expire_time_ms: int = 0
    ) -> None:
        super().__init__(message)
        self.message_id = message_id
        self.taken_over = taken_over
        self.expire_time_ms = expire_time_ms


class StreamClosed(HoldfastError):
    """The stream is closed and takes no more chunks: write before ``close()``, or to a stream of another name."""


class CursorExpired(HoldfastError):
    """Events right after the cursor were deleted. ``oldest_cursor`` is where reading can begin."""

    def __init__(self, message: str, *, oldest_cursor: str = "", oldest_position: int = 0) -> None:
        super().__init__(message)
        self.oldest_cursor = oldest_cursor
        self.oldest_position = oldest_position


class WriteConflict(HoldfastError):
    """A write collided inside the database and was rolled back. The same call may be sent again."""


class Throttled(HoldfastError):
    """Too much at once. The same call may be sent again after ``retry_after_ms``."""


class NotReady(HoldfastError):
    """The server is starting, draining, away or too slow. The same call may be sent again."""


class Unauthenticated(HoldfastError):
    """No or bad credentials: set HOLDFAST_TOKEN or pass ``token``."""


class PermissionDenied(HoldfastError):
    """The credentials do not allow the call."""


class InternalError(HoldfastError):
    """A bug of the server. The message has an incident id that its log repeats."""


class CorruptLog(HoldfastError):
    """Stored data fails its integrity check."""
