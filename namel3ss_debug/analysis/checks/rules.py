"""Parse rules as users write them, in settings, files, options and programs, into rules that can be evaluated.

A rule is a JSON object with one key that names its kind (`KINDS`), the keys of that kind, and, if wanted, a `name`, a
`level` (or `severity`), a `message` and `labels`. A text alone is an `assert` on the run. A `limit` with `window`, `for` or
`every` is about a growing trace: `monitor` evaluates it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from namel3ss_debug.analysis.checks import budgets, states
from namel3ss_debug.analysis.checks.baselines import ASPECTS, AgainstBaseline
from namel3ss_debug.analysis.checks.comparison import find_divergence
from namel3ss_debug.analysis.checks.conduct import (
    CallCount,
    EventAssert,
    Forbid,
    Require,
    SchemaAssert,
    ShapeAssert,
    SpanAssert,
    TakenArguments,
    Watcher,
)
from namel3ss_debug.analysis.checks.coverage import CALLED, Needs, find_needs, find_needs_of_measures
from namel3ss_debug.analysis.checks.measures import BY, LIVE_BY, MEASURES
from namel3ss_debug.analysis.checks.shapes import check_shape
from namel3ss_debug.analysis.checks.subjects import SPAN_NAMES, SpanPattern, parse_pattern
from namel3ss_debug.analysis.checks.validation import make_validator, read_schema
from namel3ss_debug.analysis.failures.categories import CATEGORIES
from namel3ss_debug.analysis.findings import SEVERITIES, compute_fingerprint
from namel3ss_debug.analysis.sections.table import SECTIONS
from namel3ss_debug.analysis.triggers.rules import RULES
from namel3ss_debug.errors import DebugError, MissingExtraError, RuleError, short
from namel3ss_debug.expressions import FIELD_NAMES, Expression, compile_expression, nearest
from namel3ss_debug.wire import lenient

if TYPE_CHECKING:
    from namel3ss_debug.traces.reader import Trace
    from namel3ss_debug.traces.redaction.redactor import Redactor

EVENT_NAMES: Final = FIELD_NAMES | {"kind", "name", "llm", "tool", "agent", "n", "event"}
TRIGGER_NAMES: Final = tuple(rule.name for rule in RULES)
_COMMON: Final = ("name", "level", "severity", "message", "labels")
_TIMED: Final = ("window", "for", "every")
_SPAN_OF_TIME = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)([smhdw]?)")
_SECONDS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_ .:/+-]{0,99}")
_SLUG = re.compile(r"[^a-z0-9]+")
_EVERY = re.compile(r"(event|span)(?:\s+if\s+(.+))?", re.DOTALL)


class CheckContext(NamedTuple):
    """What rules are evaluated with besides the run.

    `redactor` recognises secrets, `trace` is the trace, `ignore` names what is not compared with a baseline.
    """

    redactor: Redactor
    trace: Trace
    ignore: Sequence[str] = ()


class LiveLimit(NamedTuple):
    """A `limit` as `monitor` evaluates it, again and again.

    Attributes:
        expression: what must be true.
        by, only: whom it limits.
        window: over how many seconds; None for the whole run.
        hold: for how many seconds it has to be broken before it counts (`for`).
        every: how many seconds lie between two evaluations at least.
        is_timed: whether the rule has one of these, so that only `monitor` can evaluate it.
    """

    expression: Expression
    by: str
    only: str | None = None
    window: float | None = None
    hold: float = 0.0
    every: float = 0.0
    is_timed: bool = False


@dataclass(frozen=True, slots=True)
class CheckRule:
    """One rule, ready to be evaluated on any number of runs.

    Attributes:
        name: its name in messages, by which reports recognise it in other runs.
        level: of its findings.
        message: the user's message, put before that of a finding.
        describes: the rule as it is written, on one line.
        kind: the key that names its kind.
        sections: the sections of the analysis it reads.
        spans, events: whether it needs them.
        needs: what a trace has to hold for it to be checked.
        watch: makes the watcher that evaluates it on one run.
        limit: of a `limit`, what `monitor` needs.
        labels: what is added to its alerts.
    """

    name: str
    level: str
    message: str
    describes: str
    kind: str
    sections: tuple[str, ...]
    spans: bool
    events: bool
    needs: Needs
    watch: Callable[[CheckContext], Watcher] = field(repr=False, compare=False)
    limit: LiveLimit | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


class RuleSource(NamedTuple):
    """Rules with their origin, which messages name, and the folder to which the files in them are relative."""

    where: str
    rules: Sequence[object]
    folder: Path = Path()


class _ParsedRule(NamedTuple):
    """The kind-specific part of a rule."""

    watch: Callable[[CheckContext], Watcher]
    sections: tuple[str, ...] = ()
    spans: bool = True
    events: bool = False
    needs: Needs = Needs()
    limit: LiveLimit | None = None


def read_rules(sources: Iterable[RuleSource]) -> list[CheckRule]:
    """Parse rules. A rule without a name gets one made of its content.

    Raises:
        RuleError: a rule is not valid; the message names where it is written, the key, and what is allowed.
    """
    rules: list[CheckRule] = []
    names_in_use: dict[str, str] = {}
    for where, rules_of_source, folder in sources:
        for index, written in enumerate(rules_of_source, 1):
            location = (
                where
                if len(rules_of_source) == 1 and where.startswith("--rule ")
                else f"{where}, rule {index}"
            )
            try:
                rule = _read_rule(written, folder, names_in_use)
            except MissingExtraError:
                raise
            except DebugError as error:
                name = written.get("name") if isinstance(written, dict) else None
                label = f" ({name})" if isinstance(name, str) and _NAME.fullmatch(name) else ""
                raise RuleError(f"{location}{label}: {error}") from None
            names_in_use[rule.name] = location
            rules.append(rule)
    return rules


def read_file(path: Path) -> RuleSource:
    """Read a file of rules: a list of them, or an object with the list under `checks`.

    Raises:
        RuleError: the file cannot be read, or holds something else.
    """
    try:
        document = json.loads(path.read_bytes(), object_pairs_hook=_build_object)
    except OSError as error:
        raise RuleError(f"cannot read the rules {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise RuleError(f"{path} is not JSON: {error}") from None
    except RuleError as error:
        raise RuleError(f"{path}: {error}") from None
    rules = document.get("checks") if isinstance(document, dict) else document
    others = sorted(document.keys() - {"checks"}) if isinstance(document, dict) else []
    if not isinstance(rules, list) or others:
        problem = f"there is the key {others[0]!r}" if others else "there is no list"
        raise RuleError(f'{path}: {problem}; a file of rules holds {{"checks": [...]}} or only the list')
    return RuleSource(str(path), rules, path.parent)


def read_option(text: str) -> RuleSource:
    """Return one rule of the command line: an expression, or a rule as JSON.

    Raises:
        RuleError: the text begins like JSON and is not JSON.
    """
    where = "--rule " + short(text, 60)
    if not text.lstrip().startswith("{"):
        return RuleSource(where, [text])
    try:
        return RuleSource(where, [json.loads(text, object_pairs_hook=_build_object)])
    except (ValueError, RecursionError) as error:
        raise RuleError(f"{where}: it is not JSON: {error}") from None
    except RuleError as error:
        raise RuleError(f"{where}: {error}") from None


def _build_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object. `json` alone would silently drop the first value of a key that is there twice.

    Raises:
        RuleError: a key is there twice.
    """
    members = dict(pairs)
    if len(members) < len(pairs):
        twice = next(key for key in members if sum(key == other for other, _ in pairs) > 1)
        raise RuleError(f"the key {twice!r} is there twice in one object")
    return members


