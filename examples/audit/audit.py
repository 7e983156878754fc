"""Audits the Python environment it runs in: a durable workflow on real input.

Every installed distribution lists its files in a RECORD with their digests. One step per distribution hashes the files
and tells what is missing, changed or added; the run then waits for a person who approves what was found.
Everything that reads a file is a step; the workflow itself only decides. ``demo.py`` beside this file runs it, kills
its runtime in the middle and compares the outcome with the same functions called without holdfast.
"""

from __future__ import annotations

import asyncio
import base64
import csv
import hashlib
import os
import sysconfig
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import BaseModel

from holdfast import RetryableError, hook, run_info, sleep, step, step_info, workflow

Problem = Literal["missing", "changed", "added"]


class Options(BaseModel):
    """What to audit and how patiently. ``site`` is a site-packages directory; None means those of this interpreter."""

    site: str | None = None
    at_once: int = 8
    pause_seconds: float = 1.0
    approval_seconds: float = 60.0


class Target(BaseModel):
    """One distribution: its ``.dist-info`` directory, and those that share a top-level directory with it."""

    info: str
    neighbours: list[str] = []


class Finding(BaseModel):
    """One file that is not as its distribution says."""

    path: str
    problem: Problem


class Verdict(BaseModel):
    """What the audit of one distribution found. ``findings`` are in order of path."""

    distribution: str
    files_checked: int
    bytes_hashed: int
    findings: list[Finding]


class Approval(BaseModel):
    """What a person answers to the findings."""

    approved: bool
    approver: str


class Report(BaseModel):
    """The result of a run. ``approval`` is None when nobody answered in time."""

    distributions: int
    files_checked: int
    bytes_hashed: int
    suspicious: list[Verdict]
    approval: Approval | None


@workflow(name="audit")
async def audit(options: Options = Options()) -> Report:
    """Audits all distributions at once, within a limit, and waits for an approval of the findings."""
    targets = await find_targets(options.site)
    places = asyncio.Semaphore(options.at_once)

    async def inspect_in_turn(target: Target) -> Verdict:
        async with places:
            return await inspect(target)

    verdicts = await asyncio.gather(*(inspect_in_turn(target) for target in targets))
    await announce(len(verdicts))
    await sleep(options.pause_seconds)
    approval = await approval_within(options.approval_seconds, verdicts)
    return report_on(verdicts, approval)


async def approval_within(seconds: float, verdicts: list[Verdict]) -> Approval | None:
    """Opens a hook and waits for its first payload; None when the deadline passes first."""
    summary = {"distributions": len(verdicts), "findings": sum(len(verdict.findings) for verdict in verdicts)}
    async with hook(Approval, token=f"audit:{run_info().run_id}", metadata=summary) as approvals:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                return await approvals
    return None


def report_on(verdicts: list[Verdict], approval: Approval | None) -> Report:
    """Sums up. Pure, so a replay computes it again instead of recording it as a step."""
    return Report(
        distributions=len(verdicts),
        files_checked=sum(verdict.files_checked for verdict in verdicts),
        bytes_hashed=sum(verdict.bytes_hashed for verdict in verdicts),
        suspicious=[verdict for verdict in verdicts if verdict.findings],
        approval=approval,
    )


@step(name="audit.find_targets")
def find_targets(site: str | None) -> list[Target]:
    """Lists the distributions that have a RECORD, in order of name."""
    sites = [site] if site else sorted({sysconfig.get_paths()[kind] for kind in ("purelib", "platlib")})
    infos = sorted({info.parent.resolve() for folder in sites for info in Path(folder).glob("*.dist-info/RECORD")})
    roots = {info: set(package_roots(info)) for info in infos}

    def neighbours_of(info: Path) -> list[str]:
        return [str(other) for other in infos if other != info and roots[other] & roots[info]]

    return [Target(info=str(info), neighbours=neighbours_of(info)) for info in infos]


@step(name="audit.inspect")
def inspect(target: Target) -> Verdict:
    """Hashes every recorded file of one distribution and looks for files that nobody recorded."""
    info = Path(target.info)
    record = list(read_record(info))
    problems: dict[str, Problem] = {
        recorded.path: problem for recorded in record if (problem := problem_of(recorded)) is not None
    }
    known = {recorded.path for recorded in record}
    known.update(recorded.path for neighbour in target.neighbours for recorded in read_record(Path(neighbour)))
    for root in package_roots(info):
        problems.update((path, "added") for path in files_under(root) if path not in known)
    return Verdict(
        distribution=info.name.removesuffix(".dist-info"),
        files_checked=len(record),
        bytes_hashed=sum(path.stat().st_size for recorded in record if (path := Path(recorded.path)).is_file()),
        findings=[Finding(path=path, problem=problem) for path, problem in sorted(problems.items())],
    )


@step(name="audit.announce")
async def announce(distributions: int) -> str:
    """Tells a bulletin board, which is always busy at the first try: the step of the demo that is retried."""
    if step_info().attempt == 1:
        raise RetryableError("the bulletin board is busy", retry_after="300ms")
    return f"{distributions} distributions audited"


class Recorded(NamedTuple):
    """One line of a RECORD: absolute path, digest as "algorithm=base64" or "", size in bytes or ""."""

    path: str
    digest: str
    size: str


def read_record(info: Path) -> Iterator[Recorded]:
    """Yields the files of a distribution. Compiled files are left out: Python rewrites them as it likes."""
    with (info / "RECORD").open(newline="", encoding="utf-8") as lines:
        for name, digest, size in csv.reader(lines):
            if not is_compiled(name):
                yield Recorded(os.path.normpath(info.parent / name), digest, size)


def problem_of(recorded: Recorded) -> Problem | None:
    """Compares a file with what was recorded of it. A file recorded without a digest only has to exist."""
    try:
        content = Path(recorded.path).read_bytes()
    except FileNotFoundError:
        return "missing"
    if not recorded.digest:
        return None
    algorithm, _, expected = recorded.digest.partition("=")
    actual = base64.urlsafe_b64encode(hashlib.new(algorithm, content).digest()).decode().rstrip("=")
    is_same = actual == expected.rstrip("=") and recorded.size in ("", str(len(content)))
    return None if is_same else "changed"


def package_roots(info: Path) -> list[str]:
    """The top-level directories beside ``info`` that hold files of the distribution."""
    site = info.parent
    inside = [Path(recorded.path).relative_to(site) for recorded in read_record(info) if is_below(recorded.path, site)]
    return sorted({str(site / path.parts[0]) for path in inside if len(path.parts) > 1})


def files_under(root: str) -> Iterator[str]:
    """Yields every file below a directory except compiled ones."""
    for folder, _, names in os.walk(root):
        yield from (path for name in names if not is_compiled(path := os.path.join(folder, name)))


def is_below(path: str, folder: Path) -> bool:
    """True when ``path`` lies in ``folder`` at any depth."""
    return Path(path).is_relative_to(folder)


def is_compiled(path: str) -> bool:
    """True for what the interpreter writes beside the sources."""
    return path.endswith(".pyc") or "__pycache__" in Path(path).parts
