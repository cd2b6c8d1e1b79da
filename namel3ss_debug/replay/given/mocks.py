"""Answers that the user gives: what they are, and the outputs that a call gets by them.

    NAME:JSON              the whole answer
    NAME:@file.json        the whole answer, in a file
    NAME.MEMBER=VALUE      a member of the recorded answer; of the rest nothing is changed

A tool's answer is its `result`. A model's is its `text` or its `tool_calls`, and what else it has. What a model says is
given whole: `llm.text=...` is an answer of nothing but this text, and `llm.tool_calls=[...]` of nothing but these
calls.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

from namel3ss_debug.errors import MockError
from namel3ss_debug.replay.given.calls import in_line
from namel3ss_debug.replay.given.faults import parse_fault
from namel3ss_debug.replay.given.grammar import Written, read_answer, write_answer
from namel3ss_debug.replay.given.members import RESULT, Change, changed, write_path
from namel3ss_debug.replay.given.model_answers import SHAPE, model_answer
from namel3ss_debug.replay.results import Numbered
from namel3ss_debug.traces.events import Event
from namel3ss_debug.wire import lenient
from namel3ss_debug.wire.faults import translate_finish_reason

_RECORDED: Final = ("status", "error", "error_type", "stack_trace", "outputs")
_ANSWERED: Final = frozenset({"tool", "http", "mcp"})
"""Components whose calls get an answer while a program runs, apart from models."""

_WHOLE: Final = {("text",), ("tool_calls",)}
"""The members of a model's answer by which the whole answer is given: what it says."""


@dataclass(frozen=True)
class Mock:
    """An answer that the user gives, whole or as changes to the recorded one.

    Attributes:
        name: whose answer it is: a name, a component or `component:name`; quoted where it was written so.
        nth: only for this call of it, from 1; None for every call.
        answer: the answer, as JSON has it; None where only `changes` are given.
        text: how it was written.
        changes: members of the recorded answer and what they shall be, in order; of the rest nothing is changed.
        of: `llm` where it is written as only a model's answer is, `tool` where as no model's is; "" where it may be
            both.
        passes: whether it is passed over where a recording has no such call, as a setting that is not about one
            recording.
    """

    name: str
    nth: int | None
    answer: Any
    text: str = ""
    changes: tuple[Change, ...] = ()
    of: Literal["", "llm", "tool"] = ""
    passes: bool = False

    def outputs(self, number: int, call: Event, recorded: dict[str, Any] | None = None) -> dict[str, Any]:
        """The answer as the `outputs` of a call.

        Args:
            number: the number of the event with which the call begins; tool calls without an id get one made of it.
            call: the start of the call.
            recorded: the recorded `outputs`, to which changes are made.

        Raises:
            MockError: it is a model's call, and the answer does not have the shape of a model's answer; or the recorded
                answer does not have the member that is to be changed.
        """
        of_model = call.get("component") == "llm"
        if self.of and of_model != (self.of == "llm"):
            raise _of_another_kind(self)
        if not of_model:
            return self._changed(recorded) if self.changes else self._whole(call, recorded)
        outputs = model_answer(
            self.name, self._changed(recorded) if self.changes else self.answer, number
        ).to_outputs()
        spoken = lenient.string(lenient.mapping(call.get("metadata")).get("format")) or ""
        finish = translate_finish_reason(outputs.get("finish_reason"), spoken)
        return outputs | ({} if finish is None else {"finish_reason": finish})

    def check(self, components: frozenset[str]) -> None:
        """Refuse an answer that calls of these components cannot have.

        Args:
            components: those of the calls it is for; none where they are not known: then the call will tell.

        Raises:
            MockError: none of them can have it, or it does not have the shape of a model's answer.
        """
        of_model = "llm" in components
        if (self.of == "llm" and components and not of_model) or (
            self.of == "tool" and components == {"llm"}
        ):
            raise _of_another_kind(self)
        if of_model and self.of != "tool" and not self.changes:
            model_answer(self.name, self.answer, 0)

    def _whole(self, call: Event, recorded: dict[str, Any] | None) -> dict[str, Any]:
        """The whole answer; members where a span of the program's own has recorded members and no result."""
        named = recorded and RESULT not in recorded and call.get("component") not in _ANSWERED
        return self.answer if named and isinstance(self.answer, dict) else {RESULT: self.answer}

    def _changed(self, recorded: dict[str, Any] | None) -> dict[str, Any]:
        """The recorded answer with the changes of this mock."""
        if not recorded:
            raise MockError(
                f"{in_line(self.name + write_path(self.changes[0].path))}: there is no recorded answer to change; "
                "give the whole answer, as NAME:JSON"
            )
        outputs: dict[str, Any] = recorded
        for change in self.changes:
            outputs = changed(outputs, change, self.name)
        return outputs


