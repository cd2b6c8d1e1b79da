"""Take the pictures of docs/page.md in headless Chromium: `python docs/page_pictures.py`.

Needs Playwright, Pillow, and Chromium (`CHROMIUM` names another than `chromium`).
"""

from __future__ import annotations

import io
import os
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import runs
from PIL import Image
from playwright.sync_api import sync_playwright

HERE = Path(__file__).parent
SESSION = runs.ROOT / "tests" / "data" / "imports" / "claude-code" / "session-2.1.jsonl"
HOME = "/home/me/shop"
PICTURES = {
    "page": ("failed", 1280, 720, "light", "event"),
    "page-session": ("session", 1280, 720, "dark", "event"),
    "page-narrow": ("failed", 400, 720, "light", "event"),
    "page-narrow-transcript": ("session", 400, 720, "dark", "transcript"),
    "page-two": ("two", 1280, 720, "light", ""),
    "page-many": ("many", 1280, 720, "dark", ""),
}
"""Of each picture: the page, the width and the height in pixels, the colour scheme, and the tab."""
EXAMPLES = ("support_agent", "failing_agent", "research_agent", "repaired_agent", "weather_agent")


def write_pages(folder: Path) -> None:
    """Write the pages of an example that fails, of it beside the same one repaired, of many runs, and of a session of Claude Code."""
    runs.scratch(folder)
    failing = (folder / "examples" / "failing_agent.py").read_text("utf-8")
    repaired = failing.replace("if known == sku]", "if known == sku.lower()]")
    (folder / "examples" / "repaired_agent.py").write_text(repaired, "utf-8")
    runs.shell("namel3ss debug trace -o failed.jsonl examples/failing_agent.py", folder)
    trace = folder / "failed.jsonl"
    trace.write_text(trace.read_text("utf-8").replace(str(folder), HOME), "utf-8")
    shutil.copy(SESSION, folder / "session.jsonl")
    shutil.copytree(SESSION.with_suffix(""), folder / "session")  # its subagents
    for name in ("failed", "session"):
        runs.shell(f"namel3ss debug view {name}.jsonl -o {name}.html --no-open", folder)
    runs.shell("namel3ss debug trace -o repaired.jsonl examples/repaired_agent.py", folder)
    runs.shell("namel3ss debug view failed.jsonl repaired.jsonl -o two.html --no-open", folder)
    for example in EXAMPLES * 4:
        runs.shell(f"namel3ss debug trace examples/{example}.py", folder)
    runs.shell("namel3ss debug view debug/traces -o many.html --no-open", folder)


def main() -> None:
    """Take all pictures."""
    chromium = shutil.which(os.environ.get("CHROMIUM", "chromium"))
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        write_pages(Path(name))
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for picture, (trace, width, height, scheme, tab) in PICTURES.items():
            page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
            page.goto((Path(name) / f"{trace}.html").as_uri())
            page.locator("body[data-ready]").wait_for()
            if tab:
                page.locator(f"#tab-{tab}").click()
            page.mouse.move(width - 1, height - 1)
            page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 200)))")
            image = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
            # The smoothing of text has thousands of colours; a palette makes the file a third.
            image.quantize(256, kmeans=1, dither=Image.Dither.NONE).save(
                HERE / f"{picture}.png", optimize=True
            )
            page.close()
        browser.close()


if __name__ == "__main__":
    main()
