"""The connection is lost during the COMMIT: what became of the batch is found out, and nothing is written twice.

Each test holds a unit inside its transaction, makes the network between engine and server lose what comes next, and
lets the unit go: so it is the flight with the COMMIT that is lost, on the way there, on the way back, or until later.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from store_service.engines.contract import Engine, QueueNote, Transaction
from store_service.engines.postgres import Options, open_postgres
from tests.conformance import samples
from tests.support.postgres import PostgresServer
from tests.support.store import eventually
from tests.support.tcp_cut import TcpCut

DEADLINE_S = 20


class Stage:
    """A unit that counts how often it ran, and waits inside."""

    def __init__(self) -> None:
        self.runs = 0
        self.inside = threading.Event()
        self.go_on = threading.Event()

    def unit(self, tx: Transaction) -> int:
        self.runs += 1
        # Another run each time: nothing but the proof of the commit stands between two of them.
        tx.insert_event(samples.event(f"run_{self.runs}"))
        tx.note(QueueNote("runs", 0))
        self.inside.set()
        assert self.go_on.wait(DEADLINE_S)
        return self.runs

    async def play(self, engine: Engine, lose: Callable[[], None]) -> int:
        """Write the unit while the network loses its commit; returns what the engine answered."""
        writing = asyncio.ensure_future(engine.write(self.unit))
        await asyncio.to_thread(self.inside.wait, DEADLINE_S)
        lose()
        self.go_on.set()
        return await asyncio.wait_for(writing, DEADLINE_S)


async def opened(cut: TcpCut, server: PostgresServer, url: str) -> Engine:
    through = url.replace(f":{server.port}/", f":{cut.port}/")
    return await open_postgres(through, Options(writers=1, readers=1, poll_s=300))


async def written(engine: Engine) -> list[str]:
    found = await engine.read(lambda reader: reader.all_events(after_position=0, limit=9))
    return [row.run_id for _, row in found]


async def test_a_commit_whose_answer_is_lost_is_not_repeated(
    postgres_server: PostgresServer, postgres_url: str
) -> None:
    stage = Stage()
    async with TcpCut(postgres_server.port) as cut:
        engine = await opened(cut, postgres_server, postgres_url)
        assert await stage.play(engine, cut.lose_answers) == 1
        assert await written(engine) == ["run_1"], "it was committed, and found to be"
        await engine.close()


async def test_a_commit_that_never_arrived_is_made_again(postgres_server: PostgresServer, postgres_url: str) -> None:
    stage = Stage()
    async with TcpCut(postgres_server.port) as cut:
        engine = await opened(cut, postgres_server, postgres_url)
        assert await stage.play(engine, cut.hold_requests) == 2
        assert await written(engine) == ["run_2"]
        await engine.close()


async def test_a_commit_that_arrives_after_it_was_given_up_cannot_happen_any_more(
    postgres_server: PostgresServer, postgres_url: str
) -> None:
    """The first backend sits in its transaction when the flight with the COMMIT comes at last."""
    stage = Stage()
    async with TcpCut(postgres_server.port) as cut:
        engine = await opened(cut, postgres_server, postgres_url)
        writing = asyncio.ensure_future(stage.play(engine, cut.hold_requests))

        async def is_given_up() -> bool:
            database = postgres_url.rpartition("/")[2]
            return bool(postgres_server.execute("SELECT 1 FROM announcements WHERE number IS NULL", database=database))

        await eventually(is_given_up)
        assert cut.deliver_held() > 0
        assert await writing == 2
        # The database has refused it: its proof of the commit was taken.
        await eventually(lambda: _states(postgres_server, postgres_url).count("idle in transaction (aborted)") == 1)
        assert await written(engine) == ["run_2"]
        await engine.close()


def _states(server: PostgresServer, url: str) -> list[str]:
    sql = "SELECT state FROM pg_stat_activity WHERE datname = %s"
    return [state for (state,) in server.execute(sql, url.rpartition("/")[2])]
