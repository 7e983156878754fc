"""Settings of a store process: every one an option and an environment variable.

Owns names and defaults; those about security are in ``holdfast/security/settings.py``. Limits are not settings; they
are in ``limits.py``, and the two that may be lowered here exist so that tests can reach them.
"""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from holdfast.security.settings import SecuritySettings
from store_service import limits

LISTEN_DEFAULT = "127.0.0.1:7701"
DATABASE_DEFAULT = "sqlite:///holdfast.db"


class StoreSettings(SecuritySettings):
    """What `server.serve` needs. Read from the environment unless given; an empty token means none."""

    model_config = SettingsConfigDict(env_prefix="HOLDFAST_", frozen=True, populate_by_name=True, extra="forbid")

    listen: str = Field(LISTEN_DEFAULT, validation_alias="HOLDFAST_STORE_LISTEN")
    database: str = DATABASE_DEFAULT
    drain_seconds: float = Field(limits.DRAIN_SECONDS, ge=0)
    streams_max: int = Field(limits.STREAMS_MAX, ge=1, le=limits.STREAMS_MAX)
    pending_writes_max: int = Field(limits.PENDING_WRITES_MAX, ge=1, le=limits.PENDING_WRITES_MAX)
