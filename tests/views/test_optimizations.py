from namel3ss_debug.views.optimizations import optimizations
from namel3ss_debug.views.renderers.screen import lines

SECTION = {
    "saves": {"ms": 5200.0, "tokens": 41000, "cost": 0.125},
    "listed": [
        {
            "kind": "resent_context",
            "component": "llm",
            "component_name": "gpt-4o",
            "count": 7,
            "numbers": [3, 5, 8, 13, 21, 34, 55],
            "saves": {"ms": 0.0, "tokens": 41000, "cost": 0.125},
        },
        {
            "kind": "repeated_calls",
            "component": "tool",
            "component_name": "search",
            "count": 2,
            "numbers": [14, 31],
            "saves": {"ms": 5200.0, "tokens": 0, "cost": None},
        },
        {
            "kind": "failed_calls",
            "component": "tool",
            "component_name": "quick",
            "count": 1,
            "numbers": [40],
            "saves": {"ms": 0.15, "tokens": 0, "cost": None},
        },
    ],
    "listed_of": 3,
    "undecided_runs": 1,
}


def shown(blocks):
    """The report as lines of 80 columns."""
    return [line.plain for line in lines(blocks, 80)]


def test_the_sum_comes_first_then_what_saves_most():
    """What saves next to nothing is left out, and what is not known stays empty."""
    assert shown(optimizations(SECTION, alone=True)) == [
        "Could be saved  each call counts once",
        "  time    5.20 s",
        "  tokens  41,000",
        "  cost    $0.1250",
        "",
        "  what         where        calls    time  tokens     cost  n",
        "  not cached   llm gpt-4o       7          41,000  $0.1250  3 5 8 …",
        "  asked again  tool search      2  5.20 s                   14 31",
        "  repeated, with the same answer: a cache would do, if the tool only answers",
        "  1 failed span left out: other calls ran beside",
    ]


def test_nothing_to_save_is_said_only_where_it_was_asked_for():
    """A report of everything stays quiet."""
    nothing = {"saves": {"ms": 0.0, "tokens": 0, "cost": None}, "listed": [], "listed_of": 0}
    assert shown(optimizations(nothing, alone=False)) == []
    assert shown(optimizations(nothing, alone=True)) == [
        "No savings found",
        "  looked for: calls that failed, repeat, are slow or could run in parallel",
    ]
    assert shown(optimizations({}, alone=False)) == []
