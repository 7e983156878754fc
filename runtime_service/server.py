"""A runtime as a whole: the front door, the worker behind it, and their common life.

Starts in an order that never claims what it cannot do: the port opens with health NOT_SERVING, the store is waited for
and says which namespace this is, the worker begins to claim, health says SERVING. Draining goes the other way round.
Must never end a run: what is not finished here goes back to the queue. Read ``worker/worker.py`` and
``api/servicer.py`` for the two halves.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import structlog

from holdfast.definitions import Registry
from holdfast.errors import HoldfastError
from holdfast.installed import installed_version
from holdfast.sealing import Sealing, named_codec
from holdfast.security.exposure import is_loopback
from holdfast.security.namespaces import DEFAULT
from holdfast.serving import CannotListen, Server
from holdfast.v1 import (
    runtime_service_pb2,
    runtime_service_pb2_grpc,
    step_worker_service_pb2,
    step_worker_service_pb2_grpc,
    store_service_pb2,
)
from runtime_service.api.front import Front
from runtime_service.api.servicer import RuntimeServicer
from runtime_service.api.step_workers import StepWorkerServicer
from runtime_service.http.opening import open_port, public_url
from runtime_service.settings import RuntimeSettings
from runtime_service.store import Store
from runtime_service.worker.worker import Worker

if TYPE_CHECKING:
    from runtime_service.http.door import Door
    from runtime_service.http.port import HttpPort

log = structlog.get_logger(__name__)

#: Seconds that a store may take to say who it is, before it is asked again.
_PROBE_SECONDS: Final = 2.0

#: Seconds between two looks for a store that is not there yet; spread, so that a fleet does not knock at once.
_PAUSE_SECONDS: Final = 0.2

_INFO: Final = store_service_pb2.GetStoreInfoRequest()

#: What a runtime serves.
SERVICES: Final = (
    runtime_service_pb2.DESCRIPTOR.services_by_name["RuntimeService"],
    step_worker_service_pb2.DESCRIPTOR.services_by_name["StepWorkerService"],
)


@dataclass(frozen=True, slots=True)
class RunningRuntime:
    """A runtime that serves at ``address`` until ``drain`` has returned."""

    address: str
    worker: Worker
    front: Front
    server: Server
    http: HttpPort | None = None

    async def drain(self) -> None:
        """Stop claiming, let step attempts end within the drain time, give every run back, close. Call it once."""
        seconds = self.worker.options.drain_seconds
        await asyncio.gather(
            self.server.drain(self.front.draining.set, seconds), self.worker.drain(), _close(self.http, self.front)
        )
        await self.worker.store.close()


async def serve(settings: RuntimeSettings, registry: Registry) -> RunningRuntime:
    """Start a runtime and return once it serves; waits for the store as long as it takes.

    Raises CannotListen, and LoadFailed for a codec that cannot be loaded. When it is cancelled, everything that it
    began is closed again.
    """
    sealing = Sealing(named_codec(settings.codec))
    server = Server(SERVICES, settings)
    store = _connected(settings, sealing=sealing)
    http = open_port(settings)
    options = settings.worker_options(public_url(settings, http))
    front = Front(Worker(store, registry, options), options.runtime_id, installed_version())
    servicers = server.add(partial(_add_services, front))
    try:
        address = await server.start(settings.listen)
        if http is not None:
            await http.start(front, _door(server, settings), has_ui=settings.ui)
            _tell_of_ui(http, settings)
        told = await _wait_for_store(settings)
        front.store_id, front.namespace = told.store_id, told.namespace or DEFAULT
        store.count_on(front.namespace)
        server.namespaces.open(front.namespace, servicers)
        if settings.session:
            store.open_session()
        await front.worker.start()
        await server.set_serving()
        if http is not None:
            http.set_serving()
    except BaseException:
        await server.drain(front.draining.set, 0)
        await _close(http, front)
        await store.close()
        raise
    return RunningRuntime(address, front.worker, front, server, http)


def _add_services(front: Front, server: Any) -> None:
    runtime_service_pb2_grpc.add_RuntimeServiceServicer_to_server(RuntimeServicer(front), server)
    step_worker_service_pb2_grpc.add_StepWorkerServiceServicer_to_server(StepWorkerServicer(front), server)


def _door(server: Server, settings: RuntimeSettings) -> Door:
    from runtime_service.http.door import Door

    return Door(server.access, settings.metrics, server.namespaces)


def _tell_of_ui(http: HttpPort, settings: RuntimeSettings) -> None:
    if settings.ui and not settings.asks_for_credentials and not is_loopback(http.address):
        log.warning(
            "ANYBODY who reaches this address may read every run: set HOLDFAST_TOKEN or another credential, or leave "
            "the pages off",
            address=http.address,
            see="docs/security.md",
        )


async def _close(http: HttpPort | None, front: Front) -> None:
    """Close the HTTP port once the drain has begun: senders that wait for a step's answer get theirs then."""
    await front.draining.wait()
    if http is not None:
        await http.close()


async def _wait_for_store(settings: RuntimeSettings) -> store_service_pb2.GetStoreInfoResponse:
    """Return what the store says of itself. Every error is waited out: a store that restarts may answer anything."""
    # A channel of its own, without retries: each failure is to be told, once.
    store = _connected(settings, retry_seconds=0)
    told = ""
    try:
        while True:
            try:
                return await _ask(store)
            except HoldfastError as error:
                if type(error).__name__ != told:
                    log.warning("waiting for the store", store=store.address, error=str(error))
                told = type(error).__name__
            await asyncio.sleep(_PAUSE_SECONDS * (0.5 + random.random()))
    finally:
        await store.close()


def _connected(settings: RuntimeSettings, **options: Any) -> Store:
    """Open a channel to the store. Raises CannotListen for a file of secrets that cannot be used."""
    try:
        return Store(settings.store, bearer=settings.store_bearer(), tls=settings.store_tls(), **options)
    except ValueError as error:
        raise CannotListen(f"cannot connect to the store: {error}") from None


async def _ask(store: Store) -> store_service_pb2.GetStoreInfoResponse:
    asking = store.events.GetStoreInfo
    info: store_service_pb2.GetStoreInfoResponse = await store.call(asking, _INFO, seconds=_PROBE_SECONDS)
    return info
