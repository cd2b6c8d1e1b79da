"""What a rule has to see, and what the settings of a recording left out of it.

A rule that found nothing where it could not look is neither kept nor broken. Assertions on sections of the analysis are
taken as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from namel3ss_debug.analysis.checking.subjects import Pattern
    from namel3ss_debug.traces.events import Event

PAYLOADS: Final = frozenset(["inputs", "outputs", "arguments", "result", "refused", "answered", "event"])
"""The names whose values come from payloads, which the level `basic` leaves out."""

CALLED: Final = frozenset(["llm", "tool"])
_NAMED: Final = CALLED | {"agent"}
_MODELS: Final = frozenset(["llm"])

_MEASURED: Final = {
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
    """What a recording holds: whether payloads, and which components; None for all."""

    payloads: bool = True
    components: frozenset[str] | None = None


def needs_of(names: Iterable[str], patterns: Iterable[Pattern] = ()) -> Needs:
    """Return what an expression about spans needs by the names it reads, and patterns by their components and
    conditions.

    A bare name may be that of an agent, a model or a tool.
    """
    read, components = set(names), set[str]()
    for pattern in patterns:
        read |= pattern.condition.names if pattern.condition is not None else frozenset()
        if pattern.component is not None:
            components.add(pattern.component)
        elif pattern.name is not None:
            components |= _NAMED
    return Needs(not read.isdisjoint(PAYLOADS), frozenset(components))


def needs_of_measures(names: Iterable[str]) -> Needs:
    """Return what an expression over measures needs."""
    read = set(names)
    return Needs("answered" in read, frozenset().union(*(_MEASURED.get(name, ()) for name in read)))


def coverage_of(first: Event) -> Coverage:
    """Return what a recording holds, by the settings in its first event."""
    metadata = first.get("metadata")
    settings = metadata.get("settings") if isinstance(metadata, Mapping) else None
    told: Mapping[str, Any] = settings if isinstance(settings, Mapping) else {}
    chosen = told.get("default_components")
    names = chosen if isinstance(chosen, list) else ()
    named = frozenset(form for each in names if isinstance(each, str) for form in (each, each.lower()))
    return Coverage(told.get("level") != "basic", named or None)


def unseen(needs: Needs, coverage: Coverage) -> str:
    """Return why a rule with these needs could not look, in a recording that holds this; empty where it could."""
    if needs.payloads and not coverage.payloads:
        return "the recording was made at level basic, without arguments, results and texts"
    missing = needs.components - coverage.components if coverage.components is not None else ()
    if missing and coverage.components is not None:
        there = ", ".join(sorted({each.lower() for each in coverage.components}))
        not_there = ", ".join(sorted(missing))
        return f"the recording was made of {there} only, without {not_there}"
    return ""
