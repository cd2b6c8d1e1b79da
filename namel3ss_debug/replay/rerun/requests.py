"""Read what a program requests with a call: an answer of a model, another HTTP response, a tool, a command, an MCP server.

A request is read from the start event of its call, in a trace and in a live program alike. Two requests are the same if
they share a key. One may be an edited form of the other if they share a similar key.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from namel3ss_debug.traces.events import Event
from namel3ss_debug.wire import lenient
from namel3ss_debug.wire.requests import LOOPBACK, canonical_hash, canonical_url

MODEL: Final = "llm"
HTTP: Final = "http"
TOOL: Final = "tool"
MCP: Final = "mcp"
COMMAND: Final = "command"

ANSWERED: Final = frozenset({MODEL, HTTP, TOOL, MCP, COMMAND})
"""Components whose calls are answered. Agents, steps and everything else that consists of calls run."""

VALUED: Final = frozenset({TOOL, MCP, COMMAND})
"""Kinds of requests that are answered by a value, not by an HTTP response."""

LIST_TOOLS: Final = "tools/list"

CONNECT: Final = "connect"
"""The name of the MCP request that starts a server, or connects to it."""

_UNKNOWN: Final = "unknown "
_COMPREHENSIONS = ("<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>")
_SHELLS = frozenset({"sh", "bash", "dash", "zsh", "ksh", "fish"})
_PORT_KEY: Final = "command with a port "
_PORT = re.compile(r"(?<!\d)\d{4,5}(?!\d)")
_FIRST_PORT, _LAST_PORT = 1024, 65535
_MAIN_PATH: Final = "0"
"""The task path of the main thread of a program."""
_LOCAL_SERVER = re.compile(r"\A(?:localhost|127\.0\.0\.1|\[::1\]):\d+\Z")
_PROCESS = re.compile(r"(?:p([0-9]{1,9})\.)?[0-9]+\Z")
_RUN_OF_LANGCHAIN: Final = b"lc_run--"
_RUN_ID = re.compile(_RUN_OF_LANGCHAIN + rb"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class TaskKey(NamedTuple):
    """The identity of a process, thread and task in which calls are made one after the other.

    Attributes:
        process: the number of the process, 0 for the first.
        thread: the task path that the trace holds, else the name of the thread; "" for the main one.
        task: the asyncio task, "" for none.
    """

    process: int = 0
    thread: str = ""
    task: str = ""

    @property
    def is_of_main_thread(self) -> bool:
        """Whether this is the main thread or one of its tasks; with recorded inputs it has a name."""
        return self.thread in ("", _MAIN_PATH) or self.thread.startswith(f"{_MAIN_PATH}~")


MAIN: Final = TaskKey()
"""The main thread of the first process, outside of every task."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a program requests with a call.

    Attributes:
        kind: `llm`, `http`, `tool`, `mcp` or `command`.
        name: the model, the host, the tool, the method, or the program.
        keys: equal for the same request, the most exact first.
        similar_keys: equal for two requests if one may be an edited form of the other, the most exact first. A tool has
            the id under which a model requested the call; every kind has the functions of the user that made the call.
            Empty if the trace does not hold these, and for a command, which gets no answer to another one.
        chain: the user's functions that made the call, outermost first: `agent.py:main`.
        task_key: where the call was made.
        call_site: the line of the user's code, `agent.py:42`.
        call_id: the id under which a model requested this call of a tool.
        streamed: whether a model is requested to stream its answer.
        is_body_unknown: whether the server got a body that the trace does not hold.
        number: the number of the start event, in its own trace.
        event: the start event. It is kept for live calls; for recorded calls it is read from the trace.
    """

    kind: str
    name: str
    keys: tuple[str, ...]
    similar_keys: tuple[Hashable, ...] = ()
    chain: tuple[str, ...] = ()
    task_key: TaskKey = MAIN
    call_site: str | None = None
    call_id: str | None = None
    streamed: bool = False
    is_body_unknown: bool = False
    number: int = 0
    event: Event | None = field(default=None, compare=False, repr=False)

    @property
    def own_keys(self) -> tuple[str, ...]:
        """The keys without the one that a request with a known body shares with those of unknown bodies."""
        return tuple(key for key in self.keys if not key.startswith(_UNKNOWN)) or self.keys


def read_request(
    number: int, event: Event, *, keep_event: bool = True, decoded: bool = False
) -> Request | None:
    """Return the request of the call that an event starts; None if it starts no call that is answered.

    A span of a model or a tool that a program records itself has no request: the calls inside it have their own. The
    same holds for a block of code, which records neither arguments nor calling functions, and for a tool call of which
    only the result was observed.

    Args:
        number: the number of the event.
        event: the event.
        keep_event: whether the request keeps the event.
        decoded: whether its key is of what every tool's trace holds: the messages to a model, a tool and its arguments.
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
        keys, similar_keys = _of_tool(event, inputs, functions)
        keys = _decoded_tool_keys(event, inputs) if decoded else keys
    elif component == MCP:
        if "mcp" not in metadata:  # the user's own span
            return None
        keys, similar_keys = _of_mcp(event, inputs, functions)
    elif component == COMMAND:
        if "arguments" not in inputs:  # the user's own span
            return None
        keys, similar_keys = _of_command(inputs), ()
    else:
        exchange = lenient.mapping(metadata.get("exchange"))
        of_messages = decoded and component == MODEL and bool(inputs.get("messages"))
        if not exchange and not of_messages:
            return None
        read = _of_model if component == MODEL else _of_http
        keys, similar_keys = read(exchange, inputs, metadata, functions)
        if of_messages:
            digest, model = _digest(wordings(inputs)), event.get("component_name")
            keys, similar_keys = (f"messages {digest} {model}", f"messages {digest}"), ()
    return Request(
        kind=component,
        name=lenient.string(event.get("component_name")) or "",
        keys=keys,
        similar_keys=similar_keys,
        chain=functions or (),
        task_key=read_task_key(event),
        call_site=lenient.string(event.get("call_site")),
        call_id=lenient.string(inputs.get("call_id")),
        streamed=lenient.mapping(inputs.get("params")).get("stream") is True,
        is_body_unknown=lenient.mapping(metadata.get("exchange")).get("streamed") == "partly",
        number=number,
        event=event if keep_event else None,
    )


