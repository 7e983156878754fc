"""What an append will surely ask for, so that an engine far from its rows fetches them for many appends at once.

Owns the way from a request to `Needs`. It decides nothing: an append that names nothing here asks for its rows itself,
and pays with a round trip for each.
"""

from __future__ import annotations

from store_service.engines.contract import Needs
from store_service.rules.append import Append
from store_service.rules.kinds import KINDS, type_of


def of_append(request: Append) -> Needs:
    """Return the rows that every append of this shape reads: its run, the entities of its events, its receipts."""
    entities = []
    for event in request.events:
        kind = KINDS[type_of(event)].entity
        if kind is not None:
            entities.append((kind, event.correlation_id))
    return Needs(
        run_id=request.run_id,
        entities=entities,
        receipts=(*request.held_receipts, *request.ack_receipts),
        request_id=request.request_id,
    )
