"""Write the generated parts of the pages: `python docs/generate.py [--check|--fresh|--no-runs]`.

A generated part stands between `<!-- generated: NAME -->` and `<!-- end -->`. Parts that come from the program itself
(help, settings, fields, names) are compared exactly. Parts named `run ...` show what a terminal of 80 columns printed
for real runs of the examples (`runs.py`). Their times and ids differ from run to run, so they are rewritten only when
something else in them changed, or all of them with `--fresh`, for example after the numbers of events have changed. `--no-runs` leaves them alone and
takes two seconds; so does a second call without a change of the program, because the cache directory holds the output
of the last runs. `--check` and `--fresh` never use that.
"""

from __future__ import annotations

import ast
import functools
import inspect
import json
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields as fields_of
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

sys.path.insert(0, str(Path(__file__).parent))
import click
import runs
from click.testing import CliRunner

import namel3ss_debug
from namel3ss_debug import errors
from namel3ss_debug.analysis.checks.measures import LIVE_MEASURES
from namel3ss_debug.analysis.failures import remedies
from namel3ss_debug.analysis.metrics import METRICS
from namel3ss_debug.cli.help import TOPICS
from namel3ss_debug.cli.main import COMMANDS, debug, namel3ss
from namel3ss_debug.config import SETTINGS, guarding
from namel3ss_debug.config.values import ALERTS, TRIGGERS
from namel3ss_debug.exporters import TRACE_EXPORTERS
from namel3ss_debug.expressions import language
from namel3ss_debug.fields import FIELDS
from namel3ss_debug.importers.opening import open_trace
from namel3ss_debug.monitoring.channels import CHANNELS
from namel3ss_debug.monitoring.episodes import describe_seconds
from namel3ss_debug.monitoring.rules import BUILT_IN, OF_TRIGGERS, AlertTemplate
from namel3ss_debug.replay.debugger import locations, results
from namel3ss_debug.replay.debugger.commands import COMMANDS as DEBUGGER_COMMANDS
from namel3ss_debug.replay.debugger.commands import GROUPS
from namel3ss_debug.replay.debugger.interpreter import Debugger
from namel3ss_debug.traces import events, typed_events
from namel3ss_debug.views.formats import FORMATS as REPORT_FORMATS
from namel3ss_debug.views.prompt import status_line
from namel3ss_debug.wire import FORMATS

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "namel3ss_debug"
PAGES = (
    "README.md",
    "DEBUGGING_GUIDE.md",
    "ARCHITECTURE.md",
    "examples/README.md",
    *sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.md")),
)
SAMPLE = ROOT / "tests" / "data" / "namel3ss" / "sample_trace.jsonl"
FAILED_SAMPLE = ROOT / "tests" / "data" / "recordings" / "openai_error_500.jsonl"
OTHER_SAMPLE = ROOT / "tests" / "data" / "recordings" / "support_agent.jsonl"

PART = re.compile(
    r"(?P<open><!-- generated: (?P<name>[^>]+?) -->\n)(?P<body>.*?)(?P<end><!-- end -->)", re.DOTALL
)
ATTEMPTS = 3
"""How often a part must differ before it counts: on a busy machine, concurrent work sometimes ends in another order."""

HELP_WIDTH = 78
"""The width of help on a terminal of 80 columns; click leaves two free."""

DOCUMENTS = {
    "analyze": ("analyze", "{sample}"),
    "activity": ("activity", "*", "{sample}"),
    "check": ("check", "{sample}", "--rule", "tokens < 1"),
    "check --canary": ("check", "{sample}", "--canary", "--against", "{other}"),
    "clean": ("clean", "{folder}", "--dry-run"),
    "config": ("config",),
    "diff": ("diff", "{sample}", "{other}"),
    "explain": ("explain", "8", "{sample}"),
    "inspect": ("inspect", "{sample}"),
    "inspect --event": ("inspect", "{sample}", "--event", "8"),
    "inspect --tree": ("inspect", "{sample}", "--tree"),
    "list": ("list", "{folder}"),
    "logs": ("logs", "{sample}"),
    "mark": ("mark", "{sample}"),
    "monitor": ("monitor", "{sample}", "--once", "--rule", '{{"limit": "calls < 1"}}'),
    "report": ("report", "it failed", "{sample}"),
    "show": ("show", "{sample}"),
    "suggest": ("suggest", str(FAILED_SAMPLE)),
}
"""A JSON document to the command that prints it, for traces of the tests."""

