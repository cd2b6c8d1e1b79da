from namel3ss_debug.views.renderers.screen import lines
from namel3ss_debug.views.usage import resources

LEAK = {
    "verdict": "grows",
    "mb_per_hour": 61.2,
    "low_mb_per_hour": 55.0,
    "high_mb_per_hour": 70.04,
    "confidence": 0.95,
}


def shown(section):
    """The report as lines of 80 columns."""
    return [line.plain for line in lines(resources(section), 80)]


def memory(*leaks):
    """The memory of so many processes."""
    processes = [{"process": f"p{place}", "leak": leak} for place, leak in enumerate(leaks)]
    return {
        "memory": {"peak_mb": 120.0, "peak_number": 9, "start_mb": 50, "end_mb": 80, "processes": processes}
    }


def test_growth_is_told_with_its_interval_and_its_process():
    """The process that grows is the first; where only one ran, it needs no name."""
    assert "  growth  61.2 MB per hour, 95 % sure between 55.0 and 70.0" in shown(memory(LEAK))
    both = shown(memory(LEAK, {"verdict": "steady"}))
    assert "  growth  61.2 MB per hour in process p0, 95 % sure between 55.0 and 70.0" in both


def test_readings_of_several_processes_are_no_way_from_one_to_the_other():
    """Where the memory of one began and that of another ended says nothing."""
    one, two = memory(LEAK), memory(LEAK, LEAK)
    two["memory"]["process_count"] = 2
    assert "  memory  120.0 MB at most, at event 9  (from 50.0 to 80.0)" in shown(one)
    assert "  memory  120.0 MB at most, at event 9" in shown(two)


def test_memory_that_does_not_grow_is_told_in_a_word():
    """Where too little is known, nothing is said."""
    assert "  growth  steady" in shown(memory({"verdict": "steady"}, {"verdict": "shrinks"}))
    assert "  growth  shrinks" in shown(memory({"verdict": "shrinks"}, {"verdict": None}))
    assert not any("growth" in line for line in shown(memory({"verdict": None})))


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
    assert shown({"tokens": used, "context": context}) == [
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
    assert "  collections  220 of generation 0, 1 of generation 2" in shown({"processes": rows})


def test_a_recording_that_tells_nothing_has_no_such_part():
    """Nothing is shown as nothing."""
    assert shown({}) == []
