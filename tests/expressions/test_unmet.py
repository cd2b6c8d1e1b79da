"""Why an expression was never true."""

import pytest

from namel3ss_debug.expressions import compile_expression, event_scope
from namel3ss_debug.expressions.unmet import UnmetExpression

EVENTS = [
    {"event_type": "tool_call_start", "inputs": {"arguments": {"city": "Oslo"}, "call_id": "c1"}},
    {"event_type": "tool_call_end", "outputs": {"result": {"$type": "Weather", "fields": {"celsius": 3}}}},
]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('inputs.argumets.city == "Oslo"', "`inputs.argumets` does not exist (arguments?)"),
        ('inputs["argumets"]["city"] == "Oslo"', "`inputs.argumets` does not exist (arguments?)"),
        ("inputs.zzz > 1", "`inputs.zzz` does not exist; there are arguments, call_id"),
        (
            "event.inputs.arguments.town is null",
            "`event.inputs.arguments.town` does not exist; there are city",
        ),
        (
            "outputs.result.celcius > 1 or inputs.argumets.a",
            "`outputs.result.celcius` does not exist (celsius?); `inputs.argumets` does not exist (arguments?)",
        ),
        ("outputs.result.celsius > 30", ""),
        ('inputs.arguments.city == "Rome"', ""),
        ("metadata.retry_of == 3", ""),
        ("duration_ms > 5", ""),
    ],
)
def test_fields_that_no_event_has_are_named(text, why):
    """With the nearest name that is there; a field that only some events have is no mistake."""
    unmet = UnmetExpression(compile_expression(text))
    for number, event in enumerate(EVENTS, 1):
        unmet.note(event_scope(number, event))
    assert unmet.describe_missing() == why


def test_comparisons_of_different_types_are_counted_by_its_own_copy():
    """The expression of the breakpoint stays as fast as it was."""
    expression = compile_expression("inputs.arguments.city > 3")
    unmet = UnmetExpression(expression)
    unmet.note(event_scope(1, EVENTS[0]))
    assert "compares a text with a number (once)" in unmet.expression.describe_mismatches()
    assert expression.describe_mismatches() == ""
