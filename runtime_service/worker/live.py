"""The live replay of a held run: its instance, made when needed and dropped when it no longer equals the log.

Owns which events the instance has been told and which of them somebody has seen it react to, so that log lines of
workflows are not repeated. An instance is only ever an optimisation: it is made anew from the history at any time,
and ``replay_always`` drops it at every turn. It must never write.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final

from holdfast.v1 import event_pb2
from runtime_service.replay.instance import Instance
from runtime_service.worker.history import History
from runtime_service.worker.routing import workflow_of
from runtime_service.worker.surroundings import Surroundings

#: Events delivered before other runs of this process get a turn.
_SLICE: Final = 200


class LiveReplay:
    """The instance of one hold. ``left_over`` are decisions of it that did not fit into the last batch."""

    def __init__(self, around: Surroundings, history: History, instance: Instance | None) -> None:
        self.instance = instance
        self.left_over: deque[event_pb2.Event] = deque()
        self._around = around
        self._history = history
        #: Up to here somebody has seen the workflow react.
        self._reacted_seq = 0

    async def needed(self) -> Instance:
        """Return the instance, made from the history if need be. Raises NotRegistered and what a replay does."""
        if self.instance is None:
            workflow = workflow_of(self._around.registry, self._history.workflow_name, self._history.version)
            self.instance = Instance(workflow, self._history.run_id)
            self._reacted_seq = max(self._reacted_seq, self._history.decided_seq)
            await self.deliver(list(self._history.events))
        return self.instance

    async def deliver(self, events: Sequence[event_pb2.Event], *, are_own: bool = False) -> None:
        """Tell the instance, when there is one. ``are_own``: it asked for them itself, so they foretell nothing."""
        instance = self.instance
        if instance is None:
            return
        if not are_own:
            instance.foresee(events)
        for index, event in enumerate(events, start=1):
            instance.deliver(event, is_replayed=event.seq <= self._reacted_seq)
            self._reacted_seq = max(self._reacted_seq, event.seq)
            if index % _SLICE == 0:
                await asyncio.sleep(0)

    def drop(self) -> None:
        """Forget the instance, and what it had decided beyond the last batch."""
        self.left_over.clear()
        if self.instance is not None:
            self.instance.evict()
            self.instance = None
