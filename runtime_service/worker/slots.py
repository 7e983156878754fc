"""How many step attempts run at once in this process, and who waits for one to end."""

from __future__ import annotations

from collections.abc import Callable


class Slots:
    """A counting limit whose waiters are told, all of them, when a slot is free again.

    A run that finds no slot simply asks again after being told: waiting holds nothing.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._taken = 0
        self._waiting: dict[int, Callable[[], None]] = {}

    @property
    def taken(self) -> int:
        return self._taken

    def take(self) -> bool:
        """Take a slot if one is free."""
        if self._taken >= self._count:
            return False
        self._taken += 1
        return True

    @property
    def are_taken(self) -> bool:
        """Whether none is free."""
        return self._taken >= self._count

    def exceed(self) -> None:
        """Take a slot whether one is free or not: for work that has begun already."""
        self._taken += 1

    def give_back(self) -> None:
        """Free a slot and tell everyone who waits."""
        self._taken -= 1
        waiting, self._waiting = self._waiting, {}
        for tell in waiting.values():
            tell()

    def tell_when_free(self, owner: object, tell: Callable[[], None]) -> None:
        """Call ``tell`` once when a slot is freed; once per owner, however often it asks."""
        self._waiting[id(owner)] = tell

    def forget(self, owner: object) -> None:
        """Stop telling this owner."""
        self._waiting.pop(id(owner), None)
