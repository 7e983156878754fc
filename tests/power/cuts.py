"""Power cuts over a recording: every moment that matters, in every state that a disk may be left in.

What may be left grows until a sync, so the moment right before each sync covers all moments since the sync before it,
and the end covers the rest. Read ``disk.py`` for the states and ``verdict.py`` for the judgement.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from tests.power.disk import Disk, Files, Sector, Sync
from tests.power.recording import Operation, Recorded
from tests.power.verdict import Judge


@dataclass(frozen=True, slots=True)
class Report:
    """How many moments and distinct states were tried, and everything that was wrong."""

    moments: int
    states: int
    findings: list[str]


def cut_everywhere(recorded: Recorded, folder: Path, sector: Sector, samples: int, seed: int) -> Report:
    """Cut the power at every moment of a recording; about ``samples`` states each, chosen by ``seed``."""
    folder.mkdir()
    rng = random.Random(seed)
    judge = Judge(recorded, folder)
    findings: list[str] = []
    seen: set[bytes] = set()
    moments = 0
    for place, disk in _moments(recorded.journal):
        moments += 1
        for files in disk.states(sector, samples, rng):
            key = _key(files, recorded.acknowledged(place))
            if key not in seen:
                seen.add(key)
                told = f"seed {seed}, sectors of {sector}, before operation {place}"
                findings += [f"{told}: {text}" for text in judge.verdict(files, place)]
    return Report(moments, judge.judged, findings)


def _moments(journal: Sequence[Operation]) -> Iterator[tuple[int, Disk]]:
    disk = Disk()
    for place, operation in enumerate(journal):
        if isinstance(operation, Sync):
            yield place, disk
            disk.sync(operation)
        else:
            disk.ask(operation)
    yield len(journal), disk


def _key(files: Files, acknowledged: int) -> bytes:
    found = blake2b(str(acknowledged).encode(), digest_size=16)
    for name, body in sorted(files.items()):
        found.update(name.encode() + len(body).to_bytes(8) + body)
    return found.digest()
