"""Limits per client: refused with the time to wait, without hurting anybody else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from google.rpc import error_details_pb2, status_pb2

from holdfast import Client, step, workflow
from holdfast.refusal import Refusal
from holdfast.security import throttle
from holdfast.security.throttle import Throttle
from holdfast.v1 import error_pb2
from holdfast.v1 import queue_service_pb2 as queue_api
from holdfast.v1 import session_service_pb2 as session_api
from holdfast.v1 import store_service_pb2 as api
from tests.support.runtime import running_runtime
from tests.support.store import (
    DEADLINE_SECONDS,
    Refused,
    Store,
    StoreClient,
    create_run,
    eventually,
    refused,
    running_store,
)
from tests.support.tokens import token_of, write_clients

INFO = api.GetStoreInfoRequest()
RUN = "run-1"


@step(name="throttle.step")
async def small_step(number: int) -> int:
    return number


@workflow(name="throttle.workflow")
async def many_steps(count: int) -> int:
    return sum(await asyncio.gather(*(small_step(number) for number in range(count))))


class Hands:
    """A clock that the test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def is_taken(bucket: Throttle, client: str) -> int:
    """Take a call; returns 0, or the milliseconds to wait."""
    try:
        with bucket.taken(client):
            return 0
    except Refusal as refusal:
        assert refusal.reason == "THROTTLED" and refusal.retry_after_ms is not None
        return refusal.retry_after_ms


def test_a_bucket_holds_a_burst_and_fills_at_its_rate_for_each_client_alone() -> None:
    clock = Hands()
    bucket = Throttle(rate=10, burst=3, clock=clock)
    assert [is_taken(bucket, "a") for _ in range(4)] == [0, 0, 0, 100]
    assert is_taken(bucket, "b") == 0
    clock.now += 0.05
    assert is_taken(bucket, "a") == 50
    clock.now += 0.05
    assert is_taken(bucket, "a") == 0
    clock.now += 3600
    assert [bool(is_taken(bucket, "a")) for _ in range(4)] == [False, False, False, True]


def test_clients_that_rest_are_forgotten_so_that_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "_CLIENTS_MAX", 100)
    for options in ({"rate": 10.0, "burst": 1}, {"open_max": 1}):
        clock = Hands()
        bucket = Throttle(clock=clock, **options)
        for number in range(1_000):
            clock.now += 1
            is_taken(bucket, f"client-{number}")
        assert len(bucket._accounts) <= 101


async def test_a_client_over_its_rate_is_told_when_to_come_again_and_another_is_served(tmp_path: Path) -> None:
    clients = write_clients(tmp_path / "clients.toml")
    async with (
        running_store(tmp_path / "s.db", clients_file=clients, rate_limit=0.5, rate_burst=2) as store,
        StoreClient(store.address, token=token_of("read")) as greedy,
        StoreClient(store.address, token=token_of("admin")) as other,
    ):
        for _ in range(2):
            await greedy.events.GetStoreInfo(INFO)
        with refused("THROTTLED") as refusal:
            await greedy.events.GetStoreInfo(INFO)
        wait = refusal.detail(error_details_pb2.RetryInfo).retry_delay
        assert 0 < wait.ToMilliseconds() <= 2_000
        assert refusal.detail(error_pb2.LimitExceeded).limit == "calls_per_second"
        await other.events.GetStoreInfo(INFO)


async def test_open_calls_are_limited_and_free_again_when_they_end(tmp_path: Path) -> None:
    async with running_store(tmp_path / "s.db", open_calls_limit=2) as store:
        watches = [store.client.events.WatchEvents(api.WatchEventsRequest(all_runs=True)) for _ in range(2)]
        for watch in watches:
            assert await watch.read()
        with refused("THROTTLED") as refusal:
            await store.client.queue.ReceiveMessages(queue_api.ReceiveMessagesRequest(queues=["q"], max_messages=1))
        assert refusal.detail(error_pb2.LimitExceeded).limit == "open_calls"
        watches[0].cancel()

        async def is_served() -> bool:
            try:
                await store.client.events.GetStoreInfo(INFO)
            except Exception as error:
                assert "open_calls" in str(error) or "open calls" in str(error)
                return False
            return True

        await eventually(is_served)
        watches[1].cancel()


