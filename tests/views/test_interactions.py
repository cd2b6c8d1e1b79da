from namel3ss_debug.views.interactions import interactions
from namel3ss_debug.views.renderers.markdown import markdown
from namel3ss_debug.views.renderers.screen import lines

CALL = {
    "from": "Planner",
    "component": "tool",
    "component_name": "search",
    "count": 12,
    "completed": 9,
    "failed": 2,
    "open": 1,
    "retries": 0,
    "total_ms": 840.0,
    "tokens": 0,
}
SECTION = {
    "pairs": 14,
    "calls": [CALL, CALL | {"from": None, "component": "agent", "component_name": "Planner", "tokens": 5210}],
    "hand_offs": [
        {"from": "Triage", "to": "Refunds", "kind": "recorded", "count": 1, "numbers": [31]},
        {"from": "Triage", "to": None, "kind": "inferred", "count": 2, "numbers": []},
    ],
    "messages": {
        "count": 4,
        "left_out": 0,
        "pairs": [{"from": "A", "to": "B", "count": 3, "unanswered": 1, "repeated": 1}],
        "unanswered": {"count": 1, "listed": [{"number": 40, "from": "A", "to": "B"}]},
        "repeated": {"count": 1, "listed": [{"from": "A", "to": "B", "count": 2, "numbers": [12, 40]}]},
    },
}
NOBODY = {"pairs": 0, "calls": [], "hand_offs": [], "messages": {"count": 0}}


def shown(section, **options):
    """The report as lines of 80 columns."""
    return [line.plain for line in lines(interactions(section, **options), 80)]


def test_what_had_no_answer_comes_first_then_who_called_whom():
    """All of it fits 80 columns; columns in which nothing stands are left out."""
    assert shown(SECTION) == [
        "1 message without an answer, 1 message sent again",
        "  from  to  what                   events",
        "  A     B   no answer              40",
        "  A     B   the same text 2 times  12 40",
        "",
        "Interactions",
        "  from         called         calls  failed  open  total ms  tokens",
        "  Planner      tool search       12       2     1       840",
        "  the program  agent Planner     12       2     1       840   5,210",
        "  … 12 more; --format json lists them",
        "",
        "Hand-offs",
        "  from    to         times  known by         events",
        "  Triage  Refunds        1  a message        31",
        "  Triage  not known      2  the tool's name",
        "",
        "Messages",
        "  from  to  messages  unanswered  repeated",
        "  A     B          3           1         1",
    ]


def test_a_run_without_agents_has_no_such_part_in_a_whole_report():
    """What the program called itself stands among its tools and models already."""
    section = NOBODY | {"pairs": 1, "calls": [CALL | {"from": None}]}
    assert shown(section) == []
    assert shown(section, alone=True)[0] == "Interactions"


def test_nothing_called_is_only_said_where_it_was_asked_for():
    """An empty recording has nothing to show."""
    assert shown(NOBODY) == []
    assert shown(NOBODY, alone=True) == ["Interactions  nothing was called"]


def test_names_from_the_trace_are_text_and_nothing_else():
    """Neither the terminal nor Markdown takes a name for more than a name."""
    section = SECTION | {"calls": [CALL | {"from": "\x1b[31m*x*|y"}]}
    assert not any("\x1b" in line for line in shown(section))
    assert "\\*x\\*\\|y" in "\n".join(markdown(interactions(section)))
