"""The grammar of mocks and faults: a name, which call of it, and the value or fault.

    NAME:JSON             an answer                search:{"found": 2}
    NAME:@file.json       an answer in a file      llm:@answer.json
    NAME.MEMBER=VALUE     a member of an answer    llm@2.text=No, sorry    search.result.temp_c=-30
    NAME:FAULT            a fault                  search:timeout    llm:status:429    db:error:ValueError:no such row

NAME is the name of a tool or a model (`search`, `gpt-4o`), a component (`llm`), or `component:name` (`tool:search`);
`NAME@N` is only its N-th call, from 1. As in a location, case is ignored and `*` and `?` stand for any text; a name
with other marks in it is quoted. The text is split at the first colon that leaves JSON, a file or a fault. VALUE is JSON
if it parses, else plain text. Single quotes around the whole are removed, as by a shell.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from math import isfinite
from pathlib import Path
from stat import S_ISREG
from typing import Any, Final, NamedTuple

from namel3ss_debug.errors import DebugError, MockError, short
from namel3ss_debug.expressions import name_fits, nearest
from namel3ss_debug.replay.debugger.locations import COMPONENTS, Location, TraceContents, parse_location
from namel3ss_debug.traces.events import EVENT_TYPES, EXECUTION_PREFIX, span_prefix

MOST_BYTES: Final = 16 * 1024 * 1024
"""The largest file with an answer, and the longest text of a mock or fault."""

MODEL_TEXTS: Final = ("text", "finish_reason", "response_model", "reasoning", "refusal")
"""The members of a model's answer that are texts."""

MODEL_MEMBERS: Final = (*MODEL_TEXTS, "tool_calls")
"""The members of a model's answer."""

RESULT: Final = "result"
"""The one member of any other answer."""

MOST_STEPS: Final = 50

Step = str | int
MemberPath = tuple[Step, ...]

_EXAMPLES = """search:{"found": 2}, search@2:"nothing" or llm:@answer.json"""
_MOST_SHOWN = 60
_MOST_NAMES = 6
_MOST_COLONS = 20
_LONGEST_REPAIRED = 120
_LONGEST_MEMBER = 1000
_MOST_DIGITS = 4000

# The quantifiers `++` and `*+` give nothing back: a long text that does not match is refused in linear time.
_STEP = r"""(?>\.[^\s.\[\]{}=:"']+|\[\s*(?>-?\d{1,9}|"(?:\\.|[^"\\])*+"|'[^']*+')\s*\])"""
_STEPS = re.compile(_STEP)
_PLAIN_STEP = re.compile(r"""[^\s.\[\]{}=:"']+\Z""")
INDEX: Final = re.compile(r"-?\d{1,9}\Z", re.ASCII)
"""A step that is an index into a list."""

_QUOTED = (
    r"""\s*(?:(?P<component>[^\s:"']+)\s*:\s*)?(?P<quote>["'])(?P<name>(?:(?!(?P=quote)).)+)(?P=quote)"""
)
_QUOTED_CALL = re.compile(_QUOTED)
_CALL = re.compile(r"(?P<name>.*?)\s*@\s*(?P<nth>\d{1,9})", re.DOTALL)
_COUNTED = re.compile(r"(?P<component>\w+)\s*:\s*(?P<nth>\d{1,9})")
_NTH = r"(?:\s*@\s*\d+)?"
_QUOTED_NAME = re.compile(_QUOTED + _NTH + r"\s*(?=:)")
_UNQUOTED_NAME = re.compile(r"""[^"'{\[]*""")
_CALLED = rf"""\s*(?P<called>{_QUOTED}{_NTH}|[^"'{{\[=]+?)\s*"""
_MEMBERS = "|".join((*MODEL_MEMBERS, RESULT))
_MEMBER = re.compile(rf"{_CALLED}(?P<path>\.(?:{_MEMBERS})(?:{_STEP})*+)\s*=")
_NO_MEMBER = re.compile(rf"{_CALLED}(?P<path>(?:{_STEP})++)\s*=")
_FILE = re.compile(r":\s*@")
_WORD = re.compile(r""""(?:\\.|[^"\\])*"|'(?P<quoted>[^']*)'|(?P<bare>[^\W\d][\w.-]*)""")


def in_line(text: str) -> str:
    """Return a text of the user in one line of a message, cut if it is long."""
    return short(" ".join(text.split()), _MOST_SHOWN)


# --- the name of calls


class NamedCalls(NamedTuple):
    """The calls that a name means, as a location, and their components as far as they are known."""

    location: Location
    components: frozenset[str]

    @property
    def of_model(self) -> bool:
        """Whether model calls are known to be among them."""
        return "llm" in self.components


