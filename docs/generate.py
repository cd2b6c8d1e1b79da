"""Writes the generated parts of the README files and the guide: `python docs/generate.py [--check|--fresh]`.

A generated part stands between `<!-- generated: NAME -->` and `<!-- end -->`. What the program says of itself (help,
settings, fields, names) is compared to the letter. The parts named `run ...` are what a terminal of 80 columns showed
of real runs of the examples (`runs.py`); their times and ids differ from run to run, so they are only rewritten when
something else in them does, or all of them with `--fresh`: for example after the numbers of events have changed.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields as fields_of
from itertools import pairwise
from pathlib import Path
from typing import get_args

sys.path.insert(0, str(Path(__file__).parent))
import runs

import namel3ss_debug
from namel3ss_debug import errors
from namel3ss_debug.cli.main import COMMANDS
from namel3ss_debug.config import SETTINGS
from namel3ss_debug.expressions import language
from namel3ss_debug.replay import results
from namel3ss_debug.replay.debugger import Debugger
from namel3ss_debug.replay.recording import breakpoints
from namel3ss_debug.replay.walking.commands import COMMANDS as DEBUGGER_COMMANDS
from namel3ss_debug.replay.walking.commands import GROUPS
from namel3ss_debug.traces import events, typed_events
from namel3ss_debug.traces.reader import open_trace
from namel3ss_debug.views.prompt import status_line
from namel3ss_debug.wire import FORMATS

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "namel3ss_debug"
PAGES = ("README.md", "DEBUGGING_GUIDE.md", "examples/README.md")
SAMPLE = ROOT / "tests" / "data" / "namel3ss" / "sample_trace.jsonl"

PART = re.compile(
    r"(?P<open><!-- generated: (?P<name>[^>]+?) -->\n)(?P<body>.*?)(?P<end><!-- end -->)", re.DOTALL
)
AGAIN = 2
"""How often what differs runs again before it counts: on a busy machine, what runs at once comes otherwise now and then."""

_FOLDERS = (
    "",
    "capture",
    "traces",
    "replay",
    "analysis",
    "inspection",
    "views",
    "cli",
    "wire",
    "expressions",
)
_BY_NAME = {
    "component_breakdown": "one object for each component",
    "event_type_breakdown": "one number for each event type",
}


def rows(heads: Iterable[str], lines: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    table = [list(heads), ["---"] * len(list(heads)), *map(list, lines)]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |\n" for row in table)


def help_of(*words: str) -> str:
    """The help text of a command, as a terminal of 80 columns shows it."""
    with tempfile.TemporaryDirectory() as folder:
        return runs.fenced(runs.shell(" ".join(("namel3ss", *words, "--help")), Path(folder)), "text")


def settings() -> str:
    """The table of settings."""
    return rows(
        ("key", "environment", "default", "allowed", "meaning"),
        (
            (
                f"`{row.key}`",
                ", ".join(f"`{name}`" for name in row.variables),
                f"`{_value(row.default)}`",
                row.allowed,
                row.help,
            )
            for row in SETTINGS
        ),
    )


def _value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    if value and isinstance(value, dict):
        return json.dumps(value)  # as it would stand in the file
    return str(value) if value or value == 0 else "none"


def fields() -> str:
    """The table of the fields of an event."""
    return rows(("field", "type", "meaning"), ((f"`{f.name}`", f.type, f.meaning) for f in events.FIELDS))


def event_types() -> str:
    """The table of the event types."""
    return rows(("event type", "meaning"), ((f"`{name}`", text) for name, text in events.EVENT_TYPES.items()))


def format_history() -> str:
    """The history of the file format, from the text below `FORMAT_VERSION`."""
    lines = text_below(events, "FORMAT_VERSION").splitlines()
    return "".join(line + "\n" for line in lines if line.startswith("- "))


def text_below(module: object, name: str) -> str:
    """The text that stands below an assignment in a module, which is its docstring.

    Raises:
        LookupError: there is none.
    """
    body = ast.parse(inspect.getsource(module)).body  # type: ignore[arg-type]
    for node, following in pairwise(body):
        targets = node.targets if isinstance(node, ast.Assign) else []
        if name in map(ast.unparse, targets) and isinstance(following, ast.Expr):
            return inspect.cleandoc(str(ast.literal_eval(following.value)))
    raise LookupError(name)


def error_table() -> str:
    """The table of failures, by the slug that a message ends with."""
    found = [
        kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.DebugError)
    ]
    return rows(
        ("see", "class", "meaning", "exit status"),
        (
            (
                f"[#{kind.slug}](#{kind.slug})",
                f"`{kind.__name__}`",
                first_line(kind.__doc__),
                str(kind.exit_code),
            )
            for kind in sorted(found, key=lambda kind: kind.slug)
            if kind is not errors.DebugError
        ),
    )


def public_names() -> str:
    """The table of what can be imported from `namel3ss_debug`."""
    return rows(
        ("name", "what it is"),
        (
            (f"`{name}`", first_line(getattr(namel3ss_debug, name).__doc__ or text_below(typed_events, name)))
            for name in namel3ss_debug.__all__
            if name != "__version__"
        ),
    )


def wire_formats() -> str:
    """The table of the formats in which model traffic is recognised."""
    return rows(
        ("format", "provider", "operation"),
        ((f"`{name}`", known.provider, known.operation) for name, known in FORMATS.items()),
    )


def frameworks() -> str:
    """The table of the frameworks and SDKs that `.ci/frameworks` has followed, from what it wrote down."""
    return rows(
        ("framework or SDK", "version", "what is followed", "result"),
        (
            (
                f"`{row['name']}`"
                if row["name"] == row["package"]
                else f"`{row['name']}` (`{row['package']}`)",
                row["version"],
                row["seams"],
                "; ".join(row["differences"])
                or ("tests passed" if row.get("tests") else "as written, and run again"),
            )
            for row in json.loads((ROOT / "docs" / "frameworks.json").read_text("utf-8"))
        ),
    )


def debugger_commands(group: str) -> str:
    """The table of a group of the debugger's commands, with what `help COMMAND` tells of this command alone."""
    told = Counter(text for command in DEBUGGER_COMMANDS for text in command.more.splitlines())
    return rows(
        ("command", "also", "what it does"),
        (
            (
                f"`{command.usage}`",
                " ".join(f"`{word}`" for word in command.aliases),
                " ".join(
                    [f"{command.help}.", *(text for text in command.more.splitlines() if told[text] == 1)]
                ).removesuffix("."),
            )
            for command in DEBUGGER_COMMANDS
            if command.group == group
        ),
    )


