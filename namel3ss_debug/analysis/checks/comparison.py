"""Check whether a run does what its baselines did: compare it with each, and report it against the nearest one.

`path` compares what was called, in which order and with which status; answers of a model may differ. `divergence`
compares everything, arguments and results as well, which only runs on recorded or scripted answers repeat. A change of
order of calls that ran side by side, and what the setting `diff_ignore` names, are no differences.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

from namel3ss_debug.analysis.checks.findings import Violation
from namel3ss_debug.analysis.diff.comparison import compare, load_run
from namel3ss_debug.analysis.diff.differences import (
    ADDED,
    ARGUMENTS,
    KINDS,
    MISSING,
    ORDER,
    PATH,
    RESULT,
    STATUS,
    RunDifference,
)
from namel3ss_debug.analysis.diff.masks import Masks
from namel3ss_debug.errors import short
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

_VALUES: Final = frozenset({ARGUMENTS, RESULT})
_MOST_VALUES: Final = 20
_LONGEST_VALUE: Final = 80
_DESCRIPTIONS: Final = {
    PATH: "was called in place of {}",
    ORDER: "ran earlier or later than in the baseline",
    ADDED: "is not in the baseline",
    MISSING: "is in the baseline only",
    STATUS: "ended differently from the baseline",
    ARGUMENTS: "was called with other arguments",
    RESULT: "returned another result",
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
    """Yield the first lasting difference, with the number of all, and then each changed argument and result."""
    listed = [difference for difference in diff.differences if difference.kind in kinds]
    lasting = (difference for difference in listed if difference.lasting)
    first = next(lasting, listed[0] if listed else None)
    if first is None:
        yield Violation("run", f"diverges from the baseline in {differs:,} places", detail=aspect)
        return
    more = f"; the first of {differs:,} differences" if differs > 1 else ""
    yield _to_violation(first, "diverges from the baseline", more, aspect, trace)
    values = (each for each in listed if each is not first and each.kind in _VALUES)
    for difference in islice(values, _MOST_VALUES):
        yield _to_violation(difference, "differs from the baseline", "", aspect, trace)


def _to_violation(difference: RunDifference, head: str, tail: str, aspect: str, trace: Trace) -> Violation:
    """Return a difference as what breaks the rule: what was called, and both sides of the first change.

    Args:
        difference: the difference.
        head: what its description begins with.
        tail: what it ends with.
        aspect: the aspect of the baseline.
        trace: the trace of the run.
    """
    subject = f"{difference.component}:{difference.name}" if difference.name else difference.component
    number = difference.number_b
    description = _DESCRIPTIONS.get(difference.kind, KINDS[difference.kind])
    words = f"{subject.replace(':', ' ', 1)} {description.format(difference.name_a or 'something else')}"
    if (difference.component, difference.event_type) == ("app", "output"):
        words = "the program printed something else"
    change = next(iter(difference.detail.all_paths), None) if difference.detail is not None else None
    if difference.kind in _VALUES and change is not None:
        old, new = (short(lenient.dump(side).decode(), _LONGEST_VALUE) for side in (change.old, change.new))
        words += f": {change.path.removeprefix('$.')} {old} -> {new}"
    return Violation(
        subject,
        f"{head}: {words}{tail}",
        [] if number is None else [number],
        None if number is None else lenient.string(trace.event(number).get("call_site")),
        f"{aspect} {difference.kind}" + (f" {change.path}" if difference.kind in _VALUES and change else ""),
    )
