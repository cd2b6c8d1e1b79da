"""What a program asks at its boundaries: requests to models, other HTTP requests, calls of tools, and requests to MCP servers.

A question is read from the start event of its call, in a recording and in the program that runs again alike. Two
questions are the same when one of their keys is; one may have become the other by an edit of the program when one of
their kins is.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from namel3ss_debug.traces.events import Event
from namel3ss_debug.wire import canonical_hash, lenient
from namel3ss_debug.wire.values import find_flaws, revive

MODEL: Final = "llm"
HTTP: Final = "http"
TOOL: Final = "tool"
MCP: Final = "mcp"

ANSWERED: Final = frozenset({MODEL, HTTP, TOOL, MCP})
"""Components whose calls get an answer; agents, steps and whatever else is made of calls run."""

VALUED: Final = frozenset({TOOL, MCP})
"""Kinds of questions that are answered by a value, and not by a response."""

LIST_TOOLS: Final = "tools/list"

CONNECT: Final = "connect"
"""Of the questions to MCP servers, the one that starts a server, or connects to it."""

_COMPREHENSIONS = ("<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>")
_PROCESS = re.compile(r"(?:p([0-9]{1,9})\.)?[0-9]+\Z")
_RUN_OF_LANGCHAIN: Final = b"lc_run--"
_RUN_ID = re.compile(_RUN_OF_LANGCHAIN + rb"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Strand(NamedTuple):
    """One line of execution: what happens on it happens one after the other.

    Attributes:
        process: the number of the process, 0 for the first.
        thread: the line of work as the recording names it, else the name of the thread; "" for the main one.
        task: the asyncio task, "" where there is none.
    """

    process: int = 0
    thread: str = ""
    task: str = ""


MAIN: Final = Strand()
"""The main thread of the first process, outside of every task."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a program asks at a boundary.

    Attributes:
        kind: `llm`, `http`, `tool` or `mcp`.
        name: the model, the host, the tool, or the method.
        keys: what is equal for the same question, the surest first.
        kins: what is equal for questions of which one may have become the other, the surest first: for a tool the call
            of it that a model asked for by id, then, for every kind, the functions of the user that it came through.
            None where the recording does not tell these.
        chain: the user's own functions it came through, outermost first: `agent.py:main`.
        strand: where it was asked.
        call_site: the line of the user's code, `agent.py:42`.
        call_id: of a tool, the id under which a model asked for the call.
        streamed: whether a model is asked for a stream.
        number: the number of its start event, in its own trace.
        event: its start event; kept for what is asked now, read from the trace for what is recorded.
    """

    kind: str
    name: str
    keys: tuple[str, ...]
    kins: tuple[Hashable, ...] = ()
    chain: tuple[str, ...] = ()
    strand: Strand = MAIN
    call_site: str | None = None
    call_id: str | None = None
    streamed: bool = False
    number: int = 0
    event: Event | None = field(default=None, compare=False, repr=False)


def question_of(number: int, event: Event, *, keep_event: bool = True) -> Question | None:
    """The question that a call asks which begins with this event; None where the event begins no call at a boundary.

    A span of a model or a tool that a program records by itself, without its request, is no boundary: what it asks is
    asked inside it. Of a block of code neither the arguments nor the functions it came through are told. Nor is the
    call of a tool of which only the result was seen.

    Args:
        number: the number of the event.
        event: the event.
        keep_event: whether the question holds the event.
    """
    component = event.get("component")
    if event["event_type"][-6:] != "_start" or component not in ANSWERED:
        return None
    metadata = lenient.mapping(event.get("metadata"))
    functions = _functions(metadata.get("chain"))
    inputs = lenient.mapping(event.get("inputs"))
    if component == TOOL:
        if metadata.get("seen") is False or (functions is None and "arguments" not in inputs):
            return None
        keys, kins = _of_tool(event, inputs, functions)
    elif component == MCP:
        if "mcp" not in metadata:  # the user's own span
            return None
        keys, kins = _of_mcp(event, inputs, functions)
    else:
        exchange = lenient.mapping(metadata.get("exchange"))
        if not exchange:
            return None
        read = _of_model if component == MODEL else _of_http
        keys, kins = read(exchange, inputs, metadata, functions)
    return Question(
        kind=component,
        name=lenient.string(event.get("component_name")) or "",
        keys=keys,
        kins=kins,
        chain=functions or (),
        strand=strand_of(event),
        call_site=lenient.string(event.get("call_site")),
        call_id=lenient.string(inputs.get("call_id")),
        streamed=lenient.mapping(inputs.get("params")).get("stream") is True,
        number=number,
        event=event if keep_event else None,
    )


def asked_again(question: Question, number: int, event: Event) -> Question:
    """The same question, as this event asks it: what makes it this question is not read again.

    Args:
        question: a recorded one, of a call that `capture.foretold.asked` does not tell from the one that begins now.
        number: the number of the event.
        event: the event.
    """
    return Question(
        kind=question.kind,
        name=question.name,
        keys=question.keys,
        kins=question.kins,
        chain=question.chain,
        strand=strand_of(event),
        call_site=lenient.string(event.get("call_site")),
        call_id=question.call_id,
        streamed=question.streamed,
        number=number,
        event=event,
    )


def strand_of(event: Event) -> Strand:
    """Where an event happened."""
    found = _PROCESS.match(str(event.get("event_id", "")))
    process = int(found[1]) if found is not None and found[1] else 0
    lineage = lenient.mapping(event.get("metadata")).get("lineage")
    thread = lineage if isinstance(lineage, str) else event.get("thread", "")
    return Strand(process, str(thread), str(event.get("task", "")))


def _functions(chain: Any) -> tuple[str, ...] | None:
    """The functions in a call chain; comprehensions are none from Python 3.12 on (PEP 709), and to turn a loop into one is no change."""
    if not isinstance(chain, list):
        return None
    return tuple(name for name in map(str, chain) if not name.endswith(_COMPREHENSIONS))


_Keys = tuple[tuple[str, ...], tuple[Hashable, ...]]


def _of_model(
    exchange: dict[str, Any], _inputs: dict[str, Any], metadata: dict[str, Any], chain: tuple[str, ...] | None
) -> _Keys:
    """A request to a model; of an edited one the provider's format is still the same, its address need not be."""
    kins = () if chain is None else ((MODEL, str(metadata.get("format")), chain),)
    return _exchange_keys(exchange), kins


