"""What a rule has to see, and what the settings of a trace left out of it.

A rule without findings is neither kept nor broken where it could not look. Assertions on sections of the analysis are
always counted as able to look.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from namel3ss_debug.analysis.checks.subjects import SpanPattern
    from namel3ss_debug.traces.events import Event

PAYLOADS: Final = frozenset(["inputs", "outputs", "arguments", "result", "refused", "answered", "event"])
"""The names whose values come from payloads, which the level `basic` leaves out."""

CALLED: Final = frozenset(["llm", "tool"])
_NAMEABLE: Final = CALLED | {"agent"}
_MODELS: Final = frozenset(["llm"])

_COMPONENTS_OF_MEASURE: Final = {
    "tool_calls": frozenset(["tool"]),
    **dict.fromkeys(("calls", "retries", "failures"), CALLED),
    **dict.fromkeys(("llm_calls", "turns", "answered", "tokens", "input_tokens", "output_tokens"), _MODELS),
    **dict.fromkeys(("cost", "context_tokens", "context_share"), _MODELS),
}
"""Measure -> the components that it counts."""


class Needs(NamedTuple):
    """What a rule has to see: whether payloads, and which components."""

    payloads: bool = False
    components: frozenset[str] = frozenset()


class Coverage(NamedTuple):
    """What a trace holds: whether payloads, and which components; None for all."""

    payloads: bool = True
    components: frozenset[str] | None = None


def find_needs(names: Iterable[str], patterns: Iterable[SpanPattern] = ()) -> Needs:
    """Return what an expression about spans, and patterns, need to see.

    An expression needs what the names in it stand for, a pattern its component and its condition. A bare name may be
    that of an agent, a model or a tool.
    """
    read, components = set(names), set[str]()
    for pattern in patterns:
        read |= pattern.condition.names if pattern.condition is not None else frozenset()
        if pattern.component is not None:
            components.add(pattern.component)
        elif pattern.name is not None:
            components |= _NAMEABLE
    return Needs(not read.isdisjoint(PAYLOADS), frozenset(components))


def find_needs_of_measures(names: Iterable[str]) -> Needs:
    """Return what an expression over measures needs to see."""
    read = set(names)
    return Needs(
        "answered" in read, frozenset().union(*(_COMPONENTS_OF_MEASURE.get(name, ()) for name in read))
    )


def parse_coverage(first: Event) -> Coverage:
    """Return what a trace holds, by the settings in its first event."""
    metadata = first.get("metadata")
    settings = metadata.get("settings") if isinstance(metadata, Mapping) else None
    recorded: Mapping[str, Any] = settings if isinstance(settings, Mapping) else {}
    chosen = recorded.get("default_components")
    names = chosen if isinstance(chosen, list) else ()
    # Recorded components are compared in lower case, and the setting may have any case.
    components = frozenset(form for name in names if isinstance(name, str) for form in (name, name.lower()))
    return Coverage(recorded.get("level") != "basic", components or None)


def describe_unseen(needs: Needs, coverage: Coverage) -> str:
    """Return why a rule with these needs could not look in a trace with this coverage; "" where it could."""
    if needs.payloads and not coverage.payloads:
        return "the trace was recorded at level basic, without arguments, results and texts"
    missing = needs.components - coverage.components if coverage.components is not None else ()
    if missing and coverage.components is not None:
        there = ", ".join(sorted({component.lower() for component in coverage.components}))
        not_there = ", ".join(sorted(missing))
        return f"the trace was recorded with {there} only, without {not_there}"
    return ""
