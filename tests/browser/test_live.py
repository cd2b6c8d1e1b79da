"""The live page beside a real program, which calls a tool for each line that it reads."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from tests.browser.conftest import DEBUG

PROGRAM = """
import sys
from namel3ss_debug import get_global_tracer

tracer = get_global_tracer()
with tracer.span("agent", "listener"):
    for line in sys.stdin:
        with tracer.span("tool", "look_up", inputs={"arguments": {"name": line.strip()}}) as span:
            span.set_output({"result": f"found {line.strip()}"})
    raise ValueError("no more lines")
"""


class Program:
    """A traced program."""

    def __init__(self, folder, *options):
        self.folder = folder
        (folder / "program.py").write_text(PROGRAM)
        self.process = start(
            folder, "trace", *options, "-o", "trace.jsonl", "program.py", stdin=subprocess.PIPE
        )
        self.calls = 0

    def call(self, times=1):
        """Let it call the tool."""
        for _ in range(times):
            self.calls += 1
            self.process.stdin.write(f"number {self.calls}\n")
        self.process.stdin.flush()

    def end(self):
        """Let it end."""
        self.process.stdin.close()
        self.process.wait(30)


def start(folder, *words, **options):
    """Start a command of the debugger where no browser opens."""
    environ = {
        name: text
        for name, text in os.environ.items()
        if name not in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    }
    return subprocess.Popen(
        [*DEBUG, *words], cwd=folder, env=environ, stderr=subprocess.PIPE, text=True, **options
    )


def open_page(view, process):
    """Open the page that a command serves, by the file that it prints."""
    file = Path(re.search(r"open (\S+) in a browser", process.stderr.readline())[1])
    view.own += ("http://127.0.0.1:",)
    view.page.goto(file.as_uri())
    view.page.locator("body[data-ready]").wait_for()
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[\w-]+/", view.page.url)
    return view.page


@pytest.fixture
def started(tmp_path):
    """Processes that the test has started; they are killed at its end."""
    found = []
    yield found
    for process in found:
        with process:
            process.kill()


@pytest.fixture
def program(tmp_path, started):
    """A program that is recorded by `trace --view`, and has called its tool twice."""
    program = Program(tmp_path, "--view")
    started.append(program.process)
    program.call(2)
    return program


def row(page, name):
    """Return the row of a call in the tree."""
    return page.locator("#tree [role=treeitem]", has_text=f'name="{name}"')


def test_the_page_grows_and_stays_when_the_program_has_ended(program, watched):
    """New calls are in every pane; at the end, the page has the outcome and the findings, and all events without its server."""
    view = watched()
    page = open_page(view, program.process)
    row(page, "number 2").wait_for()
    assert page.locator("#outcome").inner_text() == "● running"
    assert not page.locator("#first-finding").is_visible()
    program.call()
    row(page, "number 3").wait_for()
    page.locator("#transcript .line", has_text="number 3").wait_for()
    program.end()
    page.locator("#outcome", has_text="failed (ValueError)").wait_for()
    page.locator("#follow").wait_for(state="hidden")
    assert "no more lines" in page.locator("#first-finding").inner_text()
    row(page, "number 1").click()
    page.locator("#pane-event", has_text="found number 1").wait_for()


def test_the_selection_stays_while_the_page_grows(program, watched):
    """So does the view of a list that was scrolled; nothing is selected until the user selects something."""
    view = watched()
    page = open_page(view, program.process)
    row(page, "number 2").click()
    page.locator("#pane-event", has_text="found number 2").wait_for()
    before = page.evaluate("location.hash")
    program.call(200)
    page.locator("#chips", has_text="tool 202").wait_for()
    view.settle()
    assert page.evaluate("location.hash") == before
    assert row(page, "number 2").get_attribute("aria-selected") == "true"
    assert page.locator("#tree").evaluate("(tree) => tree.scrollTop") == 0
    page.keyboard.press("l")
    row(page, "number 202").wait_for()
    assert page.locator("[aria-selected=true][role=treeitem]").count() == 0
    program.call()
    row(page, "number 203").wait_for()
    program.end()
    page.locator("#outcome", has_text="failed").wait_for()


def test_the_expression_language_filters_on_the_server(program, watched):
    """`where` takes any expression; what is wrong with one is said."""
    view = watched()
    page = open_page(view, program.process)
    program.call()
    row(page, "number 3").wait_for()
    search = page.locator("#search")
    search.fill("where kind ==")
    search.press("Enter")
    page.locator("#filter-note", has_text="expression, column").wait_for()
    search.fill('where kind == "tool" and inputs.arguments.name == "number 3"')
    search.press("Enter")
    page.locator("#filter-note", has_text="1 of").wait_for()
    assert row(page, "number 3").count() == 1
    assert row(page, "number 2").count() == 0
    program.end()
    page.locator("#outcome", has_text="failed").wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_a_growing_page_is_accessible(program, watched, find_violations, width, scheme):
    """Axe-core finds nothing serious while the program runs, wide and narrow, light and dark."""
    view = watched(color_scheme=scheme)
    view.page.set_viewport_size({"width": width, "height": 800})
    page = open_page(view, program.process)
    row(page, "number 2").wait_for(state="attached")
    view.settle()
    assert find_violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    program.end()
    page.locator("#outcome", has_text="failed").wait_for()


def test_a_program_that_was_started_elsewhere(tmp_path, started, watched):
    """`view --live` follows it from outside; Ctrl-C ends the server only, which the page says, and it keeps what it has."""
    program = Program(tmp_path)
    started.append(program.process)
    program.call(2)
    while not (tmp_path / "trace.jsonl").exists():
        assert program.process.poll() is None
    server = start(tmp_path, "view", "--live", "trace.jsonl")
    started.append(server)
    view = watched()
    page = open_page(view, server)
    row(page, "number 2").wait_for()
    server.send_signal(signal.SIGINT)
    assert server.wait(30) == 0
    page.locator("#outcome", has_text="no longer live: the server ended").wait_for()
    row(page, "number 1").click()
    page.locator("#pane-event", has_text="#").wait_for()
    assert program.process.poll() is None
    assert view.wrong != []
    assert all("ERR_CONNECTION_REFUSED" in each or "ERR_EMPTY_RESPONSE" in each for each in view.wrong)
    view.wrong.clear()
    program.end()
