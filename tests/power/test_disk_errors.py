"""A disk that fails and a disk that is full: what callers are told, and what the store does and does not do then."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest

from holdfast.v1 import event_pb2, store_service_pb2
from store_service.auditing import audit_database
from tests.crash.faults import HAS_STRACE
from tests.power.injection import injected
from tests.support.store import Refused, StoreClient, StoreProcess, add, create_run, refused, take_apart

pytestmark = pytest.mark.skipif(not HAS_STRACE, reason="strace is not installed: apt install strace")

RUN = "run_1"

#: Events of a run that `create_run` made.
FIRST = 2


@pytest.fixture
async def client(store_process: StoreProcess) -> AsyncIterator[StoreClient]:
    async with StoreClient(store_process.address) as client:
        await create_run(client, RUN)
        yield client


def labelled(number: int) -> event_pb2.Event:
    return event_pb2.Event(attributes_set=event_pb2.AttributesSet(set={"number": str(number)}))


async def write_until_refused(client: StoreClient) -> tuple[int, Refused]:
    """Append one event after the other; returns how many were acknowledged, and the refusal of the one after."""
    for number in range(1000):
        try:
            await add(client, RUN, labelled(number))
        except grpc.RpcError as error:
            return number, take_apart(error)
    raise AssertionError("nothing was refused")


async def numbers(client: StoreClient) -> list[str]:
    request = store_service_pb2.ListEventsRequest(run_id=RUN, page_size=1000)
    events = (await client.events.ListEvents(request)).events
    return [event.attributes_set.set["number"] for event in events[FIRST:]]


@pytest.mark.parametrize(("call", "place"), [("fdatasync", 1), ("fdatasync", 3), ("pwrite64", 1), ("pwrite64", 8)])
async def test_a_store_whose_disk_failed_refuses_stops_and_writes_no_more(
    store_process: StoreProcess, client: StoreClient, call: str, place: int
) -> None:
    with injected(store_process.pid, store_process.database, call, "EIO", str(place)) as injection:
        acknowledged, refusal = await write_until_refused(client)
        assert refusal.info.reason == "NOT_READY"
        assert "disk I/O error" in refusal.message
        assert await asyncio.to_thread(store_process.wait) == 1
    failed = next(number for number, line in enumerate(injection.calls) if "EIO" in line)
    assert injection.calls[failed + 1 :] == [], "it went on writing on a handle whose state is not known"
    assert "the database failed" in store_process.stderr
    store_process.start()
    kept = await numbers(client)
    # What was refused may be there or not: nobody was told that it is.
    assert kept[:acknowledged] == [str(number) for number in range(acknowledged)]
    assert len(kept) <= acknowledged + 1
    assert audit_database(str(store_process.database)).findings == ()


async def test_a_store_on_a_full_disk_reads_refuses_to_write_and_goes_on_when_there_is_space(
    store_process: StoreProcess, client: StoreClient
) -> None:
    await add(client, RUN, labelled(0))
    with injected(store_process.pid, store_process.database, "pwrite64", "ENOSPC", "1+"):
        for _ in range(3):
            with refused("NOT_READY") as refusal:
                await add(client, RUN, labelled(1))
            assert "disk is full" in refusal.message
            assert await numbers(client) == ["0"]
    await add(client, RUN, labelled(1))
    assert await numbers(client) == ["0", "1"]
    store_process.restart()
    assert await numbers(client) == ["0", "1"]
    assert audit_database(str(store_process.database)).findings == ()