def parse_mock(text: str, folder: Path | None = None) -> Mock:
    """Parse `NAME:JSON`, `NAME@N:JSON`, `NAME:@file.json` or `NAME.MEMBER=VALUE`.

    What a model says is given whole: `llm.text=...` is an answer of nothing but this text, and `llm.tool_calls=[...]`
    of nothing but these calls. Other members are changed in the recorded answer.

    Args:
        text: the mock as it is written on the command line or at the prompt.
        folder: what the path of a file is relative to; the working directory where it is None.

    Raises:
        MockError: it does not parse, or the file cannot be read; the message says where.
    """
    try:
        written = read_answer(text, folder)
    except MockError as problem:
        raise _or_fault(text, problem) from None
    name, nth, value, path = written
    if not path:
        return Mock(name, nth, value, text)
    if path[0] == RESULT:
        return (
            Mock(name, nth, value, text, of="tool") if path == (RESULT,) else _change(written, text, "tool")
        )
    if path not in _WHOLE:
        return _change(written, text, "llm")
    whole = {str(path[0]): value}
    model_answer(name, whole, 0)
    return Mock(name, nth, whole, text, of="llm")


def write_mock(mock: Mock) -> str:
    """The text that `parse_mock` reads as this mock; of several changes, of the last."""
    path: tuple[str | int, ...] = ()
    value = mock.answer
    if mock.changes:
        path, value = mock.changes[-1]
    elif mock.of == "tool":
        path = (RESULT,)
    elif mock.of == "llm" and len(mock.answer) == 1:
        [(member, value)] = mock.answer.items()
        path = (member,)
    return write_answer(Written(mock.name, mock.nth, value, path))


def mocked(mock: Mock, end: Event, start: Numbered) -> Event:
    """The end of a call with another answer, marked, and with what was recorded beside it.

    Args:
        mock: the answer.
        end: the end event.
        start: the number of the start event of the call, and that event.

    Raises:
        MockError: the answer cannot be that of this call.
    """
    outputs = mock.outputs(*start, lenient.mapping(end.get("outputs")))
    recorded = {name: end[name] for name in _RECORDED if name in end}
    shown = {name: value for name, value in end.items() if name not in recorded}
    metadata = lenient.mapping(end.get("metadata")) | {"mocked": True, "recorded": recorded}
    return shown | {"status": "completed", "outputs": outputs, "metadata": metadata}


def add_change(before: Mock, change: Mock) -> Mock:
    """The answer that a change makes of one that is in force already for the same calls.

    Raises:
        MockError: that answer is whole, and does not have the member that is to be changed.
    """
    if before.changes:
        paths = {each.path for each in change.changes}
        kept = tuple(each for each in before.changes if each.path not in paths)
        return replace(change, changes=kept + change.changes)
    if change.of == "tool":
        whole = {RESULT: before.answer}
    else:
        whole = before.answer if isinstance(before.answer, dict) else {"text": before.answer}
    for each in change.changes:
        whole = changed(whole, each, change.name)
    return replace(change, answer=whole[RESULT] if change.of == "tool" else whole, changes=())


def _change(written: Written, text: str, of: Literal["llm", "tool"]) -> Mock:
    return Mock(written.name, written.nth, None, text, (Change(written.path, written.value),), of)


def _of_another_kind(mock: Mock) -> MockError:
    if mock.of == "tool":
        return MockError(f"{in_line(mock.name)}: a model's answer has no result; it is {SHAPE}")
    return MockError(
        f"{in_line(mock.name)}: only a model's answer has this; of a tool write {in_line(mock.name)}.result=VALUE"
    )


def _or_fault(text: str, problem: MockError) -> MockError:
    """What is wrong with a mock, and that it is a fault where it is one."""
    try:
        parse_fault(text)
    except MockError:
        return problem
    return MockError(f"{problem}; as a fault it is given with --fault")
