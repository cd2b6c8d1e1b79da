"""How each kind of saving is found, one after the other, so that none is counted twice.

They are found in this order; a call that counts for one kind is left out by those that follow:

- `failed_calls`: calls of models and tools that failed: their own time, their tokens, their cost.
- `work_after_failure`: calls in a span that failed, begun after the failure that it ended with: the first failed call
  inside with the same type and text. Only where it is certain which calls ran inside: where there are as many
  calls between its beginning and its end as its children have reported.
- `repeated_calls`: a call that began after an equal one had ended, was asked the same, and answered the same; for a
  model that is the tools, all messages and the parameters, for a tool its arguments. A tool with side effects must
  not be cached. A trace does not show whether a tool has any, but one that answered the same question differently in
  this run is left out, because a cache would have given the old answer. Values that were cut or redacted are equal to
  nothing.
- `resent_context`: a prompt that begins like one that was answered in the last `CACHED_SECONDS` and was not read from
  the provider's cache. It counts the input tokens of the common beginning, by its share of the bytes, less those that
  the cache did read, from `LEAST_PREFIX` tokens on. Its cost is the difference between the prices of an input token and
  a cached one; the time is not known.
- `slow_tools`: what a tool took of its own beyond `slow_ms`.
- `parallel`: what the section `dependencies` says could be saved by running spans at the same time, less the time that
  the kinds above have already counted after the beginning of that span.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import Counter
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple

from namel3ss_debug.analysis.distributions import NS_PER_MS, milliseconds
from namel3ss_debug.analysis.nesting import LONGEST_NS
from namel3ss_debug.analysis.resources.usage import Asked, dollars
from namel3ss_debug.analysis.totals import LISTED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from namel3ss_debug.analysis.nesting import MeasuredSpan
    from namel3ss_debug.analysis.savings.prompts import Prompt

LEAST_PREFIX = 1024
"""A provider's cache needs beginnings of at least so many tokens; shorter ones save nothing."""

CACHED_SECONDS = 300
"""How long providers keep cached data at least after it was last read."""

KINDS = {
    "failed_calls": "calls that failed",
    "work_after_failure": "calls after the failure that ended what they ran in",
    "repeated_calls": "the same question answered the same again; a cache would save it",
    "resent_context": "prompts that began as an earlier one and were not read from a cache",
    "slow_tools": "what tools took beyond the setting slow_ms",
    "parallel": "spans one after the other that need nothing of each other",
}
"""Kind of saving -> what it is, in the order in which calls are taken."""

MOST_NUMBERS = 20
_PROMPT = 7
"""How many numbers are kept of a prompt."""

_MOST_BESIDE = 1000
_MOST_LOOKED_AT = 2_000_000

Key = tuple[str, Asked]
"""Identifies the operation of a call: the component, and the model or tool."""


class FailedRun(NamedTuple):
    """A failed span with calls inside: its events, a key of its failure, and how many calls ran inside."""

    number: int
    end: int
    words: int
    calls: int


class Prompts:
    """The beginnings of the prompts of calls; see `prompts.Prompt`."""

    __slots__ = ("_facts", "beginnings", "sizes")

    def __init__(self) -> None:
        self._facts = array("q")
        self.beginnings, self.sizes = array("q"), array("q")

    def add(self, span: MeasuredSpan, prompt: Prompt, given: int, cached: int) -> None:
        """Add the prompt of a call with `given` input tokens, of which `cached` were read from a cache."""
        at = span.end.get("timestamp")
        kept = prompt.beginnings
        when = -1 if at is None else int(at)
        self._facts.extend((span.number, span.end_number, given, cached, prompt.size, when, len(kept)))
        self.beginnings.extend(kept)
        self.sizes.extend(prompt.sizes)

    def merge(self, later: Prompts) -> None:
        """Add those of a later part."""
        self._facts.extend(later._facts)
        self.beginnings.extend(later.beginnings)
        self.sizes.extend(later.sizes)

    def resent(self) -> Iterator[tuple[int, int, int, int]]:
        """(number, before, tokens, at) of each prompt that begins like an earlier one and was not read from a cache.

        `before` is an earlier call with that beginning that had ended; `at` is when the call ended, in seconds since
        the epoch.
        """
        facts, keys = self._facts, self.beginnings
        begins = [0, *accumulate(facts[_PROMPT - 1 :: _PROMPT])]
        opening = Counter(keys[begin] for begin in begins[:-1])
        places = [place for place, begin in enumerate(begins[:-1]) if opening[keys[begin]] > 1]
        places.sort(key=facts[::_PROMPT].__getitem__)
        ended: dict[int, tuple[int, int, int]] = {}
        running: dict[int, tuple[int, int, int]] = {}
        for place in places:
            number, end, given, cached, size, at = facts[_PROMPT * place : _PROMPT * (place + 1) - 1]
            shared, source = 0, 0
            for nth in range(begins[place], begins[place + 1]):
                key = keys[nth]
                first = running.get(key)
                if first is not None and first[0] < number:
                    ended[key] = running.pop(key)
                earlier = ended.get(key)
                if earlier is not None and at - earlier[2] <= CACHED_SECONDS:
                    shared, source = self.sizes[nth], earlier[1]
                running[key] = min(running.get(key, (end, number, at)), (end, number, at))
            prefix = given * shared // size
            if prefix >= LEAST_PREFIX and prefix > cached:
                yield number, source, prefix - cached, at


