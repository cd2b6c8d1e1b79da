"""Requests of a program to a server of its own: the server runs again as well, and answers itself what it is asked."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

from namel3ss_debug.replay.rerunning.boundaries import HTTP, Question
from namel3ss_debug.replay.rerunning.recorded import Boundary, Recorded
from namel3ss_debug.replay.rerunning.recorded_answers import exchange_of
from namel3ss_debug.replay.rerunning.verdicts import Answer, New
from namel3ss_debug.wire.requests import LOOPBACK
from namel3ss_debug.wire.value_changes import PathChange, diff_values

Listens = Callable[[int], bool]
"""Tells whether the program waits for connections on a port."""

_PORT: Final = re.compile(r"((?:localhost|127\.0\.0\.1|\[::1\]):)\d{1,5}")


def loopback_port(question: Question) -> int | None:
    """The port of this machine that a request goes to which asks no model; None for any other question."""
    if question.kind != HTTP:
        return None
    try:
        address = urlsplit(f"//{question.name}")
        return (address.port or 80) if address.hostname in LOOPBACK else None
    except ValueError:
        return None


def answers_itself(result: Answer | New, recorded: Recorded, listens: Listens | None) -> bool:
    """Whether a question is for a server of the program.

    A request that came to nothing then does so again: the server had yet to begin, and may be sooner now.

    Args:
        result: the question, with what the recording holds for it.
        recorded: the recording.
        listens: on which ports the program waits; None where on none.
    """
    port = loopback_port(result.question)
    if listens is None or port is None:
        return False
    if isinstance(result, Answer):
        found = result.recorded
        if result.replaced or (found and exchange_of(recorded.end(found.number)).get("status") is None):
            return False
    return listens(port)


def told_apart(recorded: Recorded) -> frozenset[int]:
    """The numbers of the requests to this machine of whose response it is known which one it was.

    Of several in the same words at the same time it is chance which of them got which.
    """
    latest: dict[tuple[str, ...], Boundary] = {}
    alone: set[int] = set()
    for number, boundary in sorted(recorded.boundaries.items()):
        if loopback_port(boundary.question) is None:
            continue
        before = latest.get(boundary.question.keys)
        if before is None or 0 < before.end < number:
            alone.add(number)
        else:
            alone.discard(before.number)
        latest[boundary.question.keys] = boundary
    return frozenset(alone)


def response_changes(old: dict[str, Any], new: dict[str, Any]) -> tuple[PathChange, ...]:
    """Where two responses of a server of the program differ, in their status and body.

    Headers are not compared: servers tell there when and how fast they answered. Nor are the ports of URLs of this
    machine, because a program takes one that is free.
    """
    before, now = ({name: outputs[name] for name in outputs if name != "headers"} for outputs in (old, new))
    return tuple(
        change
        for change in diff_values(before, now)
        if change.kind != "changed" or _without_ports(change.old) != _without_ports(change.new)
    )


def _without_ports(value: object) -> object:
    return _PORT.sub(r"\1", value) if isinstance(value, str) else value
