"""With a synchronous standby nothing is answered that the standby does not have, also after a crash of the primary."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from store_service.engines.contract import Engine
from store_service.engines.postgres import Options, open_postgres
from tests.conformance import samples
from tests.replicas.troubles import NAME, primary_and_standby
from tests.support.postgres import PostgresServer, Standby

#: Long enough for any answer that does not wait for the standby.
UNANSWERED_SECONDS = 1.0
DEADLINE_SECONDS = 30

Servers = tuple[PostgresServer, Standby]


@pytest.fixture
def servers() -> Iterator[Servers]:
    with primary_and_standby() as both:
        yield both


async def opened(*servers: PostgresServer) -> Engine:
    hosts = ",".join(f"127.0.0.1:{server.port}" for server in servers)
    return await open_postgres(f"postgresql://postgres@{hosts}/{NAME}", Options(writers=1, readers=1))


async def test_what_only_a_crashed_primary_has_is_not_answered_before_its_standby_has_it(servers: Servers) -> None:
    primary, standby = servers
    engine = await opened(primary, standby)
    await engine.write(lambda tx: tx.insert_event(samples.event("run_1", 1)))
    standby.stop()
    write = asyncio.ensure_future(engine.write(lambda tx: tx.insert_event(samples.event("run_1", 2))))
    done, _ = await asyncio.wait({write}, timeout=UNANSWERED_SECONDS)
    assert not done, "a commit was answered that the standby does not have"
    primary.vanish()
    primary.start()
    # The server has it now, for everybody to see, and the standby does not.
    assert primary.execute("SELECT count(*) FROM events", database=NAME) == [(2,)]
    read = asyncio.ensure_future(engine.read(lambda reader: reader.seq_at("run_1", 2**60)))
    done, _ = await asyncio.wait({write, read}, timeout=UNANSWERED_SECONDS)
    assert not done, "it was answered before the standby had it"
    standby.start()
    async with asyncio.timeout(DEADLINE_SECONDS):
        await write
        assert await read == 2
    primary.vanish()
    await asyncio.to_thread(standby.promote)
    async with asyncio.timeout(DEADLINE_SECONDS):
        assert await engine.read(lambda reader: reader.seq_at("run_1", 2**60)) == 2
    await engine.close()
