"""Show a run as a conversation: one line for what each model read, wrote and called, and for what each tool returned."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rich.text import Text

from namel3ss_debug.inspection.transcript import (
    BEGINS,
    CALLS,
    ENDS,
    FAILS,
    HANDLED,
    OPEN,
    PROBLEMS,
    READS,
    RETURNS,
    SENDS,
    WARNS,
    WRITES,
    ReadMessage,
    RunTranscript,
    TranscriptStep,
)
from namel3ss_debug.views import conversations
from namel3ss_debug.views.blocks import Block, Heading, Lines, Note, Table
from namel3ss_debug.views.gists import call, gist, message_text, summary
from namel3ss_debug.views.quantities import count
from namel3ss_debug.views.tables import Column, prose
from namel3ss_debug.views.terminal import (
    COMPONENT_STYLES,
    DIM,
    ERROR,
    GOOD,
    WARNING,
    clean,
    console,
    line,
    text,
)
from namel3ss_debug.wire import lenient

BESIDE = "║"
_DEEPEST = 6
_NAME_LIMIT = 40
_WHOLE = 1_000_000
_STYLES = {FAILS: ERROR, OPEN: WARNING, HANDLED: WARNING, WARNS: WARNING}


def describe_transcript(
    transcript: RunTranscript, steps: Sequence[TranscriptStep], *, full: bool
) -> Iterator[Block]:
    """Yield a transcript as a report: a line for each step, or with `full` their whole texts."""
    if not steps:
        yield Note("nothing to show: no model, tool or agent was called here", is_line=True)
    elif full:
        yield Lines(lambda width: _whole_lines(steps, width))
    else:
        columns = (
            Column("n", align="right", style=DIM), Column("at s", "right", style=DIM), Column("", style=WARNING),
            prose("what happened", 24),
        )  # fmt: skip
        rows = [
            (
                text(step.number, DIM),
                "" if step.at is None else f"{round(step.at, 2) + 0.0:.2f}",
                BESIDE if step.beside else "",
                describe(step),
            )
            for step in steps
        ]
        yield Table(columns, rows)
    if any(step.beside for step in steps):
        yield Note(f"{BESIDE} at the same time as another call")
    yield _describe_end(transcript)


def describe(step: TranscriptStep) -> Text:
    """Return a step on one line."""
    return line(
        ("  " * min(step.depth, _DEEPEST), ""),
        (clean(step.name, _NAME_LIMIT), COMPONENT_STYLES.get(step.component, "")),
        *_pieces(step),
    )


def describe_plain(step: TranscriptStep) -> str:
    """Return a step without its name, as text."""
    return "".join(words for words, _ in _pieces(step)).strip()


def _pieces(step: TranscriptStep) -> Iterator[tuple[str, str]]:
    """Yield what follows the name of a step, in pieces with their styles."""
    retried = f" after {count(step.retries, 'failed attempt')}" if step.retries else ""
    yield _arguments(step), ""
    yield f"{retried}  ", DIM
    yield from _words(step)


def _words(step: TranscriptStep) -> Iterator[tuple[str, str]]:
    """Yield what happened, in pieces with their styles."""
    outputs = lenient.mapping((step.end or step.event).get("outputs"))
    style = _STYLES.get(step.what, "")
    if step.what == READS:
        yield "reads  ", DIM
        yield from _describe_reading(step)
    elif step.what == WRITES:
        yield from _describe_answer(outputs)
    elif step.component == "tool":
        if step.what == OPEN:
            yield OPEN, style
        elif step.what in (RETURNS, FAILS):
            yield f"{step.what}  ", style or DIM
            yield summary(step.end or step.event) or "nothing", style
    elif step.what == SENDS:
        metadata = lenient.mapping(step.event.get("metadata"))
        receiver = metadata.get("to") or metadata.get("receiver") or metadata.get("recipient")
        yield (f"to {clean(receiver, _NAME_LIMIT)}  " if receiver else "message  "), DIM
        yield summary(step.event), ""
    elif step.what == HANDLED:
        yield "handled  ", DIM
        yield summary(step.event), style
    else:
        word = {BEGINS: "begins", ENDS: "ends", CALLS: "is called", FAILS: "fails", WARNS: "logs"}.get(
            step.what, step.what
        )
        words = summary(step.end if step.what == FAILS and step.end else step.event)
        yield word + ("  " if words else ""), style or DIM
        yield words, style if step.what in PROBLEMS else ""


def _arguments(step: TranscriptStep) -> str:
    """Return the arguments of a tool call: `(below=10)`; the line of its end alone has none."""
    inputs = lenient.mapping(step.event.get("inputs"))
    of_call = step.component == "tool" and step.event["event_type"].endswith("_start")
    return call("", inputs.get("arguments", inputs or None)) if of_call else ""


def _describe_reading(step: TranscriptStep) -> Iterator[tuple[str, str]]:
    """Yield the new messages that a model read, and how many it had read before."""
    gone = Counter(each.role for each in step.messages if each.how == "dropped")
    joint = ""
    for each in step.messages:
        if each.how == "dropped":
            continue
        yield (
            f"{joint}{each.role}{'' if each.how == 'added' else f' ({_HOW[each.how]})'}: ",
            WARNING if each.how != "added" else DIM,
        )
        yield message_text(each.message), ""
        joint = " | "
    if step.before:
        yield f"{joint and '  '}+{count(step.before, 'message')}", DIM
    if gone:
        roles = ", ".join(role if times == 1 else f"{times} {role}" for role, times in gone.items())
        yield f", {sum(gone.values())} dropped: {roles}", ERROR
    if not step.messages and not step.before:
        yield "nothing that is recorded", DIM


_HOW = {"changed": "changed", "truncated": "cut"}


def _describe_answer(outputs: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what a model wrote, and what it called."""
    written = outputs.get("text")
    calls = [
        call(known.get("name"), known.get("arguments"))
        for known in map(lenient.mapping, lenient.sequence(outputs.get("tool_calls")))
    ]
    if isinstance(written, str) and written:
        yield "writes  ", DIM
        yield gist(written), ""
    if calls:
        yield ("  and calls  " if written else "calls  "), DIM
        yield ", ".join(calls), COMPONENT_STYLES["tool"]
    if not written and not calls:
        rest = {key: value for key, value in outputs.items() if key not in ("text", "tool_calls")}
        yield "writes  ", DIM
        # OpenTelemetry's own instrumentations leave contents away unless the user wants them.
        is_known = bool(rest) or "text" in outputs
        yield (
            gist(rest) if rest else "nothing" if is_known else "nothing that is recorded",
            WARNING if is_known else DIM,
        )


