"""The options of a runtime process: from the command line first, from ``HOLDFAST_…`` in the environment next.

Owns names, defaults and checks, nothing else; those about security are in ``holdfast/security/settings.py``. Tokens
are secrets: they never show in a repr or a log.
"""

from __future__ import annotations

import os
import socket
from typing import Annotated, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode, SettingsConfigDict
from ulid import ULID

from holdfast.addresses import target_of
from holdfast.durations import duration_ms
from holdfast.security.bearer import Bearer
from holdfast.security.channels import ClientTls
from holdfast.security.settings import SecuritySettings
from holdfast.security.settings import variable as _from
from runtime_service.worker.options import WorkerOptions

#: A shorter lease would be renewed more often than a busy machine can promise; a longer one than the store gives.
LEASE_MS_MIN: Final = 500
LEASE_MS_MAX: Final = 3_600_000


class RuntimeSettings(SecuritySettings):
    """What a runtime can be told. ``lease`` is a duration as people write it ("15s"); ``queue`` names are of steps."""

    model_config = SettingsConfigDict(populate_by_name=True, extra="ignore", frozen=True)

    listen: str = Field("127.0.0.1:7702", validation_alias=_from("HOLDFAST_RUNTIME_LISTEN"))
    store: str = Field("127.0.0.1:7701", validation_alias=_from("HOLDFAST_STORE_ADDRESS"))
    http: str = Field("127.0.0.1:7703", validation_alias=_from("HOLDFAST_HTTP"))
    public_url: str = Field("", validation_alias=_from("HOLDFAST_PUBLIC_URL"))
    http_tls: bool = Field(False, validation_alias=_from("HOLDFAST_HTTP_TLS"))
    metrics: Literal["open", "credentials", "off"] = Field("credentials", validation_alias=_from("HOLDFAST_METRICS"))
    ui: bool = Field(False, validation_alias=_from("HOLDFAST_UI"))
    codec: str = Field("", validation_alias=_from("HOLDFAST_CODEC"))
    concurrency: int = Field(100, ge=1, le=10_000, validation_alias=_from("HOLDFAST_CONCURRENCY"))
    lease: str = Field("15s", validation_alias=_from("HOLDFAST_LEASE"))
    queue: Annotated[list[str], NoDecode] = Field(["default"], validation_alias=_from("HOLDFAST_QUEUE"))
    store_token: SecretStr = Field(SecretStr(""), validation_alias=_from("HOLDFAST_STORE_TOKEN", "HOLDFAST_TOKEN"))
    store_token_file: str = Field("", validation_alias=_from("HOLDFAST_STORE_TOKEN_FILE"))
    store_tls_ca: str = Field("", validation_alias=_from("HOLDFAST_STORE_TLS_CA", "HOLDFAST_TLS_CA"))
    store_tls_cert: str = Field("", validation_alias=_from("HOLDFAST_STORE_TLS_CERT", "HOLDFAST_TLS_CERT"))
    store_tls_key: str = Field("", validation_alias=_from("HOLDFAST_STORE_TLS_KEY", "HOLDFAST_TLS_KEY"))
    drain_seconds: float = Field(10.0, ge=0, le=3600, validation_alias=_from("HOLDFAST_DRAIN_SECONDS"))
    linger_ms: int = Field(1_000, ge=0, le=60_000, validation_alias=_from("HOLDFAST_LINGER_MS"))
    session: bool = Field(True, validation_alias=_from("HOLDFAST_SESSION"))
    replay_always: bool = Field(False, validation_alias=_from("HOLDFAST_REPLAY_ALWAYS"))

    @field_validator("lease")
    @classmethod
    def _check_lease(cls, value: str) -> str:
        if not LEASE_MS_MIN <= duration_ms(value, "lease") <= LEASE_MS_MAX:
            raise ValueError(f"expected {LEASE_MS_MIN / 1000:g} seconds to an hour, got {value}")
        return value

    @field_validator("http")
    @classmethod
    def _check_http(cls, value: str) -> str:
        host, _, port = value.rpartition(":")
        if value and not (host and port.isdecimal() and int(port) <= 65_535):
            raise ValueError(f"expected host:port, or nothing to switch it off, got {value!r}")
        return value

    @field_validator("public_url")
    @classmethod
    def _check_public_url(cls, value: str) -> str:
        parts = urlsplit(value)
        if value and not (parts.scheme in ("http", "https") and parts.netloc and not parts.query + parts.fragment):
            raise ValueError(f"expected http://host/path or https://…, got {value!r}")
        return value.rstrip("/")

    @field_validator("store")
    @classmethod
    def _check_store(cls, value: str) -> str:
        target_of(value)
        return value

    @field_validator("listen", "store")
    @classmethod
    def _check_address(cls, value: str) -> str:
        host, colon, port = value.rpartition(":")
        if not (colon and host and port.isdecimal() and int(port) <= 65_535) and not value.startswith("unix:"):
            raise ValueError(f"expected host:port, got {value!r}")
        return value

    @model_validator(mode="after")
    def _check_store_tls(self) -> Self:
        target_of(self.store, is_secure=bool(self.store_tls_ca))
        return self

    @model_validator(mode="after")
    def _check_http_tls(self) -> Self:
        if self.http_tls and not self.tls_cert:
            raise ValueError("http_tls without tls_cert: name HOLDFAST_TLS_CERT and HOLDFAST_TLS_KEY too")
        return self

    @field_validator("queue", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value

    @property
    def names_http(self) -> bool:
        """Whether somebody named the HTTP address, so that it has to be free."""
        return "http" in self.model_fields_set

    def store_bearer(self) -> Bearer:
        """What this runtime shows the store; a file of its own goes before a token that it may only ask for itself."""
        token = "" if self.store_token_file else self.store_token.get_secret_value()
        return Bearer(token, file=self.store_token_file)

    def store_tls(self) -> ClientTls:
        """How this runtime connects to the store; without a CA in plain text."""
        if not self.store_tls_ca:
            return ClientTls()
        return ClientTls(self.store_tls_ca, self.store_tls_cert, self.store_tls_key)

    def worker_options(self, public_url: str = "") -> WorkerOptions:
        """Build the worker's options, with a fresh name for this process; ``public_url`` is for webhooks."""
        return WorkerOptions(
            runtime_id=new_runtime_id(),
            concurrency=self.concurrency,
            lease_ms=duration_ms(self.lease, "lease"),
            linger_ms=self.linger_ms,
            drain_seconds=self.drain_seconds,
            replay_always=self.replay_always,
            public_url=public_url,
            queues=tuple(self.queue),
        )


def new_runtime_id() -> str:
    """Name this process: host and process for people, a random end for uniqueness."""
    return f"{socket.gethostname()}:{os.getpid()}:{str(ULID())[-8:]}"
