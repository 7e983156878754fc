"""Ids that are paths: (task path, name, n-th call there), never a global counter.

A branch that makes one more call renames nothing in any other branch, so changed code diverges where it changed and
nowhere else. The root task has the path "", its k-th child "k/", and so on; ``step_2/charge#1`` is the first call of
``charge`` in the second task that the workflow started. Pure.
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from typing import Final

from runtime_service.replay.limits import ENTITY_ID_CHARS_MAX

#: "/" and "#" are legal in ids but not in names: a step named "1/x" must not meet step "x" of task 1.
_FOREIGN: Final = re.compile(r"[^A-Za-z0-9_.:-]")

_DIGEST_CHARS: Final = 24


class Scope:
    """Hands out the ids of what one task creates, in order of its calls."""

    __slots__ = ("_calls", "_children", "path")

    def __init__(self, path: str = "") -> None:
        self.path = path
        self._children = 0
        self._calls: dict[str, int] = {}

    def child(self) -> Scope:
        """Return the scope of the next task that this task starts."""
        self._children += 1
        return Scope(f"{self.path}{self._children}/")

    def step_id(self, name: str) -> str:
        return self._next("step_", _plain(name))

    def child_run_id(self) -> str:
        """Return what tells the child runs of a run apart; it is no id of an entity."""
        return self._next("run_", "")

    def patch_call_id(self, name: str) -> str:
        """Return what tells the calls of ``patched`` apart; it is no id of an entity."""
        return self._next("patch_", _plain(name))

    def hook_id(self) -> str:
        return self._next("hook_", "")

    def wait_id(self) -> str:
        return self._next("wait_", "")

    def _next(self, prefix: str, name: str) -> str:
        key = prefix + name
        count = self._calls[key] = self._calls.get(key, 0) + 1
        return _fitted(f"{prefix}{self.path}{name}#{count}")


@lru_cache(maxsize=4096)
def _plain(name: str) -> str:
    return _FOREIGN.sub("_", name)


def _fitted(entity_id: str) -> str:
    if len(entity_id) <= ENTITY_ID_CHARS_MAX:
        return entity_id
    digest = hashlib.sha256(entity_id.encode()).hexdigest()[:_DIGEST_CHARS]
    return f"{entity_id[: ENTITY_ID_CHARS_MAX - _DIGEST_CHARS - 1]}-{digest}"
