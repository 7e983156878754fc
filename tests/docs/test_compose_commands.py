"""The container files mean what they say, on machines without a container engine too.

The commands and health checks of docker-compose.yml run natively, in the order that `depends_on` asks for; the
Dockerfile is read for what must hold: sources exist, the user is not root.
"""

from __future__ import annotations

import re
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
DOCKERFILE = (ROOT / "Dockerfile").read_text()
SERVICES: dict[str, Any] = COMPOSE["services"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def native(words: list[str], places: dict[str, str]) -> list[str]:
    """A container's command as it is said on this machine."""
    said = []
    for word in words:
        for inside, outside in places.items():
            word = word.replace(inside, outside)
        said.append(word)
    programs = {"python": sys.executable, "holdfast": str(Path(sys.executable).with_name("holdfast"))}
    return [programs.get(said[0], said[0]), *said[1:]]


@contextmanager
def running(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(command) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.wait(30)


def is_healthy(check: list[str], process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Run the health check until it passes, the process ends, or the time is over."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and process.poll() is None:
        if subprocess.run(check, capture_output=True, timeout=20, check=False).returncode == 0:
            return True
    return False


def test_the_services_start_in_order_and_pass_their_health_checks(tmp_path: Path) -> None:
    store, runtime = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    places = {"/data": str(tmp_path), "/app/": f"{ROOT}/", "store:7701": store}
    places |= {f"{host}:7701": store for host in ("0.0.0.0", "127.0.0.1")}
    places |= {f"{host}:7702": runtime for host in ("0.0.0.0", "127.0.0.1")}
    with ExitStack() as stack:
        for name in ("store", "runtime"):
            service = SERVICES[name]
            process = stack.enter_context(running(native(service["command"], places)))
            kind, *check = service["healthcheck"]["test"]
            assert kind == "CMD"
            assert is_healthy(native(check, places), process, 40), f"{name} did not become healthy"
    assert (tmp_path / "holdfast.db").exists()


def test_an_unreachable_service_is_not_healthy() -> None:
    _, *check = SERVICES["store"]["healthcheck"]["test"]
    command = native(check, {"127.0.0.1:7701": f"127.0.0.1:{free_port()}"})
    assert subprocess.run(command, capture_output=True, timeout=30, check=False).returncode == 3


def test_the_runtime_waits_for_a_healthy_store() -> None:
    assert SERVICES["runtime"]["depends_on"]["store"]["condition"] == "service_healthy"


def test_the_store_keeps_its_file_on_a_named_volume() -> None:
    volume, _, target = SERVICES["store"]["volumes"][0].partition(":")
    assert volume in COMPOSE["volumes"]
    assert f"sqlite:///{target}/" in " ".join(SERVICES["store"]["command"])
    assert f"VOLUME {target}" in DOCKERFILE


def test_every_mounted_directory_exists() -> None:
    mounts = [volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])]
    assert [mount for mount in mounts if mount.startswith(".") and not (ROOT / mount).exists()] == []


def test_the_image_does_not_run_as_root_and_is_built_in_stages() -> None:
    final = DOCKERFILE.rpartition("\nFROM ")[2]
    assert re.search(r"^USER (?!root|0\b)\w+$", final, re.MULTILINE)
    assert final.index("USER ") < final.index("CMD ")
    assert len(re.findall(r"^FROM ", DOCKERFILE, re.MULTILINE)) == 2


def test_everything_that_is_copied_into_the_image_exists_and_is_not_ignored() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copies = [shlex.split(line)[1:-1] for line in DOCKERFILE.splitlines() if line.startswith("COPY ")]
    sources = {word for words in copies if "--from=build" not in words for word in words if not word.startswith("--")}
    assert {source for source in sources if not (ROOT / source).exists()} == set()
    assert sources <= allowed
    packages = {"holdfast", "store_service", "runtime_service"}
    assert packages <= sources
