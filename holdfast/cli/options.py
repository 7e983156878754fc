"""The options that many commands share, each with its environment variable."""

from __future__ import annotations

from typing import Annotated

import typer

RuntimeAddress = Annotated[
    str,
    typer.Option("--runtime", envvar="HOLDFAST_RUNTIME_ADDRESS", help="Address of the runtime, HOST:PORT."),
]

Token = Annotated[
    str,
    typer.Option("--token", envvar="HOLDFAST_TOKEN", show_default=False, show_envvar=True, help="Bearer token."),
]

AsJson = Annotated[bool, typer.Option("--json", envvar="HOLDFAST_JSON", help="Print JSON for programs.")]

RunId = Annotated[str, typer.Argument(metavar="RUN", help="Id of the run.")]

DEFAULT_RUNTIME = "127.0.0.1:7702"
