"""The page of a trace that was made to do harm: nothing of it runs, loads, or hides."""

from __future__ import annotations

import base64

import pytest

SCRIPTS = (
    "<script>window.harmed = 1</script>",
    "</script><script>window.harmed = 1</script>",
    "<img src=x onerror='window.harmed = 1'>",
    "<svg onload='window.harmed = 1'></svg>",
    "<style>@import 'https://example.invalid/x.css'; body { display: none }</style>",
    "<link rel=stylesheet href=https://example.invalid/x.css>",
    "<iframe src='javascript:window.harmed = 1'></iframe>",
    "<!--<script>",
    "]]><!-- {{script}} {{data}} ",
    "javascript:window.harmed = 1",
    "url(https://example.invalid/x.png)",
    "\x00\x1b[31m\x07\x1b]0;title\x07\r\x7f\x9b",
    "\u202egnp.exe\u202c \u2066\u200b\ufeff",
    "\ud800 alone",
    "constructor",
    "__proto__",
    "=HYPERLINK(1)",
)
LONG = "<b>ma\u202e" + "x" * 1_000_000 + "</b>"
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
SVG = base64.b64encode(b"<svg xmlns='http://www.w3.org/2000/svg' onload='window.harmed = 1'/>").decode()
PARTS = (
    {"type": "blob", "mime_type": "image/png", "modality": "image", "content": PIXEL},
    {"type": "blob", "mime_type": "image/svg+xml", "modality": "image", "content": SVG},
    {"type": "blob", "mime_type": "image/png;x' onerror='window.harmed = 1", "content": PIXEL},
    {"type": "blob", "mime_type": "text/html", "content": base64.b64encode(SCRIPTS[0].encode()).decode()},
    {"type": "uri", "modality": "image", "uri": "https://example.invalid/picture.png"},
)


def span(number, component, text, parent=None, **end):
    """Return the two events of a span whose every field is a text that was made to do harm."""
    common = {"execution_id": "hostile", "component": component, "component_name": text}
    started = {
        **common,
        "event_type": f"{component}_start",
        "event_id": f"{number}",
        "timestamp": 1e9 + number,
    }
    if parent:
        started["parent_event_id"] = parent
    ended = {
        **common,
        "event_type": f"{component}_end",
        "event_id": f"{number}e",
        "parent_event_id": f"{number}",
        "timestamp": 1e9 + number + 0.5,
        "duration_ms": 500,
        "status": "completed",
    }
    message = {"role": text, "parts": [{"type": "text", "content": text}, {"type": text, text: text}, *PARTS]}
    inputs = {"model": text, "messages": [message], "arguments": {text: text, "list": [text, {text: [text]}]}}
    started |= {"inputs": inputs, "call_site": f"{text}:1", "metadata": {text: text}}
    return [started, ended | {"outputs": {"text": text, "result": text, text: text}} | end]


def hostile_events():
    """Return events with each harmful text in every field."""
    events = [
        {
            "event_type": "trace_start",
            "event_id": "s",
            "timestamp": 1e9,
            "component": "app",
            "execution_id": "hostile",
        }
    ]
    for index, text in enumerate((*SCRIPTS, LONG)):
        number = 10 * (index + 1)
        failed = {
            "status": "failed",
            "error": text,
            "error_type": text,
            "stack_trace": f'Traceback\n  File "{text}"\n{text}',
        }
        events += span(number, "llm", text)
        events += span(number + 1, "tool", text, **failed)
        events += span(number + 2, text[:40], text)
        events.append(
            {
                "event_type": text[:40],
                "event_id": f"{number}p",
                "timestamp": 1e9 + number + 3,
                "component": text[:40],
                "error": text,
            }
        )
    return events


