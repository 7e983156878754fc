"""A balancer of TCP connections: the plain kind that stands before replicas, with the faults of a `FaultProxy`.

Each new connection goes to the next server in turn; one that does not answer is passed over. It knows nothing of calls,
and a connection stays where it is until it ends. Proof: `tests/network/test_fault_proxy.py`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from tests.support.fault_proxy import FaultProxy


class Balancer(FaultProxy):
    """One address in front of several; see the module."""

    def __init__(self, targets: Sequence[str]) -> None:
        super().__init__(targets[0])
        self._turns = deque(targets)

    async def _reach(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        for _ in range(len(self._turns)):
            self._turns.rotate(-1)
            self.target = self._turns[0]
            try:
                return await super()._reach()
            except OSError:
                continue
        raise ConnectionRefusedError("no server answers")
