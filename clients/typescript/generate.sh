#!/usr/bin/env bash
# Generates src/gen from protos/ and from the error details of Google's RPC status. The result is not committed.
# Needs `npm ci` here, and buf and googleapis-common-protos as the Python environment of this repository has them.
set -euo pipefail
cd "$(dirname "$0")"
out="${1:-src/gen}"
template="{\"version\":\"v2\",\"plugins\":[{\"local\":\"node_modules/.bin/protoc-gen-es\",\"out\":\"$out\",\"opt\":[\"target=ts\",\"import_extension=js\"]}]}"
rpc="$(mktemp -d)"
trap 'rm -rf "$rpc"' EXIT
mkdir -p "$rpc/google/rpc"
cp "$(python -c 'import google.rpc.error_details_pb2 as it; print(it.__file__.removesuffix("_pb2.py") + ".proto")')" "$rpc/google/rpc/"
rm -rf "$out"
buf generate ../../protos --template "$template"
buf generate "$rpc" --template "$template"
