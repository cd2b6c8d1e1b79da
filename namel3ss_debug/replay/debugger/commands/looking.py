"""The commands that look at the selected event or span: its values, its messages, its code, and the running totals."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable
from itertools import islice
from typing import Any, Final

from namel3ss_debug.errors import ExpressionError, WrongUsageError
from namel3ss_debug.expressions import NAMES, Expression, compile_expression, nearest
from namel3ss_debug.replay.debugger.breakpoints import is_same
from namel3ss_debug.replay.debugger.results import (
    Breakpoints,
    CallTable,
    Displays,
    Failures,
    FrameVariables,
    Listing,
    Locals,
    Message,
    MessageChanges,
    Messages,
    MocksInForce,
    OpenSpans,
    Result,
    TotalsSoFar,
    Value,
)
from namel3ss_debug.replay.debugger.session import (
    DebugSession,
    parse_count,
    parse_event_number,
    parse_number,
    quote,
    refuse_argument,
)
from namel3ss_debug.replay.debugger.stepper import Stepper
from namel3ss_debug.replay.overrides.grammar import in_line
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.variables import Variables, has_variables, read_variables
from namel3ss_debug.wire.conversations import diff_messages
from namel3ss_debug.wire.tools import list_tool_names

LISTED = 11
MOST_LISTED = 1000
LONGLIST_EACH_WAY = 100
_SCANNED_EACH_WAY = 10_000

MOST_SPANS = 1000
MOST_FAILURES = 20
_CALL = "llm_call_start"
_LOOKED_BACK = 50
_ELSEWHERE = {"args": "args", "locals": "locals", "frame": "where", "stack": "where", "source": "source"}
"""What gdb shows by `info`, and the command that shows it here."""

_MESSAGES_USAGE = "messages [--diff] [N]"
_LIST_USAGE = "list, list . or list N or list FIRST, LAST"
_NAME = re.compile(r"[^\W\d]\w{0,99}")
_FAILURE = ("status", "error", "error_type")


def where(session: DebugSession, argument: str) -> Result:
    """Show the spans around the current event."""
    refuse_argument(argument, "where")
    return session.stack()


def up(session: DebugSession, argument: str) -> Result:
    """Select a span further out."""
    spans, at = _selected_span(session)
    outer = min(at + parse_count(argument), len(spans) - 1)
    if outer <= at:
        raise WrongUsageError("this is the outermost; there is no span around it")
    session.selected = spans[outer]
    session.listed = 0
    return session.stack()


def down(session: DebugSession, argument: str) -> Result:
    """Select a span further in, at last the current event itself."""
    spans, at = _selected_span(session)
    inner = at - parse_count(argument)
    if at < 0:
        raise WrongUsageError("this is the innermost, the current event itself")
    session.selected = spans[inner] if inner >= 0 else 0
    session.listed = 0
    return session.stack()


def list_events(session: DebugSession, argument: str) -> Result:
    """List events around the selected one, or after those listed before."""
    stepper, words = session.stepper, argument.replace(",", " ").split()
    if len(words) > 2:
        raise WrongUsageError(f"write {_LIST_USAGE}")
    if words == ["."] or not (words or session.listed):
        first = session.looked_at - LISTED // 2
    elif not words:
        first = session.listed + 1
    elif len(words) == 1:
        first = parse_event_number(stepper, words[0], _LIST_USAGE) - LISTED // 2
    else:
        first = parse_number(words[0], _LIST_USAGE)
    first = max(first, 1)
    last = first + LISTED - 1
    if len(words) == 2:
        last = parse_number(words[1], _LIST_USAGE)
        last = first + last if last < first else last  # as in pdb, a smaller number is how many
        last = min(last, first + MOST_LISTED - 1)
    if not words and first > stepper.total > 0:
        raise WrongUsageError("the end of the trace is listed; 'list .' begins again around here")
    around = stepper.around(first, last)
    session.listed = around[-1][0] if around else session.listed
    at = session.looked_at
    rows = tuple(row for row in around if row[0] == at or not stepper.is_quiet(row[0]))
    return Listing(rows, at)


def longlist(session: DebugSession, argument: str) -> Result:
    """List all events inside the current span; of a long one only the part around the selected event."""
    refuse_argument(argument, "longlist")
    stepper, outline = session.stepper, session.stepper.outline
    middle, span = session.looked_at, session.selected or stepper.span()
    first, last = span or 1, (outline.end(span) if span else 0) or stepper.total
    low, high = max(first, middle - _SCANNED_EACH_WAY), min(last, middle + _SCANNED_EACH_WAY)
    inside = {0: not span, span: True}

    def is_inside(number: int) -> bool:
        """Return whether an event is inside the span; the spans between are kept for the next events."""
        passed, around = [], number
        while around not in inside:
            passed.append(around)
            around = outline.enclosing(around)
        inside.update(dict.fromkeys(passed, inside[around]))
        return inside[around]

    before = [number for number in range(middle - 1, low - 1, -1) if is_inside(number)]
    after = [number for number in range(max(middle, first), high + 1) if is_inside(number)]
    shown_before, shown_after = before[:LONGLIST_EACH_WAY], after[: LONGLIST_EACH_WAY + 1]
    left_out = len(before) + len(after) - len(shown_before) - len(shown_after) + (low - first) + (last - high)
    numbers = [*reversed(shown_before), *shown_after]
    events = dict(stepper.around(numbers[0], numbers[-1])) if numbers else {}
    shown = (number for number in numbers if number == middle or not stepper.is_quiet(number))
    return Listing(tuple((number, events[number]) for number in shown), middle, left_out)


def arguments(session: DebugSession, argument: str) -> Result:
    """Show the inputs of the event, or of its span."""
    refuse_argument(argument, "args")
    at, event = session.selected_event()
    own = session.selected or session.stepper.span()
    if event.get("inputs") is None and own:
        at, event = own, session.stepper.event_at(own)
    return Value("inputs", event.get("inputs"), pretty=True, number=at)


def returned(session: DebugSession, argument: str) -> Result:
    """Show the outputs of the event, or of its span; if it failed, the error."""
    refuse_argument(argument, "retval")
    at, event = session.selected_event()
    ended = event["event_type"][-4:] == "_end"
    if not ended and (session.selected or event.get("outputs") is None):
        own = session.selected or session.stepper.span()
        end = session.stepper.outline.end(own) if own else 0
        if not end:
            raise WrongUsageError(
                f"the span of event {own} has not ended in this trace" if own else "no span is open here"
            )
        at, event = end, session.stepper.event_at(end)
    if event.get("outputs") is None and "error" in event:
        error = {name: event[name] for name in _FAILURE if name in event}
        return Value("error", error, pretty=True, number=at)
    return Value("outputs", event.get("outputs"), pretty=True, number=at)


def local_variables(session: DebugSession, argument: str) -> Result:
    """Show the variables of the user's code at the event, or at the nearest span around it that has any."""
    refuse_argument(argument, "locals")
    frames = session.ask_frames("variables")
    if frames:
        return FrameVariables(session.stepper.position, frames)
    found = _find_variables(session)
    if found is None:
        raise WrongUsageError(
            "no variables are recorded here; `debug trace --level comprehensive` records those of your own code at calls"
        )
    module = found.module
    return Locals(
        found.number,
        found.scope,
        found.values,
        None if module is None else module.values,
        0 if module is None else module.number,
        found.notes(),
    )


