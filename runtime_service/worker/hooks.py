"""Which open hooks this process has seen: token → where it lives and what it takes.

Saves ResumeHook a read. It is a hint and may be wrong at any time: the store decides whether a hook is open, and a
caller that was refused looks the token up there. Hooks are forgotten with the end of their run, where it is written
here; what is left is bounded, and the oldest are forgotten first.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from holdfast.v1 import event_pb2
from runtime_service.worker.history import TERMINAL_TYPES

_TOKENS_MAX: Final = 10_000


@dataclass(frozen=True, slots=True)
class HookAddress:
    """Where a hook lives, and the JSON Schema of its values ("" takes any)."""

    run_id: str
    hook_id: str
    payload_schema: str = ""


class HookDirectory:
    """The hooks that runs held here opened."""

    def __init__(self) -> None:
        self._by_token: OrderedDict[str, HookAddress] = OrderedDict()
        self._of_run: dict[str, set[str]] = {}

    def note(self, events: Iterable[event_pb2.Event]) -> None:
        """Take committed events in."""
        for event in events:
            if event.type == event_pb2.EVENT_TYPE_HOOK_CREATED:
                self._add(event.hook_created, event)
            elif event.type in TERMINAL_TYPES:
                for token in list(self._of_run.get(event.run_id, ())):
                    self.forget(token)
        while len(self._by_token) > _TOKENS_MAX:
            self.forget(next(iter(self._by_token)))

    def find(self, token: str) -> HookAddress | None:
        """Return the hook last seen under a token."""
        return self._by_token.get(token)

    def forget(self, token: str) -> None:
        """Drop a token that the store refused."""
        found = self._by_token.pop(token, None)
        if found is not None:
            tokens = self._of_run[found.run_id]
            tokens.discard(token)
            if not tokens:
                del self._of_run[found.run_id]

    def _add(self, created: event_pb2.HookCreated, event: event_pb2.Event) -> None:
        self.forget(created.token)
        self._by_token[created.token] = HookAddress(event.run_id, event.correlation_id, created.payload_schema)
        self._of_run.setdefault(event.run_id, set()).add(created.token)
