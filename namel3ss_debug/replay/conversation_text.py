"""Write the messages of a request as a text that people edit, and read it back.

Each message begins with a line `>>> NUMBER ROLE`. A message of plain text stands below as it is, any other one as JSON.
A message without a number is new; one that was removed is left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Final

from namel3ss_debug.errors import WrongUsageError
from namel3ss_debug.wire import lenient

_HEAD: Final = re.compile(r">>> *(?:(\d+) +)?([\w-]+) *\Z")
_ESCAPED: Final = re.compile(r"\A(\\*>>>)")
_HELP: Final = (
    "# Edit the messages and save. A message may be removed, moved, or added below a line such as >>> user.\n"
    "# Lines before the first message are ignored. An unchanged file is sent as recorded.\n"
)


def write_messages(messages: Sequence[dict[str, Any]]) -> str:
    """Return the messages as a text to edit."""
    written = [_HELP]
    for number, message in enumerate(messages, 1):
        text = _plain_text(message)
        shown = json.dumps(message["parts"], ensure_ascii=False, indent=2) if text is None else text
        lines = (_ESCAPED.sub(r"\\\1", line) for line in shown.split("\n"))
        written.append(f">>> {number} {message['role']}\n" + "\n".join(lines) + "\n")
    return "\n".join(written)


def read_messages(text: str, messages: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the messages in an edited text.

    Args:
        text: the text.
        messages: the messages that were written.

    Raises:
        WrongUsageError: a part of it cannot be read; the message names its line.
    """
    found: list[tuple[int, re.Match[str], list[str]]] = []
    for place, line in enumerate(text.splitlines(), 1):
        head = _HEAD.match(line)
        if head is not None:
            found.append((place, head, []))
        elif found:
            found[-1][2].append(re.sub(r"\A\\(\\*>>>)", r"\1", line))
    if not found:
        raise WrongUsageError("the edited text has no message: each begins with a line such as >>> 1 user")
    return [_read_message(place, head, lines, messages) for place, head, lines in found]


def _read_message(
    place: int, head: re.Match[str], lines: list[str], messages: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    number = int(head[1] or 0)
    if number > len(messages):
        raise WrongUsageError(f"line {place} of the edited text: the request has {len(messages)} messages")
    before = messages[number - 1] if number else {"parts": [{"type": "text", "content": ""}]}
    text = "\n".join(lines[:-1] if lines and not lines[-1] else lines)  # an empty line parts the messages
    if _plain_text(before) is not None:
        parts: Any = [{"type": "text", "content": text}]
    else:
        try:
            parts = json.loads(text)
        except ValueError as error:
            raise WrongUsageError(
                f"the message at line {place} of the edited text is no JSON: {error}"
            ) from None
        if lenient.mappings(parts) != parts or not all("type" in part for part in parts):
            raise WrongUsageError(
                f"the message at line {place} of the edited text is no JSON list of parts with a type"
            )
    return {**before, "role": head[2], "parts": parts}


def _plain_text(message: dict[str, Any]) -> str | None:
    """Return the text of a message that is plain text alone; None for any other one."""
    parts = message["parts"]
    if len(parts) == 1 and parts[0].keys() == {"type", "content"} and parts[0]["type"] == "text":
        return str(parts[0]["content"])
    return None
