"""Compare a re-run with its trace: where they diverge, and where they reconverge."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from namel3ss_debug.replay.rerun.recorded_calls import RecordedCall
from namel3ss_debug.replay.rerun.requests import MODEL, Request
from namel3ss_debug.wire import lenient
from namel3ss_debug.wire.requests import canonical_url
from namel3ss_debug.wire.value_changes import PathChange, diff_values

if TYPE_CHECKING:
    from namel3ss_debug.traces.events import Event
    from namel3ss_debug.wire.conversations import MessageChange

CHANGED: Final = "changed"
NEW: Final = "new"
MISSING: Final = "missing"
ORDER: Final = "order"
RESULT: Final = "result"
AMBIGUOUS: Final = "ambiguous"
OUTPUT: Final = "output"
FILES: Final = "files"
END: Final = "end"
EFFECTS: Final = (OUTPUT, FILES, END)
"""The kinds that are no calls."""

KINDS: Final = (CHANGED, NEW, MISSING, ORDER, RESULT, AMBIGUOUS, *EFFECTS)

EXACT: Final = "exact"
AFTER_OVERRIDE: Final = "after_override"

_AT_THE_END = 1 << 62


@dataclass(frozen=True)
class Difference:
    """The difference between a recorded request and a live one.

    Attributes:
        messages: the changed messages of two requests to a model, as `diff_messages` returns them.
        paths: all other differences, the first few places in order.
    """

    messages: tuple[MessageChange, ...] = ()
    paths: tuple[PathChange, ...] = ()


@dataclass(frozen=True)
class Divergence:
    """One place where a re-run and its trace diverge.

    Attributes:
        kind: `changed`: the code sent another request, and got the recorded answer. `new`: the trace holds no answer
            for the call. `missing`: the code did not make a recorded call. `order`: the code made this call before
            `recorded`, which the trace holds first. `result`: a tool returned something else than recorded, because it
            was run for real, or because the program has no class for the value; then `difference` compares the results.
            `ambiguous`: the request got the answer of `recorded`, and a later call then sent the recorded request. It
            leaves the re-run unverified.
        number: the number of the request in the re-run's own trace. For a missing call, the number of the first request
            that the trace holds later; 0 if there was none.
        request: the live request; None if there was none.
        recorded: the recorded call; None if there is none.
        difference: how the two differ; None if they cannot be compared.
        mocked: the numbers of the earlier requests, in the re-run, that did not get their recorded answer. The
            divergence may be a consequence of these.
    """

    kind: str
    number: int
    request: Request | None
    recorded: RecordedCall | None
    difference: Difference | None = None
    mocked: tuple[int, ...] = ()

    @property
    def call_site_then(self) -> str | None:
        """The line of code of the recorded call."""
        return None if self.recorded is None else self.recorded.request.call_site

    @property
    def call_site_now(self) -> str | None:
        """The line of code of the live call."""
        return None if self.request is None else self.request.call_site


class Match(NamedTuple):
    """How one request of a re-run was matched.

    Attributes:
        number: the number of the request in the re-run.
        recorded: the number of the matched recorded call; 0 for none.
        how: `exact`, `changed`, `new`, `ambiguous`, or `after_override`: it changed, after an override.
        overridden: whether the user's override answered it.
        real: whether the call was made for real.
        unanswered: whether the run did not go on there: there is no usable answer, or `--strict` ended it.
        is_body_unknown: whether it was compared without its body, which was sent in part only.
    """

    number: int
    recorded: int
    how: str
    overridden: bool = False
    real: bool = False
    unanswered: bool = False
    is_body_unknown: bool = False


class RerunReconvergence(NamedTuple):
    """Where a re-run matches its trace again after the first divergence.

    Attributes:
        number: the number of the first request that matches again.
        recorded: the number of that request in the trace.
        in_a_row: how many requests from there on match, with nothing missing between them.
        to_the_end: whether these are all that were left, in the re-run and in the trace.
    """

    number: int
    recorded: int
    in_a_row: int
    to_the_end: bool


@dataclass(frozen=True)
class DivergenceSummary:
    """The counts of a re-run.

    Attributes:
        first: the first divergence that is not only ambiguous; None for none.
        kinds: the number of divergences of each kind that occurs.
        exact: how many requests were the recorded ones and got the recorded answer.
        changed: how many were others, and got a recorded answer all the same.
        after_override: the requests that changed after an override of the user, and got the recorded answer. That
            answer was made without knowledge of the overrides.
        body_unknown: those that were compared without their bodies, and got the recorded answer.
        overridden: how many requests the user's overrides answered.
        reconverged: where it matches the trace again; None if it does not, or never diverged.
    """

    first: Divergence | None
    kinds: dict[str, int]
    exact: int
    after_override: tuple[Match, ...]
    overridden: int
    reconverged: RerunReconvergence | None
    changed: int = 0
    body_unknown: tuple[Match, ...] = ()


def in_order(divergences: Iterable[Divergence]) -> tuple[Divergence, ...]:
    """Return divergences in the order of the re-run; a missing call precedes the request made at its place."""

    def place(found: Divergence) -> tuple[int, bool, int]:
        recorded = 0 if found.recorded is None else found.recorded.number
        return (found.number or _AT_THE_END, found.kind != MISSING, recorded)

    return tuple(sorted(divergences, key=place))


def summarize(divergences: Iterable[Divergence], matches: Sequence[Match]) -> DivergenceSummary:
    """Return the counts of a re-run.

    Args:
        divergences: all of them, in any order.
        matches: its requests, in the order in which they were made.
    """
    ordered = in_order(divergences)
    first = next((found for found in ordered if found.kind != AMBIGUOUS), None)
    counts = Counter(found.kind for found in ordered)
    answered = [match for match in matches if not (match.overridden or match.real or match.unanswered)]
    return DivergenceSummary(
        first=first,
        kinds={kind: counts[kind] for kind in KINDS if counts[kind]},
        exact=sum(match.how == EXACT for match in answered),
        after_override=tuple(match for match in answered if match.how == AFTER_OVERRIDE),
        overridden=sum(match.overridden and not (match.real or match.unanswered) for match in matches),
        reconverged=_find_reconvergence(ordered, matches),
        changed=sum(match.how == CHANGED for match in answered),
        body_unknown=tuple(match for match in answered if match.is_body_unknown),
    )


def request_inputs(event: Event) -> dict[str, Any]:
    """Return the inputs of a start event, with the address of a request to a model.

    The address is normalized, because a test server may have another port each time.
    """
    inputs = lenient.mapping(event.get("inputs"))
    url = lenient.string(lenient.mapping(lenient.mapping(event.get("metadata")).get("exchange")).get("url"))
    return inputs if url is None else {"url": canonical_url(url), **inputs}


def difference_of(kind: str, old: dict[str, Any], new: dict[str, Any]) -> Difference:
    """Return the difference between the inputs of two calls of the same kind."""
    if kind != MODEL:
        return Difference(paths=diff_values(_without(old, "call_id"), _without(new, "call_id")))
    from namel3ss_debug.wire.conversations import diff_messages  # most runs part nowhere

    before, after = lenient.sequence(old.get("messages")), lenient.sequence(new.get("messages"))
    messages = tuple(change for change in diff_messages(before, after) if change.kind != "same")
    return Difference(messages, diff_values(_without(old, "messages"), _without(new, "messages")))


def _find_reconvergence(
    ordered: tuple[Divergence, ...], matches: Sequence[Match]
) -> RerunReconvergence | None:
    ordered = tuple(found for found in ordered if found.kind not in EFFECTS)
    first = next((found for found in ordered if found.kind != AMBIGUOUS), None)
    if first is None:
        return None
    start = first.number or _AT_THE_END
    missing = {found.number or _AT_THE_END for found in ordered if found.kind == MISSING}
    behind = [match for match in matches if match.number >= start]
    same = [not match.unanswered and match.how in (EXACT, AFTER_OVERRIDE) for match in behind]
    for place, match in enumerate(behind):
        if same[place] and match.how == EXACT:
            end = place + 1
            while end < len(behind) and same[end] and behind[end].number not in missing:
                end += 1
            to_the_end = end == len(behind) and _AT_THE_END not in missing
            return RerunReconvergence(match.number, match.recorded, end - place, to_the_end)
    return None


def _without(inputs: dict[str, Any], left_out: str) -> dict[str, Any]:
    return {key: value for key, value in inputs.items() if key != left_out}