def _read_rule(written: object, folder: Path, names_in_use: Mapping[str, str]) -> CheckRule:
    """Parse one rule: a text, or an object with exactly one kind.

    Args:
        written: the rule as it is written.
        folder: the folder to which its files are relative.
        names_in_use: the names of the rules before it, and where those are written.
    """
    if isinstance(written, str):
        written = {"assert": written}
    if not isinstance(written, dict):
        raise RuleError(
            "it is neither an object nor a text; write one such as " + '{"forbid": "tool:delete_*"}'
        )
    kinds = [key for key in KINDS if key in written]
    if len(kinds) != 1:
        which = " and ".join(kinds) if kinds else "no kind"
        unknown = next((key for key in written if key not in _COMMON), "")
        hint = nearest(str(unknown), set(KINDS)) if unknown and not kinds else ""
        raise RuleError(f"it has {which}{hint}; one of {', '.join(KINDS)} says what kind of rule it is")
    kind = kinds[0]
    _, others, read = KINDS[kind]
    allowed = (kind, *others, *_COMMON)
    for key in written:
        if key not in allowed:
            hint = nearest(str(key), set(allowed)) or f"; allowed are {', '.join(allowed)}"
            raise RuleError(f"there is no key {key!r} in a rule of the kind {kind}{hint}")
    if "level" in written and "severity" in written:
        raise RuleError("it has level and severity, which mean the same; leave one out")
    level, message = written.get("level", written.get("severity", "error")), written.get("message", "")
    if level not in SEVERITIES:
        key = "severity" if "severity" in written else "level"
        raise RuleError(f"{key} is {_format_value(level)}, allowed is {', '.join(reversed(SEVERITIES))}")
    labels = written.get("labels", {})
    if not isinstance(labels, dict) or not all(isinstance(value, str) for value in labels.values()):
        raise RuleError(f"labels is {_format_value(labels)}, allowed is an object of texts")
    if not isinstance(message, str):
        raise RuleError(f"message is {_format_value(message)}, allowed is a text")
    watch, sections, spans, events, needs, limit = read(written, folder)
    describes = json.dumps(
        {key: value for key, value in written.items() if key not in _COMMON}, ensure_ascii=False
    )
    name = _make_name(written, kind, describes, names_in_use)
    words = " ".join(message.split())
    return CheckRule(
        name, level, words, describes, kind, sections, spans, events, needs, watch, limit, labels
    )


