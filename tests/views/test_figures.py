"""The sections as reports: what stands in their tables, and what stands between those."""

from namel3ss_debug.views.analysis import section_blocks
from namel3ss_debug.views.renderers.markdown import markdown
from namel3ss_debug.views.renderers.screen import lines


def shown(key, section, **options):
    """The report on a section as lines of 80 columns."""
    return [line.plain for line in lines(section_blocks(key, section, **options), 80)]


BOTTLENECKS_WHO = {"component": "tool", "component_name": "search"}


def test_the_heaviest_operations_and_how_many_ran_at_once():
    """What is not known stays empty, and a little is never shown as nothing."""
    performance = {
        "bottlenecks": [
            {**BOTTLENECKS_WHO, "self_ms": 800.0, "share": 0.8, "cause": "io", "waiting_ms": 790.0},
            {
                "component": "llm",
                "component_name": "m",
                "self_ms": 90,
                "share": 0.09,
                "cause": "model",
                "waiting_ms": None,
            },
        ],
        "concurrency": {
            "most": 2,
            "mean": 1.25,
            "serial_ms": 600.0,
            "serial_share": 0.6,
            "idle_ms": 0.0,
            "idle_share": 0.0,
            "over_time": [0, 0.01, 1, 2],
        },
    }
    assert shown("performance", performance) == [
        "Bottlenecks  self time, as a share of the run",
        "  operation      ms  share  cause  waiting ms",
        "  tool search   800   80 %  io            790",
        "  llm m        90.0    9 %  model",
        "",
        "Concurrency  spans in which no other ran",
        "  most       2",
        "  mean       1.25 while anything ran",
        "  one        600 ms  (60 % of the run)",
        "  none       0 ms  (0 %)",
        "  over time   ▁▄█",
    ]


def test_a_run_in_which_one_thing_ran_at_a_time_has_no_such_part():
    """Neither has one without anything."""
    assert shown("performance", {"bottlenecks": [], "concurrency": {"most": 1}}) == []
    assert shown("performance", {}) == []


def test_outliers_stand_beside_the_median():
    """Those that are not shown are counted."""
    rows = [{"number": n, **BOTTLENECKS_WHO, "duration_ms": 5000.0, "p50_ms": 12.0} for n in range(1, 12)]
    found = shown("performance", {"outliers": {"count": 11, "listed": rows}})
    assert found[:3] == [
        "Outliers  far longer than the others; --format json names the method",
        "   n  operation       ms  p50 ms",
        "   1  tool search  5,000    12.0",
    ]
    assert found[-1] == "  … 1 more; --format json lists them"


TOOL = {"component": "tool", "component_name": "order"}
ORIGIN = {
    "number": 9,
    "component": "tool",
    "component_name": "find",
    "kind": "empty_result",
    "reason": "returned nothing",
}
FAILURE = {
    "number": 25,
    **TOOL,
    "category": "parameter",
    "error_type": "ValueError",
    "error": "no supplier 'S-00'",
    "attempts": [25],
}
ERRORS_SECTION = {
    "total_errors": 1,
    "error_categories": {"parameter": 1},
    "severity": 0.75,
    "first_failure_ms": 1110.0,
    "retry_cost": {"spans": 2, "duration_ms": 30.0, "tokens": 12, "cost": 0.5},
    "failures": [FAILURE | {"origins": [ORIGIN]}],
    "weak_errors": 1,
    "weak_failures": [
        {
            "number": 5,
            **TOOL,
            "confidence": 0.85,
            "error_type": None,
            "error": "Error: gone",
            "origins": [ORIGIN | {"number": 5}],
        }
    ],
}


def test_the_most_frequent_category_is_told_first():
    """Also where recordings were put together in another order."""
    told = {"total_errors": 6, "error_categories": {"timeout": 1, "tool": 4, "network": 1}, "failures": []}
    assert "  categories  tool 4, network 1, timeout 1" in shown("errors", told)


def test_a_failure_stands_above_where_it_began():
    """Weaker signs have a table of their own, apart from failures."""
    assert shown("errors", ERRORS_SECTION) == [
        "1 error",
        "  first    1.11 s into the run",
        "  retries  2 calls made again, 30.0 ms, 12 tokens, $0.5000",
        "",
        "   n  where       category    error",
        "  25  tool order  parameter   ValueError: no supplier 'S-00'",
        "   9  tool find   began here  returned nothing",
        "  how it came to the first of them: namel3ss debug explain 25",
        "",
        "1 weaker sign of failure  in an output or a log record; no span failed",
        "  n  where       what it says",
        "  5  tool order  Error: gone",
    ]


