"""Each view of the page on two examples and an imported session."""

from __future__ import annotations

import json

import pytest

NAMES = ("failing_agent", "research_agent", "imported")
TABS = ("tree", "timeline", "transcript", "event", "findings", "summary")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", NAMES)
def test_wide_page_is_accessible_in_each_view(examples, watched, find_violations, name, scheme):
    """At 1280 pixels, axe-core finds nothing serious in any view, in light and dark."""
    page = (view := watched(color_scheme=scheme)).open(examples[name])
    for tab in TABS[3:]:
        page.locator(f"#tab-{tab}").click()
        view.settle()
        assert page.locator(f"#pane-{tab}").inner_text().strip()
        assert find_violations(page) == []


@pytest.mark.parametrize("name", NAMES)
def test_narrow_page_shows_each_pane_as_a_tab(examples, watched, find_violations, name):
    """At 400 pixels, each pane is a tab, nothing is wider than the window, and axe-core finds nothing serious."""
    view = watched(color_scheme="light")
    view.page.set_viewport_size({"width": 400, "height": 800})
    page = view.open(examples[name])
    for tab in TABS:
        page.locator(f"#tab-{tab}").click()
        view.settle()
        assert page.locator(f"#pane-{tab}").is_visible()
        assert page.locator("#panes > .pane:visible").count() == 1
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
        assert find_violations(page) == []


def test_page_opens_with_the_first_finding(examples, watched):
    """The headline has outcome, time, cost and the first finding; its event is selected in all panes and in the address."""
    view = watched()
    page = view.open(examples["failing_agent"])
    assert page.locator("#outcome").inner_text() == "✕ failed (ValueError)"
    assert page.locator("#costs span").all_inner_texts()[1:] == ["$0.00040", "2,392 tokens"]
    assert "place_order failed: ValueError" in page.locator("#first-finding").inner_text()
    assert page.evaluate("location.hash") == f"#{view.number_of('place_order(supplier')}"
    for pane in ("tree", "transcript"):
        assert "place_order(supplier=" in page.locator(f"#{pane} [aria-selected=true]").inner_text()
    details = page.locator("#pane-event").inner_text()
    assert f"it began at {view.number_of('find_suppliers(')}" in details
    assert "Traceback (most recent call last)" in details
    assert "S-00" in details


def test_link_to_an_event_selects_it(examples, watched):
    """A link to the end of a span selects the span, when the page opens and when the address changes."""
    view = watched()
    page = view.open(examples["failing_agent"])
    call = view.number_of("find_suppliers(")
    page = view.open(examples["failing_agent"], f"#{call + 1}")
    assert "find_suppliers(" in page.locator("#tree [aria-selected=true]").inner_text()
    assert view.heading() == f"#{call} tool find_suppliers"
    page.evaluate(f"location.hash = '#{call - 3}'")
    assert view.heading() == f"#{call - 3} llm gpt-4o-mini"


def test_keys_move_as_in_the_debugger(examples, watched):
    """`n`, `s` and `u` move by spans, Shift reverses, `e` finds failures, and `f` the finding."""
    view = watched()
    page = view.open(examples["imported"], "#2")

    def number_after(key):
        page.keyboard.press(key)
        return int(view.heading().split()[0][1:])

    inside = number_after("s")
    child = number_after("s")
    assert 2 < inside < child
    beside = number_after("n")
    assert beside > child
    assert number_after("N") == child
    assert number_after("u") == inside
    assert number_after("U") == child
    assert number_after("S") == inside
    facts = json.loads(page.locator("#facts").text_content())
    assert number_after("f") == facts["traces"][0]["findings"][0]["events"][0]

    view = watched()
    page = view.open(examples["failing_agent"], "#1")
    failing = view.number_of("place_order(supplier")
    assert number_after("e") == failing
    assert number_after("e") == failing + 2
    assert number_after("E") == failing


