"""Who is told of commits: the listeners of one engine.

Owns their list and the promise that one listener's error costs the others nothing. It knows no database; each engine
tells after its own commits, in their order. What is told: the notes of ``contract.py``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from store_service.engines.contract import Listener, Note

_log = logging.getLogger(__name__)


class Listeners:
    """The listeners of an engine, called on its event loop."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []

    def add(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener`` with the notes of each commit from now on; returns the way to stop. It must not raise."""
        self._listeners.append(listener)

        def stop() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return stop

    def tell(self, notes: Sequence[Note]) -> None:
        """Hand out the notes of a commit, if it left any."""
        if not notes:
            return
        for listener in tuple(self._listeners):
            try:
                listener(notes)
            except Exception:
                # The commit stands and the other listeners are owed their notes.
                _log.exception("a listener to commits raised")
