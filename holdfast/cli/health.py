"""`holdfast health ADDRESS`: asks a service whether it serves, by the standard gRPC health protocol.

Container health checks and scripts that wait for a service use it; it works on every gRPC server, not only ours.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from holdfast.cli.exits import NOT_REACHABLE


def health(
    address: Annotated[str, typer.Argument(help="HOST:PORT of a store or a runtime.")],
    service: Annotated[str, typer.Option(help="Full service name; empty asks for the whole server.")] = "",
    seconds: Annotated[float, typer.Option(help="Seconds to wait for an answer.")] = 5.0,
) -> None:
    """Print the health of a service. Exits 0 when it serves, 3 when it does not."""
    status = ask_health(address, service=service, seconds=seconds)
    typer.echo(status)
    if status != "SERVING":
        raise typer.Exit(NOT_REACHABLE)


def ask_health(address: str, *, service: str = "", seconds: float = 5.0) -> str:
    """Return SERVING, NOT_SERVING, SERVICE_UNKNOWN, or UNREACHABLE when nobody answers in time. Never raises."""
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    from holdfast.cli.connection import open_channel

    with open_channel(address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        try:
            answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=seconds)
        except grpc.RpcError as error:
            return "SERVICE_UNKNOWN" if error.code() is grpc.StatusCode.NOT_FOUND else "UNREACHABLE"
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))
