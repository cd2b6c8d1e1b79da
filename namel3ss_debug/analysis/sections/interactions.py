"""Find who called whom, how often and with what result; and the messages between agents.

The section, `from` null for what the program did outside of any agent, `total_ms` null where no call ended:

    {"pairs": 1,
     "calls": [{"from": "Planner", "component": "tool", "component_name": "search", "count": 12, "completed": 9,
                "failed": 2, "open": 1, "retries": 1, "total_ms": 840.0, "tokens": 0}],
     "hand_offs": [{"from": "Triage", "to": "Refunds", "kind": "recorded", "count": 1, "numbers": [31]}],
     "messages": {"count": 4, "left_out": 0,
                  "pairs": [{"from": "A", "to": "B", "count": 3, "unanswered": 1, "repeated": 1}],
                  "unanswered": {"count": 1, "listed": [{"number": 40, "from": "A", "to": "B"}]},
                  "repeated": {"count": 1, "listed": [{"from": "A", "to": "B", "count": 2, "numbers": [12, 40]}]}}}

A call belongs to the nearest agent around it that was still running when it ended, and otherwise to the program. The
turns of an agent are its own. Steps, chains, prompts and validations are passed through: a model call in a chain
belongs to the agent around the chain. What runs in a tool belongs to the agent that called the tool. The tokens of an
agent are the recorded ones, else those of the models and agents it called.

A hand-off is an `agent_message` that is marked as one (`recorded`), or a tool whose name is that of a hand-off, such as
`transfer_to_refunds` (`inferred`), and that did not fail. Tools of google-adk record both for one hand-off, so for each
recorded hand-off of an agent one of its calls is not counted: one to the same agent where the tool names one.

A message is unanswered where its receiver sent none back to its sender later on, and no work of the receiver began
after it. The message back is the answer, and waits for none itself. A message is repeated where the same text had gone
from the same sender to the same receiver. The first `MOST_MESSAGES` messages are looked at.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

from namel3ss_debug.analysis.contract import ColumnSpec, TableSpec
from namel3ss_debug.analysis.distributions import milliseconds
from namel3ss_debug.analysis.findings import HALF, format_operation, make_finding
from namel3ss_debug.analysis.sections.calls import MOST_NUMBERS, checksum
from namel3ss_debug.analysis.totals import LISTED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from namel3ss_debug.analysis.findings import Finding, Row, RunAmounts
    from namel3ss_debug.analysis.totals import Options
    from namel3ss_debug.traces.events import Event
    from namel3ss_debug.traces.span_table import SpanTable


_FEW = 10


def _lacking(section: Mapping[str, Any]) -> list[Row]:
    """Return the messages that had no answer, and those that were sent again."""
    messages = section.get("messages") or {}
    unanswered, repeated = (messages.get(key, {}).get("listed", ()) for key in ("unanswered", "repeated"))
    return [
        *({**row, "what": "no answer", "numbers": [row["number"]]} for row in unanswered[:_FEW]),
        *({**row, "what": f"the same text {row['count']:,} times"} for row in repeated[:_FEW]),
    ]


def _hand_offs(section: Mapping[str, Any]) -> list[Row]:
    known = {"recorded": "a message", "inferred": "the tool's name"}
    return [{**row, "known": known.get(row["kind"])} for row in section.get("hand_offs") or ()]


_ENDS = (ColumnSpec("from", "from", "agent"), ColumnSpec("to", "to", "agent"))
_EVENTS = ColumnSpec("events", "numbers", "numbers")
COLUMNS = (
    TableSpec(
        "Messages without an answer, or sent again",
        "messages.lacking",
        (*_ENDS, ColumnSpec("what", "what", "prose"), _EVENTS),
        rows=_lacking,
        most=2 * _FEW,
        alarming=True,
    ),
    TableSpec(
        "Interactions",
        "calls",
        (
            ColumnSpec("from", "from", "caller", 10),
            ColumnSpec("called", "", "operation", 14),
            ColumnSpec("calls", "count", "count"),
            ColumnSpec("failed", "failed", "failed"),
            ColumnSpec("open", "open", "open"),
            ColumnSpec("total ms", "total_ms", "ms"),
            ColumnSpec("tokens", "tokens", "amount"),
        ),
        total="pairs",
    ),
    TableSpec(
        "Hand-offs",
        "hand_offs",
        (*_ENDS, ColumnSpec("times", "count", "count"), ColumnSpec("known by", "known", "prose", 8), _EVENTS),
        rows=_hand_offs,
    ),
    TableSpec(
        "Messages",
        "messages.pairs",
        (
            *_ENDS,
            ColumnSpec("messages", "count", "count"),
            ColumnSpec("unanswered", "unanswered", "failed"),
            ColumnSpec("repeated", "repeated", "failed"),
        ),
    ),
)

MOST_MESSAGES = 20_000

_PASSED_THROUGH = frozenset({"app", "chain", "prompt", "validation", "log"})
_HAND_OFF_TOOL = re.compile(r"(?:transfer|hand_?off|delegate)(?:_back)?_to_(?P<agent>\w+)\Z", re.IGNORECASE)
_NO_LETTERS = re.compile(r"[\W_]+")
_SENDERS = ("from", "sender", "source", "from_agent", "source_agent")
_RECEIVERS = ("to", "receiver", "recipient", "target", "to_agent", "target_agent")
_TEXTS = ("text", "content", "message", "body")
_HAND_OFFS = frozenset({"handoff", "hand_off", "hand-off", "transfer"})

Pair = tuple[str, str]


class _Message(NamedTuple):
    """One message to one receiver, which is empty where it is not known; the text is a checksum."""

    trace: int
    number: int
    sender: str
    receiver: str
    text: int
    hand_off: bool

    @property
    def pair(self) -> Pair:
        """Return who sent it to whom."""
        return self.sender, self.receiver


def interactions(spans: SpanTable, _options: Options) -> dict[str, Any]:
    """Return the calls by caller and called, the hand-offs, and the messages by sender and receiver."""
    calls = _calls(spans)
    events = spans.points["agent_message"]
    messages = [message for event in events for message in _parse_messages(*event)][:MOST_MESSAGES]
    recorded = [
        {
            **spans.path(sent[0].trace),
            **_pair_to_json(pair),
            "kind": "recorded",
            "count": len(sent),
            "numbers": _numbers(sent),
        }
        for pair, sent in _by_pair(message for message in messages if message.hand_off).items()
    ]
    return {
        "pairs": len(calls),
        "calls": calls[:LISTED],
        "hand_offs": [*recorded, *_inferred_hand_offs(calls, recorded)][:LISTED],
        "messages": _messages_to_json(spans, messages, len(events)),
    }


def _calls(spans: SpanTable) -> list[dict[str, Any]]:
    """Return a row for each caller and operation, those with most time first."""
    inside: Counter[int] = Counter()
    groups: defaultdict[tuple[str | None, str, str], list[int]] = defaultdict(list)
    tokens: dict[int, int] = {}
    for row in reversed(range(len(spans))):  # so that the calls of an agent are known before the agent
        component, name = spans.operations[spans.operation[row]]
        if component in _PASSED_THROUGH or spans.turn[row]:
            continue
        agent = spans.agent[row]
        tokens[row] = spans.tokens[row] or (inside[row] if component == "agent" else 0)
        if agent >= 0 and component in {"llm", "agent"}:
            inside[agent] += tokens[row]
        caller = None if agent < 0 else spans.name(agent)
        groups[caller, component, name].append(row)
    calls: list[dict[str, Any]] = []
    for (caller, component, name), rows in groups.items():
        ended = [row for row in rows if spans.end[row]]
        failed = sum(spans.failed[row] for row in rows)
        calls.append(
            {
                "from": caller,
                "component": component,
                "component_name": name or None,
                "count": len(rows),
                "completed": len(ended) - failed,
                "failed": failed,
                "open": len(rows) - len(ended),
                "retries": sum(spans.retried[row] for row in rows),
                "total_ms": milliseconds(sum(max(spans.duration[row], 0) for row in ended))
                if ended
                else None,
                "tokens": sum(tokens[row] for row in rows),
            }
        )
    calls.sort(
        key=lambda call: (
            -(call["total_ms"] or 0),
            call["from"] or "",
            call["component"],
            call["component_name"] or "",
            call["from"] is None,
        )
    )
    return calls


def _messages_to_json(spans: SpanTable, messages: Sequence[_Message], count: int) -> dict[str, Any]:
    """Return the messages by pair: how many, how many are unanswered, how many are repeated."""
    unanswered = _find_unanswered(spans, messages)
    waiting = Counter(message.pair for message in unanswered)
    same: defaultdict[tuple[Pair, int, int], list[_Message]] = defaultdict(list)
    for message in messages:
        same[message.pair, message.text, message.trace].append(message)
    repeated = {key: sent for key, sent in same.items() if len(sent) > 1}
    repeats: Counter[Pair] = Counter()
    for (pair, *_), sent in repeated.items():
        repeats[pair] += len(sent) - 1
    return {
        "count": count,
        "left_out": count - len({(message.trace, message.number) for message in messages}),
        "pairs": [
            {
                **_pair_to_json(pair),
                "count": len(sent),
                "unanswered": waiting[pair],
                "repeated": repeats[pair],
            }
            for pair, sent in _by_pair(messages).items()
        ][:LISTED],
        "unanswered": {
            "count": len(unanswered),
            "listed": [
                {**spans.path(message.trace), "number": message.number, **_pair_to_json(message.pair)}
                for message in unanswered[:LISTED]
            ],
        },
        "repeated": {
            "count": len(repeated),
            "listed": [
                {
                    **spans.path(sent[0].trace),
                    **_pair_to_json(pair),
                    "count": len(sent),
                    "numbers": _numbers(sent),
                }
                for (pair, *_), sent in repeated.items()
            ][:LISTED],
        },
    }


def _find_unanswered(spans: SpanTable, messages: Iterable[_Message]) -> list[_Message]:
    """Return the messages that wait for an answer. An answer itself waits for none."""
    began: Counter[tuple[int, str]] = Counter()
    for row in spans.of("agent"):
        if not spans.turn[row]:
            began[spans.trace[row], spans.name(row)] = spans.number[row]
    waiting: defaultdict[tuple[int, Pair], list[_Message]] = defaultdict(list)
    for message in messages:
        if message.receiver and message.receiver != message.sender:
            answered = waiting.pop((message.trace, message.pair[::-1]), None)
            if answered is None:
                waiting[message.trace, message.pair].append(message)
    remaining = (message for sent in waiting.values() for message in sent)
    return sorted(message for message in remaining if began[message.trace, message.receiver] < message.number)


def _parse_messages(trace: int, number: int, event: Event) -> Iterator[_Message]:
    """Yield the messages of an event: one for each receiver."""
    payloads = [
        event[field] for field in ("metadata", "inputs", "outputs") if isinstance(event.get(field), dict)
    ]
    sender, receivers, text = (_first_value(payloads, names) for names in (_SENDERS, _RECEIVERS, _TEXTS))
    metadata = event.get("metadata", {})
    kind = metadata.get("kind", metadata.get("type"))
    hand_off = bool(metadata.get("handoff")) or (isinstance(kind, str) and kind.lower() in _HAND_OFFS)
    digest = checksum([event.get("inputs"), event.get("outputs")] if text is None else text)
    sender_name = sender if isinstance(sender, str) else event.get("component_name") or ""
    for receiver in receivers if isinstance(receivers, list) else [receivers]:
        yield _Message(
            trace, number, sender_name, receiver if isinstance(receiver, str) else "", digest, hand_off
        )


def _first_value(payloads: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Any:
    return next((payload[name] for payload in payloads for name in names if name in payload), None)


def _by_pair(messages: Iterable[_Message]) -> dict[Pair, list[_Message]]:
    """Return the messages of each sender to each receiver, pairs with most messages first."""
    pairs: defaultdict[Pair, list[_Message]] = defaultdict(list)
    for message in messages:
        pairs[message.pair].append(message)
    return dict(sorted(pairs.items(), key=lambda item: (-len(item[1]), item[0])))


def _numbers(messages: Sequence[_Message]) -> list[int]:
    """Return the numbers of the first messages, all of them in the trace of the first."""
    return [message.number for message in messages if message.trace == messages[0].trace][:MOST_NUMBERS]


def _pair_to_json(pair: Pair) -> dict[str, str | None]:
    return {"from": pair[0] or None, "to": pair[1] or None}


def _inferred_hand_offs(calls: Sequence[Row], recorded: Sequence[Row]) -> Iterator[Row]:
    """Yield the calls of tools that hand over to another agent by their names, less the recorded hand-offs.

    A tool that names an agent takes its recorded hand-offs first; one for all agents takes the rest.
    """
    left = Counter({(row["from"], _plain_name(row["to"])): row["count"] for row in recorded})
    matches = (
        (call, _HAND_OFF_TOOL.match(call["component_name"] or ""))
        for call in calls
        if call["component"] == "tool"
    )
    named = [(call, match["agent"]) for call, match in matches if match]
    for call, agent in sorted(named, key=lambda each: each[1].lower() == "agent"):
        to = None if agent.lower() == "agent" else agent
        remaining = call["count"] - call["failed"]
        for sender, receiver in list(left):
            if sender == call["from"] and (to is None or receiver == _plain_name(to)):
                matched = min(remaining, left[sender, receiver])
                left[sender, receiver] -= matched
                remaining -= matched
        if remaining:
            yield {"from": call["from"], "to": to, "kind": "inferred", "count": remaining, "numbers": []}


def _plain_name(agent: str | None) -> str:
    """Return the name of an agent without characters that the names of tools cannot have, in lower case."""
    return _NO_LETTERS.sub("", agent or "").casefold()


def has_calls(section: Row) -> bool:
    """Return whether agents called or messaged each other."""
    return bool(section["messages"]["count"] or any(row["component"] == "agent" for row in section["calls"]))


def find_findings(section: Row, _sections: Mapping[str, Any], _run: RunAmounts) -> Iterator[Finding]:
    """Yield messages without an answer, messages sent again, and agents that failed, by their shares."""
    messages = section["messages"]
    count, unanswered, repeated = messages["count"], messages["unanswered"], messages["repeated"]
    if unanswered["count"]:
        events = [row["number"] for row in unanswered["listed"]]
        evidence = f"{unanswered['count']:,} of {count:,} messages had no answer"
        yield make_finding("unanswered", "interactions", "interactions", HALF * unanswered["count"] / count, evidence, events, f"inspect --event {events[0]}")  # fmt: skip
    if repeated["count"]:
        events = [number for row in repeated["listed"] for number in row["numbers"]]
        evidence = f"the same message was sent again, {repeated['count']:,} times"
        yield make_finding("repeated_messages", "interactions", "interactions", 0.3 * min(repeated["count"] / count, 1.0), evidence, events, f"inspect --event {events[0]}")  # fmt: skip
    for row in section["calls"]:
        if row["component"] == "agent" and row["failed"]:
            evidence = f"{format_operation(row)} failed {row['failed']:,} of {row['count']:,} times"
            yield make_finding("agent_failed", "interactions", "interactions", 0.4 * row["failed"] / row["count"], evidence, (), "inspect --errors-only", row=row)  # fmt: skip
