"""The page on clients in other languages: its commands generate, and what it says of packages is what the files say.

The plugins of other languages are not on every machine, so one that only notes what it is asked for stands in for
those of Go: whether buf takes the template, and what it hands on, is what the page can get wrong.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf.compiler import plugin_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from holdfast.v1 import runtime_service_pb2, step_worker_service_pb2, store_service_pb2

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "clients.md").read_text()
GO_PLUGINS = ("protoc-gen-go", "protoc-gen-go-grpc")


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A directory with the protos and the template of the page."""
    shutil.copytree(ROOT / "protos", tmp_path / "protos")
    (tmp_path / "buf.gen.yaml").write_text(re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[0])
    return tmp_path


def run(desk: Path, command: str) -> None:
    path = f"{desk}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        command.split(),
        cwd=desk,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_template_for_go_puts_the_packages_where_the_page_says(desk: Path) -> None:
    for plugin in GO_PLUGINS:
        (desk / plugin).write_text(f'#!/bin/sh\ncat > "{desk}/{plugin}.asked"\n')
        (desk / plugin).chmod(0o755)
    run(desk, "buf generate protos")
    for plugin in GO_PLUGINS:
        asked = plugin_pb2.CodeGeneratorRequest.FromString((desk / f"{plugin}.asked").read_bytes())
        assert asked.parameter == "paths=source_relative"
        packages = {file.options.go_package for file in asked.proto_file if file.package == "holdfast.v1"}
        assert packages == {"example.com/yours/gen/holdfast/v1;holdfastv1"}


def test_the_descriptors_for_rust_hold_every_service(desk: Path) -> None:
    (command,) = re.findall(r"```sh\n(.*?)\n```", PAGE, re.DOTALL)
    run(desk, command)
    files = FileDescriptorSet.FromString((desk / "holdfast.binpb").read_bytes()).file
    services = {service.name for file in files for service in file.service}
    assert {"StoreService", "RuntimeService", "QueueService", "StreamService", "StepWorkerService"} <= services


def test_packages_and_namespaces_are_those_of_the_page() -> None:
    for file in (runtime_service_pb2, step_worker_service_pb2, store_service_pb2):
        options = file.DESCRIPTOR.GetOptions()
        assert f"`{options.go_package}`" in PAGE
        assert f"`{options.java_package}`" in PAGE
        assert f"`{options.csharp_namespace}`" in PAGE


def test_the_files_import_nothing_but_themselves_and_well_known_types() -> None:
    texts = [path.read_text() for path in (ROOT / "protos").rglob("*.proto")]
    imports = {found for text in texts for found in re.findall(r'import "(.*?)"', text)}
    assert all(it.startswith(("google/protobuf/", "holdfast/v1/")) for it in imports), imports
