"""`holdfast lint`: findings as text, JSON or SARIF. Exits 1 when there is any, 2 when a file cannot be read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.cli.exits import FOUND, CommandError
from holdfast.cli.options import AsJson
from holdfast.installed import installed_version

if TYPE_CHECKING:
    from holdfast.lint import Finding


def lint(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Python files, or folders of them.")],
    as_json: AsJson = False,
    as_sarif: Annotated[bool, typer.Option("--sarif", help="Print SARIF 2.1.0.")] = False,
) -> None:
    """Find what workflows and steps in FILE... must not do, without importing anything. With --json one a line."""
    from holdfast.lint import lint_file

    if as_json and as_sarif:
        raise CommandError("--json and --sarif are two formats; choose one")
    findings = [finding for path in _files(files) for finding in _linted(path, lint_file)]
    for line in _sarif(findings) if as_sarif else (_line(it, as_json) for it in findings):
        typer.echo(line)
    if findings:
        raise typer.Exit(FOUND)


def _files(names: Sequence[str]) -> Iterator[Path]:
    for name in names:
        path = Path(name)
        if path.is_dir():
            yield from sorted(it for it in path.rglob("*.py") if not any(part.startswith(".") for part in it.parts[1:]))
        elif path.is_file():
            yield path
        else:
            raise CommandError(f"there is no file {name!r} (looked in {Path.cwd()})")


def _linted(path: Path, lint_file: Callable[[Path], list[Finding]]) -> list[Finding]:
    try:
        return lint_file(path)
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}") from None


def _line(finding: Finding, as_json: bool) -> str:
    return json.dumps(finding.as_json(), ensure_ascii=False) if as_json else finding.text


def _sarif(findings: Sequence[Finding]) -> Iterator[str]:
    from holdfast.lint.sarif import sarif

    yield json.dumps(sarif(findings, installed_version()), indent=2, ensure_ascii=False)
