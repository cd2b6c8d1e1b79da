"""The expression language: what it says, what it refuses, and what it cannot be made to do."""

from __future__ import annotations

import json
import math
import re
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.errors import ExpressionError
from namel3ss_debug.expressions import FIELD_NAMES, NAMES, compile_expression, event_scope
from namel3ss_debug.expressions.operations import FUNCTIONS
from namel3ss_debug.fields import FIELDS
from namel3ss_debug.traces.typed_events import TraceEvent

EVENT = {
    "event_type": "tool_call_end",
    "event_id": "14",
    "component": "tool",
    "component_name": "search",
    "status": "failed",
    "error": "Read timed out",
    "duration_ms": 812.5,
    "tokens_used": 40,
    "outputs": {
        "text": "A refund was made",
        "ok": True,
        "tool_calls": [{"name": "search", "arguments": {"q": "x"}}, {"name": "pay"}],
        "empty": [],
        "odd key": {"n": 1},
    },
}
TOTALS = {"cost": 0.25, "tokens": 900, "errors": 1, "ms": 1500.0}


def value(text, event=EVENT, number=7):
    """The value of an expression over an event."""
    return compile_expression(text).evaluate(event_scope(number, event, TOTALS, {"city": "Graz"}))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('duration_ms > 500 and tool == "search"', True),
        ("totals.cost > 0.10", True),
        ('"refund" in outputs.text', True),
        ('matches(error, "time.?out")', False),
        ('matches(error, "time.* ?out")', True),
        ('kind == "tool"', True),
        ("name", "search"),
        ("llm", None),
        ("agent is null", True),
        ("n", 7),
        ("state.city", "Graz"),
        ("totals.ms / 1000", 1.5),
        ('event["component"]', "tool"),
        ('outputs["odd key"].n', 1),
        ("outputs.tool_calls[0].name", "search"),
        ("outputs.tool_calls[-1].name", "pay"),
        ("outputs.tool_calls[-2].name", "search"),
        ("outputs.tool_calls[2]", None),
        ("outputs.tool_calls[-3].name", None),
        ("outputs.missing.deep[3].x", None),
        ("outputs.missing > 3", False),
        ("outputs.missing < 3", False),
        ("not outputs.missing", True),
        ("outputs.missing is None", True),
        ("outputs.missing == null", True),
        ("outputs.missing is not null", False),
        ('outputs.missing == "x"', False),
        ('outputs.missing != "x"', True),
        ("outputs.ok is true", True),
        ("outputs.ok == 1", False),
        ("outputs.ok > 0", False),
        ("1 == 1.0", True),
        ("duration_ms == 5", False),
        ("5 in [duration_ms, 6]", False),
        ("'x' != outputs", True),
        ("'b' > 'a'", True),
        ("'b' > 1", False),
        ("0 < tokens_used <= 40", True),
        ("0 < tokens_used < 40 < 50", False),
        ('tool in ["search", "fetch"]', True),
        ('tool in ("pay", "fetch")', False),
        ('status not in ["completed"]', True),
        ('"text" in outputs', True),
        ("3 in outputs.text", False),
        ("1 in [true]", False),
        ("tokens_used + 2 * 3 - 1", 45),
        ("7 // 2 + 7 % 4", 6),
        ("-tokens_used", -40),
        ("+tokens_used", 40),
        ("1 / 0", None),
        ("1 % 0", None),
        ("outputs.text + error", None),
        ("outputs.text * 3", None),
        ('"slow" if duration_ms > 500 else "fast"', "slow"),
        ('"slow" if duration_ms > 900 else "fast"', "fast"),
        ("error and status", "failed"),
        ("error and llm and status", None),
        ("llm or agent or tool", "search"),
        ("tool or agent or llm", "search"),
        ("len(outputs.tool_calls)", 2),
        ("len(outputs.missing) == 0", False),
        ("lower(error) == 'read timed out' and upper('a') == 'A'", True),
        ("startswith(error, 'Read') and endswith(error, 'out')", True),
        ("startswith(llm, 'x')", False),
        ("contains(error, 'timed')", True),
        ("contains(error, 'refused')", False),
        ('"pay" in text(outputs)', True),
        ('"pay" in text(outputs.tool_calls)', True),
        ("text(outputs.missing)", "null"),
        ("text(error) == error", True),
        ("min(3, 1, 2) + max([4, 5])", 6),
        ("min('b', 'a')", "a"),
        ("max([tokens_used, 4], 5)", None),
        ("max(1, 'a')", None),
        ("max([])", None),
        ("abs(-3) + round(2.6) + round(1.26, 1)", 7.3),
        ("round(1.5, -9)", None),
        ("round(1.5, error)", None),
        ('any(c.name == "pay" for c in outputs.tool_calls)', True),
        ('all(c.name == "pay" for c in outputs.tool_calls if c.arguments is null)', True),
        ('all(c.name == "pay" for c in outputs.tool_calls)', False),
        ("any(c.x for c in outputs.tool_calls) or any(c.name for c in outputs.tool_calls)", True),
        ("any(outputs.empty)", False),
        ("all([1, tokens_used])", True),
        ("any(c for c in outputs.text)", False),
        ("   n   ", 7),
        ("n\n ==\n 7", True),
        ("[n, tool]", [7, "search"]),
    ],
)
def test_an_expression_has_the_value_a_python_user_expects(text, expected):
    """Names, look-ups, operators and functions work as in Python, with null for what is missing."""
    assert value(text) == expected
    assert type(value(text)) is type(expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("duratoin_ms > 5", "expression, column 1: unknown name 'duratoin_ms'; did you mean 'duration_ms'?"),
        ("n > 1 and tol == 3", "expression, column 11: unknown name 'tol'; did you mean 'tool'?"),
        ("  é + n", "expression, column 3: unknown name 'é'; the names are kind, name, llm, tool"),
        ("n == 'é' and é", "expression, column 14: unknown name 'é'"),
        (
            "name == place_order",
            "expression, column 9: unknown name 'place_order'; put a text in quotes: \"place_order\"",
        ),
        (
            "zebra in outputs.text",
            "expression, column 1: unknown name 'zebra'; put a text in quotes: \"zebra\"",
        ),
        ("zebra > 3", "expression, column 1: unknown name 'zebra'; the names are kind"),
        ("n > lenn(error)", "expression, column 5: unknown function 'lenn'; did you mean 'len'?"),
        ("duration_ms >", "expression, column 13: something is missing at the end"),
        ("llm == 'a", "expression, column 8: unterminated string literal"),
        ("str(outputs)", "expression, column 1: unknown function 'str'; write text(...)"),
        ("zzz(1)", "expression, column 1: unknown function 'zzz'; the functions are len lower upper"),
        ("len", "expression, column 1: unknown name 'len'; len is a function: write len(...)"),
        ("len()", "expression, column 1: len takes 1 argument, not 0"),
        ("n + lower(1, 2)", "expression, column 5: lower takes 1 argument, not 2"),
        ("contains(error)", "expression, column 1: contains takes 2 arguments, not 1"),
        ("round()", "expression, column 1: round takes 1 to 2 arguments, not 0"),
        ("len(x=1)", "expression, column 1: len takes plain arguments only"),
        ("len(*outputs)", "expression, column 1: len takes plain arguments only"),
        ("error.startswith('x')", "there are no methods; write startswith(value, ...)"),
        ("error.strip()", "there are no methods; the functions are len lower upper"),
        (
            "any(c.name for c in outputs.tool_calls) and c.name",
            "expression, column 45: unknown name 'c'",
        ),
        ("n = 3", "expression, column 3: invalid syntax; write == instead of ="),
        ("n && 1", "invalid syntax; write and instead of &&"),
        ("n || 1", "invalid syntax; write or instead of ||"),
        ("!n", "invalid syntax; write not instead of !"),
        ("2 ** 9", "expression, column 1: ** is not part of the language; the operators are + - * / // %"),
        ("'a' + 'b'", "expression, column 1: + - * / // % work on numbers only"),
        (
            "error is 'x'",
            "expression, column 10: is compares with null, true and false only; write == instead",
        ),
        ("matches(error, tool)", "expression, column 16: the pattern of matches is a text in quotes"),
        ("matches(error, '(a+)+')", "expression, column 16: the pattern has a quantifier"),
        ("outputs[1:2]", "expression, column 9: brackets take a text or a whole number"),
        ("[c for c in outputs]", "a list comprehension is not part of the language; allowed are names"),
        ("", "the expression is empty"),
        (" \n ", "the expression is empty"),
        ("n" * 4097, "the expression has 4097 characters; at most 4096 are allowed"),
    ],
)
def test_an_error_names_the_column_and_what_is_allowed(text, message):
    """A mistake gets one line with the column, what is wrong, and the nearest thing that is right."""
    with pytest.raises(ExpressionError) as caught:
        compile_expression(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


HOSTILE = [
    "__import__('os').system('id')",
    "().__class__.__bases__[0].__subclasses__()",
    "outputs.clear()",
    "outputs.pop('text')",
    "outputs.update(a=1)",
    "open('/etc/passwd').read()",
    "eval('1')",
    "exec('1')",
    "globals()",
    "getattr(error, 'x')",
    "type(error)",
    "lambda: 1",
    "(lambda: (yield))()",
    "[x for x in outputs]",
    "{x for x in outputs}",
    "{x: 1 for x in outputs}",
    "(x for x in outputs)",
    "any(any(a for a in b) for b in outputs.tool_calls)",
    "any(a for a in outputs for b in outputs)",
    "any(a for a, b in outputs)",
    "any(a for a.b in outputs)",
    "9 ** 9 ** 9",
    "1 << 10000000000",
    "1 >> 1",
    "'a' * 10000000000",
    "[0] * 10000000000",
    "'%1000000000d' % 1",
    "'x'.center(10000000000)",
    "f'{error:>1000000000}'",
    "f'{error.__class__}'",
    "(x := 5)",
    "{'a': 1}",
    "{1, 2}",
    "...",
    "b'bytes'",
    "1j",
    "1e999",
    "9" * 31,
    "9" * 4000,
    "await error",
    "yield error",
    "*outputs",
    "print(1)",
    "import os",
    "n; n",
    "del n",
    "@error",
    "~n",
    "n @ n",
    "error[len(error)]",
    "error[error]",
    "outputs['a', 'b']",
    "outputs[True]",
    "matches(error, '(a*)*b')",
    "matches(error, '(.*)\\\\1')",
    "matches(error, 'a{65535}')",
    "matches(error, " + "'" + "a" * 300 + "')",
    "not " * 1000 + "n",
    "-" * 4000 + "1",
    "(" * 300 + "1" + ")" * 300,
    "[" * 150 + "1" + "]" * 150,
    "n" + ".a" * 2000,
    "n" + "[0]" * 190,
    "+".join(["1"] * 600),
    " or ".join(["n"] * 600),
    "n if n else " * 50 + "n",
    "n\0",
    "\ud800",
    "'\\N{no such name}'",
    "'\\x'",
    "\t\x0b",
    "len.__globals__",
    "_parse",
    "scope",
    "self",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_expression_is_refused(text):
    """Whatever reaches for Python, for memory or for time is an ExpressionError when it is compiled."""
    with pytest.raises(ExpressionError):
        compile_expression(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("outputs.__class__", None),
        ("error.__len__", None),
        ("event.__dict__", None),
        ("outputs.get", None),
        ("outputs.keys", None),
        ("tokens_used.real", None),
        ("*".join(["999999999999999"] * 30), None),
        ("1e29 * 1e29", None),
        ("1e29 * 1e29 + 1", None),
        ("0.0 / 1 + 1e29 % 0", None),
        ("round(1e29, 400)", None),
        ("error % error", None),
        ("outputs.tool_calls * 1000", None),
        ("not not not not n", True),
        (" or ".join(["null"] * 240) + " or 5", 5),
        (" and ".join(["n"] * 240), 7),
        (" + ".join(["1"] * 30), 30),
    ],
)
def test_what_looks_hostile_but_is_data_has_a_plain_value(text, expected):
    """Attributes are members of data, and arithmetic that goes too far is null."""
    assert value(text) == expected


def nested(depth):
    """Lists in lists, `depth` deep."""
    data = []
    for _ in range(depth):
        data = [data]
    return data


class Trap:
    """An object that no recording can hold; asking it anything fails."""

    def __getattr__(self, name):
        raise AssertionError(name)

    def __eq__(self, other):
        raise AssertionError

    def __hash__(self):
        raise AssertionError

    def __len__(self):
        raise AssertionError


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (nested(50_001), "inputs == outputs"),
        (nested(50_001), "inputs in [outputs]"),
        ("a" * 3_000_000, 'matches(outputs, "a*a*a*b")'),
        (10**4000, "outputs * outputs > 1"),
        (10**4000, "outputs / 3.0 > 1"),
        (10**4000, "outputs + 0.5 > 1"),
        (10**4000, "round(outputs, 3) == abs(outputs) + 1"),
        (float("nan"), "round(outputs) > 0 or outputs > 0 or outputs + 1 > 0"),
        (float("inf"), "round(outputs) > 0 or outputs // 1 > 0 or outputs % 1 > 0"),
        ([{"k": []}] * 200_000, "all(c.k == 1 for c in outputs)"),
        ({"__class__": {"__mro__": 0}}, "outputs.__class__.__mro__"),
        ({"a": {}}, "outputs in outputs"),
        ([[1], {}], "outputs in inputs"),
        ("\ud800", "upper(outputs) == 1 or matches(outputs, 'x+')"),
        ("\x1b[2J" * 10, "outputs == 1"),
    ],
)
def test_hostile_data_makes_no_expression_fail(data, text):
    """Values of any depth, size or kind give false: nothing is raised, nothing is asked of an object."""
    event = EVENT | {"outputs": data, "inputs": nested(50_000)}
    assert compile_expression(text).matches(event_scope(1, event)) is False


