"""The options about security, as both services have them.

Owns names, defaults and what does not go together; each is an environment variable ``HOLDFAST_…``, because that is
how secrets and their files reach a container. Secrets never show in a repr or a log. Nothing given: no credentials are
asked for, and the default addresses are this machine's own. Read ``docs/security.md`` for what each defends.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Self

from google.protobuf.descriptor import ServiceDescriptor
from pydantic import AliasChoices, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from holdfast.security.access import Access
from holdfast.security.certificates import ServerCertificates
from holdfast.security.clients import Client
from holdfast.security.guard import Guard
from holdfast.security.jwt_tokens import JwtRules, JwtTokens
from holdfast.security.roles import ADMIN, READ, access_table, granted
from holdfast.security.throttle import Throttle


def variable(*names: str) -> AliasChoices:
    """The environment variables that an option is read from; the first that is set counts."""
    return AliasChoices(*names)


_TOGETHER: Final = (
    ("tls_cert", "tls_key", "a certificate and its key go together"),
    ("tls_key", "tls_cert", "a certificate and its key go together"),
    ("tls_client_ca", "tls_cert", "client certificates are checked inside TLS: name HOLDFAST_TLS_CERT too"),
)


class SecuritySettings(BaseSettings):
    """Who may call (tokens, files of clients, signed tokens), over what (TLS), how much (limits), and reflection."""

    model_config = SettingsConfigDict(frozen=True, populate_by_name=True, extra="ignore")

    token: SecretStr = Field(SecretStr(""), validation_alias=variable("HOLDFAST_TOKEN"))
    read_token: SecretStr = Field(SecretStr(""), validation_alias=variable("HOLDFAST_READ_TOKEN"))
    clients_file: str = Field("", validation_alias=variable("HOLDFAST_CLIENTS_FILE"))
    jwks_file: str = Field("", validation_alias=variable("HOLDFAST_JWKS_FILE"))
    jwt_audience: str = Field("holdfast", min_length=1, validation_alias=variable("HOLDFAST_JWT_AUDIENCE"))
    jwt_issuer: str = Field("", validation_alias=variable("HOLDFAST_JWT_ISSUER"))
    jwt_roles_claim: str = Field("roles", min_length=1, validation_alias=variable("HOLDFAST_JWT_ROLES_CLAIM"))
    jwt_namespace_claim: str = Field(
        "namespace", min_length=1, validation_alias=variable("HOLDFAST_JWT_NAMESPACE_CLAIM")
    )
    tls_cert: str = Field("", validation_alias=variable("HOLDFAST_TLS_CERT"))
    tls_key: str = Field("", validation_alias=variable("HOLDFAST_TLS_KEY"))
    tls_client_ca: str = Field("", validation_alias=variable("HOLDFAST_TLS_CLIENT_CA"))
    rate_limit: float = Field(0, ge=0, le=1_000_000, validation_alias=variable("HOLDFAST_RATE_LIMIT"))
    rate_burst: int = Field(0, ge=0, le=1_000_000, validation_alias=variable("HOLDFAST_RATE_BURST"))
    open_calls_limit: int = Field(0, ge=0, le=1_000_000, validation_alias=variable("HOLDFAST_OPEN_CALLS_LIMIT"))
    reflection: bool = Field(True, validation_alias=variable("HOLDFAST_REFLECTION"))

    @model_validator(mode="after")
    def _check_what_goes_together(self) -> Self:
        if self.read_token.get_secret_value() and not self.asks_for_more_than_reading:
            raise ValueError("a read token needs a token beside it: without one everybody may write")
        if self.read_token == self.token and self.token.get_secret_value():
            raise ValueError("the read token must differ from the token")
        for given, needed, why in _TOGETHER:
            if getattr(self, given) and not getattr(self, needed):
                raise ValueError(f"{given} without {needed}: {why}")
        return self

    @property
    def asks_for_more_than_reading(self) -> bool:
        """Whether somebody beside readers is known."""
        return bool(self.token.get_secret_value() or self.clients_file or self.jwks_file)

    @property
    def asks_for_credentials(self) -> bool:
        """Whether a call needs a token, or a connection a client certificate."""
        return self.asks_for_more_than_reading or bool(self.tls_client_ca)

    def access(self, services: Sequence[ServiceDescriptor]) -> Access | None:
        """Build the decision about calls; None when everybody may call.

        Raises ValueError for a method without roles, FileProblem for a file that cannot be used.
        """
        table = access_table(services)
        if not self.asks_for_more_than_reading:
            return None
        rules = JwtRules(self.jwt_audience, self.jwt_issuer, self.jwt_roles_claim, self.jwt_namespace_claim)
        signed = JwtTokens(self.jwks_file, rules) if self.jwks_file else None
        return Access(table, fixed=self._fixed(), clients_file=self.clients_file, signed=signed)

    def guard(self, access: Access | None) -> Guard | None:
        """Build what stands before every call; None when there is nothing to check."""
        throttle = None
        if self.rate_limit or self.open_calls_limit:
            throttle = Throttle(rate=self.rate_limit, burst=self.rate_burst, open_max=self.open_calls_limit)
        return Guard(access, throttle) if access is not None or throttle is not None else None

    def certificates(self) -> ServerCertificates | None:
        """Read the server's certificates; None without TLS. Raises FileProblem."""
        if not self.tls_cert:
            return None
        return ServerCertificates(self.tls_cert, self.tls_key, client_ca=self.tls_client_ca)

    def _fixed(self) -> dict[str, Client]:
        tokens = {
            self.read_token.get_secret_value(): Client("read-token", granted([READ])),
            self.token.get_secret_value(): Client("token", granted([ADMIN])),
        }
        return {token: client for token, client in tokens.items() if token}
