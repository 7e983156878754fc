"""The page about running it in production: its YAML says what the services can do, its commands do what it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import psycopg
import pytest
import yaml

from holdfast.v1 import event_pb2, store_service_pb2, store_service_pb2_grpc
from runtime_service.http.metrics import Metrics
from runtime_service.settings import RuntimeSettings
from store_service.auditing import audit_database
from store_service.settings import StoreSettings
from tests.support.postgres import PostgresServer
from tests.support.runtime import RuntimeProcess
from tests.support.store import StoreProcess

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "operations.md").read_text()
OBJECTS: list[dict[str, Any]] = [
    it for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL) for it in yaml.safe_load_all(text)
]
COMMANDS = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
FILES = re.findall(r"<!-- file: (\S+) -->\n```python\n(.*?)```", PAGE, re.DOTALL)


def of_kind(kind: str) -> list[dict[str, Any]]:
    return [it for it in OBJECTS if it.get("kind") == kind]


def container(deployment: dict[str, Any]) -> dict[str, Any]:
    (found,) = deployment["spec"]["template"]["spec"]["containers"]
    return dict(found)


def environment(deployment: dict[str, Any]) -> dict[str, str]:
    return {it["name"]: it.get("value", "x") for it in container(deployment)["env"]}


@pytest.mark.parametrize("deployment", of_kind("Deployment"), ids=lambda it: str(it["metadata"]["name"]))
def test_a_deployment_drains_before_it_is_killed_and_is_probed_where_it_listens(deployment: dict[str, Any]) -> None:
    pod, told = container(deployment), environment(deployment)
    grace = deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert grace >= float(told["HOLDFAST_DRAIN_SECONDS"]) + 20
    ports = {it["name"]: it["containerPort"] for it in pod["ports"]}
    listened = {int(word.rpartition(":")[2]) for word in pod["command"] if word.startswith("0.0.0.0:")}
    assert set(ports.values()) == listened
    probed = {
        probe[how]["port"]
        for probe in (pod["readinessProbe"], pod["livenessProbe"])
        for how in probe
        if "port" in str(probe[how])
    }
    assert {ports.get(port, port) for port in probed} <= listened
    known = {f"HOLDFAST_{name.upper()}" for name in (*StoreSettings.model_fields, *RuntimeSettings.model_fields)}
    assert told.keys() <= known


def test_services_budgets_and_the_autoscaler_name_pods_that_there_are() -> None:
    pods = [it["spec"]["template"]["metadata"]["labels"] for it in of_kind("Deployment")]
    assert {it["metadata"]["name"] for it in of_kind("Deployment")} == {"holdfast-store", "holdfast-runtime"}
    assert all(it["spec"]["selector"]["matchLabels"] in pods for it in of_kind("PodDisruptionBudget"))
    assert all(it["spec"]["selector"] in pods for it in of_kind("Service"))
    (scaled,) = of_kind("HorizontalPodAutoscaler")
    assert scaled["spec"]["scaleTargetRef"]["name"] == "holdfast-runtime"


def test_every_metric_of_the_page_is_one_that_a_runtime_has() -> None:
    counters = SimpleNamespace(refusals={"stale": 1}, claims=1)
    metrics = Metrics(SimpleNamespace(counters=counters, live_runs=1, active_replays=1, active_steps=1))  # type: ignore[arg-type]
    metrics.answered("health", 200)
    has = set(re.findall(r"^(holdfast_\w+)", metrics.text().decode(), re.MULTILINE))
    (scaled,) = of_kind("HorizontalPodAutoscaler")
    named = {it["pods"]["metric"]["name"] for it in scaled["spec"]["metrics"]}
    (rules,) = [it["groups"][0]["rules"] for it in OBJECTS if "groups" in it]
    named |= {name for rule in rules for name in re.findall(r"holdfast_\w+", rule["expr"])}
    assert len(named) == 5 and named <= has


@pytest.fixture
def databases(postgres_server: PostgresServer, postgres_url: str) -> Iterator[dict[str, str]]:
    with postgres_server.empty_database() as restored, postgres_server.empty_database() as empty:
        yield {"HOLDFAST_DATABASE": postgres_url, "HOLDFAST_RESTORED": restored, "HOLDFAST_EMPTY": empty}


def with_an_ended_and_an_open_run(address: str) -> None:
    created = event_pb2.Event(run_created=event_pb2.RunCreated(workflow_name="by.hand"))
    started, ended = event_pb2.Event(run_started={}), event_pb2.Event(run_completed={})
    with grpc.insecure_channel(address) as channel:
        stub = store_service_pb2_grpc.StoreServiceStub(channel)
        for run_id, events in {"ended": [created, started, ended], "open": [created, started]}.items():
            stub.CreateEvents(store_service_pb2.CreateEventsRequest(run_id=run_id, events=events))


@pytest.mark.slow
def test_the_commands_back_up_restore_move_and_delete(
    postgres_server: PostgresServer, databases: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "app.py").write_text(
        "from holdfast import step\n\n\n@step(name='operations.nothing')\nasync def nothing() -> None: ...\n"
    )
    for name, text in FILES:
        (tmp_path / name).write_text(text)
    store = StoreProcess(tmp_path / "holdfast.db")
    programs = f"{Path(sys.executable).parent}:{postgres_server.binaries}:{os.environ['PATH']}"
    told = {"PATH": programs, "PYTHONPATH": str(ROOT), "HOLDFAST_STORE_ADDRESS": store.address, **databases}

    def say(text: str) -> str:
        done = subprocess.run(
            ["bash", "-euc", text],
            cwd=tmp_path,
            env=os.environ | told,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    try:
        with_an_ended_and_an_open_run(store.address)
        beside, moving, deleting = COMMANDS[:3], COMMANDS[3], COMMANDS[4]
        with RuntimeProcess(tmp_path, "app.py", store=store.address) as runtime:
            told["HOLDFAST_RUNTIME_ADDRESS"] = runtime.address
            for text in beside:
                say(text)
        assert audit_database(str(tmp_path / "backup.db")).runs == 2
        with psycopg.connect(databases["HOLDFAST_RESTORED"]) as connection:
            assert connection.execute("SELECT count(*) FROM meta").fetchone() == (1,)
        store.terminate()
        store.wait()
        say(moving)
        assert audit_database(str(tmp_path / "back.db")).runs == 2
        store.start()
        assert "deleted" not in say(deleting)
        assert say(deleting.replace("30", "-1")) == "deleted 1 runs\n"
        assert audit_database(str(tmp_path / "holdfast.db")).runs == 1
    finally:
        store.close()


def test_the_readme_and_the_page_know_each_other() -> None:
    assert "docs/operations.md" in (ROOT / "README.md").read_text()
    assert len(COMMANDS) == 5
    for link in re.findall(r"\]\(([^)#]+)\)", PAGE):
        assert (ROOT / "docs" / link).exists(), link