@pytest.fixture(scope="module")
def hostile(make_page):
    """Write the page of the harmful trace."""
    return make_page(hostile_events())


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (400, "dark")])
def test_nothing_of_a_hostile_trace_runs_or_loads(hostile, watched, find_violations, width, scheme):
    """Each event and view is shown: no script of the trace runs, no request leaves, the console stays empty, axe is content."""
    view = watched(color_scheme=scheme)
    view.page.set_viewport_size({"width": width, "height": 800})
    page = view.open(hostile, "#1")
    shown = set()
    for _ in range(4 * len(SCRIPTS)):
        page.keyboard.press("s")
        shown.add(view.heading().split()[0])
        page.evaluate("for (const fold of document.querySelectorAll('details')) fold.open = true")
        view.settle()
        assert page.evaluate("window.harmed") is None
    assert len(shown) >= 3 * len(SCRIPTS)
    for tab in ("findings", "summary", "event"):
        page.locator(f"#tab-{tab}").click()
        view.settle()
        assert find_violations(page) == []
    page.keyboard.press("Control+k")
    page.keyboard.type("script")
    page.keyboard.press("Escape")
    assert page.evaluate("window.harmed") is None
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_nothing_of_a_hostile_trace_runs_or_loads_in_a_report(
    hostile, write_report, watched, find_violations
):
    """Its texts are text in the reports for CI as well."""
    page = watched().page
    trace = hostile.with_name("trace.jsonl")
    for words in (("report", trace), ("check", trace, "--rule", "tokens < 1"), ("diff", trace, trace)):
        page.goto(write_report(*words).as_uri())
        assert page.locator("main").inner_text().strip()
        assert page.evaluate("window.harmed") is None
        assert find_violations(page) == []


def test_only_pictures_in_the_trace_are_drawn(hostile, watched):
    """A PNG in a message is drawn; SVG, odd types, HTML and addresses are text."""
    view = watched()
    page = view.open(hostile, "#2")
    pictures = page.locator("#pane-event .conversation img")
    assert [each.get_attribute("src")[:22] for each in pictures.all()] == ["data:image/png;base64,"]
    assert pictures.first.evaluate("(image) => image.naturalWidth") == 1


def test_invisible_characters_are_made_visible(hostile, watched):
    """Control characters and bidirectional overrides are shown as signs."""
    view = watched()
    page = view.open(hostile)
    for text, sign in (("\x1b[31m", "␛[31m"), ("gnp.exe", "\\u202egnp.exe")):
        page.locator("#search").fill(text.removeprefix("\x1b"))
        view.settle()
        assert sign in page.locator("#tree").inner_text()
        assert not set("\x1b\u202e\x07") & set(page.locator("body").inner_text())


def test_long_text_is_opened_in_pieces(hostile, watched):
    """A text of a megabyte is cut, with a button for more of it."""
    view = watched()
    page = view.open(hostile)
    page.locator("#search").fill("xxxxxxxxxx kind:tool")
    view.settle()
    page.locator("#tree [role=treeitem]").first.click()
    view.settle()
    more = page.locator("#pane-event button.more").first
    assert more.inner_text().endswith("more characters")
    before = len(page.locator("#pane-event").inner_text())
    more.click()
    assert len(page.locator("#pane-event").inner_text()) > before + 90_000


def test_policy_stops_what_is_put_into_the_page(hostile, watched):
    """The policy of the page blocks inline scripts, handlers and requests, should one ever get in."""
    view = watched()
    page = view.open(hostile)
    failed = []
    page.on("requestfailed", lambda request: failed.append(request.failure))
    page.evaluate(
        """() => {
          const script = document.createElement("script");
          script.textContent = "window.harmed = 1";
          document.body.append(script);
          const image = new Image();
          image.src = "https://example.invalid/x.png";
          document.body.append(image);
        }"""
    )
    refused = page.evaluate("() => fetch('https://example.invalid/').then(() => 'sent', () => 'refused')")
    view.settle()
    assert refused == "refused"
    assert page.evaluate("window.harmed") is None
    assert sum("Content Security Policy" in each for each in view.wrong) >= 3
    assert set(failed) == {"csp"}
    view.wrong.clear()