def read_task_key(event: Event) -> TaskKey:
    """Return where an event happened."""
    found = _PROCESS.match(str(event.get("event_id", "")))
    process = int(found[1]) if found is not None and found[1] else 0
    lineage = lenient.mapping(event.get("metadata")).get("lineage")
    thread = lineage if isinstance(lineage, str) else event.get("thread", "")
    return TaskKey(process, str(thread), str(event.get("task", "")))


def _functions(chain: Any) -> tuple[str, ...] | None:
    """Return the functions in a call chain.

    Comprehensions are left out: they have no frame from Python 3.12 on (PEP 709), and turning a loop into one is no
    change.
    """
    if not isinstance(chain, list):
        return None
    return tuple(name for name in map(str, chain) if not name.endswith(_COMPREHENSIONS))


_Keys = tuple[tuple[str, ...], tuple[Hashable, ...]]


def _of_model(
    exchange: dict[str, Any], _inputs: dict[str, Any], metadata: dict[str, Any], chain: tuple[str, ...] | None
) -> _Keys:
    """Return the keys of a request to a model.

    After an edit it still has the provider's format; its address may differ.
    """
    similar_keys = () if chain is None else ((MODEL, str(metadata.get("format")), chain),)
    return _exchange_keys(exchange), similar_keys


