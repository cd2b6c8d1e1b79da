"""`debug help`: the guide and the reference pages, without a network.

The pages lie in the repository (DEBUGGING_GUIDE.md and docs/) and are copied into the wheel, below `PAGES_FOLDER`, by
the table `force-include` in pyproject.toml. Every heading of every page is a topic, under its anchor on GitHub.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import ClassVar, NamedTuple

import click
from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import CodeBlock, Markdown
from rich.text import Text
from rich.theme import Theme

from namel3ss_debug.cli.pager import Pager
from namel3ss_debug.errors import WrongUsageError
from namel3ss_debug.views.terminal import Terminal, console

PAGES_FOLDER = "pages"
MOST_COLUMNS = 100
TOPICS = {
    "guide": ("DEBUGGING_GUIDE.md", "Start here: what to do, by task."),
    "commands": ("docs/commands.md", "Every command with its options, and the exit statuses."),
    "settings": ("docs/settings.md", "Every setting, its variable and its default."),
    "recording": ("docs/recording.md", "What is recorded, what is not, and how to control it."),
    "frameworks": ("docs/frameworks.md", "Agent frameworks, provider formats, OpenTelemetry."),
    "namel3ss-apps": ("docs/namel3ss-apps.md", "Apps of the namel3ss language."),
    "page": ("docs/page.md", "The page of view: what it shows, what it holds, why it is safe to open."),
    "analyses": ("docs/analyses.md", "Every section of analyze, and how its figures are computed."),
    "syntax": ("docs/syntax.md", "Expressions, locations, mocks and faults."),
    "debugger": ("docs/debugger.md", "The commands of the debugger, for traces and live programs."),
    "re-runs": ("docs/re-runs.md", "How a re-run finds its answers, and what cannot be re-run."),
    "checks": ("docs/checks.md", "Rules, baselines, reports for CI, and the pytest plugin."),
    "limits": ("docs/limits.md", "Limits, circuit breakers and retries: stop a program that spends."),
    "alerts": ("docs/alerts.md", "Where alerts go, and metrics for Prometheus and Grafana."),
    "monitoring": ("docs/monitoring.md", "Watching programs while they run: figures, alert rules, alerts."),
    "comparing": ("docs/comparing.md", "How two runs are aligned and compared."),
    "other-tools": ("docs/other-tools.md", "Sessions and traces of other tools, in and out."),
    "trace-format": ("docs/trace-format.md", "The files of a trace, their fields and event types."),
    "json": ("docs/json.md", "The JSON documents of the commands, key by key."),
    "library": ("docs/library.md", "What programs import from namel3ss_debug."),
    "documents": ("docs/documents.md", "What documents on other debuggers promise, and what it is here."),
    "errors": ("docs/errors.md", "The kinds of errors, and what to do about each."),
}
"""Name of a topic to its page and the line that `debug help` shows for it."""

_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^(#+) (.+)$", re.MULTILINE)
_NOT_TEXT = re.compile(r"^<!--.*?-->\n|^!\[.*\n\n", re.MULTILINE)
_TABLE = re.compile(r"^\|.*\n\| *:?---.*\n(?:\|.*\n?)+", re.MULTILINE)
_CELL_BORDER = re.compile(r"(?<!\\)\|")
_LOCAL_LINK = re.compile(r"\[([^\]]+)\]\((?!\w+:)[^)]*?(?:([\w-]+)\.md)?(?:#([\w-]+))?\)")


class PlainCode(CodeBlock):
    """A code block as it stands: rich would indent it, and so wrap terminal output of 80 columns."""

    def __rich_console__(self, _console: Console, _options: ConsoleOptions) -> RenderResult:
        yield Text(str(self.text).rstrip())


class Page(Markdown):
    """A page of the help."""

    elements: ClassVar = {**Markdown.elements, "fence": PlainCode, "code_block": PlainCode}


class HelpPart(NamedTuple):
    """A heading of a page with the text below it, down to the next heading of its level."""

    page: str
    anchor: str
    title: str
    text: str


@click.command("help")
@click.argument("words", nargs=-1, metavar="[TOPIC]")
@click.option(
    "--no-pager",
    "pager",
    is_flag=True,
    flag_value=False,
    default=True,
    help="Print a long page without a pager.",
)
@click.pass_context
def command(ctx: click.Context, words: tuple[str, ...], *, pager: bool) -> None:
    """Show the guide and the reference, offline.

    TOPIC is one of the topics that are listed without it, a heading, such as bad-setting, a command, or a word to look
    for. Error messages name the topic that explains them.
    """
    if not words:
        click.echo(list_topics())
        return
    topic = " ".join(words).removeprefix("#").lower()
    group = ctx.parent.command if ctx.parent else None
    named = group.get_command(ctx, topic) if isinstance(group, click.Group) else None
    if named and topic not in TOPICS and topic not in {part.anchor for part in split_page("errors")}:
        click.echo(named.get_help(click.Context(named, info_name=topic, parent=ctx.parent)))
        return
    show(find_text(topic), pager=pager)


def list_topics() -> str:
    """Return the list of topics, one on a line."""
    width = max(map(len, TOPICS))
    lines = [f"  {name:{width}}  {text}" for name, (_, text) in TOPICS.items()]
    return "\n".join(
        (
            "namel3ss debug help TOPIC shows one of these:",
            "",
            *lines,
            "",
            "or a heading, a command, or a word.",
        )
    )


def find_text(topic: str) -> str:
    """Return the page or the part of a page for a topic, or the list of the parts that mention it.

    Raises:
        WrongUsageError: no page mentions the topic.
    """
    if topic in TOPICS:
        return read_page(topic)
    parts = [part for page in TOPICS for part in split_page(page)]
    for part in parts:
        if topic in {part.anchor, part.title.lower()}:
            return part.text
    mentions = [part for part in parts if topic in _own_text(part).lower()]
    if not mentions:
        import difflib

        near = difflib.get_close_matches(topic, [*TOPICS, *(part.anchor for part in parts)], 1)
        hint = f"did you mean {near[0]}?" if near else "`namel3ss debug help` lists the topics"
        raise WrongUsageError(f"there is no help on {topic!r}; {hint}")
    lines = [f"- `namel3ss debug help {part.anchor}`: {part.title} ({part.page})" for part in mentions]
    return "\n".join((f"These parts mention {topic}:", "", *lines, ""))


def read_page(topic: str) -> str:
    """Return the text of a page without its pictures, from the wheel or else from the checkout.

    Raises:
        WrongUsageError: the page is not there.
    """
    package = Path(__file__).parents[1]
    for folder in (package / PAGES_FOLDER, package.parent):
        path = folder / TOPICS[topic][0]
        if path.is_file():
            return _NOT_TEXT.sub("", path.read_text("utf-8"))
    raise WrongUsageError(f"this installation holds no help pages; {TOPICS[topic][0]} is missing")


def split_page(topic: str) -> Iterator[HelpPart]:
    """Split a page at its headings. Lines in code blocks are no headings."""
    text = read_page(topic)
    blanked = _FENCED.sub(lambda block: re.sub(r"[^\n]", " ", block[0]), text)
    headings = list(_HEADING.finditer(blanked))
    for index, heading in enumerate(headings):
        level = len(heading[1])
        end = next((h.start() for h in headings[index + 1 :] if len(h[1]) <= level), len(text))
        yield HelpPart(topic, anchor_of(heading[2]), heading[2], text[heading.start() : end])


def anchor_of(heading: str) -> str:
    """Return the anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _own_text(part: HelpPart) -> str:
    """Return the text of a part down to its first inner heading, so that a word is found in the innermost part."""
    inner = _HEADING.search(part.text, len(part.text.partition("\n")[0]))
    return part.text[: inner.start()] if inner else part.text


