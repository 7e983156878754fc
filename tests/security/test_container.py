"""What the image is made of and what a container may do, read from the files that say so; `make lint` has hadolint."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
#: The instructions, one each, with their continued lines put together.
INSTRUCTIONS = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text().replace("\\\n", ""), flags=re.MULTILINE)
SERVICES: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}

#: What a name of a build argument or of a variable must not speak of: it would stay in the image for all to read.
_SECRET = re.compile(r"TOKEN|PASSW|SECRET|CREDENTIAL|API_?KEY|PRIVATE", re.IGNORECASE)
_KEY = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----\s*[A-Za-z0-9+/=]{20}")


def told(word: str) -> list[str]:
    """The instructions of one kind, without their name."""
    return re.findall(rf"^{word}\s+(.*)$", INSTRUCTIONS, re.MULTILINE)


def test_every_stage_stands_on_the_same_base_by_version_and_digest() -> None:
    bases = {line.split()[0] for line in told("FROM")}
    assert len(told("FROM")) == 2 and len(bases) == 1
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-[a-z]+@sha256:[0-9a-f]{64}", bases.pop())


def test_the_image_runs_as_nobody_in_particular_and_by_number() -> None:
    users = told("USER")
    assert len(users) == 1 and users[0].isdecimal() and int(users[0]) >= 10_000
    assert f"--uid {users[0]} " in INSTRUCTIONS, "the number is that of the user who was made"


def test_nothing_comes_into_the_image_but_what_is_pinned_or_in_the_repository() -> None:
    assert not told("ADD"), "ADD takes what a URL says today"
    commands = [part.strip() for line in told("RUN") for part in line.split("&&")]
    removed = "python -m pip uninstall --yes pip"
    allowed = ("python -m venv", "/opt/holdfast/bin/pip ", removed, "useradd ", "install -d ")
    assert all(it.startswith(allowed) for it in commands), commands
    for command in commands:
        if " install " in command and "pip" in command:
            assert "--require-hashes" in command or "--no-deps --no-build-isolation ." in command, command
    # What installs packages does not stay, neither in the environment nor in the base.
    assert commands[4].endswith("pip uninstall --yes setuptools pip") and removed in commands


def test_the_build_context_is_a_list_of_what_may_be_in_the_image_and_none_of_it_is_a_secret() -> None:
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert ignored[0] == "*"
    names = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    copied = {source for line in told("COPY") if "--from" not in line for source in line.split()[:-1]}
    assert {it for it in copied if not it.startswith("--")} == names
    assert not [line for line in told("ARG") + told("ENV") + told("LABEL") if _SECRET.search(line)]
    for file in _committed(names):
        assert not _KEY.search(file.read_bytes()), file
        assert file.suffix not in (".pem", ".key", ".token", ".env", ".db"), file


def _committed(names: set[str]) -> Iterator[Path]:
    listed = subprocess.run(["git", "ls-files", *sorted(names)], cwd=ROOT, capture_output=True, text=True, check=True)
    yield from (ROOT / line for line in listed.stdout.splitlines())


def test_every_image_of_the_compose_file_is_ours_or_of_one_version() -> None:
    assert OURS.keys() >= {"store", "runtime"}
    for name, service in SERVICES.items():
        assert name in OURS or re.fullmatch(r"[a-z]+:\d+\.\d+(@sha256:[0-9a-f]{64})?", service["image"]), name


@pytest.mark.parametrize("name", sorted(OURS))
def test_a_container_of_ours_gains_no_rights_and_listens_on_this_machine_only(name: str) -> None:
    service = OURS[name]
    assert service["cap_drop"] == ["ALL"] and service["security_opt"] == ["no-new-privileges:true"]
    assert not service.keys() & {"privileged", "cap_add", "user", "network_mode", "pid", "devices"}
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert all(volume.endswith(":ro") or volume.endswith(":/data") for volume in service.get("volumes", ()))


@pytest.mark.skipif(sys.platform == "win32", reason="hadolint has no wheel there")
def test_the_linter_of_dockerfiles_finds_nothing_and_is_seen_to_find(tmp_path: Path) -> None:
    linter = [str(Path(sys.executable).with_name("hadolint")), "--failure-threshold", "info"]
    done = subprocess.run([*linter, str(ROOT / "Dockerfile")], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")
    careless = tmp_path / "Dockerfile"
    careless.write_text("FROM python:latest\nRUN cd /srv && pip install holdfast\nUSER root\n")
    found = subprocess.run([*linter, str(careless)], capture_output=True, text=True, timeout=60)
    assert found.returncode == 1 and {"DL3007", "DL3013", "DL3002"} <= set(re.findall(r"DL\d+", found.stdout))