BY_NAME = {
    "component_breakdown": "one object for each component",
    "event_type_breakdown": "one number for each event type",
    "labels": "one text for each label",
    "settings": "one object for each setting",
}
"""Keys of documents whose values are keyed by names of the program."""


def rows(heads: Iterable[str], lines: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table."""
    table = [list(heads), ["---"] * len(list(heads)), *map(list, lines)]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |\n" for row in table)


def alert_rules() -> str:
    """Return the built-in alert rules."""
    defaults = {**TRIGGERS, **ALERTS}

    def threshold(row: AlertTemplate) -> str:
        value = TRIGGERS.get(row.setting) if row.name in OF_TRIGGERS else defaults[row.setting]
        return "off" if value is None else f"{value:g}"

    lines = (
        (
            f"`{row.name}`",
            f"`{row.limit}`".replace("{}", "T"),
            threshold(row),
            f"`{'triggers' if row.setting in TRIGGERS and (row.name in OF_TRIGGERS or row.setting not in ALERTS) else 'alert_thresholds'}.{row.setting}`",
            row.by,
            describe_seconds(row.window) if row.window else "",
            describe_seconds(row.hold) if row.hold else "",
            row.severity,
        )
        for row in BUILT_IN
    )
    return rows(("rule", "must be true", "T", "setting", "by", "window", "for", "severity"), lines)


def live_measures() -> str:
    """Return the measures of growing traces."""
    return rows(("measure", "meaning"), ((f"`{name}`", meaning) for name, meaning in LIVE_MEASURES.items()))


def commands() -> str:
    """Return the help of every command, each under a heading."""
    root = context_of("namel3ss", namel3ss, None)
    group = context_of("debug", debug, root)
    pages = [root, group]
    for name in COMMANDS:
        command = debug.get_command(group, name)
        assert command is not None
        pages.append(context_of(name, command, group))
    return "\n".join(f"## {page.command_path}\n\n{runs.fenced(page.get_help(), 'text')}" for page in pages)


def context_of(name: str, command: click.Command, parent: click.Context | None) -> click.Context:
    """Return the context in which a command describes itself on a terminal of 80 columns."""
    return click.Context(
        command, info_name=name, parent=parent, terminal_width=HELP_WIDTH, **command.context_settings
    )


def topics() -> str:
    """Return the table of the help topics, each with a link to its page."""
    return rows(
        ("topic", "what it holds"),
        ((f"[{name}]({path})", text) for name, (path, text) in TOPICS.items()),
    )


def settings() -> str:
    """Return the table of settings."""
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


def _meanings(names: Mapping[str, str]) -> str:
    return rows(("name", "meaning"), ((f"`{name}`", meaning) for name, meaning in names.items()))


def circuit_defaults() -> str:
    """Return the table of the defaults of circuit breakers."""
    return rows(
        ("kind", "failure_threshold", "recovery_timeout"),
        (
            (f"`{kind}`", str(failures), f"{seconds:g}")
            for kind, (failures, seconds) in guarding.BREAKERS.items()
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
    return rows(("field", "type", "meaning"), ((f"`{f.name}`", f.type, f.meaning) for f in FIELDS))


def event_types() -> str:
    """Return the table of the event types."""
    return rows(("event type", "meaning"), ((f"`{name}`", text) for name, text in events.EVENT_TYPES.items()))


def format_history() -> str:
    """Return the history of the file format, from the text below `FORMAT_VERSION`."""
    lines = text_below(events, "FORMAT_VERSION").splitlines()
    return "".join(line + "\n" for line in lines if line.startswith("- "))


def text_below(module: object, name: str) -> str:
    """Return the docstring of a module-level name.

    Raises:
        LookupError: the name has none.
    """
    body = ast.parse(inspect.getsource(module)).body  # type: ignore[arg-type]
    for node, following in pairwise(body):
        targets = node.targets if isinstance(node, ast.Assign) else []
        if name in map(ast.unparse, targets) and isinstance(following, ast.Expr):
            return inspect.cleandoc(str(ast.literal_eval(following.value)))
    raise LookupError(name)


def error_table() -> str:
    """Return the table of errors, by the topic that a message names."""
    found = [
        kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.DebugError)
    ]
    return rows(
        ("topic", "class", "meaning", "exit status"),
        (
            (
                f"[{kind.slug}](#{kind.slug})",
                f"`{kind.__name__}`",
                first_line(kind.__doc__),
                str(kind.exit_code),
            )
            for kind in sorted(found, key=lambda kind: kind.slug)
            if kind is not errors.DebugError
        ),
    )


def public_names() -> str:
    """Return the table of what can be imported from `namel3ss_debug`."""
    return rows(
        ("name", "what it is"),
        (
            (f"`{name}`", first_line(getattr(namel3ss_debug, name).__doc__ or text_below(typed_events, name)))
            for name in namel3ss_debug.__all__
            if name != "__version__"
        ),
    )


def wire_formats() -> str:
    """Return the table of the formats in which model traffic is recognised."""
    return rows(
        ("format", "provider", "operation"),
        ((f"`{name}`", known.provider, known.operation) for name, known in FORMATS.items()),
    )


def frameworks() -> str:
    """Return the table of the frameworks and SDKs, from what `.ci/frameworks` wrote down."""
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
                or ("tests passed" if row.get("tests") else "recorded and re-run"),
            )
            for row in json.loads((ROOT / "docs" / "frameworks.json").read_text("utf-8"))
        ),
    )


def debugger_commands(group: str) -> str:
    """Return the table of a group of debugger commands, with the part of `help COMMAND` that only this command has."""
    uses = Counter(text for command in DEBUGGER_COMMANDS for text in command.more.splitlines())
    return rows(
        ("command", "also", "what it does"),
        (
            (
                f"`{command.usage}`",
                " ".join(f"`{word}`" for word in command.aliases),
                " ".join(
                    [f"{command.help}.", *(text for text in command.more.splitlines() if uses[text] == 1)]
                ).removesuffix("."),
            )
            for command in DEBUGGER_COMMANDS
            if command.group == group
        ),
    )


def debugger_results() -> str:
    """Return the table of the debugger's results. `Save` is left out: the shell turns it into a message."""
    return rows(
        ("`result`", "its other keys", "what it is"),
        (
            (
                f"`{results.result_name(kind)}`",
                " ".join(f"`{each.name}`" for each in fields_of(kind)),
                first_line(kind.__doc__),
            )
            for kind in get_args(results.Result)
            if kind is not results.Save
        ),
    )


def status() -> str:
    """Return the status line at the last event of a trace of the tests."""
    debugger = Debugger(open_trace(SAMPLE))
    debugger.execute("goto end")
    return runs.fenced("".join(piece[1] for piece in status_line(debugger, 80)), "text")


def bullets(module: object) -> str:
    """Return the list in a module's docstring."""
    text = inspect.getdoc(module) or ""
    found = re.search(r"^- .*?(?=\n\n|\Z)", text, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[0] + "\n"


def exported_formats() -> str:
    """Return the formats of traces with what each has no place for."""
    return rows(
        ("format", "what it has no place for"),
        ((f"`{row.name}`", "; ".join(row.load().LEFT_OUT) or "nothing") for row in TRACE_EXPORTERS),
    )


def report_formats() -> str:
    """Return the table of the formats of reports."""
    return rows(("format", "what it is"), ((f"`{name}`", row.help) for name, row in REPORT_FORMATS.items()))


def document_keys() -> str:
    """Return the keys of every JSON document to the second level, each document under a heading."""
    with tempfile.TemporaryDirectory() as folder:
        names = {"sample": str(SAMPLE), "other": str(OTHER_SAMPLE), "folder": folder}
        return "\n".join(
            f"### {title}\n\n`{document['schema']}`\n\n{_key_table(document)}"
            for title, words in DOCUMENTS.items()
            if words[0] in COMMANDS and (document := _document([word.format_map(names) for word in words]))
        )


def _document(words: list[str]) -> dict[str, Any]:
    done = CliRunner().invoke(debug, [*words, "--format", "json"])
    assert done.stdout, (words, done.stderr)
    document = json.loads(done.stdout)
    assert isinstance(document, dict)
    return document


def _key_table(document: dict[str, Any]) -> str:
    return rows(
        ("key", "value"),
        (
            (f"`.{key}`", BY_NAME.get(key) or _describe_value(value))
            for key, value in document.items()
            if key != "schema"
        ),
    )


def _describe_value(value: object) -> str:
    if isinstance(value, dict) and value:
        return " ".join(f"`{key}`" for key in value)
    if isinstance(value, list):
        return f"list of: {_describe_value(value[0])}" if value else "list"
    kinds = {bool: "true or false", int: "number", float: "number", str: "text", dict: "object"}
    return kinds.get(type(value), "null here")


def first_line(text: str | None) -> str:
    """Return the first paragraph of a docstring on one line, without the full stop."""
    assert text, "a docstring is missing"
    return " ".join(text.strip().split("\n\n")[0].split()).rstrip(".")


BLOCKS: dict[str, Callable[[], str]] = {
    "commands": commands,
    "topics": topics,
    "settings": settings,
    "limited": lambda: _meanings(guarding.MEASURES),
    "limited by": lambda: _meanings(guarding.SUBJECTS),
    "limit actions": lambda: _meanings(guarding.ACTIONS),
    "remedy outcomes": lambda: _meanings(remedies.OUTCOMES),
    "circuit breakers": circuit_defaults,
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
    "locations": lambda: bullets(locations),
    "expressions": lambda: bullets(language),
    "documents": document_keys,
    "report formats": report_formats,
    "exported formats": exported_formats,
    "channels": lambda: rows(
        ("kind", "an alert is", "needs", "may have"),
        (
            (
                f"`{kind}`",
                row.help,
                " or ".join(f"`{key}`" for key in row.needs),
                " ".join(f"`{key}`" for key in row.may),
            )
            for kind, row in CHANNELS.items()
        ),
    ),
    "metrics": lambda: rows(
        ("metric", "kind", ""),
        ((f"`{name}`", row.kind, row.help.rstrip(".")) for name, row in METRICS.items()),
    ),
    "alert rules": alert_rules,
    "live measures": live_measures,
}
"""The parts that are compared exactly, by name."""


def content(name: str, body: str, shown: dict[str, str] | None) -> str:
    """Return what a part should hold.

    Args:
        name: the name of the part.
        body: what it holds now.
        shown: the output of the real runs, by name; without it, their parts stay as they are.

    Raises:
        KeyError: there is no part of that name.
    """
    if name.startswith("run "):
        run = name.removeprefix("run ")
        fresh = body if shown is None else shown[run]
        return body if runs.same(body, fresh, in_order=run not in runs.IN_ANY_ORDER) else fresh
    return block(name)


@functools.cache
def block(name: str) -> str:
    """Return a part that comes from the program itself.

    Raises:
        KeyError: there is no part of that name.
    """
    return BLOCKS[name]()


def rewrite(page: str, shown: dict[str, str] | None = None) -> str:
    """Return a page with its generated parts made anew."""
    return PART.sub(
        lambda part: part["open"] + content(part["name"], part["body"], shown) + part["end"], page
    )


def stale(shown: dict[str, str] | None = None) -> dict[tuple[str, str], str]:
    """Return the parts that differ from the program: page and name of the part -> both texts."""
    return {
        (name, part["name"]): f"{name}, part {part['name']}\n--- found\n{part['body']}--- wanted\n{wanted}"
        for name in PAGES
        for part in PART.finditer((ROOT / name).read_text("utf-8"))
        if (wanted := content(part["name"], part["body"], shown)) != part["body"]
    }


def main(words: list[str]) -> int:
    """Rewrite the pages, with `--fresh` every run in them; or with `--check` list the parts that differ."""
    if "--check" in words:
        found = stale(runs.all_runs())
        for _ in range(1, ATTEMPTS):
            if found:
                found = {part: text for part, text in stale(runs.all_runs()).items() if part in found}
        print(*found.values(), sep="\n\n", end="\n" if found else "")
        print(
            f"{len(found)} parts differ; python docs/generate.py writes them"
            if found
            else "the pages are up to date"
        )
        return int(bool(found))
    shown = {} if "--no-runs" in words else runs.all_runs() if "--fresh" in words else runs.latest_runs()
    for name in PAGES:
        path = ROOT / name
        page = path.read_text("utf-8")
        if "--fresh" in words:
            page = re.sub(r"(<!-- generated: run .+ -->\n)(?s:.*?)(<!-- end -->)", r"\1\2", page)
        path.write_text(rewrite(page, shown or None), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
