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
from collections import Counter
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from namel3ss_debug.analysis.contract import BaseFold, ColumnSpec, TableSpec
from namel3ss_debug.analysis.distributions import milliseconds
from namel3ss_debug.analysis.facts import add_up
from namel3ss_debug.analysis.findings import HALF, format_operation, make_finding
from namel3ss_debug.analysis.sections.calls import MOST_NUMBERS, checksum
from namel3ss_debug.analysis.totals import LISTED
from namel3ss_debug.traces.facts import total_tokens

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from namel3ss_debug.analysis.facts import Below, MeasuredSpan
    from namel3ss_debug.analysis.findings import Finding, Row, RunAmounts
    from namel3ss_debug.analysis.totals import Options, TraceTotals
    from namel3ss_debug.traces.events import Event


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
_MARK = "\0"
"""The prefix of the names of our sums. Other folds pass sums up the tree in the same dictionary."""
_NS, _TOKENS, _COMPLETED, _FAILED, _OPEN, _RETRIES, _WIDTH = range(7)
_HAND_OFF_TOOL = re.compile(r"(?:transfer|hand_?off|delegate)(?:_back)?_to_(?P<agent>\w+)\Z", re.IGNORECASE)
_NO_LETTERS = re.compile(r"[\W_]+")
_SENDERS = ("from", "sender", "source", "from_agent", "source_agent")
_RECEIVERS = ("to", "receiver", "recipient", "target", "to_agent", "target_agent")
_TEXTS = ("text", "content", "message", "body")
_HAND_OFFS = frozenset({"handoff", "hand_off", "hand-off", "transfer"})

_number = attrgetter("number")


class _Message(NamedTuple):
    """One message to one receiver; the text is a checksum, the receiver empty where it is not known."""

    number: int
    sender: str
    receiver: str
    text: int
    hand_off: bool


