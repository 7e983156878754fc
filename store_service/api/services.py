"""The services of the store, put together from their parts.

Owns nothing: every method is in the file of its area. A method of the contract that none of them serves fails the class
check of mypy and `tests/store_api/test_contract.py`.
"""

from __future__ import annotations

import grpc.aio

from holdfast.v1 import (
    queue_service_pb2_grpc,
    session_service_pb2_grpc,
    store_service_pb2_grpc,
    stream_service_pb2_grpc,
)
from store_service.api.consume import ConsumeApi
from store_service.api.entities import EntitiesApi
from store_service.api.events import EventsApi
from store_service.api.parts import Parts
from store_service.api.queue import QueueApi
from store_service.api.runs import RunsApi
from store_service.api.session import Method, SessionApi
from store_service.api.stream_reading import StreamReadingApi
from store_service.api.stream_writing import StreamWritingApi
from store_service.api.watch import WatchApi


class StoreService(EventsApi, RunsApi, EntitiesApi, WatchApi, store_service_pb2_grpc.StoreServiceServicer):
    """StoreService of the contract."""


class QueueService(QueueApi, ConsumeApi, queue_service_pb2_grpc.QueueServiceServicer):
    """QueueService of the contract."""


class StreamService(StreamWritingApi, StreamReadingApi, stream_service_pb2_grpc.StreamServiceServicer):
    """StreamService of the contract."""


class SessionService(SessionApi, session_service_pb2_grpc.SessionServiceServicer):
    """SessionService of the contract."""


def session_methods(store: StoreService, queue: QueueService) -> dict[str, Method]:
    """Return what serves each arm of SessionCall."""
    return {
        "create_event": store.CreateEvent,
        "create_events": store.CreateEvents,
        "get_run": store.GetRun,
        "get_hook": store.GetHook,
        "list_events": store.ListEvents,
        "ack_messages": queue.AckMessages,
        "nack_messages": queue.NackMessages,
    }


def add_services(parts: Parts, server: grpc.aio.Server) -> None:
    """Register the services with a server."""
    store, queue = StoreService(parts), QueueService(parts)
    session = SessionService(parts, session_methods(store, queue))
    store_service_pb2_grpc.add_StoreServiceServicer_to_server(store, server)
    queue_service_pb2_grpc.add_QueueServiceServicer_to_server(queue, server)
    stream_service_pb2_grpc.add_StreamServiceServicer_to_server(StreamService(parts), server)
    session_service_pb2_grpc.add_SessionServiceServicer_to_server(session, server)
