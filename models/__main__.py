"""``make model``: checks the model and prints what was looked at. Exits with 1 when a check is not as it must be.

``--faults N``: how many faults one history may hold (2 is what CI looks at; 3 needs some minutes and gigabytes).
"""

from __future__ import annotations

import argparse
import sys
import time

from models.spin import SAFEGUARDS, Found, check_progress, check_safety, is_available


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m models", description=__doc__)
    parser.add_argument("--faults", type=int, default=2, help="faults in one history (default 2)")
    faults = parser.parse_args().faults
    if not is_available():
        print("spin and gcc are needed: apt-get install spin gcc", file=sys.stderr)
        return 3
    is_well = _told(f"every safeguard, {faults} faults", lambda: check_safety(faults=faults, optimise="-O2"), "")
    is_well &= _told("when faults stop, the run ends, 1 fault", lambda: check_progress(faults=1), "")
    for switch, expected in SAFEGUARDS.items():
        is_well &= _told(switch, lambda: check_safety(faults=1, switches=(switch,), optimise="-O0"), expected)  # noqa: B023
    return 0 if is_well else 1


def _told(name: str, check: object, expected: str) -> bool:
    began = time.monotonic()
    found: Found = check()  # type: ignore[operator]
    is_well = (expected in found.error and bool(found.error)) if expected else (not found.error and found.is_complete)
    verdict = found.error or "no error"
    seconds = time.monotonic() - began
    print(
        f"{'as it must be' if is_well else 'WRONG':14} {name:42} {found.states:>10,} states {seconds:6.1f} s  {verdict}"
    )
    return is_well


if __name__ == "__main__":
    sys.exit(main())
