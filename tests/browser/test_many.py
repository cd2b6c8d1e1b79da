"""The page of many runs, in the browser."""

from __future__ import annotations

import json
import shutil

import pytest

from .conftest import ROOT, run_debug
from .test_foreign import SCRIPTS, hostile_events

RECORDINGS = ROOT / "tests" / "data" / "recordings"


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Write the page of recorded runs, two of which fail in the same way, and the page of one of them."""
    folder = tmp_path_factory.mktemp("many")
    for path in RECORDINGS.glob("*.jsonl"):
        shutil.copy(path, folder)
    events = (RECORDINGS / "failing_agent.jsonl").read_text().splitlines()
    later = [
        {**event, "timestamp": event["timestamp"] + 90_000, "execution_id": "again"}
        for event in map(json.loads, events)
    ]
    (folder / "again.jsonl").write_text("".join(json.dumps(event) + "\n" for event in later))
    run_debug("view", folder / "failing_agent.jsonl", "--no-open")
    run_debug("view", folder, "-o", folder / "runs.html", "--no-open")
    return folder / "runs.html"


@pytest.fixture(scope="module")
def hostile_runs(tmp_path_factory):
    """Write the page of two runs with the same harmful texts."""
    folder = tmp_path_factory.mktemp("hostile")
    for index in range(2):
        rows = [
            {**event, "timestamp": event["timestamp"] + index * 90_000, "execution_id": f"hostile{index}"}
            for event in hostile_events()
        ]
        path = folder / f"<img src=x onerror=alert({index})>.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    run_debug("view", folder, "-o", folder / "runs.html", "--no-open")
    return folder / "runs.html"


def test_each_run_is_a_row_that_opens_its_trace(many, watched):
    """A row has the outcome and the first finding; a page beside the trace is a link, otherwise the command is copied."""
    view = watched(permissions=["clipboard-read", "clipboard-write"])
    page = view.open(many)
    runs = len([*RECORDINGS.glob("*.jsonl")]) + 1
    assert page.locator("#outcome").inner_text() == f"✕ {runs} runs, 2 failed"
    assert page.locator(".runs tbody tr").count() == runs
    row = page.locator(".runs tbody tr", has_text="failing_agent ↗")
    assert "✕ failed (ValueError): " in row.inner_text()
    page.locator(".runs tbody tr", has_text="weather_agent").locator("button").click()
    view.settle()
    assert page.evaluate("navigator.clipboard.readText()").endswith("weather_agent.jsonl")
    row.locator("a").click()
    page.locator("body[data-ready] #tree").wait_for()
    assert page.locator("#outcome").inner_text() == "✕ failed (ValueError)"


def test_runs_are_filtered_sorted_and_walked(many, watched):
    """The filter has words and failures, a head orders, `e` goes to a failed run, and a link leads to a run."""
    view = watched()
    page = view.open(many)
    page.locator("#search").fill("weather")
    assert page.locator(".runs tbody tr").count() == 1
    page.locator("#search").press("Escape")
    page.locator(".runs th button", has_text="took").click()
    runs = json.loads(page.locator("#facts").text_content())["many"]["runs"]
    longest_first = sorted(runs, key=lambda run: run["ms"], reverse=True)
    assert page.locator(".runs .took").all_inner_texts() == [run["took"] for run in longest_first]
    assert page.locator("[aria-sort]").get_attribute("aria-sort") == "descending"
    page.locator("#outcome").click()
    page.keyboard.press("x")
    assert page.locator(".runs tbody tr").count() == 2
    page.keyboard.press("e")
    chosen = page.locator(".runs tr[aria-current]").inner_text()
    assert "failed" in chosen
    assert page.locator(".point[aria-current]").count() >= 1
    link = page.evaluate("location.hash")
    other = watched()
    assert (
        other.open(many, link).locator(".runs tr[aria-current]").inner_text().split()[0] == chosen.split()[0]
    )


def test_trends_are_those_of_a_program(many, watched):
    """A program is chosen; each run of it is a point, a failed one a cross, and what is known of the trend stands below."""
    view = watched()
    page = view.open(many)
    select = page.locator("#pane-trends select")
    first = page.locator(".trend-box").first
    assert first.locator(".point.failed").count() == 2
    assert "too few runs for a trend" in first.inner_text()
    select.select_option(label="weather_agent.py")
    assert page.locator(".trend-box").first.locator(".point").count() == 1


def test_a_recurring_failure_shows_its_runs(many, watched):
    """It is in the head and in a list; either shows the runs that it ended."""
    view = watched()
    page = view.open(many)
    assert "place_order fails in 2 runs" in page.locator("#first-finding").inner_text()
    page.locator("#pane-failures button.link", has_text="2 runs").click()
    assert page.locator(".runs tbody tr").count() == 2
    page.locator("#pane-runs .note button", has_text="show all").click()
    assert page.locator(".runs tbody tr").count() > 2


def test_the_graph_has_each_caller_and_a_table(many, watched):
    """A node for each agent, model and tool, a line for each pair; the table says the same."""
    view = watched()
    page = view.open(many)
    names = page.locator(".graph .node text").all_text_contents()
    assert {"the program", "place_order", "gpt-4o-mini"} <= set(names)
    page.locator("#pane-graph summary").click()
    rows = page.locator("#pane-graph tbody tr").count()
    assert rows == page.locator(".graph .edge").count()
    assert page.locator(".graph .edge.failed").count() >= 1


@pytest.mark.parametrize(
    ("width", "scheme"), [(1280, "light"), (1280, "dark"), (800, "light"), (400, "dark")]
)
def test_many_runs_are_accessible_and_fit(many, watched, find_violations, width, scheme):
    """axe-core finds nothing serious, and nothing is wider than the window; at 400 pixels the panes are tabs."""
    view = watched(color_scheme=scheme)
    view.page.set_viewport_size({"width": width, "height": 800})
    page = view.open(many)
    for tab in ("runs", "trends", "failures", "graph"):
        if width == 400:
            page.locator(f"#tabs [data-tab={tab}]").click()
            view.settle()
            assert page.locator("#panes > .pane:visible").count() == 1
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert find_violations(page) == []


@pytest.mark.parametrize("width", [1280, 400])
def test_nothing_of_hostile_runs_runs(hostile_runs, watched, find_violations, width):
    """No script of a trace or of the name of its file runs, no request leaves, the console stays empty, axe is content."""
    view = watched()
    view.page.set_viewport_size({"width": width, "height": 800})
    page = view.open(hostile_runs)
    page.evaluate("for (const fold of document.querySelectorAll('details')) fold.open = true")
    for key in ("s", "s", "e", "x", "?", "Escape"):
        page.keyboard.press(key)
        view.settle()
    assert page.evaluate("window.harmed") is None
    assert page.locator("#pane-failures li").count() >= len(SCRIPTS) - 2
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert find_violations(page) == []
    assert "\u202e" not in page.locator("body").inner_text()