def _make_name(written: Mapping[str, Any], kind: str, describes: str, names_in_use: Mapping[str, str]) -> str:
    """Return the name of a rule, or one made of its content."""
    name = written.get("name")
    if name is None:
        value = written[kind]
        words = value if isinstance(value, str) else describes
        where = str(written.get("by", written.get("on", "")))
        made = _SLUG.sub("-", f"{kind} {words} {where}".lower()).strip("-")[:60].strip("-")
        return made if made not in names_in_use else f"{made}-{compute_fingerprint(json.dumps(written))[:6]}"
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise RuleError(
            f"name is {_format_value(name)}, allowed are letters, digits, spaces and _ . : / + -, at most 100"
        )
    if name in names_in_use:
        raise RuleError(f"another rule has the name {name!r} ({names_in_use[name]}); give it one of its own")
    return name


def _format_value(value: object) -> str:
    return short(json.dumps(value, ensure_ascii=False, default=str), 60)


def _get_text(written: Mapping[str, Any], key: str) -> str:
    """Return the text under a key of a rule."""
    value = written[key]
    if not isinstance(value, str) or not value.strip():
        raise RuleError(f"{key} is {_format_value(value)}, allowed is a text")
    return value


def _parse_pattern(text: str, key: str) -> SpanPattern:
    """Parse a pattern, and name its key in the error."""
    try:
        return parse_pattern(text)
    except DebugError as error:
        raise RuleError(f"{key}: {error}") from None


def _get_patterns(written: Mapping[str, Any], key: str) -> list[SpanPattern]:
    """Parse the pattern, or the list of patterns, under a key of a rule."""
    value = written[key]
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise RuleError(
            f"{key} is {_format_value(value)}, allowed is a pattern such as tool:search, or a list of them"
        )
    return [_parse_pattern(text, key) for text in texts]


def _compile(text: str, names: frozenset[str], key: str) -> Any:
    """Compile an expression, and name its key in the error."""
    try:
        return compile_expression(text, names)
    except DebugError as error:
        raise RuleError(f"{key}: {error}") from None


