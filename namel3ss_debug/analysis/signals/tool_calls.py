"""Signals in the calls of tools: their arguments, their results, and their repetition."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from namel3ss_debug.analysis.failures.steps import Leaf, normal, read_json
from namel3ss_debug.analysis.signals.proofs import Proof, quote
from namel3ss_debug.analysis.signals.run_calls import MessageText, RunCalls, RunToolCall, squeeze
from namel3ss_debug.wire import lenient

_LEAST_CUT = 200
_HEAD = 60
_NEAR = 24
_AGAIN = 3

_CODE = re.compile(r"(?=[\w-]*\d{2})(?=[\w#-]*[A-Za-z#-])[A-Za-z#]{0,12}[-_#]?[A-Za-z0-9_-]*\d[\w-]*")
_EMAIL = re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]+")
_DATE = re.compile(r"20\d\d-\d\d-\d\d")
_NAMES_THING = re.compile(r"(?:^|_|\b)(?:id|ids|code|sku|number|no|ref|reference|key|account|ticket|order|booking|invoice|customer|user|flight|product|item|record|isbn|iban|tracking)s?$", re.IGNORECASE)  # fmt: skip
_MAKES = re.compile(r"^(?:create|new|add|register|generate|make|write|save|insert|open_ticket|log|note|store|remember|set|run|exec|eval|python|bash|shell|sql|final|submit|respond|answer|finish|think|plan)", re.IGNORECASE)  # fmt: skip
_READS = re.compile(r"^(?:get|list|search|find|read|fetch|look|query|check|status|poll|now|time|current|random|count|show|view|describe|is|has|weather|browse|select|retrieve|calc|think|wait|sleep)", re.IGNORECASE)  # fmt: skip
_WAITS = re.compile(r"wait|sleep|poll|status|progress|check|think|continue|next|scroll|press|click|key", re.IGNORECASE)  # fmt: skip

_UNITS: dict[str, dict[str, float]] = {
    "money": {
        "cents": 0.01, "cent": 0.01, "pence": 0.01, "minor": 0.01,
        "eur": 1, "euro": 1, "euros": 1, "usd": 1, "dollar": 1, "dollars": 1, "gbp": 1, "pounds": 1,
    },
    "time": {
        "ms": 0.001, "millis": 0.001, "milliseconds": 0.001, "us": 1e-6, "ns": 1e-9, "s": 1, "sec": 1, "secs": 1, "second": 1,
        "seconds": 1, "min": 60, "mins": 60, "minute": 60, "minutes": 60, "h": 3600, "hr": 3600, "hrs": 3600, "hour": 3600, "hours": 3600,
        "day": 86400, "days": 86400,
    },
    "length": {"mm": 0.001, "cm": 0.01, "m": 1, "meters": 1, "metres": 1, "km": 1000, "kilometers": 1000, "mi": 1609, "mile": 1609, "miles": 1609, "ft": 0.3, "feet": 0.3, "inch": 0.0254, "inches": 0.0254},
    "speed": {"kmh": 1, "kph": 1, "mph": 1.6, "knots": 1.85},
    "temperature": {"c": 1, "celsius": 1, "f": 2, "fahrenheit": 2, "k": 3, "kelvin": 3},
    "mass": {"mg": 1e-6, "g": 0.001, "gram": 0.001, "grams": 0.001, "kg": 1, "kilograms": 1, "lb": 0.45, "lbs": 0.45, "oz": 0.028, "ounces": 0.028},
    "volume": {"ml": 0.001, "l": 1, "liters": 1, "litres": 1, "gal": 3.8, "gallons": 3.8},
    "size": {"bytes": 1, "kb": 1e3, "mb": 1e6, "gb": 1e9, "kib": 1024, "mib": 1024**2, "gib": 1024**3},
}  # fmt: skip
"""Quantity -> the words of its units, with their size."""

_CURRENCIES = {
    "eur": "eur", "euro": "eur", "euros": "eur", "usd": "usd", "dollar": "usd", "dollars": "usd", "gbp": "gbp", "pounds": "gbp"
}  # fmt: skip
_UNIT_OF = {word: (quantity, size) for quantity, words in _UNITS.items() for word, size in words.items()}
_SHORT_UNITS = frozenset({"s", "h", "m", "c", "f", "k", "g", "l", "us", "min", "mi", "oz", "day", "minor", "second"})  # fmt: skip
"""Words that are a unit only at the end of a name of several words."""
_AFTER = re.compile(r"(?P<money>[$€£])?\s?(?P<number>-?\d[\d,]*(?:\.\d+)?)\s?(?P<degree>°)?\s?(?P<unit>[A-Za-z]+)?")  # fmt: skip
_MONEY = {"$": "usd", "€": "eur", "£": "gbp"}


def find_cut_results(run: RunCalls) -> Iterator[Proof]:
    """Yield results of which a model read only the beginning."""
    if not run.models:
        return
    # A message is new in the first request that holds it.
    new: list[tuple[int, MessageText]] = []
    seen: set[int] = set()
    for call in run.models:
        for message in call.messages:
            if id(message) not in seen:
                seen.add(id(message))
                new.append((call.number, message))
    sources = [
        (tool.end_number, ("tool", tool.name), text)
        for tool in run.tools
        if not tool.failed
        for text in _texts_of(tool)
    ]
    sources += [
        (call.end_number, ("", ""), call.text) for call in run.models if len(call.text) >= 2 * _LEAST_CUT
    ]
    begin = 0
    for end_number, subject, text in sorted(sources, key=lambda each: each[0]):
        while begin < len(new) and new[begin][0] < end_number:
            begin += 1
        whole = normal(text)
        head, tail = whole[:_HEAD].strip('"'), whole[-_HEAD:].strip('"}] ')
        if len(tail) < _HEAD // 3:
            continue
        found = next((each for each in new[begin : begin + _NEAR] if head in each[1].searched), None)
        if found is None or any(tail in message.searched for _, message in new[begin:]):
            continue
        number, message = found
        read = _count_common(whole, message.searched[message.searched.index(head) :])
        if read > 0.97 * len(whole):
            continue
        writer = f"{subject[1]} returned" if subject[1] else "another call had written"
        evidence = f"a model read {read:,} of {len(whole):,} characters that {writer}; missing to the end: {quote(text[-60:])}"
        yield Proof(evidence, (number, end_number), f"inspect --event {number}", subject)


def _texts_of(tool: RunToolCall) -> list[str]:
    """Return the long texts that a tool returned: its result, or those in it."""
    if isinstance(tool.result, str):
        texts = [tool.result]
    else:
        texts = [leaf.value for leaf in tool.returned if isinstance(leaf.value, str)]
        texts += [tool.text] if not any(len(text) >= _LEAST_CUT for text in texts) else []
    return [text for text in texts if len(text) >= _LEAST_CUT]


def _count_common(one: str, other: str) -> int:
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[:middle] == other[:middle] else (low, middle - 1)
    return low


def find_invented_codes(run: RunCalls) -> Iterator[Proof]:
    """Yield identifiers in arguments that the request of the model that wrote them holds in no form."""
    for tool in run.tools:
        writer = run.writer(tool)
        if writer is None or not writer.messages or writer.continues or _MAKES.match(tool.name):
            continue
        for leaf in tool.leaves:
            value = leaf.value
            if isinstance(value, bool) or not isinstance(value, int | str):
                continue
            text = str(value)
            if not _NAMES_THING.search(leaf.key) and not _EMAIL.fullmatch(text):
                continue
            is_code = (
                isinstance(value, str) and _CODE.fullmatch(text) is not None and re.search("[1-9]", text)
            )
            if len(text) < 4 or not (is_code or _EMAIL.fullmatch(text) or text.strip("0").isdigit()):
                continue
            if (
                text not in str(writer.calls)
                or writer.holds(squeeze(text))
                or _is_made_of(text, writer.messages)
            ):
                continue  # the program added it, or the model had read it
            evidence = f"{leaf.path}={text}, which the request of the model that wrote it holds in no form"
            yield Proof(evidence, (writer.end_number, tool.number), f"explain {tool.number}", ("tool", tool.name))  # fmt: skip
            break


def _is_made_of(text: str, messages: tuple[MessageText, ...]) -> bool:
    """Return whether all words and numbers of an identifier are in a request, as those of `2026-W12` may be."""
    pieces = [piece.lower() for piece in re.findall(r"[A-Za-z]{2,}|\d+", text)]
    return len(pieces) > 1 and all(
        any(
            re.search(rf"(?<!\w){re.escape(piece)}(?!\w)", message.text, re.IGNORECASE)
            for message in messages
        )
        for piece in pieces
    )


def find_work_done_twice(run: RunCalls) -> Iterator[Proof]:
    """Yield tools that did something twice with equal arguments, because another call failed in between."""
    before: dict[tuple[str, bytes], RunToolCall] = {}
    for tool in run.tools:
        if tool.failed or tool.reports_error or _READS.match(tool.name) or tool.searches:
            continue
        key = (tool.name, lenient.dump(read_json(tool.arguments), ordered=True))
        first = before.get(key)
        before.setdefault(key, tool)
        if first is None or not _is_receipt(first, tool):
            continue
        failure = next((number for number in run.failures if first.end_number < number < tool.number or (first.number > number and _ends_between(run, number, first, tool))), None)  # fmt: skip
        failure = failure or next((other.number for other in run.tools if first.end_number < other.number < tool.number and other.reports_error), None)  # fmt: skip
        if failure is None:
            continue
        evidence = f"{tool.name} succeeded twice with equal arguments: {quote(first.text, 50)} and, after event {failure} failed, {quote(tool.text, 50)}"  # fmt: skip
        yield Proof(evidence, (tool.end_number, first.end_number, failure), f"inspect --event {tool.number}", ("tool", tool.name))  # fmt: skip


def _ends_between(run: RunCalls, number: int, first: RunToolCall, second: RunToolCall) -> bool:
    """Return whether a failed span that began before the first call ended between both."""
    return any(caller.number == number and first.end_number < caller.end_number < second.number for caller in run.callers.values())  # fmt: skip


def _is_receipt(first: RunToolCall, second: RunToolCall) -> bool:
    """Return whether both results are values that only doing the work again gives: different identifiers."""
    one, other = first.text, second.text
    return bool(one and other) and one != other and bool(re.search(r"\d", one)) and bool(re.search(r"\d", other))  # fmt: skip


def find_same_calls(run: RunCalls) -> Iterator[Proof]:
    """Yield calls that a model asked for again and again, with equal arguments and results."""
    groups: dict[tuple[int, str], list[RunToolCall]] = defaultdict(list)
    for each in run.tools:
        groups[each.owner, each.task].append(each)
    for tools in groups.values():
        row: list[RunToolCall] = []
        key: tuple[str, bytes, str] | None = None
        for tool in [*tools, None]:
            this = None if tool is None else (tool.name, lenient.dump(read_json(tool.arguments), ordered=True), tool.text)  # fmt: skip
            if tool is not None and this == key:
                row.append(tool)
                continue
            if len(row) >= _AGAIN and not (tool and key and this and this[:2] == key[:2]):
                writers = {writer.number for each in row if (writer := run.writer(each)) is not None}
                if len(writers) >= _AGAIN and not _WAITS.search(row[0].name):
                    name = row[0].name
                    evidence = f"{name} was called {len(row)} times in a row with equal arguments and result: {quote(row[0].text, 60)}"  # fmt: skip
                    yield Proof(evidence, (row[1].number, row[0].number, row[-1].number), f"explain {row[1].number}", ("tool", name))  # fmt: skip
            row, key = ([tool], this) if tool is not None else ([], None)


def find_unit_mismatches(run: RunCalls) -> Iterator[Proof]:
    """Yield equal numbers that moved between fields whose names have different units."""
    known: dict[float, dict[tuple[str, str], tuple[Leaf, RunToolCall]]] = defaultdict(dict)
    events: list[tuple[int, bool, RunToolCall]] = sorted(
        ((number, is_end, tool) for tool in run.tools for number, is_end in ((tool.number, False), (tool.end_number, True))),
        key=lambda each: each[:2],
    )  # fmt: skip
    reported: set[tuple[float, str]] = set()
    for _, is_end, tool in events:
        leaves = (tool.returned if is_end else tool.leaves) if not tool.failed else []
        beside = {
            leaf.path.rpartition(".")[0]: leaf.value
            for leaf in leaves
            if leaf.key in {"unit", "units", "currency"}
        }
        for leaf in leaves:
            value, unit = _number_of(leaf.value), _unit_of(leaf.key)
            if unit is None and value is not None:
                word = str(beside.get(leaf.path.rpartition(".")[0])).strip("°").lower()
                unit = (_UNIT_OF[word][0], word) if word in _UNIT_OF else None
            if value is None or unit is None:
                continue
            others = known[abs(value)]
            clash = _find_clash(unit, others)
            if clash is not None and (abs(value), unit[1]) not in reported:
                reported.add((abs(value), unit[1]))
                source, earlier = clash
                at = tool.end_number if is_end else tool.number
                at_source = earlier.end_number if source in earlier.returned else earlier.number
                evidence = f"{source.key}={source.value} -> {leaf.key}={leaf.value}: the same number under another unit"  # fmt: skip
                yield Proof(evidence, (at, at_source), f"explain {at}", ("tool", tool.name))
            others.setdefault(unit, (leaf, tool))
    yield from _find_units_in_answers(run, known)


def _find_units_in_answers(
    run: RunCalls, known: dict[float, dict[tuple[str, str], tuple[Leaf, RunToolCall]]]
) -> Iterator[Proof]:
    for call in run.models:
        if call.calls or not call.text:
            continue
        for match in _AFTER.finditer(call.text[:5000]):
            value = _number_of(match["number"].replace(",", ""))
            word = (match["unit"] or "").lower()
            unit = _MONEY.get(match["money"] or "") or word
            if value is None or (unit in _SHORT_UNITS and not match["degree"]):
                continue
            if unit in {"million", "thousand", "k", "m"}:
                continue
            quantity = _UNIT_OF.get(unit)
            others = {key: each for key, each in known.get(abs(value), {}).items() if each[1].end_number < call.end_number}  # fmt: skip
            if quantity is None or not others:
                continue
            if match["money"] and word in _UNIT_OF:
                continue
            clash = _find_clash((quantity[0], unit), others)
            if clash is None or any(re.search(rf"{re.escape(match['number'])}\s?°?\s?{re.escape(unit)}\b", message.texts, re.IGNORECASE) for message in call.messages):  # fmt: skip
                continue
            source, earlier = clash
            evidence = f"{source.key}={source.value} -> {quote(match[0].strip())} in the answer: the same number under another unit"  # fmt: skip
            yield Proof(evidence, (call.end_number, earlier.end_number), f"explain {call.end_number}", ("tool", earlier.name))  # fmt: skip
            return


def _find_clash(
    unit: tuple[str, str], others: dict[tuple[str, str], tuple[Leaf, RunToolCall]]
) -> tuple[Leaf, RunToolCall] | None:
    same = [key for key in others if key[0] == unit[0]]
    if not same or any(_is_same_unit(key[1], unit[1]) for key in same):
        return None
    return others[same[0]]


def _is_same_unit(one: str, other: str) -> bool:
    first, second = _CURRENCIES.get(one), _CURRENCIES.get(other)
    if first and second:
        return first == second
    return _UNIT_OF[one][1] == _UNIT_OF[other][1]


def _number_of(value: Any) -> float | None:
    """Return a number that is no round or small one, which other fields have by chance."""
    if isinstance(value, str) and re.fullmatch(r"-?\d+(?:\.\d+)?", value):
        value = float(value)
    if not lenient.is_number(value):
        return None
    digits = f"{abs(value):g}".replace(".", "").strip("0")
    return float(value) if len(digits) >= 2 else None


def _unit_of(name: str) -> tuple[str, str] | None:
    words = [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name)]
    for position, word in enumerate(reversed(words)):
        if word in _UNIT_OF and (word not in _SHORT_UNITS or (len(words) > 1 and position == 0)):
            if "per" in words:
                return None
            return _UNIT_OF[word][0], word
    return None


def find_overruled_users(run: RunCalls) -> Iterator[Proof]:
    """Yield values of the user that no call used, while a result's value of the same form was used in their place."""
    asked: dict[str, list[str]] = defaultdict(list)
    for message in run.starts:
        if message.role == "user":
            for value in (*message.specifics, *_EMAIL.findall(message.texts), *_DATE.findall(message.texts)):
                shape = _shape_of(value)
                if shape and value not in asked[shape]:
                    asked[shape].append(value)
    if not asked or not run.tools:
        return
    arguments = squeeze(" ".join(str(leaf.value) for tool in run.tools for leaf in tool.leaves))
    for shape, values in asked.items():
        unused = [value for value in values if squeeze(value) not in arguments]
        if not unused or len(unused) < len(values):
            continue
        for tool in run.tools:
            leaf = next((leaf for leaf in tool.leaves if isinstance(leaf.value, str) and _shape_of(leaf.value) == shape), None)  # fmt: skip
            if leaf is None:
                continue
            source = next((other for other in run.tools if other.end_number < tool.number and leaf.value in other.text), None)  # fmt: skip
            if source is None or any(leaf.value in message.texts for message in run.starts):
                continue
            evidence = f"the user wrote {unused[0]}, and {leaf.path}={leaf.value} was used, which {source.name} returned"  # fmt: skip
            yield Proof(evidence, (tool.number, source.end_number), f"explain {tool.number}", ("tool", tool.name))  # fmt: skip
            break