def _of_http(
    exchange: dict[str, Any],
    _inputs: dict[str, Any],
    _metadata: dict[str, Any],
    chain: tuple[str, ...] | None,
) -> _Keys:
    """Return the keys of another HTTP request.

    After an edit it still has the method, and the address without the query.
    """
    method, url = str(exchange.get("method", "")), str(exchange.get("url", ""))
    keys = _exchange_keys(exchange)
    address = canonical_hash(method, url.partition("#")[0].partition("?")[0], None)
    return keys, () if chain is None else ((HTTP, address, chain),)


def _exchange_keys(exchange: dict[str, Any]) -> tuple[str, ...]:
    """Return the hash of the request, and that of its bytes.

    A streamed body is not known if it was not sent to its end, as when the connection was refused. Such a request shares
    its last key with all that send a streamed body to the same address.
    """
    digest, sent = exchange.get("hash"), exchange.get("body_sha256")
    keys: tuple[str, ...] = () if digest is None else (f"hash {digest}",)
    address = canonical_hash(str(exchange.get("method", "")), str(exchange.get("url", "")), None)
    if sent is not None:
        keys += (f"bytes {address} {sent}",)
    return (*keys, _UNKNOWN + address) if "streamed" in exchange else keys


def _of_tool(event: Event, inputs: dict[str, Any], chain: tuple[str, ...] | None) -> _Keys:
    name = str(event.get("component_name", ""))
    rest = {key: value for key, value in inputs.items() if key != "call_id"}
    server = lenient.string(lenient.mapping(event.get("metadata")).get("server"))
    parts = [name, rest] if server is None else [name, rest, server]
    text = lenient.dump(parts, ordered=True)
    if _RUN_OF_LANGCHAIN in text:  # LangChain passes a run id to tools, which no seed makes equal
        text = _RUN_ID.sub(_RUN_OF_LANGCHAIN, text)
    digest = hashlib.sha256(text).hexdigest()[:16]
    call_id = inputs.get("call_id")
    similar_keys: tuple[Hashable, ...] = () if chain is None else ((TOOL, name, chain),)
    if not isinstance(call_id, str) or not call_id:
        return (f"call {digest}",), similar_keys
    return (f"call {digest} {call_id}", f"call {digest}"), (
        (TOOL, name, call_id),
        *similar_keys,
    )


def _decoded_tool_keys(event: Event, inputs: dict[str, Any]) -> tuple[str, ...]:
    """Return the keys of a tool call without its server, which other tools do not record."""
    digest = _digest([event.get("component_name"), inputs.get("arguments")])
    call_id = lenient.string(inputs.get("call_id"))
    return (*((f"call {digest} {call_id}",) if call_id else ()), f"call {digest}")


def wordings(inputs: dict[str, Any]) -> list[Any]:
    """Return what the messages of a request to a model mean, without what formats write in different ways.

    Each part has its role: Anthropic sends all results of tools in one message of the user, which OpenInference writes as
    messages of the tools. OpenInference leaves away empty parts, and the ids of tool calls are absent in some formats. A
    text that is JSON is compared as JSON, because importers read the arguments and results of tools as such.
    """
    return [
        ["tool" if found[0] == "result" else _ROLES.get(role, role), *found]
        for message in lenient.mappings(inputs.get("messages"))
        if (role := str(message.get("role")))
        for part in lenient.mappings(message.get("parts"))
        if (found := _wording(part))
    ]


def _wording(part: dict[str, Any]) -> list[Any] | None:
    """Return the meaning of a part of a message; None for an empty text and for reasoning, which is not kept by all."""
    kind = part.get("type")
    if kind == "text":
        return ["text", text] if (text := part.get("content")) else None
    if kind == "tool_call":
        return ["call", part.get("name"), lenient.load_arguments(part.get("arguments")) or {}]
    if kind == "tool_call_response":
        return ["result", lenient.load_arguments(part.get("response"))]
    return None if kind in ("reasoning", "thinking") else ["part", part]


