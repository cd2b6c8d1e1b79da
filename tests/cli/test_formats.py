"""Every reporting command offers every format, and one row adds another one."""

import ast
import csv
import io
import json
import re
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path

import click
import pytest

from namel3ss_debug import cli
from namel3ss_debug.cli.main import COMMANDS, debug
from namel3ss_debug.cli.reporting import FormatName
from namel3ss_debug.views.formats import FORMATS, OutputFormat

OPTIONS = {
    "analyze": ["", "debug/traces"],
    "check": ["--rule errors==0"],
    "clean": ["--dry-run"],
    "diff": ["latest latest"],
    "inspect": ["", "--event 6", "--tree", "--timeline"],
    "logs": ["--category events"],
    "monitor": ["--once --rule calls<1"],
}
"""Command -> further words of each of its command lines, for one that has something to show only with them."""

ASKS_A_MODEL = "resend"
"""The command for which the events are not enough."""


def command_lines():
    """The words of at least one command line of each command whose format comes from the table, but those that run a program."""
    context = click.Context(debug)
    for name in COMMANDS:
        params = debug.get_command(context, name).params
        arguments = [param for param in params if isinstance(param, click.Argument)]
        if any(isinstance(param.type, FormatName) for param in params) and all(
            param.name != "target" and name != ASKS_A_MODEL for param in arguments
        ):
            numbers = [isinstance(param.type, click.IntRange) for param in arguments]
            values = [
                "6" if is_number else "llm"
                for param, is_number in zip(arguments, numbers, strict=True)
                if param.required or is_number
            ]
            for options in OPTIONS.get(name, [""]):
                yield [name, *values, *options.split()]


COMMAND_LINES = list(command_lines())


@pytest.fixture(params=COMMAND_LINES, ids=" ".join)
def words(request, trace):
    """The words of one reporting command, in a folder with a trace."""
    return request.param


def test_a_format_is_one_row(run, words, monkeypatch):
    """A module and a row: every reporting command offers the format and writes it."""
    monkeypatch.syspath_prepend(Path(__file__).parent)
    monkeypatch.setitem(FORMATS, "sample", OutputFormat("sample_format:render", "for the tests"))
    assert "sample" in run(words[0], "--help").stdout
    result = run(*words, "--format", "sample")
    assert result.exit_code in {0, 1}, result.stderr
    assert re.fullmatch(r"sample \d+ schema \n", result.stdout)


def test_json_is_one_document_with_its_schema(run, words):
    """The first key is the schema."""
    document = json.loads(run(*words, "--format", "json").stdout)
    assert next(iter(document)) == "schema"


def test_every_line_of_jsonl_is_json(run, words):
    """One value a line."""
    rows = run(*words, "--format", "jsonl").stdout.splitlines()
    assert rows or words[0] == "clean"  # there is nothing to remove
    assert all(json.loads(row) is not None for row in rows)


def test_markdown_has_no_control_characters(run, words):
    """A heading or a table at least."""
    assert run(*words, "--format", "markdown").stdout.strip()


class Checker(HTMLParser):
    """Sees that tags are closed in order, and notes all tags, the policy and the style."""

    void = frozenset({"meta", "br"})

    def __init__(self):
        super().__init__()
        self.open, self.tags = [], set()
        self.policy = self.style = ""

    def handle_starttag(self, tag, attrs):
        """Note a tag; nothing in a page may lead anywhere, and the policy allows no style of a single element."""
        self.tags.add(tag)
        assert not {name for name, _ in attrs} & {"src", "href", "onclick", "onload", "srcset", "style"}
        if ("http-equiv", "Content-Security-Policy") in attrs:
            self.policy = dict(attrs)["content"]
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag):
        """Close the last open tag."""
        assert self.open.pop() == tag

    def handle_data(self, data):
        """Note the style."""
        if self.open[-1:] == ["style"]:
            self.style += data


def check_page(page):
    """The page is complete, runs nothing and loads nothing."""
    checker = Checker()
    checker.feed(page)
    assert not checker.open
    assert not checker.tags & {"script", "img", "link", "iframe", "object", "form"}
    allowed = b64encode(sha256(checker.style.encode()).digest()).decode()
    assert checker.policy == f"default-src 'none'; style-src 'sha256-{allowed}'"
    assert "url(" not in page
    assert "@import" not in page
    assert "prefers-color-scheme: dark" in page
    assert page.startswith("<!DOCTYPE html>")


def test_html_is_one_page_by_itself(run, words):
    """No script, no network."""
    check_page(run(*words, "--format", "html").stdout)


@pytest.mark.parametrize("words", COMMAND_LINES, ids=" ".join)
def test_no_format_lets_hostile_text_through(run, hostile_trace, words):
    """No control character of a trace reaches any output, and no tag of it the page."""
    for name in FORMATS:
        result = run(*words, "--format", name)
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\u200b]", result.stdout), name
    check_page(run(*words, "--format", "html").stdout)


def test_csv_writes_one_named_table(run, trace):
    """The columns are keys of the document, and values are raw."""
    result = run("analyze", "--format", "csv", "--table", "performance.slow_operations")
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert rows[0]["duration_ms"] == "1300.0"
    named = run("analyze", "--format", "csv", "--table", "slow_operations")
    assert named.stdout == result.stdout


@pytest.mark.parametrize("options", [(), ("--table", "none")])
def test_csv_lists_the_tables(run, trace, options):
    """A wrong or missing name is one line that lists the names."""
    result = run("analyze", "--format", "csv", *options)
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert "performance.slow_operations" in result.stderr


def test_csv_of_events_streams_with_fixed_columns(run, trace):
    """The only table of a report needs no name; payloads are JSON in their cell."""
    rows = list(csv.DictReader(io.StringIO(run("inspect", "--format", "csv").stdout)))
    assert rows[3]["number"] == "4"
    assert json.loads(rows[3]["outputs"])["tool_calls"][0]["name"] == "lookup"


def test_a_cell_that_looks_like_a_formula_is_text():
    """A spreadsheet must not run what a program wrote."""
    from namel3ss_debug.views.renderers.csv import format_cell

    assert [format_cell(value) for value in ("=1+1", "-2", -2, True, None, [1])] == [
        "'=1+1",
        "'-2",
        -2,
        "true",
        None,
        "[1]",
    ]


def test_table_belongs_to_csv(run, trace):
    """With another format, its name would have no effect."""
    result = run("list", "--table", "recordings")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "--table is for --format csv" in result.stderr


def test_no_command_compares_the_names_of_formats():
    """A format that is added or changed in the table is never missed by a command; `trace --format` is an exporter."""
    for path in Path(cli.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Compare) and path.stem != "trace":
                constants = {each.value for each in ast.walk(node) if isinstance(each, ast.Constant)}
                assert not constants & set(FORMATS), f"{path.name}:{node.lineno}"