def _find_variables(session: DebugSession) -> Variables | None:
    """Return the variables at the selected event, or at the nearest span around it that has any."""
    stepper = session.stepper
    if not session.looked_at:
        return None
    for number in (session.looked_at, *stepper.outline.stack(session.looked_at)[: -MOST_SPANS - 1 : -1]):
        if has_variables(stepper.trace.event(number)):
            return read_variables(stepper.trace, number)
    return None


def print_value(session: DebugSession, argument: str) -> Result:
    """Show the value of an expression, or of a variable of the user's code."""
    return _print(session, argument, "print", pretty=False)


def print_pretty(session: DebugSession, argument: str) -> Result:
    """Show the value of an expression or a variable over several lines."""
    return _print(session, argument, "pp", pretty=True)


def _print(session: DebugSession, argument: str, command: str, *, pretty: bool) -> Result:
    try:
        return _evaluate(session, argument, command, pretty=pretty)
    except ExpressionError:
        here = _find_variables(session) if _NAME.fullmatch(argument) else None
        found = here if here is None or argument in here.values else here.module
        if here is None or found is None or argument not in found.values:
            raise
        value = found.values[argument]
        if found.number == here.number and argument not in found.not_compared:
            return Value(argument, value, pretty=pretty, number=found.number)
        # The value is older than the event, and may have changed since.
        return Locals(
            found.recorded[argument], found.scope, {argument: value}, notes=found.notes((argument,))
        )


