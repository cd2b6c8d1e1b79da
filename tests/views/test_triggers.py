from namel3ss_debug.views.renderers.screen import lines
from namel3ss_debug.views.triggers import triggers

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


def shown(blocks):
    """The report as lines of 80 columns."""
    return [line.plain for line in lines(blocks, 80)]


def test_what_fired_comes_first_then_what_did_not_and_why():
    """Each with what was seen beside what is allowed."""
    section = {"rules": RULES, "triggered": [FIRED], "triggered_count": 1}
    assert shown(triggers(section, alone=True)) == [
        "Thresholds passed  the setting triggers defines what is allowed",
        "  rule        seen  allowed  what                       times  n",
        "  error rate  31 %      5 %  calls failed within 300 s      2  41 47 50",
        "  the first at 2023-11-14 22:13:20.500 UTC",
        "  within         timeouts",
        "  switched off   loop",
        "  memory growth  not known: fewer than 10 readings",
    ]
    assert len(shown(triggers(section, alone=False))) == 4


def test_each_unit_is_written_in_its_own_way():
    """Seconds as durations, growth by the hour, ratios as times."""
    rows = [
        FIRED | {"unit": unit, "value": 42.0, "threshold": 10.0, "timestamp": None}
        for unit in ("s", "MB per hour", "times", "calls")
    ]
    found = shown(triggers({"rules": [], "triggered": rows, "triggered_count": 4}, alone=False))
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
    assert shown(triggers(section, alone=False)) == []
    assert shown(triggers(section, alone=True))[0] == "No threshold passed"
