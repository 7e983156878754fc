"""Credentials for tests: a file of clients, one for each role, and an issuer of signed tokens with its key file."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

ROLES = ("read", "write", "worker", "admin")


def token_of(role: str) -> str:
    """The token of the client that has this role only."""
    return f"sesame-of-the-{role}-client"


def write_clients(path: Path, **more: dict[str, Any]) -> str:
    """Write a file with a client for each role, and those in ``more``; returns its path."""
    clients: dict[str, dict[str, Any]] = {
        role: {"roles": [role], "sha256": hashlib.sha256(token_of(role).encode()).hexdigest()} for role in ROLES
    }
    clients.update(more)
    lines = []
    for name, fields in clients.items():
        lines += [f"[{name}]", *(f"{field} = {json.dumps(value)}" for field, value in fields.items())]
    path.write_text("\n".join(lines))
    return str(path)


class Issuer:
    """Signs tokens. ``file`` is the JWKS with its public key."""

    def __init__(self, path: Path, key_id: str = "key-1") -> None:
        self.file = str(path)
        self.replace_key(key_id)

    def replace_key(self, key_id: str) -> None:
        """Sign with a new key from now on, and publish it instead of the old one."""
        self._key, self._key_id = ec.generate_private_key(ec.SECP256R1()), key_id
        public = ECAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        Path(self.file).write_text(json.dumps({"keys": [{**public, "kid": key_id, "use": "sig", "alg": "ES256"}]}))

    def token(self, *roles: str, **claims: Any) -> str:
        """Sign a token that is good for an hour, but for what ``claims`` say otherwise."""
        body = {"sub": "someone", "aud": "holdfast", "exp": int(time.time()) + 3600, "roles": list(roles), **claims}
        body = {name: value for name, value in body.items() if value is not None}
        return jwt.encode(body, self._key, "ES256", headers={"kid": self._key_id})
