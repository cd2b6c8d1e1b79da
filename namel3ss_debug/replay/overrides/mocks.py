"""Mocks: answers that replace recorded ones, whole or with one member changed.

    NAME:JSON              the whole answer
    NAME:@file.json        the whole answer, in a file
    NAME.MEMBER=VALUE      a member of the recorded answer; the rest stays as it was

A tool's answer is its `result`. A model's answer has a `text` or `tool_calls`, and further members. Its text and its
tool calls are always given whole: `llm.text=...` is an answer of nothing but this text, and `llm.tool_calls=[...]` of
nothing but these calls.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from namel3ss_debug.errors import MockError
from namel3ss_debug.expressions import nearest
from namel3ss_debug.replay.debugger.results import Numbered
from namel3ss_debug.replay.overrides.grammar import (
    INDEX,
    MODEL_MEMBERS,
    MODEL_TEXTS,
    RESULT,
    MemberPath,
    ParsedMock,
    Step,
    format_answer,
    format_path,
    in_line,
    parse_answer,
    split_names,
)
from namel3ss_debug.traces.events import Event
from namel3ss_debug.wire import lenient
from namel3ss_debug.wire.contract import Answer
from namel3ss_debug.wire.faults import KINDS, translate_finish_reason
from namel3ss_debug.wire.values import TYPE, revive

ANSWER_SHAPE: Final = (
    """a text, or an object such as {"text": "...", "tool_calls": [{"name": "search", "arguments": {}}]}"""
)

_RECORDED: Final = ("status", "error", "error_type", "stack_trace", "outputs")
_ANSWERED: Final = ("tool", "http", "mcp", "command")
"""Components, apart from models, whose calls get an answer while a program runs."""

_WHOLE: Final = {("text",), ("tool_calls",)}
"""The members of a model's answer that replace the whole answer."""

_OF_VALUE: Final = frozenset({"fold", "name", "zone"})
"""Keys of a recorded Python value that describe the old value only, such as the name of an enumeration's member."""

_TOOL_CALL: Final = ["name", "arguments", "id"]
_KIND_NAMES: Final = {
    dict: "an object",
    list: "a list",
    str: "a text",
    bool: "true or false",
    type(None): "null",
}


class MemberChange(NamedTuple):
    """A member of an answer, and its new value."""

    path: MemberPath
    value: Any


