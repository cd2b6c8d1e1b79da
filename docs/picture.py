"""Draw docs/terminal.svg: what a colour terminal of 80 columns shows of a real run. `python docs/picture.py`."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import runs
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

PICTURE = Path(__file__).parent / "terminal.svg"
TRACED = "namel3ss debug trace examples/failing_agent.py"
COMMANDS = (
    "namel3ss debug show",
    "namel3ss debug analyze",
)


def on_terminal(command: str, folder: Path) -> str:
    """Return what a command writes when its stdout is a colour terminal."""
    ours, theirs = pty.openpty()
    environment = runs.programs(folder) | {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
    environment.pop("NO_COLOR")
    with subprocess.Popen(
        ["/bin/sh", "-c", command], cwd=folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs
    ):
        os.close(theirs)
        written = b""
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # Linux: the last writer has gone
                piece = b""
            if not piece:
                break
            written += piece
    os.close(ours)
    return written.decode().replace("\r\n", "\n")


def draw() -> str:
    """Return the picture of the commands on a trace that is made for it."""
    console = Console(record=True, width=80, file=io.StringIO(), force_terminal=True)
    with tempfile.TemporaryDirectory() as name:
        folder = runs.scratch(Path(name))
        runs.shell(TRACED, folder)
        for command in COMMANDS:
            console.print(Text(f"$ {command}", "bold"), soft_wrap=True)
            shown = on_terminal(command, folder).replace(name, "~/shop")
            console.print(Text.from_ansi(shown.rstrip("\n")), soft_wrap=True)
    # The fonts are left to the reader's machine: the picture asks nothing of the network.
    form = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    form = form.replace("Fira Code, monospace", "Menlo, Consolas, DejaVu Sans Mono, monospace")
    return console.export_svg(title="namel3ss debug", code_format=form, unique_id="terminal")


if __name__ == "__main__":
    PICTURE.write_text(draw(), "utf-8")
    sys.stdout.write(f"{PICTURE.name} written\n")
