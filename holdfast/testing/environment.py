"""`Environment`: workflows under test, in this process, in virtual time.

Owns what a test says and sees. Behind it are both services as they are deployed (``services.py``), without ports, files
or waiting. Read ``timekeeper.py`` for when time moves, ``crashes.py`` for what ``crash="everywhere"`` does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Generator, Mapping
from datetime import UTC, datetime
from types import MappingProxyType, TracebackType
from typing import Any, Final, Literal, Self, TypeVar

from holdfast.client import Client
from holdfast.durations import Duration, duration_ms, moment_ms
from holdfast.requests import result_of, workflow_of
from holdfast.run_handle import RunHandle
from holdfast.testing.client import InProcessClient, InProcessConnection
from holdfast.testing.crashes import crash_everywhere
from holdfast.testing.histories import Source, Workflow, replay_history
from holdfast.testing.services import Interrupt, World
from holdfast.testing.stubs import UNSET, Stub, Stubs
from holdfast.v1 import entity_pb2, event_pb2

R = TypeVar("R")
_NONE: Final[Mapping[str, Any]] = MappingProxyType({})


class History(list[event_pb2.Event]):
    """The events of a run, a list. It may be awaited too, and is itself then."""

    def __await__(self) -> Generator[None, None, History]:
        return self
        yield


class Environment:
    """A store, a runtime and a client for one test: ``async with Environment() as env``.

    ``replay="always"`` drops the live workflow at every turn, so that each turn is a replay from the start; with
    ``"live"`` it is kept, as a runtime does. ``crash="everywhere"`` repeats each run that ends here, once per moment at
    which its process can die: when somebody waits for its end, at the latest when the environment closes.
    ``start_time`` (aware) is when virtual time begins, by default now. Every workflow and step that is decorated in
    this process is known.
    """

    def __init__(
        self,
        *,
        replay: Literal["always", "live"] = "always",
        crash: Literal["everywhere"] | None = None,
        start_time: datetime | None = None,
    ) -> None:
        if replay not in ("always", "live"):
            raise ValueError(f'replay must be "always" or "live", got {replay!r}')
        if crash not in (None, "everywhere"):
            raise ValueError(f'crash must be "everywhere" or None, got {crash!r}')
        self._replays_always = replay == "always"
        self._crashes = crash is not None
        self._start_ms = time.time_ns() // 1_000_000 if start_time is None else moment_ms(start_time, "start_time")
        self._stubs = Stubs()
        self._crashed: set[str] = set()
        self._opened: tuple[World, InProcessConnection, Client] | None = None

    async def __aenter__(self) -> Self:
        if self._opened is not None:
            raise RuntimeError("this environment is open already: make another one for another test")
        world = self._new_world(self._start_ms, None)
        await world.open()
        connection = InProcessConnection(world, self._crash if self._crashes else None)
        self._opened = (world, connection, InProcessClient(connection))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, place: TracebackType | None
    ) -> None:
        world, connection, _ = self._parts
        try:
            if kind is None and self._crashes:
                await self._crash_the_rest()
        finally:
            self._opened = None
            await connection.close()
            await world.close()

    @property
    def client(self) -> Client:
        """A client of this environment, with everything a `holdfast.Client` can do."""
        return self._parts[2]

    @property
    def now(self) -> datetime:
        """The virtual time, aware, UTC."""
        return datetime.fromtimestamp(self._parts[0].clock() / 1000, UTC)

    async def run(
        self,
        workflow: Callable[..., Coroutine[Any, Any, R]],
        /,
        *args: Any,
        id: str | None = None,
        attributes: Mapping[str, str] = _NONE,
        start_at: datetime | None = None,
        kwargs: Mapping[str, Any] = _NONE,
    ) -> R:
        """Start a run, let time go on until it has ended, and return its result.

        Options are those of ``Client.start``. Raises RunFailed and RunCancelled as ``RunHandle.result`` does; RunStuck
        when nothing will ever end it; CrashMismatch when the environment crashes runs and one ended otherwise.
        """
        _, connection, client = self._parts
        handle = await client.start(workflow, *args, id=id, attributes=attributes, start_at=start_at, kwargs=kwargs)
        run = await connection.ended(handle.id, None)
        assert run is not None, "a wait without a limit returns the ended run"
        result: R = result_of(run, workflow_of(workflow))
        return result

    async def advance(self, duration: Duration) -> None:
        """Let this much time pass ("1d", seconds, a timedelta), and everything that is due meanwhile happen."""
        world = self._parts[0]
        await world.keeper.sleep_until(world.clock() + duration_ms(duration, "duration"))

    def stub(
        self,
        step: Callable[..., Any] | str,
        *,
        returning: Any = UNSET,
        raising: BaseException | type[BaseException] | Any = UNSET,
        calling: Callable[..., Any] | Any = UNSET,
    ) -> Stub:
        """Let a step, given as function or by name, return a value, raise an error or call a function instead.

        Give exactly one of the three. Arguments, result and retries go on as declared. A later stub of the step
        replaces the one before. Returns the stub, whose ``calls`` tell what the step was called with.
        """
        return self._stubs.put(step, returning, raising, calling)

    def history(self, run: RunHandle[Any] | str) -> History:
        """Return the events of a run so far, payloads included. Raises RunNotFound."""
        return History(self._parts[0].history(run if isinstance(run, str) else run.id))

    def replay(self, history: Source, workflow: Workflow | str | None = None) -> None:
        """Replay a recorded history, or the file of one, against today's code; see `replay_history`."""
        replay_history(history, workflow)

    async def _crash(self, run: entity_pb2.Run) -> None:
        """Repeat an ended run with a crash everywhere, once; child runs are part of the run that started them."""
        if not run.parent_run_id and run.run_id not in self._crashed:
            self._crashed.add(run.run_id)
            await crash_everywhere(self._new_world, run, self._parts[0].history(run.run_id))

    async def _crash_the_rest(self) -> None:
        """Repeat the runs that ended and that nobody waited for."""
        _, connection, client = self._parts
        for run in [it async for it in client.runs(status=("completed", "failed", "cancelled"))]:
            await connection.ended(run.run_id, None)

    @property
    def _parts(self) -> tuple[World, InProcessConnection, Client]:
        if self._opened is None:
            raise RuntimeError("this environment is not open: use it inside `async with Environment() as env`")
        return self._opened

    def _new_world(self, start_ms: int, interrupt: Interrupt | None) -> World:
        return World(start_ms=start_ms, stubs=self._stubs, replay_always=self._replays_always, interrupt=interrupt)
