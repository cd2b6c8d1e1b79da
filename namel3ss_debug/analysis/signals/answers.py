"""Signals in what a model wrote."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from itertools import chain, combinations, islice
from typing import Any

from namel3ss_debug.analysis.failures.steps import iter_leaves, normal, read_json
from namel3ss_debug.analysis.signals.proofs import Proof, quote
from namel3ss_debug.analysis.signals.run_calls import NUMBER, RunCalls, RunModelCall, RunToolCall, squeeze
from namel3ss_debug.wire import lenient

_LIMITS = frozenset({"length", "max_tokens", "max_output_tokens", "model_length", "incomplete"})
_FEW_TOKENS = 16
_END = 40
_LEAST_TEXT = 20

_ADMITS = re.compile(
    r"\b(?:no|not|none|nothing|never|cannot|unable|without|empty|unknown|unavailable|missing|sorry|apolog\w*|however|"
    r"unfortunately|fail\w*|zero|0|lack\w*|try|retry|again|instead|couldn|can|don|didn|doesn|isn|aren|wasn|weren|won|"
    r"unclear|unsure|assum\w*|neither|nor|clarify|please|fewer|too)\b|n't|n\u2019t|\?",
    re.IGNORECASE,
)
_ENGLISH = re.compile(r"\b(?:the|is|are|was|were|a|an|for|has|have|of|to|in|and)\b", re.IGNORECASE)
_PROMISE = re.compile(
    r"(?:^|[.!:\n]\s*|\b(?:so|now|next|first|then),?\s+)(?:(?:now|next|first|then|okay|ok|sure|great)[,.!]?\s+)?"
    r"(?:I\s*['\u2019]ll|I will|let me|I am going to|I['\u2019]m going to|I am now|I['\u2019]m now|I need to)\s+(?:now\s+|first\s+|also\s+|then\s+|quickly\s+)?"
    r"(?:call|search\w*|look\w*|check\w*|fetch\w*|query\w*|run\w*|book\w*|send\w*|creat\w*|updat\w*|cancel\w*|process\w*|issu\w*|retriev\w*|get|"
    r"find\w*|read\w*|open\w*|submit\w*|schedul\w*|order\w*|transfer\w*|refund\w*|place|placing|us(?:e|ing)|execut\w*|perform\w*|delet\w*|add\w*|proceed\w*|go ahead)\b[^.?!\n]{0,200}",
    re.IGNORECASE,
)
_OFFER = re.compile(r"\blet me know\b|\bif you\b|\bwould you\b|\bonce you\b|\bwhen you\b|\bafter you\b|\?|\bplease\b", re.IGNORECASE)  # fmt: skip
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_MONTHS = ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december")  # fmt: skip
_MONTH = rf"(?P<month>{'|'.join(f'{name[:3]}(?:{name[3:]})?' if name[3:] else name for name in _MONTHS)})\.?"
_DAY = rf"(?P<day>{'|'.join(_DAYS)})"
_WRITTEN = (
    rf"(?P<y>20\d\d)-(?P<m>\d\d)-(?P<d>\d\d)|{_MONTH} (?P<d2>\d{{1,2}})(?:st|nd|rd|th)?,? (?P<y2>20\d\d)"
    rf"|(?P<d3>\d{{1,2}})(?:st|nd|rd|th)? (?:of )?(?P<month3>{'|'.join(_MONTHS)}),? (?P<y3>20\d\d)"
)
_DAY_BEFORE = re.compile(rf"\b{_DAY}\b,? (?:the |the date |on )?\(?(?:{_WRITTEN})\b", re.IGNORECASE)
_DAY_AFTER = re.compile(rf"\b(?:{_WRITTEN}),? (?:\(|is a |was a |, a )(?:a )?{_DAY}\b", re.IGNORECASE)
_ISO = re.compile(r"(20\d\d)-(\d\d)-(\d\d)(?:[T ].*)?")
_EMPTY_PLACE = re.compile(
    r"(?:^|\n)[^\n\w]{0,4}((?:the |search |retrieved |relevant )?(?:context|documents?|sources?|results?|passages?|search results|excerpts?|knowledge|notes))\b"
    r"[^\n:]{0,20}:[ \t]*(?:\[\]|\{\}|none|null|\"\")?[ \t]*(?:\n\s*\n\s*|\n)(?=[^\n\w]{0,4}(?:user |the )?(?:question|query|task|answer|instructions?)\b[^\n:]{0,20}:)",
    re.IGNORECASE,
)
_EMPTY_FRAME = re.compile(
    r"(?:^|\n)[ \t]*([^\n]{0,60}\b(?:context|documents?|sources?|passages?|excerpts?)\b[^\n]{0,60})\n[ \t]*([-=#*]{3,})\s*\n[ \t]*\2[ \t]*(?:\n|$)",
    re.IGNORECASE,
)
"""An empty place between two lines, as in the prompts of LlamaIndex."""
_OBSERVED = re.compile(r"^\s*action\s*(?:input)?\s*:.+?^\s*(?:observation|final answer)\s*:\s*\S|(?:</code>|```)\s*\n\s*observations?\s*:[^\n]+", re.IGNORECASE | re.MULTILINE | re.DOTALL)  # fmt: skip
_FINAL = re.compile(r"(?:^|\n)\s*(?:final answer|observation|tool (?:result|output))\s*:[^\n]{2,}", re.IGNORECASE)  # fmt: skip
_WORD_IN_REASON = re.compile(r"['\"\u2018\u201c]([^'\"\u2019\u201d]{3,40})['\"\u2019\u201d]")
_CLAIMED = re.compile(r"(?<![\w.,/:-])[$€£]?\d[\d,]*(?:\.\d+)?(?![\w/:-]|\.\d|,\d)")
_MOST_SOURCES = 40
_FEW_SOURCES = 14


def find_cut_answers(run: RunCalls) -> Iterator[Proof]:
    """Yield answers that ended at a limit of tokens and were used nevertheless."""
    for calls in run.by_owner.values():
        for index, call in enumerate(calls):
            if call.finish.lower() not in _LIMITS or (call.limit or _FEW_TOKENS + 1) <= _FEW_TOKENS:
                continue
            text = call.text or str(next((each.get("arguments") for each in call.calls), ""))
            following = calls[index + 1] if index + 1 < len(calls) else None
            if following is not None and (
                following.messages[: len(call.messages)] == call.messages
                and (len(following.messages) == len(call.messages) or not call.calls)
                and len(following.messages) <= len(call.messages) + 2
            ):
                continue  # tried again, or asked to go on
            ids = {str(each.get("id")) for each in call.calls}
            used = next(
                (tool for tool in run.tools if tool.number > call.end_number and tool.call_id and tool.call_id in ids), None
            )  # fmt: skip
            tail = normal(text[-_END:])
            reader = None if used or len(text) < _LEAST_TEXT else next(
                (other for other in run.models if other.number > call.end_number
                 and any(tail in message.searched for message in other.messages)), None
            )  # fmt: skip
            by = used or reader
            after = f", and {'tool ' + used.name if used else 'a model'} used it" if by else ", and nothing asked for the rest"  # fmt: skip
            evidence = f"an answer was cut ({call.finish}){after}; it ends {quote(text[-_END:])}"
            events = (call.end_number, by.number) if by else (call.end_number,)
            yield Proof(evidence, events, f"inspect --event {call.end_number}")


def find_claims_after_nothing(run: RunCalls) -> Iterator[Proof]:
    """Yield answers that assert something although every search that they read had found nothing."""
    yield from _find_claims_without_context(run)
    for (owner, task), calls in run.by_owner.items():
        results = [
            tool for tool in run.tools
            if (tool.owner == owner and (owner >= 0 or not task or not tool.task or tool.task == task)) and not tool.failed
        ]  # fmt: skip
        if not any(tool.is_empty and tool.searches for tool in results):
            continue
        position, seen = 0, []
        for call in calls:
            while position < len(results) and results[position].end_number < call.number:
                seen.append(results[position])
                position += 1
            searches = [tool for tool in seen if tool.searches]
            if not searches or call.calls or len(call.text.split()) < 4:
                continue
            if all(tool.is_empty for tool in searches) and not any(_informs(tool) for tool in seen):
                last = searches[-1]
                if not _ADMITS.search(call.text) and _ENGLISH.search(call.text):
                    found = quote(str(last.arguments), 40)
                    evidence = (
                        f"{last.name} found nothing for {found}, and the answer asserts {quote(call.text)}"
                    )
                    yield Proof(evidence, (call.end_number, last.end_number), f"inspect --event {last.end_number}", ("tool", last.name))  # fmt: skip
                    break


def _find_claims_without_context(run: RunCalls) -> Iterator[Proof]:
    """Yield answers to prompts whose place for what was found is empty."""
    for call in run.models:
        last = call.messages[-1] if call.messages else None
        if last is None or last.role != "user" or call.calls or len(call.text.split()) < 4:
            continue
        empty = next((found for message in call.messages if message.role in {"user", "system"} and (found := _EMPTY_PLACE.search(message.texts) or _EMPTY_FRAME.search(message.texts))), None)  # fmt: skip
        if empty is not None and not _ADMITS.search(call.text) and _ENGLISH.search(call.text):
            evidence = (
                f"the prompt has nothing under {quote(empty[1])}, and the answer asserts {quote(call.text)}"
            )
            yield Proof(evidence, (call.end_number, call.number), f"inspect --event {call.number}")
            return


def _informs(tool: RunToolCall) -> bool:
    """Return whether a call returned something that an answer may rest on."""
    return tool.result is not None and not tool.is_empty and not tool.reports_error


def find_invented_claims(run: RunCalls) -> Iterator[Proof]:
    """Yield numbers in a last answer that nothing it had read gives, not even by computing."""
    informed: dict[int, int] = {}  # agent -> the end of the first call that returned something to it
    for tool in run.tools:
        if _informs(tool):
            informed[tool.owner] = min(informed.get(tool.owner, tool.end_number), tool.end_number)
    texts = ((tool.end_number, _list_numbers(tool.text[:20_000])) for tool in run.tools)
    returned = [(number, found) for number, found in texts if found]
    for (owner, _task), calls in run.by_owner.items():
        last = next((call for call in reversed(calls) if call.text and not call.calls), None)
        if last is None or last is not calls[-1] or last.continues or not last.messages:
            continue
        if informed.get(owner, last.number) >= last.number or len(last.text) > 3000:
            continue
        read = " ".join(message.text for message in last.messages) + " " + last.tools_text
        sources = _list_numbers(read)
        for end_number, found in returned:
            if len(sources) > _MOST_SOURCES:
                break
            if end_number < last.number:
                sources |= found
        numbers = sorted(sources)
        squeezed = squeeze(read)
        if len(numbers) > _MOST_SOURCES or not numbers:
            continue
        for match in _CLAIMED.finditer(last.text):
            value = _value_of(match[0].lstrip("$€£"))
            digits = re.sub(r"\D", "", match[0])
            if value is None or len(digits.strip("0")) < 3 or re.fullmatch(r"(?:19|20)\d\d", digits):
                continue
            if digits in squeezed or _derives(abs(value), numbers, match[0]):
                continue
            evidence = f"the answer has {match[0]}, which nothing that the run read or returned gives: {quote(last.text[max(match.start() - 30, 0) : match.end() + 20])}"  # fmt: skip
            yield Proof(evidence, (last.end_number, last.number), f"explain {last.end_number}")
            break


def _list_numbers(text: str) -> set[float]:
    """Return the numbers in a text, without their signs and without 0."""
    return {abs(value) for match in NUMBER.finditer(text) if (value := _value_of(match[0]))}


def _value_of(text: str) -> float | None:
    try:
        return float(text.replace(",", "").lstrip("$€£"))
    except ValueError:
        return None


def _derives(value: float, numbers: list[float], shown: str) -> bool:
    """Return whether a number is one of some others, or is computed from them, at the digits that it shows."""
    _, _, decimals = shown.partition(".")
    close = 0.5 * 10 ** -len(decimals) * 1.001 + 1e-9

    def is_near(other: float) -> bool:
        return any(abs(value - other * 10**power) <= close for power in (0, 1, 2, 3, -1, -2, -3, 6, -6))

    if any(map(is_near, numbers)) or is_near(sum(numbers)) or is_near(sum(numbers) / len(numbers)):
        return True
    made = [*_combined(numbers, numbers), *(number * factor for number in numbers for factor in (60, 24, 7, 12, 365, 3600, 1.8, 1 / 60, 1 / 12, 1 / 24, 1 / 7))]  # fmt: skip
    if any(map(is_near, made)):
        return True
    if len(numbers) <= 3 * _FEW_SOURCES and any(
        is_near(sum(group)) for size in (3, 4) for group in islice(combinations(numbers, size), 20_000)
    ):
        return True
    return len(numbers) <= _FEW_SOURCES and any(map(is_near, _combined(made, numbers)))


def _combined(some: list[float], others: list[float]) -> Iterator[float]:
    for one in some:
        for other in others:
            yield one + other
            yield abs(one - other)
            yield one * other
            yield one * (1 + other / 100)
            yield one * (1 - other / 100)
            if other:
                yield one / other
                yield (one - other) / other * 100


def find_wrong_weekdays(run: RunCalls) -> Iterator[Proof]:
    """Yield dates that are not the weekday named beside them, or asked for."""
    asked = {day for message in run.starts if message.role == "user" for day in _DAYS if re.search(rf"\b{day}\b", message.texts, re.IGNORECASE)}  # fmt: skip
    for call in run.models:
        arguments = " ".join(str(each.get("arguments")) for each in call.calls)
        for match in chain.from_iterable(pattern.finditer(f"{call.text}\n{arguments}") for pattern in (_DAY_BEFORE, _DAY_AFTER)):  # fmt: skip
            written = _date_of(match)
            if written is not None and _DAYS[written.weekday()] != match["day"].lower():
                if any(match[0] in message.texts for message in call.messages):
                    continue  # another wrote it
                evidence = f"{quote(match[0])}: that day is a {_DAYS[written.weekday()].capitalize()}"
                yield Proof(evidence, (call.end_number,), f"inspect --event {call.end_number}")
    if len(asked) != 1:
        return
    (day,) = asked
    for tool in run.tools:
        dates = [(leaf, found) for leaf in tool.leaves if isinstance(leaf.value, str) and (found := _ISO.fullmatch(leaf.value))]  # fmt: skip
        if len(dates) != 1:
            continue
        leaf, found = dates[0]
        written = _make_date(*map(int, found.groups()[:3]))
        writer = run.writer(tool)
        if written is None or writer is None or _DAYS[written.weekday()] == day:
            continue
        if writer.holds(squeeze(found[0])) or re.search("start|from|since|today|now", leaf.key):
            continue
        evidence = f"{leaf.key}={found[0]} is a {_DAYS[written.weekday()].capitalize()}, and the user asked for {day.capitalize()}"  # fmt: skip
        yield Proof(evidence, (tool.number, writer.end_number), f"explain {tool.number}", ("tool", tool.name))
        return


def _date_of(match: re.Match[str]) -> date | None:
    known = match.groupdict()
    month = known["month"] or known["month3"]
    number = int(known["m"]) if known["m"] else next(
        (index for index, name in enumerate(_MONTHS, 1) if name.startswith(str(month)[:3].lower())), 0
    )  # fmt: skip
    year, day = known["y"] or known["y2"] or known["y3"], known["d"] or known["d2"] or known["d3"]
    return _make_date(int(year), number, int(day))


def _make_date(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def find_announced_steps(run: RunCalls) -> Iterator[Proof]:
    """Yield last answers that promise an action with the tools that were offered, and call none."""
    for calls in run.by_owner.values():
        last = calls[-1]
        if not last.tools or last.calls or last.finish.lower() in _LIMITS:
            continue
        tail = last.text.strip()[-400:]
        promise = max(_PROMISE.finditer(tail), key=lambda match: match.start(), default=None)
        if promise is None or _OFFER.search(tail[promise.start() :]) or len(tail) - promise.end() > 80:
            continue
        evidence = f"the last answer promises {quote(promise[0].strip(' .!:'))} and calls no tool"
        yield Proof(evidence, (last.end_number,), f"inspect --event {last.end_number}")


def find_own_observations(run: RunCalls) -> Iterator[Proof]:
    """Yield answers that ask for an action, and also hold its observation or the final answer."""
    for call in run.models:
        found = _OBSERVED.search(call.text) or (_FINAL.search(call.text) if call.calls else None)
        if found is None:
            continue
        observed = _FINAL.search(call.text) or found
        evidence = f"one answer asks for an action and already holds its result: {quote(observed[0].strip())}"
        yield Proof(evidence, (call.end_number,), f"inspect --event {call.end_number}")


def find_stops_by_a_word(run: RunCalls) -> Iterator[Proof]:
    """Yield runs that ended early because a text mentioned the word that ends them."""
    for number, reason in run.stops:
        match = _WORD_IN_REASON.search(reason)
        before = [call for call in run.models if call.end_number < number]
        if match is None or len(before) > 2 or any(tool.end_number < number for tool in run.tools):
            continue
        word = match[1]
        writer = next((call for call in reversed(before) if word in call.text), None)
        if writer is not None and writer.text.rstrip(" .!*`").endswith(word):
            continue  # as it was asked to
        # A team of AutoGen may end by the task alone, before any request holds it.
        asked = [message.texts for message in run.starts if message.role == "user"]
        asked += [leaf.value for caller in run.callers.values() if caller.end_number <= number for leaf in iter_leaves(caller.inputs) if isinstance(leaf.value, str)]  # fmt: skip
        text = writer.text if writer else next((text for text in asked if word in text), "")
        if not text:
            continue
        at = text.find(word)
        who = "a model wrote" if writer else "the user's message has"
        evidence = f"stopped by {quote(word)} after {len(before)} {'answer' if len(before) == 1 else 'answers'} and no tool call: {who} {quote(text[max(at - 40, 0) : at + len(word) + 20])}"  # fmt: skip
        events = (number, writer.end_number) if writer else (number,)
        yield Proof(evidence, events, f"inspect --event {events[-1]}")
        return


def find_coerced_outputs(run: RunCalls) -> Iterator[Proof]:
    """Yield structured results that have other fields or values than the model's answer inside."""
    for caller in run.callers.values():
        if caller.failed or caller.component in {"tool", "app"}:
            continue
        result = _fields_of(caller.outputs)
        if result is None:
            continue
        last = run.last_inside(caller)
        written = _written_fields(last) if last else None
        if last is None or written is None or len(result.keys() & written.keys()) * 2 < min(len(result), len(written)):  # fmt: skip
            continue
        if not result.keys() & written.keys():
            continue
        changed = [
            f"{key}: {quote(str(written[key]), 30)} -> {quote(str(result[key]), 30)}"
            for key in written if key in result and _differs(written[key], result[key])
        ]  # fmt: skip
        dropped = [f"{key}={quote(str(value), 30)} was dropped" for key, value in written.items() if key not in result and value not in (None, "", [], {})]  # fmt: skip
        filled = [f"{key}={quote(str(value), 30)} was filled in" for key, value in result.items() if key not in written and value not in (None, "", [], {}, False)]  # fmt: skip
        if changed or dropped or filled:
            evidence = (
                f"the result is not what the model wrote: {', '.join((changed + dropped + filled)[:3])}"
            )
            yield Proof(evidence, (caller.end_number, last.end_number), f"inspect --event {last.end_number}", (caller.component, caller.name))  # fmt: skip
            return
    yield from _find_fields_without_place(run)