def parse_name(text: str) -> tuple[str, int | None]:
    """Parse a name and which call of it: `search@2` is `("search", 2)`, and so is `llm:2` `("llm", 2)`, as in a location.

    Raises:
        MockError: there is no name, it cannot be that of a call, or the number is 0.
    """
    text = text.strip()
    found = _CALL.fullmatch(text)
    name, nth = (text, None) if found is None else (found["name"], int(found["nth"]))
    counted = _COUNTED.fullmatch(text)
    if counted is not None and counted["component"] in COMPONENTS:
        name, nth = counted["component"], int(counted["nth"])
    if not name or name.endswith((":", "@")):
        raise MockError(
            f"{in_line(text) or 'mock'}: the name of a call is needed, such as search, search@2, tool:search or llm"
        )
    if nth == 0:
        raise MockError(f"{in_line(text)}: calls are counted from 1")
    if name == "error" or name in EVENT_TYPES or name.startswith("/"):
        component = name.partition("_")[0]
        hint = f"; write {component}" if component in EXECUTION_PREFIX else ""
        raise MockError(
            f"{in_line(name)}: a mock needs the name of a call, not another kind of location{hint}"
        )
    return name, nth


def format_name(name: str, nth: int | None) -> str:
    """Return `NAME` or `NAME@N`."""
    return name if nth is None else f"{name}@{nth}"


def split_name(name: str, contents: TraceContents | None = None) -> tuple[str | None, str | None]:
    """Return the component and the plain name; None for the one that is not there."""
    quoted = _QUOTED_CALL.fullmatch(name)
    if quoted is not None:
        return quoted["component"], quoted["name"]
    components = COMPONENTS if contents is None else COMPONENTS | contents.components.keys()
    if name in components:
        return name, None
    head, _, rest = (part.strip() for part in name.partition(":"))
    return (head, rest) if rest and head in components else (None, name)


def name_key(name: str) -> str:
    """Return a key that is equal for two names of the same calls."""
    component, plain = split_name(name)
    return f"{component or ''}:{(plain or '').casefold()}"


def find_calls(name: str, nth: int | None, contents: TraceContents | None) -> NamedCalls:
    """Return the calls that a name means.

    Args:
        name: the name.
        nth: only this one of them, from 1; None for all.
        contents: what the trace holds; None while the program still runs, when every name is accepted.

    Raises:
        MockError: the trace has no such call, or fewer; the message suggests the nearest name.
    """
    component, plain = split_name(name, contents)
    if contents is not None:
        components = _check_calls(name, nth, (component, plain), contents)
    else:
        components = frozenset() if component is None else frozenset([component])
    if plain is None:
        text = f"{component}" if nth is None else f"{component}:{nth}"
    else:  # quoted, so that no character in it has a meaning
        quote = "'" if '"' in plain else '"'
        head = "" if component is None else f"{component}:"
        text = f"{head}{quote}{plain}{quote}" + ("" if nth is None else f"@{nth}")
    try:
        return NamedCalls(parse_location(text, contents), components)
    except DebugError as problem:
        raise MockError(str(problem)) from None


def _check_calls(
    name: str, nth: int | None, split: tuple[str | None, str | None], contents: TraceContents
) -> frozenset[str]:
    """Refuse calls that the trace does not have; return the components of those that it has."""
    component, plain = split
    # Only calls have answers: a log record or a memory operation has none.
    with_spans = [
        each
        for each in contents.components
        if each in EXECUTION_PREFIX or contents.types[f"{span_prefix(each)}_start"] > 0
    ]
    kinds = [each for each in with_spans if component in (None, each)]
    names = {each: contents.names.get(each, Counter()) for each in kinds}
    if plain is None:
        calls = {each: contents.components[each] for each in names}
    else:
        calls = {
            each: sum(times for other, times in listed.items() if name_fits(other, plain))
            for each, listed in names.items()
        }
    total = sum(calls.values())
    if not total:
        listed = sorted({other for kind in names.values() for other, times in kind.items() if times})
        words = listed if component is not None and plain is not None else listed + with_spans
        hint = nearest(plain or component or "", words)
        if words and not hint:
            more = ", ..." if len(words) > _MOST_NAMES else ""
            hint = f"; there are {', '.join(map(in_line, words[:_MOST_NAMES]))}{more}"
        raise MockError(f"{in_line(name)}: the trace has no such call{hint}")
    if nth is not None and total < nth:
        amount = "1 call" if total == 1 else f"{total} calls"
        raise MockError(f"{in_line(name)}@{nth}: the trace has only {amount} of it")
    return frozenset(each for each, times in calls.items() if times)


# --- the path of a member


def parse_path(text: str) -> MemberPath:
    """Parse the steps of a path such as `.hits[0]["unit price"]`.

    Raises:
        MockError: it has very many steps, or a quoted name is not JSON.
    """
    steps = _STEPS.findall(text)
    if len(steps) > MOST_STEPS:
        raise MockError(f"{in_line(text)}: a member is at most {MOST_STEPS} steps inside an answer")
    return tuple(map(_parse_step, steps))


