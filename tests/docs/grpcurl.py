"""Stands in for grpcurl, which PyPI does not have: the same words, answered by `buf curl` and server reflection.

Understands what the README uses: `-plaintext`, `-d JSON`, an address, then `list`, `describe NAME` or a method. Run as
a program; the tests put it on the path under the name grpcurl.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase


def main() -> int:
    parser = argparse.ArgumentParser(prog="grpcurl")
    parser.add_argument("-plaintext", action="store_true", required=True)
    parser.add_argument("-d", dest="data", default="{}")
    parser.add_argument("address")
    parser.add_argument("words", nargs="+")
    given = parser.parse_args()
    if given.words[0] in ("list", "describe"):
        return reflect(given.address, given.words)
    return call(given.address, given.words[0], given.data)


def reflect(address: str, words: list[str]) -> int:
    """Print the services, or the methods of one."""
    with grpc.insecure_channel(address) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        if words[0] == "list":
            print("\n".join(sorted(database.get_services())))
        else:
            print("\n".join(DescriptorPool(database).FindServiceByName(words[1]).methods_by_name))
    return 0


def call(address: str, method: str, data: str) -> int:
    """Make one call and print its answers as grpcurl would; errors go to stderr."""
    command = ["buf", "curl", "--protocol", "grpc", "--http2-prior-knowledge", "-d", data, f"http://{address}/{method}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    for document in documents(done.stdout):
        print(json.dumps(document, indent=2))
    print(done.stderr, file=sys.stderr, end="")
    return done.returncode


def documents(text: str) -> Iterator[object]:
    """Yield the JSON values that stand one after the other in ``text``."""
    decoder, position = json.JSONDecoder(), 0
    while position < len(text.rstrip()):
        document, position = decoder.raw_decode(text, position + len(text[position:]) - len(text[position:].lstrip()))
        yield document


if __name__ == "__main__":
    sys.exit(main())