@pytest.mark.parametrize(
    "text",
    [
        "outputs.x.y or outputs[0] or len(outputs) or outputs == outputs or outputs in [1] or 'a' in outputs",
        "outputs + 1 > 1 or lower(outputs) or matches(outputs, 'a') or min(outputs, 1) or outputs < 1 or -outputs",
        "any(c for c in outputs) or contains(outputs, 1) or round(outputs) or abs(outputs) or startswith(outputs, 'a')",
    ],
)
def test_an_object_that_is_not_json_is_asked_nothing(text):
    """Operators and functions look at the type of a value and at nothing else of it."""
    assert compile_expression(text).matches(event_scope(1, {"outputs": Trap()})) is False


@pytest.mark.parametrize("kind", ["llm", "tool", "agent"])
def test_a_kind_is_a_name_for_the_events_of_that_kind_alone(kind):
    """`llm`, `tool` and `agent` are the name of such an event, and null for every other."""
    others = [other for other in ("llm", "tool", "agent", "chain") if other != kind]
    assert value(kind, {"component": kind, "component_name": "planner"}) == "planner"
    assert [value(kind, {"component": other, "component_name": "planner"}) for other in others] == [None] * 3


@pytest.mark.parametrize(("length", "found"), [(1000, True), (1001, False)])
def test_a_loop_looks_at_the_first_thousand_items(length, found):
    """However long a list is, a condition on its items costs no more than a thousand looks."""
    outputs = {"items": [0] * (length - 1) + [1]}
    assert value("any(x == 1 for x in outputs.items)", EVENT | {"outputs": outputs}) is found


