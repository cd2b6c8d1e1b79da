from namel3ss_debug.analysis.sections.performance import OUTLIER_TABLE
from namel3ss_debug.views.bottlenecks import bottlenecks
from namel3ss_debug.views.renderers.screen import lines
from namel3ss_debug.views.sections import listing

WHO = {"component": "tool", "component_name": "search"}


def shown(blocks):
    """The report as lines of 80 columns."""
    return [line.plain for line in lines(blocks, 80)]


def test_the_heaviest_operations_and_how_many_ran_at_once():
    """What is not known stays empty, and a little is never shown as nothing."""
    performance = {
        "bottlenecks": [
            {**WHO, "self_ms": 800.0, "share": 0.8, "cause": "io", "waiting_ms": 790.0},
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
    assert shown(bottlenecks(performance)) == [
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
    assert shown(bottlenecks({"bottlenecks": [], "concurrency": {"most": 1}})) == []
    assert shown(bottlenecks({})) == shown(listing({}, OUTLIER_TABLE)) == []


def test_outliers_stand_beside_the_median():
    """Those that are not shown are counted."""
    rows = [{"number": n, **WHO, "duration_ms": 5000.0, "p50_ms": 12.0} for n in range(1, 12)]
    found = shown(listing({"outliers": {"count": 11, "listed": rows}}, OUTLIER_TABLE))
    assert found[:3] == [
        "Outliers  far longer than the others; --format json names the method",
        "   n  operation       ms  p50 ms",
        "   1  tool search  5,000    12.0",
    ]
    assert found[-1] == "  … 1 more; --format json lists them"
