"""Tokens that somebody else signed: JSON Web Tokens, checked with a file of public keys (a JWKS).

Owns what makes such a token good: a signature by one of the keys with the algorithm of that key, the audience, the
issuer when one is named, and a time of expiry that has not come. Only public-key algorithms: with a shared secret every
server could make tokens. Needs PyJWT (``pip install 'holdfast[jwt]'``). Must never put a token or a claim into a
message; read ``access.py`` for where it is asked.
"""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from holdfast.refusal import Refusal
from holdfast.security.clients import Client
from holdfast.security.files import FileProblem, Watched
from holdfast.security.namespaces import DEFAULT, checked_name
from holdfast.security.roles import INCLUDES, granted

#: Seconds that the clocks of issuer and server may differ.
LEEWAY_SECONDS: Final = 30

#: Characters of a token that is looked at: a header line of gRPC holds no more.
TOKEN_CHARS_MAX: Final = 8 * 1024

_ALGORITHMS: Final = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)


@dataclass(frozen=True, slots=True)
class JwtRules:
    """What a token must say. ``issuer`` "" is not checked; ``roles_claim`` is where its roles stand.

    ``namespace_claim`` is where its namespace stands; a token without that claim is of the default one.
    """

    audience: str = "holdfast"
    issuer: str = ""
    roles_claim: str = "roles"
    namespace_claim: str = "namespace"


class JwtTokens:
    """Tells the client of a signed token. Raises FileProblem for a key file that cannot be used."""

    def __init__(self, jwks_file: str | os.PathLike[str], rules: JwtRules) -> None:
        if importlib.util.find_spec("jwt") is None:
            raise FileProblem("signed tokens need PyJWT, which is not installed: pip install 'holdfast[jwt]'")
        self._rules = rules
        self._keys = Watched([jwks_file], lambda: _read_keys(Path(jwks_file)))

    @property
    def version(self) -> int:
        """Changes when the keys do."""
        self._keys.get()
        return self._keys.version

    def client_of(self, token: str) -> Client:
        """Return the client of a good token. Raises Refusal UNAUTHENTICATED that says what is wrong with it."""
        import jwt

        try:
            key = self._key_of(token)
            claims: dict[str, Any] = jwt.decode(
                token,
                key.key,
                algorithms=[key.algorithm_name],
                audience=self._rules.audience,
                issuer=self._rules.issuer or None,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp"]},
            )
        except (jwt.PyJWTError, ValueError) as error:
            raise _bad(_WHAT_IS_WRONG.get(type(error).__name__, "is malformed or not signed by a known key")) from None
        expires_at = float(claims["exp"]) + LEEWAY_SECONDS
        return Client(str(claims.get("sub") or "jwt"), self._roles(claims), expires_at, self._namespace(claims))

    def _key_of(self, token: str) -> Any:
        import jwt

        if len(token) > TOKEN_CHARS_MAX:
            raise jwt.DecodeError
        keys = self._keys.get()
        key_id = jwt.get_unverified_header(token).get("kid")
        found = keys.get(key_id) if key_id is not None else (next(iter(keys.values())) if len(keys) == 1 else None)
        if found is None:
            raise _bad("names no key that this server knows")
        return found

    def _roles(self, claims: Mapping[str, Any]) -> frozenset[str]:
        told = claims.get(self._rules.roles_claim, ())
        names: Iterable[Any] = told.split() if isinstance(told, str) else told if isinstance(told, list) else ()
        # Other services have roles in the same token: what is none of ours is no mistake.
        return granted(name for name in names if isinstance(name, str) and name in INCLUDES)

    def _namespace(self, claims: Mapping[str, Any]) -> str:
        try:
            return checked_name(claims.get(self._rules.namespace_claim, DEFAULT))
        except ValueError:
            # Never the default one instead: who meant to keep a client apart would not notice.
            raise _bad(f"has a claim {self._rules.namespace_claim!r} that names no namespace") from None


#: Name of PyJWT's error → what the sender is told.
_WHAT_IS_WRONG: Final = {
    "ExpiredSignatureError": "has expired",
    "ImmatureSignatureError": "is not valid yet",
    "InvalidAudienceError": "is for another audience",
    "InvalidIssuerError": "comes from another issuer",
    "InvalidSignatureError": "has a bad signature",
    "InvalidAlgorithmError": "is signed with another algorithm than its key is for",
    "MissingRequiredClaimError": "lacks a claim: exp and aud are required",
}


def _bad(what: str) -> Refusal:
    return Refusal("UNAUTHENTICATED", f"the signed token of the call {what}; get a new one from its issuer")


def _read_keys(path: Path) -> dict[str, Any]:
    """Read a JWKS: key id → key. Raises OSError, and ValueError for what is no set of public signing keys."""
    import jwt

    try:
        document = json.loads(path.read_text())
        found = jwt.PyJWKSet.from_dict(document).keys
    except (jwt.PyJWTError, AttributeError, TypeError, json.JSONDecodeError, UnicodeDecodeError):
        raise ValueError('it is not a JWKS with usable keys: expected {"keys": [{"kty": …}, …]}') from None
    if any("d" in key for key in document["keys"] if isinstance(key, dict)):
        raise ValueError("it holds a private key: only the issuer of tokens may have that one")
    keys = {str(key.key_id): key for key in found if key.algorithm_name in _ALGORITHMS}
    if len(keys) != len(found):
        raise ValueError(
            "every key must be a public key of its own: RSA, EC or OKP, each with its kid, and no two alike"
        )
    return keys
