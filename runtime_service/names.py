"""The names that the runtime and everyone who looks at its queue share."""

from __future__ import annotations

from typing import Final

#: Queue of the wake messages of runs: group = run id, payload {"run_id": …}.
RUN_QUEUE: Final = "runs"

#: Idempotency key of every wake message of a run, so that at most one waits at a time.
WAKE_KEY: Final = "wake:{run_id}"

#: A wake message is never dead: a run that kills its process must end by its steps' attempts, not in silence.
WAKE_DELIVERIES_MAX: Final = 100_000

#: How `last_reason` of a parked wake message begins.
BLOCKED_PREFIX: Final = "blocked: "
