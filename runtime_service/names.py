"""The names that the runtime and everyone who looks at its queue share."""

from __future__ import annotations

import hashlib
import re
from typing import Final

#: Queue of the wake messages of runs: group = run id, payload {"run_id": …}. Runs of a version have their own queue.
RUN_QUEUE: Final = "runs"

#: Idempotency key of every wake message of a run, so that at most one waits at a time.
WAKE_KEY: Final = "wake:{run_id}"

#: A wake message is never dead: a run that kills its process must end by its steps' attempts, not in silence.
WAKE_DELIVERIES_MAX: Final = 100_000

#: How the queues of step tasks begin, and the queue of the looks at attempts that were handed out.
STEP_QUEUES: Final = "steps"
STEP_WATCH_QUEUE: Final = "step-watches"

#: How `last_reason` of a parked wake message begins.
BLOCKED_PREFIX: Final = "blocked: "

#: What a queue name may hold, and how much of a workflow's name and version is shown in one.
_NOT_IN_QUEUES: Final = re.compile(r"[^a-z0-9._-]+")
_SHOWN_CHARS_MAX: Final = 40
_DIGEST_CHARS: Final = 16


def run_queue(workflow_name: str, version: str) -> str:
    """Return the queue of the wake messages of a workflow's runs.

    Without a version all workflows share one. A version of a workflow has its own, which only runtimes receive from
    that registered this very version: so old runs stay with old workers.
    """
    if not version:
        return RUN_QUEUE
    digest = hashlib.sha256(f"{workflow_name}\n{version}".encode()).hexdigest()[:_DIGEST_CHARS]
    return f"{RUN_QUEUE}.{_shown(workflow_name)}.{_shown(version)}.{digest}"


def step_queue(queue: str, step_name: str) -> str:
    """Return the queue of the tasks of a step: one for each step of a step queue.

    So a worker receives from the steps that it can run and from no others, and none ever gives a task back because
    it does not know it.
    """
    digest = hashlib.sha256(f"{queue}\n{step_name}".encode()).hexdigest()[:_DIGEST_CHARS]
    return f"{STEP_QUEUES}.{_shown(queue)}.{_shown(step_name)}.{digest}"


def _shown(text: str) -> str:
    return _NOT_IN_QUEUES.sub("_", text.lower())[:_SHOWN_CHARS_MAX]
