"""Settings of a store process: every one an option and an environment variable.

Owns names and defaults; those about security are in ``holdfast/security/settings.py``. Limits are not settings; they
are in ``limits.py``, and the two that may be lowered here exist so that tests can reach them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from holdfast.security.namespaces import DEFAULT, checked_name, parse_namespaces
from holdfast.security.settings import SecuritySettings
from store_service import limits

LISTEN_DEFAULT = "127.0.0.1:7701"
DATABASE_DEFAULT = "sqlite:///holdfast.db"


class StoreSettings(SecuritySettings):
    """What `server.serve` needs. Read from the environment unless given; an empty token means none.

    ``database`` is that of the default namespace, ``namespaces`` are the others by name.
    """

    model_config = SettingsConfigDict(env_prefix="HOLDFAST_", frozen=True, populate_by_name=True, extra="forbid")

    listen: str = Field(LISTEN_DEFAULT, validation_alias="HOLDFAST_STORE_LISTEN")
    database: str = DATABASE_DEFAULT
    # Not shown: a URL may hold a password.
    namespaces: Annotated[Mapping[str, str], NoDecode] = Field({}, repr=False)
    drain_seconds: float = Field(limits.DRAIN_SECONDS, ge=0)
    streams_max: int = Field(limits.STREAMS_MAX, ge=1, le=limits.STREAMS_MAX)
    pending_writes_max: int = Field(limits.PENDING_WRITES_MAX, ge=1, le=limits.PENDING_WRITES_MAX)

    @field_validator("namespaces", mode="before")
    @classmethod
    def _read_namespaces(cls, value: object) -> object:
        return parse_namespaces(value) if isinstance(value, str) else value

    @field_validator("namespaces")
    @classmethod
    def _check_names(cls, value: Mapping[str, str]) -> Mapping[str, str]:
        for name in value:
            if checked_name(name) == DEFAULT:
                raise ValueError(f"{DEFAULT!r} is the namespace of HOLDFAST_DATABASE; name the others here")
        return value

    @model_validator(mode="after")
    def _check_that_somebody_can_be_in_a_namespace(self) -> Self:
        if self.namespaces and not (self.clients_file or self.jwks_file):
            raise ValueError(
                "namespaces are told apart by credentials of clients: set HOLDFAST_CLIENTS_FILE or HOLDFAST_JWKS_FILE"
            )
        return self
