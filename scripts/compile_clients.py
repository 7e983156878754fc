"""`python scripts/compile_clients.py`: generate and compile what docs/clients.md shows, as far as compilers are here.

Owns what surrounds a snippet (imports, a main function) and the commands that compile it; the snippets themselves are
read from the page. A language whose compilers are missing is left out and named. What Debian packages of each is named
in `NEEDED`; it is older than what the page asks for, so `OLDER` spells newer names as they were. Read
tests/docs/test_clients_compile.py for how CI uses it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from google.rpc import error_details_pb2

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "clients.md"

#: Language → programs and files that compiling it needs, and the Debian packages that have them.
NEEDED: dict[str, tuple[Sequence[str], str]] = {
    "go": (
        ("go", "protoc-gen-go", "protoc-gen-go-grpc", "/usr/share/gocode/src/google.golang.org/grpc"),
        "golang-go golang-google-grpc-dev protoc-gen-go protoc-gen-go-grpc",
    ),
    "java": (
        ("javac", "protoc", "grpc_java_plugin", "/usr/share/java/grpc-protobuf.jar", "/usr/share/java/protobuf.jar"),
        "default-jdk-headless protobuf-compiler libgrpc-java protobuf-compiler-grpc-java-plugin",
    ),
    "csharp": (("protoc",), "protobuf-compiler"),
    "rust": (
        ("cargo", "protoc", "/usr/share/cargo/registry/prost-build-0.11.6"),
        "cargo protobuf-compiler librust-prost-build-dev",
    ),
}

#: Names of newer libraries as those that Debian packages spell them.
OLDER = {
    "grpc.NewClient(": "grpc.Dial(",
    "grpc.WithTransportCredentials(insecure.NewCredentials())": "grpc.WithInsecure()",
}

_GO = """
package main

import (
	"context"
	"fmt"
	"log"

	holdfastv1 "example.com/yours/gen/holdfast/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
)

func main() {
%s
}
"""

_JAVA = """
import com.google.rpc.ErrorInfo;
import holdfast.v1.*;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;

class Main {
    public static void main(String[] arguments) throws Exception {
%s
    }
}
"""

_JARS = (
    *("grpc-api", "grpc-context", "grpc-core", "grpc-protobuf", "grpc-protobuf-lite", "grpc-stub"),
    *("guava", "protobuf", "proto-google-common-protos", "geronimo-annotation-1.3-spec"),
)

_CARGO = """
[package]
name = "snippet"
version = "0.1.0"
edition = "2021"

[dependencies]
prost = "0.11"
prost-types = "0.11"

[build-dependencies]
prost-build = "0.11"
"""
_CARGO_SOURCE = """
[source.crates-io]
replace-with = "debian"

[source.debian]
directory = "/usr/share/cargo/registry"
"""
_BUILD_RS = """
fn main() -> std::io::Result<()> {
    prost_build::Config::new().compile_protos(&[%s], &["protos"])
}
"""
#: The messages of the snippet; the clients need tonic, which Debian does not package.
_RUST = """
pub mod v1 { include!(concat!(env!("OUT_DIR"), "/holdfast.v1.rs")); }
use v1::*;

fn main() {
    %s
    let request = %s;
    println!("{}", request.worker_id);
}
"""


def missing(language: str) -> list[str]:
    """Return what compiling a language needs and this machine has not."""
    return [need for need in NEEDED[language][0] if not (Path(need).exists() or shutil.which(need))]


def compile_snippet(language: str, folder: Path) -> None:
    """Generate and compile in an empty folder. Raises RuntimeError with what the compiler said."""
    shutil.copytree(ROOT / "protos", folder / "protos")
    _COMPILERS[language](folder)


def _snippet(language: str, number: int = 0) -> str:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)[number]


def _protos() -> list[str]:
    return sorted(f"protos/{path.relative_to(ROOT / 'protos')}" for path in (ROOT / "protos").rglob("*.proto"))


def _go(folder: Path) -> None:
    home = folder / "src" / "example.com" / "yours"
    home.mkdir(parents=True)
    (folder / "buf.gen.yaml").write_text(_snippet("yaml").replace("out: gen", f"out: {home / 'gen'}"))
    _run(folder, "buf", "generate", "protos")
    text = _snippet("go")
    for new, old in OLDER.items():
        text = text.replace(new, old)
    (home / "main.go").write_text(_GO % text)
    path = f"{folder}:/usr/share/gocode"
    go = {"GO111MODULE": "off", "GOPATH": path, "GOFLAGS": "", "GOCACHE": str(folder / "cache")}
    _run(home, "go", "vet", ".", **go)


def _java(folder: Path) -> None:
    (folder / "gen").mkdir()
    plugin = f"--plugin=protoc-gen-grpc-java={shutil.which('grpc_java_plugin')}"
    _run(folder, "protoc", "-Iprotos", plugin, "--java_out=gen", "--grpc-java_out=gen", *_protos())
    # ErrorInfo is younger than Debian's jar of Google's common messages.
    details = Path(str(error_details_pb2.__file__)).with_name("error_details.proto")
    _run(folder, "protoc", f"-I{details.parents[2]}", "--java_out=gen", str(details))
    (folder / "gen" / "Main.java").write_text(_JAVA % _snippet("java"))
    jars = ":".join(f"/usr/share/java/{name}.jar" for name in _JARS)
    sources = [str(path) for path in (folder / "gen").rglob("*.java")]
    _run(folder, "javac", "-nowarn", "-cp", jars, "-d", str(folder / "classes"), *sources)


def _csharp(folder: Path) -> None:
    """Generate the messages: Debian packages neither the plugin for clients nor a compiler."""
    (folder / "gen").mkdir()
    _run(folder, "protoc", "-Iprotos", "--csharp_out=gen", *_protos())
    names = {path.stem for path in (folder / "gen").glob("*.cs")}
    if "StepWorkerService" not in names:
        raise RuntimeError(f"the messages of step workers are not among {sorted(names)}")


def _rust(folder: Path) -> None:
    text = _snippet("rust", 1)
    filter_line = next(line for line in text.splitlines() if line.startswith("let filter"))
    request = re.findall(r"PollStepRequest \{.*?\}", text)[0]
    (folder / "src").mkdir()
    (folder / ".cargo").mkdir()
    (folder / "Cargo.toml").write_text(_CARGO)
    (folder / ".cargo" / "config.toml").write_text(_CARGO_SOURCE)
    (folder / "build.rs").write_text(_BUILD_RS % ", ".join(f'"{path}"' for path in _protos()))
    (folder / "src" / "main.rs").write_text(_RUST % (filter_line, request))
    _run(folder, "cargo", "check", "--offline", "--quiet", CARGO_HOME=str(folder / "home"))


_COMPILERS: dict[str, Callable[[Path], None]] = {"go": _go, "java": _java, "csharp": _csharp, "rust": _rust}


def _run(folder: Path, *command: str, **environment: str) -> None:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PATH": path, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} says: {done.stderr or done.stdout}")


def main() -> int:
    """Compile every language that can be; returns 1 when one does not compile."""
    failed = False
    for language, (_, packages) in NEEDED.items():
        if absent := missing(language):
            print(f"{language}: not tried, {', '.join(absent)} missing (Debian: {packages})")
            continue
        with tempfile.TemporaryDirectory() as folder:
            try:
                compile_snippet(language, Path(folder))
                print(f"{language}: ok")
            except RuntimeError as error:
                failed = True
                print(f"{language}: {error}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
