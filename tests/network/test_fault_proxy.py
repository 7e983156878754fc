"""The fault proxies do what they say, or the tests behind them prove nothing."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial

import pytest

from tests.support.balancer import Balancer
from tests.support.fault_proxy import FaultProxy
from tests.support.rpc_proxy import RpcProxy, doubled, replies_lost
from tests.support.store import Store, StoreClient, create_run, refused

Line = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def echo_behind_a_proxy() -> AsyncIterator[tuple[FaultProxy, Line]]:
    """Yield a proxy in front of a server that sends back what it gets, and a connection through it."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionResetError):
            while data := await reader.read(1000):
                writer.write(data)
        writer.close()
        ended.set()

    ended = asyncio.Event()
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    async with FaultProxy(f"{host}:{port}") as proxy:
        line = await dial(proxy)
        yield proxy, line
        line[1].close()
    await ended.wait()
    server.close()


async def dial(proxy: FaultProxy) -> Line:
    host, _, port = proxy.address.rpartition(":")
    return await asyncio.open_connection(host, int(port))


async def said(line: Line, data: bytes, seconds: float = 5.0) -> bytes:
    """Send something and return what comes back."""
    line[1].write(data)
    async with asyncio.timeout(seconds):
        return await line[0].read(1000)


async def test_a_clear_proxy_passes_everything_on() -> None:
    async with echo_behind_a_proxy() as (proxy, line):
        assert await said(line, b"hello") == b"hello"
        assert (proxy.up.passed, proxy.down.passed) == (5, 5)


async def test_a_stalled_way_holds_back_and_loses_nothing() -> None:
    async with echo_behind_a_proxy() as (proxy, line):
        with proxy.stalled(proxy.down):
            with pytest.raises(TimeoutError):
                await said(line, b"one", 0.1)
            assert (proxy.up.passed, proxy.down.passed) == (3, 0)
        assert await said(line, b"two") in (b"one", b"onetwo")


async def test_a_cut_connection_is_reset_where_it_is_cut() -> None:
    async with echo_behind_a_proxy() as (proxy, line):
        proxy.down.cut_after = 3
        assert await said(line, b"hello") == b"hel"
        with pytest.raises(ConnectionResetError):
            await said(line, b"more")
        assert await said(await dial(proxy), b"again") == b"again"


async def greeted(proxy: FaultProxy) -> bytes:
    """Connect, and return the name of the server that is reached."""
    reader, writer = await dial(proxy)
    name = await reader.read(1)
    writer.close()
    return name


async def test_a_balancer_gives_servers_turns_and_passes_over_the_dead() -> None:
    async def greet(name: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionResetError):
            writer.write(name)
            await reader.read()
        writer.close()

    servers = [await asyncio.start_server(partial(greet, name), "127.0.0.1", 0) for name in (b"a", b"b", b"c")]
    addresses = ["{}:{}".format(*server.sockets[0].getsockname()) for server in servers]
    async with Balancer(addresses) as balancer:
        assert {await greeted(balancer) for _ in range(3)} == {b"a", b"b", b"c"}
        servers[1].close()
        assert {await greeted(balancer) for _ in range(4)} == {b"a", b"c"}
        for server in servers:
            server.close()
        with pytest.raises(ConnectionResetError):
            await greeted(balancer)


async def test_a_stranded_connection_hangs_and_a_new_one_works() -> None:
    async with echo_behind_a_proxy() as (proxy, line):
        assert await said(line, b"first") == b"first"
        proxy.strand()
        with pytest.raises(TimeoutError):
            await said(line, b"hello", 0.1)
        assert await said(await dial(proxy), b"hello") == b"hello"


async def test_an_unreachable_server_takes_no_connection() -> None:
    async with echo_behind_a_proxy() as (proxy, _):
        with proxy.unreachable(), pytest.raises(ConnectionResetError):
            await said(await dial(proxy), b"hello")
        assert await said(await dial(proxy), b"hello") == b"hello"


async def test_a_doubled_call_is_made_twice_and_answered_once(store: Store) -> None:
    async with (
        RpcProxy(store.address, doubled(random.Random(1))) as proxy,
        StoreClient(proxy.address) as client,
    ):
        with refused("RUN_EXISTS"):
            for number in range(20):
                await create_run(client, f"run_{number}")


async def test_a_lost_answer_is_the_answer_to_a_call_that_was_made(store: Store) -> None:
    async with (
        RpcProxy(store.address, replies_lost(random.Random(1), 1.0)) as proxy,
        StoreClient(proxy.address) as client,
    ):
        with pytest.raises(Exception, match="the answer was lost"):
            await create_run(client, "run_1")
        with refused("RUN_EXISTS"):
            await create_run(store.client, "run_1")
