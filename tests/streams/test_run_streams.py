"""ReadRunStream and GetRunStream of the runtime, over the socket: fields, first messages, drain."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from holdfast.v1 import runtime_service_pb2 as pb
from holdfast.v1 import stream_service_pb2
from tests.streams.flow import STEP, Flow, by, ref
from tests.support.runtime import running_runtime, runtime_stub
from tests.support.store import Store, refused

NEVER_CLAIMED = "order-1"


@pytest.fixture
async def flow(store: Store) -> Flow:
    return await Flow(store.client, NEVER_CLAIMED).begin(STEP)


@pytest.fixture
async def stub(store_address: str) -> AsyncIterator[Any]:
    async with running_runtime(store_address) as running, runtime_stub(running.address) as opened:
        yield opened


def request(**fields: Any) -> pb.ReadRunStreamRequest:
    return pb.ReadRunStreamRequest(**{"run_id": NEVER_CLAIMED, "name": "tokens", **fields})


async def test_chunks_resets_and_the_end_are_passed_on(flow: Flow, stub: Any) -> None:
    await flow.write(b"one", author=by(1), content_type="text/plain")
    await flow.retry(1)
    await flow.write(b"", author=by(2), close=True)
    call = stub.ReadRunStream(request(with_resets=True))
    first, reset, second, end = [await call.read() for _ in range(4)]
    assert (first.data, first.next_index, first.author, first.content_type) == (b"one", 1, by(1), "text/plain")
    assert (reset.reset.author, reset.HasField("data"), reset.next_index) == (by(2), False, 1)
    assert (second.HasField("data"), second.data, second.next_index, second.end) == (True, b"", 2, False)
    assert (end.end, end.HasField("data"), end.next_index) == (True, False, 2)


async def test_a_silent_stream_shows_that_it_is_alive(flow: Flow, stub: Any) -> None:
    call = stub.ReadRunStream(request(progress_interval={"seconds": 1}))
    heartbeat = await call.read()
    assert (heartbeat.HasField("data"), heartbeat.end, heartbeat.next_index) == (False, False, 0)
    call.cancel()


async def test_the_name_is_default_when_none_is_given(flow: Flow, stub: Any) -> None:
    await flow.write(b"d", stream=ref("default"), close=True)
    assert (await stub.ReadRunStream(request(name="")).read()).data == b"d"
    info = (await stub.GetRunStream(pb.GetRunStreamRequest(run_id=NEVER_CLAIMED))).stream
    assert (info.stream.name, info.next_index, info.closed) == ("default", 1, True)


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"run_id": "no id"}, "run_id"),
        ({"name": "no/name"}, "name"),
        ({"mode": 9}, "mode"),
        ({"mode": stream_service_pb2.STREAM_READ_MODE_FINAL, "with_resets": True}, "with_resets"),
        ({"progress_interval": {"seconds": 61}}, "progress_interval"),
    ],
)
async def test_a_malformed_read_is_named_by_its_field(stub: Any, flow: Flow, fields: dict[str, Any], path: str) -> None:
    with refused("INVALID_FIELD") as refusal:
        await stub.ReadRunStream(request(**fields)).read()
    assert refusal.field == path


async def test_what_is_not_there_is_told(flow: Flow, stub: Any) -> None:
    with refused("RUN_NOT_FOUND"):
        await stub.ReadRunStream(request(run_id="nobody")).read()
    with refused("RESOURCE_NOT_FOUND") as refusal:
        await stub.GetRunStream(pb.GetRunStreamRequest(run_id=NEVER_CLAIMED, name="tokens"))
    assert "tokens" in refusal.message


async def test_a_draining_runtime_sends_its_readers_elsewhere(store_address: str, flow: Flow) -> None:
    await flow.write(b"one")
    async with running_runtime(store_address) as running, runtime_stub(running.address) as stub:
        call = stub.ReadRunStream(request())
        assert (await call.read()).data == b"one"
        running.front.draining.set()
        with refused("NOT_READY") as refusal:
            await call.read()
        assert "next_index" in refusal.message
