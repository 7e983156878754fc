"""Checks the model with spin: the whole state space, with every safeguard, and with one taken out at a time.

Owns the switches of the model and the reading of what spin says. A check is a process of its own in a directory of its
own: spin writes C, gcc compiles it, the program looks at every state. Read ``lease_guard.pml`` for what is checked.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MODEL: Final = Path(__file__).with_name("lease_guard.pml")

#: Seconds of one check, and the depth of a search: no path of the model is nearly as long.
SECONDS_MAX: Final = 300
_DEPTH: Final = 1_000_000

#: Switch of the model → what spin must find once this safeguard is out.
SAFEGUARDS: Final = {
    "WITHOUT_GUARD": "assertion violated",
    "WITHOUT_STATE_SEQ": "assertion violated",
    "WITHOUT_RISING_CLOCK": "assertion violated",
    "WITHOUT_FENCE": "assertion violated",
    "WITHOUT_GROUP_LEASE": "assertion violated",
    "WITHOUT_TERMINAL_ONCE": "assertion violated",
    "WITH_KEYS_THAT_OUTLIVE_DELIVERY": "invalid end state",
}


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found: distinct states looked at, steps between them, and the first error, "" for none."""

    states: int
    transitions: int
    error: str
    is_complete: bool


def is_available() -> bool:
    """Tell whether spin and a C compiler are here."""
    return shutil.which("spin") is not None and shutil.which("gcc") is not None


def check_safety(*, faults: int, switches: tuple[str, ...] = (), optimise: str = "-O1") -> Found:
    """Look at every reachable state: no assertion is violated and none is stuck. ``faults``: how many may happen."""
    defines = [f"-DFAULTS={faults}", *(f"-D{switch}" for switch in switches)]
    return _search(defines, [optimise, "-DSAFETY", "-DNOCLAIM"], [])


def check_progress(*, faults: int) -> Found:
    """Look for an endless history in which the run does not end although everybody who can act does."""
    # NFAIR: the number of processes, in words of bits.
    return _search([f"-DFAULTS={faults}"], ["-O1", "-DNFAIR=3"], ["-a", "-f"])


def _search(defines: list[str], compiling: list[str], searching: list[str]) -> Found:
    with tempfile.TemporaryDirectory(prefix="holdfast-model-") as directory:
        for command in (
            ["spin", "-a", *defines, str(MODEL)],
            ["gcc", "-w", *compiling, "-DVECTORSZ=2048", "-o", "pan", "pan.c"],
        ):
            subprocess.run(command, cwd=directory, check=True, capture_output=True, timeout=SECONDS_MAX)
        search = subprocess.run(
            ["./pan", f"-m{_DEPTH}", *searching],
            cwd=directory,
            check=False,
            capture_output=True,
            text=True,
            timeout=SECONDS_MAX,
        )
    return _read(search.stdout)


def _read(said: str) -> Found:
    errors = _number(r"errors: (\d+)", said)
    first = re.search(r"^pan:1: (.+)$", said, re.MULTILINE)
    return Found(
        states=_number(r"([\d.e+]+) states, stored", said),
        transitions=_number(r"([\d.e+]+) transitions", said),
        error=(first[1] if first else "an error without a name") if errors else "",
        is_complete="Search not completed" not in said and "max search depth too small" not in said,
    )


def _number(pattern: str, said: str) -> int:
    found = re.search(pattern, said)
    if found is None:
        raise RuntimeError(f"spin did not say {pattern!r}:\n{said}")
    return int(float(found[1]))
