"""The page of two runs beside each other, in the browser."""

from __future__ import annotations

import json

import pytest

from .conftest import ROOT, run_debug
from .test_foreign import SCRIPTS, hostile_events


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """Record an example and the same with its failure repaired, and write their page."""
    folder = tmp_path_factory.mktemp("compared")
    source = (ROOT / "examples" / "failing_agent.py").read_text()
    (folder / "scripted_model.py").write_text((ROOT / "examples" / "scripted_model.py").read_text())
    repaired = source.replace("if known == sku]", "if known == sku.lower()]")
    assert repaired != source
    for name, text, status in (("failing", source, 1), ("repaired", repaired, 0)):
        (folder / f"{name}.py").write_text(text)
        run_debug("trace", "-o", folder / f"{name}.jsonl", folder / f"{name}.py", status=status)
    page = folder / "page.html"
    run_debug("view", folder / "failing.jsonl", folder / "repaired.jsonl", "-o", page, "--no-open")
    return page


@pytest.fixture(scope="module")
def hostile_pair(tmp_path_factory):
    """Write the page of two harmful traces, of which the second lacks a span and has other texts."""
    folder = tmp_path_factory.mktemp("hostile")
    events = hostile_events()
    changed = [
        json.loads(json.dumps(event).replace("harmed = 1", "harmed = 2"))
        for event in events
        if event["event_id"] not in {"20", "20e"}
    ]
    for name, made in (("a", events), ("b", changed)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(event) + "\n" for event in made))
    run_debug("view", folder / "a.jsonl", folder / "b.jsonl", "-o", folder / "page.html", "--no-open")
    return folder / "page.html"


def selected(page):
    """Return the text of the selected row."""
    return page.locator("#transcript [aria-selected=true]").inner_text()


def test_it_opens_at_the_first_lasting_difference(compared, watched):
    """The row is selected and in view, the words that differ are marked, and both events are beside each other."""
    view = watched()
    page = view.open(compared)
    assert page.locator("#outcome").inner_text() == "≠ The runs diverge"
    heads = page.locator("#pane-transcript > .sides header").all_inner_texts()
    assert "failed (ValueError)" in heads[0]
    assert "completed" in heads[1]
    row = page.locator("#transcript [aria-selected=true]")
    assert "find_suppliers(" in row.inner_text()
    assert row.locator("ins").inner_text() == '"S-12"'
    box, list_box = row.bounding_box(), page.locator("#transcript").bounding_box()
    assert list_box["y"] <= box["y"] <= list_box["y"] + list_box["height"] - box["height"]
    assert page.evaluate("location.hash").startswith("#b")
    details = page.locator("#pane-event")
    assert "the same call had another result" in details.inner_text()
    assert details.locator(".event-head").count() == 2
    assert "arguments: the same" in details.inner_text()


def test_keys_go_from_difference_to_difference(compared, watched):
    """`n` and Shift-n visit the rows that differ, `f` the first lasting one, `s` each line; a click selects too."""
    view = watched()
    page = view.open(compared)
    first = selected(page)
    seen = [first]
    for _ in range(30):
        page.keyboard.press("n")
        view.settle()
        if selected(page) == seen[-1]:
            break
        seen.append(selected(page))
        assert page.locator("#transcript [aria-selected=true][data-differs]").count() == 1
    assert 4 <= len(seen) < 30
    page.keyboard.press("Shift+N")
    view.settle()
    assert selected(page) == seen[-2]
    page.keyboard.press("f")
    view.settle()
    assert selected(page) == first
    page.keyboard.press("s")
    view.settle()
    assert selected(page) != first
    page.locator("#tree button.entry", has_text="arguments").first.click()
    view.settle()
    assert "place_order(" in selected(page)
    link = page.evaluate("location.hash")
    other = watched()
    assert "place_order(" in selected(other.open(compared, link))


def test_messages_have_word_differences(compared, watched):
    """Of a request to a model, equal messages are folded, and of others the words that differ are marked."""
    view = watched()
    page = view.open(compared)
    page.locator("#tree button.entry", has_text="context").first.click()
    view.settle()
    details = page.locator("#pane-event .beside")
    assert details.locator("details", has_text="user: the same").count() == 1
    assert "S-12" in details.locator("ins").first.inner_text()


@pytest.mark.parametrize(
    ("width", "scheme"), [(1280, "light"), (1280, "dark"), (800, "light"), (400, "dark")]
)
def test_comparison_is_accessible_and_fits(compared, watched, find_violations, width, scheme):
    """axe-core finds nothing serious, and nothing is wider than the window; at 400 pixels the panes are tabs."""
    view = watched(color_scheme=scheme)
    view.page.set_viewport_size({"width": width, "height": 800})
    page = view.open(compared)
    for tab in ("lines", "event", "differences"):
        if width == 400:
            page.locator(f"#tabs [data-tab={tab}]").click()
            view.settle()
            assert page.locator("#panes > .pane:visible").count() == 1
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert find_violations(page) == []
    page.keyboard.press("?")
    assert "Next difference" in page.locator("#help").inner_text()
    assert find_violations(page) == []


def test_long_equal_stretches_fold(tmp_path, watched):
    """Equal lines far from a difference are one row, which opens by a click."""
    paths = []
    for name, last in (("a", "x"), ("b", "y")):
        events = [{"event_type": "trace_start", "event_id": "s", "component": "app", "execution_id": name}]
        for number in range(40):
            result = last if number == 39 else "same"
            common = {"component": "tool", "component_name": f"f{number}", "execution_id": name}
            events += [
                {**common, "event_type": "tool_call_start", "event_id": f"{number}", "inputs": {"arguments": {}}},
                {**common, "event_type": "tool_call_end", "event_id": f"{number}e", "parent_event_id": f"{number}",
                 "status": "completed", "outputs": {"result": result}},
            ]  # fmt: skip
        paths.append(tmp_path / f"{name}.jsonl")
        paths[-1].write_text("".join(json.dumps(event) + "\n" for event in events))
    run_debug("view", *paths, "-o", tmp_path / "page.html", "--no-open")
    view = watched()
    page = view.open(tmp_path / "page.html")
    assert "f39" in selected(page)
    fold = page.locator("#transcript .row", has_text="36 lines the same")
    assert page.locator("#transcript .row").count() == 5
    fold.click()
    view.settle()
    assert "f0" in selected(page)
    assert page.locator("#transcript .row").count() > 10


@pytest.mark.parametrize("width", [1280, 400])
def test_nothing_of_hostile_traces_runs_when_compared(hostile_pair, watched, find_violations, width):
    """Each row is selected: no script of a trace runs, no request leaves, the console stays empty, axe is content."""
    view = watched()
    view.page.set_viewport_size({"width": width, "height": 800})
    page = view.open(hostile_pair)
    page.keyboard.press("a")
    for _ in range(3 * len(SCRIPTS)):
        page.keyboard.press("s")
        page.evaluate("for (const fold of document.querySelectorAll('details')) fold.open = true")
        view.settle()
        assert page.evaluate("window.harmed") is None
    assert find_violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert "\u202e" not in page.locator("body").inner_text()
