"""Every schedule of a small run: two runtimes, a store, facts from outside, and faults, in every order that there is.

A *schedule* is one sequence of moves from the creation of the run to the moment in which nothing can happen any more.
States that are alike are looked at once: what follows from them is the same, so the schedules through them are counted,
not repeated. What must hold is ``verdicts.py``, what can happen ``moves.py``. A schedule is named by its moves, and
``replay`` plays it again; ``walk`` plays one that a seed chooses.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.simulation import verdicts
from tests.simulation.desk import Desk
from tests.simulation.moves import Moves, State
from tests.simulation.player import Mind
from tests.simulation.shapes import SHAPES
from tests.simulation.verdicts import Broken, Wrong


@dataclass(slots=True)
class Totals:
    """What an exploration looked at."""

    schedules: int = 0
    states: int = 0
    moves: int = 0
    refusals: Mapping[str, int] = field(default_factory=dict)


class Simulation:
    """One shape with a bound on faults. ``explore`` looks at every schedule, ``walk`` at one by a seed."""

    def __init__(self, shape: str, faults: int) -> None:
        self.name = shape
        self.totals = Totals()
        self._shape = SHAPES[shape]
        self._desk = Desk()
        self._mind = Mind(self._shape)
        self._moves = Moves(self._shape, faults, self._desk, self._mind)
        self._counts: dict[object, int] = {}
        self._path: list[str] = []
        self._open: set[object] = set()

    def close(self) -> None:
        self._desk.close()

    def explore(self) -> Totals:
        """Look at every schedule. Raises Broken with the schedule that broke a promise."""
        with self._desk.moment():
            self.totals.schedules = self._visit(self._moves.opening(f"simulated_{self.name}"))
        self.totals.states = len(self._counts)
        self.totals.refusals = self._moves.refusals
        return self.totals

    def walk(self, seed: int) -> Sequence[str]:
        """Play one schedule that a seed chooses, and return it. Raises Broken."""
        chooser = random.Random(f"{self.name} {seed}")
        return self._play(lambda moves: chooser.choice(moves))

    def replay(self, schedule: Sequence[str]) -> Sequence[str]:
        """Play a schedule again, as far as it goes, then the first move that is possible. Raises Broken."""
        left = iter(schedule)
        return self._play(lambda moves: next(left, moves[0]))

    def _play(self, choose: Callable[[Sequence[str]], str]) -> Sequence[str]:
        self._path = []
        with self._desk.moment():
            state = self._moves.opening(f"simulated_{self.name}")
            while moves := [move for move in self._moves.candidates(state) if self._is_possible(state, move)]:
                move = choose(moves)
                self._path.append(move)
                after = self._make(state, move)
                if after is None:
                    raise ValueError(f"{move} is not possible after {' '.join(self._path[:-1])}; possible: {moves}")
                state = after
            self._judge_end(state)
        return self._path

    def _is_possible(self, state: State, move: str) -> bool:
        with self._desk.moment():
            return self._make(state, move) is not None

    def _visit(self, state: State) -> int:
        """Return how many schedules go on from here."""
        key = self._key(state)
        if key in self._counts:
            return self._counts[key]
        if key in self._open:
            raise Broken(self.name, self._path, "the same moment comes again: a schedule without an end")
        self._open.add(key)
        count = 0
        for move in self._moves.candidates(state):
            self._path.append(move)
            with self._desk.moment():
                after = self._make(state, move)
                if after is not None:
                    self.totals.moves += 1
                    count += self._visit(after)
            self._path.pop()
        if not count:
            self._judge_end(state)
            count = 1
        self._open.discard(key)
        self._counts[key] = count
        return count

    def _judge_end(self, state: State) -> None:
        problems = verdicts.of_the_end(self._desk, self._mind, self._shape, state.log)
        if problems:
            raise Broken(self.name, self._path, "; ".join(problems))

    def _make(self, state: State, move: str) -> State | None:
        try:
            return self._moves.make(state, move)
        except Wrong as wrong:
            raise Broken(self.name, self._path, str(wrong)) from wrong

    def _key(self, state: State) -> object:
        holders = {it.receipt: it.name for it in state.players if it.receipt}
        messages = tuple(
            (it.state, it.deliver_ms, holders.get(it.receipt, ""), (it.lease_expire_ms or 0) <= state.now_ms)
            for it in self._desk.messages()
        )
        memories = tuple(it.memory for it in state.players)
        outside = state.now_ms, state.values, state.is_cancel_sent, state.faults
        return state.digests[-1], memories, messages, outside
