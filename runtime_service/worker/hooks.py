"""Which open hooks this process has seen: token → where it lives and what it takes.

Saves ResumeHook a read. It is a hint and may be wrong at any time: the store decides whether a hook is open, and a
caller that was refused looks the token up there. Bounded; the oldest are forgotten first.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from holdfast.v1 import event_pb2

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

    def note(self, events: Iterable[event_pb2.Event]) -> None:
        """Take committed events in."""
        for event in events:
            if event.type == event_pb2.EVENT_TYPE_HOOK_CREATED:
                created = event.hook_created
                self._by_token[created.token] = HookAddress(event.run_id, event.correlation_id, created.payload_schema)
        while len(self._by_token) > _TOKENS_MAX:
            self._by_token.popitem(last=False)

    def find(self, token: str) -> HookAddress | None:
        """Return the hook last seen under a token."""
        return self._by_token.get(token)

    def forget(self, token: str) -> None:
        """Drop a token that the store refused."""
        self._by_token.pop(token, None)
