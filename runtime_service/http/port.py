"""The HTTP port of a runtime: one socket, one server, from the start of the process to the end of its drain.

Owns the socket and the life of the server; what is served is ``app.py``. Imported only when the port is on: the
libraries take 10 MB. The process's signals stay with the process, so uvicorn's own handling of them is left out.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Iterator

import uvicorn

from holdfast.serving import CannotListen
from runtime_service.api.front import Front
from runtime_service.http import limits
from runtime_service.http.app import App
from runtime_service.http.door import Door
from runtime_service.replies import Replies, queue_name


class HttpPort:
    """Opens the socket at once, so that the address is known before a run is taken up. ``start``, then ``close``.

    Raises CannotListen when the address is taken or not ours.
    """

    def __init__(self, listen: str, tls: ssl.SSLContext | None = None) -> None:
        self._socket = _open(listen)
        self._tls = tls
        self.address = f"{listen.rpartition(':')[0]}:{self._socket.getsockname()[1]}"
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None
        self._app: App | None = None
        #: Whether there are pages for people.
        self.has_ui = False
        self._replies: Replies | None = None

    @property
    def waiting(self) -> int:
        """Senders that wait for the answer of a step."""
        return self._replies.waiting if self._replies is not None else 0

    @property
    def scheme(self) -> str:
        """What a URL of this port begins with."""
        return "http" if self._tls is None else "https"

    async def start(self, front: Front, door: Door, *, has_ui: bool = False) -> None:
        """Begin to answer, with pages for people if asked; /readyz says 503 until ``set_serving``."""
        self._replies = Replies(front.store, queue_name(f"{socket.gethostname()} {self.address}"), front.worker.clock)
        self.has_ui = has_ui
        self._app = App(front, self._replies, door, has_ui=has_ui)
        config = uvicorn.Config(
            self._app.asgi,
            lifespan="off",
            http="h11",
            ws="none",
            log_level="warning",
            log_config=None,
            access_log=False,
            server_header=False,
            limit_concurrency=limits.CONNECTIONS_MAX,
            timeout_graceful_shutdown=limits.CLOSE_SECONDS,
        )
        config.load()
        config.ssl = self._tls
        self._server = _Server(config)
        self._serving = asyncio.create_task(self._server.serve([self._socket]), name="holdfast-http")

    def set_serving(self) -> None:
        """The runtime takes work: /readyz says so."""
        assert self._app is not None, "start comes first"
        self._app.is_serving = True

    async def close(self) -> None:
        """Take no more requests, let those under way be answered, close. The front is to be draining by now."""
        if self._server is not None and self._serving is not None and self._replies is not None:
            self._server.should_exit = True
            await asyncio.gather(self._serving, return_exceptions=True)
            await self._replies.close()
        self._socket.close()


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _open(listen: str) -> socket.socket:
    host, _, port = listen.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    family = socket.AF_INET6 if ":" in bare else socket.AF_INET
    try:
        return socket.create_server((bare, int(port)), family=family, backlog=limits.CONNECTIONS_MAX)
    except OSError as error:
        raise CannotListen(f"cannot listen on {listen}: {error.strerror or error}") from error
