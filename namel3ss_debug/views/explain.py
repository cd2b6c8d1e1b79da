"""The chain of causes back from one event, as a report: the event, each step with its evidence, and the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from namel3ss_debug.traces.marks import BAD, mark_from_json
from namel3ss_debug.views.blocks import Block, Facts, ForWidth, Heading, Note, Quote, Table
from namel3ss_debug.views.cleaning import wrapped
from namel3ss_debug.views.quantities import count
from namel3ss_debug.views.tables import Cell, Column, name, prose
from namel3ss_debug.views.terminal import COMPONENT_STYLES, DIM, ERROR, cells, clean, shorten, text
from namel3ss_debug.views.usage import Section, failure_words

_EVENTS = 3
_NARROWEST = 30
_STEP = 28
_ROLE = 12
_GAPS = 8
"""The cells left of the table of the chain, and between its four columns."""
_LINES_OF_OTHERS = 2
_INPUTS = frozenset({"read", "took"})
"""The kinds of links that are inputs: a step has all of them, and does not follow from one or another."""

_ROOTS = {
    "user": "It ends with the user's message, read at {number}",
    "model": "It ends with the messages that the model received at {number}",
    "inputs": "It ends with what the program passed {number}",
    "program": "It ends with the program, at {number}",
}


def explain(document: Section, recording: str = "") -> Iterator[Block]:
    """Yield the report on one event; `recording` is the name of its trace in a command, empty for the latest."""
    label = " ".join(str(document[key]) for key in ("event_type", "component_name") if document.get(key))
    failed, weak = document.get("failed"), document.get("weak")
    aside = (
        "failed"
        if failed
        else f"claims success, failed with confidence {document.get('confidence')}"
        if weak
        else ""
    )
    mark = document.get("mark")
    yield Heading(f"event {document.get('number')}  {label}", aside)
    if error := failure_words(document):
        yield Note(clean(error, 400), ERROR)
    yield Facts(
        [
            (
                "run",
                text(mark_from_json(mark).describe(), ERROR if mark["judgement"] == BAD else "", 400)
                if mark
                else "",
            ),
            ("category", str(document.get("category") or "")),
        ]
    )
    if stop := document.get("stop"):
        yield Note(f"{_label(stop)} stopped at {stop['number']}: {clean(stop['reason'], 300)}", "")
    if added := document.get("added"):
        yield Note(f"the program, not the model, added {clean(', '.join(added), 400)}", "")
    yield from _code(document.get("code"))
    yield Heading("Where it came from", "each step from the one below it")
    yield ForWidth(lambda width: [_chain(document.get("chain") or (), width)])
    root = document.get("root") or {}
    ends = _ROOTS.get(str(root.get("kind")))
    if ends:
        words = f": {clean(root['words'], 300)}" if root.get("words") else ""
        yield Note(ends.format(number=root.get("number")) + words)
    if not document.get("complete"):
        yield Note("there may be more before it, which was not looked at")
    if dropped := document.get("dropped"):
        yield Heading("No longer read", "messages that an earlier call of the conversation had")
        yield ForWidth(lambda width: [_dropped(dropped, width)])
    if signs := document.get("signs"):
        yield Heading("Handled or logged on the way")
        yield ForWidth(lambda width: [_sign_table(signs, width)])
    if document.get("context"):
        yield from _context(document["context"])
    if document.get("resolution"):
        yield Note(str(document["resolution"]), "")
    yield Note(f"namel3ss debug inspect --event N{f' {recording}' if recording else ''} shows a step")


def _code(code: Section | None) -> Iterator[Block]:
    """Yield the code that failed, with its place."""
    if code:
        function = f" in {clean(code['function'], 80)}" if code["function"] else ""
        raised = f"; raised at {clean(code['raised_at'], 120)}" if code["raised_at"] else ""
        yield Heading("The code that failed", f"{clean(code['file'], 200)}:{code['line']}{function}{raised}")
        if code["code"]:
            yield Quote(str(code["code"]), is_code=True)


def _dropped(messages: Sequence[Section], width: int | None) -> Table:
    """Return the table of the messages that a model no longer read."""
    numbers = (Column("read at", align="right", style=DIM), Column("gone at", align="right", style=DIM))
    columns = (*numbers, name("role", 6), prose("message", 20))
    roles = max(cells(clean(each["role"], _ROLE)) for each in messages)
    rows: list[tuple[Cell, ...]] = []
    for each in messages:
        first, *more = _split(clean(each["text"], 400), width and width - max(roles, len("role")) - 22)
        rows.append(
            (text(each["number"], DIM), text(each["gone"], DIM), text(each["role"], limit=_ROLE), text(first))
        )
        rows += [("", "", "", text(line)) for line in more]
    return Table(columns, rows)


def _sign_table(signs: Sequence[Section], width: int | None) -> Table:
    """Return the table of the signs."""
    rows: list[tuple[Cell, ...]] = []
    for sign in signs:
        sites = max(cells(str(each["call_site"] or "")) for each in signs)
        first, *more = _split(clean(sign["what"], 400), width and width - sites - 12)
        rows.append((text(sign["number"], DIM), text(first), text(sign["call_site"] or "", DIM)))
        rows += [("", text(line), "") for line in more]
    return Table((Column("n", align="right", style=DIM), prose("what", 20), name("where", 16)), rows)


def _context(context: Section) -> Iterator[Block]:
    """Yield what filled the context of a model call."""
    first = context.get("first_call")
    grew = ""
    if first:
        grew = f"; the first call, {first['number']}, had {first['characters']:,} in {count(first['messages'], 'message')}"
    sent = f"{context['characters']:,} characters in {count(context['messages'], 'message')}"
    yield Heading("What filled the context", sent + grew)
    rows = []
    for message in context["largest"]:
        source = (
            f"result of {message['component_name'] or 'a tool'}" if message["number"] else message["role"]
        )
        rows.append(
            (
                text(message["number"] or "", DIM),
                text(source or "", limit=60),
                text(f"{message['characters']:,}"),
                text(f"{message['share']:.0%}".replace("%", " %")),
                text(message["begins"], DIM, 120),
            )
        )
    numbers = (Column("characters", align="right"), Column("share", align="right"))
    yield Table(
        (Column("n", align="right", style=DIM), name("message", 14), *numbers, prose("begins", 16)), rows
    )


def _chain(steps: Sequence[Section], width: int | None) -> Table:
    """Return the table of the steps."""
    columns = (
        Column("n", align="right", style=DIM),
        name("step", 14),
        prose("what", 20),
        Column("evidence", style=DIM),
    )
    labels = max((cells(_label(step)) for step in steps), default=0)
    numbers = max((cells(_evidence(step)) for step in steps), default=0)
    digits = max((len(str(step.get("number"))) for step in steps), default=0)
    taken = digits + min(labels, _STEP) + max(numbers, len("evidence")) + _GAPS
    room = None if width is None else width - taken
    return Table(columns, [row for step in steps for row in _rows(step, room)])


def _split(words: str, room: int | None) -> list[str]:
    """Return the lines of a reason: several on a screen, one where the page itself breaks lines."""
    if room is None:
        return [words]
    room = max(room, _NARROWEST)
    return [row.rstrip() for row in wrapped(words, room, room)] or [""]


def _label(step: Section) -> str:
    return clean(" ".join(str(step[key]) for key in ("component", "component_name") if step.get(key)), 120)


def _evidence(step: Section) -> str:
    numbers = (step.get("evidence") or {}).get("events") or ()
    return ", ".join(map(str, numbers[:_EVENTS])) + (", …" if len(numbers) > _EVENTS else "")


def _rows(step: Section, room: int | None) -> Iterator[tuple[Cell, ...]]:
    """Yield a step on as many lines as its words need, then its other inputs and the alternatives to it."""
    style = COMPONENT_STYLES.get(str(step.get("component") or ""), "")
    lines = _split(clean(step.get("reason") or "", 400), room)
    yield (
        text(step.get("number"), DIM),
        text(_label(step), style, 120),
        text(lines[0]),
        text(_evidence(step), DIM),
    )
    for line in lines[1:]:
        yield "", "", text(line), ""
    for other in step.get("others") or ():
        word, style = ("also", "") if other.get("kind") in _INPUTS else ("or", DIM)
        words = f"{word} {other.get('number')} {_label(other)}: {other.get('reason') or ''}"
        lines = _split(clean(words, 400), room)
        if len(lines) > _LINES_OF_OTHERS and room is not None:
            lines = [
                *lines[: _LINES_OF_OTHERS - 1],
                shorten(" ".join(lines[_LINES_OF_OTHERS - 1 :]), max(room, _NARROWEST)),
            ]
        for line in lines:
            yield "", "", text(line, style), ""
