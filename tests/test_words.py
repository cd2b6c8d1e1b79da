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
"""Former names of commands."""


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
    """The change log alone names what was renamed."""
    found = [
        f"{page.name}:{number}: {word[0]}"
        for page in PAGES
        for number, line in enumerate(page.read_text().splitlines(), 1)
        for pattern in (PRIVATE_WORDS, FORMER_NAMES)
        for word in pattern.finditer(line)
    ]
    assert found == []