def _find_fields_without_place(run: RunCalls) -> Iterator[Proof]:
    """Yield last answers with fields that the schema they were asked to have does not know: what parses them drops these."""
    for calls in run.by_owner.values():
        last = calls[-1]
        known = lenient.mapping(last.form.get("properties"))
        written = _written_fields(last) if known and not last.calls else None
        if written is None or last.form.get("additionalProperties") not in (None, False):
            continue
        dropped = [f"{key}={quote(str(value), 30)}" for key, value in written.items() if key not in known and value not in (None, "", [], {})]  # fmt: skip
        lacking = [name for name in known if name not in written]
        if dropped and written.keys() & known.keys():
            evidence = f"the answer has fields that its schema does not have: {', '.join(dropped[:3])}"
            evidence += f"; it lacks {', '.join(lacking[:3])}" if lacking else ""
            yield Proof(evidence, (last.end_number, last.number), f"inspect --event {last.end_number}")
            return


def _fields_of(outputs: Any) -> dict[str, Any] | None:
    value = outputs
    for key in ("result", "output", "data", "final_output", "structured_response", "pydantic"):
        value = value.get(key, value) if isinstance(value, dict) and len(value) <= 3 else value
    value = read_json(value)
    if isinstance(value, dict) and isinstance(value.get("fields"), dict):
        value = value["fields"]
    if not isinstance(value, dict) or not value:
        return None
    fields = {key: each for key, each in value.items() if not key.startswith("$")}
    return fields if len(fields) >= 2 else None


