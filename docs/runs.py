"""Real runs of the program on the examples, as a terminal of 80 columns shows them, for the pages and the picture."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from importlib.metadata import distributions
from pathlib import Path

import pexpect

ROOT = Path(__file__).parents[1]
STARTER = "import sys; from namel3ss_debug.cli.main import namel3ss; sys.argv[0] = 'namel3ss'; namel3ss()"
PROMPT = r"(?:\(debug \d+/\d+\)|\n>) "

RUNS: dict[str, tuple[str | tuple[str, ...], ...]] = {
    "support": (
        "namel3ss debug trace examples/support_agent.py",
        "namel3ss debug show",
    ),
    "make-test": ("namel3ss debug make-test", "sed -n '/^# The trace/,$p' test_support_agent.py"),
    "show": ("namel3ss debug trace examples/failing_agent.py > steps.txt 2>&1", "namel3ss debug show"),
    "explain": ("namel3ss debug explain 34",),
    "back": (
        (
            "namel3ss debug replay --step -b error",
            "rsearch S-00",
            "messages --diff",
            "break tool if outputs.result == []",
            "reverse-continue",
            "quit",
        ),
    ),
    "debugger": (
        (
            "namel3ss debug replay --step",
            "goto end",
            "watch totals.errors",
            "reverse-continue",
            "reverse-continue",
            "bookmark failed",
            "where",
            "args",
            "source",
            "rsearch S-00",
            "rsearch",
            "rsearch",
            "messages --diff",
            "break tool if outputs.result == []",
            "reverse-continue",
            "reverse-finish",
            "return",
            'mock find_suppliers:["S-12"]',
            "list",
            "p metadata.recorded.outputs",
            "info cost",
            "goto failed",
            "quit",
        ),
    ),
    "debugger collecting": (
        (
            "namel3ss debug replay --step -b llm_call_end",
            "commands",
            "silent",
            "print totals.tokens",
            "continue",
            "continue",
            "quit",
        ),
    ),
    "debugger script": (
        "namel3ss debug replay --format jsonl -c 'break find_suppliers' -c 'info totals' -c 'goto 99'",
    ),
    "commands": ("namel3ss debug replay -c 'break error' -c continue -c 'print error'",),
    "json": ("namel3ss debug analyze --errors --format json",),
    "many": ("namel3ss debug analyze debug/traces --errors",),
    "live": (
        (
            "namel3ss debug trace -b find_suppliers examples/failing_agent.py",
            'mock find_suppliers:["S-12"]',
            "return",
            "continue",
            "quit",
        ),
    ),
    "limits": (
        "namel3ss debug trace examples/endless_agent.py",
        "namel3ss debug analyze",
        "namel3ss debug rerun",
    ),
    "suggest": (
        "namel3ss debug trace examples/hasty_agent.py 2>&1 | tail -n 2",
        "namel3ss debug suggest --apply",
        "namel3ss debug trace examples/hasty_agent.py",
        "rm -r .namel3ss",
    ),
    "examples first": (
        "namel3ss debug trace examples/support_agent.py",
        "namel3ss debug analyze --summary --errors",
    ),
    "examples inside": ("namel3ss debug inspect --tree",),
    "examples event": ("namel3ss debug inspect --event 8",),
    "examples failure": (
        "namel3ss debug trace examples/failing_agent.py",
        "namel3ss debug inspect --errors-only",
    ),
    "examples supplier": (
        "namel3ss debug inspect --where 'outputs.tool_calls[0].arguments.supplier == \"S-00\"'",
        "namel3ss debug inspect --tool find_suppliers",
    ),
    "examples empty": ("namel3ss debug inspect --where 'kind == \"tool\" and outputs.result == []'",),
    "examples step": (
        (
            "namel3ss debug replay --step -b error",
            "b find_suppliers",
            "rc",
            "n",
            "p outputs.result",
            "messages",
            "search S-00",
            "p outputs.tool_calls[0].arguments",
            "q",
        ),
    ),
    "examples command": ("namel3ss debug replay -c 'goto end' -c 'search ?no supplier?' -c 'p error'",),
    "examples live": (
        (
            "namel3ss debug trace -b find_suppliers examples/failing_agent.py",
            "args",
            'mock find_suppliers:["S-12"]',
            "continue",
            "q",
        ),
    ),
    "examples parallel": (
        "namel3ss debug trace examples/research_agent.py",
        "namel3ss debug inspect --timeline",
    ),
    "debugger up": (
        (
            "namel3ss debug replay --step",
            "tbreak stream_chunk",
            "continue",
            "up",
            "print inputs.model",
            "whatis inputs.messages",
            "return",
            "quit",
        ),
    ),
    "examples slow": (
        "namel3ss debug analyze --performance",
        "namel3ss debug inspect --where 'tokens_used > 147'",
    ),
    "examples recordings": (
        "namel3ss debug list",
        "namel3ss debug clean --days 7 --dry-run",
    ),
    "weather": (
        "namel3ss debug trace examples/weather_agent.py",
        "namel3ss debug rerun --mock 'get_weather:{\"temp_c\": -30}'",
    ),
    "rerun debugger": (
        (
            "namel3ss debug replay --step -b get_weather",
            'mock get_weather@1:{"temp_c": -30}',
            "rerun",
            "next",
            "clear",
            "fault llm@2:status:503",
            "tbreak llm_call_end",
            "continue",
            "next",
            "continue",
            "quit",
        ),
    ),
    "diff": (
        """sed 's/"sku-204"/"SKU-204"/' examples/failing_agent.py > examples/fixed_agent.py""",
        "namel3ss debug trace -o failing.jsonl examples/failing_agent.py > steps.txt 2>&1",
        "namel3ss debug trace -o fixed.jsonl examples/fixed_agent.py > steps.txt 2>&1",
        "namel3ss debug diff failing.jsonl fixed.jsonl | sed -n '1,21p'",
    ),
    "rerun edited": (
        "sed -i 's/pack for/wear in/' examples/weather_agent.py",
        "namel3ss debug rerun",
    ),
    "doctor": (
        "sed -i 's/^import json/&, datetime/; s/= \"What/= f\"{datetime.date.today()}: What/' examples/weather_agent.py",
        "namel3ss debug doctor examples/weather_agent.py",
    ),
    "check": (
        "namel3ss debug trace examples/support_agent.py > steps.txt 2>&1",
        "namel3ss debug check --init",
        """namel3ss debug check --rules debug.rules.json --rule '{"forbid": "tool:refund_*"}'""",
    ),
    "story findings": (
        "namel3ss debug trace examples/failing_agent.py > steps.txt 2>&1",
        "namel3ss debug analyze",
    ),
    "story back": (
        (
            "namel3ss debug replay --step -b error",
            "rsearch S-00",
            "break tool if outputs.result == []",
            "reverse-continue",
            "quit",
        ),
    ),
    "story edit": (
        """sed -i 's/"sku-204"/"SKU-204"/' examples/failing_agent.py""",
        "namel3ss debug rerun --live-from 14 --yes 2>&1 | tail -n 8",
    ),
}
"""Name of a part to its commands, in the order in which they run. A tuple is a session: a command and the lines typed."""

IN_ANY_ORDER = frozenset({"examples parallel"})
"""The parts whose lines stand in the order of concurrent work, which differs from run to run."""

_NUMBER = re.compile(r"[-+]?\d[\d.,:]*")
_ID = re.compile(r"(?<![0-9a-zA-Z])[0-9a-f]{8,16}(?![0-9a-zA-Z])")
_BAR = re.compile(r"[━╸╺╶─╼╴\s]+$|(?<=  )[━╸╺╶─╼╴ ]+(?=  )")
_LEVELS = re.compile(r"[▁▂▃▄▅▆▇█]+")
_UNIT = re.compile(r"# (?:ms|s|µs|B|KB|MB|GB|%)(?!\w)")


def environment(folder: Path) -> dict[str, str]:
    """Return the environment of a run: 80 columns, no colour, no variables of the debugger or of providers."""
    names = ("NAMEL3SS", "OPENAI", "ANTHROPIC", "FORCE_COLOR", "PYTEST", "GITHUB")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(names)}
    return kept | {
        "COLUMNS": "80",
        "LINES": "40",
        "TERM": "dumb",
        "NO_COLOR": "1",
        "XDG_CACHE_HOME": str(folder / "cache"),
        "XDG_CONFIG_HOME": str(folder / "config"),
        "XDG_STATE_HOME": str(folder / "state"),
    }


def session(command: str, typed: Iterable[str], cwd: Path) -> str:
    """Return what a terminal shows while somebody types these lines at the prompts of a command."""
    log = io.StringIO()
    terminal = pexpect.spawn(
        "/bin/sh",
        ["-c", f"exec {command}"],
        cwd=str(cwd),
        env=programs(cwd),
        encoding="utf-8",
        dimensions=(40, 80),
        timeout=300,
    )
    terminal.logfile_read = log
    for words in typed:
        terminal.expect(PROMPT)
        terminal.sendline(words)
    terminal.expect(pexpect.EOF)
    terminal.close()
    return re.sub(r"\x1b\[[?0-9;]*[a-zA-Z]", "", log.getvalue()).replace("\r", "")


def programs(folder: Path) -> dict[str, str]:
    """Return the environment of a shell in which `namel3ss` and `python` are those of this interpreter."""
    scripts = folder / "bin"
    if not scripts.exists():
        scripts.mkdir()
        for name, words in (("namel3ss", f'-c "{STARTER}"'), ("python", "")):
            path = scripts / name
            path.write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
            path.chmod(0o755)
    return environment(folder) | {"PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"}


def shell(command: str, cwd: Path) -> str:
    """Return what a shell command prints on stdout and stderr together."""
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        cwd=cwd,
        env=programs(cwd),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        timeout=300,  # on a busy machine
    )
    return done.stdout.decode()


def scratch(folder: Path) -> Path:
    """Copy the examples into a folder, to run commands in it, and return the folder."""
    shutil.copytree(ROOT / "examples", folder / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def all_runs() -> dict[str, str]:
    """Return the text of every run, by its name; its folder is shown as `~/shop`. Progress goes to stderr."""
    with tempfile.TemporaryDirectory() as name:
        folder = scratch(Path(name))
        texts = {}
        for place, (part, commands) in enumerate(RUNS.items(), 1):
            print(f"run {place} of {len(RUNS)}: {part}", file=sys.stderr, flush=True)
            text = "".join(shown(each, folder) for each in commands)
            texts[part] = fenced(text.replace(name, "~/shop"), "console")
        return texts


def latest_runs() -> dict[str, str]:
    """Return what `all_runs` returns, from the cache directory if nothing that a run can depend on has changed since."""
    path = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "namel3ss-debug-docs.json"
    digest = digest_of_inputs()
    with suppress(OSError, ValueError):
        kept = json.loads(path.read_text("utf-8"))
        if kept["digest"] == digest:
            print("the program has not changed since the last runs", file=sys.stderr)
            return dict(kept["texts"])
    texts = all_runs()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"digest": digest, "texts": texts}), "utf-8")
    return texts


def digest_of_inputs() -> str:
    """Return a digest of this script, the package, the examples, and the installed packages with their versions."""
    digest = hashlib.sha256(sys.version.encode())
    installed = sorted(f"{each.name} {each.version}" for each in distributions())
    digest.update("\n".join(installed).encode())
    files = [Path(__file__), *(ROOT / "namel3ss_debug").rglob("*.*"), *(ROOT / "examples").rglob("*.*")]
    for path in sorted(files):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(f"\0{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def shown(each: str | tuple[str, ...], folder: Path) -> str:
    """Return a command behind its `$`, and what it printed."""
    if isinstance(each, str):
        return f"$ {each}\n{shell(each, folder)}"
    return f"$ {each[0]}\n{session(each[0], each[1:], folder)}"


def fenced(text: str, language: str) -> str:
    """Return a Markdown code block."""
    lines = [line.rstrip() for line in text.strip("\n").splitlines()]
    return "\n".join((f"```{language}", *lines, "```", ""))


def same(old: str, new: str, *, in_order: bool = True) -> bool:
    """Return whether two texts of a run differ at most in times, sizes, ids and cuts, and in the order of lines if that is free."""
    before, after = [shape(line) for line in old.splitlines()], [shape(line) for line in new.splitlines()]
    if not in_order:
        before, after = sorted(before), sorted(after)
    return len(before) == len(after) and all(map(_same_line, before, after))


def shape(line: str) -> str:
    """Return a line without its numbers and ids; of a line that was cut, the words before the cut."""
    head, cut, _ = line.partition("…")
    if cut:
        head = head.rpartition(" ")[0]
    words = " ".join(_NUMBER.sub("#", _ID.sub("#", _BAR.sub(" ", _LEVELS.sub(" ", head)))).split())
    return _UNIT.sub("#", words) + ("…" if cut else "")


def _same_line(old: str, new: str) -> bool:
    if old.endswith("…") or new.endswith("…"):
        old, new = old.removesuffix("…"), new.removesuffix("…")
        return old.startswith(new) or new.startswith(old)
    return old == new