class Call(NamedTuple):
    """One call of a model or a tool.

    `question` and `answer` are below zero where they are not known or do not count; `cost` where it is not known.
    """

    number: int
    end: int
    lasted_ns: int
    own_ns: int
    tokens: int
    cost: int
    question: int
    answer: int


_WIDTH = len(Call._fields)
_QUESTION = Call._fields.index("question")
_OWN = Call._fields.index("own_ns")


class Calls:
    """The calls of one model or tool, sixty-four bytes each, and keys of the failures among them."""

    __slots__ = ("_facts", "failed", "prompts")

    def __init__(self) -> None:
        self._facts = array("q")
        self.failed: dict[int, int] = {}
        self.prompts = Prompts()

    def take(self, span: MeasuredSpan, tokens: int, cost: int, question: int, answer: int) -> None:
        """Take a call."""
        lasted = span.duration_ns or 0
        if tokens > LONGEST_NS or cost > LONGEST_NS:  # which no call has, but they must fit
            tokens, cost = min(tokens, LONGEST_NS), min(cost, LONGEST_NS)
        self._facts.extend(
            (span.number, span.end_number, lasted, span.self_ns, tokens, cost, question, answer)
        )

    def merge(self, later: Calls) -> None:
        """Add those of a later part."""
        self._facts.extend(later._facts)
        self.failed.update(later.failed)
        self.prompts.merge(later.prompts)

    def __getitem__(self, place: int) -> Call:
        return Call._make(self._facts[place * _WIDTH : (place + 1) * _WIDTH])

    def numbers(self) -> array[int]:
        """Return the numbers of all of them."""
        return self._facts[::_WIDTH]

    def asked_again(self) -> list[Call]:
        """Return the calls whose question was asked more than once, in order."""
        questions = self._facts[_QUESTION::_WIDTH]
        times = Counter(questions)
        return sorted(
            self[place] for place, question in enumerate(questions) if question >= 0 and times[question] > 1
        )

    def longer(self, ns: int) -> list[Call]:
        """Return the calls whose own time was longer, in order."""
        return sorted(self[place] for place, own in enumerate(self._facts[_OWN::_WIDTH]) if own > ns)


class _Saving:
    """One entry of the list: its calls, and how much they would save."""

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
        return {
            "ms": milliseconds(self.ns),
            "tokens": self.tokens,
            "cost": dollars(self.cost) if self.priced else None,
        }


