"""Every package that the image installs is pinned, with hashes of its contents."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import tomllib
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCK = (ROOT / "requirements.lock").read_text()
BUILD_LOCK = (ROOT / "requirements-build.lock").read_text()

#: What the image has beyond the plain package; see `make lock`.
EXTRAS = ("crypto", "jwt", "otel", "postgres", "zstd")


def pins(lock: str = LOCK) -> dict[str, tuple[str, int]]:
    """Name → its version in the lock, and how many hashes it has."""
    entries = re.split(r"\n(?=\S)", "\n" + re.sub(r"^\s*#.*\n", "", lock, flags=re.MULTILINE))
    found = {}
    for entry in filter(None, map(str.strip, entries)):
        head = re.match(r"([A-Za-z0-9_.-]+)==(\S+)", entry)
        assert head, f"not pinned: {entry.splitlines()[0]}"
        found[canonicalize_name(head[1])] = (head[2], entry.count("--hash=sha256:"))
    return found


@pytest.mark.parametrize("lock", [LOCK, BUILD_LOCK], ids=["image", "build"])
def test_every_line_of_a_lock_names_one_version_and_its_hashes(lock: str) -> None:
    assert pins(lock) and all(hashes for _, hashes in pins(lock).values())
    assert "://" not in lock, "a lock names no place that it was made from"


def test_what_builds_the_image_is_in_a_lock_too() -> None:
    wanted = [
        Requirement(text) for text in tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    ]
    locked = pins(BUILD_LOCK)
    assert wanted and all(it.specifier.contains(locked[canonicalize_name(it.name)][0]) for it in wanted)


def test_every_dependency_of_the_services_is_in_the_lock_in_a_version_that_it_allows() -> None:
    locked = pins()
    for text in distribution("holdfast").requires or ():
        wanted = Requirement(text)
        extras = [extra for extra in ("", *EXTRAS) if wanted.marker is None or wanted.marker.evaluate({"extra": extra})]
        if not extras:
            continue
        name = canonicalize_name(wanted.name)
        assert name in locked, f"{name} is not in requirements.lock; run `make lock`"
        assert wanted.specifier.contains(locked[name][0]), f"{name} {locked[name][0]} does not fit {wanted}"


def test_the_image_installs_from_the_lock_and_nothing_beside_it() -> None:
    text = (ROOT / "Dockerfile").read_text()
    installs = re.findall(r"pip install ([^\n\\]*)", text)
    assert len(installs) == 3
    assert "--require-hashes -r requirements.lock" in installs[0]
    assert "--require-hashes -r requirements-build.lock" in installs[1]
    assert "--no-deps --no-build-isolation" in installs[2]


def test_an_audit_that_reaches_nobody_says_that_nothing_was_looked_up_and_fails_where_it_is_required() -> None:
    script = ["bash", str(ROOT / "scripts" / "audit.sh")]
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nobody = f"http://127.0.0.1:{closed.getsockname()[1]}"
    for required, code in (("", 0), ("required", 1)):
        environment = {**os.environ, "HOLDFAST_ADVISORIES": nobody, "HOLDFAST_AUDIT": required}
        done = subprocess.run(script, env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == code and "nothing was looked up" in done.stderr, done.stderr
