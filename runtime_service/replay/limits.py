"""The limits of replay, with their units and reasons. Reaching one is an error with its own message."""

from __future__ import annotations

from typing import Final

#: Callbacks of the loop that one event may cause. A workflow that spins on ``asyncio.sleep(0)`` would otherwise
#: hold the thread for ever; 10,000 gathered steps stay below 100,000.
CALLBACKS_PER_EVENT_MAX: Final = 1_000_000

#: Characters of an entity id (the contract's limit). Longer ones are cut and end in a digest.
ENTITY_ID_CHARS_MAX: Final = 256

#: Characters of the reason of a cancellation (the contract's limit).
REASON_CHARS_MAX: Final = 512

#: Characters of the source of a call (the contract's limit); the end of a longer one is kept.
SOURCE_CHARS_MAX: Final = 512

#: Objects that one eviction looks at in search of suspended coroutines.
EVICTION_OBJECTS_MAX: Final = 200_000

#: Calls that a divergence report lists.
REPORTED_CALLS_MAX: Final = 3
