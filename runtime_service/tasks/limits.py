"""The limits of tasks, with unit and reason."""

from __future__ import annotations

from typing import Final

#: Milliseconds that a task is leased while its start is written; after that the lease is what the step asks for.
TAKE_LEASE_MS: Final = 15_000

#: Milliseconds of silence allowed to a worker whose step names no bound at all: its death must be noticed some time.
SILENCE_MS_DEFAULT: Final = 60_000

#: Milliseconds of silence at most: the store's leases are no longer than an hour.
SILENCE_MS_MAX: Final = 1_800_000

#: Milliseconds that a worker has to come back to its tasks after its stream broke.
RECONNECT_MS: Final = 5_000

#: Milliseconds that whoever holds a task past its deadline has to end it itself: a body's cleanup takes a while.
OVERTIME_MS: Final = 10_000

#: Milliseconds between the end of a lease and the look at it: the waiting worker that takes over goes first.
LOOK_AFTER_MS: Final = 200

#: Tries to begin a task while others write to its step, and the milliseconds before it is handed out again.
TRIES_MAX: Final = 3
TRY_AGAIN_MS: Final = 200

#: A task is never dead: its step ends by its attempts, not in silence.
DELIVERIES_MAX: Final = 100_000

#: Names of one worker, and tasks that a worker may ask for in advance.
STEP_NAMES_MAX: Final = 100
CREDIT_MAX: Final = 1_000

#: Milliseconds of one poll: default and most, so that no proxy on the way takes the call for dead.
POLL_MS_DEFAULT: Final = 30_000
POLL_MS_MAX: Final = 60_000

#: Milliseconds between two messages of a silent stream: least, most, default.
SIGN_OF_LIFE_MS_MIN: Final = 1_000
SIGN_OF_LIFE_MS_MAX: Final = 60_000
SIGN_OF_LIFE_MS_DEFAULT: Final = 15_000

#: Milliseconds that a worker may put off the next attempt: a week; a longer pause is a sleep of the workflow.
RETRY_DELAY_MS_MAX: Final = 7 * 24 * 3_600_000

#: Characters of a worker's name and of a reason.
WORKER_CHARS_MAX: Final = 256
REASON_CHARS_MAX: Final = 512
TOKEN_CHARS_MAX: Final = 8_192
