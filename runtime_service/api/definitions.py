"""ListDefinitions: what this runtime has registered, with JSON Schemas for people and tools.

A schema is a description, never a check: annotations that have none (a callable, a class of one's own) leave it empty.
Making one takes pydantic a millisecond, so a definition is described once; a reload brings new definitions.
"""

from __future__ import annotations

import inspect
import json
from functools import lru_cache
from typing import Any, Final

from pydantic import TypeAdapter, create_model
from pydantic.errors import PydanticUserError

from holdfast.definitions import Registry, StepDefinition, WorkflowDefinition
from holdfast.errors import SerializationError
from holdfast.signatures import Signature
from holdfast.typed_dicts import with_typed_dicts
from holdfast.v1 import runtime_service_pb2
from runtime_service.api.limits import DESCRIBED_MAX

#: What pydantic and annotations raise when there is no schema for a type.
_NO_SCHEMA: Final = (SerializationError, PydanticUserError, ValueError, TypeError, NameError)


def list_definitions(registry: Registry) -> runtime_service_pb2.ListDefinitionsResponse:
    """Return workflows, then steps, each by name."""
    workflows = [_workflow(registry.workflows[name]) for name in sorted(registry.workflows)]
    steps = [_step(registry.steps[name]) for name in sorted(registry.steps)]
    return runtime_service_pb2.ListDefinitionsResponse(definitions=[*workflows, *steps])


@lru_cache(maxsize=DESCRIBED_MAX)
def _workflow(definition: WorkflowDefinition) -> runtime_service_pb2.Definition:
    return runtime_service_pb2.Definition(
        kind=runtime_service_pb2.DEFINITION_KIND_WORKFLOW,
        name=definition.name,
        version=definition.version,
        summary=definition.summary,
        input_schema=input_schema(definition.signature),
        output_schema=_schema(definition.signature),
    )


@lru_cache(maxsize=DESCRIBED_MAX)
def _step(definition: StepDefinition) -> runtime_service_pb2.Definition:
    return runtime_service_pb2.Definition(
        kind=runtime_service_pb2.DEFINITION_KIND_STEP,
        name=definition.name,
        summary=definition.summary,
        input_schema=input_schema(definition.signature),
        output_schema=_schema(definition.signature),
    )


def input_schema(signature: Signature) -> str:
    """Return the schema of an input as a person writes it: the value of the only parameter, else an object of all."""
    try:
        only = signature.only_parameter
        if only is not None:
            return _as_text(TypeAdapter(with_typed_dicts(signature.annotation(only))).json_schema())
        return _as_text(create_model("Input", **_fields(signature)).model_json_schema())
    except _NO_SCHEMA:
        return ""


def _fields(signature: Signature) -> dict[str, Any]:
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return {
        name: (
            with_typed_dicts(signature.annotation(name)),
            ... if parameter.default is parameter.empty else parameter.default,
        )
        for name, parameter in signature.parameters.items()
        if parameter.kind not in variable
    }


def _schema(signature: Signature) -> str:
    try:
        return _as_text(TypeAdapter(with_typed_dicts(signature.result)).json_schema(mode="serialization"))
    except _NO_SCHEMA:
        return ""


def _as_text(schema: dict[str, Any]) -> str:
    return json.dumps(schema, separators=(",", ":"))
