from namel3ss_debug.views.analysis import section_blocks
from namel3ss_debug.views.renderers.screen import lines
from namel3ss_debug.views.trends import groups, overview, recordings, trends


def shown(blocks):
    """The report as lines of 80 columns."""
    return [line.plain for line in lines(blocks, 80)]


def row(place, **changes):
    """A recording."""
    told = {
        "status": "completed",
        "started_at": 1_763_726_400 + 86_400 * place,
        "duration_ms": 1000.0,
        "llm_calls": 2,
        "tool_calls": 1,
        "tokens": 400,
        "cost": None,
        "errors": 0,
    } | changes
    path = f"debug/trace_20251121_120000_ab12cd{place:02}.jsonl"
    return {
        "trace": {"path": path},
        "execution_overview": told,
        "scores": {"integrity": changes.get("score", 1.0)},
    }


def test_each_figure_says_where_it_goes():
    """The change a day stands where there is one, and nothing is told of too few points."""
    told = {"points": 9, "first": 1000.0, "last": 1800.0, "median": 1400.0, "confidence": 0.999}
    figures = {
        "response_time_ms": told | {"direction": "rising", "slope_per_day": 100.0},
        "error_rate": told
        | {"direction": "falling", "first": 0.5, "last": 0.1, "median": 0.2, "slope_per_day": -0.05},
        "cost": told | {"direction": "none", "first": 0.1, "last": 0.1, "median": 0.1, "slope_per_day": 0.0},
        "tokens": {"points": 3, "direction": "unknown"},
    }
    assert shown(trends({"over": "days", "figures": figures})) == [
        "Trends  over 9 days; Mann-Kendall at 0.05, Theil-Sen slope",
        "  figure           first   median     last  trend     change a day  certain",
        "  response time   1.00 s   1.40 s   1.80 s  rising         +100 ms   99.9 %",
        "  error rate        50 %     20 %     10 %  falling           -5 %   99.9 %",
        "  cost           $0.1000  $0.1000  $0.1000  no trend",
    ]
    figures["throughput"] = figures.pop("cost") | {"points": 7, "slope_per_day": None}
    lines = shown(trends({"over": "days", "figures": figures}))
    assert lines[0] == "Trends  over days; Mann-Kendall at 0.05, Theil-Sen slope"
    assert [line.split()[1] for line in (lines[1], lines[2])] == ["points", "time"]
    assert lines[-1].split()[-6:] == ["7", "0.1", "0.1", "0.1", "no", "trend"]
    assert shown(trends({"figures": {"tokens": {"points": 3, "direction": "unknown"}}})) == []


def test_of_runs_of_one_day_the_change_a_run_is_told():
    """The column says so; of several programs the one that counts is named."""
    told = {"points": 9, "first": 1000.0, "last": 1800.0, "median": 1400.0, "confidence": 0.999}
    short = {"direction": "rising", "slope_per_day": None, "slope_per_run": 100.0}
    section = {
        "over": "traces",
        "target": "app.py",
        "targets": 2,
        "figures": {"response_time_ms": told | short},
    }
    assert shown(trends(section)) == [
        "Trends  over 9 traces of app.py; Mann-Kendall at 0.05, Theil-Sen slope",
        "  figure          first  median    last  trend   change a run  certain",
        "  response time  1.00 s  1.40 s  1.80 s  rising       +100 ms   99.9 %",
    ]
    section["figures"]["tokens"] = told | {"direction": "rising", "slope_per_day": 5.0, "slope_per_run": None}
    assert "+100 ms a run" in shown(trends(section))[2]


def test_recordings_are_rows_with_the_scores_that_are_not_whole():
    """A column that says the same of all of them is left out, and of many the last are shown."""
    assert shown(recordings([row(0), row(1, status="failed", errors=2, score=0.5)])) == [
        "Traces",
        "  id        began (UTC)  status    took  calls  tokens  errors  integrity",
        "  ab12cd00  11-21 12:00          1.00 s      3     400              100 %",
        "  ab12cd01  11-22 12:00  failed  1.00 s      3     400       2       50 %",
    ]
    many = shown(recordings([row(place) for place in range(30)]))
    assert many[0] == "Traces  the last 20 of 30"
    assert (len(many), many[2].split()[0], many[-1]) == (23, "ab12cd10", "  --format json has them all")


def test_groups_are_rows():
    """A group that no recording names is told as that."""
    told = row(0)["execution_overview"]
    rows = [
        {"group": "v1", "traces": 4, **told, "success_rate": 0.95},
        {"group": None, "traces": 1, **told, "success_rate": None},
    ]
    assert shown(groups(rows, "version")) == [
        "By version",
        "  version       traces    took  calls  tokens",
        "  v1                 4  1.00 s      3     400",
        "  not recorded       1  1.00 s      3     400",
    ]


def test_a_failure_that_came_again_is_told_with_its_first_time():
    """How often, in how many recordings, and where to look."""
    row = {
        "count": 1200,
        "traces": 7,
        "component": "tool",
        "component_name": "search",
        "error_type": "KeyError",
    }
    errors = {"recurring": [row | {"error": "[red]x", "number": "ab12cd34:17"}]}
    assert shown(section_blocks("errors", errors)) == [
        "Recurring failures  n: the first of them",
        "  times  traces  where        error                       n",
        "  1,200       7  tool search  KeyError: [red]x  ab12cd34:17",
    ]


def test_what_they_came_to_together():
    """Only what is known is there."""
    told = {
        "statuses": {"completed": 2, "open": 1},
        "duration_ms": 90_000.0,
        "llm_calls": 7,
        "errors": 1,
    }
    assert shown(overview(told, 3, {})) == [
        "3 traces",
        "  status  completed 2, open 1",
        "  took    1 m 30 s together",
        "  calls   7 LLM",
        "  errors  1",
    ]
    assert shown(overview(None, 1, {})) == ["1 trace"]
