"""How often Python's cycle collector works in a service, and on what.

Owns two settings, made once a service serves. What was loaded by then (70,000 objects of modules, classes and schemas)
lives as long as the process and is taken out of the collector's sight: a full collection took 40 ms of everybody's time
for nothing. And young objects are looked at after 5,000 of them instead of 700: a step makes dozens that are freed by
their counts before that. Memory does not grow by it: collections still happen, only in larger lots. Figures are in
decision 14. Not for programs that are not ours: a client's process keeps its own settings.
"""

from __future__ import annotations

import gc
from typing import Final

#: Objects made and not freed before the youngest are looked at.
_YOUNG_MAX: Final = 5_000


def settle() -> None:
    """Call it when the service is loaded and serves. Idempotent."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_MAX, *gc.get_threshold()[1:])
