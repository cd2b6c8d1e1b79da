"""The live page beside a real program that emits 500 events a second, in real headless Chromium: how late each event is on the page.

The program is recorded by `trace --view`; its 10,000 events and more are calls of a tool within one agent. The page follows the end
of the run. In each frame that the browser draws, it is noted which event the last line of the transcript shows; so an event is on the
page in the first frame in which a line with its number, or a later one, is drawn. Its lag is the time from its timestamp in
the trace until that frame; both are of the same clock. Needs Playwright and Chromium (`CHROMIUM` names another than `chromium`).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from bisect import bisect_left
from pathlib import Path
from statistics import median

from playwright.sync_api import Browser, sync_playwright
from read_million import DEBUG
from timing import holds

EVENTS = 10_000
RATE = 500
LATEST_SECONDS = 1.0

_PROGRAM = """
import time
from namel3ss_debug import get_global_tracer

tracer = get_global_tracer()
began, count = time.perf_counter(), 0
with tracer.span("agent", "emitter"):
    while count < {events}:
        with tracer.span("tool", f"tick{{count // 2 % 7}}", inputs={{"arguments": {{"n": count, "text": "lorem ipsum " * 8}}}}) as span:
            span.set_output({{"result": f"answer {{count}} " + "dolor sit amet " * 10}})
        count += 2
        time.sleep(max(0, began + count / {rate} - time.perf_counter()))
"""

_NOTE = """() => {
  window.noted = [];
  let last = 0;
  const note = () => {
    for (const line of document.querySelectorAll("#transcript .line")) {
      const shown = Number(line.dataset.event) + (line.textContent.includes(" returns ") ? 1 : 0);
      if (shown > last) window.noted.push([Date.now() / 1000, (last = shown)]);
    }
    requestAnimationFrame(note);
  };
  requestAnimationFrame(note);
}"""


def measure(browser: Browser, folder: Path) -> list[tuple[float, float]]:
    """Run the program beside a page that follows it; return of each event when it was emitted, and its lag, in seconds."""
    (folder / "program.py").write_text(_PROGRAM.format(events=EVENTS, rate=RATE))
    displays = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    program = subprocess.Popen(
        [*DEBUG, "trace", "--view", "-o", "trace.jsonl", "program.py"],
        cwd=folder,
        env={name: text for name, text in os.environ.items() if name not in displays},
        stderr=subprocess.PIPE,
        text=True,
    )
    if program.stderr is None or (found := re.search(r"open (\S+) in", program.stderr.readline())) is None:
        sys.exit("live_page.py: no page was served")
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.goto(Path(found[1]).as_uri())
    page.locator("body[data-ready]").wait_for()
    page.evaluate(_NOTE)
    page.locator("#outcome", has_text="completed").wait_for(timeout=180_000)
    noted = page.evaluate("noted")
    page.close()
    program.wait()
    numbers = [number for _, number in noted]
    lags = []
    with (folder / "trace.jsonl").open(encoding="utf-8") as trace:
        for number, line in enumerate(trace, 1):
            emitted = json.loads(line)["timestamp"]
            index = bisect_left(numbers, number)
            if index < len(noted):  # the end of the agent and of the trace have no line after them
                lags.append((emitted, noted[index][0] - emitted))
    return lags


def main() -> int:
    """Measure, print, and return the exit status: 0 when all claims hold."""
    chromium = shutil.which(os.environ.get("CHROMIUM", "chromium"))
    if chromium is None:
        sys.exit("live_page.py: chromium is not installed")
    with tempfile.TemporaryDirectory() as place, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        measured = measure(browser, Path(place))
        browser.close()
    began, ended = measured[0][0], measured[-1][0]
    print(
        f"{len(measured):,} events in {ended - began:.1f} s, {len(measured) / (ended - began):.0f} a second; on the page after"
    )
    for name, first, last in (
        ("all", began, ended),
        ("first 5 s", began, began + 5),
        ("last 5 s", ended - 5, ended),
    ):
        lags = sorted(lag for at, lag in measured if first <= at <= last)
        print(
            f"  {name:10} median {median(lags):.3f} s, 99 % {lags[len(lags) * 99 // 100]:.3f} s, slowest {lags[-1]:.3f} s"
        )
    return 0 if holds("the slowest event", max(lag for _, lag in measured), LATEST_SECONDS, " s") else 1


if __name__ == "__main__":
    sys.exit(main())
