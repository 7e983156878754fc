"""Streams: items that a step writes while it runs, and that anyone reads while they are written.

Owns what people hold: a handle that knows the run, the name and the type of a stream. It is a value: a workflow makes
one and passes it to steps and to children as an argument, and only a step can write to it, through ``StepContext``.
Reading is the client's (``holdfast/stream_reader.py``); items are encoded in ``holdfast/stream_items.py``.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar, get_args, overload

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from holdfast.adapters import check_kind
from holdfast.context import STEP, StreamPort
from holdfast.errors import WrongContext
from holdfast.primitives import current_workflow, run_info
from holdfast.stream_items import check_name, content_type_of, encode_item

_T = TypeVar("_T")


class StreamWriter(Generic[_T]):
    """A handle on one stream of one run. Annotate parameters that take one as ``StreamWriter[T]``.

    Items are validated against ``T`` and kept in the order of the calls; a new attempt of the step supersedes what this
    one wrote. ``write`` and ``close`` work in steps only; a plain function calls them by ``asyncio.run``.
    """

    __slots__ = ("_kind", "_name", "_run_id")

    def __init__(self, run_id: str, name: str, kind: Any = Any) -> None:
        self._run_id = run_id
        self._name = name
        self._kind = kind

    @property
    def name(self) -> str:
        """The name of the stream in its run."""
        return self._name

    @property
    def run_id(self) -> str:
        """The run that owns the stream."""
        return self._run_id

    async def write(self, item: _T) -> None:
        """Append an item. It is sent at once and durable when the step has completed; waits when much is on its way.

        Raises StreamClosed, SerializationError, LimitExceeded, and WrongContext outside steps.
        """
        port = self._port("write")
        await port.write(encode_item(self._kind, item, self._name))

    async def close(self) -> None:
        """Say that no more items will come, once all are durable: readers end. Idempotent."""
        await self._port("close").close()

    def _port(self, verb: str) -> StreamPort:
        attempt = STEP.get()
        if attempt is not None:
            return attempt.open_stream(self._run_id, self._name, content_type_of(self._kind))
        if current_workflow() is not None:
            raise WrongContext(
                f"{verb}() on stream {self._name!r} in a workflow body: pass the handle to a step and {verb} there"
            )
        raise WrongContext(f"{verb}() on stream {self._name!r} works in steps that a runtime runs")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, StreamWriter):
            return NotImplemented
        return (self._run_id, self._name) == (other._run_id, other._name)

    def __hash__(self) -> int:
        return hash((self._run_id, self._name))

    def __repr__(self) -> str:
        return f"<StreamWriter {self._name!r} of {self._run_id}>"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        kind = next(iter(get_args(source)), Any)
        text = core_schema.typed_dict_field(core_schema.str_schema())
        written = core_schema.no_info_after_validator_function(
            lambda it: cls(it["run_id"], it["name"], kind),
            core_schema.typed_dict_schema({"run_id": text, "name": text}),
        )
        return core_schema.json_or_python_schema(
            json_schema=written,
            python_schema=core_schema.union_schema([core_schema.is_instance_schema(cls), written]),
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda it: {"run_id": it.run_id, "name": it.name}
            ),
        )


@overload
def stream(name: str = "default", *, type: type[_T]) -> StreamWriter[_T]: ...


@overload
def stream(name: str = "default", *, type: Any = Any) -> StreamWriter[Any]: ...


def stream(name: str = "default", *, type: Any = Any) -> StreamWriter[Any]:
    """Return a handle on a stream of the run that this code belongs to. In a workflow, pass it to a step.

    The stream exists from its first item on. Raises ValueError for a malformed name, TypeError
    for what is no type, WrongContext outside workflows and steps.
    """
    check_name(name)
    check_kind(type, "stream(type=…)")
    if STEP.get() is None and current_workflow() is None:
        raise WrongContext("stream() works in workflows and steps that a runtime runs; to read one use run.stream()")
    return StreamWriter(run_info().run_id, name, type)