def test_a_pattern_without_its_r_prints_no_warning(recwarn):
    r"""`"\w"` is understood as it was meant, and Python's own warning of it does not reach the terminal."""
    assert value(r'matches(error, "\w out")') is True
    assert value('matches(error, "[[R]ead")') is True
    assert not recwarn.list


def test_an_event_cannot_stand_for_what_is_worked_out():
    """Members of a foreign event that have the name of a derived name do not hide it."""
    event = {"component": "tool", "component_name": "x", "llm": "gpt", "n": 99, "totals": {"cost": 9}}
    assert value("[llm, n, totals.cost, tool]", event) == [None, 7, 0.25, "x"]


def test_evaluating_changes_no_data():
    """The event is the same before and after."""
    before = json.dumps(EVENT)
    value("max(outputs.tool_calls) or min([1]) or any(c.x for c in outputs.tool_calls) or outputs.text")
    assert json.dumps(EVENT) == before


def test_the_names_an_expression_reads_are_known():
    """`names` holds the top-level names, without constants, functions and loop variables."""
    text = "any(c.name == tool for c in outputs.tool_calls) and totals.cost > 1 and null is error and len(event) > 0"
    assert compile_expression(text).names == {"tool", "outputs", "totals", "error", "event"}


def test_tokens_and_cost_are_understood_by_both_names():
    """Where only one of the names is known, the other means it."""
    assert value("tokens == tokens_used and cost == cost_estimate") is True
    expression = compile_expression("tokens_used < 5", frozenset(["tokens"]))
    assert (expression.names, expression.matches({"tokens": 4})) == (frozenset(["tokens"]), True)
    both = compile_expression("cost < 5", frozenset(["cost", "cost_estimate"]))
    assert both.names == {"cost"}