class Interactions(BaseFold):
    """Sums for each pair of caller and called, passed up the tree; the messages; when each agent last began."""

    events: frozenset[str] = frozenset({"agent_message"})

    def __init__(self, _options: Options) -> None:
        self._operations: dict[tuple[str, str], tuple[str, list[int]]] = {}
        self._by_agent: dict[tuple[str, str], list[int]] = {}
        self._began: dict[str, int] = {}
        self._messages: list[_Message] = []
        self._first_left_out = float("inf")
        self._message_count = 0

    def span(self, span: MeasuredSpan) -> None:
        """Add a span to the sums of its caller, and pass on the sums of the spans inside it."""
        component, below, above = span.component, span.below, span.above
        outcome = _FAILED if span.failed else _COMPLETED if span.end_number else _OPEN
        tokens = 0
        if component == "agent":
            if span.start.get("event_type") == "agent_turn_start":
                if below is not None:
                    _pass_to_parent(below, above)
                return
            name = span.name
            if span.number > self._began.get(name, 0):
                self._began[name] = span.number
            if below is not None:
                tokens = self._add_calls_of(name, below)
            tokens = total_tokens(span.end) or tokens
        else:
            if below is not None:
                _pass_to_parent(below, above)
            if component in _PASSED_THROUGH:
                return
            if "tokens_used" in span.end or "usage" in span.end:
                tokens = total_tokens(span.end)
        key, total = self._operations.get((component, span.name)) or self._new_operation(component, span.name)
        rows = [total]
        if above is not None:
            row = above.sums.get(key)
            if row is None:
                row = above.sums[key] = [0] * _WIDTH
            rows.append(row)
        duration_ns = span.duration_ns or 0
        for row in rows:
            row[_NS] += duration_ns
            row[outcome] += 1
            if tokens:
                row[_TOKENS] += tokens
            if span.retried:
                row[_RETRIES] += 1

    open_span = span

    def _new_operation(self, component: str, name: str) -> tuple[str, list[int]]:
        """Add an operation, and return the name of its sums with the row of its totals."""
        key = f"{_MARK}{component}\0{name}"
        operation = self._operations[component, name] = (key, [0] * _WIDTH)
        return operation

    def _add_calls_of(self, agent: str, below: Below) -> int:
        """Add the calls of an agent, and return the tokens of the models and agents among them."""
        tokens = 0
        for key, row in below.sums.items():
            if key[0] == _MARK:
                known = self._by_agent.get((agent, key))
                if known is None:
                    self._by_agent[agent, key] = list(row)
                else:
                    add_up(known, row)
                if row[_TOKENS] and key.startswith(("\0llm\0", "\0agent\0")):
                    tokens += row[_TOKENS]
        return tokens

    def event(self, number: int, event: Event) -> None:
        """Keep a message between agents."""
        self._message_count += 1
        if number < self._first_left_out:
            self._messages += _parse_messages(number, event)
            if len(self._messages) > MOST_MESSAGES + MOST_MESSAGES // 4:
                self._keep_first()

    def _keep_first(self) -> None:
        """Drop the latest messages beyond `MOST_MESSAGES`."""
        self._messages.sort()
        if len(self._messages) > MOST_MESSAGES:
            self._first_left_out = self._messages[MOST_MESSAGES].number
            self._messages = [message for message in self._messages if message.number < self._first_left_out]

    def merge(self, later: Interactions) -> None:
        """Merge the fold of a later part of the trace into this one."""
        for (component, name), (_, row) in later._operations.items():
            add_up((self._operations.get((component, name)) or self._new_operation(component, name))[1], row)
        for pair, row in later._by_agent.items():
            add_up(self._by_agent.setdefault(pair, [0] * _WIDTH), row)
        for name, number in later._began.items():
            self._began[name] = max(number, self._began.get(name, 0))
        self._message_count += later._message_count
        self._messages += [message for message in later._messages if message.number < self._first_left_out]
        self._first_left_out = min(self._first_left_out, later._first_left_out)
        self._keep_first()

    def result(self, _totals: TraceTotals) -> dict[str, Any]:
        """Return the section."""
        self._keep_first()
        calls = [_call_to_json(caller, key, row) for (caller, key), row in self._by_agent.items()]
        calls += [
            _call_to_json(None, key, row)
            for key, row in self._calls_outside_agents().items()
            if any(row[_COMPLETED:_RETRIES])
        ]
        calls.sort(
            key=lambda call: (
                -(call["total_ms"] or 0),
                call["from"] or "",
                call["component"],
                call["component_name"] or "",
            )
        )
        recorded = self._recorded_hand_offs()
        return {
            "pairs": len(calls),
            "calls": calls[:LISTED],
            "hand_offs": [*recorded, *_inferred_hand_offs(calls, recorded)][:LISTED],
            "messages": self._messages_to_json(),
        }

    def _calls_outside_agents(self) -> dict[str, list[int]]:
        """Return the calls outside of any agent: all calls less those of agents."""
        outside = {key: list(row) for key, row in self._operations.values()}
        for (_, key), row in self._by_agent.items():
            add_up(outside[key], [-amount for amount in row])
        return outside

    def _recorded_hand_offs(self) -> list[dict[str, Any]]:
        """Return the recorded hand-offs by pair."""
        pairs = _group_by_pair([message for message in self._messages if message.hand_off])
        return [
            {
                **_pair_to_json(pair),
                "kind": "recorded",
                "count": len(messages),
                "numbers": [message.number for message in messages[:MOST_NUMBERS]],
            }
            for pair, messages in pairs.items()
        ]

    def _messages_to_json(self) -> dict[str, Any]:
        """Return the messages by pair: how many, how many are unanswered, how many are repeated."""
        pairs = _group_by_pair(self._messages)
        unanswered = self._find_unanswered()
        unanswered_by_pair = _group_by_pair(unanswered)
        same: dict[tuple[str, str, int], list[int]] = {}
        for message in self._messages:
            same.setdefault((message.sender, message.receiver, message.text), []).append(message.number)
        repeated = {key: numbers for key, numbers in same.items() if len(numbers) > 1}
        repeats: dict[tuple[str, str], int] = {}
        for (sender, receiver, _), numbers in repeated.items():
            repeats[sender, receiver] = repeats.get((sender, receiver), 0) + len(numbers) - 1
        looked_at = len({message.number for message in self._messages})
        return {
            "count": self._message_count,
            "left_out": self._message_count - looked_at,
            "pairs": [
                {
                    **_pair_to_json(pair),
                    "count": len(messages),
                    "unanswered": len(unanswered_by_pair.get(pair, ())),
                    "repeated": repeats.get(pair, 0),
                }
                for pair, messages in pairs.items()
            ][:LISTED],
            "unanswered": {
                "count": len(unanswered),
                "listed": [
                    {"number": message.number, **_pair_to_json((message.sender, message.receiver))}
                    for message in unanswered[:LISTED]
                ],
            },
            "repeated": {
                "count": len(repeated),
                "listed": [
                    {
                        **_pair_to_json((sender, receiver)),
                        "count": len(numbers),
                        "numbers": numbers[:MOST_NUMBERS],
                    }
                    for (sender, receiver, _), numbers in repeated.items()
                ][:LISTED],
            },
        }

    def _find_unanswered(self) -> list[_Message]:
        """Return the messages that wait for an answer. An answer itself waits for none."""
        waiting: dict[tuple[str, str], list[_Message]] = {}
        for message in self._messages:
            if message.receiver and message.receiver != message.sender:
                answer = waiting.pop((message.receiver, message.sender), None)
                if answer is None:
                    waiting.setdefault((message.sender, message.receiver), []).append(message)
        remaining = [message for messages in waiting.values() for message in messages]
        return sorted(
            message for message in remaining if self._began.get(message.receiver, 0) < message.number
        )


