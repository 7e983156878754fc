"""A damaged file is never silently wrong: a reader gets the log that was written or an error, and the audit finds it.

One bit is flipped somewhere, or the end of the file is lost. `HOLDFAST_DAMAGES` sets how many flips are tried.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.power.damage import Seen, look, silently_wrong, write_file

FLIPS = int(os.environ.get("HOLDFAST_DAMAGES", "150"))
SEED = int(os.environ.get("HOLDFAST_POWER_SEED", "1"))

PAGE_BYTES = 4096


@pytest.fixture
async def body(tmp_path: Path) -> bytes:
    return await write_file(tmp_path / "sound.db", SEED)


def judge(path: Path, damaged: bytes, truth: Seen, what: str, counts: Counter[str]) -> Iterator[str]:
    path.write_bytes(damaged)
    seen = look(path)
    for wrong in silently_wrong(seen, truth):
        yield f"{what}: {wrong} is read as if nothing had happened"
    is_harmed = seen.digest != truth.digest
    if is_harmed and not seen.findings:
        yield f"{what}: the audit finds nothing"
    counts["found" if seen.findings else "lost" if is_harmed else "harmless"] += 1


def test_a_flipped_bit_is_found_wherever_it_is(tmp_path: Path, body: bytes) -> None:
    rng = random.Random(SEED)
    truth = look(tmp_path / "sound.db")
    assert truth.findings == []
    counts: Counter[str] = Counter()
    wrong: list[str] = []
    for _ in range(FLIPS):
        place, bit = rng.randrange(len(body)), rng.randrange(8)
        damaged = bytearray(body)
        damaged[place] ^= 1 << bit
        wrong += judge(tmp_path / "damaged.db", damaged, truth, f"bit {bit} of byte {place}", counts)
    print(dict(counts))
    assert wrong == []
    assert counts["found"] > FLIPS // 20


def test_a_lost_end_is_found(tmp_path: Path, body: bytes) -> None:
    rng = random.Random(SEED)
    truth = look(tmp_path / "sound.db")
    sizes = {rng.randrange(1, len(body)) for _ in range(20)} | {*range(PAGE_BYTES, len(body), 5 * PAGE_BYTES)}
    counts: Counter[str] = Counter()
    for size in sizes:
        assert list(judge(tmp_path / "damaged.db", body[:size], truth, f"cut to {size} bytes", counts)) == []
    assert counts["found"] == len(sizes)
