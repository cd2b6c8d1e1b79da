"""`messages`: what the model read at a call, and what had become of it since the call before."""

from __future__ import annotations

from itertools import islice
from typing import Any, Final

from namel3ss_debug.errors import WrongUsageError
from namel3ss_debug.replay.results import MessageChanges, Messages, Result
from namel3ss_debug.replay.walking.commands.arguments import event_number
from namel3ss_debug.replay.walking.session import Session
from namel3ss_debug.replay.walking.stops import same
from namel3ss_debug.replay.walking.walk import Walk
from namel3ss_debug.traces.events import Event
from namel3ss_debug.wire.conversations import diff_messages
from namel3ss_debug.wire.tools import list_tool_names

_CALL: Final = "llm_call_start"
_LOOKED_BACK: Final = 50
_MOST_SPANS: Final = 1000
_USAGE: Final = "messages [--diff] [N]"


def messages(session: Session, argument: str) -> Result:
    """What the model read at the call around an event or, where it is in none, at the latest call before it."""
    walk = session.walk
    words = argument.split()
    diff = "--diff" in words
    words = [word for word in words if word != "--diff"]
    if len(words) > 1 or any(word.startswith("-") for word in words):
        raise WrongUsageError(f"write {_USAGE}")
    at = event_number(walk, words[0], _USAGE) if words else session.looked_at
    call = _call_at(walk, at)
    if not call:
        raise WrongUsageError(f"no model was called up to event {at}")
    if not diff:
        inputs = _inputs(walk.event_at(call))
        model = inputs.get("model")
        return Messages(
            call, model if isinstance(model, str) else None, _read(inputs), list_tool_names(inputs)
        )
    before = call_before(walk, call)
    earlier = _read(_inputs(walk.event_at(before))) if before else ()
    return MessageChanges(call, before or None, diff_messages(earlier, _read(_inputs(walk.event_at(call)))))


def call_before(walk: Walk, call: int) -> int:
    """The model call before another in the same conversation; 0 where there is none.

    Of the latest calls it is the one whose messages begin alike for longest, so that each of several agents that work
    at the same time is compared with its own; of several the one that shares most of the spans around it; of these the
    one that is as deep inside, then one of the same thread and task, and then the latest.
    """
    outline = walk.outline
    own, event = _around(walk, call), walk.event_at(call)
    read = _read(_inputs(event))
    best, best_rank = 0, (-1, 0, 0, False)
    calls = outline.kinds.wanted(lambda event: bool(event["event_type"] == _CALL), named=False)
    for found in islice(outline.backward(calls, 1, call), _LOOKED_BACK):
        around, earlier = _around(walk, found), walk.event_at(found)
        rank = (
            _alike(read, _read(_inputs(earlier))),
            len(own & around),
            -abs(len(own) - len(around)),
            all(event.get(name) == earlier.get(name) for name in ("thread", "task")),
        )
        if rank > best_rank:
            best, best_rank = found, rank
    return best


def _call_at(walk: Walk, number: int) -> int:
    """The model call that an event is inside, that asked for the tool call that it is inside, or the closest before it.

    Of the latest calls the closest is the one that shares most of the spans around the event, so that of several agents
    that work at the same time it is the event's own; of these the latest.
    """
    if not number:
        return 0
    outline = walk.outline
    around = outline.stack(number)
    for start in reversed(around):
        kind = outline.kind(start)
        if kind is not None and kind.event_type == _CALL:
            return start
    calls = outline.kinds.wanted(lambda event: bool(event["event_type"] == _CALL), named=False)
    latest = list(islice(outline.backward(calls, 1, number + 1), _LOOKED_BACK))
    for start in reversed(around[-_MOST_SPANS:]):
        call_id = _inputs(walk.event_at(start)).get("call_id")
        asked = call_id and next((call for call in latest if _asked_for(walk, call, call_id)), 0)
        if asked:
            return asked
    own = frozenset(around[:_MOST_SPANS])
    return max(latest, key=lambda call: (len(own & _around(walk, call)), call), default=0)


def _asked_for(walk: Walk, call: int, call_id: object) -> bool:
    """Whether the answer of a model asked for the call of a tool."""
    end = walk.outline.end(call)
    outputs = walk.event_at(end).get("outputs") if end else None
    asked = outputs.get("tool_calls") if isinstance(outputs, dict) else None
    return isinstance(asked, list) and any(
        isinstance(each, dict) and each.get("id") == call_id for each in asked
    )


def _around(walk: Walk, call: int) -> frozenset[int]:
    """The spans around a call; of a very deep stack the outer ones."""
    return frozenset(walk.outline.stack(call)[:_MOST_SPANS])


def _alike(one: tuple[Any, ...], other: tuple[Any, ...]) -> int:
    """How many messages two calls begin with alike."""
    pairs = zip(one, other, strict=False)
    return next((place for place, pair in enumerate(pairs) if not same(*pair)), min(len(one), len(other)))


def _inputs(call: Event) -> dict[str, Any]:
    inputs = call.get("inputs")
    return inputs if isinstance(inputs, dict) else {}


def _read(inputs: dict[str, Any]) -> tuple[Any, ...]:
    """The messages of a call, whatever shape a recording gives them."""
    found = inputs.get("messages")
    if isinstance(found, list):
        return tuple(found)
    return () if found is None else (found,)
