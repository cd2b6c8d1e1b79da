"""Whether a run does what its baselines did: it is compared with each, and reported against the nearest one.

`path` compares what was called, in which order and with which status; answers of a model may differ. `divergence`
compares everything, arguments and results as well, which only runs on recorded or scripted answers repeat. A change
of order that the dependencies prove to be harmless, and what the setting `diff_ignore` names, are no differences.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from namel3ss_debug.analysis.checking.findings import Found
from namel3ss_debug.analysis.diffing.comparison import compare, load_run
from namel3ss_debug.analysis.diffing.differences import ADDED, KINDS, MISSING, ORDER, PATH, STATUS
from namel3ss_debug.analysis.diffing.masks import Masks

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from namel3ss_debug.analysis.diffing.comparison import Diff
    from namel3ss_debug.analysis.diffing.differences import Difference
    from namel3ss_debug.traces.reader import Trace

COMPARED: Final[dict[str, frozenset[str]]] = {
    "path": frozenset({PATH, ORDER, ADDED, MISSING, STATUS}),
    "divergence": frozenset(KINDS),
}
"""The aspects of a baseline, and the kinds of differences each of them is about."""

MOST: Final = 10
"""A run is compared with at most so many baselines, the first ones."""

_WORDS: Final = {
    PATH: "was called in place of {}",
    ORDER: "came earlier or later than in the baseline",
    ADDED: "is not in the baseline",
    MISSING: "is in the baseline only",
    STATUS: "ended otherwise than in the baseline",
}


def where_paths_part(
    aspect: str, baselines: Collection[str], trace: Trace, ignore: Iterable[str]
) -> Iterator[Found]:
    """Yield where a run differs from the nearest of its baselines; nothing where it does what one of them did.

    Args:
        aspect: a key of `COMPARED`.
        baselines: the recordings of earlier runs.
        trace: the recording of the run.
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
    yield from _told(*min(compared, key=lambda each: each[0]), kinds, aspect, trace)


def _told(differs: int, diff: Diff, kinds: frozenset[str], aspect: str, trace: Trace) -> Iterator[Found]:
    """Yield the first difference that lasts, and how many there are."""
    found = [each for each in diff.differences if each.kind in kinds]
    first = next((each for each in found if each.lasting), found[0] if found else None)
    more = f"; the first of {differs:,} differences" if differs > 1 else ""
    if first is None:
        yield Found("run", f"parts from the baseline in {differs:,} places", detail=aspect)
        return
    subject = f"{first.component}:{first.name}" if first.name else first.component
    yield Found(
        subject,
        f"parts from the baseline: {subject.replace(':', ' ', 1)} {_words(first)}{more}",
        [] if first.number_b is None else [first.number_b],
        None if first.number_b is None else _site(trace, first.number_b),
        f"{aspect} {first.kind}",
    )


def _words(first: Difference) -> str:
    words = _WORDS.get(first.kind)
    return KINDS[first.kind] if words is None else words.format(first.name_a or "something else")


def _site(trace: Trace, number: int) -> str | None:
    site = trace.event(number).get("call_site")
    return site if isinstance(site, str) else None
