"""What a run is found by in a list: its models, and its tags from the settings and the metadata of its spans."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from namel3ss_debug.analysis.contract import Section
from namel3ss_debug.analysis.totals import Options
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.span_table import SpanTable
from namel3ss_debug.wire import lenient

MOST_VALUES: Final = 50
"""The values of one tag that are kept; one with more, such as an id of each call, identifies no run."""
MOST_NAMES: Final = 200
LONGEST: Final = 200
_NESTED: Final = ("tags", "metadata", "attributes")
"""The keys under which frameworks pass on what the user has attached to a span: LangChain's `tags` and `metadata`."""


class RunLabels:
    """Collects the models and the tags of a run, as the events are read."""

    events: frozenset[str] = frozenset({"trace_start"})

    def __init__(self, _options: Options) -> None:
        self._models: set[str] = set()
        self._tags: dict[str, set[str]] = {}

    def span(self, spans: SpanTable, row: int, start: Event, end: Event) -> None:
        """Note the model of a call, and what the program has attached to a span."""
        if spans.component(row) == "llm" and len(self._models) < MOST_NAMES:
            self._models.add(spans.name(row))
        for event in (start, end):
            if "metadata" in event:
                self._add(event["metadata"])

    def event(self, _number: int, event: Event) -> None:
        """Note the tags of the settings."""
        settings = lenient.mapping(lenient.mapping(event.get("metadata")).get("settings"))
        self._add(lenient.mapping(settings.get("tags")))

    def _add(self, metadata: Any) -> None:
        for name, value in _read_tags(lenient.mapping(metadata)):
            if name in self._tags or len(self._tags) < MOST_NAMES:
                values = self._tags.setdefault(name, set())
                if len(values) <= MOST_VALUES:
                    values.add(value)

    def result(self, _spans: SpanTable, _sections: Mapping[str, Any]) -> dict[str, Any]:
        """Return the models, and each tag with its values."""
        kept = {
            name: sorted(found) for name, found in sorted(self._tags.items()) if len(found) <= MOST_VALUES
        }
        return {"models": sorted(self._models - {""}), "tags": kept}


def _read_tags(metadata: Mapping[str, Any], *, nested: bool = False) -> Iterator[tuple[str, str]]:
    """Yield the names and values that are short texts or numbers; a tag of a list is a name without a value."""
    for name, value in metadata.items():
        if isinstance(value, str | int | float):
            text = str(value).lower() if isinstance(value, bool) else str(value)
            if len(name) + len(text) <= LONGEST:
                yield name, text
        elif name in _NESTED and not nested:
            if isinstance(value, list):
                yield from ((each, "") for each in value if isinstance(each, str) and len(each) <= LONGEST)
            else:
                yield from _read_tags(lenient.mapping(value), nested=True)


LABELS: Final = Section("run_labels", "", watch=RunLabels)
