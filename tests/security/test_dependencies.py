"""Every package that the image installs is pinned, with hashes of its contents."""

from __future__ import annotations

import re
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCK = (ROOT / "requirements.lock").read_text()

#: What the image has beyond the plain package; see `make lock`.
EXTRAS = ("crypto", "jwt", "otel", "postgres", "zstd")


def pins() -> dict[str, tuple[str, int]]:
    """Name → its version in the lock, and how many hashes it has."""
    entries = re.split(r"\n(?=\S)", "\n" + re.sub(r"^\s*#.*\n", "", LOCK, flags=re.MULTILINE))
    found = {}
    for entry in filter(None, map(str.strip, entries)):
        head = re.match(r"([A-Za-z0-9_.-]+)==(\S+)", entry)
        assert head, f"not pinned: {entry.splitlines()[0]}"
        found[canonicalize_name(head[1])] = (head[2], entry.count("--hash=sha256:"))
    return found


def test_every_line_of_the_lock_names_one_version_and_its_hashes() -> None:
    assert all(hashes for _, hashes in pins().values())
    assert "://" not in LOCK, "a lock names no place that it was made from"


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
    assert len(installs) == 2
    assert "--require-hashes -r requirements.lock" in installs[0] and "--no-deps" in installs[1]
    assert re.search(r"^USER holdfast$", text, re.MULTILINE), "the services do not run as root"
