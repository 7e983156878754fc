"""The profile `postgres` of docker-compose.yml means what it says, on machines without a container engine too.

Its commands, environment and health checks run natively, in the order that `depends_on` asks for, over a PostgreSQL
that the test starts. Each service gets ports of this machine in place of those inside its container.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.postgres import PostgresServer

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES = {name: it for name, it in COMPOSE["services"].items() if it.get("profiles") == ["postgres"]}
OURS = {name: it for name, it in SERVICES.items() if name != "postgres"}
HOLDFAST = str(Path(sys.executable).with_name("holdfast"))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def inside(service: dict[str, Any]) -> int:
    """The port that a service listens on in its container."""
    return int(service["command"][service["command"].index("--listen") + 1].rpartition(":")[2])


def aliases(service: dict[str, Any]) -> list[str]:
    """The names by which a container is found beside its own."""
    found: list[str] = service.get("networks", {}).get("default", {}).get("aliases", [])
    return found


class Machine:
    """This machine in the place of the containers: a port for each service, a database for theirs."""

    def __init__(self, server: PostgresServer, database: str) -> None:
        name = database.rpartition("/")[2]
        self.database = f"postgresql://postgres@127.0.0.1:{server.port}/{name}"
        self.addresses = {name: f"127.0.0.1:{free_port()}" for name in OURS}

    def said(self, name: str, words: list[str]) -> list[str]:
        """What is said in the container of a service, as it is said here."""
        own = {f"{host}:{inside(OURS[name])}": self.addresses[name] for host in ("0.0.0.0", "127.0.0.1")}
        others = {f"{other}:{inside(OURS[other])}": address for other, address in self.addresses.items()}
        stores = [name for name in OURS if "stores" in aliases(OURS[name])]
        # DNS leads this name to all of them; here it is their list.
        all_stores = {f"stores:{inside(OURS[stores[0]])}": ",".join(self.addresses[it] for it in stores)}
        places = {**own, **others, **all_stores, "/app/": f"{ROOT}/"}
        programs = {"python": sys.executable, "holdfast": HOLDFAST}
        said = [programs.get(words[0], words[0]), *words[1:]]
        for there, here in places.items():
            said = [word.replace(there, here) for word in said]
        return said

    def environment(self, name: str) -> dict[str, str]:
        told = {key: self.database_of(value) for key, value in OURS[name].get("environment", {}).items()}
        # The run that is started here is of no interest at the end.
        return os.environ | told | {"HOLDFAST_DRAIN_SECONDS": "1"}

    def database_of(self, value: str) -> str:
        assert (
            value == f"postgresql://{credentials()}@postgres:5432/{SERVICES['postgres']['environment']['POSTGRES_DB']}"
        )
        return self.database

    @contextmanager
    def running(self, names: tuple[str, ...]) -> Iterator[None]:
        """Start services that need nothing of each other, together, and end them together."""
        with ExitStack() as stack:
            started = {name: stack.enter_context(self.process(name)) for name in names}
            try:
                for name, process in started.items():
                    self.await_health(name, process)
                yield
            finally:
                for process in started.values():
                    process.terminate()

    def process(self, name: str) -> subprocess.Popen[bytes]:
        command = self.said(name, OURS[name]["command"])
        return subprocess.Popen(command, env=self.environment(name), stdout=subprocess.DEVNULL)

    def await_health(self, name: str, process: subprocess.Popen[bytes]) -> None:
        kind, *check = OURS[name]["healthcheck"]["test"]
        assert kind == "CMD"
        until = time.monotonic() + 40
        while subprocess.run(self.said(name, check), capture_output=True, timeout=20, check=False).returncode != 0:
            assert process.poll() is None and time.monotonic() < until, f"{name} did not become healthy"


def credentials() -> str:
    told = SERVICES["postgres"]["environment"]
    return f"{told['POSTGRES_USER']}:{told['POSTGRES_PASSWORD']}"


def tiers() -> list[tuple[str, ...]]:
    """The services in the order that `depends_on` asks for; those of a tier need nothing of each other."""
    sorter = TopologicalSorter({name: set(service.get("depends_on", {})) for name, service in SERVICES.items()})
    sorter.prepare()
    found = []
    while sorter.is_active():
        found.append(tuple(sorted(sorter.get_ready())))
        sorter.done(*found[-1])
    return found


@pytest.mark.slow
def test_two_stores_and_two_runtimes_start_in_order_and_are_one_store(
    postgres_server: PostgresServer, postgres_url: str
) -> None:
    machine = Machine(postgres_server, postgres_url)
    order = tiers()
    assert order == [("postgres",), ("store-1", "store-2"), ("runtime-1", "runtime-2")]
    with ExitStack() as stack:
        for names in order[1:]:
            stack.enter_context(machine.running(names))
        first, second = (machine.addresses[name] for name in ("runtime-1", "runtime-2"))
        subprocess.run([HOLDFAST, "start", "audit", "--id", "one", "--runtime", first], check=True, timeout=30)
        listed = subprocess.run(
            [HOLDFAST, "runs", "--json", "--runtime", second], check=True, timeout=30, capture_output=True, text=True
        )
    assert '"one"' in listed.stdout


def test_everyone_waits_until_what_they_need_is_healthy() -> None:
    conditions = {
        (name, needs): how["condition"]
        for name, it in SERVICES.items()
        for needs, how in it.get("depends_on", {}).items()
    }
    assert {needs for _, needs in conditions} == {"postgres", "store-1", "store-2"}
    assert set(conditions.values()) == {"service_healthy"}
    assert all("healthcheck" in service for service in SERVICES.values())


def test_a_runtime_of_the_profile_asks_stores_that_it_waits_for() -> None:
    for name, service in OURS.items():
        if name.startswith("runtime"):
            store = service["command"][service["command"].index("--store") + 1].rpartition(":")[0]
            asked = {other for other, it in OURS.items() if store in aliases(it)}
            assert asked == set(service["depends_on"])


def test_the_check_of_postgresql_is_a_program_of_its_image_that_answers(postgres_server: PostgresServer) -> None:
    kind, program, *words = SERVICES["postgres"]["healthcheck"]["test"]
    assert kind == "CMD"
    here = [str(postgres_server.binaries / program), *words, "-p", str(postgres_server.port)]
    assert subprocess.run(here, capture_output=True, timeout=20, check=False).returncode == 0
    nobody = [*here[:-1], str(free_port())]
    assert subprocess.run(nobody, capture_output=True, timeout=20, check=False).returncode == 2


def test_no_port_is_published_twice_or_beyond_this_machine_and_the_data_is_on_a_volume() -> None:
    ports = [port for service in COMPOSE["services"].values() for port in service.get("ports", [])]
    outside = [re.fullmatch(r"127\.0\.0\.1:(\d+):\d+", port) for port in ports]
    assert all(outside) and len({match[1] for match in outside if match}) == len(ports)
    assert "ports" not in SERVICES["postgres"]
    assert SERVICES["postgres"]["volumes"][0].partition(":")[0] in COMPOSE["volumes"]