def _get_choice(written: Mapping[str, Any], key: str, choices: Sequence[str], default: str) -> str:
    """Return the value of a key that must be one of some words."""
    value = written.get(key, default)
    if value not in choices:
        raise RuleError(f"{key} is {_format_value(value)}, allowed is {', '.join(choices)}")
    return str(value)


def _get_choices(written: Mapping[str, Any], key: str, choices: Iterable[str]) -> list[str]:
    """Return the words under a key, which must be one or more of some words."""
    value = written[key]
    words = [value] if isinstance(value, str) else value
    if not isinstance(words, list) or not words:
        raise RuleError(f"{key} is {_format_value(value)}, allowed is one or a list of {', '.join(choices)}")
    for word in words:
        if word not in choices:
            hint = nearest(str(word), set(choices)) or f"; there are {', '.join(choices)}"
            raise RuleError(f"{key}: there is no {_format_value(word)}{hint}")
    return words


def _get_count(written: Mapping[str, Any], key: str) -> int | None:
    """Return the whole number under a key; None where it is left out."""
    value = written.get(key)
    if value is not None and (type(value) is not int or value < 0):
        raise RuleError(f"{key} is {_format_value(value)}, allowed is a whole number from 0")
    return value


def _get_seconds(written: Mapping[str, Any], key: str) -> float | None:
    """Return the time under a key in seconds: a number of them, or a text such as 30s, 5m or 6h; None where it is left out."""
    value = written.get(key)
    match = None if isinstance(value, bool) else _SPAN_OF_TIME.fullmatch(str(value))
    if value is None:
        return None
    if match is None or (key == "window" and not float(match[1])):
        raise RuleError(f"{key} is {_format_value(value)}, allowed is a time such as 30s, 5m or 6h")
    return float(match[1]) * _SECONDS[match[2]]


def _read_assert(written: Mapping[str, Any], _: Path) -> _ParsedRule:
    """Parse an expression that must be true of the run, of every event, or of the spans of a pattern."""
    text = _get_text(written, "assert")
    on = _get_text(written, "on") if "on" in written else "run"
    every = _EVERY.fullmatch(on.strip())
    if on == "run":
        return _read_run_assert(text)
    if every is not None and every[1] == "event":
        test = _compile(text, EVENT_NAMES, "assert")
        condition = _compile(every[2], EVENT_NAMES, "on") if every[2] else None
        read = test.names | (condition.names if condition is not None else frozenset())
        return _ParsedRule(
            lambda _: EventAssert(test, condition), spans=False, events=True, needs=find_needs(read)
        )
    test = _compile(text, SPAN_NAMES, "assert")
    if every is not None:
        condition = _compile(every[2], SPAN_NAMES, "on") if every[2] else None
        pattern = SpanPattern(on, None, None, condition)
    else:
        pattern = _parse_pattern(on, "on")
    return _ParsedRule(lambda _: SpanAssert(test, pattern), needs=find_needs(test.names, [pattern]))


def _read_run_assert(text: str) -> _ParsedRule:
    """Parse an expression over the sections of the analysis and the measures of the run."""
    test = _compile(text, frozenset(SECTIONS) | frozenset(MEASURES), "assert")
    measures = bool(test.names & MEASURES.keys())
    sections = tuple(name for name in SECTIONS if name in test.names)
    return _ParsedRule(
        lambda _: states.RunAssert(test),
        (*sections, *(budgets.SECTIONS if measures else ())),
        spans=measures,
        needs=find_needs_of_measures(test.names & MEASURES.keys()),
    )