def _shape_of(value: str) -> str:
    """Return the form of an identifier: its letters, and how many digits follow; empty for a number alone."""
    if _EMAIL.fullmatch(value):
        return "email"
    if _DATE.fullmatch(value):
        return "date"
    match = re.fullmatch(r"([A-Za-z]{1,8}[-_#]?)(\d{2,})", value)
    return f"{match[1].lower()}{len(match[2])}" if match else ""


def find_tools_not_offered(run: RunCalls) -> Iterator[Proof]:
    """Yield calls of tools that the request did not offer."""
    for call in run.models:
        if not call.tools or not call.only_functions:
            continue
        for asked in call.calls:
            name = str(asked.get("name") or "")
            if name and name not in call.tools:
                evidence = (
                    f"the model called {name}, which was not offered: {', '.join(list(call.tools)[:6])}"
                )
                yield Proof(
                    evidence, (call.end_number,), f"inspect --event {call.end_number}", ("tool", name)
                )
                break


def find_schema_violations(run: RunCalls) -> Iterator[Proof]:
    """Yield arguments that fail the schema of their tool, in a call that the tool did not refuse."""
    by_id = {tool.call_id: tool for tool in run.tools if tool.call_id}
    for call in run.models:
        for asked in call.calls:
            schema = call.tools.get(str(asked.get("name")))
            arguments = read_json(asked.get("arguments"))
            tool = by_id.get(str(asked.get("id")))
            if not isinstance(schema, dict) or (tool is not None and (tool.failed or tool.reports_error)):
                continue
            wrong = _violation(arguments, schema, "")
            if tool is None and " is no " in wrong:
                continue  # an answer in the form of a call, as of pydantic-ai: what parses it reads numbers in texts
            if wrong and call.finish.lower() not in {"length", "max_tokens"}:
                name = str(asked.get("name"))
                events = (call.end_number, tool.number) if tool else (call.end_number,)
                yield Proof(f"the arguments of {name} fail its schema: {wrong}", events, f"inspect --event {call.end_number}", ("tool", name))  # fmt: skip


