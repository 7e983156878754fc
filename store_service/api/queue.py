"""QueueService, all but its stream: send, receive, settle, look.

Owns checks and answers. Receiving goes through ``delivery.py``, which claims for everyone; what a claim or a receipt
means is ``rules/queue.py`` and ``rules/leases.py``. The stream is ``consume.py``.
"""

from __future__ import annotations

from typing import Final

from holdfast.refusal import invalid_field
from holdfast.v1 import payload_pb2
from holdfast.v1 import queue_service_pb2 as api
from store_service import limits
from store_service.api import checks, queue_checks
from store_service.api.parts import Context, Parts
from store_service.rules import cursors, leases, queue, queue_reading, views
from store_service.rules.reading import page_size

#: `last_reason` of a message is for people.
_REASON_CHARS_MAX: Final = limits.REASON_CHARS_MAX


class QueueApi:
    """The unary methods of QueueService."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def Enqueue(self, request: api.EnqueueRequest, context: Context) -> api.EnqueueResponse:
        queue_checks.check_messages([request.message], lambda index: "message")
        queue_checks.check_message_sizes([request.message], lambda index: "message")
        now_ms = self._parts.clock()
        sent = await self._parts.engine.write(lambda tx: queue.enqueue(tx, request.message, now_ms))
        return _enqueued(sent)

    async def EnqueueBatch(self, request: api.EnqueueBatchRequest, context: Context) -> api.EnqueueBatchResponse:
        if not request.messages:
            raise invalid_field("messages", "is empty; send at least one message")
        queue_checks.check_messages(request.messages, lambda index: f"messages[{index}]")
        queue_checks.check_message_sizes(request.messages, lambda index: f"messages[{index}]")
        now_ms = self._parts.clock()
        sent = await self._parts.engine.write(
            lambda tx: [queue.enqueue(tx, message, now_ms) for message in request.messages]
        )
        return api.EnqueueBatchResponse(results=[_enqueued(one) for one in sent])

    async def ReceiveMessages(
        self, request: api.ReceiveMessagesRequest, context: Context
    ) -> api.ReceiveMessagesResponse:
        wish = queue_checks.wish(request)
        limit = min(checks.natural(request.max_messages, "max_messages") or 1, limits.RECEIVE_MESSAGES_MAX)
        wait_ms = queue_checks.bounded_ms(request, "wait", "wait", 0, limits.RECEIVE_WAIT_MS_MAX, 0)
        messages = await self._parts.delivery.take(
            wish.queues, limit=limit, lease_ms=wish.lease_ms, wait_seconds=wait_ms / 1000
        )
        left_seconds = context.time_remaining()
        if messages and left_seconds is not None and left_seconds <= 0:
            # The caller's deadline passed while the claim committed; grpc would send to nobody and tell nobody.
            await self._parts.delivery.release([message.receipt for message in messages])
        return api.ReceiveMessagesResponse(messages=messages)

    async def AckMessages(self, request: api.AckMessagesRequest, context: Context) -> api.AckMessagesResponse:
        return api.AckMessagesResponse(results=await ack(self._parts, request))

    async def NackMessages(self, request: api.NackMessagesRequest, context: Context) -> api.NackMessagesResponse:
        return api.NackMessagesResponse(results=await nack(self._parts, request))

    async def ExtendLeases(self, request: api.ExtendLeasesRequest, context: Context) -> api.ExtendLeasesResponse:
        return api.ExtendLeasesResponse(results=await extend(self._parts, request))

    async def GetQueue(self, request: api.GetQueueRequest, context: Context) -> api.GetQueueResponse:
        name = checks.queue_name(request.queue, "queue")
        now_ms = self._parts.clock()
        found = await self._parts.engine.read(lambda reader: queue_reading.get_queue(reader, name, now_ms))
        return api.GetQueueResponse(queue=found)

    async def ListQueues(self, request: api.ListQueuesRequest, context: Context) -> api.ListQueuesResponse:
        checks.page(request)
        scope, size = cursors.scope_of(request), page_size(request.page_size)
        key = cursors.read_page_token(request.page_token, scope)
        after, now_ms = str(key[0]) if key else "", self._parts.clock()
        found = await self._parts.engine.read(
            lambda reader: queue_reading.list_queues(reader, after=after, limit=size + 1, now_ms=now_ms)
        )
        token = cursors.page_token(scope, [found[size - 1].name]) if len(found) > size else ""
        return api.ListQueuesResponse(queues=found[:size], next_page_token=token)

    async def ListMessages(self, request: api.ListMessagesRequest, context: Context) -> api.ListMessagesResponse:
        name = checks.queue_name(request.queue, "queue")
        checks.page(request)
        checks.enums(api.QueueMessageState, request.states, "states")
        checks.text(request.group, "group", limits.GROUP_CHARS_MAX)
        scope, size = cursors.scope_of(request), page_size(request.page_size)
        key = cursors.read_page_token(request.page_token, scope)
        query = queue_reading.Page(
            queue=name,
            after_number=int(key[0]) if key else 0,
            limit=size,
            states=tuple(request.states),
            group=request.group,
            view=views.resolve(request.view, payload_pb2.PAYLOAD_VIEW_OMITTED),
        )
        now_ms = self._parts.clock()
        found, last = await self._parts.engine.read(lambda reader: queue_reading.list_messages(reader, query, now_ms))
        token = cursors.page_token(scope, [last]) if last else ""
        return api.ListMessagesResponse(messages=found, next_page_token=token)

    async def RedriveMessages(
        self, request: api.RedriveMessagesRequest, context: Context
    ) -> api.RedriveMessagesResponse:
        name = checks.queue_name(request.queue, "queue")
        if len(request.message_ids) > limits.BATCH_MESSAGES_MAX:
            raise checks.too_large("messages", limits.BATCH_MESSAGES_MAX, len(request.message_ids), "message_ids")
        message_ids = checks.identifiers(request.message_ids, "message_ids")
        return api.RedriveMessagesResponse(redriven_count=await self._redrive(name, message_ids))

    async def _redrive(self, name: str, message_ids: list[str]) -> int:
        """Redrive in units of bounded size, so that others get their turn; all of the queue when no ids are named."""
        total = 0
        while True:
            now_ms = self._parts.clock()
            count = await self._parts.engine.write(
                lambda tx, now_ms=now_ms: queue.redrive(tx, name, message_ids, now_ms)  # type: ignore[misc]
            )
            total += count
            if message_ids or not count:
                return total


async def ack(parts: Parts, request: api.AckMessagesRequest) -> list[api.LeaseResult]:
    """Check and acknowledge, for the unary method and the stream."""
    checks.receipts(request.receipts, "receipts", is_required=True)
    now_ms = parts.clock()
    return await parts.engine.write(lambda tx: leases.ack_many(tx, request.receipts, now_ms))


async def nack(parts: Parts, request: api.NackMessagesRequest) -> list[api.LeaseResult]:
    """Check and give back, for the unary method and the stream."""
    checks.receipts(request.receipts, "receipts", is_required=True)
    delay_ms = checks.duration_ms(request, "delay", "delay") or 0
    checks.prose(request.reason, "reason", _REASON_CHARS_MAX)
    action = checks.enum(api.NackAction, request.action, "action")
    wish = leases.GiveBack(action=action, delay_ms=delay_ms, reason=request.reason)
    now_ms = parts.clock()
    return await parts.engine.write(lambda tx: leases.nack_many(tx, request.receipts, wish, now_ms))


async def extend(parts: Parts, request: api.ExtendLeasesRequest) -> list[api.LeaseResult]:
    """Check and prolong, for the unary method and the stream."""
    checks.receipts(request.receipts, "receipts", is_required=True)
    lease_ms = queue_checks.lease_ms(request, "lease_duration")
    progress = queue_checks.progress(request)
    now_ms = parts.clock()
    return await parts.engine.write(lambda tx: leases.extend_many(tx, request.receipts, lease_ms, now_ms, progress))


def _enqueued(sent: tuple[str, bool]) -> api.EnqueueResponse:
    message_id, is_deduplicated = sent
    return api.EnqueueResponse(message_id=message_id, deduplicated=is_deduplicated)
