"""Keeps the database of a soak small: what has ended is audited while the services go on, and then deleted.

A run is deleted only after an audit has seen it at its end, and when nobody asks for it any more; so every run of a
soak is audited, however long it lasts.
"""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE, STDOUT
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from holdfast.v1 import entity_pb2, store_service_pb2
from tests.soak.cluster import Cluster
from tests.soak.load import Load
from tests.storms.store_calls import until_answered

ROOT: Final = Path(__file__).parents[2]

_ENDED: Final = (entity_pb2.RUN_STATUS_COMPLETED, entity_pb2.RUN_STATUS_FAILED, entity_pb2.RUN_STATUS_CANCELLED)
_DELETED_AT_ONCE: Final = 100


@dataclass(slots=True)
class Retention:
    """Audits and deletes. ``findings`` is what audits found, ``audits`` how many there were."""

    cluster: Cluster
    load: Load
    audits: int = 0
    deleted: int = 0
    findings: list[str] = field(default_factory=list)

    async def run(self, every_seconds: float) -> None:
        """Go on until cancelled."""
        while True:
            await asyncio.sleep(every_seconds)
            await self.sweep()

    async def sweep(self) -> None:
        """Audit what is there, and delete what had ended before."""
        ended = await self._ended()
        await self.audit()
        await self._delete([it.run_id for it in ended])
        self.load.finished.difference_update(it.run_id for it in ended)

    async def audit(self) -> None:
        """Audit the database beside the running services, as `holdfast audit` does, in a process of its own."""
        command = ("nice", "-n", "10", sys.executable, "-m", "holdfast.cli", "audit", self.cluster.url)
        process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=PIPE, stderr=STDOUT)
        told, _ = await process.communicate()
        self.audits += 1
        if process.returncode:
            self.findings.append(told.decode(errors="replace").strip())

    async def _ended(self) -> list[entity_pb2.Run]:
        """List runs whose results have come, and their children, which ended before them."""
        found: list[entity_pb2.Run] = []
        # As of now: a parent that finishes between two pages would be deleted without the child of an earlier page.
        finished = set(self.load.finished)
        request = store_service_pb2.ListRunsRequest(page_size=1000, statuses=_ENDED)
        while True:
            page = await until_answered(self.cluster.calls.events.ListRuns, request)
            found += [run for run in page.runs if {run.run_id, run.parent_run_id} & finished]
            if not page.next_page_token:
                return found
            request.page_token = page.next_page_token

    async def _delete(self, run_ids: list[str]) -> None:
        for begin in range(0, len(run_ids), _DELETED_AT_ONCE):
            request = store_service_pb2.DeleteRunsRequest(run_ids=run_ids[begin : begin + _DELETED_AT_ONCE])
            self.deleted += (await until_answered(self.cluster.calls.events.DeleteRuns, request)).deleted_count
