"""What a signal yields: the events, the value that proves it, and where to look."""

from __future__ import annotations

from typing import NamedTuple

from namel3ss_debug.errors import short

_LONGEST_QUOTE = 70


class Proof(NamedTuple):
    """What proves a signal.

    Attributes:
        evidence: what was seen, with the value.
        events: the events that prove it, the most telling first.
        command: the arguments of `namel3ss debug` that go there.
        subject: the component that it is about: its kind and name.
    """

    evidence: str
    events: tuple[int, ...]
    command: str
    subject: tuple[str, str] = ("", "")


def quote(text: str, longest: int = _LONGEST_QUOTE) -> str:
    """Return a text on one line in quotes, shortened."""
    return f'"{short(" ".join(text.split()), longest, "...")}"'