def _whole_lines(steps: Iterable[TranscriptStep], width: int) -> Iterator[Text]:
    """Yield the steps with their whole texts below them, wrapped."""
    for step in steps:
        indent = " " * (6 + 2 * min(step.depth, _DEEPEST))
        head = describe(step)
        head.truncate(max(width - 7, 20), overflow="ellipsis")
        yield line((f"{step.number:>5}  ", DIM), head)
        for label, whole in _texts(step):
            if label:
                yield line((indent + label, DIM))
            room = max(width - len(indent) - 2, 20)
            for row in whole.wrap(console(width=room), room, overflow="fold"):
                row.rstrip()
                yield line((indent + "  ", ""), row)


def _texts(step: TranscriptStep) -> Iterator[tuple[str, Text]]:
    """Yield the texts of a step that its line may have cut, each with a label."""
    if step.what == READS:
        for each in step.messages:
            yield f"{each.role}, {each.how}" if each.how != "added" else each.role, _whole(each)
        return
    event = step.end or step.event
    if event.get("error") is not None:
        trace = event.get("stack_trace")
        yield "", text(trace if isinstance(trace, str) else event["error"], ERROR, multiline=True)
    for payload in (
        (step.event.get("inputs"), event.get("outputs"))
        if step.component == "tool"
        else (event.get("outputs"),)
    ):
        for key, value in lenient.mapping(payload).items():
            shown = value if isinstance(value, str) else gist(value, _WHOLE)
            if shown and key not in {"call_id", "finish_reason", "response_model"}:
                yield key, text(shown, multiline=True)


def _whole(message: ReadMessage) -> Text:
    return conversations.message_text(message.message)


def _describe_end(transcript: RunTranscript) -> Note:
    status, error = transcript.exit_status, transcript.uncaught
    if error is not None:
        return Note(f"the program ended with {summary(error)}", ERROR)
    if not transcript.ended:
        return Note("the trace has no end: the program was killed, or still runs", WARNING, is_line=True)
    if status is None:
        return Note("the trace ends here", is_line=True)  # traces of other tools know no status
    return Note(f"the program ended with status {status}", GOOD if not status else ERROR, is_line=True)


def heading(steps: Sequence[TranscriptStep], shown: int) -> Heading:
    """Return the heading of a transcript of which some steps are shown."""
    return Heading("Transcript", f"{shown:,} of {count(len(steps), 'step')}" if shown < len(steps) else "")
