"""The client's side of TLS: channels of programs, of the command line, and of a runtime to its store.

Owns which certificates are trusted and shown, and their renewal: gRPC reads them when a channel is made, so when a file
has changed the calls that follow go over a new channel, while those under way end on the old one. Without TLS a channel
is gRPC's own and nothing stands between. Read ``certificates.py`` for the server's side.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc
import grpc.aio

from holdfast.addresses import BALANCED, target_of
from holdfast.security.certificates import check_pair
from holdfast.security.files import FileProblem, Watched

ChannelOptions = Sequence[tuple[str, Any]]

#: As ``ca``: the roots that come with gRPC, for servers whose certificate the whole world trusts.
SYSTEM_ROOTS: Final = "system"

#: Channels kept after a renewal for calls that are under way; the oldest is closed beyond.
_OLD_CHANNELS_MAX: Final = 3


@dataclass(frozen=True, slots=True)
class ClientTls:
    """PEM files: ``ca`` signed the server ("system": anybody known), ``cert`` and ``key`` are shown to it (mTLS).

    No ``ca``: no TLS. Raises ValueError for files that do not go together.
    """

    ca: str = ""
    cert: str = ""
    key: str = ""

    def __post_init__(self) -> None:
        if bool(self.cert) != bool(self.key):
            raise ValueError("a client certificate and its key go together: HOLDFAST_TLS_CERT and HOLDFAST_TLS_KEY")
        if self.cert and not self.ca:
            raise ValueError("a client certificate is shown inside TLS: name the server's CA in HOLDFAST_TLS_CA")

    @classmethod
    def of_client(
        cls,
        ca: str | os.PathLike[str] | None = None,
        cert: str | os.PathLike[str] | None = None,
        key: str | os.PathLike[str] | None = None,
    ) -> ClientTls:
        """A client's: the files given, else HOLDFAST_TLS_CA, HOLDFAST_TLS_CERT and HOLDFAST_TLS_KEY.

        A server's certificate may stand in the same environment, so without a CA it is left alone.
        """
        found = _path(ca, "HOLDFAST_TLS_CA")
        return cls(found, _path(cert, "HOLDFAST_TLS_CERT"), _path(key, "HOLDFAST_TLS_KEY")) if found else cls()

    @property
    def files(self) -> list[str]:
        """The files that may change."""
        return [path for path in (self.ca, self.cert, self.key) if path and path != SYSTEM_ROOTS]

    def credentials(self) -> grpc.ChannelCredentials:
        """Read the files. Raises OSError and ValueError."""
        if self.cert:
            check_pair(self.cert, self.key)
        roots = Path(self.ca).read_bytes() if self.ca != SYSTEM_ROOTS else None
        pair = [Path(path).read_bytes() if path else None for path in (self.key, self.cert)]
        return grpc.ssl_channel_credentials(roots, *pair)


class PlainChannels:
    """Channels for plain code. ``get`` returns the one to use now; it is another one after a renewal.

    ``address`` may lead to several servers (``holdfast/addresses.py``). Raises ValueError for a list that
    cannot be used.
    """

    def __init__(self, address: str, tls: ClientTls, options: ChannelOptions = ()) -> None:
        self._address, self._options = target_of(address, is_secure=bool(tls.ca)), (*BALANCED, *options)
        self._credentials = _watched(tls)
        self._channel: grpc.Channel | None = None
        self._made_of: grpc.ChannelCredentials | None = None

    def get(self) -> grpc.Channel:
        """Return an open channel; one that it replaces is closed."""
        credentials = self._credentials()
        if self._channel is None or credentials is not self._made_of:
            self.close()
            self._channel = (
                grpc.insecure_channel(self._address, options=self._options)
                if credentials is None
                else grpc.secure_channel(self._address, credentials, options=self._options)
            )
            self._made_of = credentials
        return self._channel

    def close(self) -> None:
        """Close the channel, if there is one; ``get`` would open another."""
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()


def open_channel(address: str, tls: ClientTls, options: ChannelOptions = ()) -> grpc.aio.Channel:
    """Open a channel for asyncio to a server, or to whichever of several answers (``holdfast/addresses.py``).

    Raises FileProblem for files that cannot be used, ValueError for a list that cannot.
    """
    address, options = target_of(address, is_secure=bool(tls.ca)), (*BALANCED, *options)
    if not tls.ca:
        return grpc.aio.insecure_channel(address, options=options)
    credentials = _watched(tls)

    def connect(current: grpc.ChannelCredentials) -> grpc.aio.Channel:
        return grpc.aio.secure_channel(address, current, options=options)

    return _RenewedChannel(credentials, connect) if tls.files else connect(credentials())  # type: ignore[arg-type,return-value]


def _watched(tls: ClientTls) -> Callable[[], grpc.ChannelCredentials | None]:
    if not tls.ca:
        return lambda: None
    return Watched(tls.files, tls.credentials).get


def _path(given: str | os.PathLike[str] | None, variable: str) -> str:
    return os.environ.get(variable, "") if given is None else os.fspath(given)


class _RenewedChannel:
    """A channel over channels: each call takes the newest. Stubs take it for a channel of grpc.aio."""

    def __init__(
        self,
        credentials: Callable[[], grpc.ChannelCredentials],
        connect: Callable[[grpc.ChannelCredentials], grpc.aio.Channel],
    ) -> None:
        self._credentials = credentials
        self._connect = connect
        self._made_of = credentials()
        self._channels = [connect(self._made_of)]

    def newest(self) -> grpc.aio.Channel:
        """Return the channel of the newest files."""
        credentials = self._credentials()
        if credentials is not self._made_of:
            self._made_of = credentials
            self._channels.append(self._connect(credentials))
            # The one that goes closes itself: a stream that has lived through three renewals is opened again.
            del self._channels[:-_OLD_CHANNELS_MAX]
        return self._channels[-1]

    def unary_unary(self, *method: Any, **codecs: Any) -> Callable[..., Any]:
        return self._callable("unary_unary", method, codecs)

    def unary_stream(self, *method: Any, **codecs: Any) -> Callable[..., Any]:
        return self._callable("unary_stream", method, codecs)

    def stream_unary(self, *method: Any, **codecs: Any) -> Callable[..., Any]:
        return self._callable("stream_unary", method, codecs)

    def stream_stream(self, *method: Any, **codecs: Any) -> Callable[..., Any]:
        return self._callable("stream_stream", method, codecs)

    async def close(self, grace: float | None = None) -> None:
        for channel in self._channels:
            await channel.close(grace)

    async def __aenter__(self) -> _RenewedChannel:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    def _callable(self, kind: str, method: Sequence[Any], codecs: Mapping[str, Any]) -> Callable[..., Any]:
        made_on: grpc.aio.Channel | None = None
        made: Callable[..., Any] | None = None

        def call(*request: Any, **options: Any) -> Any:
            nonlocal made_on, made
            channel = self.newest()
            if made is None or channel is not made_on:
                made_on, made = channel, getattr(channel, kind)(*method, **codecs)
            return made(*request, **options)

        return call


__all__ = ["SYSTEM_ROOTS", "ClientTls", "FileProblem", "PlainChannels", "open_channel"]
