"""Sixteen clients of the guard storm, one process: `python -m tests.storms.guard_clients ADDRESS SEED OPERATIONS RUN…`.

Each client keeps, for some runs, the times of the log that it has loaded, and mixes facts (no guard) with decisions
that carry a snapshot: by time, by seq or both, of its newest copy or, on purpose, of an old one. What it was told goes
to stdout as pickled claims for the witness. A loaded log grows by the next seq only: from `interleaved` and `missed`.
"""

from __future__ import annotations

import asyncio
import pickle
import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import grpc
from ulid import ULID

from holdfast.errors import HoldfastError, SnapshotAhead, StaleSnapshot
from holdfast.v1 import event_pb2, payload_pb2, store_service_pb2, store_service_pb2_grpc
from holdfast.wire import from_rpc_error
from tests.checkers.witness import Claim, Outcome

Event = event_pb2.Event

CLIENTS = 16
RUNS_A_CLIENT = 3

#: Part of the decisions that are sent from an old copy on purpose, and how far back it may lie.
OLD_COPIES = 0.15
OLD_EVENTS_MAX = 6

#: An operation is tried this often while the server is busy; more is a storm that the machine cannot carry.
DEADLINE_SECONDS = 60.0


def fact(label: str) -> Event:
    """A value from outside: it moves the marker."""
    received = event_pb2.HookReceived(payload=payload_pb2.Payload(text="1"))
    return Event(writer=label, correlation_id="hook_#1", hook_received=received)


def note(label: str) -> Event:
    """Attributes set from outside, or decided: they never move the marker."""
    return Event(writer=label, attributes_set=event_pb2.AttributesSet(set={"last": label}))


def timer(label: str) -> Event:
    """A timer that a replay sets."""
    created = event_pb2.WaitCreated()
    created.resume_time.FromSeconds(4_000_000_000)
    return Event(writer=label, correlation_id=f"wait_{label}#1", wait_created=created)


#: What a client does, and how often: (weight, event, is it a decision).
KINDS: tuple[tuple[int, Callable[[str], Event], bool], ...] = (
    (2, fact, False),
    (2, note, False),
    (3, note, True),
    (3, timer, True),
)


@dataclass(slots=True)
class Copy:
    """A client's copy of one log: the time of each event that it has loaded; index 0 is the empty log."""

    run_id: str
    times: list[int] = field(default_factory=lambda: [0])

    @property
    def seq(self) -> int:
        return len(self.times) - 1

    def extend(self, events: Any) -> None:
        """Take the next events; what does not follow directly is left for later."""
        for event in events:
            if event.seq == self.seq + 1:
                self.times.append(ULID.from_str(event.event_id.removeprefix("evt_")).milliseconds)


class Client:
    """One client: its copies, its randomness, and what it was told."""

    def __init__(self, name: str, stub: Any, rng: random.Random, run_ids: list[str]) -> None:
        self.claims: list[tuple[str, Claim]] = []
        self._name = name
        self._stub = stub
        self._rng = rng
        self._copies = [Copy(run_id) for run_id in run_ids]

    async def run(self, operations: int) -> None:
        for copy in self._copies:
            await self._load(copy)
        for number in range(operations):
            await self._operate(self._rng.choice(self._copies), f"{self._name}-{number}")

    async def _operate(self, copy: Copy, label: str) -> None:
        _, make, is_decision = self._rng.choices(KINDS, weights=[weight for weight, _, _ in KINDS])[0]
        request = store_service_pb2.CreateEventRequest(run_id=copy.run_id, event=make(label))
        position = self._guard(request, copy) if is_decision else None
        is_strict = request.HasField("state_seq")
        if not is_decision and self._rng.random() < 0.5:
            request.delta_after_seq = copy.seq
        try:
            answer = await self._stub.CreateEvent(request, timeout=DEADLINE_SECONDS)
        except grpc.RpcError as error:
            refusal = from_rpc_error(error)
            claim = Claim(label, *self._refused(refusal), position, is_strict)
            await self._take_in(copy, refusal)
        else:
            claim = Claim(label, Outcome.ACCEPTED, answer.event.seq, position, is_strict)
            copy.extend([*answer.interleaved.events, answer.event])
        self.claims.append((copy.run_id, claim))

    def _guard(self, request: store_service_pb2.CreateEventRequest, copy: Copy) -> int:
        position = copy.seq
        if self._rng.random() < OLD_COPIES:
            position = max(1, position - self._rng.randint(1, OLD_EVENTS_MAX))
        guards = self._rng.choice(("time", "time", "seq", "both"))
        if guards != "seq":
            request.state_updated_at = copy.times[position]
        if guards != "time":
            request.state_seq = position
        return position

    def _refused(self, refusal: HoldfastError) -> tuple[Outcome, int]:
        if isinstance(refusal, SnapshotAhead):
            return Outcome.AHEAD, refusal.head_seq
        if isinstance(refusal, StaleSnapshot):
            return Outcome.STALE, refusal.head_seq
        raise refusal

    async def _take_in(self, copy: Copy, refusal: HoldfastError) -> None:
        missed = refusal.missed if isinstance(refusal, StaleSnapshot) else []
        copy.extend(event for event in missed if event.seq > copy.seq)
        if not missed or self._rng.random() < 0.05:
            await self._load(copy)

    async def _load(self, copy: Copy) -> None:
        while True:
            request = store_service_pb2.ListEventsRequest(run_id=copy.run_id, page_size=1000, after_seq=copy.seq)
            page = await self._stub.ListEvents(request, timeout=DEADLINE_SECONDS)
            copy.extend(page.events)
            if not page.next_page_token:
                return


def shares(total: int, parts: int) -> Iterator[int]:
    """Split a number of operations evenly."""
    for part in range(parts):
        yield total // parts + (part < total % parts)


async def storm(address: str, seed: int, operations: int, run_ids: list[str]) -> list[tuple[str, Claim]]:
    """Run all clients to their end and return everything that they were told."""
    async with grpc.aio.insecure_channel(address) as channel:
        stub = store_service_pb2_grpc.StoreServiceStub(channel)
        clients = []
        for number in range(CLIENTS):
            of_client = [run_ids[(number + step) % len(run_ids)] for step in range(RUNS_A_CLIENT)]
            clients.append(Client(f"c{number}", stub, random.Random(f"{seed}/{number}"), of_client))
        numbers = shares(operations, CLIENTS)
        await asyncio.gather(*(client.run(share) for client, share in zip(clients, numbers, strict=True)))
    return [claim for client in clients for claim in client.claims]


def main() -> None:
    address, seed, operations, *run_ids = sys.argv[1:]
    claims = asyncio.run(storm(address, int(seed), int(operations), run_ids))
    pickle.dump(claims, sys.stdout.buffer)


if __name__ == "__main__":
    main()
