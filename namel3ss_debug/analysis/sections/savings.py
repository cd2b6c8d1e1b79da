"""Find each kind of saving, one after the other, so that none is counted twice.

The kinds are found in this order. A call that counts for one kind is left out by those that follow:

- `failed_calls`: calls of models and tools that failed: their self time, their tokens, their cost.
- `work_after_failure`: calls in a span that failed, begun after the failure that it ended with: the first failed call
  inside with the same type and text. A span counts only where it is certain which calls ran inside: where as many calls
  lie between its beginning and its end as its children have reported.
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
  time that the kinds above have already counted after the beginning of that span.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import Counter
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple

from namel3ss_debug.analysis.distributions import milliseconds
from namel3ss_debug.analysis.sections.usage import ModelKey, dollars
from namel3ss_debug.analysis.totals import LISTED
from namel3ss_debug.traces.facts import NS_PER_MS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from namel3ss_debug.analysis.sections.prompts import Prompt
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

_MOST_BESIDE = 1000
_MOST_LOOKED_AT = 2_000_000

Key = tuple[str, ModelKey]
"""Identifies the operation of a call: the component, and the model or tool."""


class FailedSpan(NamedTuple):
    """A failed span with calls inside: its events, a key of its failure, and how many calls ran inside."""

    number: int
    end: int
    failure_key: int
    calls: int


class PromptPrefixes:
    """The beginnings of the prompts of calls; see `prompts.Prompt`."""

    __slots__ = ("_facts", "beginnings", "sizes")

    def __init__(self) -> None:
        self._facts = array("q")
        self.beginnings, self.sizes = array("q"), array("q")

    def add(
        self, spans: SpanTable, row: int, end: Event, prompt: Prompt, input_tokens: int, cached: int
    ) -> None:
        """Add the prompt of a call with its input tokens, of which `cached` were read from a cache."""
        at = end.get("timestamp")
        kept = prompt.beginnings
        when = -1 if at is None else int(at)
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


class CountedCall(NamedTuple):
    """One call of a model or a tool.

    `request` and `answer` are below zero where they are not known or do not count, `cost` where it is not known.
    """

    number: int
    end: int
    duration_ns: int
    self_ns: int
    tokens: int
    cost: int
    request: int
    answer: int


_WIDTH = len(CountedCall._fields)
_REQUEST = CountedCall._fields.index("request")
_SELF = CountedCall._fields.index("self_ns")


class CountedCalls:
    """The calls of one model or tool, sixty-four bytes each, and keys of the failures among them."""

    __slots__ = ("_facts", "failed", "prompts")

    def __init__(self) -> None:
        self._facts = array("q")
        self.failed: dict[int, int] = {}
        self.prompts = PromptPrefixes()

    def add(self, spans: SpanTable, row: int, tokens: int, cost: int, request: int, answer: int) -> None:
        """Add a call."""
        duration, own = max(spans.duration[row], 0), spans.self_time[row]
        self._facts.extend((spans.number[row], spans.end[row], duration, own, tokens, cost, request, answer))

    def __getitem__(self, index: int) -> CountedCall:
        return CountedCall._make(self._facts[index * _WIDTH : (index + 1) * _WIDTH])

    def numbers(self) -> array[int]:
        """Return the numbers of all calls."""
        return self._facts[::_WIDTH]

    def repeated_requests(self) -> list[CountedCall]:
        """Return the calls whose request occurs more than once, in order."""
        requests = self._facts[_REQUEST::_WIDTH]
        times = Counter(requests)
        return sorted(
            self[index] for index, request in enumerate(requests) if request >= 0 and times[request] > 1
        )

    def longer_than(self, ns: int) -> list[CountedCall]:
        """Return the calls whose self time was longer, in order."""
        return sorted(self[index] for index, self_ns in enumerate(self._facts[_SELF::_WIDTH]) if self_ns > ns)


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
        calls: by component and name.
        slow_ns: the time a tool may take.
    """

    def __init__(self, calls: Mapping[Key, CountedCalls], slow_ns: int) -> None:
        self._calls = dict(sorted(calls.items(), key=lambda item: repr(item[0])))
        self._slow_ns = slow_ns
        self._counted: set[int] = set()
        self._timed: list[tuple[int, int]] = []
        self._savings: dict[tuple[str, str, str, int], _Saving] = {}
        self._groups: dict[int, list[list[int]]] = {}
        self._undecided = 0
        self._reason: str | None = None

    def _count_call(
        self, kind: str, key: Key, call: CountedCall, ns: int, group: tuple[int, int | None] = (0, None)
    ) -> None:
        """Count a call for a kind, so that later kinds leave it out."""
        self._counted.add(call.number)
        self._add(kind, key, group, call.number, ns, call.tokens, call.cost)

    def _add(
        self,
        kind: str,
        key: Key,
        group: tuple[int, int | None],
        number: int,
        ns: int,
        tokens: int = 0,
        cost: int = -1,
    ) -> None:
        """Add a call to the saving of its kind and operation."""
        saving = self._savings.setdefault((kind, key[0], key[1].name, group[0]), _Saving(group[1]))
        saving.add(number, ns, tokens, cost)
        if ns:
            self._timed.append((number, ns))

    def find_work_after_failures(self, runs: list[FailedSpan]) -> None:
        """Find calls that failed, and those after the failure with which the span around them ended."""
        for key, calls in self._calls.items():
            if calls.failed:
                for index, number in enumerate(calls.numbers()):
                    if number in calls.failed:
                        self._count_call("failed_calls", key, calls[index], calls[index].self_ns)
        if not runs or not self._counted:
            return
        groups = list(self._calls.items())
        order = sorted(
            (number, group_index, index)
            for group_index, (_, calls) in enumerate(groups)
            for index, number in enumerate(calls.numbers())
        )
        room = _MOST_LOOKED_AT
        for run in runs:
            begin, end = bisect_left(order, (run.number + 1,)), bisect_left(order, (run.end,))
            room -= end - begin
            # Concurrent spans lie between the two events as well; sorting out very many of them takes too long.
            if end - begin > run.calls + _MOST_BESIDE or room < 0:
                self._undecided += 1
                continue
            inside = [
                (groups[group_index], call)
                for _, group_index, index in order[begin:end]
                if (call := groups[group_index][1][index]).end < run.end
            ]
            # Other tasks may have made calls in the meantime. Only with equal numbers all of these calls ran inside the span.
            if len(inside) == run.calls:
                self._count_after_failure(run, inside)
            else:
                self._undecided += 1

    def _count_after_failure(
        self, run: FailedSpan, inside: list[tuple[tuple[Key, CountedCalls], CountedCall]]
    ) -> None:
        """Count the calls inside a failed span that began after the failure it ended with."""
        failed = (call.end for (_, calls), call in inside if calls.failed.get(call.number) == run.failure_key)
        since = next(failed, run.end)
        for (key, _), call in inside:
            if call.number > since and call.number not in self._counted:
                self._count_call("work_after_failure", key, call, call.self_ns, (run.number, run.number))

    def find_repeated(self) -> None:
        """Find calls that an earlier call had answered already."""
        for key, calls in self._calls.items():
            known: dict[tuple[int, int], CountedCall] = {}
            again = calls.repeated_requests()
            answers = Counter(request for request, _ in {(call.request, call.answer) for call in again})
            for call in again:
                if key[0] == "tool" and answers[call.request] > 1:
                    continue  # a cache would have returned an old answer
                if call.answer >= 0 and call.number not in self._counted:
                    first = known.setdefault((call.request, call.answer), call)
                    if call.number > first.end:
                        group = (first.number, first.number)
                        self._count_call("repeated_calls", key, call, call.duration_ns, group)

    def find_resent(self) -> None:
        """Find prompts that began like an earlier one, and were paid for in full."""
        for key, calls in self._calls.items():
            for number, before, tokens, at in calls.prompts.resent():
                if number not in self._counted:
                    cost = _cache_discount(key[1], tokens, at)
                    self._add("resent_context", key, (0, before), number, 0, tokens, cost)

    def find_slow_tools(self) -> None:
        """Find the time of tools beyond `slow_ns`."""
        for key, calls in self._calls.items():
            if key[0] != "tool":
                continue
            for call in calls.longer_than(self._slow_ns):
                if call.number not in self._counted:
                    self._add("slow_tools", key, (0, None), call.number, call.self_ns - self._slow_ns)

    def find_parallel(self, parallel: Mapping[str, Any]) -> None:
        """Find spans that could have run at the same time, less the time counted already.

        Args:
            parallel: the part of the section `dependencies`.
        """
        self._reason = parallel.get("reason")
        counted = sorted(self._timed)
        for chance in sorted(parallel.get("chances") or (), key=lambda chance: -(chance["number"] or 0)):
            begin = chance["number"] or 0
            saves = round((chance["saves_ms"] or 0) * NS_PER_MS)
            # Time that another kind has counted inside this span must not be saved twice.
            while counted and counted[-1][0] > begin and saves > 0:
                number, ns = counted.pop()
                if ns > saves:
                    counted.append((number, ns - saves))
                saves -= min(ns, saves)
            if saves > 0:
                key = (chance["component"] or "", ModelKey(chance["component_name"] or ""))
                self._savings[("parallel", key[0], key[1].name, begin)] = saving = _Saving()
                saving.add(begin, saves)
                self._groups[begin] = chance["groups"]

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
            "undecided_runs": self._undecided,
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