def _pass_to_parent(below: Below, above: Below | None) -> None:
    """Pass on the sums inside a span that is no agent. At the top they belong to the program."""
    if above is None:
        return
    for key, row in below.sums.items():
        if key[0] == _MARK:
            known = above.sums.get(key)
            if known is None:
                above.sums[key] = row
            else:
                add_up(known, row)


def _parse_messages(number: int, event: Event) -> Iterator[_Message]:
    """Yield the messages of an event: one for each receiver."""
    payloads = [
        payload
        for field in ("metadata", "inputs", "outputs")
        if isinstance(payload := event.get(field), dict)
    ]
    sender = _first_value(payloads, _SENDERS)
    receivers = _first_value(payloads, _RECEIVERS)
    text = _first_value(payloads, _TEXTS)
    metadata = event.get("metadata", {})
    kind = metadata.get("kind", metadata.get("type"))
    hand_off = bool(metadata.get("handoff")) or (isinstance(kind, str) and kind.lower() in _HAND_OFFS)
    if text is None:
        text = [event.get("inputs"), event.get("outputs")]
    text_sum = checksum(text)
    sender_name = sender if isinstance(sender, str) else event.get("component_name") or ""
    for receiver in receivers if isinstance(receivers, list) else [receivers]:
        yield _Message(number, sender_name, receiver if isinstance(receiver, str) else "", text_sum, hand_off)


def _first_value(payloads: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Any:
    return next((payload[name] for payload in payloads for name in names if name in payload), None)


def _group_by_pair(messages: Sequence[_Message]) -> dict[tuple[str, str], list[_Message]]:
    """Return the messages of each sender to each receiver, pairs with most messages first."""
    pairs: dict[tuple[str, str], list[_Message]] = {}
    for message in messages:
        pairs.setdefault((message.sender, message.receiver), []).append(message)
    return dict(sorted(pairs.items(), key=lambda item: (-len(item[1]), item[0])))


def _pair_to_json(pair: tuple[str, str]) -> dict[str, str | None]:
    sender, receiver = pair
    return {"from": sender or None, "to": receiver or None}


def _call_to_json(caller: str | None, key: str, row: Sequence[int]) -> dict[str, Any]:
    """Return the sums of a caller and an operation as a row."""
    _, component, name = key.split(_MARK, 2)
    return {
        "from": caller,
        "component": component,
        "component_name": name or None,
        "count": row[_COMPLETED] + row[_FAILED] + row[_OPEN],
        "completed": row[_COMPLETED],
        "failed": row[_FAILED],
        "open": row[_OPEN],
        "retries": row[_RETRIES],
        "total_ms": milliseconds(row[_NS]) if row[_COMPLETED] or row[_FAILED] else None,
        "tokens": row[_TOKENS],
    }


def _inferred_hand_offs(
    calls: Sequence[Mapping[str, Any]], recorded: Sequence[Mapping[str, Any]]
) -> Iterator[dict[str, Any]]:
    """Yield the calls of tools that hand over to another agent by their names, less the recorded hand-offs.

    A tool that names an agent takes its recorded hand-offs first; one for all agents takes the rest.
    """
    recorded_counts = Counter({(row["from"], _plain_name(row["to"])): row["count"] for row in recorded})
    hand_offs = [
        (call, match["agent"])
        for call in calls
        if call["component"] == "tool" and (match := _HAND_OFF_TOOL.match(call["component_name"] or ""))
    ]
    for call, agent in sorted(hand_offs, key=lambda hand_off: hand_off[1].lower() == "agent"):
        sender, remaining = call["from"], call["count"] - call["failed"]
        to = None if agent.lower() == "agent" else agent
        pairs = [
            pair
            for pair in recorded_counts
            if (pair[0] == sender and to is None) or pair == (sender, _plain_name(to))
        ]
        for pair in pairs:
            matched = min(remaining, recorded_counts[pair])
            recorded_counts[pair] -= matched
            remaining -= matched
        if remaining:
            yield {"from": sender, "to": to, "kind": "inferred", "count": remaining, "numbers": []}


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
