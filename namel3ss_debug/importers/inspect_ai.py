"""Read logs of Inspect AI, `.json` and `.eval`: each sample is a run of its own."""

from __future__ import annotations

import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import orjson

from namel3ss_debug.errors import UnreadableTraceError
from namel3ss_debug.importers.conversation import AgentSession, Draft, finish
from namel3ss_debug.importers.files import peek_objects, read_documents
from namel3ss_debug.importers.messages import read_message
from namel3ss_debug.importers.tracing import drain, make_trace
from namel3ss_debug.importers.values import parse_cost, parse_count, parse_time, read_usage, rest_of
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.lines import Problems
from namel3ss_debug.traces.span_events import SpanError, SpanFacts
from namel3ss_debug.wire import lenient, openai_chat
from namel3ss_debug.wire.contract import Answer
from namel3ss_debug.wire.tools import decode_tools

_ZIP: Final = b"PK\x03\x04"
_ZSTD: Final = 93
"""The number of zstd among the compressions of zip, which newer versions of Inspect AI use; Python knows it since 3.14."""

_LARGEST_SAMPLE: Final = 1 << 30
_KINDS: Final = {"agent": "agent", "tool": "tool", "scorer": "validation", "scorers": "step"}
_USAGE: Final = {
    "input_tokens": ("input_tokens",),
    "output_tokens": ("output_tokens",),
    "cache_read_tokens": ("input_tokens_cache_read",),
    "cache_write_tokens": ("input_tokens_cache_write",),
    "reasoning_tokens": ("reasoning_tokens",),
}
_ATTACHMENT: Final = "attachment://"
_DEEPEST: Final = 60


def sniff(head: bytes) -> bool:
    """Return whether the file is a log of an evaluation, or a zip archive of one."""
    if head.startswith(_ZIP):
        return any(name in head[:4096] for name in (b"_journal/start.json", b"samples/", b"header.json"))
    return b'"eval"' in head and any(
        isinstance(value.get("eval"), dict) and ("task" in value["eval"] or "samples" in value)
        for value in peek_objects(head)
    )


def read(
    files: tuple[Path, ...], problems: Problems, consumed: Callable[[int], None] | None = None
) -> Iterator[Event]:
    """Yield the events of all samples in the files."""
    spans: list[SpanFacts] = []
    others: list[Event] = []
    title = None
    for path in files:
        for log, sample in _samples(path, problems, consumed):
            evaluation = lenient.mapping(log.get("eval"))
            title = title or lenient.string(evaluation.get("task"))
            reader = _InspectSample(sample, evaluation, problems)
            reader.read()
            spans += finish(reader.spans)
            others += reader.others
    yield from make_trace(lenient.drop_none({"format": "inspect-ai", "title": title}), drain(spans), others)


