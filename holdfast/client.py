"""The client: starts runs, steers them and finds them, over a runtime's address.

Owns the verbs that people call; requests and their checks are in ``holdfast/requests.py``, one run in
``holdfast/run_handle.py``, retries in ``holdfast/connection.py``. Knows nothing of the store.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from datetime import datetime
from types import MappingProxyType, TracebackType
from typing import Any, Final, TypeVar, overload

from holdfast.codecs import Codec
from holdfast.connection import Connection
from holdfast.durations import Duration, duration_ms
from holdfast.errors import EntityNotFound, HoldfastError, HookNotFound, InvalidPayload, InvalidRequest, RunNotFound
from holdfast.requests import cancel_request, checked_run_id, find_request, resume_request, start_request, workflow_of
from holdfast.run_handle import RunHandle
from holdfast.security.channels import ClientTls
from holdfast.v1 import entity_pb2, runtime_service_pb2

R = TypeVar("R")
_NONE: Mapping[str, Any] = MappingProxyType({})

#: Calls that ``cancel_many`` has under way at once.
_CANCELS_AT_ONCE: Final = 16


class Client:
    """An application's view of a runtime. Use it with ``async with``, or ``await close()`` at the end.

    ``address`` defaults to HOLDFAST_RUNTIME_ADDRESS, else localhost:7702. ``token``, a text or a function that returns
    the newest one, defaults to HOLDFAST_TOKEN, else the content of HOLDFAST_TOKEN_FILE. ``tls_ca``, a file of
    certificates that switches TLS on ("system": those that everybody trusts), defaults to HOLDFAST_TLS_CA;
    ``tls_cert`` and ``tls_key``, which are shown to the runtime, to HOLDFAST_TLS_CERT and HOLDFAST_TLS_KEY. Files may
    be replaced while the client is in use. Calls are repeated for ``patience`` while the runtime is away; every call is
    safe to repeat. Afterwards they raise NotReady. ``codec`` (``holdfast.codecs``) is applied to every value on its way
    out and in; it defaults to the one that HOLDFAST_CODEC names.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        token: str | Callable[[], str] | None = None,
        tls_ca: str | os.PathLike[str] | None = None,
        tls_cert: str | os.PathLike[str] | None = None,
        tls_key: str | os.PathLike[str] | None = None,
        patience: Duration = "1m",
        codec: Codec | None = None,
    ) -> None:
        seconds = duration_ms(patience, "patience") / 1000
        tls = ClientTls.of_client(tls_ca, tls_cert, tls_key)
        self._connection = Connection(address, token=token, tls=tls, patience=seconds, codec=codec)

    @overload
    async def start(
        self,
        workflow: Callable[..., Coroutine[Any, Any, R]],
        /,
        *args: Any,
        id: str | None = None,
        attributes: Mapping[str, str] = _NONE,
        start_at: datetime | None = None,
        on_conflict: str = "fail",
        kwargs: Mapping[str, Any] = _NONE,
    ) -> RunHandle[R]: ...

    @overload
    async def start(
        self,
        workflow: str,
        /,
        *args: Any,
        id: str | None = None,
        attributes: Mapping[str, str] = _NONE,
        start_at: datetime | None = None,
        on_conflict: str = "fail",
        kwargs: Mapping[str, Any] = _NONE,
    ) -> RunHandle[Any]: ...

    async def start(
        self,
        workflow: Any,
        /,
        *args: Any,
        id: str | None = None,
        attributes: Mapping[str, str] = _NONE,
        start_at: datetime | None = None,
        on_conflict: str = "fail",
        kwargs: Mapping[str, Any] = _NONE,
    ) -> RunHandle[Any]:
        """Start a run of a workflow, given as function or by name, and return at once.

        ``args`` and ``kwargs`` are the workflow's own; ``id`` defaults to "run_" and a ULID; ``on_conflict``
        "use_existing" takes the run that has the id. Raises RunExists, NotRegistered, InvalidRequest, and what is wrong
        with an argument (SerializationError, TypeError, ValueError, LimitExceeded) before anything is sent.
        """
        request = start_request(
            workflow,
            args,
            kwargs,
            run_id=id,
            attributes=attributes,
            start_at=start_at,
            on_conflict=on_conflict,
        )
        answer: runtime_service_pb2.StartRunResponse = await self._connection.call("StartRun", request)
        return RunHandle(self._connection, answer.run.run_id, workflow_of(workflow))

    def run(self, run_id: str) -> RunHandle[Any]:
        """Return a handle on a run; its result is plain JSON."""
        return RunHandle(self._connection, run_id)

    async def cancel_many(
        self, ids: Iterable[str], reason: str = "", *, force: bool = False, recursive: bool = False
    ) -> dict[str, str]:
        """Cancel runs, see ``RunHandle.cancel``; return what became of each, by its id.

        "cancelled" (asked to stop, or ended by force), "ended" (it had ended before) or "not_found". Raises ValueError
        for a malformed id before anything is sent; what concerns the whole call (NotReady, Unauthenticated) is raised,
        and the call may be repeated.
        """
        requests = [cancel_request(checked_run_id(it), reason, force, recursive) for it in dict.fromkeys(ids)]
        limit = asyncio.Semaphore(_CANCELS_AT_ONCE)
        outcomes = await asyncio.gather(*(self._cancel_outcome(it, limit) for it in requests))
        return {request.run_id: outcome for request, outcome in zip(requests, outcomes, strict=True)}

    async def _cancel_outcome(self, request: runtime_service_pb2.CancelRunRequest, limit: asyncio.Semaphore) -> str:
        async with limit:
            try:
                answer: runtime_service_pb2.CancelRunResponse = await self._connection.call("CancelRun", request)
            except RunNotFound:
                return "not_found"
        return "cancelled" if answer.cancelled else "ended"

    async def resume(
        self, token: str, value: Any = None, *, request_id: str | None = None
    ) -> runtime_service_pb2.ResumeHookResponse:
        """Send a value to the open hook of a token. The value and the wake-up commit together.

        The same ``request_id`` delivers once, however often it is sent. Raises HookNotFound when nobody listens,
        InvalidPayload when the value does not fit, RequestIdReused for another value under the same id.
        """
        request = resume_request(token, value, request_id)
        try:
            answer: runtime_service_pb2.ResumeHookResponse = await self._connection.call("ResumeHook", request)
        except HoldfastError as error:
            raise _hook_error(error) from None
        return answer

    async def hook(self, token: str) -> entity_pb2.Hook:
        """Return the open hook of a token. Raises HookNotFound when nobody listens."""
        try:
            answer: runtime_service_pb2.FindHookResponse = await self._connection.call(
                "FindHook", runtime_service_pb2.FindHookRequest(token=token)
            )
        except HoldfastError as error:
            raise _hook_error(error) from None
        return answer.hook

    async def runs(
        self,
        *,
        workflow: str | Callable[..., Coroutine[Any, Any, Any]] | None = None,
        status: str | Iterable[str] | None = None,
        attributes: Mapping[str, str] = _NONE,
    ) -> AsyncIterator[entity_pb2.Run]:
        """Yield runs, newest first, without payloads; only those that match everything given."""
        request = find_request(workflow, status, attributes)
        while True:
            page: runtime_service_pb2.FindRunsResponse = await self._connection.call("FindRuns", request)
            for run in page.runs:
                yield run
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def close(self) -> None:
        """Close the connection; calls under way fail. Idempotent."""
        await self._connection.close()

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, place: TracebackType | None
    ) -> None:
        await self.close()


def _hook_error(error: HoldfastError) -> HoldfastError:
    """Tell an answer about a hook by the names that senders react to."""
    if isinstance(error, EntityNotFound) and not isinstance(error, HookNotFound):
        return _renamed(error, HookNotFound(str(error)))
    if isinstance(error, InvalidRequest) and any(it.field.startswith("payload") for it in error.violations):
        return _renamed(error, InvalidPayload(str(error), violations=error.violations))
    return error


def _renamed(error: HoldfastError, other: HoldfastError) -> HoldfastError:
    other.reason, other.metadata, other.retry_after_ms = error.reason, error.metadata, error.retry_after_ms
    return other


__all__ = ["Client", "RunHandle"]
