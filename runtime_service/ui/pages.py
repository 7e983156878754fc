"""The routes of the pages: each asks, arranges and renders.

    GET /                   runs: newest first, filtered, page by page
    GET /runs/{id}          one run: what it waits for, its values, its steps over time, its log, its streams
    GET /definitions        what this runtime has registered, with schemas
    GET …/live              tells an open page that there is something new     live.py
    GET /ui/{file}          style, script, mark

Read-only: none of them changes anything. Every error of the contract becomes a page with its words. Who may see them is
decided in ``gate.py``, before anything is read.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping
from contextlib import aclosing
from functools import partial
from types import MappingProxyType
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response, StreamingResponse

from holdfast.refusal import Refusal
from holdfast.v1 import runtime_service_pb2
from runtime_service.api import checks
from runtime_service.api.definitions import list_definitions
from runtime_service.api.errors import answered
from runtime_service.api.front import Front, has_ended
from runtime_service.http.door import Door
from runtime_service.ui import limits
from runtime_service.ui.asking import ask_for_run, ask_for_runs
from runtime_service.ui.assets import Asset, read_assets
from runtime_service.ui.filters import STATUSES, Filter
from runtime_service.ui.gate import HEADERS, Gate
from runtime_service.ui.live import News, messages
from runtime_service.ui.log import chain, entry
from runtime_service.ui.rendering import Renderer
from runtime_service.ui.timeline import timeline
from runtime_service.ui.watching import watch_all, watch_one

Endpoint = Callable[[Request], Awaitable[Response]]
Watch = Callable[[], Coroutine[Any, Any, None]]

#: Reason of a refusal → status and heading. Every other one is a 400.
_PROBLEMS: Final[Mapping[str, tuple[int, str]]] = MappingProxyType(
    {
        "RUN_NOT_FOUND": (404, "There is no such run"),
        "NOT_READY": (503, "The store does not answer"),
        "THROTTLED": (503, "The store has too much to do"),
        "INTERNAL": (500, "Something is broken"),
        "CORRUPT_LOG": (500, "The log is damaged"),
    }
)


class Pages:
    """The pages over one runtime; ``routes`` are path → (name, endpoint), all of them GET."""

    def __init__(self, front: Front, door: Door) -> None:
        self._front = front
        self._gate = Gate(door, front.worker.options.public_url)
        self._render = Renderer(front)
        self._assets: Mapping[str, Asset] = read_assets()
        self._followers = 0
        self.routes: Mapping[str, tuple[str, Endpoint]] = {
            "/": ("ui-runs", self._guarded(self._runs)),
            "/live": ("ui-live", self._guarded(self._runs_live)),
            "/runs/{run_id}": ("ui-run", self._guarded(self._run)),
            "/runs/{run_id}/live": ("ui-live", self._guarded(self._run_live)),
            "/definitions": ("ui-definitions", self._guarded(self._definitions)),
            "/ui/{file}": ("ui-assets", self._guarded(self._asset)),
        }

    def _guarded(self, endpoint: Endpoint) -> Endpoint:
        async def answer(request: Request) -> Response:
            response = self._gate.refusal(request) or await self._answered(endpoint, request)
            response.headers.update(HEADERS)
            return response

        return answer

    async def _answered(self, endpoint: Endpoint, request: Request) -> Response:
        try:
            async with asyncio.timeout(limits.READ_SECONDS):
                return await answered(endpoint(request))
        except Refusal as refusal:
            status, heading = _PROBLEMS.get(refusal.reason, (400, "That cannot be shown"))
            return self._problem(request, status, heading, refusal.message)
        except TimeoutError:
            message = "Runs go on when it does. Reload to look again."
            return self._problem(request, 503, "The store does not answer", message)

    def _problem(self, request: Request, status: int, heading: str, message: str) -> Response:
        return HTMLResponse(self._render(request, "problem.html", heading=heading, message=message), status)

    async def _runs(self, request: Request) -> Response:
        chosen = Filter.read(request.query_params)
        rows, next_page = await ask_for_runs(self._front, chosen)
        return HTMLResponse(
            self._render(
                request,
                "runs.html",
                chosen=chosen,
                rows=rows,
                older=chosen.of_page(next_page) if next_page else None,
                statuses=STATUSES,
                workflows=sorted(self._front.worker.registry.workflows),
                rest_ms=limits.LIST_REST_MS,
            )
        )

    async def _run(self, request: Request) -> Response:
        run_id, after = request.path_params["run_id"], _position(request, "after")
        parts = await ask_for_run(self._front, run_id, after)
        events, begin = parts.window.events, parts.run.create_time
        is_open = not has_ended(parts.run)
        return HTMLResponse(
            self._render(
                request,
                "run.html",
                parts=parts,
                run=parts.run,
                is_open=is_open,
                errors=list(chain(parts.run.failure)) if parts.run.HasField("failure") else [],
                timeline=timeline(events, self._front.worker.clock(), is_open=is_open),
                entries=[entry(event, begin) for event in events],
                older=max(0, events[0].seq - 1 - limits.EVENTS_PER_PAGE) if events and events[0].seq > 1 else None,
                newer=events[-1].seq if events and events[-1].seq < parts.window.head else None,
                rest_ms=limits.RUN_REST_MS,
            )
        )

    async def _definitions(self, request: Request) -> Response:
        found = list_definitions(self._front.worker.registry).definitions
        kinds = runtime_service_pb2.DefinitionKind
        return HTMLResponse(
            self._render(
                request,
                "definitions.html",
                workflows=[it for it in found if it.kind == kinds.DEFINITION_KIND_WORKFLOW],
                steps=[it for it in found if it.kind == kinds.DEFINITION_KIND_STEP],
            )
        )

    async def _runs_live(self, request: Request) -> Response:
        news = News(0)
        return self._follow(request, news, partial(watch_all, self._front, news))

    async def _run_live(self, request: Request) -> Response:
        run_id = request.path_params["run_id"]
        checks.check_run_id(run_id)
        await self._front.run(run_id)
        news = News(_position(request, "last-event-id") or _position(request, "after") or 0)
        return self._follow(request, news, partial(watch_one, self._front, run_id, news))

    def _follow(self, request: Request, news: News, watch: Watch) -> Response:
        if self._followers >= limits.FOLLOWERS_MAX:
            return PlainTextResponse("too many pages follow already; this one is up to date after a reload\n", 503)
        return StreamingResponse(self._counted(request, news, watch), media_type="text/event-stream")

    async def _counted(self, request: Request, news: News, watch: Watch) -> AsyncGenerator[str, None]:
        self._followers += 1
        try:
            async with aclosing(messages(news, watch(), lambda: self._gate.refusal(request) is None)) as told:
                async for message in told:
                    yield message
        finally:
            self._followers -= 1

    async def _asset(self, request: Request) -> Response:
        asset = self._assets.get(request.path_params["file"])
        return Response(asset.body, media_type=asset.media_type) if asset else PlainTextResponse("not here\n", 404)


def _position(request: Request, name: str) -> int | None:
    """Read a position of a log from the query, or from a header that a browser sends back."""
    text = request.query_params.get(name) or request.headers.get(name, "")
    return int(text) if text.isdecimal() and len(text) < 10 else None
