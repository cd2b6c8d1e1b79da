"""What is done with the notes."""

import functools
import textwrap

by_length = len
BULLET = "* "


def clean(text):
    return " ".join(text.split())


def indent(text, bullet=BULLET, width=60):
    return textwrap.fill(text, width=width, initial_indent=bullet, subsequent_indent="  ")


as_item = functools.partial(indent, width=50)


def join_notes(notes):
    return "\n".join(as_item(note) for note in notes)
