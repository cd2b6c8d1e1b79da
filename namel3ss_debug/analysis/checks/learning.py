"""Suggest rules about the calls of a good run: what tools return, which come first, where arguments come from.

A suggested rule is to hold for other good runs of the program as well. So an order, and a number of calls, is suggested
only for calls with a side effect, and the source of an argument only if no text that the program or its user wrote
holds the argument.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any, Final

from namel3ss_debug.analysis.checks.conduct import EarlierResults, iter_leaves
from namel3ss_debug.analysis.checks.shapes import describe_shape
from namel3ss_debug.analysis.checks.subjects import SeenSpan, SpanReader
from namel3ss_debug.wire import lenient

if TYPE_CHECKING:
    from namel3ss_debug.traces.reader import Trace

_READING: Final = frozenset(
    {
        "calc",
        "calculate",
        "check",
        "compute",
        "convert",
        "count",
        "describe",
        "fetch",
        "find",
        "get",
        "is",
        "list",
    }
    | {
        "load",
        "lookup",
        "look",
        "parse",
        "query",
        "read",
        "retrieve",
        "search",
        "show",
        "summarize",
        "validate",
    }
)
"""First words of names of tools that only read, whatever other words follow."""
_WRITING: Final = frozenset(
    {
        "append",
        "apply",
        "approve",
        "assign",
        "book",
        "buy",
        "cancel",
        "charge",
        "close",
        "commit",
        "create",
        "delete",
    }
    | {
        "deploy",
        "drop",
        "email",
        "execute",
        "grant",
        "insert",
        "invite",
        "issue",
        "mail",
        "merge",
        "move",
        "notify",
    }
    | {
        "order",
        "pay",
        "place",
        "post",
        "publish",
        "purchase",
        "push",
        "put",
        "refund",
        "register",
        "reject",
        "remove",
    }
    | {"rename", "reserve", "reset", "restart", "revoke", "save", "schedule", "sell", "send", "ship", "store"}
    | {"submit", "transfer", "update", "upload", "withdraw", "write"}
)
"""Words in names of tools that have a side effect."""
_FACTS: Final = frozenset(
    {
        "details",
        "history",
        "hours",
        "info",
        "information",
        "limit",
        "limits",
        "list",
        "options",
        "policy",
        "price",
    }
    | {"rate", "rules", "state", "status", "summary", "terms", "times", "total"}
)
"""Last words of names of tools that only return something, such as `refund_policy`."""
_WORD: Final = re.compile(r"[a-z]+|[A-Z][a-z]*")
_MOST_ORDERS: Final = 12
_LEAST_VALUE: Final = 3
_LEAST_NUMBER: Final = 10
_GOOD_ENDS: Final = (
    ("stop", "tool_calls", "function_call"),
    ("end_turn", "tool_use", "stop_sequence"),
    ("completed",),
    ("STOP",),
    ("COMPLETE", "TOOL_CALL", "STOP_SEQUENCE"),
)
"""The regular reasons for which the models of one API end an answer; a run shows only some of them."""


def suggest_conduct(trace: Trace) -> list[dict[str, Any]]:
    """Return rules about the calls of a run."""
    reader = SpanReader()
    spans = [span for number, event in enumerate(trace.events(), 1) if (span := reader.feed(number, event))]
    tools = [span for span in spans if span.component == "tool" and span.name and not span.failed]
    return [
        *_suggest_ends(spans),
        *_suggest_shapes(tools),
        *_suggest_counts(tools),
        *_suggest_orders(tools),
        *_suggest_sources(tools, _written_texts(spans)),
    ]


def has_side_effect(name: str) -> bool:
    """Return whether the name of a tool says that it changes something."""
    words = [word.lower() for word in _WORD.findall(name)]
    reads = bool(words) and (words[0] in _READING or words[-1] in _FACTS)
    return not reads and not _WRITING.isdisjoint(words)


def _named(kind: str, name: str) -> str:
    """Return the name of a rule about a tool."""
    return f"{kind}-{re.sub(r'[^A-Za-z0-9_.-]', '-', name)}"[:100]


def _pattern(name: str) -> str:
    return f"tool:{name}" if re.fullmatch(r"[\w.-]+", name) else f'tool:"{name}"'


def _suggest_ends(spans: Sequence[SeenSpan]) -> Iterator[dict[str, Any]]:
    """Yield the reasons for which models, and agents or teams, may end."""
    ended = [lenient.mapping(span.end.get("outputs")) for span in spans if span.component == "llm"]
    reasons = dict.fromkeys(filter(None, (lenient.string(outputs.get("finish_reason")) for outputs in ended)))
    if reasons:
        allowed = list(reasons)
        for family in _GOOD_ENDS:
            if not set(family).isdisjoint(reasons):
                allowed += [reason for reason in family if reason not in allowed]
        yield {
            "name": "answers-end",
            "assert": f"outputs.finish_reason is null or outputs.finish_reason in {lenient.dump(allowed).decode()}",
            "on": "llm if not failed",
            "message": "An answer ended for another reason than in the first run",
        }
    agents = [lenient.mapping(span.end.get("outputs")) for span in spans if span.component == "agent"]
    stops = dict.fromkeys(filter(None, (lenient.string(outputs.get("stop_reason")) for outputs in agents)))
    if stops:
        yield {
            "name": "agents-end",
            "assert": f"outputs.stop_reason is null or outputs.stop_reason in {lenient.dump(list(stops)).decode()}",
            "on": "agent",
            "message": "An agent stopped for another reason than in the first run",
        }


def _suggest_shapes(tools: Sequence[SeenSpan]) -> Iterator[dict[str, Any]]:
    """Yield the shape of the results of each tool."""
    results: dict[str, list[Any]] = {}
    for span in tools:
        outputs = lenient.mapping(span.end.get("outputs"))
        if "result" in outputs:
            results.setdefault(span.name, []).append(outputs["result"])
    for name, values in sorted(results.items()):
        yield {"name": _named("results-of", name), "shape": _pattern(name), "of": describe_shape(values)}


def _suggest_counts(tools: Sequence[SeenSpan]) -> Iterator[dict[str, Any]]:
    """Yield how often each side effect may happen."""
    counts = Counter(span.name for span in tools if has_side_effect(span.name))
    for name, times in sorted(counts.items()):
        yield {"name": _named("at-most", name), "calls": _pattern(name), "at_most": times}


def _suggest_orders(tools: Sequence[SeenSpan]) -> Iterator[dict[str, Any]]:
    """Yield which side effect comes before another: those that never ran side by side."""
    first_end: dict[str, int] = {}
    first_begin: dict[str, int] = {}
    for span in tools:
        if has_side_effect(span.name):
            first_end.setdefault(span.name, span.end_number or 0)
            first_begin[span.name] = min(span.number, first_begin.get(span.name, span.number))
    ordered = sorted(first_begin, key=first_begin.__getitem__)
    pairs = [
        (early, late) for early, late in combinations(ordered, 2) if first_end[early] < first_begin[late]
    ]
    for early, late in pairs[:_MOST_ORDERS]:
        yield {
            "name": _named("order", f"{early}-{late}"),
            "forbid": _pattern(late),
            "before": _pattern(early),
        }


def _suggest_sources(tools: Sequence[SeenSpan], written: str) -> Iterator[dict[str, Any]]:
    """Yield the arguments that were values of an earlier result in each call of a tool.

    Args:
        tools: the calls of tools.
        written: all that the program and its user wrote to models.
    """
    results = EarlierResults()
    taken: dict[str, dict[str, bool]] = {}
    for span in tools:  # by their ends
        arguments = lenient.mapping(lenient.mapping(span.start.get("inputs")).get("arguments"))
        for name, value in arguments.items():
            found = _is_specific(value, written) and results.hold(value, span.number)
            of_tool = taken.setdefault(span.name, {})
            of_tool[name] = of_tool.get(name, True) and found
        results.add(span)
    for name, arguments in sorted(taken.items()):
        names = [argument for argument, found in arguments.items() if found]
        if names:
            yield {"name": _named("sources-of", name), "taken": _pattern(name), "arguments": names}


def _is_specific(value: Any, written: str) -> bool:
    """Return whether a value is so special that it can only be in an earlier result if it was taken from there."""
    leaves = list(iter_leaves(value))
    return bool(leaves) and all(
        (len(leaf) >= _LEAST_VALUE if isinstance(leaf, str) else abs(leaf) >= _LEAST_NUMBER or leaf % 1 != 0)
        and (leaf if isinstance(leaf, str) else f"{leaf:g}") not in written
        for leaf in leaves
    )


def _written_texts(spans: Sequence[SeenSpan]) -> str:
    """Return the texts of the system's and the user's messages."""
    texts: dict[str, None] = {}
    for span in spans:
        if span.component == "llm":
            for message in lenient.mappings(lenient.mapping(span.start.get("inputs")).get("messages")):
                if message.get("role") in ("system", "developer", "user"):
                    texts |= dict.fromkeys(
                        part["content"]
                        for part in lenient.mappings(message.get("parts"))
                        if part.get("type") == "text" and isinstance(part.get("content"), str)
                    )
    return "\n".join(texts)
