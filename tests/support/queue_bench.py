"""The rules of the queue on a real engine, with a clock that the test moves: no server, no waiting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from holdfast.v1 import queue_service_pb2 as api
from store_service.engines.contract import Engine, MessageRow
from store_service.rules import clock, leases, queue

QUEUE = "mail"
LEASE_MS = 30_000


def new_message(text: str = "hello", **fields: Any) -> api.NewQueueMessage:
    """Build a message for `QUEUE`; ``due_ms`` is its deliver_time in epoch milliseconds."""
    due_ms = fields.pop("due_ms", None)
    message = api.NewQueueMessage(queue=fields.pop("queue", QUEUE), **fields)
    message.payload.text = f'"{text}"'
    if due_ms is not None:
        message.deliver_time.CopyFrom(clock.to_timestamp(due_ms))
    return message


def text_of(leased: api.LeasedMessage) -> str:
    return leased.message.payload.text.strip('"')


@dataclass
class Bench:
    """One rule a method, each in a transaction of its own at ``now_ms``."""

    engine: Engine
    now_ms: int

    async def send(self, text: str = "hello", **fields: Any) -> tuple[str, bool]:
        return await self.engine.write(lambda tx: queue.enqueue(tx, new_message(text, **fields), self.now_ms))

    async def claim(self, limit: int = 10, *queues: str, lease_ms: int = LEASE_MS) -> list[api.LeasedMessage]:
        return await self.engine.write(lambda tx: queue.claim(tx, queues or [QUEUE], limit, lease_ms, self.now_ms))

    async def claim_one(self) -> api.LeasedMessage:
        (leased,) = await self.claim(1)
        return leased

    async def texts(self, limit: int = 10) -> list[str]:
        """Claim and return the bodies only."""
        return [text_of(leased) for leased in await self.claim(limit)]

    async def ack(self, *receipts: str) -> list[api.LeaseResult]:
        return await self.engine.write(lambda tx: leases.ack_many(tx, receipts, self.now_ms))

    async def nack(self, receipt: str, **wish: Any) -> api.LeaseResult:
        wanted = leases.GiveBack(**{"action": api.NACK_ACTION_UNSPECIFIED, **wish})
        (result,) = await self.engine.write(lambda tx: leases.nack_many(tx, [receipt], wanted, self.now_ms))
        return result

    async def extend(self, receipt: str, lease_ms: int | None = None) -> api.LeaseResult:
        (result,) = await self.engine.write(lambda tx: leases.extend_many(tx, [receipt], lease_ms, self.now_ms))
        return result

    async def row(self, message_id: str) -> MessageRow:
        found = await self.engine.read(lambda reader: reader.message(message_id))
        assert found is not None
        return found
