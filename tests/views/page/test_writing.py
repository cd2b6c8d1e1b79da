"""The file of a page: what runs in it is known by its hash, and nothing of a trace can run or reach out."""

import re
from base64 import b64encode
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from namel3ss_debug.views.page.style import PAGE, REPORT, read_style
from namel3ss_debug.views.page.writing import read_script

DATA = Path(__file__).parents[2] / "data"
TRACES = [*sorted((DATA / "recordings").glob("*.jsonl")), DATA / "imports" / "claude-code" / "subagent.jsonl"]
KINDS = ("trace", "compare", "many")
"""Those that are files."""

PARTS = ["</script>", "<script>alert(1)</script>", "<!--", "<!--<script>", "]]>", "{{data}}", "{{script}}", "\u2028", "\ud800",
         "\x00", "\x1b[31m", "&lt;", "\\u003c", "\"'`", "javascript:", "</title>", "</style>", "\u202e", "\U000e0001"]  # fmt: skip
HOSTILE = st.lists(st.one_of(st.sampled_from(PARTS), st.text(max_size=8)), min_size=1, max_size=6).map(
    "".join
)


def hash_of(text):
    """Return the source of a policy that allows a text."""
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


@pytest.fixture(scope="module")
def page(make_page):
    """The page of a recording."""
    return make_page(TRACES[0])


def test_the_policy_allows_this_script_and_this_style_only(page):
    """The hashes are those of the text between the tags; no other source is named."""
    (policy,) = [
        given["content"] for _, given in page.elements if given.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy == (
        f"default-src 'none'; script-src {hash_of(page.scripts[''])}; style-src {hash_of(page.scripts['style'])}; img-src data:"
    )


def test_nothing_refers_to_another_place(page):
    """No element has an address, a handler or a style of its own; the script and the style request nothing."""
    for tag, attributes in page.elements:
        if (tag, attributes) == ("link", {"rel": "icon", "href": "data:,"}):
            continue  # without it, browsers request /favicon.ico where a server has the page
        assert tag not in {"link", "img", "iframe", "base", "object", "embed"}
        assert not {
            name for name in attributes if name in {"src", "href", "style", "action"} or name.startswith("on")
        }
    assert not re.search(r"url\(|@import|https?:", read_style(PAGE) + read_style(REPORT))
    scripts = "".join(map(read_script, KINDS))
    asks = r"\bfetch\(|XMLHttpRequest|WebSocket|EventSource|sendBeacon|\beval\(|\bFunction\(|\bimport\(|innerHTML|document\.write"
    assert not re.search(asks, scripts)


@pytest.mark.parametrize("kind", [*KINDS, "live"])
def test_the_script_is_small_and_ends_no_element(kind):
    """It has at most 120 KB, and no text that would end its element or change how the browser reads it."""
    script = read_script(kind)
    assert len(script.encode()) <= 120 * 1024
    assert not re.search(r"</(script|style)|<!--", script + read_style(PAGE), re.IGNORECASE)


def test_the_page_has_the_script(page):
    """It is what the sources are joined to."""
    assert page.scripts[""] == read_script()


@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.stem)
def test_pages_of_short_runs_are_small(path, make_page):
    """The page of a run of an example can be attached to an issue."""
    assert len(make_page(path).written.encode()) < 300 * 1024


def test_the_same_trace_gives_the_same_page(page, make_page):
    """No time and no random name is in a page."""
    assert make_page(TRACES[0]).written == page.written


def hostile_events(text):
    """A call of a tool inside an agent that fails, with a text in every field that may hold one."""
    payload = {text: text, "list": [text, {text: [text]}]}
    return [
        {"event_type": "trace_start", "component": "app", "metadata": {"format": 2, "target": text, "argv": [text]}},
        {"event_type": "agent_execution_start", "component": "agent", "component_name": text, "inputs": payload, "call_site": text},
        {"event_type": "llm_call_start", "component": "llm", "component_name": text, "parent_event_id": "2",
         "inputs": {"messages": [{"role": text, "parts": [{"type": "text", "content": text}]}]}},
        {"event_type": "llm_call_end", "component": "llm", "component_name": text, "parent_event_id": "3", "status": text,
         "outputs": {"text": text, "tool_calls": [{"id": text, "name": text, "arguments": payload}]}},
        {"event_type": "tool_call_start", "component": "tool", "component_name": text, "inputs": {"arguments": payload}},
        {"event_type": "tool_call_end", "component": "tool", "parent_event_id": "5", "status": "failed", "error": text,
         "error_type": text, "stack_trace": text, "metadata": payload},
        {"event_type": f"x{text}", "component": text, "component_name": text, "metadata": payload, "thread": text, "task": text},
    ]  # fmt: skip


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=HOSTILE)
def test_no_text_of_a_trace_leaves_its_element(tmp_path, page, text, make_page, write_trace):
    """Whatever a trace holds, a page has the same elements, and the same script and style."""
    made = make_page(write_trace(tmp_path / "trace.jsonl", hostile_events(text)))
    assert [tag for tag, _ in made.elements] == [tag for tag, _ in page.elements]
    assert made.scripts[""] == page.scripts[""]
    assert made.scripts["style"] == page.scripts["style"]
    assert len(made.events()) == 7
    assert "<" not in made.scripts["facts"]


def test_long_texts_are_in_the_payload_only(tmp_path, make_page, write_trace):
    """A megabyte in every field makes the blocks large, and neither the facts nor a row of a table."""
    made = make_page(write_trace(tmp_path / "trace.jsonl", hostile_events("long " * 200_000)))
    assert max(map(len, made.strings)) <= 2000
    assert len(made.scripts["facts"]) < 20_000
    assert made.events()[6]["component_name"] == "long " * 200_000
