"""What one replica commits, the others hear of: at once by a hint, and by looking when the hint is lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from store_service.engines.contract import Engine, EventNote, MissedNotes, Note, QueueNote
from store_service.engines.postgres.announcements import _BUILD, _FIELDS
from tests.conformance import samples
from tests.postgres.conftest import OpenReplica
from tests.support.postgres import PostgresServer
from tests.support.store import eventually

DEADLINE_S = 10.0
NOTE = QueueNote("runs", 7)


class Ear:
    """Collects what an engine tells."""

    def __init__(self, engine: Engine) -> None:
        self.heard: list[Note] = []
        self._stirred = asyncio.Event()
        engine.listen(self._take)

    def _take(self, notes: Sequence[Note]) -> None:
        self.heard += notes
        self._stirred.set()

    async def hears(self, note: Note) -> float:
        """Wait for a note; returns the seconds that it took."""
        began = time.monotonic()
        async with asyncio.timeout(DEADLINE_S):
            while note not in self.heard:
                self._stirred.clear()
                await self._stirred.wait()
        return time.monotonic() - began


async def test_a_commit_is_heard_of_by_other_replicas_at_once_and_by_its_own_once(replica: OpenReplica) -> None:
    a, b = await replica(), await replica()
    ears = Ear(a), Ear(b)
    await a.write(lambda tx: tx.note(NOTE))
    await ears[1].hears(NOTE)
    await b.write(lambda tx: tx.note(EventNote("run_1", 1, False, frozenset((1, 2)))))
    await ears[0].hears(EventNote("run_1", 1, False, frozenset((1, 2))))
    assert [ear.heard.count(NOTE) for ear in ears] == [1, 1]


async def test_without_hints_it_is_heard_of_within_the_interval_of_looking(replica: OpenReplica) -> None:
    a, b = await replica(hears_hints=False), await replica(hears_hints=False, poll_s=0.3)
    ear = Ear(b)
    await a.write(lambda tx: tx.note(NOTE))
    assert await ear.hears(NOTE) < 0.3 + 1.0


async def test_a_replica_whose_connection_was_lost_hears_what_it_missed(
    replica: OpenReplica, postgres_server: PostgresServer, postgres_url: str
) -> None:
    a, b = await replica(), await replica()
    ear = Ear(b)
    postgres_server.terminate(postgres_url)
    await a.write(lambda tx: tx.note(NOTE))
    await ear.hears(NOTE)


async def test_announcements_that_were_forgotten_before_they_were_read_are_told_as_missed(
    replica: OpenReplica, postgres_server: PostgresServer, postgres_url: str
) -> None:
    a, b = await replica(hears_hints=False), await replica(hears_hints=False, poll_s=0.5)
    ear = Ear(b)
    await a.write(lambda tx: tx.note(NOTE))
    postgres_server.execute("DELETE FROM announcements", database=postgres_url.rpartition("/")[2])
    await a.write(lambda tx: tx.note(QueueNote("later", 0)))
    await ear.hears(QueueNote("later", 0))
    assert NOTE in ear.heard or MissedNotes() in ear.heard


async def test_an_idle_replica_looks_twice_a_poll_and_no_more(replica: OpenReplica) -> None:
    engine = await replica(poll_s=0.2)
    before, began = engine.statements, time.monotonic()
    await eventually(lambda: engine.statements >= before + 6)
    assert time.monotonic() - began >= 0.4, "two statements a look"


async def test_all_replicas_go_by_the_clock_of_the_database(replica: OpenReplica) -> None:
    minutes_ns = 7 * 60 * 1_000_000_000
    engines = [
        await replica(local_ns=lambda: time.time_ns() - minutes_ns),
        await replica(local_ns=lambda: time.time_ns() + minutes_ns),
    ]
    readings = [engine.wall_ns() for engine in engines]
    assert abs(readings[0] - readings[1]) < 2_000_000_000
    assert abs(readings[0] - time.time_ns()) < 2_000_000_000


def test_every_note_has_its_bytes() -> None:
    named = {name: kind for kind, (name, _) in _FIELDS.items()}
    assert set(named) == set(_BUILD)
    assert set(named.values()) == set(Note.__args__)


async def test_a_watch_over_all_runs_misses_nothing_that_commits_out_of_order(replica: OpenReplica) -> None:
    """Replicas write at once while somebody reads on from the last position seen: each event comes once, in order."""
    engines = [await replica() for _ in range(3)]
    total = 150
    seen: list[tuple[int, str, int]] = []

    async def write(engine: Engine, run_id: str) -> None:
        for seq in range(1, 51):
            row = samples.event(run_id, seq)
            await engine.write(lambda tx, row=row: tx.insert_event(row))

    async def follow() -> None:
        position = 0
        while len(seen) < total:
            found = await engines[0].read(lambda reader, at=position: reader.all_events(after_position=at, limit=20))
            seen.extend((at, row.run_id, row.seq) for at, row in found)
            position = found[-1][0] if found else position

    async with asyncio.timeout(DEADLINE_S * 2):
        await asyncio.gather(follow(), *(write(engine, f"run_{n}") for n, engine in enumerate(engines)))
    assert [at for at, _, _ in seen] == list(range(1, total + 1))
    for number in range(3):
        assert [seq for _, run_id, seq in seen if run_id == f"run_{number}"] == list(range(1, 51))
