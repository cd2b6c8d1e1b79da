"""Find each kind of saving, one after the other, so that none is counted twice.

The kinds are found in this order. A call that counts for one kind is left out by those that follow:

- `failed_calls`: calls of models and tools that failed: their self time, their tokens, their cost.
- `work_after_failure`: calls in a span that failed, begun after the failure that it ended with: the first failed call
  inside with the same type and text.
- `repeated_calls`: a call that began after an equal one had ended, with the same request and the same answer; the
  request of a model is the tools, all messages and the parameters, that of a tool its arguments. A tool with side
  effects must not be cached. A trace does not show whether a tool has any. A tool that answered the same request
  differently in this run is left out, because a cache would have returned the old answer. Values that were cut or
  redacted are equal to nothing.
- `resent_context`: a prompt that begins like one that was answered in the last `CACHED_SECONDS` and was not read from
  the provider's cache. It counts the input tokens of the common beginning, by its share of the bytes, less those that
  the cache did read, from `LEAST_PREFIX` tokens on. Its cost is the difference between the prices of an input token and
  a cached one; the time is not known.
- `slow_tools`: the self time of a tool beyond `slow_ms`.
- `parallel`: the time that the section `dependencies` finds could be saved by running spans at the same time, less the
  time that the kinds above have already counted inside that span.
"""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from namel3ss_debug.analysis.distributions import milliseconds
from namel3ss_debug.analysis.sections.prompts import answer_key, arguments_key, parse_prompt, value_key
from namel3ss_debug.analysis.sections.usage import ModelKey, dollars, model_key
from namel3ss_debug.analysis.totals import LISTED
from namel3ss_debug.traces.facts import NS_PER_MS, NS_PER_SECOND
from namel3ss_debug.traces.span_table import AT_TOP, SpanWatcher

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from namel3ss_debug.analysis.sections.prompts import Prompt
    from namel3ss_debug.analysis.totals import Options
    from namel3ss_debug.traces.events import Event
    from namel3ss_debug.traces.span_table import SpanTable

LEAST_PREFIX = 1024
"""A provider's cache needs beginnings of at least this many tokens; shorter ones save nothing."""

CACHED_SECONDS = 300
"""How long providers keep cached data at least after it was last read."""

KINDS = {
    "failed_calls": "calls that failed",
    "work_after_failure": "calls after the failure that ended their parent span",
    "repeated_calls": "repeated requests with the same answer; a cache would save them",
    "resent_context": "prompts that began as an earlier one and were not read from a cache",
    "slow_tools": "what tools took beyond the setting slow_ms",
    "parallel": "consecutive spans that do not need each other",
}
"""Kind of saving -> its description, in the order in which calls are counted."""

MOST_NUMBERS = 20
_PROMPT = 7
"""How many numbers are kept of a prompt."""

_MOST_LOOKED_AT = 2_000_000

CALLS = ("llm", "tool")
"""The components whose spans are calls."""


