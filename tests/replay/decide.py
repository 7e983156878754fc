"""Replays recorded logs and prints a digest of every decision: run in other processes by test_replay_oracle.py."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from holdfast.v1 import store_service_pb2
from tests.replay.asyncio_workflows import CASES
from tests.replay.rehearsal import decided, replayed


def digests(directory: Path) -> list[str]:
    """Return one line per recorded log: workflow and digest of what every prefix of it decides."""
    lines: list[str] = []
    for workflow, _, _ in CASES:
        log = store_service_pb2.ListEventsResponse.FromString((directory / workflow.__name__).read_bytes()).events
        digest = hashlib.sha256()
        for length in range(1, len(log) + 1):
            instance = replayed(workflow, log[:length])
            digest.update(decided(instance) + b"|")
            instance.evict()
        lines.append(f"{workflow.__name__} {digest.hexdigest()}")
    return lines


if __name__ == "__main__":
    print("\n".join(digests(Path(sys.argv[1]))))
