"""What is too large is refused before it is parsed, also when it was small on the wire; a few bytes cost little."""

from __future__ import annotations

from collections.abc import Callable

import grpc
import grpc.aio
import psutil
import pytest

from holdfast.v1 import store_service_pb2 as api
from tests.support.store import StoreClient, StoreProcess

PATH = "/holdfast.v1.StoreService/CreateEvents"
MEBIBYTE = 1024 * 1024


def plain() -> bytes:
    return bytes(64 * MEBIBYTE)


def in_one_field() -> bytes:
    # A field that says that it has 2 GiB, and has none of them.
    return b"\x0a\xff\xff\xff\xff\x07"


def nested() -> bytes:
    # Values in values, far deeper than protobuf reads.
    return b"\x32\x04" * 100_000


BODIES: dict[Callable[[], bytes], grpc.StatusCode] = {
    plain: grpc.StatusCode.RESOURCE_EXHAUSTED,
    in_one_field: grpc.StatusCode.INVALID_ARGUMENT,
    nested: grpc.StatusCode.INVALID_ARGUMENT,
}


async def test_requests_that_are_too_large_or_lie_about_their_size_are_refused_and_cost_no_memory(
    store_process: StoreProcess,
) -> None:
    before = psutil.Process(store_process.pid).memory_info().rss
    options = [("grpc.max_send_message_length", -1)]
    async with grpc.aio.insecure_channel(store_process.address, options=options) as channel:
        for body, code in BODIES.items():
            for compression in (grpc.Compression.NoCompression, grpc.Compression.Gzip):
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await channel.unary_unary(PATH)(body(), timeout=20, compression=compression)
                assert caught.value.code() == code, f"{body.__name__}, {compression}: {caught.value}"
    grown = psutil.Process(store_process.pid).memory_info().rss - before
    assert grown < 48 * MEBIBYTE, f"the store grew by {grown} bytes"
    async with StoreClient(store_process.address) as client:
        assert (await client.events.GetStoreInfo(api.GetStoreInfoRequest())).store_id


async def test_metadata_is_bounded_too(store_process: StoreProcess) -> None:
    async with StoreClient(store_process.address) as client:
        for headers in ([("x-long", "a" * MEBIBYTE)], [(f"x-{number}", "a" * 100) for number in range(2_000)]):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await client.events.GetStoreInfo(api.GetStoreInfoRequest(), metadata=headers, timeout=10)
            assert caught.value.code() in (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE)
        assert (await client.events.GetStoreInfo(api.GetStoreInfoRequest())).store_id
