"""What can happen in a simulation, and what it does: the moves of two runtimes, of the world outside, and of time.

Owns the state of a simulation and its moves. A move of a runtime is what a `Hold` does between two awaits, and names
the code that it follows; the store's part of it is one transaction of the real rules. A fault is a move too. Read
``explorer.py`` for the order in which moves are made.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from holdfast.errors import HoldfastError
from holdfast.refusal import Refusal
from holdfast.v1 import event_pb2, payload_pb2
from runtime_service.worker import writer
from runtime_service.worker.history import TERMINAL_TYPES
from store_service.rules.append import Append, Appended
from store_service.rules.contents import content
from tests.simulation import verdicts
from tests.simulation.desk import BEGIN_MS, QUEUE, RUN, Desk
from tests.simulation.player import Decided, Mind, Player
from tests.simulation.shapes import Log, Shape
from tests.simulation.verdicts import Wrong

Event = event_pb2.Event

#: What the runtime derives again from a longer log (``writer._REDERIVE``); the other answers end its hold.
_REDERIVED: Final = ("STALE_SNAPSHOT", "ILLEGAL_TRANSITION", "ENTITY_EXISTS", "ENTITY_NOT_FOUND", "RETRY_TOO_EARLY")


@dataclass(frozen=True, slots=True)
class State:
    """A moment. ``log`` is what the store holds; ``digests`` stands for each prefix of it; ``values``: how many were
    sent; ``faults``: how many happened."""

    players: tuple[Player, ...]
    log: tuple[Event, ...] = ()
    digests: tuple[object, ...] = ("",)
    now_ms: int = BEGIN_MS
    values: int = 0
    is_cancel_sent: bool = False
    faults: int = 0

    def with_player(self, changed: Player) -> State:
        return replace(self, players=tuple(changed if it.name == changed.name else it for it in self.players))

    def with_log(self, events: Sequence[Event]) -> State:
        digests = list(self.digests)
        for event in events:
            stamps = event.create_time.ToMilliseconds(), event.occur_time.ToMilliseconds()
            digests.append(hash((digests[-1], event.seq, event.origin, stamps, content(event))))
        return replace(self, log=(*self.log, *events), digests=tuple(digests))

    @property
    def is_ended(self) -> bool:
        return bool(self.log) and self.log[-1].type in TERMINAL_TYPES


class Moves:
    """The moves of one shape with a bound on faults. ``make`` changes the desk; whoever wants to go back takes care."""

    def __init__(self, shape: Shape, faults_max: int, desk: Desk, mind: Mind) -> None:
        self.refusals: Counter[str] = Counter()
        self._shape = shape
        self._faults_max = faults_max
        self._desk = desk
        self._mind = mind

    def opening(self, workflow_name: str) -> State:
        """Create the run, and return the moment after."""
        created = event_pb2.RunCreated(workflow_name=workflow_name, wake_queue=QUEUE)
        state = State(players=(Player("r0"), Player("r1")))
        return self._append(state, Append(RUN, [Event(run_created=created)]))[0]

    def candidates(self, state: State) -> Iterator[str]:
        """Return the moves that may be possible now, and all that are."""
        may_fail = state.faults < self._faults_max
        for player in state.players:
            if player.receipt:
                yield from self._moves_of_holder(state, player, may_fail)
            elif player.name == "r0" or state.players[0].receipt:
                # Two idle runtimes are alike: whatever the second could do, the first can.
                yield f"{player.name}.take"
        yield from self._moves_from_outside(state, may_fail)

    def _moves_of_holder(self, state: State, player: Player, may_fail: bool) -> Iterator[str]:
        name = player.name
        is_held = self._desk.is_held(player.receipt)
        if player.lost is not None:
            yield f"{name}.again"
        else:
            yield f"{name}.turn"
            yield from (f"{name}.ends:{step_id}" for step_id, _ in player.attempts)
            if player.known < len(state.log):
                yield f"{name}.push"
            if not is_held:
                yield f"{name}.drop"
        if may_fail:
            yield f"{name}.crash"
            if is_held and not self._is_over(state, player.receipt):
                yield f"{name}.pause"
            if player.lost is None:
                yield f"{name}.turn-unheard"

    def _is_over(self, state: State, receipt: str) -> bool:
        row = self._desk.tx.leased_message(receipt)
        return row is None or (row.lease_expire_ms or 0) <= state.now_ms

    def _moves_from_outside(self, state: State, may_fail: bool) -> Iterator[str]:
        if not state.is_ended and state.values < len(self._shape.values) and _open_hook(state.log):
            yield "outside.value"
        if may_fail and state.values:
            yield "outside.value-again"
        if not state.is_ended and self._shape.may_be_cancelled and not state.is_cancel_sent:
            yield "outside.cancel"
        if self._next_time(state) is not None:
            yield "outside.time"

    def _next_time(self, state: State) -> int | None:
        """When something falls due next: a message, a deadline, a retry."""
        messages = [it.deliver_ms for it in self._desk.messages()]
        times = [*messages, *_deadlines(state.log)]
        return min((it for it in times if it > state.now_ms), default=None)

    def make(self, state: State, move: str) -> State | None:
        """Return the state after a move; None when it cannot be made."""
        who, _, what = move.partition(".")
        if who == "outside":
            return _OUTSIDE[what](self, state)
        player = next(it for it in state.players if it.name == who)
        what, _, detail = what.partition(":")
        return _MOVES[what](self, state, player, detail)

    def _take(self, state: State, player: Player, _: str) -> State | None:
        receipt = self._desk.claim(state.now_ms)
        if not receipt:
            return None
        others = [it.receipt for it in state.players if it.receipt]
        if any(self._desk.is_held(other) for other in others):
            raise Wrong("two runtimes hold the run at once")
        return state.with_player(replace(player, receipt=receipt, known=len(state.log)))

    def _decided(self, state: State, player: Player) -> Decided | None:
        """Return what the player decides; None when its replay stops at what it has, which is for who holds the run."""
        try:
            return self._mind.decide(player, state.log, state.digests[player.known], state.now_ms)
        except HoldfastError as error:
            if self._desk.is_held(player.receipt):
                kinds = [f"{it.WhichOneof('attributes')} {it.correlation_id}".strip() for it in state.log]
                raise Wrong(f"{error}\nlog: {', '.join(kinds)}") from error
            return None

    def _turn(self, state: State, player: Player, _: str) -> State | None:
        if player.is_refused:
            return self._settle_next(state, player)
        if state.log[player.known - 1].type in TERMINAL_TYPES:
            self._desk.acknowledge(player.receipt, state.now_ms)
            return state.with_player(Player(player.name))
        decided = self._decided(state, player)
        if decided is None:
            # As Hold._park: what it still writes is refused by the fence, and that is the end of the hold.
            return state.with_player(Player(player.name))
        if decided.request is not None:
            return self._write(state, player, decided)
        return None if player.attempts else self._let_go(state, player, decided)

    def _turn_unheard(self, state: State, player: Player, _: str) -> State | None:
        """The write arrives, its answer does not."""
        if player.is_refused:
            return None
        decided = self._decided(state, player)
        if decided is None or decided.request is None:
            return None
        state = replace(state, faults=state.faults + 1)
        after, answer = self._append(state, _append_of(decided, player.receipt), player)
        if isinstance(answer, Refusal):
            return None
        return after.with_player(replace(player, lost=decided))

    def _again(self, state: State, player: Player, _: str) -> State | None:
        assert player.lost is not None
        return self._write(state, replace(player, lost=None), player.lost)

    def _write(self, state: State, player: Player, decided: Decided) -> State:
        state, answer = self._append(state, _append_of(decided, player.receipt), player)
        if isinstance(answer, Appended):
            return self._written(state, player, decided)
        if answer.reason not in _REDERIVED:
            return self._end_hold(state, player, answer)
        own = writer._find(decided.batch.events, state.log[player.known :])
        if own:
            return self._written(state, player, decided)
        left = tuple(it.SerializeToString() for it in decided.batch.outcomes)
        return state.with_player(replace(player, known=len(state.log), outcomes=left, is_refused=bool(left)))

    def _written(self, state: State, player: Player, decided: Decided) -> State:
        if decided.batch.ends_the_run:
            return state.with_player(Player(player.name))
        begun = tuple((it.step.step_id, it.event.step_started.attempt) for it in decided.batch.starts)
        after = replace(player, known=len(state.log), attempts=tuple(sorted((*player.attempts, *begun))), outcomes=())
        return state.with_player(after)

    def _settle_next(self, state: State, player: Player) -> State:
        """Write one result alone, as ``Writer.settle`` does; a result that its step does not allow is dropped."""
        first, rest = player.outcomes[0], player.outcomes[1:]
        request = Append(RUN, [Event.FromString(first)], held_receipts=[player.receipt], delta_after_seq=player.known)
        state, answer = self._append(state, request, player)
        if isinstance(answer, Refusal) and answer.reason not in _REDERIVED:
            return self._end_hold(state, player, answer)
        return state.with_player(replace(player, known=len(state.log), outcomes=rest, is_refused=bool(rest)))

    def _end_hold(self, state: State, player: Player, refusal: Refusal) -> State:
        if refusal.reason == "RUN_TERMINAL":
            self._desk.acknowledge(player.receipt, state.now_ms)
        elif refusal.reason != "LEASE_LOST":
            raise Wrong(f"the store answered {refusal.reason}: {refusal.message}")
        return state.with_player(Player(player.name))

    def _let_go(self, state: State, player: Player, decided: Decided) -> State:
        if decided.due_ms is not None:
            self._desk.give_back(player.receipt, max(0, decided.due_ms - state.now_ms), state.now_ms)
        else:
            self._desk.acknowledge(player.receipt, state.now_ms)
        return state.with_player(Player(player.name))

    def _ends(self, state: State, player: Player, step_id: str) -> State:
        attempt = dict(player.attempts)[step_id]
        left = tuple(it for it in player.attempts if it[0] != step_id)
        outcome = _outcome(self._shape, step_id, attempt, state.now_ms)
        outcomes = (*player.outcomes, outcome.SerializeToString())
        return state.with_player(replace(player, attempts=left, outcomes=outcomes))

    def _push(self, state: State, player: Player, _: str) -> State:
        return state.with_player(replace(player, known=len(state.log)))

    def _drop(self, state: State, player: Player, _: str) -> State:
        return state.with_player(Player(player.name))

    def _crash(self, state: State, player: Player, _: str) -> State:
        """The process dies; its lease ends before anybody can notice anything else."""
        self._desk.end_lease(player.receipt, state.now_ms)
        return replace(state, faults=state.faults + 1).with_player(Player(player.name))

    def _pause(self, state: State, player: Player, _: str) -> State:
        """The lease ends although its holder lives."""
        self._desk.end_lease(player.receipt, state.now_ms)
        return replace(state, faults=state.faults + 1)

    def _value(self, state: State) -> State:
        sent = replace(state, values=state.values + 1)
        after, answer = self._append(sent, self._value_request(state.log, sent.values))
        if isinstance(answer, Refusal):
            raise Wrong(f"a value for an open hook was refused: {answer.message}")
        return after

    def _value_again(self, state: State) -> State:
        """The sender did not hear the answer and sends the newest value again."""
        state = replace(state, faults=state.faults + 1)
        after, answer = self._append(state, self._value_request(state.log, state.values))
        if isinstance(answer, Refusal) or not answer.deduplicated or len(after.log) != len(state.log):
            raise Wrong(f"a value sent again was not told its first answer: {answer}")
        return after

    def _value_request(self, log: Log, number: int) -> Append:
        hook_id = next(it.correlation_id for it in log if it.HasField("hook_created"))
        payload = payload_pb2.Payload(text=f'"{self._shape.values[number - 1]}"')
        received = event_pb2.HookReceived(payload=payload)
        event = Event(correlation_id=hook_id, hook_received=received)
        return Append(RUN, [event], request_id=f"value-{number}")

    def _cancel(self, state: State) -> State:
        event = Event(run_cancel_requested=event_pb2.RunCancelRequested(reason="enough"))
        return self._append(replace(state, is_cancel_sent=True), Append(RUN, [event]))[0]

    def _time(self, state: State) -> State | None:
        until_ms = self._next_time(state)
        if until_ms is None:
            return None
        alive = [it.receipt for it in state.players if it.receipt and not self._is_over(state, it.receipt)]
        for receipt in alive:
            self._desk.renew(receipt, until_ms)
        return replace(state, now_ms=until_ms)

    def _append(self, state: State, request: Append, player: Player | None = None) -> tuple[State, Appended | Refusal]:
        """Append, judge the answer, and take what was committed into the state."""
        is_held = player is None or self._desk.is_held(player.receipt)
        answer = self._desk.append(request, state.now_ms)
        after = state.with_log(self._desk.log_after(len(state.log)))
        problem = verdicts.of_an_answer(state.log, after.log, request, answer, is_held)
        if problem:
            raise Wrong(problem)
        if isinstance(answer, Refusal):
            self.refusals[answer.reason] += 1
        return after, answer


def _append_of(decided: Decided, receipt: str) -> Append:
    request = decided.request
    assert request is not None
    return Append(
        request.run_id,
        list(request.events),
        state_updated_at=request.state_updated_at if request.HasField("state_updated_at") else None,
        state_seq=request.state_seq if request.HasField("state_seq") else None,
        delta_after_seq=request.delta_after_seq if request.HasField("delta_after_seq") else None,
        ack_receipts=[receipt] * len(request.ack_receipts),
        held_receipts=[receipt] * len(request.held_receipts),
    )


def _outcome(shape: Shape, step_id: str, attempt: int, now_ms: int) -> Event:
    """What an attempt leaves behind: its step's name as the result, or a retry a minute later."""
    name = next(it for it in _STEPS if it in step_id)
    event = Event(correlation_id=step_id)
    event.occur_time.FromMilliseconds(now_ms)
    if attempt <= shape.failures.get(name, 0):
        event.step_retrying.attempt = attempt
        event.step_retrying.failure.type = "ValueError"
        event.step_retrying.retry_time.FromMilliseconds(now_ms + 60_000)
    else:
        event.step_completed.attempt = attempt
        event.step_completed.output.text = f'"{name.removeprefix("simulated_")}"'
    return event


