"""The database fails under replicas of both services: the ledger is right, whatever became of commits under way.

Sessions and whole servers are killed at their work, the network between the stores and the database is spoilt in every
way, and in the end a standby takes over. A commit that was answered is there, one that was not is there once or not at
all, and nobody is stuck. HOLDFAST_DATABASE_ROUNDS repeats everything but the failover so often.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.replicas.storm import Plan, storm
from tests.replicas.troubles import NAME, RECURRING, Database, fail_over, primary_and_standby
from tests.support.fault_proxy import FaultProxy

ROUNDS = int(os.environ.get("HOLDFAST_DATABASE_ROUNDS", "1"))
SEED = int(os.environ.get("HOLDFAST_STORM_SEED", "11"))
REPLICAS = 2


@pytest.mark.slow
@pytest.mark.timeout(120 + 60 * ROUNDS)
async def test_nothing_acknowledged_is_lost_when_the_database_crashes_is_cut_off_and_fails_over(tmp_path: Path) -> None:
    print(f"{ROUNDS} rounds, seed {SEED} (HOLDFAST_DATABASE_ROUNDS, HOLDFAST_STORM_SEED)")
    with primary_and_standby() as (primary, standby):
        async with FaultProxy(f"127.0.0.1:{primary.port}") as first, FaultProxy(f"127.0.0.1:{standby.port}") as second:
            database = Database(primary, standby, [first, second], random.Random(SEED))

            async def disturb() -> None:
                for _ in range(ROUNDS):
                    for trouble in RECURRING:
                        await trouble(database)
                        print(f"lived through: {trouble.__doc__}", flush=True)
                await fail_over(database)

            plan = Plan(kills=0, seconds=60.0 * ROUNDS, seed=SEED, replicas=REPLICAS, disturb=disturb)
            verdict = await storm(tmp_path, database.url, plan, audited=standby.url(NAME))
    for line in verdict.lines():
        print(line)
    assert verdict.failures == []
    assert verdict.values > 0