def _parse_step(text: str) -> Step:
    """Parse `.name`, `[0]` or `["name"]`."""
    if text[0] == ".":
        return text[1:]
    inner = text[1:-1].strip()
    if INDEX.match(inner):
        return int(inner)
    if inner[0] == "'":
        return inner[1:-1]
    try:
        named = json.loads(inner)
        named.encode()
    except ValueError as problem:
        raise MockError(f"{in_line(inner)}: this is not the name of a member: {problem}") from None
    return str(named)


def format_path(path: MemberPath) -> str:
    """Return a path as `parse_path` reads it."""
    return "".join(
        f"[{step}]"
        if isinstance(step, int)
        else f".{step}"
        if _PLAIN_STEP.match(step)
        else f"[{json.dumps(step, ensure_ascii=False)}]"
        for step in path
    )


# --- a mock


class ParsedMock(NamedTuple):
    """A parsed mock: the name, which call of it (None: all), and the value; of one member if there is a path."""

    name: str
    nth: int | None
    value: Any
    path: MemberPath = ()


def parse_answer(text: str, folder: Path | None) -> ParsedMock:
    """Parse `NAME:JSON`, `NAME:@file.json` or `NAME.MEMBER=VALUE`.

    Args:
        text: the mock as it was written.
        folder: the folder that the path of a file is relative to; None for the working directory.

    Raises:
        MockError: it does not parse, or the file cannot be read; the message says where.
    """
    text = _strip(text)
    member = _parse_member(text)
    if member is not None:
        return member
    problems = []
    for colon in _find_colons(text):
        file = _FILE.match(text, colon)
        try:
            value = decode_json(text, colon + 1) if file is None else None
        except json.JSONDecodeError as problem:
            problems.append((colon, problem))
            continue
        name, nth = parse_name(text[:colon])
        return ParsedMock(
            name, nth, value if file is None else _read(text[file.end() :].strip(), name, folder)
        )
    if not problems:
        raise MockError(f"{in_line(text) or 'mock'}: write NAME:JSON, as in {_EXAMPLES}")
    raise _describe_not_json(text, problems)


def format_answer(parsed: ParsedMock) -> str:
    """Return the text that `parse_answer` reads as this mock."""
    value = json.dumps(parsed.value, ensure_ascii=False)
    name = format_name(parsed.name, parsed.nth)
    return f"{name}{format_path(parsed.path)}={value}" if parsed.path else f"{name}:{value}"


def split_names(text: str) -> Iterator[tuple[str, str]]:
    """Yield the name and the rest of a text for each colon at which the name may end, the first colon first.

    Raises:
        MockError: the text is very long.
    """
    text = _strip(text)
    for colon in _find_colons(text):
        yield text[:colon].strip(), text[colon + 1 :]


def _strip(text: str) -> str:
    """Return the text without single quotes around the whole."""
    if len(text) > MOST_BYTES:
        raise MockError(
            f"the answer has more than {MOST_BYTES:,} characters; give a file, as in NAME:@file.json"
        )
    text = text.strip()
    quoted = len(text) > 1 and text[0] == text[-1] == "'" and _QUOTED_NAME.match(text) is None
    return text[1:-1] if quoted else text


def _find_colons(text: str) -> list[int]:
    """Return the colons at which a name may end: behind a quoted name, else those before the first quote or bracket."""
    quoted = _QUOTED_NAME.match(text)
    if quoted is not None:
        return [quoted.end()]
    unquoted = _UNQUOTED_NAME.match(text)
    colons = re.finditer(":", "" if unquoted is None else unquoted[0])
    return [colon.start() for colon in islice(colons, _MOST_COLONS)]


def _parse_member(text: str) -> ParsedMock | None:
    """Parse `NAME.MEMBER=VALUE`; return None for a text of another form."""
    found = _MEMBER.match(text, 0, _LONGEST_MEMBER)
    if found is None:
        found = _NO_MEMBER.match(text, 0, _LONGEST_MEMBER)
        if found is None or _FILE.search(found["called"]):
            return None
        called, path_text = found["called"].strip(), found["path"]
        known = list(MODEL_MEMBERS)
        hint = next(filter(None, (nearest(str(step), known) for step in parse_path(path_text))), "")
        hint = hint or f"; for a tool write {in_line(called)}.result{in_line(path_text)}"
        raise MockError(f"{in_line(called + path_text)}: this is not a member of an answer{hint}")
    path = parse_path(found["path"])
    if _FILE.search(found["called"]):
        return None
    name, nth = parse_name(found["called"])
    raw = text[found.end() :]
    try:
        value = decode_json(raw)
    except json.JSONDecodeError:
        value = check_text(raw)
    if path[1:] or path[0] not in MODEL_TEXTS:
        return ParsedMock(name, nth, value, path)
    return ParsedMock(name, nth, value if isinstance(value, str | None) else raw, path)


