"""The event loop that the services run on: uvloop where it is installed, asyncio's own everywhere else.

Owns the choice and nothing else. uvloop saves a step about a tenth of its time (decision 0010); nothing depends on
it, and HOLDFAST_UVLOOP=false switches it off. Workflows never see either: they run on a loop of their own
(``runtime_service/replay/loop.py``).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_OFF = frozenset(("0", "false", "no", "off"))


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a service until its main coroutine ends, as `asyncio.run` does."""
    if os.environ.get("HOLDFAST_UVLOOP", "").lower() in _OFF:
        return asyncio.run(main)
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main)
    return uvloop.run(main)
