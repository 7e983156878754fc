"""`holdfast migrate FROM TO`: a whole store from one database to another, while no store runs.

Only says what was moved; how, and what makes it safe, is in ``store_service/migrating.py``. Exit codes: 0 moved and
verified, 2 nothing was moved and the target is as empty as before.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.cli.options import AsJson

if TYPE_CHECKING:
    from holdfast.cli.services import Migration

_SHAPES = "sqlite:///file.db or postgresql://user@host/database"


def migrate(
    source: Annotated[str, typer.Argument(metavar="FROM", help=f"{_SHAPES}; it is only read.")],
    target: Annotated[str, typer.Argument(metavar="TO", help="As FROM: no file yet, or an empty database.")],
    as_json: AsJson = False,
) -> None:
    """Move the store in FROM to TO: SQLite to PostgreSQL, or back. Stop every store on either of them first.

    Nothing is lost: logs byte for byte, positions, tokens, request ids, messages with their leases, streams. Every
    row is read again and every log audited before the target becomes visible; after an interruption start it again.
    Then start the stores with TO, and never again with FROM.
    """
    from holdfast.cli.services import migrated

    if source.startswith("postgres") or target.startswith("postgres"):
        typer.echo("every store on the PostgreSQL database must be stopped until this is done", err=True)
    moved = migrated(source, target)
    typer.echo(_as_json(moved) if as_json else _line(moved))


def _line(moved: Migration) -> str:
    rows = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in moved.rows.items() if count)
    return f"moved store {moved.store_id} from {moved.source} to {moved.target}: {rows}; nothing is broken"


def _as_json(moved: Migration) -> str:
    told = {"storeId": moved.store_id, "source": moved.source, "target": moved.target, "rows": moved.rows}
    return json.dumps(told, ensure_ascii=False)
