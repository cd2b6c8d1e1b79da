"""Reports of commands as pages, for CI: they have the look of the page of a trace."""

from __future__ import annotations

import pytest

COMMANDS = (
    ("report", "failing_agent"),
    ("check", "failing_agent", "--rule", '{"forbid": "tool"}'),
    ("diff", "research_agent", "failing_agent"),
    ("inspect", "research_agent", "--timeline"),
)
LOOK = """() => {
  const style = getComputedStyle(document.body);
  return [style.fontFamily, style.fontSize, style.color, style.backgroundColor];
}"""


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (400, "dark")])
@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
def test_report_has_the_look_of_the_page(
    examples, write_report, watched, find_violations, words, width, scheme
):
    """Type and colours are those of the page of a trace; nothing is wider than the window, and axe-core finds nothing serious."""
    view = watched(color_scheme=scheme)
    page = view.page
    page.set_viewport_size({"width": width, "height": 800})
    look = view.open(examples["failing_agent"]).evaluate(LOOK)
    words = [examples[word].with_suffix(".jsonl") if word in examples else word for word in words]
    page.goto(write_report(*words).as_uri())
    assert page.evaluate(LOOK) == look
    assert page.locator("main").inner_text().strip()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert find_violations(page) == []
    bars = page.locator("rect")
    assert bars.count() >= (10 if "inspect" in words else 0)
    assert all(bar.bounding_box()["width"] >= 1 for bar in bars.all())
