#!/usr/bin/env bash
# Looks up every package of the image, and of its build, in the advisory database (OSV). Exits 1 for one with a known
# vulnerability and for one that could not be looked up. Where the database cannot be reached nothing is looked up, which is
# said and is no failure, unless HOLDFAST_AUDIT=required: the packages are then those whose hashes are pinned, no more.
set -euo pipefail
cd "$(dirname "$0")/.."
database="${HOLDFAST_ADVISORIES:-https://api.osv.dev}"

# Any answer will do: only whether there is somebody is asked here.
if ! python - "$database" <<'PROBE'
import sys, urllib.error, urllib.request
try:
    urllib.request.urlopen(sys.argv[1], timeout=3)
except urllib.error.HTTPError:
    pass
except OSError as error:
    sys.exit(f"audit: {sys.argv[1]} cannot be reached ({error}); nothing was looked up")
PROBE
then
  [ "${HOLDFAST_AUDIT:-}" != required ]
  exit
fi
python -m pip install --quiet --disable-pip-version-check -e '.[audit]'
# --strict: without it a package that cannot be looked up counts as one that nothing is known against.
exec pip-audit --vulnerability-service osv --strict --require-hashes --disable-pip \
  --requirement requirements.lock --requirement requirements-build.lock