def _evaluate(session: DebugSession, argument: str, command: str, *, pretty: bool) -> Value:
    """Return the value of an expression; what the event does not have is evaluated in the frame that waits.

    Raises:
        ExpressionError: neither has it.
    """
    try:
        value = session.value(_parse_expression(argument, command))
        unknown = None
    except ExpressionError as problem:
        value, unknown = None, problem
    if value is None and argument:
        found = session.value_in_frame(argument)
        if found is not None and found.problem is None:
            return Value(
                argument, found.value, pretty=pretty, number=session.stepper.position, frame=found.frame
            )
        if found is not None and unknown is not None:
            where = f"in {found.frame.function} ({found.frame.at})"
            raise ExpressionError(f"{found.problem}, {where}")
    if unknown is not None:
        later = session.stepper.live and session.stepper.position < session.stepper.total
        raise ExpressionError(f"{unknown}{'; goto end reads the variables of the waiting program' * later}")
    return Value(argument, value, pretty=pretty, number=session.looked_at)


def inspect(session: DebugSession, argument: str) -> Result:
    """Show a recorded variable or the value of an expression, over several lines."""
    stepper = session.stepper
    if argument not in NAMES and argument in stepper.state.changed:
        value = stepper.variables(stepper.state.changed)[argument]
        return Value(f"state.{argument}", value, pretty=True, number=stepper.state.changed[argument])
    try:
        return _evaluate(session, argument, "inspect", pretty=True)
    except ExpressionError:
        if not _NAME.fullmatch(argument):
            raise
        variables = list(stepper.state.changed)
        there = f"; there are {in_line(', '.join(variables))}" if variables else ""
        hint = nearest(argument, [*variables, *NAMES]) or there
        raise ExpressionError(f"{argument}: no variable of this name is recorded up to here{hint}") from None


def whatis(session: DebugSession, argument: str) -> Result:
    """Show the kind of value that an expression has."""
    return Message(describe_kind(_evaluate(session, argument, "whatis", pretty=False).value))


def display(session: DebugSession, argument: str) -> Result:
    """Show an expression at every stop; without one, show all displays now."""
    if not argument:
        return Displays(session.evaluate_displays())
    key = session.display(_parse_expression(argument, "display"))
    return Displays(tuple(row for row in session.evaluate_displays() if row.number == key))


def undisplay(session: DebugSession, argument: str) -> Result:
    """Delete displays: by number, by expression, or all."""
    if not session.displays:
        raise WrongUsageError("nothing is displayed; 'display EXPRESSION' shows a value at every stop")
    chosen = [key for key, expression in session.displays.items() if expression.text == argument]
    if not chosen:
        words = argument.split()
        keys = {str(key): key for key in session.displays}
        if not all(word in keys for word in words):
            there = ", ".join(f"{key} {expression.text}" for key, expression in session.displays.items())
            raise WrongUsageError(
                f"nothing is displayed as {quote(argument)}; those displayed: {there[:200]}"
            )
        chosen = [keys[word] for word in dict.fromkeys(words)] if words else list(session.displays)
    for key in chosen:
        del session.displays[key]
    return Displays(session.evaluate_displays())


