"""Hooks: named points where the outside world sends values into a run.

Owns what people hold in a workflow; the record of it is the runtime's, behind ``HookPort`` in ``holdfast/context.py``.
Payloads that came early are kept there, in order, and a waiter that was cancelled takes none.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, overload

from holdfast.adapters import check_kind
from holdfast.context import STEP, HookCall, HookPort
from holdfast.durations import Duration, optional_duration_ms
from holdfast.errors import HookDisposed, WrongContext
from holdfast.limits import check_payload, check_token
from holdfast.primitives import current_workflow
from holdfast.serialization import decode_value, encode_value, json_schema

_T = TypeVar("_T")


class Hook(Generic[_T]):
    """An open hook. Await it for the next payload, iterate for many, leave its ``async with`` to close it.

    Payloads come in the order of the log, validated; each is taken once. Waiting raises HookConflict when the token
    was taken, HookDisposed when the hook is closed, WrongContext when another task waits already.
    """

    def __init__(self, port: HookPort, kind: Any) -> None:
        self._port = port
        self._kind = kind

    @property
    def token(self) -> str:
        """What senders name it by."""
        return self._port.token

    def __await__(self) -> Generator[Any, None, _T]:
        return self._next().__await__()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> _T:
        try:
            return await self._next()
        except HookDisposed:
            raise StopAsyncIteration from None

    async def conflict(self) -> str | None:
        """Wait until the hook is registered; return None, or the id of the run that holds the token."""
        return await self._port.registered()

    async def dispose(self) -> None:
        """Close the hook: senders get HookNotFound from now on. Idempotent."""
        self._port.dispose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, place: TracebackType | None
    ) -> None:
        self._port.dispose()

    async def _next(self) -> _T:
        payload = await self._port.next_payload()
        value: _T = decode_value(self._kind, payload)
        return value

    def __repr__(self) -> str:
        return f"<Hook {self._port.hook_id} token={self.token!r}>"


@overload
def hook(
    T: type[_T], *, token: str | None = None, metadata: Any = None, min_retention: Duration | None = None
) -> Hook[_T]: ...


@overload
def hook(
    T: Any = Any, *, token: str | None = None, metadata: Any = None, min_retention: Duration | None = None
) -> Hook[Any]: ...


def hook(
    T: Any = Any, *, token: str | None = None, metadata: Any = None, min_retention: Duration | None = None
) -> Hook[Any]:
    """Open a hook for payloads of type ``T``. Without ``token`` one is generated that cannot be guessed.

    ``metadata`` is shown to whoever looks the hook up. ``min_retention`` keeps the token taken that long after the hook
    has closed, at the latest with its run: nobody can reach it then, and no other run can have it. Raises WrongContext
    outside a workflow body, TypeError for what is no type, ValueError and LimitExceeded for a bad token or duration,
    SerializationError for metadata that is no JSON.
    """
    context = current_workflow()
    if context is None:
        raise wrong_place("hook")
    check_kind(T, "hook(T)")
    frame = sys._getframe(1)
    call = HookCall(
        token=_checked_token(token),
        metadata=None if metadata is None else check_payload(encode_value(Any, metadata), "the metadata of a hook"),
        payload_schema=json_schema(T),
        min_retention_ms=optional_duration_ms(min_retention, "min_retention"),
        source=f"{frame.f_code.co_filename}:{frame.f_lineno}",
    )
    return Hook(context.open_hook(call), T)


def wrong_place(primitive: str) -> WrongContext:
    """Say what to do where no hook can be opened."""
    if STEP.get() is not None:
        return WrongContext(f"{primitive}() is for workflow bodies; a step returns, and the workflow waits")
    return WrongContext(
        f"{primitive}() is for workflow bodies; outside, `await client.hook(token)` looks one up and "
        "`await client.resume(token, value)` sends to it"
    )


def _checked_token(token: object) -> str:
    if token is None:
        return ""
    if not isinstance(token, str) or not token:
        raise ValueError(f"the token of a hook must be text that is not empty, got {token!r}; None generates one")
    return check_token(token)
