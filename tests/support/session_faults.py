"""What happens to the messages of a session between runtime and store: lost, told twice, cut in the middle.

A `Flow` sees every message of one stream in both directions and says what gets through; it raises `Broken` to end the
stream there. A message that is lost without an end of its stream is what no network does and a broken proxy might; who
waits for its answer gives the session up (``runtime_service/session.py``). ``rpc_proxy.py`` puts flows into the way.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, Protocol

from holdfast.v1 import session_service_pb2

#: Share of the messages to which something happens.
_SHARE: Final = 0.15


class Broken(Exception):
    """The stream ends here; its client hears that the server is not there."""


class Flow(Protocol):
    """What gets through of each message: nothing, the message, or others. Either may raise `Broken`."""

    def up(self, body: bytes) -> Iterable[bytes]: ...

    def down(self, body: bytes) -> Iterable[bytes]: ...


#: Makes the flow of a stream, by the name of its method.
Flows = Callable[[str], Flow]


class Passing:
    """Lets everything through."""

    def up(self, body: bytes) -> Iterable[bytes]:
        return [body]

    def down(self, body: bytes) -> Iterable[bytes]:
        return [body]


@dataclass
class CallsCut(Passing):
    """Now and then a message of calls comes through in part or not at all, and the stream ends."""

    rng: random.Random
    _then_breaks: bool = False

    def up(self, body: bytes) -> Iterable[bytes]:
        if self._then_breaks:
            raise Broken
        if self.rng.random() > _SHARE:
            return [body]
        self._then_breaks = True
        message = session_service_pb2.OpenSessionRequest.FromString(body)
        del message.calls[self.rng.randint(0, len(message.calls)) :]
        return [message.SerializeToString()]

    def down(self, body: bytes) -> Iterable[bytes]:
        # What was cut off is never answered: the end comes with the next answer, if no further call does it before.
        if self._then_breaks:
            raise Broken
        return [body]


@dataclass
class AnswersCut(Passing):
    """Now and then answers come through in part or not at all, and the stream ends: done, and not told."""

    rng: random.Random
    _then_breaks: bool = False

    def down(self, body: bytes) -> Iterable[bytes]:
        if self._then_breaks:
            raise Broken
        message = session_service_pb2.OpenSessionResponse.FromString(body)
        if not message.answers or self.rng.random() > _SHARE:
            return [body]
        self._then_breaks = True
        del message.answers[self.rng.randint(0, len(message.answers)) :]
        if not message.answers:
            raise Broken
        return [message.SerializeToString()]


@dataclass
class AnsweredTwice(Passing):
    """Answers come twice: at once, one by one in another order, or again after later ones."""

    rng: random.Random
    _before: list[bytes] = field(default_factory=list)

    def down(self, body: bytes) -> Iterable[bytes]:
        message = session_service_pb2.OpenSessionResponse.FromString(body)
        if message.HasField("opened"):
            return [body]
        apart = [
            session_service_pb2.OpenSessionResponse(answers=[answer]).SerializeToString() for answer in message.answers
        ]
        self.rng.shuffle(apart)
        again, self._before = self._before, [body]
        return [*apart, *again, body]


def _of_sessions(make: Callable[[], Flow]) -> Flows:
    return lambda method: make() if method.endswith("/OpenSession") else Passing()


def faulty_sessions(rng: random.Random, *kinds: Callable[[random.Random], Flow]) -> Flows:
    """Give every session one of these faults; other streams pass."""
    return _of_sessions(lambda: rng.choice(kinds)(rng))


@dataclass
class LosesAnswer(Passing):
    """Drops one message of answers, the ``count``-th of all streams that share it, and ends nothing."""

    count: int

    def down(self, body: bytes) -> Iterable[bytes]:
        if session_service_pb2.OpenSessionResponse.FromString(body).answers:
            self.count -= 1
            if self.count == 0:
                return []
        return [body]


def one_answer_lost(count: int) -> tuple[Flows, LosesAnswer]:
    """Lose the ``count``-th message of answers; the second value tells by ``count`` 0 or less that it is gone."""
    flow = LosesAnswer(count)
    return _of_sessions(lambda: flow), flow
