"""Templates become pages: every value is escaped, unless a template of ours made it.

Owns the template environment and the filters that templates use. A name that a template misspells is an error and not
an empty place.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup, escape
from starlette.requests import Request

from holdfast.cli.rendering import enum_word, local_time
from holdfast.v1 import entity_pb2, payload_pb2
from runtime_service.api.front import Front
from runtime_service.ui import texts


class Renderer:
    """Renders a template by its name: ``render(request, "runs.html", rows=…)``."""

    def __init__(self, front: Front) -> None:
        self._front = front
        self._templates = Environment(
            loader=PackageLoader("runtime_service.ui"),
            autoescape=select_autoescape(default=True, default_for_string=True),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._templates.filters.update(
            clock=_clock,
            code=_code,
            status=lambda number: enum_word(entity_pb2.RunStatus, number),
            span=texts.span,
            value=texts.value,
            schema=lambda text: texts.value(payload_pb2.Payload(text=text)),
            took=self._took,
        )

    def __call__(self, request: Request, template: str, **values: Any) -> str:
        """Return the page. Links are relative, so that a proxy may serve the pages below a path of its own."""
        root = "../" * (request.url.path.count("/") - 1) or "./"
        front = self._front
        page = self._templates.get_template(template)
        return page.render(root=root, runtime_id=front.runtime_id, version=front.server_version, **values)

    def _took(self, run: entity_pb2.Run) -> str:
        """How long a run took, or has been taking."""
        end = run.complete_time.ToMilliseconds() if run.HasField("complete_time") else self._front.worker.clock()
        return texts.span(max(0, end - run.create_time.ToMilliseconds()))


def _clock(stamp: Timestamp, *, date: bool = True) -> Markup:
    """A time of this machine, with the same in UTC for those who point at it."""
    shown = local_time(stamp)
    return Markup('<time datetime="{0}" title="{0}">{1}</time>').format(texts.iso(stamp), shown if date else shown[11:])


def _code(sentence: str) -> Markup:
    """A sentence whose parts between backticks are commands."""
    return Markup("").join(_alternating(sentence.split("`")))


def _alternating(parts: Iterable[str]) -> Iterable[Markup]:
    for index, part in enumerate(parts):
        yield Markup("<code>{}</code>").format(part) if index % 2 else escape(part)