def describe_kind(value: Any) -> str:
    """Describe the kind of a JSON value."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else "true or false"
    if isinstance(value, int | float):
        return "whole number" if isinstance(value, int) else "number"
    size = f"{len(value):,}"
    one = len(value) == 1
    if isinstance(value, str):
        return f"text of {size} character{'s' * (not one)}"
    if isinstance(value, list):
        return f"list of {size} item{'s' * (not one)}"
    return f"object of {size} name{'s' * (not one)}"


def _selected_span(session: DebugSession) -> tuple[list[int], int]:
    """Return the spans around the current event, innermost first, and the index of the selected one; -1 for the event."""
    spans = session.outer_spans()
    return spans, spans.index(session.selected) if session.selected in spans else -1


def _parse_expression(argument: str, command: str) -> Expression:
    if not argument:
        raise ExpressionError(f"{command} needs an expression, such as {command} outputs.text")
    return compile_expression(argument)


def messages(session: DebugSession, argument: str) -> Result:
    """Show what the model read at the call around an event, or else at the latest call before it."""
    stepper = session.stepper
    words = argument.split()
    diff = "--diff" in words
    words = [word for word in words if word != "--diff"]
    if len(words) > 1 or any(word.startswith("-") for word in words):
        raise WrongUsageError(f"write {_MESSAGES_USAGE}")
    at = parse_event_number(stepper, words[0], _MESSAGES_USAGE) if words else session.looked_at
    call = _find_call(stepper, at)
    if not call:
        raise WrongUsageError(f"no model was called up to event {at}")
    if not diff:
        inputs = _inputs(stepper.event_at(call))
        model = inputs.get("model")
        return Messages(
            call, model if isinstance(model, str) else None, _read_messages(inputs), list_tool_names(inputs)
        )
    before = call_before(stepper, call)
    earlier = _read_messages(_inputs(stepper.event_at(before))) if before else ()
    return MessageChanges(
        call, before or None, diff_messages(earlier, _read_messages(_inputs(stepper.event_at(call))))
    )


def call_before(stepper: Stepper, call: int) -> int:
    """Return the model call before another in the same conversation; 0 if there is none.

    It is the one of the latest calls that has most messages at the beginning in common, so that each of several agents
    that work at the same time is compared with its own. Among several it is the one that shares most of the spans
    around it, then the one at the same depth, then one of the same thread and task, and then the latest.
    """
    outline = stepper.outline
    own, event = _spans_around(stepper, call), stepper.event_at(call)
    read = _read_messages(_inputs(event))
    best, best_rank = 0, (-1, 0, 0, False)
    calls = outline.kinds.select(lambda event: bool(event["event_type"] == _CALL), named=False)
    for found in islice(outline.backward(calls, 1, call), _LOOKED_BACK):
        around, earlier = _spans_around(stepper, found), stepper.event_at(found)
        rank = (
            _count_same(read, _read_messages(_inputs(earlier))),
            len(own & around),
            -abs(len(own) - len(around)),
            all(event.get(name) == earlier.get(name) for name in ("thread", "task")),
        )
        if rank > best_rank:
            best, best_rank = found, rank
    return best


def _find_call(stepper: Stepper, number: int) -> int:
    """Return the model call around an event, else the one that requested the tool call around it, else the closest one.

    The closest is the one of the latest calls that shares most of the spans around the event, so that it belongs to the
    same one of several agents that work at the same time; among several it is the latest.
    """
    if not number:
        return 0
    outline = stepper.outline
    around = outline.stack(number)
    for start in reversed(around):
        kind = outline.kind(start)
        if kind is not None and kind.event_type == _CALL:
            return start
    calls = outline.kinds.select(lambda event: bool(event["event_type"] == _CALL), named=False)
    latest = list(islice(outline.backward(calls, 1, number + 1), _LOOKED_BACK))
    for start in reversed(around[-MOST_SPANS:]):
        call_id = _inputs(stepper.event_at(start)).get("call_id")
        asked = call_id and next((call for call in latest if _requested(stepper, call, call_id)), 0)
        if asked:
            return asked
    own = frozenset(around[:MOST_SPANS])
    return max(latest, key=lambda call: (len(own & _spans_around(stepper, call)), call), default=0)


def _requested(stepper: Stepper, call: int, call_id: object) -> bool:
    """Return whether the answer of a model requested a tool call."""
    end = stepper.outline.end(call)
    outputs = stepper.event_at(end).get("outputs") if end else None
    asked = outputs.get("tool_calls") if isinstance(outputs, dict) else None
    return isinstance(asked, list) and any(
        isinstance(each, dict) and each.get("id") == call_id for each in asked
    )


def _spans_around(stepper: Stepper, call: int) -> frozenset[int]:
    """Return the spans around a call; of a very deep stack only the outer ones."""
    return frozenset(stepper.outline.stack(call)[:MOST_SPANS])


def _count_same(one: tuple[Any, ...], other: tuple[Any, ...]) -> int:
    """Return how many messages at the beginning of two calls are the same."""
    pairs = zip(one, other, strict=False)
    return next((index for index, pair in enumerate(pairs) if not is_same(*pair)), min(len(one), len(other)))


def _inputs(call: Event) -> dict[str, Any]:
    inputs = call.get("inputs")
    return inputs if isinstance(inputs, dict) else {}


def _read_messages(inputs: dict[str, Any]) -> tuple[Any, ...]:
    """Return the messages of a call, whatever their shape in the trace."""
    found = inputs.get("messages")
    if isinstance(found, list):
        return tuple(found)
    return () if found is None else (found,)


def info(session: DebugSession, argument: str) -> Result:
    """Show one of the topics, by its name or the beginning of it."""
    word, _, rest = argument.partition(" ")
    topic = next((name for name in TOPICS if word and name.startswith(word)), word)
    if topic not in TOPICS:
        usage = f"write info {'|'.join(TOPICS)}"
        if not topic:
            raise WrongUsageError(usage)
        meant = f"; did you mean {quote(_ELSEWHERE[topic])}?" if topic in _ELSEWHERE else ""
        hint = meant or nearest(topic, list(TOPICS)) or f"; {usage}"
        raise WrongUsageError(f"there is no info {quote(topic)}{hint}")
    if topic == "messages":
        return messages(session, rest.strip())
    refuse_argument(rest.strip(), f"info {topic}")
    return TOPICS[topic](session)


def when(session: DebugSession, argument: str) -> Result:
    """Show the number of the current event."""
    refuse_argument(argument, "when")
    return Message(f"event {session.stepper.position} of {session.stepper.total}")


def _list_spans(session: DebugSession) -> Result:
    stepper = session.stepper
    starts = stepper.outline.open_at(stepper.position)
    frames = tuple(map(stepper.history.frame, starts[-MOST_SPANS:]))
    return OpenSpans(frames, max(len(starts) - MOST_SPANS, 0))


def _list_failures(session: DebugSession) -> Result:
    stepper = session.stepper
    failures = stepper.outline.failures
    so_far = bisect_right(failures, stepper.position)
    rows = tuple(
        (number, stepper.event_at(number)) for number in failures[max(so_far - MOST_FAILURES, 0) : so_far]
    )
    return Failures(rows, so_far - len(rows))


def _show_totals(session: DebugSession) -> Result:
    stepper = session.stepper
    totals = stepper.state.totals
    return TotalsSoFar(
        stepper.position, stepper.total, totals.cost, totals.tokens, totals.errors, totals.ms, totals.unpriced
    )


def _list_calls(kind: str, component: str) -> Callable[[DebugSession], Result]:
    return lambda session: CallTable(
        kind, session.stepper.history.calls_at(session.stepper.position, component)
    )


TOPICS: Final[dict[str, Callable[[DebugSession], Result]]] = {
    "breakpoints": lambda session: Breakpoints(session.stepper.stops.rows()),
    "spans": _list_spans,
    "messages": lambda session: messages(session, ""),
    "tools": _list_calls("tools", "tool"),
    "cost": _list_calls("cost", "llm"),
    "errors": _list_failures,
    "totals": _show_totals,
    "display": lambda session: Displays(session.evaluate_displays()),
    "bookmarks": DebugSession.bookmarks,
    "mocks": lambda session: MocksInForce(session.stepper.overrides.rows()),
}
"""The topics of `info`."""
