from namel3ss_debug.views.dependencies import dependencies
from namel3ss_debug.views.renderers.markdown import markdown
from namel3ss_debug.views.renderers.screen import lines

WHO = {"component": "tool", "component_name": "search"}
SECTION = {
    "spans": 12,
    "spans_left_out": 3,
    "wall_ms": 2000.0,
    "work_ms": 2500.0,
    "parallelism": 1.25,
    "edges": {"nesting": 4, "recorded": 1, "inferred": 0},
    "violations": {
        "count": 2,
        "listed": [
            {"number": 9, **WHO, "needs": 4, "needed_ended": True, "early_ms": 80.0},
            {"number": 11, **WHO, "needs": 5, "needed_ended": False, "early_ms": 1.0},
        ],
    },
    "critical_path": {
        "steps": 2,
        "operations": [
            {**WHO, "spans": 1, "ms": 1500.0, "share": 0.75},
            {"component": None, "component_name": None, "spans": 0, "ms": 500.0, "share": 0.25},
        ],
        "listed": [],
    },
    "schedule": [
        {"number": 4, **WHO, "duration_ms": 1500.0, "critical_ms": 1500.0, "slack_ms": 0.0, "needs": []},
        {"number": 7, **WHO, "duration_ms": 1600.0, "critical_ms": 0.0, "slack_ms": 12.5, "needs": [4, 5]},
    ],
    "parallel": {
        "saves_ms": 700.0,
        "share": 0.35,
        "others_ms": 0.0,
        "reason": None,
        "chances": [
            {
                "number": None,
                "component": None,
                "component_name": None,
                "saves_ms": 700.0,
                "groups": [[4, 9], [5, 7]],
            }
        ],
    },
}


def shown(section):
    """The report as lines of 80 columns."""
    return [line.plain for line in lines(dependencies(section), 80)]


def test_broken_needs_come_first_then_the_path_then_what_could_be_saved():
    """All of it fits 80 columns; unknown figures are empty."""
    assert shown(SECTION) == [
        "2 spans began before what it needs had ended",
        "   n  span         needs     early ms",
        "   9  tool search      4         80.0",
        "  11  tool search      5  never ended",
        "",
        "Critical path  what the 2.00 s were made of",
        "  work     2.50 s",
        "  at once  1.25 on average",
        "  needs    1 recorded",
        "",
        "  operation            spans     ms  share",
        "  tool search              1  1,500   75 %",
        "  outside of any span           500   25 %",
        "",
        "Spans on the path  slack: how much longer without delaying the run",
        "  n  span            ms  on the path  slack ms  needs",
        "  4  tool search  1,500        1,500      0.00",
        "  7  tool search  1,600         0.00      12.5  4, 5",
        "  … 10 more; --format json lists them",
        "",
        "700 ms could be saved in parallel  35 % of the run, by what was recorded",
        "  inside   saves ms  could have run at the same time",
        "  the run       700  4, 9; 5, 7",
        "  3 shorter spans were left out",
    ]


def test_what_is_not_known_is_told_as_such():
    """A recording without payloads says nothing about what could have run at the same time."""
    section = SECTION | {"parallel": {"saves_ms": None, "reason": "no payloads", "chances": []}}
    assert "  what could have run at the same time is not known: no payloads" in shown(section)


def test_nothing_for_nothing():
    """A recording without spans has no such part."""
    assert shown({"spans": 0}) == []


def test_names_from_the_trace_are_text_and_nothing_else():
    """Neither the terminal nor Markdown takes a name for more than a name."""
    evil = {"component": "tool", "component_name": "\x1b[31m*x*|y"}
    section = SECTION | {"schedule": [SECTION["schedule"][0] | evil]}
    assert not any("\x1b" in line for line in shown(section))
    assert "\\*x\\*\\|y" in "\n".join(markdown(dependencies(section)))
