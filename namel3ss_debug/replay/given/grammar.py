"""The grammar of answers and faults: a name, which call of it, and what it shall be.

    NAME:JSON             an answer                search:{"found": 2}
    NAME:@file.json       an answer in a file      llm:@answer.json
    NAME.MEMBER=VALUE     a member of an answer    llm@2.text=No, sorry    search.result.temp_c=-30
    NAME:FAULT            what goes wrong          search:timeout    llm:status:429    db:error:ValueError:no such row

NAME is the name of a tool or a model, a component (`llm`), or `component:name`; `NAME@N` is only the N-th call of it,
from 1. A name with other marks in it is quoted. The split is at the first colon that leaves JSON, a file or a fault.
VALUE is JSON where it parses, else the text as it is. Single quotes around all of it are taken away, as by a shell.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from math import isfinite
from pathlib import Path
from stat import S_ISREG
from typing import Any, Final, NamedTuple

from namel3ss_debug.errors import MockError
from namel3ss_debug.expressions import nearest
from namel3ss_debug.replay.given import members
from namel3ss_debug.replay.given.calls import QUOTED, in_line, parse_name
from namel3ss_debug.replay.recording.breakpoints import COMPONENTS

MOST_BYTES: Final = 16 * 1024 * 1024
"""How long a file with an answer may be, and the text of an answer or a fault."""

_EXAMPLES = """search:{"found": 2}, search@2:"nothing" or llm:@answer.json"""
_MOST_COLONS = 20
_LONGEST_MENDED = 120
_LONGEST_MEMBER = 1000
_MOST_DIGITS = 4000

_NTH = r"(?:\s*@\s*\d+)?"
_QUOTED_NAME = re.compile(QUOTED.pattern + _NTH + r"\s*(?=:)")
_UNQUOTED_NAME = re.compile(r"""[^"'{\[]*""")
_CALLED = rf"""\s*(?P<called>{QUOTED.pattern}{_NTH}|[^"'{{\[=]+?)\s*"""
_MEMBERS = "|".join((*members.MODEL_MEMBERS, members.RESULT))
_MEMBER = re.compile(rf"{_CALLED}(?P<path>\.(?:{_MEMBERS})(?:{members.STEP})*+)\s*=")
_NO_MEMBER = re.compile(rf"{_CALLED}(?P<path>(?:{members.STEP})++)\s*=")
_FILE = re.compile(r":\s*@")
_WORD = re.compile(r""""(?:\\.|[^"\\])*"|'(?P<quoted>[^']*)'|(?P<bare>[^\W\d][\w.-]*)""")


class Written(NamedTuple):
    """A parsed answer: the name, which call of it (None: all), and the value, of one member where there is a path."""

    name: str
    nth: int | None
    value: Any
    path: members.Path = ()


class Cut(NamedTuple):
    """A text split at a colon that may be the one behind the name: both sides of it."""

    name: str
    rest: str


def read_answer(text: str, folder: Path | None) -> Written:
    """Read `NAME:JSON`, `NAME:@file.json` or `NAME.MEMBER=VALUE`.

    Args:
        text: what was written.
        folder: what the path of a file is relative to; the working directory where it is None.

    Raises:
        MockError: it does not parse, or the file cannot be read; the message says where.
    """
    _refuse_long(text)
    begin, end = _inside_quotes(text)
    member = _member(text, begin, end)
    if member is not None:
        return member
    split = _split(text, begin, end)
    name, nth = parse_name(text[begin : split.colon])
    answer = split.answer if split.file is None else _read(split.file, name, folder)
    return Written(name, nth, answer)


def write_answer(written: Written) -> str:
    """The text that `read_answer` reads as this."""
    value = json.dumps(written.value, ensure_ascii=False)
    name = call_text(written.name, written.nth)
    return f"{name}{members.write_path(written.path)}={value}" if written.path else f"{name}:{value}"


def call_text(name: str, nth: int | None) -> str:
    """`NAME` or `NAME@N`."""
    return name if nth is None else f"{name}@{nth}"


def cuts(text: str) -> Iterator[Cut]:
    """The text split at each colon at which its name may end, the first colon first.

    Raises:
        MockError: it is very long.
    """
    _refuse_long(text)
    begin, end = _inside_quotes(text)
    for colon in _colons(text, begin, end):
        yield Cut(text[begin:colon].strip(), text[colon + 1 : end])