def test_other_names_can_be_allowed():
    """A caller with a scope of its own gives its names."""
    rule = compile_expression("findings > 3", frozenset({"findings"}))
    assert (rule.matches({"findings": 4}), rule.matches({})) == (True, False)
    with pytest.raises(ExpressionError, match="unknown name 'error'"):
        compile_expression("error", frozenset({"findings"}))


def test_the_field_names_are_those_of_the_event():
    """The floor may not import traces, so the two lists are held together here."""
    assert {field.name for field in FIELDS} == FIELD_NAMES
    assert {field.name for field in fields(TraceEvent)} - {"number", "extra"} == FIELD_NAMES


@pytest.mark.parametrize("text", ["duration_ms > 500", "n == 3 and tool == 'search' and totals.errors == 1"])
def test_an_event_is_asked_directly(text):
    """`matches_event` gives what a whole scope gives."""
    expression = compile_expression(text)
    assert (
        expression.matches_event(3, EVENT, TOTALS)
        is expression.matches(event_scope(3, EVENT, TOTALS))
        is True
    )


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)
WORDS = st.sampled_from(
    [
        *sorted(NAMES),
        *FUNCTIONS,
        *[
            "and",
            "or",
            "not",
            "in",
            "is",
            "if",
            "else",
            "for",
            "null",
            "true",
            "(",
            ")",
            "[",
            "]",
            ",",
            ".",
            "<",
            ">=",
            "==",
            "!=",
            "+",
            "-",
            "*",
            "/",
            "//",
            "%",
            "**",
            "1",
            "0",
            "2.5",
            "'a'",
            '"a+"',
            "x",
            ".a",
            "[0]",
        ],
    ]
)
LEAVES = st.sampled_from(
    [*sorted(NAMES), "1", "-2.5", "'a'", "null", "true", "[1, 'a']", "outputs.a", "inputs[0]", "10 ** 2"]
)


