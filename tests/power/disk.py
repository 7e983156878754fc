"""A disk as a contract: what may be left of writes that no sync confirmed when the power goes.

Owns the journal of a few files (writes, truncations, creations, deletions, syncs, in the order they were asked for)
and the set of states that a power cut may leave at any moment: everything that was synced, and of the rest any part,
each sector by itself. Dropping parts in every combination covers reordering too, for what the disk had not yet done
is the same as what it lost; a sector (512 bytes or 4 KiB) is what a disk writes whole. Space that a file gained
without a sync may hold anything. It knows nothing of SQLite. Read ``recording.py`` for who fills it, ``verdict.py``
for who judges.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Final, Literal

Sector = Literal[512, 4096]

#: Up to this many pieces in doubt every combination is tried.
EXHAUSTIVE_PIECES_MAX: Final = 6


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes for one place of a file."""

    file: str
    offset: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Truncate:
    """A new size of a file."""

    file: str
    size: int


@dataclass(frozen=True, slots=True)
class Create:
    """A name that was not there."""

    file: str


@dataclass(frozen=True, slots=True)
class Delete:
    """A name that goes."""

    file: str


@dataclass(frozen=True, slots=True)
class Sync:
    """The disk answered for everything of a file so far; ``with_names``: for every name in its directory too."""

    file: str
    with_names: bool = False


Change = Write | Truncate | Create | Delete
Files = dict[str, bytes]


@dataclass(slots=True)
class Disk:
    """What is certain (``durable``), and what was asked for since the last sync of each file, in order."""

    durable: dict[str, bytearray] = field(default_factory=dict)
    pending: list[Change] = field(default_factory=list)

    def ask(self, change: Change) -> None:
        """Take a change that no sync has confirmed yet."""
        self.pending.append(change)

    def sync(self, sync: Sync) -> None:
        """Make everything of one file certain, its own name included."""
        is_certain = [
            change.file == sync.file or (sync.with_names and isinstance(change, Create | Delete))
            for change in self.pending
        ]
        for change, certain in zip(self.pending, is_certain, strict=True):
            if certain:
                _apply(self.durable, change)
        self.pending = [it for it, certain in zip(self.pending, is_certain, strict=True) if not certain]

    def states(self, sector: Sector, samples: int, rng: random.Random) -> Iterator[Files]:
        """Yield what a power cut at this moment may leave: every combination when there are few, else a choice.

        The choice holds the extremes (all, nothing), each single piece lost or kept, and random ones, ``samples`` in
        all.
        """
        pieces = [piece for change in self.pending for piece in _sectors(change, sector)]
        for kept in _combinations(len(pieces), samples, rng):
            files = {name: bytearray(body) for name, body in self.durable.items()}
            for piece, is_kept in zip(pieces, kept, strict=True):
                if is_kept:
                    _apply(files, piece, rng)
            yield {name: bytes(body) for name, body in files.items()}


def _sectors(change: Change, sector: Sector) -> Iterator[Change]:
    """Cut a write at the borders of sectors; everything else is one piece."""
    if not isinstance(change, Write):
        yield change
        return
    end = change.offset + len(change.body)
    at = change.offset
    while at < end:
        border = min(end, (at // sector + 1) * sector)
        yield Write(change.file, at, change.body[at - change.offset : border - change.offset])
        at = border


def _combinations(count: int, samples: int, rng: random.Random) -> Iterator[Sequence[bool]]:
    if count <= EXHAUSTIVE_PIECES_MAX:
        yield from product((False, True), repeat=count)
        return
    yield [True] * count
    yield [False] * count
    for _ in range(max(0, samples - 2)):
        yield rng.choice((_but_one, _only_one, _prefix, _random))(count, rng)


def _but_one(count: int, rng: random.Random) -> list[bool]:
    lost = rng.randrange(count)
    return [place != lost for place in range(count)]


def _only_one(count: int, rng: random.Random) -> list[bool]:
    kept = rng.randrange(count)
    return [place == kept for place in range(count)]


def _prefix(count: int, rng: random.Random) -> list[bool]:
    end = rng.randrange(count)
    return [place < end for place in range(count)]


def _random(count: int, rng: random.Random) -> list[bool]:
    share = rng.random()
    return [rng.random() < share for _ in range(count)]


def _apply(files: dict[str, bytearray], change: Change, rng: random.Random | None = None) -> None:
    if isinstance(change, Delete):
        files.pop(change.file, None)
        return
    body = files.setdefault(change.file, bytearray())
    if isinstance(change, Truncate):
        del body[change.size :]
        body.extend(bytes(change.size - len(body)))
    elif isinstance(change, Write):
        gap = change.offset - len(body)
        if gap > 0:
            # Nobody wrote there, or what was written got lost: zeros, or whatever lay on the disk before.
            body.extend(rng.randbytes(gap) if rng is not None and rng.random() < 0.5 else bytes(gap))
        body[change.offset : change.offset + len(change.body)] = change.body
