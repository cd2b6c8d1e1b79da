"""The metrics of spans: added one by one, they are those of the whole table."""

from pathlib import Path

import pytest

from namel3ss_debug.analysis.metrics import ALERTS, METRICS, MetricTotals, make_lines, to_text_format
from namel3ss_debug.importers.opening import load_spans

RECORDINGS = sorted((Path(__file__).parents[1] / "data" / "recordings").glob("*.jsonl"))


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda path: path.stem)
def test_several_traces_are_one_table(recording):
    """Each value is twice that of one trace, exactly."""
    once, twice = load_spans(recording), load_spans(recording)
    twice.extend(once)
    figures = [
        dict(line.rsplit(" ", 1) for line in make_lines(spans) if line[0] != "#") for spans in (once, twice)
    ]
    assert figures[0].keys() == figures[1].keys()
    assert {name: float(value) * 2 for name, value in figures[0].items()} == {
        name: float(value) for name, value in figures[1].items()
    }


def test_gauges_are_what_is_passed():
    """Values of labels are escaped, and a metric without values is left out."""
    lines = list(MetricTotals().make_lines({ALERTS: {(("rule", 'a"b\\c\nd'),): 2, (): 1}}))
    assert lines == [
        "# TYPE namel3ss_alerts gauge",
        "# HELP namel3ss_alerts Alerts that fire.",
        "namel3ss_alerts 1",
        'namel3ss_alerts{rule="a\\"b\\\\c\\nd"} 2',
        "# EOF",
    ]


def test_the_text_format_names_counters_as_their_samples():
    """What only OpenMetrics has is left out."""
    lines = [
        "# TYPE a counter",
        "# UNIT a s",
        "# HELP a total # TYPE",
        'a_total{x="# EOF"} 1',
        "# TYPE b gauge",
        "b 2",
        "# EOF",
    ]
    assert list(to_text_format(lines)) == [
        "# TYPE a_total counter",
        "# HELP a_total total # TYPE",
        'a_total{x="# EOF"} 1',
        "# TYPE b gauge",
        "b 2",
    ]


def test_units_end_the_names():
    """As OpenMetrics wants."""
    for name, metric in METRICS.items():
        assert not metric.unit or name.endswith(f"_{metric.unit}")
