"""The collector of a service looks at what is new, and still finds what nobody can reach."""

from __future__ import annotations

import subprocess
import sys
from typing import Final

PROGRAM: Final = """
import gc, weakref
from holdfast import Client, collector

class Knot: ...

def knot():
    it = Knot()
    it.itself = it
    return weakref.ref(it)

before = knot()
known = len(gc.get_objects())
collector.settle()
assert before() is None, "garbage from the start would have stayed for ever"
assert gc.get_freeze_count() > 10_000 and len(gc.get_objects()) < known / 20
after = knot()
gc.collect()
assert after() is None, "what is made later is collected as ever"
later = knot()
held = [[] for _ in range(5_100)]
assert later() is None, "and without being asked"
collector.settle()
"""


def test_a_settled_service_collects_what_is_new_and_nothing_else() -> None:
    subprocess.run([sys.executable, "-c", PROGRAM], check=True)