def combined(inner):
    """Expressions made of smaller ones."""
    operators = st.sampled_from(
        ["and", "or", "<", "==", "!=", "in", "not in", "+", "-", "*", "/", "//", "%", ">= 1 >"]
    )
    calls = st.sampled_from(["len", "lower", "any", "abs", "round", "max", "not ", "-"])
    return (
        st.builds("({} {} {})".format, inner, operators, inner)
        | st.builds("{}({})".format, calls, inner)
        | st.builds("({} if {} else {})".format, inner, inner, inner)
        | st.builds("any({} == x for x in [{}])".format, inner, inner)
    )


EXPRESSIONS = st.recursive(LEAVES, combined, max_leaves=12)


@given(st.text(max_size=60) | st.lists(WORDS, max_size=15).map(" ".join) | EXPRESSIONS, JSON, JSON)
def test_any_text_compiles_or_is_an_error_and_evaluates_to_data(text, inputs, outputs):
    """Nothing but ExpressionError leaves compiling, nothing at all leaves evaluating, and numbers stay bounded."""
    try:
        expression = compile_expression(text)
    except ExpressionError:
        return
    event = {
        "component": "tool",
        "component_name": "a",
        "inputs": inputs,
        "outputs": outputs,
        "tokens_used": 3,
    }
    result = expression.evaluate(event_scope(1, event, TOTALS))
    assert type(result) in (str, int, float, bool, list, dict, type(None))
    assert expression.matches(event_scope(1, event, TOTALS)) is bool(result)