class Savings:
    """Finds the savings of one run; each method takes calls that those before it have left.

    Args:
        calls: by component and name.
        slow_ns: the time a tool may take.
    """

    def __init__(self, calls: Mapping[Key, Calls], slow_ns: int) -> None:
        self._calls = dict(sorted(calls.items(), key=lambda item: repr(item[0])))
        self._slow_ns = slow_ns
        self._taken: set[int] = set()
        self._timed: list[tuple[int, int]] = []
        self._found: dict[tuple[str, str, str, int], _Saving] = {}
        self._groups: dict[int, list[list[int]]] = {}
        self._undecided = 0
        self._reason: str | None = None

    def _take(
        self, kind: str, key: Key, call: Call, ns: int, group: tuple[int, int | None] = (0, None)
    ) -> None:
        self._taken.add(call.number)
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
        saving = self._found.setdefault((kind, key[0], key[1].name, group[0]), _Saving(group[1]))
        saving.add(number, ns, tokens, cost)
        if ns:
            self._timed.append((number, ns))

    def after_failures(self, runs: list[FailedRun]) -> None:
        """Find calls that failed, and those after the failure with which the span around them ended."""
        for key, calls in self._calls.items():
            if calls.failed:
                for place, number in enumerate(calls.numbers()):
                    if number in calls.failed:
                        self._take("failed_calls", key, calls[place], calls[place].own_ns)
        if not runs or not self._taken:
            return
        groups = list(self._calls.items())
        order = sorted(
            (number, which, place)
            for which, (_, calls) in enumerate(groups)
            for place, number in enumerate(calls.numbers())
        )
        room = _MOST_LOOKED_AT
        for run in runs:
            begin, end = bisect_left(order, (run.number + 1,)), bisect_left(order, (run.end,))
            room -= end - begin
            if end - begin > run.calls + _MOST_BESIDE or room < 0:
                self._undecided += 1
                continue
            inside = [
                (groups[which], call)
                for _, which, place in order[begin:end]
                if (call := groups[which][1][place]).end < run.end
            ]
            if len(inside) == run.calls:
                self._after_failure(run, inside)
            else:
                self._undecided += 1

    def _after_failure(self, run: FailedRun, inside: list[tuple[tuple[Key, Calls], Call]]) -> None:
        failed = (call.end for (_, calls), call in inside if calls.failed.get(call.number) == run.words)
        since = next(failed, run.end)
        for (key, _), call in inside:
            if call.number > since and call.number not in self._taken:
                self._take("work_after_failure", key, call, call.own_ns, (run.number, run.number))

    def repeated(self) -> None:
        """Find calls that an earlier one had answered already."""
        for key, calls in self._calls.items():
            known: dict[tuple[int, int], Call] = {}
            again = calls.asked_again()
            answers = Counter(question for question, _ in {(call.question, call.answer) for call in again})
            for call in again:
                if key[0] == "tool" and answers[call.question] > 1:
                    continue
                if call.answer >= 0 and call.number not in self._taken:
                    first = known.setdefault((call.question, call.answer), call)
                    if call.number > first.end:
                        group = (first.number, first.number)
                        self._take("repeated_calls", key, call, call.lasted_ns, group)

    def resent(self) -> None:
        """Find prompts that began like an earlier one, and were paid for in full."""
        for key, calls in self._calls.items():
            for number, before, tokens, at in calls.prompts.resent():
                if number not in self._taken:
                    cost = _cheaper(key[1], tokens, at)
                    self._add("resent_context", key, (0, before), number, 0, tokens, cost)

    def slow_tools(self) -> None:
        """Find the time of tools beyond `slow_ns`."""
        for key, calls in self._calls.items():
            if key[0] != "tool":
                continue
            for call in calls.longer(self._slow_ns):
                if call.number not in self._taken:
                    self._add("slow_tools", key, (0, None), call.number, call.own_ns - self._slow_ns)

    def parallel(self, told: Mapping[str, Any]) -> None:
        """Find spans that could have run at the same time, less the time counted already."""
        self._reason = told.get("reason")
        counted = sorted(self._timed)
        for chance in sorted(told.get("chances") or (), key=lambda chance: -(chance["number"] or 0)):
            begin = chance["number"] or 0
            saves = round((chance["saves_ms"] or 0) * NS_PER_MS)
            while counted and counted[-1][0] > begin and saves > 0:
                number, ns = counted.pop()
                if ns > saves:
                    counted.append((number, ns - saves))
                saves -= min(ns, saves)
            if saves > 0:
                key = (chance["component"] or "", Asked(chance["component_name"] or ""))
                self._found[("parallel", key[0], key[1].name, begin)] = saving = _Saving()
                saving.add(begin, saves)
                self._groups[begin] = chance["groups"]

    def result(self) -> dict[str, Any]:
        """Return the section."""
        rows = sorted(
            self._found.items(), key=lambda item: (-item[1].cost, -item[1].ns, -item[1].tokens, item[0])
        )
        total = _Saving()
        kinds = []
        for kind, what in KINDS.items():
            sums = _Saving()
            for (of, *_), saving in rows:
                if of == kind:
                    _sum_up(sums, saving)
            _sum_up(total, sums)
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
            "listed": [self._row(*key, saving) for key, saving in rows[:LISTED]],
            "listed_of": len(rows),
            "undecided_runs": self._undecided,
        }

    def _row(self, kind: str, component: str, name: str, begin: int, saving: _Saving) -> dict[str, Any]:
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


def _sum_up(into: _Saving, saving: _Saving) -> None:
    into.count += saving.count
    into.ns += saving.ns
    into.tokens += saving.tokens
    into.cost += saving.cost
    into.priced += saving.priced


def _cheaper(asked: Asked, tokens: int, at: int) -> int:
    """By how much tokens are cheaper when read from a cache; below zero where a price is not known."""
    price = asked.price(at if at >= 0 else None)
    usage = {"input_tokens": tokens, "output_tokens": 0}
    full = None if price is None else price.cost(usage)
    cached = None if price is None else price.cost(usage | {"cache_read_tokens": tokens})
    return -1 if full is None or cached is None else max(full - cached, 0)