def show(text: str, *, pager: bool) -> None:
    """Print a page: drawn on a terminal, as Markdown elsewhere."""
    if not sys.stdout.isatty():
        click.echo(text.rstrip("\n"))
        return
    with Pager(sys.stdout) if pager else nullcontext(sys.stdout) as stream:
        draw(text, console(stream=stream))


def draw(text: str, screen: Terminal) -> None:
    """Draw a page on a terminal, with links to our pages as the topics that they are."""
    width = min(screen.width, MOST_COLUMNS)
    text = _LOCAL_LINK.sub(_link_as_topic, text)
    text = _TABLE.sub(lambda table: unfold_table(table[0], width), text)
    with screen.use_theme(Theme({"markdown.code": "cyan"})):
        screen.print(Page(text, hyperlinks=False), width=width)


def unfold_table(table: str, width: int) -> str:
    """Return a table as it is if it fits into the width, else as a list with one entry for each row.

    Rich would give all columns of a wide table the same width and cut names in it, which are what a reader looks for.
    """
    rows = [[cell.strip() for cell in _CELL_BORDER.split(line)[1:-1]] for line in table.splitlines()]
    if sum(max(map(len, column)) + 3 for column in zip(*rows, strict=True)) <= width:
        return table
    lines = []
    for first, *others in rows[2:]:
        cells = [(head, cell) for head, cell in zip(rows[0][1:], others, strict=True) if cell]
        if len(others) == 1:
            lines.append(f"- {first}: {others[0]}")
        else:
            lines += [
                f"- {first}",
                *(f"  - {head}: {cell}" if head else f"  - {cell}" for head, cell in cells),
            ]
    return "\n".join(line.replace("\\|", "|") for line in lines) + "\n"


def _link_as_topic(link: re.Match[str]) -> str:
    """Return a link to a page of ours as the command that opens it; keep the text alone of any other local link."""
    page, anchor = link[2], link[3]
    names = {Path(path).stem: name for name, (path, _) in TOPICS.items()}
    topic = anchor or names.get(page or "")
    return f"{link[1]} (help {topic})" if topic and topic != link[1].lower() else link[1]
