"""Pages of traces in real headless Chromium. Only `.ci/page` collects these tests: it brings Playwright and axe-core."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

collect_ignore_glob = [] if os.environ.get("PAGE_AXE") else ["test_*.py"]

ROOT = Path(__file__).parents[2]
DEBUG = [sys.executable, "-c", "from namel3ss_debug.cli.main import debug; debug()"]
CHROMIUM = os.environ.get("PAGE_CHROMIUM", "/usr/bin/chromium")
IMPORTED = ROOT / "tests" / "data" / "imports" / "claude-code" / "subagent.jsonl"


def run_debug(*arguments, status=0):
    """Run a command of the debugger."""
    done = subprocess.run([*DEBUG, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert status in (done.returncode, None), done.stderr
    return done


def write_page(trace, target, *options):
    """Write the page of a trace."""
    run_debug("view", trace, "-o", target, "--no-open", *options)
    return target


@pytest.fixture(scope="session")
def examples(tmp_path_factory):
    """Record two examples and write their pages, and that of an imported session of Claude Code."""
    folder = tmp_path_factory.mktemp("pages")
    pages = {}
    for name, status in (("failing_agent", 1), ("research_agent", 0)):
        trace = folder / f"{name}.jsonl"
        run_debug("trace", "-o", trace, ROOT / "examples" / f"{name}.py", status=status)
        pages[name] = write_page(trace, folder / f"{name}.html")
    pages["imported"] = write_page(IMPORTED, folder / "imported.html")
    return pages


@pytest.fixture(scope="session")
def failed(examples, tmp_path_factory):
    """Write the pages of two examples that fail, and of an imported session with failed calls."""
    folder = tmp_path_factory.mktemp("failed")
    run_debug("trace", "-o", folder / "endless.jsonl", ROOT / "examples" / "endless_agent.py")
    session = IMPORTED.with_name("agent-afc096d.jsonl")
    return {
        "failing_agent": examples["failing_agent"],
        "endless_agent": write_page(folder / "endless.jsonl", folder / "endless.html"),
        "claude-code": write_page(session, folder / "session.html"),
    }


@pytest.fixture(scope="session")
def browser():
    """Start Chromium once."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


class Watched:
    """A page in the browser, and what it should not have done."""

    def __init__(self, page):
        self.page = page
        self.wrong = []
        self.own = ("file:", "data:image/")  # how addresses begin that it may request
        page.on("console", lambda message: self.wrong.append(f"console {message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        page.on("request", self._request)
        page.on("dialog", lambda dialog: (self.wrong.append(f"dialog {dialog.message}"), dialog.dismiss()))
        page.on("popup", lambda popup: self.wrong.append(f"popup {popup.url}"))

    def _request(self, request):
        if not request.url.startswith(self.own):
            self.wrong.append(f"request {request.url[:200]}")

    def open(self, path, fragment=""):
        """Open a page and wait until it is ready and drawn."""
        self.page.goto(f"{path.as_uri()}{fragment}")
        # `wait_for_function` evaluates text, which the policy of the page forbids.
        self.page.locator("body[data-ready]").wait_for()
        self.settle()
        return self.page

    def number_of(self, label):
        """Return the event number of the first row of the tree whose label begins so; numbers differ from recording to recording."""
        name = self.page.locator(".label").filter(has_text=re.compile(f"^{re.escape(label)}"))
        row = self.page.locator("#tree [role=treeitem]", has=name).first
        return int(row.get_attribute("title").split()[0][1:])

    def heading(self):
        """Return the heading of the selected event."""
        self.settle()
        return self.page.locator("#pane-event h2").inner_text()

    def settle(self):
        """Wait until the frames of the last change are drawn and its payload is read."""
        self.page.evaluate(
            "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 30))))"
        )


@pytest.fixture
def watched(browser):
    """Return a function that makes a fresh page; at the end, none may have logged, raised or requested anything."""
    made = []

    def make(**options):
        context = browser.new_context(viewport={"width": 1280, "height": 800}, **options)
        context.set_default_timeout(5_000)
        made.append(Watched(context.new_page()))
        return made[-1]

    yield make
    for each in made:
        each.page.context.close()
    assert [wrong for each in made for wrong in each.wrong] == []


@pytest.fixture(scope="session")
def find_violations():
    """Return a function that lists what axe-core finds of serious or critical impact."""
    axe = Path(os.environ["PAGE_AXE"]).read_text()

    def find(page):
        page.evaluate(axe)
        found = page.evaluate("async () => (await axe.run(document)).violations")
        return [
            f"{each['id']}: {node['html'][:160]} ({node['failureSummary'][:300]})"
            for each in found
            if each["impact"] in ("serious", "critical")
            for node in each["nodes"][:3]
        ]

    return find


@pytest.fixture(scope="session")
def make_page(tmp_path_factory):
    """Return a function that writes the page of events, as another writer would have recorded them."""

    def make(events, *options):
        folder = tmp_path_factory.mktemp("made")
        trace = folder / "trace.jsonl"
        trace.write_text("".join(json.dumps(event) + "\n" for event in events))
        return write_page(trace, folder / "page.html", *options)

    return make


@pytest.fixture
def write_report(tmp_path):
    """Return a function that writes the report of a command as a page; the status is not looked at."""

    def write(*words):
        page = tmp_path / "report.html"
        page.write_text(run_debug(*words, "--format", "html", status=None).stdout)
        return page

    return write
