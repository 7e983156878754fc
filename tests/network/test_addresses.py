"""An address that leads to several servers: clients spread over them, stay with one, and go on to another at once."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import pytest

from holdfast import Client
from holdfast.addresses import target_of
from holdfast.keepalive import KEEPALIVE, RECONNECT
from holdfast.security.channels import ClientTls, PlainChannels, open_channel
from runtime_service.settings import RuntimeSettings

#: Clients that choose among three servers: that one server gets none of them is as good as impossible.
CLIENTS = 60

#: Seconds after which the death of a server must have cost a client nothing more.
ROUTED_SECONDS = 2.0

OPTIONS = (*KEEPALIVE, *RECONNECT, ("grpc.use_local_subchannel_pool", 1))
PLAIN = ClientTls()
NOT_LISTS = ("store-1:7701,store-2:7701", "10.0.0.1:7701,[::1]:7701", "10.0.0.1:7701,", "10.0.0.1,10.0.0.2:7701")


class WhoAreYou(grpc.GenericRpcHandler):
    """Answers every call with the name of the server."""

    name = ""

    def service(self, details: Any) -> Any:
        async def answer(_: bytes, __: Any) -> bytes:
            return self.name.encode()

        return grpc.unary_unary_rpc_method_handler(answer)


@asynccontextmanager
async def replicas(count: int) -> AsyncIterator[tuple[str, dict[str, grpc.aio.Server]]]:
    """Serve on some ports; gives the list of their addresses, and the servers by address."""
    servers = {}
    for _ in range(count):
        server, handler = grpc.aio.server(), WhoAreYou()
        server.add_generic_rpc_handlers((handler,))
        handler.name = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        await server.start()
        servers[handler.name] = server
    yield ",".join(servers), servers
    for server in servers.values():
        await server.stop(None)


async def whom(channel: grpc.aio.Channel) -> str:
    """Ask one question; returns the address of the server that answered."""
    answer: bytes = await channel.unary_unary("/any/method")(b"", timeout=ROUTED_SECONDS)
    return answer.decode()


async def test_clients_of_a_list_spread_and_each_stays_with_one() -> None:
    async with replicas(3) as (addresses, _):
        chosen: Counter[str] = Counter()
        for _ in range(CLIENTS):
            async with open_channel(addresses, PLAIN, OPTIONS) as channel:
                found = {await whom(channel) for _ in range(3)}
            assert len(found) == 1
            chosen.update(found)
    assert set(chosen) == set(addresses.split(","))
    assert max(chosen.values()) < CLIENTS * 0.7


async def test_the_death_of_a_server_is_routed_around_at_once() -> None:
    async with replicas(3) as (addresses, servers), open_channel(addresses, PLAIN, OPTIONS) as channel:
        for _ in range(2):
            victim = await whom(channel)
            await servers[victim].stop(None)
            died_at = time.monotonic()
            while True:
                try:
                    assert await whom(channel) != victim
                except grpc.aio.AioRpcError as error:
                    assert error.code() is grpc.StatusCode.UNAVAILABLE
                    assert time.monotonic() - died_at < ROUTED_SECONDS
                else:
                    break
            assert time.monotonic() - died_at < ROUTED_SECONDS


async def test_plain_channels_take_lists_too() -> None:
    async with replicas(2) as (addresses, servers):
        channels = PlainChannels(addresses, PLAIN)
        call = channels.get().unary_unary("/any/method")
        assert (await asyncio.to_thread(call, b"", timeout=ROUTED_SECONDS)).decode() in servers
        channels.close()


@pytest.mark.parametrize(
    ("address", "target"),
    [
        ("localhost:7701", "localhost:7701"),
        ("dns:///stores:7701", "dns:///stores:7701"),
        ("10.0.0.1:7701, 10.0.0.2:7701", "ipv4:10.0.0.1:7701,10.0.0.2:7701"),
        ("[::1]:7701,[::2]:7701", "ipv6:[::1]:7701,[::2]:7701"),
    ],
)
def test_a_list_of_addresses_becomes_one_target(address: str, target: str) -> None:
    assert target_of(address) == target


@pytest.mark.parametrize("address", NOT_LISTS)
def test_a_list_that_cannot_be_used_is_refused_where_it_is_written(address: str) -> None:
    with pytest.raises(ValueError, match="address"):
        RuntimeSettings(store=address)
    with pytest.raises(ValueError, match="address"):
        Client(address)


def test_a_list_has_no_name_for_a_certificate() -> None:
    with pytest.raises(ValueError, match="a DNS name"):
        RuntimeSettings(store="10.0.0.1:7701,10.0.0.2:7701", store_tls_ca="ca.pem")
    with pytest.raises(ValueError, match="a DNS name"):
        Client("10.0.0.1:7702,10.0.0.2:7702", tls_ca="ca.pem")