def _samples(
    path: Path, problems: Problems, consumed: Callable[[int], None] | None
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield each sample with its log."""
    with path.open("rb") as file:
        packed = file.read(4) == _ZIP
    if not packed:
        for log in read_documents(path, problems, consumed, split="samples"):
            for sample in lenient.mappings(log.get("samples")):
                yield log, sample
        return
    try:
        with zipfile.ZipFile(path) as archive:
            members = {member.filename: member for member in archive.infolist()}
            if sys.version_info < (3, 14) and any(each.compress_type == _ZSTD for each in members.values()):
                _enable_zstd(path)
            heads = (name for name in ("header.json", "_journal/start.json") if name in members)
            log = next((_load(archive, members[name], problems) for name in heads), {})
            for name, member in sorted(members.items(), key=lambda each: _in_order(each[0])):
                if name.startswith("samples/"):
                    sample = _load(archive, member, problems)
                    if sample:
                        yield log, sample
                    if consumed is not None:
                        consumed(member.compress_size)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        problems.add(path.name, 0, "damaged zip archive", str(error))


def _enable_zstd(path: Path) -> None:
    """Let `zipfile` read zstd, as Inspect AI itself does.

    Raises:
        UnreadableTraceError: zipfile-zstd is not installed.
    """
    try:
        import_module("zipfile_zstd")
    except ImportError:
        raise UnreadableTraceError(
            f"{path}: a log compressed with zstd needs zipfile-zstd: pip install 'namel3ss-debug[inspect]'"
        ) from None


def _in_order(name: str) -> tuple[int, int | str]:
    number = name.removeprefix("samples/").partition("_")[0]
    return (0, int(number)) if number.isdecimal() and len(number) < 10 else (1, name)


def _load(archive: zipfile.ZipFile, member: zipfile.ZipInfo, problems: Problems) -> dict[str, Any]:
    if member.file_size > _LARGEST_SAMPLE:
        problems.add(member.filename, 0, "a member of the archive that is too large, left out")
        return {}
    try:
        return lenient.mapping(orjson.loads(archive.read(member)))
    except (zipfile.BadZipFile, zlib.error, ValueError, NotImplementedError, EOFError, RuntimeError):
        problems.add(member.filename, 0, "a damaged member of the archive, left out")
        return {}


class _InspectSample:
    """Reads one sample.

    Attributes:
        spans: the drafts of its spans.
        others: its events that are no spans.
    """

    def __init__(self, sample: dict[str, Any], evaluation: Mapping[str, Any], problems: Problems) -> None:
        self._sample = sample
        self._problems = problems
        self._attachments = lenient.mapping(sample.get("attachments"))
        name = (
            f"{sample.get('id')}, epoch {sample.get('epoch')}"
            if sample.get("epoch")
            else str(sample.get("id"))
        )
        self._run = lenient.string(sample.get("uuid")) or f"sample {name}"
        self._model = lenient.string(evaluation.get("model"))
        self._path: list[str] = []  # the ids of the steps that are open, in logs of before 0.3.90
        self._known: dict[str, Draft] = {}
        # By the parent and the name: spans of tools whose event is still to come.
        self._begun_tools: dict[tuple[Any, str | None], list[Draft]] = {}
        self._count = 0
        self.others: list[Event] = []
        answer = self._read_output(sample.get("output"))
        outputs = {"completion": answer.text, "scores": sample.get("scores"), "limit": sample.get("limit")}
        error = lenient.mapping(sample.get("error"))
        read = {
            "id",
            "epoch",
            "input",
            "target",
            "messages",
            "output",
            "scores",
            "events",
            "attachments",
            "error",
        }
        self._root: Draft = {
            "kind": "chain", "name": f"{evaluation.get('task') or 'sample'} {name}", "span_id": self._run,
            "execution_id": self._run, "outputs": lenient.drop_empty(outputs),
            "inputs": lenient.drop_empty(
                {"input": self._resolve(sample.get("input")), "target": self._resolve(sample.get("target"))}
            ),
            "failure": SpanError(None, str(error.get("message") or "")) if error else None,
            "metadata": rest_of(sample, read | {"model_usage", "total_time", "working_time", "uuid"}),
        }  # fmt: skip
        seconds = sample.get("total_time")
        if lenient.is_number(seconds) and seconds >= 0:
            self._root["duration_ms"] = seconds * 1e3
        self.spans: list[Draft] = [self._root]

    def read(self) -> None:
        """Read the events of the sample; of a log without them, its messages."""
        events = lenient.mappings(self._sample.get("events"))
        if events:
            for event in events:
                self._add(event, 0)
        else:
            self._read_messages()
        for span in self._known.values():
            if "ended" not in span:
                span["is_open"] = True

    def _add(self, event: dict[str, Any], depth: int) -> None:
        at = parse_time(event.get("timestamp"))
        if at is not None:
            self._root["started"] = min(self._root.get("started", at), at)
            self._root["ended"] = max(self._root.get("ended", at), parse_time(event.get("completed")) or at)
        kind = event.get("event")
        self._count += 1
        if kind == "span_begin":
            self._begin(str(event.get("id")), lenient.string(event.get("parent_id")), event, at)
        elif kind == "span_end":
            self._end(str(event.get("id")), at)
        elif kind == "step" and event.get("action") == "begin":
            self._begin(f"{self._run} step {self._count}", None, event, at)
        elif kind == "step":
            self._end(self._path[-1] if self._path else "", at)
        elif kind == "model":
            self._add_model(event, at)
        elif kind == "tool":
            self._add_tool(event, at, depth)
        elif kind == "error":
            error = lenient.mapping(event.get("error"))
            self._point(event, at, "error_occurred", "app", error=str(error.get("message") or ""))
        elif kind in ("logger", "info"):
            message = lenient.mapping(event.get("message"))
            text = message.get("message", event.get("data"))
            level = str(message.get("level") or "info").lower()
            record = {"level": level, "message": text if isinstance(text, str) else str(text)}
            self._point(event, at, "log_record", "log", metadata=record)
        elif kind == "score":
            score = lenient.mapping(event.get("score"))
            self._point(event, at, "decision", "validation", outputs=lenient.drop_none(dict(score)))
        else:
            self._problems.left_out[f"events of type {kind}"] += 1

    def _parent(self, event: Mapping[str, Any]) -> str:
        span_id = event.get("span_id")
        if isinstance(span_id, str) and span_id in self._known:
            return span_id
        return self._path[-1] if self._path else self._run

    def _begin(self, span_id: str, parent_id: str | None, event: Mapping[str, Any], at: float | None) -> None:
        parent = parent_id if parent_id in self._known else self._path[-1] if self._path else self._run
        span: Draft = {
            "kind": _KINDS.get(str(event.get("type")), "step"), "name": lenient.string(event.get("name")),
            "span_id": span_id, "parent_id": parent, "execution_id": self._run, "started": at,
        }  # fmt: skip
        self._path.append(span_id)
        self._known[span_id] = span
        if span["kind"] == "tool":
            self._begun_tools.setdefault((parent, span["name"]), []).append(span)
        self.spans.append(span)

    def _end(self, span_id: str, at: float | None) -> None:
        if span_id in self._path:
            self._path.remove(span_id)
        if span_id in self._known:
            self._known[span_id]["ended"] = at

    def _add_model(self, event: dict[str, Any], at: float | None) -> None:
        output = lenient.mapping(event.get("output"))
        answer = self._read_output(output)
        usage, cost = _read_amounts(lenient.mapping(output.get("usage")))
        error = event.get("error") or output.get("error")
        model = lenient.string(event.get("model")) or self._model
        provider, _, name = (model or "").rpartition("/")
        request = {
            "model": name or None,
            "messages": [read_message(self._resolve(each)) for each in lenient.sequence(event.get("input"))],
            "tools": decode_tools({"tools": lenient.mappings(event.get("tools"))}),
            "params": lenient.drop_empty(dict(lenient.mapping(event.get("config")))),
        }
        seconds = output.get("time", event.get("working_time"))
        ended = parse_time(event.get("completed"))
        read = {
            "event",
            "timestamp",
            "span_id",
            "model",
            "input",
            "tools",
            "config",
            "output",
            "error",
            "completed",
        }
        self.spans.append(
            {
                "kind": "model", "name": name or None, "span_id": self._id(event), "parent_id": self._parent(event),
                "execution_id": self._run, "started": at, "ended": ended, "inputs": lenient.drop_empty(request),
                "outputs": answer.to_outputs(), "usage": usage, "cost": cost,
                # The time that the provider took is without that of waiting for a free connection, which the times have.
                "duration_ms": seconds * 1e3 if ended is None and lenient.is_number(seconds) and seconds >= 0 else None,
                "failure": SpanError(None, str(error)) if error else None,
                "metadata": lenient.drop_empty({"provider": provider.rpartition("/")[2]})
                | rest_of(event, read | {"call", "working_start", "working_time", "uuid", "pending"}),
            }
        )  # fmt: skip

    def _add_tool(self, event: dict[str, Any], at: float | None, depth: int) -> None:
        error = lenient.mapping(event.get("error"))
        seconds = event.get("working_time")
        ended = parse_time(event.get("completed"))
        name, parent = lenient.string(event.get("function")), self._parent(event)
        span: Draft = {
            "kind": "tool", "name": name, "span_id": self._id(event),
            "parent_id": parent, "execution_id": self._run, "started": at, "ended": ended,
            "inputs": {"arguments": self._resolve(event.get("arguments")), "call_id": event.get("id")},
            "outputs": lenient.drop_none({"result": self._resolve(event.get("result"))}),
            "failure": SpanError(lenient.string(error.get("type")), str(error.get("message") or "")) if error else None,
            "duration_ms": seconds * 1e3 if ended is None and lenient.is_number(seconds) and seconds >= 0 else None,
        }  # fmt: skip
        around = self._known.get(parent, self._root)  # where the event does not name the span that it is in
        begun = self._begun_tools.get((parent, name)) or self._begun_tools.get(
            (around.get("parent_id"), name)
        )
        if begun:  # the call stands in a span of its own, which what the tool did refers to
            draft = begun.pop(0)
            draft |= {each: span[each] for each in ("inputs", "outputs", "failure")}
            span = draft
        else:
            self.spans.append(span)
        if depth < _DEEPEST:
            self._path.append(span["span_id"])
            for inner in lenient.mappings(event.get("events")):
                self._add(inner, depth + 1)
            if span["span_id"] in self._path:
                self._path.remove(span["span_id"])

    def _id(self, event: Mapping[str, Any]) -> str:
        return lenient.string(event.get("uuid")) or f"{self._run} {self._count}"

    def _point(
        self, event: Mapping[str, Any], at: float | None, kind: str, component: str, **fields: Any
    ) -> None:
        base: Event = {
            "event_type": kind,
            "event_id": self._id(event),
            "component": component,
            "execution_id": self._run,
        }
        base |= {"parent_event_id": self._parent(event)} | ({} if at is None else {"timestamp": at})
        self.others.append({**base, **fields})

    def _read_output(self, output: Any) -> Answer:
        resolved = self._resolve(lenient.mapping(output))
        choices = [
            {**choice, "finish_reason": choice.get("stop_reason")}
            for choice in lenient.mappings(resolved.get("choices"))
        ]
        if choices:
            message = lenient.mapping(choices[0].get("message"))
            calls = [
                {
                    "id": call.get("id"),
                    "function": {"name": call.get("function"), "arguments": call.get("arguments")},
                }
                for call in lenient.mappings(message.get("tool_calls"))
            ]
            choices[0] = {**choices[0], "message": {**message, "tool_calls": calls}}
        return openai_chat.decode_response({"model": resolved.get("model"), "choices": choices[:1]})

    def _read_messages(self) -> None:
        """Read a log without events: an answer for each message of the assistant, a tool for each of its calls."""
        conversation = AgentSession(self.spans, self._root["name"], f"{self._run} agent", parent_id=self._run)
        for number, message in enumerate(lenient.mappings(self._sample.get("messages"))):
            resolved = self._resolve(message)
            if message.get("role") == "assistant":
                answer = self._read_output(
                    {"choices": [{"message": resolved}], "model": resolved.get("model")}
                )
                conversation.answer(f"{self._run} {number}", answer.response_model or self._model, answer)
                for call in answer.tool_calls:
                    conversation.call(f"{self._run} {call.get('id')}", call["name"], call["arguments"])
            elif message.get("role") == "tool":
                call_id = f"{self._run} {message.get('tool_call_id')}"
                error = lenient.mapping(message.get("error"))
                failure = (
                    SpanError(lenient.string(error.get("type")), str(error.get("message") or ""))
                    if error
                    else None
                )
                if call_id not in conversation.tools:  # the message that called is not in the log
                    conversation.call(call_id, str(message.get("function") or "tool"), {})
                conversation.result(call_id, resolved.get("content"), failure=failure)
            else:
                conversation.read(read_message(resolved))
        for span in self.spans:
            span["execution_id"] = self._run
        usages = list(lenient.mapping(self._sample.get("model_usage")).values())
        counted = [_read_amounts(lenient.mapping(usage)) for usage in usages]
        for usage, _ in counted:
            total = conversation.span.setdefault("usage", {})
            for name, count in usage.items():
                total[name] = total.get(name, 0) + count

    def _resolve(self, value: Any, depth: int = 0) -> Any:
        """Return a value with its attachments in place; the same object where it has none."""
        if isinstance(value, str):
            return (
                self._attachments.get(value.removeprefix(_ATTACHMENT), value)
                if value.startswith(_ATTACHMENT)
                else value
            )
        if depth > _DEEPEST:
            return value
        if isinstance(value, list):
            return [self._resolve(item, depth + 1) for item in value]
        if isinstance(value, dict):
            return {name: self._resolve(item, depth + 1) for name, item in value.items()}
        return value


def _read_amounts(stated: Mapping[str, Any]) -> tuple[dict[str, int], float | None]:
    """Return the tokens and the cost. The input of some providers leaves the cached tokens out; the total tells."""
    usage = read_usage(stated, _USAGE)
    cached = usage.get("cache_read_tokens", 0) + usage.get("cache_write_tokens", 0)
    total = parse_count(stated.get("total_tokens"))
    if cached and total == usage.get("input_tokens", 0) + usage.get("output_tokens", 0) + cached:
        usage["input_tokens"] = usage.get("input_tokens", 0) + cached
    return usage, parse_cost(stated.get("total_cost"))
