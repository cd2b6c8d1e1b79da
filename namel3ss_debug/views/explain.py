"""The chain of causes back from one event, as a report: the event, each step with its evidence, and the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import wrap

from namel3ss_debug.traces.marks import BAD, mark_from_json
from namel3ss_debug.views.blocks import Block, Facts, ForWidth, Heading, Note, Table
from namel3ss_debug.views.quantities import count
from namel3ss_debug.views.tables import Cell, Column, name, prose
from namel3ss_debug.views.terminal import COMPONENT_STYLES, DIM, ERROR, clean, text
from namel3ss_debug.views.usage import Section, failure_words

_EVENTS = 3
_LINE = 40
"""Characters of a reason on one line, so that a step fits 80 columns."""

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
    yield Facts(
        [
            (
                "run",
                text(mark_from_json(mark).describe(), ERROR if mark["judgement"] == BAD else "", 400)
                if mark
                else "",
            ),
            ("category", str(document.get("category") or "")),
            ("error", text(failure_words(document), ERROR, 400)),
            ("fingerprint", str(document.get("fingerprint") or "")),
        ]
    )
    yield Heading("Where it came from", "each step from the one below it")
    yield ForWidth(lambda width: [_chain(document.get("chain") or (), width)])
    root = document.get("root") or {}
    ends = _ROOTS.get(str(root.get("kind")))
    if ends:
        words = f": {clean(root['words'], 300)}" if root.get("words") else ""
        yield Note(ends.format(number=root.get("number")) + words)
    if not document.get("complete"):
        yield Note("there may be more before it, which was not looked at")
    if signs := document.get("signs"):
        yield Heading("Handled or logged on the way")
        yield ForWidth(lambda width: [_sign_table(signs, width)])
    if document.get("context"):
        yield from _context(document["context"])
    if document.get("resolution"):
        yield Note(str(document["resolution"]))
    yield Note(f"namel3ss debug inspect --event N{f' {recording}' if recording else ''} shows a step")


def _sign_table(signs: Sequence[Section], width: int | None) -> Table:
    """Return the table of the signs."""
    rows: list[tuple[Cell, ...]] = []
    for sign in signs:
        first, *more = _split(clean(sign["what"], 400), width)
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
    return Table(columns, [row for step in steps for row in _rows(step, width)])


def _split(words: str, width: int | None) -> list[str]:
    """Return the lines of a reason: several on a screen, one where the page itself breaks lines."""
    return (wrap(words, _LINE) if width else [words]) or [""]


def _rows(step: Section, width: int | None) -> Iterator[tuple[Cell, ...]]:
    """Yield a step on as many lines as its words need, then alternatives to it."""
    style = COMPONENT_STYLES.get(str(step.get("component") or ""), "")
    label = " ".join(str(step[key]) for key in ("component", "component_name") if step.get(key))
    numbers = (step.get("evidence") or {}).get("events") or ()
    evidence = ", ".join(map(str, numbers[:_EVENTS])) + (", …" if len(numbers) > _EVENTS else "")
    lines = _split(clean(step.get("reason") or "", 300), width)
    yield text(step.get("number"), DIM), text(label, style, 120), text(lines[0]), text(evidence, DIM)
    for line in lines[1:]:
        yield "", "", text(line), ""
    others = step.get("others") or ()
    if others:
        numbers = ", ".join(str(other.get("number")) for other in others)
        yield "", "", text(f"or from {count(len(others), 'other')}: {numbers}", DIM), ""