def _read_limit(written: Mapping[str, Any], _: Path) -> _ParsedRule:
    """Parse an expression over measures, and whom it limits."""
    is_timed = not written.keys().isdisjoint(_TIMED)
    table = LIVE_BY if is_timed else BY
    by = _get_choice(written, "by", list(table), "run")
    text = _get_text(written, "limit")
    test = _compile(text, table[by], f"limit (by {by})")
    if not test.names:
        raise RuleError(f"limit: it names no measure; the measures are {', '.join(sorted(table[by]))}")
    only = _get_text(written, "of") if "of" in written else None
    if only is not None and by == "run":
        raise RuleError("of: names whom the limit is for; it needs by agent, tool or model")
    window, hold, every = (_get_seconds(written, key) for key in _TIMED)
    limit = LiveLimit(test, by, only, window, hold or 0.0, every or 0.0, is_timed)
    needs = Needs() if is_timed else find_needs_of_measures(test.names)
    return _ParsedRule(lambda _: budgets.Limit(test, by, only), budgets.SECTIONS, needs=needs, limit=limit)


def _read_forbid(written: Mapping[str, Any], _: Path) -> _ParsedRule:
    """Parse the patterns that must not be called."""
    patterns = _get_patterns(written, "forbid")
    after = _parse_pattern(_get_text(written, "after"), "after") if "after" in written else None
    before = _parse_pattern(_get_text(written, "before"), "before") if "before" in written else None
    if after is not None and before is not None:
        raise RuleError("it has after and before; write a rule for each")
    every = [*patterns, *(pattern for pattern in (after, before) if pattern is not None)]
    return _ParsedRule(lambda _: Forbid(patterns, after, before), needs=find_needs((), every))


def _read_require(written: Mapping[str, Any], _: Path) -> _ParsedRule:
    """Parse the patterns that must be called."""
    patterns = _get_patterns(written, "require")
    in_order = written.get("in_order", False)
    if not isinstance(in_order, bool):
        raise RuleError(f"in_order is {_format_value(in_order)}, allowed is true or false")
    return _ParsedRule(lambda _: Require(patterns, in_order=in_order), needs=find_needs((), patterns))


def _read_calls(written: Mapping[str, Any], _: Path) -> _ParsedRule:
    """Parse a pattern with the least and the greatest number of its calls."""
    pattern = _parse_pattern(_get_text(written, "calls"), "calls")
    least, most = _get_count(written, "at_least"), _get_count(written, "at_most")
    if least is None and most is None:
        raise RuleError("it needs at_most, at_least, or both")
    if most is not None and (least or 0) > most:
        raise RuleError(f"at_least is {least}, which is more than at_most, {most}")
    return _ParsedRule(lambda _: CallCount(pattern, least or 0, most), needs=find_needs((), [pattern]))


def _read_schema(written: Mapping[str, Any], folder: Path) -> _ParsedRule:
    """Parse a JSON schema, and the value that must fit it."""
    validate = make_validator(read_schema(written["schema"], folder))
    if "on" not in written:
        raise RuleError("it needs on: the spans whose output is checked, such as tool:search")
    pattern = _parse_pattern(_get_text(written, "on"), "on")
    default = "outputs.text" if pattern.component == "llm" else "outputs.result"
    if pattern.component not in {"llm", "tool"}:
        default = "outputs"
    value = _compile(_get_text(written, "of") if "of" in written else default, SPAN_NAMES, "of")
    return _ParsedRule(
        lambda _: SchemaAssert(validate, value, pattern), needs=find_needs(value.names, [pattern])
    )


def _read_shape(written: Mapping[str, Any], _: Path) -> _ParsedRule:
    """Parse the spans and the shape of their results."""
    pattern = _parse_pattern(_get_text(written, "shape"), "shape")
    if "of" not in written:
        raise RuleError('it needs of: the shape of the result, such as {"price": "number"}')
    shape = written["of"]
    check_shape(shape, "of")
    needs = find_needs(("result",), [pattern])
    return _ParsedRule(lambda _: ShapeAssert(shape, pattern), needs=needs)


def _read_taken(written: Mapping[str, Any], _: Path) -> _ParsedRule:
    """Parse the calls, and the arguments that earlier results must hold."""
    pattern = _parse_pattern(_get_text(written, "taken"), "taken")
    names = written.get("arguments")
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise RuleError(f"arguments is {_format_value(names)}, allowed is a list of names of arguments")
    needs = find_needs(("arguments", "result"), [pattern])
    return _ParsedRule(lambda _: TakenArguments(pattern, names), needs=needs)