def _of_http(
    exchange: dict[str, Any], inputs: dict[str, Any], _metadata: dict[str, Any], chain: tuple[str, ...] | None
) -> _Keys:
    """Another request; of an edited one the method and the address without the query are still the same."""
    method, url = str(exchange.get("method", "")), str(exchange.get("url", ""))
    keys = _exchange_keys(exchange)
    body = inputs.get("body")
    if "hash" not in exchange and not find_flaws(body):  # a recording made before it was written down
        keys += (f"hash {canonical_hash(method, url, _plain(body))}",)
    address = canonical_hash(method, url.partition("#")[0].partition("?")[0], None)
    return keys, () if chain is None else ((HTTP, address, chain),)


def _exchange_keys(exchange: dict[str, Any]) -> tuple[str, ...]:
    """The hash of what is asked, and that of the very bytes, which older recordings have alone."""
    asked, sent = exchange.get("hash"), exchange.get("body_sha256")
    keys = () if asked is None else (f"hash {asked}",)
    if sent is None:
        return keys
    address = canonical_hash(str(exchange.get("method", "")), str(exchange.get("url", "")), None)
    return (*keys, f"bytes {address} {sent}")


def _of_tool(event: Event, inputs: dict[str, Any], chain: tuple[str, ...] | None) -> _Keys:
    name = str(event.get("component_name", ""))
    rest = {key: value for key, value in inputs.items() if key != "call_id"}
    server = lenient.string(lenient.mapping(event.get("metadata")).get("server"))
    words = [name, rest] if server is None else [name, rest, server]
    told = lenient.dump(words, ordered=True)
    if _RUN_OF_LANGCHAIN in told:  # by what LangChain gives to a tool besides, of which no seed decides
        told = _RUN_ID.sub(_RUN_OF_LANGCHAIN, told)
    asked = hashlib.sha256(told).hexdigest()[:16]
    call_id = inputs.get("call_id")
    kins: tuple[Hashable, ...] = () if chain is None else ((TOOL, name, chain),)
    if not isinstance(call_id, str) or not call_id:
        return (f"call {asked}",), kins
    return (f"call {asked} {call_id}", f"call {asked}"), ((TOOL, name, call_id), *kins)


def _of_mcp(event: Event, inputs: dict[str, Any], chain: tuple[str, ...] | None) -> _Keys:
    """A request to an MCP server. The program that is started for a server may stand in another folder now."""
    name = str(event.get("component_name", ""))
    server = lenient.string(lenient.mapping(event.get("metadata")).get("server"))
    command = lenient.string(inputs.get("command"))
    if name == CONNECT and command is not None:
        inputs = inputs | {"command": os.path.basename(command)}
    asked = hashlib.sha256(lenient.dump([name, inputs, server], ordered=True)).hexdigest()[:16]
    return (f"mcp {asked}",), () if chain is None else ((MCP, name, chain),)


def _plain(body: Any) -> Any:
    """The body of a request as it was sent: bytes that are no text stand in a form of their own."""
    is_bytes = isinstance(body, dict) and body.get("$type") == "bytes"
    return revive(body).value if is_bytes else body
