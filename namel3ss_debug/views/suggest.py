"""The remedies for a failure, and what the re-run with each of them showed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

from namel3ss_debug.analysis.failures.remedies import (
    ANOTHER,
    NOT_TRIED,
    REMAINS,
    SCHEMA,
    WENT_AWAY,
    AppliedRemedy,
    FailureCase,
    Trial,
)
from namel3ss_debug.views.blocks import Block, Heading, Note, Quote
from namel3ss_debug.views.cleaning import clean, shorter_path
from namel3ss_debug.views.terminal import DIM, ERROR, GOOD, WARNING
from namel3ss_debug.views.usage import failure_words

_STYLES: Final = {WENT_AWAY: GOOD, REMAINS: ERROR, ANOTHER: WARNING, NOT_TRIED: DIM}
_OF_FAILURE: Final = (
    "number",
    "component",
    "component_name",
    "category",
    "error_type",
    "error",
    "fingerprint",
)
_LONGEST: Final = 400
_LONGEST_NAME: Final = 80


def suggest_document(
    trace: str, case: FailureCase, tried: Sequence[Trial], applied: AppliedRemedy | None
) -> dict[str, Any]:
    """Return the remedies and their outcomes as JSON."""
    return {
        "schema": SCHEMA,
        "trace": trace,
        "failure": {key: case.failure.get(key) for key in _OF_FAILURE},
        "advice": case.failure.get("resolution"),
        "remedies": [
            {
                "name": each.remedy.name,
                "what": each.remedy.what,
                "settings": dict(each.remedy.settings),
                "outcome": each.result.outcome,
                "detail": each.result.detail,
                "assumes": _assumed(each),
                "mocks": list(each.remedy.mocks) if each.trace else [],
                "trace": str(each.trace) if each.trace else None,
            }
            for each in tried
        ],
        "applied": applied
        and {"remedy": applied.remedy, "file": str(applied.file), "difference": list(applied.difference)},
    }


def suggest_blocks(
    case: FailureCase, tried: Sequence[Trial], applied: AppliedRemedy | None, reference: str
) -> Iterator[Block]:
    """Yield the failure, each remedy with its outcome, and the command that applies one.

    Args:
        case: the failure.
        tried: the remedies.
        applied: the one that was written to the settings.
        reference: the name of the trace in a command, empty for the latest.
    """
    failure = case.failure
    place = clean(f"{case.component} {case.name}".rstrip(), _LONGEST_NAME)
    yield Heading(f"event {failure['number']}  {place}", str(failure["category"]))
    if error := failure_words(failure):
        yield Note(clean(error, _LONGEST), ERROR)
    if advice := failure.get("resolution"):
        yield Note(f"In general: {advice}", "")
    if not tried:
        yield Note(f"No setting helps against a failure of the category {failure['category']}.", "")
    for each in tried:
        yield Heading(each.remedy.name, each.result.outcome.replace("_", " "), _STYLES[each.result.outcome])
        yield from (Note(clean(words, _LONGEST), "") for words in _describe(each) if words)
    if applied is not None and applied.difference:
        yield Heading(f"{applied.remedy} is written to {shorter_path(applied.file)}")
        yield Quote("\n".join(applied.difference), is_code=True)
    elif applied is not None:
        yield Heading(f"{applied.remedy} stands in {shorter_path(applied.file)} already")
    elif helped := [each.remedy.name for each in tried if each.result.outcome == WENT_AWAY]:
        command = " ".join(filter(None, ("namel3ss debug suggest", reference, "--apply")))
        yield Heading(f"To add {helped[0]} to the settings")
        yield Note(command, "")


def _describe(each: Trial) -> Iterator[str]:
    remedy = each.remedy
    yield remedy.what
    yield json.dumps(dict(remedy.settings), ensure_ascii=False) if remedy.settings else ""
    if each.trace is None:
        yield each.result.detail
        return
    yield f"In the re-run, {each.result.detail}"
    yield f"provided that {remedy.assumes}" if _assumed(each) else ""
    yield f"The re-run is recorded in {shorter_path(each.trace)}"


def _assumed(each: Trial) -> str:
    return each.remedy.assumes if each.result.outcome == WENT_AWAY else ""