def _written_fields(call: RunModelCall) -> dict[str, Any] | None:
    if len(call.calls) == 1:
        value = read_json(call.calls[0].get("arguments"))
    else:
        match = re.search(r"\{.*\}", call.text, re.DOTALL)
        value = lenient.load(match[0]) if match else None
    return value if isinstance(value, dict) and value else None


def _differs(written: Any, result: Any) -> bool:
    """Return whether a scalar became another value; a number in a text is the number."""
    if isinstance(written, dict | list) or isinstance(result, dict | list) or result is None:
        return False
    one, other = str(written).strip().lower(), str(result).strip().lower()
    if one == other or one in other or other.endswith(f".{one}"):
        return False
    first, second = _readings(one), _readings(other)
    if first and second:
        return first.isdisjoint(second)
    return bool(first) != bool(second) and bool(re.search(r"\d", one))


def _readings(text: str) -> set[float]:
    """Return the numbers that a text may be, with points or commas for thousands."""
    readings = set()
    if re.fullmatch(r"-?(?:\d+|\d{1,3}(?:,\d{3})+)(?:\.\d+)?", text):
        readings.add(float(text.replace(",", "")))
    if re.fullmatch(r"-?(?:\d+|\d{1,3}(?:\.\d{3})+)(?:,\d+)?", text):
        readings.add(float(text.replace(".", "").replace(",", ".")))
    return readings