@given(JSON, st.sampled_from(["<", "<=", ">", ">=", "==", "!=", "in", "not in"]), JSON)
def test_comparisons_agree_with_python_where_python_compares(left, sign, right):
    """Numbers compare with numbers and texts with texts as in Python; equality and its opposite never agree."""
    result = compile_expression(f"inputs {sign} outputs").evaluate({"inputs": left, "outputs": right})
    numbers = all(type(side) in (int, float) for side in (left, right))
    if numbers and "in" not in sign:
        assert result is eval(f"left {sign} right", {"left": left, "right": right})
    elif sign in ("<", "<=", ">", ">=") and not (isinstance(left, str) and isinstance(right, str)):
        assert result is False
    if sign == "==" and not (isinstance(left, float) and math.isnan(left)):
        opposite = compile_expression("inputs != outputs").matches({"inputs": left, "outputs": right})
        assert result is not opposite


def test_the_hostile_list_is_long_enough():
    """Every attack that got through one of the libraries we measured has a relative in the list."""
    assert len(set(HOSTILE)) == len(HOSTILE) >= 40
    assert all(
        any(re.search(part, text) for text in HOSTILE) for part in ("clear", "center", "open", r"\*\*", "<<")
    )


def test_text_is_json_and_bounded():
    """The JSON text of a value, with its order and spaces as the views write it, and never more than 64 KB of it."""
    value = {"a": [1, 2.5, True, None, 'x"y', {}, []], "é": {"b": "c"}}
    text = compile_expression("text(outputs)")
    assert text.evaluate({"outputs": value}) == json.dumps(value, ensure_ascii=False)
    for long in ({"a": "x" * 200_000}, [{"a": 1}] * 100_000, "x" * 200_000):
        assert len(text.evaluate({"outputs": long})) == 65_536
    deep = []
    for _ in range(50_000):
        deep = [deep]
    assert text.evaluate({"outputs": deep}) == "[" * 50_001 + "]" * (65_536 - 50_001)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4), max_leaves=20))  # fmt: skip
def test_text_is_what_json_writes(value):
    """For any JSON value that is no text, `text` gives what `json.dumps` does."""
    expected = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    assert compile_expression("text(outputs)").evaluate({"outputs": value}) == expected


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("kind == tool", 'tool is the name of one here; the component is written "tool"'),
        ("llm != component and n > 2", 'llm is the name of one here; the component is written "llm"'),
        ('"S-00" in outputs', 'to search inside it, write "S-00" in text(outputs)'),
        ("'S' not in inputs.messages", 'to search inside it, write "S" in text(inputs.messages)'),
        ('"S-00" in outputs.text', ""),
        ('"S-00" in outputs.error', ""),
        ('"S-00" in inputs.messages[0].content', ""),
        ('"S-00" in metadata.message', ""),
        ('"Straße" in outputs', 'to search inside it, write "Straße" in text(outputs)'),
        ('"S-00" in text(outputs)', ""),
        ('tool in ["a", "b"]', ""),
    ],
)
def test_a_search_among_names_only_has_a_hint(text, hint):
    """`in` keeps its meaning for lists and objects; who may have meant more is told how to say it."""
    assert compile_expression(text).hint == hint