def test_nothing_fails_to_show():
    """A run without failures says nothing; unknown origins are left out; markdown has the same rows."""
    assert shown("errors", {"total_errors": 0}) == []
    assert shown("errors", {"total_errors": 1, "failures": [FAILURE | {"origins": None}]})[-2:] == [
        "  25  tool order  parameter  ValueError: no supplier 'S-00'",
        "  how it came to the first of them: namel3ss debug explain 25",
    ]
    assert "| 9 | tool find | began here | returned nothing |" in "\n".join(
        markdown(section_blocks("errors", ERRORS_SECTION))
    )


def test_attempts_made_good_have_a_heading_of_their_own():
    """With what they cost."""
    assert shown(
        "errors", {"recovered_errors": 2, "total_errors": 0, "retry_cost": ERRORS_SECTION["retry_cost"]}
    )[0] == ("2 failed attempts  recovered by another")


OPTIMIZATIONS_SECTION = {
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
}


def test_the_sum_comes_first_then_what_saves_most():
    """What saves next to nothing is left out, and what is not known stays empty."""
    assert shown("optimizations", OPTIMIZATIONS_SECTION, alone=True) == [
        "Could be saved  each call counts once",
        "  time    5.20 s",
        "  tokens  41,000",
        "  cost    $0.1250",
        "",
        "  what         where        calls    time  tokens     cost  n",
        "  not cached   llm gpt-4o       7          41,000  $0.1250  3 5 8 …",
        "  asked again  tool search      2  5.20 s                   14 31",
        "  repeated, with the same answer: a cache would do, if the tool only answers",
    ]


def test_nothing_to_save_is_said_only_where_it_was_asked_for():
    """A report of everything stays quiet."""
    nothing = {"saves": {"ms": 0.0, "tokens": 0, "cost": None}, "listed": [], "listed_of": 0}
    assert shown("optimizations", nothing, alone=False) == []
    assert shown("optimizations", nothing, alone=True) == [
        "No savings found",
        "  looked for: calls that failed, repeat, are slow or could run in parallel",
    ]
    assert shown("optimizations", {}, alone=False) == []