def check_text(text: str) -> str:
    """Return the text if it can be written as UTF-8.

    Raises:
        MockError: it holds half a character, as from a command line that is not UTF-8.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise MockError(f"{in_line(text)!a}: it holds an invalid character; write it as UTF-8") from None
    return text


# --- JSON


def _refuse_number(word: str) -> Any:
    raise ValueError(word)


def _parse_float(digits: str) -> float:
    value = float(digits)
    return value if isfinite(value) else _refuse_number(digits)


def _parse_integer(digits: str) -> int:
    # Python itself refuses to convert more than 4300 digits, with an error of its own.
    return int(digits) if len(digits) <= _MOST_DIGITS else _refuse_number(digits)


_DECODER: Final = json.JSONDecoder(
    parse_constant=_refuse_number, parse_int=_parse_integer, parse_float=_parse_float
)


def decode_json(text: str, begin: int = 0) -> Any:
    """Return the JSON value that the text holds from an index on.

    Raises:
        json.JSONDecodeError: it is not JSON by the standard, or cannot be written as JSON again.
    """
    begin += len(text[begin:]) - len(text[begin:].lstrip())
    try:
        value, end = _DECODER.raw_decode(text, begin)
        json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as problem:
        why = problem.msg[:1].lower() + problem.msg[1:]
        raise json.JSONDecodeError(why, text, problem.pos) from None
    except RecursionError:
        raise json.JSONDecodeError("it is nested too deeply", text, begin) from None
    except UnicodeEncodeError:
        raise json.JSONDecodeError("it holds half a character, as in \\ud800", text, begin) from None
    except ValueError as problem:
        word = str(problem)
        raise json.JSONDecodeError(
            f"{in_line(word)} is no number here", text, text.find(word, begin)
        ) from None
    if text[end:].strip():
        end += len(text[end:]) - len(text[end:].lstrip())
        raise json.JSONDecodeError("extra data", text, end)
    return value


def _describe_not_json(text: str, problems: list[tuple[int, json.JSONDecodeError]]) -> MockError:
    """Return the error for an answer that is not JSON, with the JSON that was probably meant.

    Args:
        text: the mock.
        problems: the colons that may end its name, with what is wrong behind each.
    """
    # The name probably ends where JSON seems to begin, else at the first colon that does not just end a component.
    colon, problem = max(
        problems,
        key=lambda each: (
            text[each[0] + 1 :].lstrip()[:1] in ("{", "[", '"', "'"),
            text[: each[0]].strip() not in COMPONENTS,
        ),
    )
    name, behind = text[:colon].strip(), text[colon + 1 :].strip()
    if not behind:
        return MockError(f"{in_line(text)}: an answer is needed after the colon, as in {_EXAMPLES}")
    repaired = _add_quotes(behind) if name.isprintable() else None
    hint = "; a shell removes the double quotes of JSON; put the whole argument in single quotes"
    if repaired is not None:
        hint += ": " + shlex.quote(f"{name}:{repaired}")
    elif '"' in behind:
        hint = ""
    return MockError(f"{in_line(text)}: not JSON at column {problem.pos + 1}: {problem.msg}{hint}")


def _add_quotes(behind: str) -> str | None:
    """Return the answer with the missing double quotes, if that makes it JSON."""

    def quote(found: re.Match[str]) -> str:
        word = found["bare"] if found["quoted"] is None else found["quoted"]
        is_value = word is None or word in ("true", "false", "null")
        return found[0] if is_value else json.dumps(word, ensure_ascii=False)

    if len(behind) > _LONGEST_REPAIRED or behind[0] == '"':
        return None
    repaired = _WORD.sub(quote, behind) if behind[0] in "{['" else json.dumps(behind, ensure_ascii=False)
    try:
        decode_json(repaired)
    except json.JSONDecodeError:
        return None
    return repaired


def _read(file: str, name: str, folder: Path | None) -> Any:
    """Read the answer in a file."""
    if not file:
        raise MockError(f"{in_line(name)}:@: the name of a file is needed after the @")
    where = f"{in_line(name)}:@{' '.join(file.split())}"
    path = (folder or Path()) / os.path.expanduser(file)
    try:
        if not S_ISREG(path.stat().st_mode):
            raise MockError(f"{where}: this is not a file")
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
        return decode_json(content.decode("utf-8-sig"))
    except UnicodeDecodeError as problem:
        raise MockError(f"{where}: the file is not UTF-8 at byte {problem.start + 1}") from None
    except json.JSONDecodeError as problem:
        place = f"line {problem.lineno}, column {problem.colno}"
        raise MockError(f"{where}: not JSON at {place}: {problem.msg}") from None