@dataclass(frozen=True)
class Mock:
    """An answer of the user, whole or as changes to the recorded one.

    Attributes:
        name: whose answer it is: a name, a component or `component:name`, in quotes if it was written so.
        nth: only for this call of it, from 1; None for every call.
        answer: the answer as JSON; None if only `changes` are given.
        text: the mock as it was written.
        changes: members of the recorded answer with their new values, in order; the rest stays as it was.
        of: `llm` if it is written as only a model's answer can be, `tool` if as no model's can be; "" for either.
        optional: whether it is no mistake if a trace has no such call, as for a setting that is not about one trace.
    """

    name: str
    nth: int | None
    answer: Any
    text: str = ""
    changes: tuple[MemberChange, ...] = ()
    of: Literal["", "llm", "tool"] = ""
    optional: bool = False

    def outputs(self, number: int, call: Event, recorded: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the answer as the `outputs` of a call.

        Args:
            number: the number of the event that begins the call; tool calls without an id get one made of it.
            call: the start of the call.
            recorded: the recorded `outputs`, to which changes are made.

        Raises:
            MockError: the answer does not have the shape of a model's answer, or the recorded answer does not have the
                member that is to be changed.
        """
        of_model = call.get("component") == "llm"
        if self.of and of_model != (self.of == "llm"):
            raise self._other_kind()
        if not of_model:
            if self.changes:
                return self._change(recorded)
            # A span of the program's own may have recorded members and no result.
            named = recorded and RESULT not in recorded and call.get("component") not in _ANSWERED
            return self.answer if named and isinstance(self.answer, dict) else {RESULT: self.answer}
        answer = self._change(recorded) if self.changes else self.answer
        outputs = parse_model_answer(self.name, answer, number).to_outputs()
        wire_format = lenient.string(lenient.mapping(call.get("metadata")).get("format")) or ""
        finish = translate_finish_reason(outputs.get("finish_reason"), wire_format)
        return outputs | ({} if finish is None else {"finish_reason": finish})

    def check(self, components: frozenset[str]) -> None:
        """Refuse an answer that calls of these components cannot have.

        Args:
            components: those of its calls; none if they are not known yet: then each call is checked when it is made.

        Raises:
            MockError: none of them can have it, or it does not have the shape of a model's answer.
        """
        of_model = "llm" in components
        if (self.of == "llm" and components and not of_model) or (
            self.of == "tool" and components == {"llm"}
        ):
            raise self._other_kind()
        if of_model and self.of != "tool" and not self.changes:
            parse_model_answer(self.name, self.answer, 0)

    def _change(self, recorded: dict[str, Any] | None) -> dict[str, Any]:
        """Return the recorded answer with the changes."""
        if not recorded:
            raise MockError(
                f"{in_line(self.name + format_path(self.changes[0].path))}: there is no recorded answer to change; "
                "give the whole answer, as NAME:JSON"
            )
        outputs: dict[str, Any] = recorded
        for change in self.changes:
            outputs = change_member(outputs, change, self.name)
        return outputs

    def _other_kind(self) -> MockError:
        if self.of == "tool":
            return MockError(f"{in_line(self.name)}: a model's answer has no result; it is {ANSWER_SHAPE}")
        return MockError(
            f"{in_line(self.name)}: only a model's answer has this; for a tool write {in_line(self.name)}.result=VALUE"
        )


def parse_mock(text: str, folder: Path | None = None) -> Mock:
    """Parse `NAME:JSON`, `NAME@N:JSON`, `NAME:@file.json` or `NAME.MEMBER=VALUE`.

    Args:
        text: the mock as it is written on the command line or at the prompt.
        folder: the folder that the path of a file is relative to; None for the working directory.

    Raises:
        MockError: it does not parse, or the file cannot be read; the message says where.
    """
    try:
        parsed = parse_answer(text, folder)
    except MockError as problem:
        with suppress(MockError):
            if any(rest.partition(":")[0].strip() in KINDS for _, rest in split_names(text)):
                problem = MockError(f"{problem}; as a fault, set it with --fault")
        raise problem from None
    name, nth, value, path = parsed
    if not path:
        return Mock(name, nth, value, text)
    if path == (RESULT,):
        return Mock(name, nth, value, text, of="tool")
    if path not in _WHOLE:
        return Mock(
            name, nth, None, text, (MemberChange(path, value),), "tool" if path[0] == RESULT else "llm"
        )
    whole = {str(path[0]): value}
    parse_model_answer(name, whole, 0)
    return Mock(name, nth, whole, text, of="llm")


def format_mock(mock: Mock) -> str:
    """Return the text that `parse_mock` reads as this mock; of several changes, only the last."""
    path: MemberPath = ()
    value = mock.answer
    if mock.changes:
        path, value = mock.changes[-1]
    elif mock.of == "tool":
        path = (RESULT,)
    elif mock.of == "llm" and len(mock.answer) == 1:
        [(member, value)] = mock.answer.items()
        path = (member,)
    return format_answer(ParsedMock(mock.name, mock.nth, value, path))


def apply_mock(mock: Mock, end: Event, start: Numbered) -> Event:
    """Return the end of a call with the answer of a mock, marked, and with the recorded answer beside it.

    Args:
        mock: the mock.
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


def merge_mocks(before: Mock, change: Mock) -> Mock:
    """Return the mock that a change makes of an earlier one for the same calls.

    Raises:
        MockError: the earlier answer is whole, and does not have the member that is to be changed.
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
        whole = change_member(whole, each, change.name)
    return replace(change, answer=whole[RESULT] if change.of == "tool" else whole, changes=())


# --- a model's answer


def parse_model_answer(name: str, answer: Any, number: int) -> Answer:
    """Return a model's answer in the form that every provider's format can encode.

    `finish_reason` stays None if the user leaves it out: each provider has values of its own.

    Args:
        name: whose answer it is, for the message.
        answer: the answer as the user wrote it.
        number: the number of the call's first event; tool calls without an id get one made of it.

    Raises:
        MockError: it does not have the shape of a model's answer; the message shows the shape.
    """

    def refuse(what: str) -> MockError:
        return MockError(f"{in_line(name)}: a model's answer is {ANSWER_SHAPE}; {what}")

    if isinstance(answer, str):
        return Answer(text=answer)
    if not isinstance(answer, dict):
        raise refuse(f"this is {_kind_name(answer)}")
    if not answer:
        raise refuse("this is an empty object")
    for key, value in answer.items():
        if key != "tool_calls" and key not in MODEL_TEXTS:
            raise refuse(f"it has no {key[:40]!r}{nearest(key, list(MODEL_MEMBERS))}")
        if key in MODEL_TEXTS and not isinstance(value, str | None):
            raise refuse(f"{key!r} is {_kind_name(value)} here, not a text")
    calls = answer.get("tool_calls") or []
    if not isinstance(calls, list):
        raise refuse(f"'tool_calls' is {_kind_name(calls)} here, not a list")
    tool_calls = []
    for position, call in enumerate(calls, 1):
        if not isinstance(call, dict) or not isinstance(call.get("name"), str) or not call["name"]:
            raise refuse("each of 'tool_calls' is an object with a 'name'")
        for key in call:
            if key not in _TOOL_CALL:
                raise refuse(f"a tool call has no {key[:40]!r}{nearest(key, _TOOL_CALL)}")
        call_id = call.get("id")
        tool_calls.append(
            {
                "id": call_id if isinstance(call_id, str) and call_id else f"call_{number}_{position}",
                "name": call["name"],
                "arguments": lenient.load_arguments(call.get("arguments")),
            }
        )
    texts = {key: value for key, value in answer.items() if key in MODEL_TEXTS}
    return Answer(**texts, tool_calls=tool_calls)


def _kind_name(value: Any) -> str:
    return _KIND_NAMES.get(type(value), "a number")


# --- a changed member


def change_member(whole: Any, change: MemberChange, name: str) -> Any:
    """Return an answer with one of its members changed; the answer itself stays as it is.

    A JSON object may get a member that it did not have. If a text is JSON, as tools often answer, its members are those
    of the JSON. The members of an object of the program's own are its fields, and no others. A recorded value that
    stands for a date, a member of an enumeration or the like is a member as well.

    Args:
        whole: the `outputs` of a call.
        change: the member, and its new value.
        name: whose answer it is, for the message.

    Raises:
        MockError: the answer has no such member, or the member cannot have this value.
    """
    return _change_at(whole, change, 0, name)


def _change_at(holder: Any, change: MemberChange, depth: int, name: str) -> Any:
    """Return the holder with the value at the rest of the path."""
    if depth == len(change.path):
        form = _change_value(holder, change.value)
        if form is not change.value and not revive(form).exact:
            what = f"{in_line(json.dumps(change.value, ensure_ascii=False))} is no {form[TYPE]}"
            raise MockError(f"{in_line(name + format_path(change.path))}: {what}")
        return form
    step = change.path[depth]
    if isinstance(holder, str):
        parsed = _parse_json_text(holder)
        if isinstance(parsed, dict | list):
            changed = _change_at(parsed, change, depth, name)
            try:
                return json.dumps(changed, ensure_ascii=False)
            except RecursionError:
                raise MockError(f"{in_line(name)}: the answer is nested too deeply to be changed") from None
    if isinstance(holder, dict):
        form = _contents_key(holder)
        if form is not None:
            if "made" in holder and form == "fields" and str(step) not in holder[form]:
                raise _no_such_member(holder[form], change, depth, name)
            inner = _change_at(holder[form], change, depth, name)
            return {key: part for key, part in holder.items() if key != "same"} | {form: inner}
        if "$truncated" not in holder and "$type" not in holder:
            key = str(step)
            if key not in holder and depth + 1 < len(change.path):
                raise _no_such_member(holder, change, depth, name)
            return holder | {key: _change_at(holder.get(key), change, depth + 1, name)}
    if isinstance(holder, list):
        index = _find_index(holder, step)
        if index is not None:
            inner = _change_at(holder[index], change, depth + 1, name)
            return [*holder[:index], inner, *holder[index + 1 :]]
    raise _no_such_member(holder, change, depth, name)


def _change_value(before: Any, value: Any) -> Any:
    """Return the new value, as a value of the old Python type where that is recorded by such a value (a date, ...)."""
    if isinstance(before, dict) and "$type" in before and type(before.get("value")) is type(value):
        return {key: part for key, part in before.items() if key not in _OF_VALUE} | {"value": value}
    return value


def _contents_key(holder: dict[str, Any]) -> str | None:
    """Return the key under which a recorded Python object has its fields or items; None for plain JSON."""
    if "$type" not in holder:
        return None
    fields, items = holder.get("fields"), holder.get("items")
    return "fields" if isinstance(fields, dict) else "items" if isinstance(items, list) else None


def _find_index(holder: list[Any], step: Step) -> int | None:
    """Return the index in a list that a step means; None if the list has no such item."""
    if isinstance(step, str) and not INDEX.match(step):
        return None
    index = int(step)
    index += len(holder) if index < 0 else 0
    return index if 0 <= index < len(holder) else None


def _no_such_member(holder: Any, change: MemberChange, depth: int, name: str) -> MockError:
    """Return the error for a member that the answer does not have, with what is there instead."""
    whole, here = format_path(change.path[: depth + 1]), format_path(change.path[:depth])
    if isinstance(holder, dict) and "$truncated" in holder:
        what = f"{in_line(here[1:])} was cut when it was recorded; max_payload_size 0 keeps 100 levels whole"
    elif isinstance(holder, dict) and "$type" in holder:
        what = (
            f"{in_line(here[1:])} is recorded as {in_line(str(holder['$type']))}, whose members are not known"
        )
    elif isinstance(holder, list):
        what = f"{in_line(here[1:])} has {len(holder)} items"
    elif isinstance(holder, dict):
        there = ", ".join(map(str, list(holder)[:6]))
        what = f"there are {in_line(there)}" if there else "it is empty"
    else:
        what = f"{in_line(here[1:])} is {_kind_name(holder)}"
    return MockError(f"{in_line(name + whole)}: the answer has no such member; {what}")


def _parse_json_text(text: str) -> Any:
    if text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
