#!/usr/bin/env bash
# Generates holdfast/v1 (messages, stubs, type stubs) from protos/. The result is committed; CI diffs it.
set -euo pipefail
cd "$(dirname "$0")/.."
out="${1:-.}"
rm -f "$out"/holdfast/v1/*_pb2*.py "$out"/holdfast/v1/*.pyi
mkdir -p "$out/holdfast/v1"
python -m grpc_tools.protoc -I protos \
  --python_out="$out" --grpc_python_out="$out" --mypy_out="$out" --mypy_grpc_out="$out" \
  protos/holdfast/v1/*.proto
# Files without a service get an empty stub module; nobody imports those.
for stub in "$out"/holdfast/v1/*_pb2_grpc.py; do
  grep -q 'class .*Servicer' "$stub" || rm -f "$stub" "${stub}i"
done
touch "$out/holdfast/v1/__init__.py"
