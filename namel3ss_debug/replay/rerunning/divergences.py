"""Where a re-run parts from its recording, and where it meets it again; views put this into words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from namel3ss_debug.replay.rerunning.boundaries import MODEL, Question
from namel3ss_debug.replay.rerunning.recorded import Boundary
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
KINDS: Final = (CHANGED, NEW, MISSING, ORDER, RESULT)

EXACT: Final = "exact"
EXPECTED: Final = "expected"

_AT_THE_END = 1 << 62


@dataclass(frozen=True)
class Difference:
    """What differs between what was asked then and what is asked now.

    Attributes:
        messages: of two requests to a model, the messages that are not the same, as `diff_messages` gives them.
        paths: everything else, the first few places in order.
    """

    messages: tuple[MessageChange, ...] = ()
    paths: tuple[PathChange, ...] = ()


@dataclass(frozen=True)
class Divergence:
    """One place where a re-run and its recording part.

    Attributes:
        kind: `changed`: the code asks something else than the recording holds, and got the answer recorded there.
            `new`: the recording holds nothing for what the code asks. `missing`: the code did not ask what the
            recording holds. `order`: the code asked this before `late`, which the recording holds first. `result`: a
            tool gave another result than the recorded one, because it was run for real, or the program has no class for
            it, or a server of the program gave another response; `difference` is that of the results.
        number: the number of the question in the re-run's own trace; of what is missing, that of the first question
            which the recording holds later; 0 where none was asked any more.
        question: what the code asked there; None where it asked nothing.
        recorded: what the recording holds there; None where it holds nothing.
        difference: what differs between the two; None where they are no two requests of one kind.
        late: of `order`, the recorded boundaries that were asked afterwards.
        mocked: the numbers of the questions before it, in the re-run, that were answered otherwise than recorded: it
            may be a consequence of these.
        ambiguous: whether the recorded answer, which was given here by a guess, was asked for later in the very words
            of the recording.
    """

    kind: str
    number: int
    question: Question | None
    recorded: Boundary | None
    difference: Difference | None = None
    late: tuple[Boundary, ...] = ()
    mocked: tuple[int, ...] = ()
    ambiguous: bool = False

    @property
    def call_site_then(self) -> str | None:
        """The line of code of what the recording holds."""
        return None if self.recorded is None else self.recorded.question.call_site

    @property
    def call_site_now(self) -> str | None:
        """The line of code of what was asked."""
        return None if self.question is None else self.question.call_site


class Match(NamedTuple):
    """One question of a re-run, and what became of it.

    Attributes:
        number: the number of the question in the re-run.
        recorded: the number of the recorded boundary it stands for; 0 for none.
        how: `exact`, `changed`, `new`, or `expected`: it differs by nothing but what the user gave in place of recorded
            answers.
        given: whether it was the user who answered it, and not the recording.
        real: whether it was made for real.
        unanswered: whether the run did not go on there: its answer cannot be given, or was not to be because of
            `strict`.
    """

    number: int
    recorded: int
    how: str
    given: bool = False
    real: bool = False
    unanswered: bool = False


class Joined(NamedTuple):
    """Where a re-run met its recording again after it had first parted from it.

    Attributes:
        number: the number of the first question that was the recorded one again.
        recorded: the number of that question in the recording.
        in_a_row: how many questions from there on were recorded ones, with nothing missing between them.
        to_the_end: whether these were all that were left, in the re-run and in the recording.
    """

    number: int
    recorded: int
    in_a_row: int
    to_the_end: bool


@dataclass(frozen=True)
class Summary:
    """What became of a re-run.

    Attributes:
        first: where it first parted from the recording; None where it did not.
        kinds: how many divergences there are of each kind, without the kinds that there are none of.
        exact: how many questions were the recorded ones and got their answer from the recording.
        changed: how many were others, and got it from there all the same.
        expected: the questions that differ only by what the user gave, and got the recorded answer: these were given
            before the user's answers could matter to whoever gave them.
        given: how many questions the user answered.
        joined: where it met the recording again; None where it did not, or never parted.
    """

    first: Divergence | None
    kinds: dict[str, int]
    exact: int
    expected: tuple[Match, ...]
    given: int
    joined: Joined | None
    changed: int = 0


def in_order(divergences: Iterable[Divergence]) -> tuple[Divergence, ...]:
    """Divergences by where they are in the re-run; what is missing at one place stands before what was asked there."""

    def place(found: Divergence) -> tuple[int, bool, int]:
        recorded = 0 if found.recorded is None else found.recorded.number
        return (found.number or _AT_THE_END, found.kind != MISSING, recorded)

    return tuple(sorted(divergences, key=place))


def summary(divergences: Iterable[Divergence], matches: Sequence[Match]) -> Summary:
    """What became of a re-run.

    Args:
        divergences: all of them, in any order.
        matches: its questions, in the order in which they were asked.
    """
    ordered = in_order(divergences)
    first = ordered[0] if ordered else None
    counts = Counter(found.kind for found in ordered)
    told = [match for match in matches if not (match.given or match.real or match.unanswered)]
    return Summary(
        first=first,
        kinds={kind: counts[kind] for kind in KINDS if counts[kind]},
        exact=sum(match.how == EXACT for match in told),
        expected=tuple(match for match in told if match.how == EXPECTED),
        given=sum(match.given and not (match.real or match.unanswered) for match in matches),
        joined=None if first is None else _joined(first, ordered, matches),
        changed=sum(match.how == CHANGED for match in told),
    )


def told_of(event: Event) -> dict[str, Any]:
    """What the start event of a boundary tells of the question: its inputs, and of a request to a model where that goes.

    The address stands there as it counts for the question: a test server may have another port each time.
    """
    inputs = lenient.mapping(event.get("inputs"))
    url = lenient.string(lenient.mapping(lenient.mapping(event.get("metadata")).get("exchange")).get("url"))
    return inputs if url is None else {"url": canonical_url(url), **inputs}


def difference_of(kind: str, old: dict[str, Any], new: dict[str, Any]) -> Difference:
    """What differs between the inputs of two calls at boundaries of the same kind."""
    if kind != MODEL:
        return Difference(paths=diff_values(_without(old, "call_id"), _without(new, "call_id")))
    from namel3ss_debug.wire.conversations import diff_messages  # noqa: PLC0415  (most runs part nowhere)

    before, after = lenient.sequence(old.get("messages")), lenient.sequence(new.get("messages"))
    messages = tuple(change for change in diff_messages(before, after) if change.kind != "same")
    return Difference(messages, diff_values(_without(old, "messages"), _without(new, "messages")))


def _joined(first: Divergence, ordered: tuple[Divergence, ...], matches: Sequence[Match]) -> Joined | None:
    start = first.number or _AT_THE_END
    missing = {found.number or _AT_THE_END for found in ordered if found.kind == MISSING}
    behind = [match for match in matches if match.number >= start]
    same = [not match.unanswered and match.how in (EXACT, EXPECTED) for match in behind]
    for place, match in enumerate(behind):
        if same[place] and match.how == EXACT:
            end = place + 1
            while end < len(behind) and same[end] and behind[end].number not in missing:
                end += 1
            to_the_end = end == len(behind) and _AT_THE_END not in missing
            return Joined(match.number, match.recorded, end - place, to_the_end)
    return None


def _without(inputs: dict[str, Any], left_out: str) -> dict[str, Any]:
    return {key: value for key, value in inputs.items() if key != left_out}
