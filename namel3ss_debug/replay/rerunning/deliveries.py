"""A recorded answer in the form in which a process is given it: a response, a value or an exception."""

from __future__ import annotations

import base64
from http import HTTPStatus
from itertools import pairwise
from typing import Any

from namel3ss_debug.replay.rerunning.boundaries import VALUED, Question
from namel3ss_debug.replay.rerunning.recorded import Boundary, Recorded
from namel3ss_debug.replay.rerunning.recorded_answers import HttpAnswer, Raised, raised_by, state_raised
from namel3ss_debug.traces.events import Event
from namel3ss_debug.wire import lenient


def recorded_word(
    recorded: Recorded, found: Boundary, question: Question, *, realtime: bool = False
) -> dict[str, Any]:
    """The recorded answer of a boundary, for the question that it answers now.

    Args:
        recorded: the recording.
        found: the boundary.
        question: what is asked now. Where one of the two asks a model for a stream and the other does not, the answer
            is told by what it says, to be written anew; not where no model was known to be asked, as by an older
            version.
        realtime: whether the answer takes its time, as it did then.
    """
    if found.question.kind in VALUED:
        word = _tool_word(recorded, found.number)
        return word | ({"delay": sum(delays(recorded, found))} if realtime else {})
    answer = recorded.http_answer(found.number)
    if (
        question.kind == found.question.kind
        and question.streamed != found.question.streamed
        and answer.whole
        and answer.status < HTTPStatus.BAD_REQUEST
    ):
        outputs = lenient.mapping(recorded.end(found.number).get("outputs"))
        return {"answer": outputs, "outputs": outputs, "recorded": True}
    word = _response(answer)
    if realtime:
        word["delays"] = delays(recorded, found)
    return {"http": word}


def _tool_word(recorded: Recorded, number: int) -> dict[str, Any]:
    end = recorded.end(number)
    raised, given_up = raised_by(end, is_http=False)
    if raised is not None:
        return _tool_raised(end)
    if given_up or not end:
        lost = recorded.lost_by(number)
        return {"given_up": True} | ({} if lost is None else _tool_raised(lost))
    outputs = lenient.mapping(end.get("outputs"))
    return {"answer": outputs.get("result"), "outputs": outputs, "recorded": True}


def _tool_raised(end: Event) -> dict[str, Any]:
    """The exception that an event tells of."""
    raised, _given_up = raised_by(end, is_http=False)
    more = {"stack": lenient.string(end.get("stack_trace")), "state": state_raised(end)}
    told = {} if raised is None else _raised(raised)
    return {"raised": told | {name: value for name, value in more.items() if value}}


def _response(answer: HttpAnswer) -> dict[str, Any]:
    word: dict[str, Any] = {
        "status": answer.status,
        "reason": answer.reason or _reason(answer.status),
        "headers": [[name, value] for name, value in answer.headers],
        "pieces": [base64.b64encode(chunk).decode() for chunk in answer.chunks],
    }
    if isinstance(answer.raised, Raised):
        word["raised"] = _raised(answer.raised)
    if answer.given_up:
        word["given_up"] = True
    if answer.encoding:
        word["encoding"] = answer.encoding
    return word


def _raised(raised: Raised) -> dict[str, Any]:
    told: dict[str, Any] = {"type": raised.type, "text": raised.text}
    return told if raised.sent else told | {"sent": False}


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def delays(recorded: Recorded, found: Boundary) -> list[float]:
    """The seconds before the head of an answer, before each piece of it, and before its end, as they were."""
    start, end = recorded.start(found.number), recorded.end(found.number)
    pieces = [_time(event) for event in recorded.chunks(found.number)]
    if not pieces:
        lasted = end.get("duration_ms")
        return [max(float(lasted), 0.0) / 1000 if isinstance(lasted, int | float) else 0.0]
    times = [_time(start), pieces[0], *pieces, _time(end)]
    return [max(after - before, 0.0) for before, after in pairwise(times)]


def _time(event: Event) -> float:
    found = event.get("timestamp")
    return float(found) if isinstance(found, int | float) else 0.0
