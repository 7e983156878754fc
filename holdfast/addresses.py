"""Addresses of services with several replicas: what a program is told, and what gRPC makes of it.

Owns the list form, ``10.0.0.1:7701,10.0.0.2:7701``, and how a channel behaves when an address leads to several
servers, by a list or by a DNS name: it takes one at random and stays with it, so that the clients of many replicas
spread and the calls of one client travel together; when that server is gone it goes on to the next that answers. It is
gRPC's own ``pick_first``, shuffled; nothing here connects. Proof: `tests/network/test_addresses.py`.
"""

from __future__ import annotations

import json
from ipaddress import ip_address
from typing import Final

_POLICY: Final = {"loadBalancingConfig": [{"pick_first": {"shuffleAddressList": True}}]}

#: For every channel: which of several servers it takes.
BALANCED: Final = (("grpc.service_config", json.dumps(_POLICY)),)


def target_of(address: str, *, is_secure: bool = False) -> str:
    """Return what gRPC connects to: ``host:port`` as it is, a list of ``ip:port`` as all of its members.

    Raises ValueError for a list of anything but IP addresses of one family, and for any list when the channel
    ``is_secure``: a list has no name that a certificate could be checked against.
    """
    if "," not in address:
        return address
    if is_secure:
        raise ValueError(f"with TLS a service has one name, got the list {address!r}: use a DNS name that leads to all")
    members = [member.strip() for member in address.split(",")]
    families = {_family(member) for member in members}
    if len(families) != 1:
        raise ValueError(f"expected addresses of one family, got {address!r}")
    return f"{families.pop()}:{','.join(members)}"


def _family(member: str) -> str:
    host, _, port = member.rpartition(":")
    try:
        version: int | None = ip_address(host.removeprefix("[").removesuffix("]")).version
    except ValueError:
        version = None
    if version is None or not port.isdecimal() or int(port) > 65_535:
        raise ValueError(f"a list holds IP addresses with ports, got {member!r}: a name leads to many by DNS")
    return f"ipv{version}"
