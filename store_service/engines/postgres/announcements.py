"""What a commit tells other replicas, as the bytes of a row of ``announcements``.

Owns one table, note class ↔ its short name and fields. The row is written in the transaction that it is about, so what
is announced is true and what is true is announced; NOTIFY only says "look" (``hints.py``). A name that this version
does not know, from a newer replica, stands for "look at everything".
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from store_service.engines.contract import DeletedNote, EventNote, ExpiryNote, MissedNotes, Note, QueueNote
from store_service.engines.stream_contract import StreamNote


def pack(notes: Sequence[Note]) -> bytes:
    """Return notes as bytes, each once."""
    return json.dumps([_pack(note) for note in dict.fromkeys(notes)], separators=(",", ":")).encode()


def unpack(body: bytes) -> list[Note]:
    """Return the notes of ``pack``."""
    return [_unpack(*fields) for fields in json.loads(body)] if body else []


def _pack(note: Note) -> list[Any]:
    name, fields = _FIELDS[type(note)]
    return [name, *fields(note)]


def _unpack(name: str, *fields: Any) -> Note:
    build = _BUILD.get(name)
    return MissedNotes() if build is None else build(*fields)


#: `tests/postgres/test_announcements.py` holds both tables complete.
_FIELDS: Final[Mapping[type[Any], tuple[str, Callable[[Any], Sequence[Any]]]]] = MappingProxyType(
    {
        EventNote: ("event", lambda note: (note.run_id, note.head_seq, note.terminal, sorted(note.kinds))),
        QueueNote: ("queue", lambda note: (note.queue, note.ready_ms)),
        ExpiryNote: ("expiry", lambda note: (note.due_ms,)),
        DeletedNote: ("deleted", lambda note: (note.run_id,)),
        StreamNote: ("stream", lambda note: (note.run_id, note.name)),
        MissedNotes: ("missed", lambda note: ()),
    }
)
_BUILD: Final[Mapping[str, Callable[..., Note]]] = MappingProxyType(
    {
        "event": lambda run_id, head_seq, terminal, kinds: EventNote(run_id, head_seq, terminal, frozenset(kinds)),
        "queue": QueueNote,
        "expiry": ExpiryNote,
        "deleted": DeletedNote,
        "stream": StreamNote,
        "missed": MissedNotes,
    }
)