_STEPS: Final = ("simulated_a", "simulated_b", "simulated_once", "simulated_flaky", "simulated_undo")


def _open_hook(log: Log) -> bool:
    opened = {it.correlation_id for it in log if it.HasField("hook_created")}
    return bool(opened - {it.correlation_id for it in log if it.HasField("hook_disposed")})


def _deadlines(log: Log) -> Iterator[int]:
    """When the open waits of a log, and the retries that have not begun, are due."""
    due: dict[str, int] = {}
    for event in log:
        if event.HasField("wait_created"):
            due[event.correlation_id] = event.wait_created.resume_time.ToMilliseconds()
        elif event.HasField("step_retrying"):
            due[event.correlation_id] = event.step_retrying.retry_time.ToMilliseconds()
        elif event.WhichOneof("attributes") in ("wait_completed", "step_started"):
            due.pop(event.correlation_id, None)
    if not log or log[-1].type not in TERMINAL_TYPES:
        yield from due.values()


_MOVES: Final[Mapping[str, Callable[[Moves, State, Player, str], State | None]]] = {
    "take": Moves._take,
    "turn": Moves._turn,
    "turn-unheard": Moves._turn_unheard,
    "again": Moves._again,
    "ends": Moves._ends,
    "push": Moves._push,
    "drop": Moves._drop,
    "crash": Moves._crash,
    "pause": Moves._pause,
}
_OUTSIDE: Final[Mapping[str, Callable[[Moves, State], State | None]]] = {
    "value": Moves._value,
    "value-again": Moves._value_again,
    "cancel": Moves._cancel,
    "time": Moves._time,
}