def test_commands_go_to_events_and_names(examples, watched, find_violations):
    """Ctrl-K lists commands, and finds events by their number and spans by their names."""
    view = watched()
    page = view.open(examples["failing_agent"])
    tool, asked = view.number_of("find_suppliers("), view.number_of("→ unit_price(")
    page.keyboard.press("Control+k")
    assert page.locator("#command-list li").count() > 10
    assert find_violations(page) == []
    page.keyboard.type("unit_price(")
    page.keyboard.press("Enter")
    assert view.heading() == f"#{asked} llm gpt-4o-mini"
    page.keyboard.press("Control+k")
    page.keyboard.type(f"#{tool}")
    page.keyboard.press("Enter")
    assert view.heading() == f"#{tool} tool find_suppliers"
    page.keyboard.press("?")
    assert "Next failure" in page.locator("#help").inner_text()
    assert find_violations(page) == []


def test_what_is_typed_right_after_the_slash_goes_to_the_filter(examples, watched):
    """No letter is lost, or taken for a key of the page."""
    page = watched().open(examples["failing_agent"])
    page.keyboard.press("/")
    page.keyboard.type("failed")
    assert page.locator("#search").input_value() == "failed"


def test_filter_by_kind_name_number_text_and_field(examples, watched):
    """The filter reads words, fields of the table, and paths into the payloads; Escape clears it."""
    view = watched()
    page = view.open(examples["failing_agent"])

    def rows_for(query):
        page.locator("#search").fill(query)
        page.locator("#filter-note", has_text="Searching").wait_for(state="detached")
        view.settle()
        return page.locator("#tree [role=treeitem]").count()

    everything = rows_for("")
    assert rows_for("kind:tool") == 6
    assert rows_for("kind:tool -name:price") == 5
    assert rows_for("status:failed") == 2
    assert rows_for("ms>100 kind:llm") == 3
    assert rows_for("S-00") == 3
    assert rows_for("inputs.arguments.sku=SKU-204 kind:tool") == 3
    assert rows_for("nothing like this") == 0
    assert "Esc" in page.locator("#tree").inner_text()
    page.locator("#search").press("Escape")
    view.settle()
    assert page.locator("#tree [role=treeitem]").count() == everything
    page.locator("#chips button", has_text="llm").click()
    view.settle()
    assert page.locator("#tree .kind", has_text="llm").count() == 0


def test_model_call_folds_what_it_had_read(examples, watched):
    """Messages that a model had read before are one line that opens; new ones and the answer are in view."""
    view = watched()
    page = view.open(examples["failing_agent"])
    page.locator("#tree [role=treeitem]", has_text="→ place_order").click()
    view.settle()
    box = page.locator("#pane-event .conversation")
    assert box.locator(".before summary").inner_text() == "9 messages that it had already read"
    assert box.locator(":scope > .message[data-how=added]").count() == 2
    assert "place_order" in box.locator(".answer").inner_text()
    box.locator(".before summary").click()
    view.settle()
    assert "It is Tuesday" in box.inner_text()


def test_borders_drag_and_are_kept(examples, watched):
    """A border that was dragged has its place after a reload; a page without storage works too."""
    view = watched()
    page = view.open(examples["failing_agent"])
    border = page.locator("#split-tree").bounding_box()
    page.mouse.move(border["x"] + 2, 400)
    page.mouse.down()
    page.mouse.move(400, 400)
    page.mouse.up()
    assert abs(page.locator("#pane-tree").bounding_box()["width"] - 400) <= 2
    view.open(examples["failing_agent"])
    assert abs(page.locator("#pane-tree").bounding_box()["width"] - 400) <= 2
    page.locator("#split-tree").press("ArrowLeft")
    assert abs(page.locator("#pane-tree").bounding_box()["width"] - 384) <= 2

    refused = watched()
    refused.page.add_init_script(
        "Object.defineProperty(window, 'localStorage', {get() { throw new DOMException('no', 'SecurityError'); }})"
    )
    page = refused.open(examples["failing_agent"])
    page.locator("#split-tree").press("ArrowRight")
    assert abs(page.locator("#pane-tree").bounding_box()["width"] - 296) <= 2