def _read_no(written: Mapping[str, Any], _: Path) -> _ParsedRule:
    """Parse a state that must not occur."""
    state = _get_choice(written, "no", list(states.STATES), "")
    needed = states.STATES[state]
    missing = next((section for section in needed if section not in SECTIONS), None)
    if missing is not None:
        raise RuleError(f"no: there is no section {missing!r}; there are {', '.join(SECTIONS)}")
    categories = _get_choices(written, "of", CATEGORIES) if "of" in written else []
    if categories and state != "failures":
        raise RuleError("of: names categories of failures; it needs no: failures")
    if "except" in written and state != "handled_exceptions":
        raise RuleError("except: names handled exceptions that are allowed; it needs no: handled_exceptions")
    if state == "handled_exceptions":
        allowed = written.get("except", [])
        if not isinstance(allowed, list) or not all(isinstance(name, str) for name in allowed):
            raise RuleError(
                f"except is {_format_value(allowed)}, allowed is a list of texts such as ValueError in convert"
            )
        needs = Needs(payloads=True)
        return _ParsedRule(lambda _: states.NoHandledExceptions(allowed), needed, spans=False, needs=needs)
    if state == "secrets":
        needs = Needs(payloads=True)
        return _ParsedRule(
            lambda context: states.NoSecrets(context.redactor), spans=False, events=True, needs=needs
        )
    if state == "failures":
        calls = Needs(components=CALLED)
        return _ParsedRule(lambda _: states.NoFailures(categories), needed, spans=False, needs=calls)
    if state == "open_spans":
        return _ParsedRule(lambda _: states.NoOpenSpans(), needed, spans=False)
    return _ParsedRule(lambda _: states.NoLoops(), needed, spans=False, needs=Needs(True, CALLED))


def _read_trigger(written: Mapping[str, Any], _: Path) -> _ParsedRule:
    """Parse the names of built-in rules, whose thresholds are the setting `triggers`."""
    names = _get_choices(written, "trigger", TRIGGER_NAMES)
    return _ParsedRule(lambda _: states.Triggered(names), ("triggers",), spans=False)


def _read_baseline(written: Mapping[str, Any], _: Path) -> _ParsedRule:
    """Parse the aspects in which a run must not be worse than its baselines, with the margin."""
    aspects = _get_choices(written, "baseline", ASPECTS)
    margin = written.get("margin")
    if margin is not None and not (lenient.is_number(margin) and 0 <= margin < 1e6):
        raise RuleError(f"margin is {_format_value(margin)}, allowed is a share such as 0.2")
    return _ParsedRule(
        lambda context: AgainstBaseline(
            aspects,
            margin,
            lambda aspect, paths: find_divergence(aspect, paths, context.trace, context.ignore),
        ),
        budgets.SECTIONS,
    )


Reader = Callable[[Mapping[str, Any], Path], _ParsedRule]

KINDS: Final[dict[str, tuple[str, tuple[str, ...], Reader]]] = {
    "assert": ("an expression that must be true", ("on",), _read_assert),
    "limit": ("an expression over measures that must be true", ("by", "of", *_TIMED), _read_limit),
    "forbid": ("what must not be called", ("after", "before"), _read_forbid),
    "require": ("what must be called", ("in_order",), _read_require),
    "calls": ("what is counted", ("at_most", "at_least"), _read_calls),
    "schema": ("a JSON schema, or a file that holds one", ("on", "of"), _read_schema),
    "shape": ("the calls whose results must have a shape", ("of",), _read_shape),
    "taken": ("the calls whose arguments must come from earlier results", ("arguments",), _read_taken),
    "no": ("what must not be in the run", ("of", "except"), _read_no),
    "trigger": (
        "which built-in rules must hold, with the thresholds of the setting triggers",
        (),
        _read_trigger,
    ),
    "baseline": ("in what the run must be no worse than earlier ones", ("margin",), _read_baseline),
}
"""The key that names the kind of a rule -> what its value is, the other keys allowed, and the parser."""