_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,), "integer": (int, float), "number": (int, float), "boolean": (bool,), "array": (list,), "object": (dict,)
}  # fmt: skip


def _violation(value: Any, schema: dict[str, Any], path: str) -> str:
    """Return how a value fails a schema; "" where it does not, or where only its writing differs (`"5"` for 5)."""
    if any(key in schema for key in ("$ref", "anyOf", "oneOf", "allOf")):
        return ""
    allowed = schema.get("enum")
    where = path or "arguments"
    if isinstance(allowed, list) and allowed and value not in allowed and str(value).lower() not in {str(each).lower() for each in allowed}:  # fmt: skip
        return f"{where}={quote(str(value), 30)} is none of {', '.join(map(str, allowed[:5]))}"
    kind = _TYPES.get(str(schema.get("type")).lower())
    if kind and value is not None and not isinstance(value, kind):
        number_text = isinstance(value, str) and re.fullmatch(r"-?\d+(?:\.\d+)?", value.strip())
        harmless = (bool(number_text) and int in kind) or (str in kind and lenient.is_number(value)) or (bool in kind and str(value).lower() in {"true", "false"})  # fmt: skip
        return "" if harmless else f"{where}={quote(str(value), 30)} is no {schema['type']}"
    if not isinstance(value, dict):
        return ""
    properties = lenient.mapping(schema.get("properties"))
    missing = [name for name in lenient.sequence(schema.get("required")) if name not in value]
    if missing:
        return f"{f'{path}.' if path else ''}{missing[0]} is missing"
    if properties and schema.get("additionalProperties") is False:
        more = [name for name in value if name not in properties]
        if more:
            return f"{more[0]} is not in it"
    for name, inner in properties.items():
        if name in value and isinstance(inner, dict):
            wrong = _violation(value[name], inner, f"{path}.{name}" if path else name)
            if wrong:
                return wrong
    return ""
