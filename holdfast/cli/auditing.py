"""`holdfast audit STORE`: whether every log and every row of a database keeps the laws of the store.

Reads the file beside a running store, or without one, and changes nothing. Exit codes: 0 all is well, 1 something is
broken, 2 there is no such database.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.cli.exits import FOUND
from holdfast.cli.options import AsJson

if TYPE_CHECKING:
    from holdfast.cli.services import StoreAudit


def audit(
    database: Annotated[
        str,
        typer.Argument(metavar="STORE", envvar="HOLDFAST_DATABASE", help="sqlite:///file.db, or the path of a file."),
    ],
    as_json: AsJson = False,
) -> None:
    """Audit the database STORE: logs dense and in order, each thing ended once, rows as the logs derive them.

    Only reads; the store may be running. Exits 1 when a law is broken; a backup of before tells what was lost.
    """
    from holdfast.cli.services import audited

    found = audited(database)
    for line in [_as_json(found)] if as_json else _lines(found):
        typer.echo(line)
    if found.findings:
        raise typer.Exit(FOUND)


def _lines(found: StoreAudit) -> Iterator[str]:
    for run_id, finding in found.findings:
        yield f"{run_id}: {finding}"
    broken = len({run_id for run_id, _ in found.findings})
    yield f"{found.runs} runs, {found.events} events, {f'{broken} runs are' if broken else 'nothing is'} broken"


def _as_json(found: StoreAudit) -> str:
    findings = [{"runId": run_id, "finding": finding} for run_id, finding in found.findings]
    counts = {"storeId": found.store_id, "runs": found.runs, "events": found.events}
    return json.dumps(counts | {"findings": findings}, ensure_ascii=False)