async def test_guessing_tokens_is_throttled_by_address(tmp_path: Path) -> None:
    async with running_store(tmp_path / "s.db", token="sesame-sesame", rate_limit=0.5, rate_burst=3) as store:
        async with StoreClient(store.address, token="guess") as stranger:
            for _ in range(3):
                with refused("UNAUTHENTICATED"):
                    await stranger.events.GetStoreInfo(INFO)
            with refused("THROTTLED"):
                await stranger.events.GetStoreInfo(INFO)
        # Whoever has the token is another client, also from the same address.
        await store.client.events.GetStoreInfo(INFO)


@asynccontextmanager
async def session_of(store: Store) -> AsyncIterator[Any]:
    """A session as a client in any language opens it; whoever has no token is counted by address."""
    stream = store.client.session.OpenSession()
    assert (await stream.read()).HasField("opened")
    yield stream
    stream.cancel()


async def outcomes(stream: Any, count: int) -> list[Refused | None]:
    """Send calls in one message; returns what became of each in their order: None, or why it was refused."""
    calls = [session_api.SessionCall(call_id=number, get_run=api.GetRunRequest(run_id=RUN)) for number in range(count)]
    await stream.write(session_api.OpenSessionRequest(calls=calls))
    found: dict[int, Refused | None] = {}
    async with asyncio.timeout(DEADLINE_SECONDS):
        while len(found) < count:
            for answer in (await stream.read()).answers:
                found[answer.call_id] = refusal_in(answer.failure) if answer.HasField("failure") else None
    return [found[number] for number in range(count)]


def refusal_in(failure: bytes) -> Refused:
    found = Refused(status=status_pb2.Status.FromString(failure))
    found.info = found.detail(error_details_pb2.ErrorInfo)
    return found


async def test_each_call_of_a_session_counts_and_one_too_many_is_refused_alone_with_the_time_to_wait(
    tmp_path: Path,
) -> None:
    async with running_store(tmp_path / "s.db", rate_limit=0.05, rate_burst=5) as store:
        await create_run(store.client, RUN)
        # The burst: the creation, the session itself, three calls.
        async with session_of(store) as stream:
            found = await outcomes(stream, 6)
            assert [it is None for it in found] == [True] * 3 + [False] * 3
            for refusal in found[3:]:
                assert refusal is not None and refusal.info.reason == "THROTTLED"
                wait = refusal.detail(error_details_pb2.RetryInfo).retry_delay
                assert 0 < wait.ToMilliseconds() <= 20_000
                assert refusal.detail(error_pb2.LimitExceeded).limit == "calls_per_second"
            # The same account as for calls made one by one, and a session that is not ended by it.
            with refused("THROTTLED"):
                await store.client.events.GetRun(api.GetRunRequest(run_id=RUN))
            assert len(await outcomes(stream, 1)) == 1


async def test_calls_under_way_in_a_session_are_limited_and_free_again_when_they_end(tmp_path: Path) -> None:
    async with running_store(tmp_path / "s.db", open_calls_limit=4) as store:
        await create_run(store.client, RUN)
        async with session_of(store) as stream:
            for _ in range(2):
                found = await outcomes(stream, 20)
                # They begin together: three beside the session itself.
                assert [it is None for it in found] == [True] * 3 + [False] * 17
                for refusal in found[3:]:
                    assert refusal is not None and refusal.detail(error_pb2.LimitExceeded).limit == "open_calls"
                    assert refusal.detail(error_details_pb2.RetryInfo).retry_delay.ToMilliseconds() > 0


@pytest.mark.parametrize("has_session", [False, True])
async def test_a_runtime_that_is_throttled_by_its_store_slows_down_and_finishes_its_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_session: bool
) -> None:
    refusals: list[str] = []
    refusing = throttle._throttled

    def counted(client: str, *limit: Any) -> Refusal:
        refusals.append(client)
        return refusing(client, *limit)

    monkeypatch.setattr(throttle, "_throttled", counted)
    limits: dict[str, Any] = {"rate_limit": 60, "rate_burst": 5}
    async with (
        running_store(tmp_path / "s.db", token="sesame-sesame", **limits) as store,
        running_runtime(
            store.address, many_steps, small_step, store_token="sesame-sesame", session=has_session
        ) as runtime,
        Client(runtime.address) as client,
    ):
        runs = [await client.start(many_steps, 5) for _ in range(5)]
        assert [await run.result(timeout="20s") for run in runs] == [10] * 5
    assert "token" in refusals
