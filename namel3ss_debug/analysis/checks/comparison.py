"""Check whether a run does what its baselines did: compare it with each, and report it against the nearest one.

`path` compares what was called, in which order and with which status; answers of a model may differ. `divergence`
compares everything, arguments and results as well, which only runs on recorded or scripted answers repeat. A change of
order of calls that ran side by side, and what the setting `diff_ignore` names, are no differences.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from namel3ss_debug.analysis.checks.findings import Violation
from namel3ss_debug.analysis.diff.comparison import compare, load_run
from namel3ss_debug.analysis.diff.differences import ADDED, KINDS, MISSING, ORDER, PATH, STATUS
from namel3ss_debug.analysis.diff.masks import Masks
from namel3ss_debug.wire import lenient

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from namel3ss_debug.analysis.diff.comparison import Diff
    from namel3ss_debug.traces.reader import Trace

COMPARED: Final[dict[str, frozenset[str]]] = {
    "path": frozenset({PATH, ORDER, ADDED, MISSING, STATUS}),
    "divergence": frozenset(KINDS),
}
"""The aspects of a baseline -> the kinds of differences that each concerns."""

MOST: Final = 10
"""The most baselines that a run is compared with, the first ones."""

_DESCRIPTIONS: Final = {
    PATH: "was called in place of {}",
    ORDER: "ran earlier or later than in the baseline",
    ADDED: "is not in the baseline",
    MISSING: "is in the baseline only",
    STATUS: "ended differently from the baseline",
}


def find_divergence(
    aspect: str, baselines: Collection[str], trace: Trace, ignore: Iterable[str]
) -> Iterator[Violation]:
    """Yield where a run differs from the nearest of its baselines; nothing where it matches one of them.

    Args:
        aspect: a key of `COMPARED`.
        baselines: the traces of earlier runs.
        trace: the trace of the run.
        ignore: keys and paths that are not compared.

    Raises:
        UnreadableTraceError: a baseline cannot be read any more.
    """
    kinds, masks = COMPARED[aspect], Masks(ignore)
    run = load_run(trace, masks)
    compared: list[tuple[int, Diff]] = []
    for path in sorted(baselines)[:MOST]:
        diff = compare(load_run(path, masks), run, masks)
        differs = sum(count for kind, count in diff.kinds.items() if kind in kinds)
        if not differs:
            return
        compared.append((differs, diff))
    yield from _describe_divergence(*min(compared, key=lambda pair: pair[0]), kinds, aspect, trace)


def _describe_divergence(
    differs: int, diff: Diff, kinds: frozenset[str], aspect: str, trace: Trace
) -> Iterator[Violation]:
    """Yield the first lasting difference, with the number of all."""
    listed = [difference for difference in diff.differences if difference.kind in kinds]
    lasting = (difference for difference in listed if difference.lasting)
    first = next(lasting, listed[0] if listed else None)
    more = f"; the first of {differs:,} differences" if differs > 1 else ""
    if first is None:
        yield Violation("run", f"diverges from the baseline in {differs:,} places", detail=aspect)
        return
    subject = f"{first.component}:{first.name}" if first.name else first.component
    description = _DESCRIPTIONS.get(first.kind, KINDS[first.kind]).format(first.name_a or "something else")
    yield Violation(
        subject,
        f"diverges from the baseline: {subject.replace(':', ' ', 1)} {description}{more}",
        [] if first.number_b is None else [first.number_b],
        None if first.number_b is None else lenient.string(trace.event(first.number_b).get("call_site")),
        f"{aspect} {first.kind}",
    )