class PromptPrefixes:
    """The beginnings of the prompts of calls; see `prompts.Prompt`."""

    __slots__ = ("_facts", "beginnings", "sizes")

    def __init__(self) -> None:
        self._facts = array("q")
        self.beginnings, self.sizes = array("q"), array("q")

    def add(self, spans: SpanTable, row: int, prompt: Prompt) -> None:
        """Add the prompt of a call that ended."""
        kept, at = prompt.beginnings, spans.ended[row]
        when = at // NS_PER_SECOND if at >= 0 else -1
        input_tokens, cached = spans.input_tokens[row], spans.cache_read_tokens[row]
        self._facts.extend(
            (spans.number[row], spans.end[row], input_tokens, cached, prompt.size, when, len(kept))
        )
        self.beginnings.extend(kept)
        self.sizes.extend(prompt.sizes)

    def resent(self) -> Iterator[tuple[int, int, int, int]]:
        """Yield (number, before, tokens, at) of each prompt that begins like an earlier one and was not cached.

        `before` is an earlier call with that beginning that had ended; `at` is when the call ended, in seconds since
        the epoch.
        """
        facts, keys = self._facts, self.beginnings
        begins = [0, *accumulate(facts[_PROMPT - 1 :: _PROMPT])]
        opening = Counter(keys[begin] for begin in begins[:-1])
        indexes = [index for index, begin in enumerate(begins[:-1]) if opening[keys[begin]] > 1]
        indexes.sort(key=facts[::_PROMPT].__getitem__)
        ended: dict[int, tuple[int, int, int]] = {}
        running: dict[int, tuple[int, int, int]] = {}
        for index in indexes:
            number, end, input_tokens, cached, size, at = facts[_PROMPT * index : _PROMPT * (index + 1) - 1]
            shared, source = 0, 0
            for nth in range(begins[index], begins[index + 1]):
                key = keys[nth]
                # Of the calls with this beginning the one that ended first fills the cache; only calls that begin after
                # its end can read from there.
                first = running.get(key)
                if first is not None and first[0] < number:
                    ended[key] = running.pop(key)
                earlier = ended.get(key)
                if earlier is not None and at - earlier[2] <= CACHED_SECONDS:
                    shared, source = self.sizes[nth], earlier[1]
                running[key] = min(running.get(key, (end, number, at)), (end, number, at))
            prefix = input_tokens * shared // size
            if prefix >= LEAST_PREFIX and prefix > cached:
                yield number, source, prefix - cached, at


class CallKeys(SpanWatcher):
    """Keeps keys of the requests, the answers and the failures of calls, and the beginnings of prompts.

    Attributes:
        requests, answers: row -> a key, for calls that may answer another one; below zero where it is not known.
        failures: row -> a key of the type and text with which a span failed.
        prompts: by model.
    """

    def __init__(self, _options: Options) -> None:
        self._rows, self._requests, self._answers = array("i"), array("q"), array("q")
        self.failures: dict[int, int] = {}
        self.prompts: defaultdict[ModelKey, PromptPrefixes] = defaultdict(PromptPrefixes)

    def span(self, spans: SpanTable, row: int, start: Event, end: Event) -> None:
        """Take a call that ended, or another span that failed."""
        if spans.failed[row]:
            # equal where one span passes on the failure of another
            self.failures[row] = value_key([end.get("error_type"), end.get("error")])
        elif end and spans.component(row) in CALLS:
            prompt = parse_prompt(start) if spans.component(row) == "llm" else None
            request = arguments_key(start) if prompt is None else prompt.key
            if request >= 0 and not spans.retried[row]:
                for column, value in zip(
                    (self._rows, self._requests, self._answers), (row, request, answer_key(end)), strict=True
                ):
                    column.append(value)
            if prompt is not None and prompt.size and spans.input_tokens[row] >= LEAST_PREFIX:
                self.prompts[model_key(start, end)].add(spans, row, prompt)

    def repeated(self, leaves: Sequence[bool]) -> dict[int, tuple[int, int]]:
        """Return row -> request and answer of the calls whose request occurs more than once, in order."""
        calls = [
            call for call in zip(self._rows, self._requests, self._answers, strict=True) if leaves[call[0]]
        ]
        times = Counter(request for _, request, _ in calls)
        return {row: (request, answer) for row, request, answer in sorted(calls) if times[request] > 1}


class _Saving:
    """One row of the list: its calls, and how much they would save."""

    __slots__ = ("cost", "count", "first", "ns", "numbers", "priced", "tokens")

    def __init__(self, first: int | None = None) -> None:
        self.count = self.ns = self.tokens = self.cost = self.priced = 0
        self.numbers: list[int] = []
        self.first = first

    def add(self, number: int, ns: int = 0, tokens: int = 0, cost: int = -1) -> None:
        self.count += 1
        self.numbers.append(number)
        self.ns += ns
        self.tokens += tokens
        if cost >= 0:
            self.cost += cost
            self.priced += 1

    def saves(self) -> dict[str, Any]:
        """Return the sums as JSON."""
        return {
            "ms": milliseconds(self.ns),
            "tokens": self.tokens,
            "cost": dollars(self.cost) if self.priced else None,
        }


