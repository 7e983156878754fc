"""Keeps the leases of this process alive, from a thread of its own.

User code that blocks the event loop must not make a healthy process look dead (hazard 14), so renewals have
their own thread and their own connection. A lost lease is told to the loop; the fence in the store does the rest.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Final

import grpc
import structlog

from holdfast.v1 import queue_service_pb2, queue_service_pb2_grpc
from runtime_service.store import Store, milliseconds

log = structlog.get_logger(__name__)

#: Renewals in the life of a lease: two may get lost before it ends.
_RENEWALS: Final = 3

#: Receipts of one call; the store takes 500.
_RECEIPTS_MAX: Final = 500


class LeaseKeeper:
    """Renews every kept receipt three times in the length of a lease, and tells when one is lost."""

    def __init__(self, store: Store, lease_ms: int) -> None:
        self._store = store
        self._channels = store.plain_channels()
        self._lease_ms = lease_ms
        self._kept: dict[str, Callable[[], None]] = {}
        self._guard = threading.Lock()
        self._stopping = threading.Event()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._renew_until_stopped, name="holdfast-leases", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def keep(self, receipt: str, when_lost: Callable[[], None]) -> None:
        """Renew this receipt from now on; ``when_lost`` is called on the event loop, at most once."""
        with self._guard:
            self._kept[receipt] = when_lost

    def forget(self, receipt: str) -> None:
        """Stop renewing."""
        with self._guard:
            self._kept.pop(receipt, None)

    def stop(self) -> None:
        """End the thread; leases run out or are settled by their holds."""
        self._stopping.set()

    def _renew_until_stopped(self) -> None:
        seconds = self._lease_ms / _RENEWALS / 1000
        next_at = time.monotonic() + seconds
        while not self._stopping.wait(max(0.0, next_at - time.monotonic())):
            # Counted from the beginning of a try: one that hung has used up the pause before the next.
            next_at = time.monotonic() + seconds
            if not self._renew_all(queue_service_pb2_grpc.QueueServiceStub(self._channels.get())):
                # A connection may hang for longer than the lease lasts before keepalive ends it: the next try, which
                # may be the last, must not go the same way. Proof: tests/network/test_lease_connection.py
                self._channels.close()
        self._channels.close()

    def _renew_all(self, stub: queue_service_pb2_grpc.QueueServiceStub) -> bool:
        """Returns whether the store answered."""
        with self._guard:
            receipts = list(self._kept)
        begins = range(0, len(receipts), _RECEIPTS_MAX)
        return all(self._renew(stub, receipts[begin : begin + _RECEIPTS_MAX]) for begin in begins)

    def _renew(self, stub: queue_service_pb2_grpc.QueueServiceStub, receipts: list[str]) -> bool:
        request = queue_service_pb2.ExtendLeasesRequest(receipts=receipts, lease_duration=milliseconds(self._lease_ms))
        try:
            answer = stub.ExtendLeases(
                request, timeout=self._lease_ms / _RENEWALS / 1000, metadata=self._store.metadata
            )
        except grpc.RpcError as error:
            log.warning("leases not renewed, next try follows", code=str(error.code()))
            return False
        for result in answer.results:
            if not result.ok:
                self._lost(result.receipt)
        return True

    def _lost(self, receipt: str) -> None:
        with self._guard:
            when_lost = self._kept.pop(receipt, None)
        if when_lost is not None:
            self._loop.call_soon_threadsafe(when_lost)