def test_timeline_selects_zooms_and_pans(examples, watched):
    """A click on a bar selects its span, the wheel zooms in, and a drag pans."""
    view = watched()
    page = view.open(examples["failing_agent"])
    call = f"#{view.number_of('→ place_order')} llm gpt-4o-mini"
    box = page.locator("#timeline").bounding_box()
    before = page.locator("#timeline").screenshot()
    for x in range(int(box["x"]) + int(box["width"]) - 30, int(box["x"]) + 400, -20):
        page.mouse.click(x, box["y"] + 30)
        if view.heading() == call:
            break
    assert view.heading() == call
    page.mouse.wheel(0, -400)
    view.settle()
    zoomed = page.locator("#timeline").screenshot()
    page.mouse.down()
    page.mouse.move(box["x"] + 300, box["y"] + 30, steps=4)
    page.mouse.up()
    view.settle()
    assert len({before, zoomed, page.locator("#timeline").screenshot()}) == 3
    assert view.heading() == call


def test_event_is_copied_as_json_and_as_a_command(examples, watched):
    """`c` copies the events of the span as JSON, and `y` the command that shows it in a terminal."""
    view = watched(permissions=["clipboard-read", "clipboard-write"])
    page = view.open(examples["failing_agent"])
    page.keyboard.press("c")
    view.settle()
    copied = page.evaluate("async () => JSON.parse(await navigator.clipboard.readText())")
    assert [event["event_type"] for event in copied] == ["tool_call_start", "tool_call_end"]
    page.keyboard.press("y")
    view.settle()
    command = page.evaluate("navigator.clipboard.readText()")
    assert command.startswith(f"namel3ss debug inspect --event {view.number_of('place_order(supplier')} ")
    assert command.endswith("failing_agent.jsonl")


def test_keys_of_the_tree_open_and_close_spans(examples, watched):
    """Left closes a span and leaves it, right opens it and enters; the rows are tree items with levels."""
    view = watched()
    page = view.open(examples["imported"], "#2")
    tree = page.locator("#tree")
    tree.focus()
    everything = page.locator("#tree [role=treeitem]").count()
    page.keyboard.press("ArrowLeft")
    view.settle()
    assert page.locator("#tree [role=treeitem]").count() == 1
    assert page.locator("#tree [aria-selected=true]").get_attribute("aria-expanded") == "false"
    page.keyboard.press("ArrowRight")
    view.settle()
    page.keyboard.press("ArrowRight")
    view.settle()
    assert page.locator("#tree [role=treeitem]").count() == everything
    assert page.locator("#tree [aria-selected=true]").get_attribute("aria-level") == "2"


@pytest.mark.parametrize("width", [1280, 1000, 400])
@pytest.mark.parametrize("name", NAMES)
def test_lines_of_the_transcript_are_as_high_as_their_texts(examples, watched, name, width):
    """The height of a line, which is known before it is drawn, is that of its text, up to three lines."""
    view = watched()
    view.page.set_viewport_size({"width": width, "height": 4000})
    page = view.open(examples[name])
    page.evaluate("document.body.dataset.tab = 'transcript'")
    view.settle()
    rows = page.evaluate(_HEIGHTS)
    assert len(rows) > 10
    assert [row for row in rows if row["high"] != row["needed"]] == []


_HEIGHTS = """() => [...document.querySelectorAll("#transcript .row.line")].map((row) => {
  const words = row.querySelector(".words");
  words.style.cssText += "display: block; max-height: none; overflow: visible";
  const needed = Math.min(words.scrollHeight, 3 * 18) + 6;
  return { text: words.innerText, high: parseFloat(row.style.height), needed };
})"""