def _refuse_long(text: str) -> None:
    if len(text) > MOST_BYTES:
        raise MockError(
            f"the answer has more than {MOST_BYTES:,} characters; give a file, as in NAME:@file.json"
        )


# --- a member


def _member(text: str, begin: int, end: int) -> Written | None:
    """`NAME.MEMBER=VALUE`; None for a text of another form."""
    last = min(end, begin + _LONGEST_MEMBER)
    found = _MEMBER.match(text, begin, last)
    if found is None:
        found = _NO_MEMBER.match(text, begin, last)
        if found is None or _FILE.search(found["called"]):
            return None
        raise _no_member(found["called"].strip(), found["path"])
    path = members.parse_path(found["path"])
    called, head = found["called"].strip(), path[0]
    if _FILE.search(called):
        return None
    name, nth = parse_name(called)
    raw = text[found.end() : end]
    try:
        value = _json(raw)
    except _NotJsonError:
        value = readable(raw)
    if path[1:] or head not in members.MODEL_TEXTS:
        return Written(name, nth, value, path)
    return Written(name, nth, value if isinstance(value, str | None) else raw, path)


def readable(text: str) -> str:
    """The text, if it can be written as UTF-8.

    Raises:
        MockError: it holds half a character, as of a command line that is not UTF-8.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise MockError(f"{in_line(text)!a}: it holds what is no character; write it as UTF-8") from None
    return text


def _no_member(called: str, path: str) -> MockError:
    """The refusal of a path that begins with no member of an answer."""
    known = list(members.MODEL_MEMBERS)
    hint = next(filter(None, (nearest(str(step), known) for step in members.parse_path(path))), "")
    hint = hint or f"; of a tool write {in_line(called)}.result{in_line(path)}"
    return MockError(f"{in_line(called + path)}: this is no member of an answer{hint}")


# --- an answer


class _Split(NamedTuple):
    """Where the name ends, and the answer behind the colon, or the file that holds it."""

    colon: int
    answer: Any = None
    file: str | None = None


class _NoNumberError(Exception):
    """A word that Python takes for a number, and JSON or a trace does not."""


class _NotJsonError(Exception):
    """A text is not JSON: why, and at which character from 0."""

    def __init__(self, why: str, position: int) -> None:
        super().__init__(why)
        self.position = position


def _split(text: str, begin: int, end: int) -> _Split:
    """Split a text at the first colon that has JSON or a file behind it."""
    problems = []
    for colon in _colons(text, begin, end):
        behind = text[colon + 1 : end]
        if behind.lstrip()[:1] == "@":
            return _Split(colon, file=behind.strip()[1:].strip())
        try:
            return _Split(colon, _json(behind))
        except _NotJsonError as problem:
            problems.append((colon, problem))
    if not problems:
        raise MockError(f"{in_line(text) or 'mock'}: write NAME:JSON, as in {_EXAMPLES}")
    meant, why = _meant(text, problems)
    raise _not_json(text, (begin, meant, end), why)


def _inside_quotes(text: str) -> tuple[int, int]:
    """Where the mock begins and ends inside of single quotes around all of it."""
    whole = text.strip()
    begin = len(text) - len(text.lstrip())
    if len(whole) > 1 and whole[0] == whole[-1] == "'" and _QUOTED_NAME.match(whole) is None:
        return begin + 1, begin + len(whole) - 1
    return begin, begin + len(whole)


def _colons(text: str, begin: int, end: int) -> Iterator[int]:
    """The colons at which a name may end: behind a quoted name, else those before the first quote or bracket."""
    quoted = _QUOTED_NAME.match(text, begin, end)
    if quoted is not None:
        yield quoted.end()
        return
    unquoted = _UNQUOTED_NAME.match(text, begin, end)
    last = begin if unquoted is None else unquoted.end()
    colon = begin - 1
    for _ in range(_MOST_COLONS):
        colon = text.find(":", colon + 1, last)
        if colon < 0:
            return
        yield colon


def _meant(text: str, problems: list[tuple[int, _NotJsonError]]) -> tuple[int, _NotJsonError]:
    """Of several colons with no JSON behind them, the one that was probably meant, by what is on both sides of it."""
    for colon, problem in problems:
        if text[colon + 1 :].lstrip()[:1] in ("{", "[", '"', "'"):
            return colon, problem
    for colon, problem in problems:
        if text[:colon].strip() not in COMPONENTS:
            return colon, problem
    return problems[-1]


def _not_json(text: str, places: tuple[int, int, int], problem: _NotJsonError) -> MockError:
    """What to say of an answer that is no JSON, with the nearest JSON that was meant where that can be told."""
    begin, colon, end = places
    behind = text[colon + 1 : end].strip()
    if not behind:
        return MockError(f"{in_line(text)}: an answer is needed behind the colon, as in {_EXAMPLES}")
    name = text[begin:colon].strip()
    mended = _mended(behind) if name.isprintable() else None
    hint = (
        ""
        if '"' in behind and mended is None
        else "; JSON has double quotes, which a shell takes away unless all is quoted"
    )
    if mended is not None:
        hint += ": " + shlex.quote(f"{name}:{mended}")
    return MockError(f"{in_line(text)}: not JSON at column {colon + problem.position + 2}: {problem}{hint}")


def _mended(behind: str) -> str | None:
    """The answer with double quotes where they are missing, when that makes it JSON."""

    def quoted(found: re.Match[str]) -> str:
        word = found["bare"] if found["quoted"] is None else found["quoted"]
        plain = word is None or word in ("true", "false", "null")
        return found[0] if plain else json.dumps(word, ensure_ascii=False)

    if len(behind) > _LONGEST_MENDED or behind[0] == '"':
        return None
    tried = _WORD.sub(quoted, behind) if behind[0] in "{['" else json.dumps(behind, ensure_ascii=False)
    try:
        _json(tried)
    except _NotJsonError:
        return None
    return tried


def _json(text: str) -> Any:
    """The value of a JSON text.

    Raises:
        _NotJsonError: it is not JSON as the standard has it, or cannot be written as JSON again.
    """
    try:
        value = json.loads(text, parse_constant=_no_number, parse_int=_integer, parse_float=_finite)
        json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as problem:
        raise _NotJsonError(problem.msg[:1].lower() + problem.msg[1:], problem.pos) from None
    except RecursionError:
        raise _NotJsonError("it is nested too deeply", 0) from None
    except UnicodeEncodeError:
        raise _NotJsonError("it holds half a character, as in \\ud800", 0) from None
    except _NoNumberError as problem:
        word = str(problem)
        raise _NotJsonError(f"{in_line(word)} is no number here", max(text.find(word), 0)) from None
    return value


def _no_number(word: str) -> Any:
    raise _NoNumberError(word)


def _finite(digits: str) -> float:
    value = float(digits)
    return value if isfinite(value) else _no_number(digits)


def _integer(digits: str) -> int:
    return int(digits) if len(digits) <= _MOST_DIGITS else _no_number(digits)


def _in_home(path: Path) -> Path:
    """The path with `~` replaced, as a shell does it; where nobody has that name, the file is called so."""
    try:
        return path.expanduser()
    except RuntimeError:
        return path


def _read(file: str, name: str, folder: Path | None) -> Any:
    """The answer in a file."""
    if not file:
        raise MockError(f"{in_line(name)}:@: the name of a file is needed behind the @")
    where = f"{in_line(name)}:@{' '.join(file.split())}"
    path = _in_home(Path(file))
    path = path if folder is None else folder / path
    try:
        if not S_ISREG(path.stat().st_mode):
            raise MockError(f"{where}: this is no file")
        with path.open("rb") as opened:
            content = opened.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise MockError(f"{where}: there is no such file") from None
    except (OSError, ValueError) as problem:
        why = problem.strerror if isinstance(problem, OSError) else problem
        raise MockError(f"{where}: the file cannot be read: {why}") from None
    if len(content) > MOST_BYTES:
        raise MockError(f"{where}: the file has more than {MOST_BYTES:,} bytes")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        raise MockError(f"{where}: the file is not UTF-8 at byte {problem.start + 1}") from None
    try:
        return _json(text)
    except _NotJsonError as problem:
        before = text[: problem.position]
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        raise MockError(f"{where}: not JSON at line {line}, column {column}: {problem}") from None
