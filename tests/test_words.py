"""The words of messages, help texts and documents: none that only this project would understand."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "namel3ss_debug"
PAGES = sorted(
    {*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*.md")} - {ROOT / "CHANGELOG.md"}
)

PRIVATE_WORDS = re.compile(
    r"\b(foretold|(?<!`)(?-i:strands?)|deeds?|mended|whoever|sightings)\b", re.IGNORECASE
)
"""`Strands` with a capital letter, and `strands` as code, are the names of a framework and its package."""
FORMER_NAMES = re.compile(r"\b(testify|journey)\b", re.IGNORECASE)
"""Former names of commands: they stand in `ALIASES` of cli/main.py, in `RENAMED_KEYS` of a document, and in CHANGELOG.md."""
RENAMED = re.compile("<!-- generated: renamed keys -->.*?<!-- end -->", re.DOTALL)
"""The part of the reference that lists the former names of keys."""


@cache
def strings_of(path: Path) -> list[tuple[int, str]]:
    """Return the line and the text of every string in a file."""
    return [
        (node.lineno, node.value)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]


def prose_of(path: Path) -> list[tuple[int, str]]:
    """Return the strings with a blank in them: docstrings, help texts and messages."""
    return [(line, text) for line, text in strings_of(path) if " " in text]


def test_no_text_of_the_program_has_a_private_word_or_a_former_name():
    """Docstrings count too, since those of commands are their help."""
    found = [
        f"{path.relative_to(ROOT)}:{line}: {word[0]}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for line, text in prose_of(path)
        for pattern in (PRIVATE_WORDS, FORMER_NAMES)
        for word in pattern.finditer(text)
    ]
    assert found == []


def test_no_document_has_a_private_word_or_a_former_name():
    """The change log names what was renamed, and so does one table of the reference."""
    found = [
        f"{page.name}:{number}: {word[0]}"
        for page in PAGES
        for number, line in enumerate(RENAMED.sub(blank_lines, page.read_text()).splitlines(), 1)
        for pattern in (PRIVATE_WORDS, FORMER_NAMES)
        for word in pattern.finditer(line)
    ]
    assert found == []


def blank_lines(part: re.Match[str]) -> str:
    """Return as many line ends as a part of a page has, so that the numbers of later lines stay right."""
    return "\n" * part[0].count("\n")


def test_the_former_names_of_commands_stand_in_one_table():
    """A string with nothing but such a name is a key of `ALIASES`, or the former key of a document."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        for _, text in strings_of(path):
            if text in {"testify", "journey"}:
                found.add((path.relative_to(PACKAGE).as_posix(), text))
    assert found == {("cli/main.py", "journey"), ("cli/main.py", "testify"), ("analysis/issue.py", "journey")}
