"""Which runs this process may take: those of the versions that it registered.

A run of a versioned workflow wakes up in a queue of its own (``names.run_queue``), and a runtime receives from the
queues of its versions, so a run stays with the code that began it. A run without a version comes to everybody; one
that meets other code than its own is set aside, not replayed.
Proof: tests/changing/test_versions.py.
"""

from __future__ import annotations

from holdfast.definitions import Registry, WorkflowDefinition
from holdfast.errors import NotRegistered
from runtime_service.names import RUN_QUEUE, run_queue


def queues_of(registry: Registry) -> list[str]:
    """Return the wake queues of the workflows registered now, the shared one first."""
    own = {run_queue(it.name, it.version) for it in registry.workflows.values()}
    return [RUN_QUEUE, *sorted(own - {RUN_QUEUE})]


def is_served(registry: Registry, queue: str) -> bool:
    """Tell whether this process receives from a wake queue."""
    # Most runs have no version, and to name the queues of all that have one takes a digest each.
    return queue == RUN_QUEUE or queue in queues_of(registry)


def workflow_of(registry: Registry, name: str, version: str) -> WorkflowDefinition:
    """Return the definition that a run was begun with. Raises NotRegistered, also for another version of it."""
    workflow = registry.workflow(name)
    if workflow.version != version:
        raise NotRegistered(
            f"the run is of {_words(version)} of workflow {name!r}, and here is {_words(workflow.version)} "
            f"({workflow.source}); it waits for a runtime that has its own"
        )
    return workflow


def _words(version: str) -> str:
    return f"version {version!r}" if version else "the code without a version"