_ROLES: Final = {"developer": "system"}


def _digest(value: Any) -> str:
    return hashlib.sha256(lenient.dump(value, ordered=True)).hexdigest()[:16]


def _of_mcp(event: Event, inputs: dict[str, Any], chain: tuple[str, ...] | None) -> _Keys:
    """Return the keys of a request to an MCP server.

    The server's program may be in another folder now, and one on this machine may have another port.
    """
    name = str(event.get("component_name", ""))
    server = lenient.string(lenient.mapping(event.get("metadata")).get("server"))
    command, url = lenient.string(inputs.get("command")), lenient.string(inputs.get("url"))
    if name == CONNECT and command is not None:
        inputs = inputs | {"command": os.path.basename(command)}
    if url is not None:
        inputs = inputs | {"url": canonical_url(url)}
    server = None if server is None else _LOCAL_SERVER.sub("localhost", server)
    digest = hashlib.sha256(lenient.dump([name, inputs, server], ordered=True)).hexdigest()[:16]
    return (f"mcp {digest}",), () if chain is None else ((MCP, name, chain),)


def _of_command(inputs: dict[str, Any]) -> tuple[str, ...]:
    """Return the keys of a command; its changed environment only prefers one of several that are the same otherwise."""
    rest = _without_environment(inputs)
    digests = (hashlib.sha256(lenient.dump(each, ordered=True)).hexdigest()[:16] for each in (inputs, rest))
    return tuple(f"command {digest}" for digest in dict.fromkeys(digests))


def command_without_port(event: Event, port: str) -> str:
    """Return a key that a command shares with those that have another port in place of this one."""
    text = lenient.dump(_without_environment(lenient.mapping(event.get("inputs"))), ordered=True).decode()
    text = re.sub(rf"(?<!\d){port}(?!\d)", "<port>", text)
    return f"{_PORT_KEY}{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def starts_server(request: Request) -> bool:
    """Return whether a recorded command starts a server to which the program sends requests."""
    return any(key.startswith(_PORT_KEY) for key in request.keys)


def ports_in(event: Event) -> list[str]:
    """Return the numbers in the arguments of a command that may be ports which a program chooses."""
    arguments = lenient.mapping(event.get("inputs")).get("arguments")
    words = [arguments] if isinstance(arguments, str) else lenient.sequence(arguments)
    found = (number for word in words for number in _PORT.findall(str(word)))
    return list(dict.fromkeys(number for number in found if _FIRST_PORT <= int(number) <= _LAST_PORT))


def local_port(event: Event) -> str:
    """Return the port of the server on this machine to which a request goes; "" for another one."""
    url = lenient.mapping(lenient.mapping(event.get("metadata")).get("exchange")).get("url")
    try:
        address = urlsplit(str(url or lenient.mapping(event.get("inputs")).get("url")))
        return str(address.port) if address.port and address.hostname in LOOPBACK else ""
    except ValueError:
        return ""


def reads_commands(start: Event, end: Event) -> bool:
    """Return whether a command is a shell that reads what it runs from its stdin, and the trace does not hold that.

    gptme keeps such a shell for all commands of the model.
    """
    inputs = lenient.mapping(start.get("inputs"))
    result = lenient.mapping(lenient.mapping(end.get("outputs")).get("result"))
    stream = lenient.mapping(inputs.get("streams")).get("stdin")
    if "input" in inputs or "input" in result or stream not in ("pipe", "file"):
        return False
    arguments = inputs.get("arguments")
    words = arguments.split() if isinstance(arguments, str) else lenient.sequence(arguments)
    names = [os.path.basename(str(word)) for word in words]
    place = next((place for place, name in enumerate(names) if name in _SHELLS), None)
    # With another word behind its options, it runs a script or the text of `-c`.
    return place is not None and all(word.startswith("-") for word in names[place + 1 :])


def _without_environment(inputs: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in inputs.items() if name != "environment"}
