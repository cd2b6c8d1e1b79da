"""`debug help`: the guide and the reference without a network."""

import inspect
import os
import pty
import subprocess
import sys

import pytest

from namel3ss_debug import errors
from namel3ss_debug.cli import help as pages
from namel3ss_debug.cli.help import TOPICS


def test_without_a_topic_all_are_listed(run):
    """Each topic stands there with its line."""
    result = run("help")
    assert result.exit_code == 0
    assert all(f"  {name} " in result.stdout and text in result.stdout for name, (_, text) in TOPICS.items())


@pytest.mark.parametrize("topic", TOPICS)
def test_a_topic_is_a_page(run, topic):
    """A page is shown from its title on, without pictures and the marks of generated parts."""
    result = run("help", topic)
    assert result.exit_code == 0
    assert result.stdout.startswith("# ")
    assert "<!--" not in result.stdout
    assert ".png)" not in result.stdout


@pytest.mark.parametrize(
    "slug",
    sorted({kind.slug for _, kind in inspect.getmembers(errors, inspect.isclass) if hasattr(kind, "slug")}),
)
def test_every_error_names_a_topic_that_opens(run, slug):
    """The word behind `see namel3ss debug help` shows the part about this error."""
    result = run("help", slug)
    assert result.exit_code == 0
    assert result.stdout.startswith("#")


def test_a_heading_is_shown_with_what_stands_below_it(run):
    """A part ends at the next heading of its level."""
    shown = run("help", "what-is-recorded").stdout
    assert shown.startswith("## What is recorded\n")
    assert "**Model calls.**" in shown
    assert "## What is not recorded" not in shown
    assert run("help", "ways-to-record").stdout.count("\n### ") == 3


@pytest.mark.parametrize("words", [["My agent fails"], ["my", "agent", "fails"], ["#my-agent-fails"]])
def test_a_heading_is_found_as_it_is_written(run, words):
    """With or without quotes, and by its anchor."""
    assert run("help", *words).stdout.startswith("## My agent fails\n")


def test_a_command_is_its_help(run):
    """The name of a command shows what `--help` shows."""
    assert run("help", "mark").stdout == run("mark", "--help").stdout


def test_another_word_leads_to_the_parts_that_mention_it(run):
    """The innermost part that holds the word is named, with the command that opens it."""
    result = run("help", "rotate_max_bytes")
    assert result.exit_code == 0
    assert "`namel3ss debug help settings`" in result.stdout


def test_an_unknown_word_is_one_line(run):
    """The nearest topic is suggested."""
    result = run("help", "settigns")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        "namel3ss debug: there is no help on 'settigns'; did you mean settings? (see namel3ss debug help wrong-usage)\n"
    )


def test_pages_of_the_wheel_come_first(run, tmp_path, monkeypatch):
    """An installed package shows its own pages; one without pages says so."""
    package = tmp_path / "namel3ss_debug"
    folder = package / "pages"
    (folder / "docs").mkdir(parents=True)
    (folder / "docs" / "settings.md").write_text("# Installed\n", "utf-8")
    monkeypatch.setattr(pages, "__file__", str(package / "cli" / "help.py"))
    assert run("help", "settings").stdout == "# Installed\n"
    missing = run("help", "guide")
    assert missing.exit_code == 2
    assert "holds no help pages" in missing.stderr


def test_a_table_that_does_not_fit_becomes_a_list():
    """No name is cut: each row is an entry, and its other cells stand below it with their heads."""
    table = "| key | environment | meaning |\n| --- | --- | --- |\n| `a` | `A` | one \\| two |\n| `b` |  | three |\n"
    assert pages.unfold_table(table, 80) == table
    assert pages.unfold_table(table, 20) == (
        "- `a`\n  - environment: `A`\n  - meaning: one | two\n- `b`\n  - meaning: three\n"
    )
    assert (
        pages.unfold_table("| key | meaning |\n| --- | --- |\n| `a` | some words |\n", 10)
        == "- `a`: some words\n"
    )


@pytest.mark.parametrize("topic", TOPICS)
def test_every_table_of_a_page_is_whole(topic):
    """Each row of a table has as many cells as its head."""
    for table in pages._TABLE.findall(pages.read_page(topic)):
        pages.unfold_table(table, 0)


def test_on_a_terminal_a_page_is_drawn():
    """Markdown is laid out within the width, and links to other pages become topics."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": "80", "TERM": "dumb", "NO_COLOR": "1"}
    command = [sys.executable, "-m", "namel3ss_debug", "help", "unreadable-trace"]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        written = b""
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:
                break
            if not piece:
                break
            written += piece
    os.close(ours)
    assert process.returncode == 0
    text = written.decode()
    assert "unreadable-trace" in text
    assert "###" not in text
    assert all(len(line) <= 80 for line in text.splitlines())