DEPENDENCIES_WHO = {"component": "tool", "component_name": "search"}
DEPENDENCIES_SECTION = {
    "spans": 12,
    "spans_left_out": 3,
    "wall_ms": 2000.0,
    "work_ms": 2500.0,
    "parallelism": 1.25,
    "edges": {"nesting": 4, "recorded": 1, "inferred": 0},
    "violations": {
        "count": 2,
        "listed": [
            {"number": 9, **DEPENDENCIES_WHO, "needs": 4, "needed_ended": True, "early_ms": 80.0},
            {"number": 11, **DEPENDENCIES_WHO, "needs": 5, "needed_ended": False, "early_ms": 1.0},
        ],
    },
    "critical_path": {
        "steps": 2,
        "operations": [
            {**DEPENDENCIES_WHO, "spans": 1, "ms": 1500.0, "share": 0.75},
            {"component": None, "component_name": None, "spans": 0, "ms": 500.0, "share": 0.25},
        ],
        "listed": [],
    },
    "schedule": [
        {
            "number": 4,
            **DEPENDENCIES_WHO,
            "duration_ms": 1500.0,
            "critical_ms": 1500.0,
            "slack_ms": 0.0,
            "needs": [],
        },
        {
            "number": 7,
            **DEPENDENCIES_WHO,
            "duration_ms": 1600.0,
            "critical_ms": 0.0,
            "slack_ms": 12.5,
            "needs": [4, 5],
        },
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


def test_broken_needs_come_first_then_the_path_then_what_could_be_saved():
    """All of it fits 80 columns; unknown figures are empty."""
    assert shown("dependencies", DEPENDENCIES_SECTION) == [
        "2 spans began before what it needs had ended",
        "   n  span         needs     early ms",
        "   9  tool search      4         80.0",
        "  11  tool search      5  never ended",
        "",
        "Critical path  what the 2.00 s were made of; shares of the whole run",
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
        "  7  tool search  1,600         0.00      12.5  4 5",
        "  … 10 more; --format json lists them",
        "",
        "700 ms could be saved in parallel  35 % of the run, by what was recorded",
        "  inside   saves ms  could have run at the same time",
        "  the run       700  4, 9; 5, 7",
        "  3 shorter spans were left out",
    ]


def test_what_is_not_known_is_told_as_such():
    """A recording without payloads says nothing about what could have run at the same time."""
    section = DEPENDENCIES_SECTION | {"parallel": {"saves_ms": None, "reason": "no payloads", "chances": []}}
    assert "  what could have run at the same time is not known: no payloads" in shown(
        "dependencies", section
    )


def test_dependencies_of_nothing():
    """A recording without spans has no such part."""
    assert shown("dependencies", {"spans": 0}) == []


def test_names_in_dependencies_are_text_and_nothing_else():
    """Neither the terminal nor Markdown takes a name for more than a name."""
    evil = {"component": "tool", "component_name": "\x1b[31m*x*|y"}
    section = DEPENDENCIES_SECTION | {"schedule": [DEPENDENCIES_SECTION["schedule"][0] | evil]}
    assert not any("\x1b" in line for line in shown("dependencies", section))
    assert "\\*x\\*\\|y" in "\n".join(markdown(section_blocks("dependencies", section)))


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
INTERACTIONS_SECTION = {
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


def test_what_had_no_answer_comes_first_then_who_called_whom():
    """All of it fits 80 columns; columns in which nothing stands are left out."""
    assert shown("interactions", INTERACTIONS_SECTION) == [
        "Messages without an answer, or sent again",
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
    assert shown("interactions", section) == []
    assert shown("interactions", section, alone=True)[0] == "Interactions"


def test_nothing_called_is_only_said_where_it_was_asked_for():
    """An empty recording has nothing to show."""
    assert shown("interactions", NOBODY) == []
    assert shown("interactions", NOBODY, alone=True) == ["Interactions  nothing was called"]


def test_names_in_interactions_are_text_and_nothing_else():
    """Neither the terminal nor Markdown takes a name for more than a name."""
    section = INTERACTIONS_SECTION | {"calls": [CALL | {"from": "\x1b[31m*x*|y"}]}
    assert not any("\x1b" in line for line in shown("interactions", section))
    assert "\\*x\\*\\|y" in "\n".join(markdown(section_blocks("interactions", section)))


RULES = [
    {"rule": "error_rate", "state": "triggered", "reason": None},
    {"rule": "timeouts", "state": "ok", "reason": None},
    {"rule": "loop", "state": "off", "reason": None},
    {"rule": "memory_growth", "state": "unknown", "reason": "fewer than 10 readings"},
]
FIRED = {
    "rule": "error_rate",
    "threshold": 0.05,
    "value": 0.31,
    "unit": "share",
    "times": 2,
    "timestamp": 1_700_000_000.5,
    "numbers": [41, 47, 50, 61],
    "component": None,
    "component_name": None,
    "what": "calls failed within 300 s",
}


def test_what_fired_comes_first_then_what_did_not_and_why():
    """Each with what was seen beside what is allowed."""
    section = {"rules": RULES, "triggered": [FIRED], "triggered_count": 1}
    assert shown("triggers", section, alone=True) == [
        "Thresholds passed  the setting triggers defines what is allowed",
        "  rule        seen  allowed  what                       times  n",
        "  error rate  31 %      5 %  calls failed within 300 s      2  41 47 50 …",
        "  the first at 2023-11-14 22:13:20.500 UTC",
        "  within         timeouts",
        "  switched off   loop",
        "  memory growth  not known: fewer than 10 readings",
    ]
    assert len(shown("triggers", section, alone=False)) == 4


def test_each_unit_is_written_in_its_own_way():
    """Seconds as durations, growth by the hour, ratios as times."""
    rows = [
        FIRED | {"unit": unit, "value": 42.0, "threshold": 10.0, "timestamp": None}
        for unit in ("s", "MB per hour", "times", "calls")
    ]
    found = shown("triggers", {"rules": [], "triggered": rows, "triggered_count": 4}, alone=False)
    seen = [" ".join(line.split()) for line in found if "error rate" in line]
    assert [line.removeprefix("error rate ").partition(" calls")[0] for line in seen] == [
        "42.0 s 10.0 s",
        "42 MB/h 10 MB/h",
        "42 times 10 times",
        "42 10",
    ]


def test_a_report_of_everything_is_quiet_where_nothing_fired():
    """Asked for alone, it says so."""
    section = {"rules": RULES[1:], "triggered": [], "triggered_count": 0}
    assert shown("triggers", section, alone=False) == []
    assert shown("triggers", section, alone=True)[0] == "No threshold passed"


LEAK = {
    "verdict": "grows",
    "mb_per_hour": 61.2,
    "low_mb_per_hour": 55.0,
    "high_mb_per_hour": 70.04,
    "confidence": 0.95,
}


def memory(*leaks):
    """The memory of so many processes."""
    processes = [{"process": f"p{place}", "leak": leak} for place, leak in enumerate(leaks)]
    return {
        "memory": {"peak_mb": 120.0, "peak_number": 9, "start_mb": 50, "end_mb": 80, "processes": processes}
    }


def test_growth_is_told_with_its_interval_and_its_process():
    """The process that grows is the first; where only one ran, it needs no name."""
    assert "  growth  61.2 MB per hour, 95 % sure between 55.0 and 70.0" in shown(
        "resource_usage", memory(LEAK)
    )
    both = shown("resource_usage", memory(LEAK, {"verdict": "steady"}))
    assert "  growth  61.2 MB per hour in process p0, 95 % sure between 55.0 and 70.0" in both


def test_readings_of_several_processes_are_no_way_from_one_to_the_other():
    """Where the memory of one began and that of another ended says nothing."""
    one, two = memory(LEAK), memory(LEAK, LEAK)
    two["memory"]["process_count"] = 2
    assert "  memory  120.0 MB at most, at event 9  (from 50.0 to 80.0)" in shown("resource_usage", one)
    assert "  memory  120.0 MB at most, at event 9" in shown("resource_usage", two)


def test_memory_that_does_not_grow_is_told_in_a_word():
    """Where too little is known, nothing is said."""
    assert "  growth  steady" in shown(
        "resource_usage", memory({"verdict": "steady"}, {"verdict": "shrinks"})
    )
    assert "  growth  shrinks" in shown("resource_usage", memory({"verdict": "shrinks"}, {"verdict": None}))
    assert not any("growth" in line for line in shown("resource_usage", memory({"verdict": None})))


def test_conversations_stand_below_the_models_where_they_fill_a_window():
    """A share that is not known stays empty, and what fills next to nothing is left out."""
    row = {"model": "m", "calls": 5, "first_number": 3, "first_tokens": 2000, "last_tokens": 82_000}
    context = {
        "by_model": {"m": {"max_share": 0.640625}, "other": {"max_share": None}},
        "conversations": [
            row | {"tokens_per_call": 20_000.0, "max_share": 0.640625, "calls_left": 2},
            row | {"tokens_per_call": 2.0, "max_share": 0.001, "calls_left": 2},
            row | {"tokens_per_call": None, "max_share": 0.5, "calls_left": None},
        ],
    }
    used = {
        "total": 30,
        "by_model": {"m": {"total": 20}, "other": {"total": 10}},
        "by_tool": {"ask": {"total": 5}},
    }
    assert shown("resource_usage", {"tokens": used, "context": context}) == [
        "Resources",
        "  model, agent, tool  tokens  window",
        "  m                       20  64.1 %",
        "  other                   10",
        "  ask                      5",
        "  window: the largest share of its model's context that a call filled",
        "",
        "Contexts  input tokens by conversation, the fullest first",
        "  n  model  calls  first    last  per call  window  calls left",
        "  3  m          5  2,000  82,000   +20,000  64.1 %           2",
    ]


def test_collections_are_those_of_all_processes():
    """Generations that were never collected are left out."""
    rows = [{"collections": [218, 0, 1]}, {"collections": [2]}, {"collections": None}]
    assert "  collections  220 of generation 0, 1 of generation 2" in shown(
        "resource_usage", {"processes": rows}
    )


def test_a_recording_that_tells_nothing_has_no_such_part():
    """Nothing is shown as nothing."""
    assert shown("resource_usage", {}) == []


def test_what_lowers_the_score_comes_first():
    """Then the events that show it, as far as there is room for them."""
    section = {
        "score": 0.99996,
        "lowered_by": [
            {
                "check": "lost_events",
                "count": 2,
                "of": 1000,
                "unit": "events",
                "lowered_by": 0.01,
                "why": "gone",
            },
            {
                "check": "open_processes",
                "count": 1,
                "of": 1,
                "unit": "processes",
                "lowered_by": 0.00004,
                "why": "killed",
            },
        ],
        "findings": [{"check": "lost_events", "number": n, "what": f"what {n}"} for n in range(1, 13)],
    }
    assert shown("integrity", section) == [
        "Integrity > 99.9 %  how far the trace can be trusted",
        "  found                    how many  lowers by  because",
        "  lost events     2 of 1,000 events        1 %  gone",
        "  open processes     1 of 1 process    < 0.1 %  killed",
        "",
        "Where it shows",
        "   n  what",
        *(f"  {n:2}  what {n}" for n in range(1, 11)),
        "  … 2 more; --format json lists them",
    ]


def test_a_sound_recording_is_told_in_one_line():
    """There is nothing to look at."""
    assert shown("integrity", {"score": 1.0, "lowered_by": [], "findings": []}, alone=True) == [
        "Integrity 100 %  no event is missing, cut or impossible"
    ]


def test_integrity_of_nothing():
    """A recording without events has no score."""
    assert shown("integrity", {"score": None, "lowered_by": []}) == []
