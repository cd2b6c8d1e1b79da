"""Find what a re-run with `--live-from` calls for real, as far as the trace can show it before the program runs."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from namel3ss_debug.replay.rerun.requests import COMMAND, CONNECT, HTTP, LIST_TOOLS, MCP, MODEL, TOOL
from namel3ss_debug.traces.costs import span_cost
from namel3ss_debug.wire import lenient

if TYPE_CHECKING:
    from collections.abc import Iterator

    from namel3ss_debug.replay.rerun.recorded_calls import RecordedCalls
    from namel3ss_debug.traces.events import Event


@dataclass
class LivePart:
    """The recorded calls from one event on.

    Attributes:
        live_from: the number of the event.
        models: the names of the models, and how often each was called.
        cost: the cost of these calls in US dollars, by the recorded tokens.
        unpriced: how many of them have no known price.
        tools: the names of the tools, and how often each was called.
        arguments: the arguments of each call of a tool, after its name.
        offered: the tools that the models could request, but did not.
        commands: the command lines.
        servers: the MCP servers, which are started or contacted even before the event.
        hosts: the hosts of other requests.
    """

    live_from: int
    models: Counter[str] = field(default_factory=Counter)
    cost: float = 0.0
    unpriced: int = 0
    tools: Counter[str] = field(default_factory=Counter)
    arguments: list[str] = field(default_factory=list)
    offered: list[str] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    servers: list[str] = field(default_factory=list)
    hosts: Counter[str] = field(default_factory=Counter)


def find_live_part(recorded: RecordedCalls, live_from: int) -> LivePart:
    """Return what the trace holds from one event on, which a live part calls for real."""
    part, offered = LivePart(live_from), dict[str, None]()
    for number, call in recorded.calls.items():
        kind, name = call.request.kind, call.request.name
        if kind == MCP and name == CONNECT:
            part.servers.append(_server_of(recorded.start(number)))
        if number < live_from:
            continue
        if kind == MODEL:
            part.models[name] += 1
            start = recorded.start(number)
            cost = span_cost(start, recorded.end(number))
            part.cost += 0.0 if cost is None else cost.dollars
            part.unpriced += cost is None
            offered |= dict.fromkeys(_offered_by(start))
        elif kind == TOOL:
            part.tools[name] += 1
            inputs = lenient.mapping(recorded.start(number).get("inputs"))
            part.arguments.append(f"{name} {json.dumps(inputs.get('arguments'), ensure_ascii=False)}")
        elif kind == COMMAND:
            part.commands.append(_command_of(recorded.start(number)))
        elif kind == HTTP:
            part.hosts[name] += 1
        elif kind == MCP and name not in (CONNECT, LIST_TOOLS):
            part.tools[name] += 1
    part.offered = [name for name in offered if name not in part.tools]
    return part


def _offered_by(start: Event) -> Iterator[str]:
    """Yield the names of the tools that a request to a model offers."""
    for tool in lenient.mappings(lenient.mapping(start.get("inputs")).get("tools")):
        name = lenient.string(tool.get("name")) or lenient.string(
            lenient.mapping(tool.get("function")).get("name")
        )
        if name:
            yield name


def _command_of(start: Event) -> str:
    words = lenient.mapping(start.get("inputs")).get("arguments")
    return words if isinstance(words, str) else shlex.join(map(str, lenient.sequence(words)))


def _server_of(start: Event) -> str:
    inputs = lenient.mapping(start.get("inputs"))
    command = [inputs.get("command"), *lenient.sequence(inputs.get("args"))]
    return lenient.string(inputs.get("url")) or shlex.join(str(word) for word in command if word)