def debugger_results() -> str:
    """The table of what the debugger's commands answer; the shell does what `Save` asks and tells of it by another."""
    return rows(
        ("`result`", "its other keys", "what it is"),
        (
            (
                f"`{kind.__name__.lower()}`",
                " ".join(f"`{each.name}`" for each in fields_of(kind)),
                first_line(kind.__doc__),
            )
            for kind in get_args(results.Result)
            if kind is not results.Save
        ),
    )


def status() -> str:
    """The status line at the last event of a recording in the tests."""
    debugger = Debugger(open_trace(SAMPLE))
    debugger.execute("goto end")
    return runs.fenced("".join(piece[1] for piece in status_line(debugger, 80)), "text")


def bullets(module: object) -> str:
    """The list in a module's docstring."""
    text = inspect.getdoc(module) or ""
    found = re.search(r"^- .*?(?=\n\n|\Z)", text, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[0] + "\n"


def analyze_keys() -> str:
    """The keys of the JSON of `analyze` to the second level, from a recording in the tests."""
    document = namel3ss_debug.TraceAnalyzer(SAMPLE).analyze()
    return rows(
        ("key", "keys in it"),
        ((f"`.{key}`", _BY_NAME.get(key) or _keys(value)) for key, value in document.items()),
    )


def _keys(value: object) -> str:
    return " ".join(f"`{key}`" for key in value) if isinstance(value, dict) else "a text"


def folders() -> str:
    """The package as it is: every folder and module with what its docstring begins with, those of a folder behind it."""
    found = {path.parent.name for path in PACKAGE.glob("*/__init__.py")} - {*_FOLDERS}
    lines = [line for folder in (*_FOLDERS, *sorted(found)) for line in _modules(PACKAGE / folder)]
    return rows(("module", "purpose"), ((f"`{name}`", text) for name, text in lines))


def _modules(folder: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.iterdir(), key=lambda path: (path.is_dir(), path.name)):
        name = path.relative_to(PACKAGE).as_posix()
        if path.suffix == ".py" and path.name != "__init__.py":
            yield name, summary(path)
        elif folder != PACKAGE and (path / "__init__.py").exists():
            yield f"{name}/", summary(path / "__init__.py")
            yield from _modules(path)


def summary(path: Path) -> str:
    """The first sentence of a module's docstring."""
    return first_line(ast.get_docstring(ast.parse(path.read_text("utf-8"))))


def first_line(text: str | None) -> str:
    """The first paragraph of a docstring, on one line, without the full stop."""
    assert text, "a docstring is missing"
    return " ".join(text.strip().split("\n\n")[0].split()).rstrip(".")


BLOCKS: dict[str, Callable[[], str]] = {
    "help namel3ss": help_of,
    "help debug": lambda: help_of("debug"),
    **{f"help {name}": (lambda name=name: help_of("debug", name)) for name in COMMANDS},  # type: ignore[misc]
    "settings": settings,
    "fields": fields,
    "event types": event_types,
    "format history": format_history,
    "errors": error_table,
    "public names": public_names,
    "wire formats": wire_formats,
    "frameworks": frameworks,
    **{f"debugger {group}": (lambda group=group: debugger_commands(group)) for group in GROUPS},  # type: ignore[misc]
    "debugger results": debugger_results,
    "debugger status": status,
    "places": lambda: bullets(breakpoints),
    "expressions": lambda: bullets(language),
    "analyze keys": analyze_keys,
    "folders": folders,
}
"""Every part that is compared to the letter, by its name."""


def content(name: str, body: str, shown: dict[str, str] | None) -> str:
    """What a part should hold, given what it holds.

    Raises:
        KeyError: there is no part of that name.
    """
    if name.startswith("run "):
        run = name.removeprefix("run ")
        fresh = body if shown is None else shown[run]
        return body if runs.same(body, fresh, in_order=run not in runs.IN_ANY_ORDER) else fresh
    return BLOCKS[name]()


def rewrite(page: str, shown: dict[str, str] | None = None) -> str:
    """A page with its generated parts as they should be.

    Args:
        page: the text of the page.
        shown: what the real runs gave, by name; their parts stay as they are without it.
    """
    return PART.sub(
        lambda part: part["open"] + content(part["name"], part["body"], shown) + part["end"], page
    )


def stale(shown: dict[str, str] | None = None) -> dict[tuple[str, str], str]:
    """The parts that are not as they should be, by their page and name: what stands there and what should."""
    return {
        (name, part["name"]): (f"{name}, part {part['name']}\n--- found\n{part['body']}--- wanted\n{wanted}")
        for name in PAGES
        for part in PART.finditer((ROOT / name).read_text("utf-8"))
        if (wanted := content(part["name"], part["body"], shown)) != part["body"]
    }


def main(words: list[str]) -> int:
    """Rewrite the pages, with `--fresh` all runs in them; or with `--check` say which parts are not as they should be."""
    if "--check" in words:
        found = stale(runs.all_runs())
        for _ in range(AGAIN):
            found = (
                {part: text for part, text in stale(runs.all_runs()).items() if part in found}
                if found
                else {}
            )
        print(*found.values(), sep="\n\n", end="\n" if found else "")
        print(
            f"{len(found)} parts differ; python docs/generate.py writes them"
            if found
            else "the pages are as they should be"
        )
        return int(bool(found))
    shown = runs.all_runs()
    for name in PAGES:
        path = ROOT / name
        page = path.read_text("utf-8")
        if "--fresh" in words:
            page = re.sub(r"(<!-- generated: run .+ -->\n)(?s:.*?)(<!-- end -->)", r"\1\2", page)
        path.write_text(rewrite(page, shown), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
