"""A draw: the mutants of a package that a seed chose, over all of its modules, before any of them was run.

Owns the choice and its file. A draw is made once and kept, by names that survive changes of the code around them, so
that the same mutants are judged after tests were written for those that lived. Every mutant of the package is as likely
as every other; no module is spared. Read ``report.py`` for what two draws tell that one does not.
"""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from tests.mutation.operators import Mutant, mutants_of
from tests.mutation.runner import modules_of, source_of

KEPT: Final = Path(".mutation")

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Draw:
    """``chosen``: module and change of each, in the order of their modules. ``of``: how many there were."""

    package: str
    seed: int
    commit: str
    of: int
    chosen: tuple[Key, ...]


def draw(package: str, seed: int, count: int) -> Draw:
    """Choose ``count`` mutants of a package, or return the draw that was made with this seed before."""
    path = KEPT / f"draw.{package}.{seed}.json"
    if not path.exists():
        keys = [(module, mutant.what) for module in modules_of(package) for mutant in _of(module)]
        chosen = sorted(random.Random(f"{package} {seed}").sample(keys, min(count, len(keys))))
        path.write_text(json.dumps(asdict(Draw(package, seed, _commit(), len(keys), tuple(chosen)))))
    return _read(path)


def kept_draws() -> list[Draw]:
    """Return every draw so far, by package and seed."""
    return sorted((_read(path) for path in KEPT.glob("draw.*.json")), key=lambda it: (it.package, it.seed))


def still_there(draw: Draw) -> Iterator[tuple[str, str, Mutant | None]]:
    """Return each mutant of a draw with its module, change and how to apply it; None when its code is gone."""
    now = {(module, it.what): it for module in modules_of(draw.package) for it in _of(module)}
    for module, what in draw.chosen:
        yield module, what, now.get((module, what))


def _of(module: str) -> list[Mutant]:
    return mutants_of(source_of(module)[1])


def _commit() -> str:
    return subprocess.run(
        ("git", "rev-parse", "--short", "HEAD"), capture_output=True, text=True, check=True
    ).stdout.strip()


def _read(path: Path) -> Draw:
    kept = json.loads(path.read_text())
    return Draw(**{**kept, "chosen": tuple((module, what) for module, what in kept["chosen"])})
