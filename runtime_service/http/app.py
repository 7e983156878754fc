"""What the HTTP port serves: webhooks for everybody, health and metrics for those who operate the runtime.

    ANY /webhooks/{token}   a request for a webhook              webhooks.py
    GET /healthz            200 while the process is alive
    GET /readyz             200 while it takes work and its store answers, else 503
    GET /metrics            counts, in the format of Prometheus   metrics.py, door.py
    GET / and below         pages for people, if they are on      runtime_service/ui

Owns the routes and their counting. A proxy that is open to the world should pass /webhooks/ on and nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from holdfast.errors import HoldfastError
from holdfast.v1 import store_service_pb2
from holdfast.webhooks import PATH
from runtime_service.api.front import Front
from runtime_service.http import limits
from runtime_service.http.door import Door
from runtime_service.http.metrics import MEDIA_TYPE, Metrics
from runtime_service.http.webhooks import Webhooks
from runtime_service.replies import Replies

Endpoint = Callable[[Request], Awaitable[Response]]

_METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")


class App:
    """The routes over one runtime. ``is_serving`` is set once the worker claims runs."""

    def __init__(self, front: Front, replies: Replies, door: Door, *, has_ui: bool = False) -> None:
        self.is_serving = False
        self._door = door
        self._front = front
        self._metrics = Metrics(front.worker)
        self.asgi = Starlette(
            routes=[
                self._route(f"{PATH}{{token}}", "webhooks", Webhooks(front, replies).take, _METHODS),
                self._route("/healthz", "healthz", self._health),
                self._route("/readyz", "readyz", self._readiness),
                *([self._route("/metrics", "metrics", self._text_of_metrics)] if door.has_metrics else []),
                *(self._pages(front, door) if has_ui else []),
            ]
        )

    def _route(self, path: str, name: str, endpoint: Endpoint, methods: tuple[str, ...] = ("GET",)) -> Route:
        async def counted(request: Request) -> Response:
            response = await endpoint(request)
            self._metrics.answered(name, response.status_code)
            return response

        return Route(path, counted, methods=methods, name=name)

    def _pages(self, front: Front, door: Door) -> Iterator[Route]:
        # The template library is loaded by those who want pages.
        from runtime_service.ui.pages import Pages

        for path, (name, endpoint) in Pages(front, door).routes.items():
            yield self._route(path, name, endpoint)

    async def _health(self, request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def _readiness(self, request: Request) -> Response:
        why_not = await self._why_not_ready()
        return PlainTextResponse(f"{why_not or 'ready'}\n", 503 if why_not else 200)

    async def _why_not_ready(self) -> str:
        if self._front.draining.is_set():
            return "draining"
        if not self.is_serving:
            return "starting"
        ask = self._front.store.events.GetStoreInfo
        try:
            async with asyncio.timeout(limits.PROBE_SECONDS):
                await self._front.store.call(ask, store_service_pb2.GetStoreInfoRequest())
        except (HoldfastError, TimeoutError):
            return "the store does not answer"
        return ""

    async def _text_of_metrics(self, request: Request) -> Response:
        return self._door.refusal(request) or Response(self._metrics.text(), media_type=MEDIA_TYPE)