@pytest.mark.parametrize(
    "text",
    [
        "outputs.result[0] == 1",
        "outputs.result[-1] == 2",
        "len(outputs.result) == 2",
        "2 in outputs.result",
        "any(x == 2 for x in outputs.result)",
        "all(outputs.result)",
    ],
)
def test_a_tuple_counts_as_a_list(text):
    """A recording tells tuples and lists apart for a re-run; a condition need not."""
    for result in ([1, 2], {"$type": "tuple", "items": [1, 2]}):
        assert value(text, EVENT | {"outputs": {"result": result}})


ORDER = {
    "$type": "shop.Order",
    "fields": {
        "state": {"$type": "shop.State", "made": "member", "name": "SENT", "value": "sent"},
        "day": {"$type": "date", "value": "2026-11-21"},
        "count": {"$type": "shop.Level", "made": "member", "name": "TWO", "value": 2},
        "made": "by hand",
    },
    "made": "object",
}


@pytest.mark.parametrize(
    "text",
    [
        'outputs.result.state == "sent"',
        '"sent" == outputs.result.state',
        'outputs.result.state in ["open", "sent"]',
        'outputs.result.state != "open"',
        'outputs.result["day"] > "2026-11-20"',
        'startswith(outputs.result.day, "2026")',
        'matches(outputs.result.state, "^s")',
        'upper(outputs.result.state) == "SENT"',
        'lower(outputs.result.state) == "sent"',
        "len(outputs.result.state) == 4",
        "outputs.result.count > 1",
        "len(outputs.result.count) == null",
        'outputs.result.fields.state.value == "sent"',
        'outputs.result.made == "by hand"',
        "outputs.result.there == null",
        "not outputs.result == outputs.result.state",
    ],
)
def test_what_an_object_of_the_program_holds_is_asked_as_in_the_program(text):
    """Its fields are its members, and a member of an enumeration, a date or a time is what it says."""
    assert value(text, EVENT | {"outputs": {"result": ORDER}})


def mismatches(text, *values):
    """What is said after an expression was asked of events with these durations or results."""
    expression = compile_expression(text, notes_mismatches=True)
    for value in values:
        expression.matches_event(1, {"duration_ms": value, "outputs": {"result": value}})
    return expression.describe_mismatches()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('duration_ms > "5"', '`duration_ms > "5"` compares a number with a text (2 times), which is always false'),
        ("1 < duration_ms <= 'x'", "`duration_ms <= 'x'` compares a number with a text (2 times), which is always false"),
        ('duration_ms == "7"', '`duration_ms == "7"` compares a number with a text (2 times), which are never equal'),
        ('duration_ms != "7"', '`duration_ms != "7"` compares a number with a text (2 times), which are never equal'),
        ("duration_ms > 5", ""),
        ("duration_ms == null or error == 3", ""),
    ],
)  # fmt: skip
def test_operands_of_different_types_are_reported_once(text, said):
    """Each comparison that could not be true is named with the types and how often; a missing field is no mismatch."""
    assert mismatches(text, 7, 8.5, None) == said


def test_an_equality_that_fits_somewhere_is_no_mistake():
    """Results of several types are looked through for one of them; by order, the values left out are reported."""
    assert mismatches('outputs.result == "x"', 3, "x", "y", [1]) == ""
    assert "a list with a number (once)" in mismatches("outputs.result > 2", 3, [1])
