"""The user's judgement of a run, kept beside its trace: `namel3ss debug mark TRACE good|bad`.

A trace records what happened; only a person, or a check, knows whether that was right. The judgement is one small JSON
file beside the first segment (`names.mark_path`). The trace itself never changes. The file names the execution it judges,
so a mark that was copied or renamed to another trace has no effect there.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import orjson

from namel3ss_debug.errors import WrongUsageError
from namel3ss_debug.traces.names import mark_path
from namel3ss_debug.traces.store import execution_of, trace_files

SCHEMA: Final = "namel3ss-debug/mark/1"
GOOD: Final = "good"
BAD: Final = "bad"
JUDGEMENTS: Final = (GOOD, BAD)

MOST_BYTES: Final = 1 << 16
"""A larger file is not a mark; the command cuts the reason long before this."""

MOST_WHY: Final = 4000
"""The longest reason, in characters."""


@dataclass(frozen=True)
class Mark:
    """A judgement of one run.

    Attributes:
        judgement: `good` or `bad`.
        why: the user's reason; empty if there is none.
        event: the number of the event that shows it; None for the whole run.
        when: when the run was marked, in seconds since the epoch.
        execution_id: the run that was judged.
    """

    judgement: str
    why: str = ""
    event: int | None = None
    when: float = 0.0
    execution_id: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the mark as JSON documents show it."""
        return {"judgement": self.judgement, "why": self.why or None, "event": self.event, "when": self.when}

    def describe(self) -> str:
        """Return the mark in one line: `marked bad: wrong city (event 7)`."""
        why = f": {self.why}" if self.why else ""
        return f"marked {self.judgement}{why}" + (f" (event {self.event})" if self.event else "")


def mark_from_json(document: Mapping[str, Any]) -> Mark:
    """Return the mark that `Mark.to_json` has made a document of."""
    return Mark(document["judgement"], document["why"] or "", document["event"], document["when"])


def mark_of(path: Path) -> Mark | None:
    """Return the mark of the trace that this file belongs to; None if it has none that counts.

    Args:
        path: any file of the trace.
    """
    return mark_at(trace_files(path)[0].files[0])


def mark_at(first: Path) -> Mark | None:
    """Return the mark of a trace, as `mark_of` does, where its first segment is known already."""
    found = find_mark(first, execution_of(first) or "")
    return found if isinstance(found, Mark) else None


def find_mark(first: Path, execution_id: str) -> Mark | str | None:
    """Return the mark of a trace, or the reason why the file that is there has no effect; None if there is no file.

    Args:
        first: a segment of the trace.
        execution_id: the execution id of the trace.
    """
    path = mark_path(first)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"{path}: the mark cannot be read: {error.strerror}"
    try:
        with open(descriptor, "rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        return f"{path}: the mark cannot be read: {error.strerror}"
    mark = _parse(content)
    if mark is None:
        return f"{path}: not a mark, so it has no effect; mark the run again with `namel3ss debug mark`"
    if mark.execution_id != execution_id:
        return f"{path}: the mark is of another run ({mark.execution_id[:8] or 'without an id'}), so it has no effect"
    return mark


def write_mark(path: Path, mark: Mark) -> Mark:
    """Write the mark of a trace, in place of an earlier one, and return it with the execution id of the trace.

    Args:
        path: any file of the trace.
        mark: the judgement; its execution id is filled in.

    Raises:
        WrongUsageError: the file cannot be written.
    """
    first = trace_files(path)[0].files[0]
    mark = replace(mark, execution_id=execution_of(first) or "", why=mark.why[:MOST_WHY])
    target = mark_path(first)
    temporary = target.with_name(f"{target.name}.{os.getpid()}")
    try:
        with open(
            os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb"
        ) as file:
            file.write(orjson.dumps({"schema": SCHEMA, **asdict(mark)}) + b"\n")
        os.replace(temporary, target)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise _refusal(target, error) from None
    return mark


def clear_mark(path: Path) -> bool:
    """Remove the mark of a trace, and return whether there was one.

    Args:
        path: any file of the trace.

    Raises:
        WrongUsageError: the file cannot be removed.
    """
    target = mark_path(trace_files(path)[0].files[0])
    try:
        target.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise _refusal(target, error) from None
    return True


def _refusal(target: Path, error: OSError) -> WrongUsageError:
    """Return the error for a folder that takes no mark, with what to do."""
    return WrongUsageError(
        f"{target.parent}: the mark cannot be changed: {error.strerror or error}; "
        "a mark is kept beside its trace, so copy the trace to a folder that you can write to"
    )


def _parse(content: bytes) -> Mark | None:
    """Return the mark that a file holds; None if it holds anything else, for the file may be another program's."""
    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError:
        return None
    if (
        not isinstance(value, dict)
        or value.get("schema") != SCHEMA
        or value.get("judgement") not in JUDGEMENTS
    ):
        return None
    why, event, when = value.get("why"), value.get("event"), value.get("when")
    return Mark(
        judgement=value["judgement"],
        why=why if isinstance(why, str) else "",
        event=event if isinstance(event, int) and not isinstance(event, bool) and event > 0 else None,
        when=float(when) if isinstance(when, int | float) else 0.0,
        execution_id=str(value.get("execution_id") or ""),
    )
