"""Method → roles that open it, read from the option ``roles`` of the protos.

Owns the meaning of roles: which includes which. A method without the option is a mistake that stops a server from
starting, so that a new method cannot be open, or closed, by oversight. Read ``protos/holdfast/v1/access.proto`` for
what each role is for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

from holdfast.v1 import access_pb2

Roles = frozenset[str]

READ: Final = "read"
WRITE: Final = "write"
WORKER: Final = "worker"
ADMIN: Final = "admin"

#: Role → every role that it stands for.
INCLUDES: Final[Mapping[str, Roles]] = MappingProxyType(
    {
        READ: frozenset({READ}),
        WRITE: frozenset({READ, WRITE}),
        WORKER: frozenset({WORKER}),
        ADMIN: frozenset({READ, WRITE, WORKER, ADMIN}),
    }
)

#: What a server serves beside its own methods, by the beginning of their names. Reflection tells what is in the protos,
#: so any credential will do.
REFLECTION: Final = "/grpc.reflection."
_ANY: Final[Roles] = frozenset(INCLUDES)


def granted(names: Iterable[str]) -> Roles:
    """Return every role that these stand for. Raises ValueError for a name that is none."""
    found: set[str] = set()
    for name in names:
        if name not in INCLUDES:
            raise ValueError(f"{name!r} is not a role; expected one of {', '.join(INCLUDES)}")
        found |= INCLUDES[name]
    return frozenset(found)


def roles_of(method: MethodDescriptor) -> Roles:
    """Return the roles that open a method; one is enough. Raises ValueError when it names none."""
    prefix = "ROLE_"
    numbers = method.GetOptions().Extensions[access_pb2.roles]
    names = frozenset(access_pb2.Role.Name(number).removeprefix(prefix).lower() for number in numbers)
    if not names or not names <= INCLUDES.keys():
        raise ValueError(
            f"{method.full_name} does not name the roles that may call it: add `option (roles) = ROLE_…;` to it in "
            "its proto, see access.proto, and generate again"
        )
    return names


def access_table(services: Iterable[ServiceDescriptor]) -> Mapping[str, Roles]:
    """Return full method name ("/package.Service/Method") → roles, complete. Raises ValueError as ``roles_of``."""
    table = {
        f"/{service.full_name}/{method.name}": roles_of(method) for service in services for method in service.methods
    }
    return MappingProxyType(table)


def openers(table: Mapping[str, Roles], method: str) -> Roles:
    """Return the roles that open a method; none for one that is not in the table."""
    return table.get(method) or (_ANY if method.startswith(REFLECTION) else frozenset())