class Savings:
    """Finds the savings of one run. Each method counts calls that the methods before it have left.

    Args:
        spans: the table of spans, with `CONTEXT_FACTS`.
        keys: the keys of its calls.
        slow_ns: the time a tool may take.
    """

    def __init__(self, spans: SpanTable, keys: CallKeys, slow_ns: int) -> None:
        self._spans = spans
        self._keys = keys
        self._slow_ns = slow_ns
        inside = [0] * len(spans)
        for row in range(len(spans) - 1, -1, -1):
            if spans.end[row] and spans.around[row] >= 0:
                inside[spans.around[row]] += inside[row] + (spans.component(row) in CALLS)
        self._leaves = [not calls for calls in inside]
        self._counted: set[int] = set()
        self._timed: Counter[int] = Counter()
        self._savings: dict[tuple[str, str, str, int], _Saving] = {}
        self._groups: dict[int, list[list[int]]] = {}
        self._reason: str | None = None

    def _count_call(self, kind: str, row: int, ns: int, group: int | None = None) -> None:
        """Count a call for a kind, so that later kinds leave it out."""
        spans, number = self._spans, self._spans.number[row]
        self._counted.add(number)
        known = (
            self._leaves[row] or spans.component(row) == "llm"
        )  # a tool may hold the sums of the calls inside
        amounts = (spans.tokens[row], spans.cost[row]) if known else (0, -1)
        self._timed[row] += ns
        self._add(kind, spans.operations[spans.operation[row]], (group or 0, group), number, ns, *amounts)

    def _add(
        self,
        kind: str,
        operation: tuple[str, str],
        group: tuple[int, int | None],
        number: int,
        ns: int,
        tokens: int = 0,
        cost: int = -1,
    ) -> None:
        """Add a call to the saving of its kind and operation."""
        saving = self._savings.setdefault((kind, *operation, group[0]), _Saving(group[1]))
        saving.add(number, ns, tokens, cost)

    def find_work_after_failures(self) -> None:
        """Find calls that failed, and those after the failure with which the span around them ended."""
        spans = self._spans
        calls = [row for row in spans.of(*CALLS) if spans.end[row]]
        inside: defaultdict[int, list[int]] = defaultdict(list)
        looked_at = 0
        for row in calls:
            if spans.failed[row]:
                self._count_call("failed_calls", row, spans.self_time[row])
            around = spans.around[row]
            while around >= 0 and looked_at < _MOST_LOOKED_AT:
                looked_at += 1
                if spans.failed[around]:
                    inside[around].append(row)
                around = spans.around[around]
        for failed in sorted(inside):
            key, number = self._keys.failures[failed], spans.number[failed]
            ends = (spans.end[row] for row in inside[failed] if self._keys.failures.get(row) == key)
            since = next(ends, spans.end[failed])
            for row in inside[failed]:
                if spans.number[row] > since and spans.number[row] not in self._counted:
                    self._count_call("work_after_failure", row, spans.self_time[row], number)

    def find_repeated(self) -> None:
        """Find calls that an earlier call had answered already."""
        spans, again = self._spans, self._keys.repeated(self._leaves)
        known: dict[tuple[Any, int, int], int] = {}
        by_request: defaultdict[tuple[Any, int], set[int]] = defaultdict(set)
        for row, (request, answer) in again.items():
            by_request[self._operation(row), request].add(answer)
        for row, (request, answer) in again.items():
            operation = self._operation(row)
            if operation[0] == "tool" and len(by_request[operation, request]) > 1:
                continue  # a cache would have returned an old answer
            if answer >= 0 and spans.number[row] not in self._counted:
                first = known.setdefault((operation, request, answer), row)
                if spans.number[row] > spans.end[first]:
                    self._count_call("repeated_calls", row, max(spans.duration[row], 0), spans.number[first])

    def _operation(self, row: int) -> tuple[str, Any]:
        """Return the component with the name of a tool, or with all that identifies a model."""
        component, name = self._spans.operations[self._spans.operation[row]]
        return component, self._spans.facts["model"][row] if component == "llm" else name

    def find_resent(self) -> None:
        """Find prompts that began like an earlier one, and were paid for in full."""
        for model, prompts in sorted(self._keys.prompts.items(), key=lambda item: repr(item[0])):
            for number, before, tokens, at in prompts.resent():
                if number not in self._counted:
                    cost = _cache_discount(model, tokens, at)
                    self._add("resent_context", ("llm", model.name), (0, before), number, 0, tokens, cost)

    def find_slow_tools(self) -> None:
        """Find the time of tools beyond `slow_ns`."""
        spans = self._spans
        for row in spans.of("tool"):
            if spans.self_time[row] > self._slow_ns and spans.number[row] not in self._counted:
                operation, ns = spans.operations[spans.operation[row]], spans.self_time[row] - self._slow_ns
                self._timed[row] += ns
                self._add("slow_tools", operation, (0, None), spans.number[row], ns)

    def find_parallel(self, parallel: Mapping[str, Any]) -> None:
        """Find spans that could have run at the same time, less the time counted already.

        Args:
            parallel: the part of the section `dependencies`.
        """
        self._reason = parallel.get("reason")
        spans, chances = self._spans, {each["number"] or 0: each for each in parallel.get("chances") or ()}
        inside: Counter[int] = Counter()
        for row in range(len(spans) - 1, AT_TOP - 1, -1):  # the spans inside a row are done before it
            begin = spans.number[row] if row != AT_TOP else 0
            chance = chances.get(begin)
            if chance is not None:
                saves = round((chance["saves_ms"] or 0) * NS_PER_MS)
                # Time that another kind has counted inside this span must not be saved twice.
                counted = min(saves, inside[row])
                inside[row] -= counted
                if saves > counted:
                    key = ("parallel", chance["component"] or "", chance["component_name"] or "", begin)
                    self._savings[key] = saving = _Saving()
                    saving.add(begin, saves - counted)
                    self._groups[begin] = chance["groups"]
            if row != AT_TOP:
                inside[max(spans.parent[row], AT_TOP)] += inside[row] + self._timed[row]

    def result(self) -> dict[str, Any]:
        """Return the section."""
        rows = sorted(
            self._savings.items(), key=lambda item: (-item[1].cost, -item[1].ns, -item[1].tokens, item[0])
        )
        total = _Saving()
        kinds = []
        for kind, what in KINDS.items():
            sums = _Saving()
            for (of, *_), saving in rows:
                if of == kind:
                    _add_saving(sums, saving)
            _add_saving(total, sums)
            kinds.append(
                {
                    "kind": kind,
                    "what": what,
                    "count": sums.count,
                    "saves": sums.saves(),
                    "reason": self._reason if kind == "parallel" else None,
                }
            )
        return {
            "saves": total.saves(),
            "kinds": kinds,
            "listed": [self._saving_to_json(*key, saving) for key, saving in rows[:LISTED]],
            "listed_of": len(rows),
        }

    def _saving_to_json(
        self, kind: str, component: str, name: str, begin: int, saving: _Saving
    ) -> dict[str, Any]:
        """Return one row of the list."""
        return {
            "kind": kind,
            "component": component or None,
            "component_name": name or None,
            "count": saving.count,
            "numbers": sorted(saving.numbers)[:MOST_NUMBERS],
            "first_number": saving.first,
            "saves": saving.saves(),
            **({"groups": self._groups[begin]} if kind == "parallel" else {}),
        }


def _add_saving(into: _Saving, saving: _Saving) -> None:
    """Add the sums of one saving to those of another."""
    into.count += saving.count
    into.ns += saving.ns
    into.tokens += saving.tokens
    into.cost += saving.cost
    into.priced += saving.priced


def _cache_discount(model: ModelKey, tokens: int, at: int) -> int:
    """Return how much less tokens cost when read from a cache; below zero where a price is not known."""
    price = model.price(at if at >= 0 else None)
    usage = {"input_tokens": tokens, "output_tokens": 0}
    full = None if price is None else price.cost(usage)
    cached = None if price is None else price.cost(usage | {"cache_read_tokens": tokens})
    return -1 if full is None or cached is None else max(full - cached, 0)
