"""Write a pytest test from a trace: the test runs the program on its recorded answers, and asserts what it did.

The text is laid out as Black and Ruff lay it out, so that nothing is left to format. Data of the trace is in it as
literals of Python, and in comments, only.
"""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from namel3ss_debug.inspection.calls import RecordedRun, RecordedToolCall
from namel3ss_debug.traces.output import normalise
from namel3ss_debug.views.terminal import clean

WIDTH: Final = 88
"""The default line length of Black and Ruff."""

_INDENT = "    "
_LONGEST_REASON = 300
_MOST_ASSERTED = 10
_LONGEST_PRINTED = WIDTH - 4 - len("assert  in agent_trace.output")
_PLACEHOLDER = "unused"
_BUILTIN = re.compile(r"[A-Z]\w*(?:Error|Exception|Interrupt|Iteration|Exit)\Z")


@dataclass(frozen=True)
class ProgramUnderTest:
    """How a test runs the recorded program.

    Attributes:
        kind: as of a target; `command` is a console script of an installed package.
        value: the path of a script relative to `folder`, a module, the name of a console script, or `module:function`.
        argv: the words behind the program's own name.
        arguments: the keyword arguments of a function.
        folder: the working directory, relative to the folder of the test.
        variables: what it read from the environment.
        secrets: the variables of which only the names are known.
        stdin: what it read from the standard input; None where the trace alone holds it.
        exit_status: the status with which it ended; None where an exception ended it, or nothing is known.
        error_type: the type of that exception, "" for none.
    """

    kind: Literal["script", "module", "command", "function"]
    value: str
    argv: Sequence[str] = ()
    arguments: Mapping[str, Any] = field(default_factory=dict)
    folder: str = "."
    variables: Mapping[str, str] = field(default_factory=dict)
    secrets: Sequence[str] = ()
    stdin: str | None = None
    exit_status: int | None = 0
    error_type: str = ""


@dataclass(frozen=True)
class Tools:
    """Which tools a test runs for real, and which are answered.

    Attributes:
        run: the names of those that run.
        answered: the names of the others, with the reason.
    """

    run: Sequence[str] = ()
    answered: Mapping[str, str] = field(default_factory=dict)


def format_test(
    name: str,
    trace: str,
    program: ProgramUnderTest,
    tools: Tools,
    run: RecordedRun,
    *,
    concurrent: bool = False,
) -> str:
    """Return the text of the file.

    Args:
        name: the name of the test, without `test_`.
        trace: the name of the trace beside it.
        program: how the program is run.
        tools: which tools run.
        run: what the program did.
        concurrent: whether calls of models or tools ran at the same time, so that they may begin in another order.
    """
    body = [*_before(program), *_running(program)]
    asserted = list(_assertions(run, concurrent=concurrent))
    mark: list[str | list[str]] = [quoted(trace)]
    if tools.run:
        mark.append(f"run_tools={literal(list(tools.run))}")
    rows = [
        '"""A recorded run as a test, made by `namel3ss debug make-test`."""',
        "",
        *(["import os"] if program.secrets else []),
        "from pathlib import Path",
        "",
        "import pytest",
        "",
        *_call(
            "FOLDER = Path",
            ["__file__"],
            0,
            ".parent" if program.folder == "." else f".parent / {quoted(program.folder)}",
        ),
        "",
        "",
        *_answered(tools),
        *_call("@pytest.mark.agent_trace", mark, 0),
        f"def test_{name}(agent_trace, monkeypatch):",
        *(_INDENT + row if row else "" for row in body),
        *([""] if asserted else []),
        *(_INDENT + row for row in asserted),
    ]
    return "\n".join(rows) + "\n"


def _answered(tools: Tools) -> Iterator[str]:
    """Yield the comment that names the tools which do not run, those of one reason together."""
    if tools.answered:
        yield "# The trace answers these tools; run_tools=[...] in the mark runs them:"
        by_reason: dict[str, list[str]] = {}
        for name, reason in tools.answered.items():
            by_reason.setdefault(reason, []).append(name)
        for reason, names in by_reason.items():
            yield from textwrap.wrap(
                clean(" ".join(f"{', '.join(names)}: {reason}".split()), _LONGEST_REASON),
                WIDTH,
                initial_indent="#   ",
                subsequent_indent="#     ",
                break_on_hyphens=False,
            )


def _before(program: ProgramUnderTest) -> Iterator[str]:
    """Yield the lines that come before the program starts."""
    yield "monkeypatch.chdir(FOLDER)"
    for name, value in sorted(program.variables.items()):
        yield from _call("monkeypatch.setenv", [quoted(name), quoted(value)], 4)
    for name in program.secrets:
        found = f"os.environ.get({quoted(name)}, {quoted(_PLACEHOLDER)})"
        yield from _call("monkeypatch.setenv", [quoted(name), found], 4)


def _running(program: ProgramUnderTest) -> Iterator[str]:
    """Yield the lines that run the program."""
    if program.kind == "function":
        passed = [
            quoted(program.value),
            *(f"{name}={literal(value)}" for name, value in program.arguments.items()),
        ]
    else:
        passed = [quoted(program.value)]
        if program.argv:
            passed.append(literal(list(program.argv)))
        if program.stdin is not None:
            passed.append(f"stdin={quoted(program.stdin)}")
    call = f"agent_trace.run_{program.kind}"
    if program.error_type:
        kind = program.error_type if _BUILTIN.match(program.error_type) else "Exception"
        yield f"with pytest.raises({kind}):"
        yield from (_INDENT + row for row in _call(call, passed, 8))
    elif program.kind == "function" or program.exit_status is None:
        yield from _call(call, passed, 4)
    else:
        yield from _call(f"status = {call}", passed, 4)
        yield f"assert status == {program.exit_status}"


def _assertions(run: RecordedRun, *, concurrent: bool) -> Iterator[str]:
    """Yield the assertions: the tools the run called, in which order, and its answer."""
    calls = Counter(call.name for call in run.tool_calls)
    seen: set[str] = set()
    for name, times in list(calls.items())[:_MOST_ASSERTED]:
        # A tool that was called once has one line, for its count and its arguments.
        if times > 1:
            yield from _call("agent_trace.assert_called", [quoted(name), f"times={times}"], 4)
        for call in run.tool_calls:
            if call.name != name:
                continue
            counted = [quoted(name), *(["times=1"] if times == 1 else [])]
            with_arguments = f"with_arguments={literal(call.arguments)}"
            row = f"agent_trace.assert_called({', '.join([*counted, with_arguments])})"
            if len(row) > WIDTH - 4:  # the arguments say more than the count, which the trace has too
                row = f"agent_trace.assert_called({quoted(name)}, {with_arguments})"
            if _is_plain(call) and len(row) <= WIDTH - 4 and len(seen | {row}) <= _MOST_ASSERTED:
                if row not in seen:
                    yield row
                seen.add(row)
            elif times == 1:
                yield from _call("agent_trace.assert_called", counted, 4)
    order = [call.name for call in run.tool_calls]
    if 1 < len(order) <= _MOST_ASSERTED and not concurrent:
        yield from _call("agent_trace.assert_order", [quoted(name) for name in order], 4)
    if not run.failures:
        yield "agent_trace.assert_no_failures()"
    printed = [line for line in run.output.splitlines() if line.strip() and _is_steady(line)]
    if printed:  # all of the output is compared with the trace; its end is what a reader looks for
        yield f"assert {quoted(_shorten(printed[-1]))} in agent_trace.output"


def _is_steady(line: str) -> bool:
    """Return whether a line is the same in each run."""
    return line.isprintable() and normalise(line) == line


def _shorten(text: str) -> str:
    """Return a text, or as much of its beginning as fits."""
    while len(quoted(text)) > _LONGEST_PRINTED:
        text = text[:-1]
    return text


def _is_plain(call: RecordedToolCall) -> bool:
    """Return whether the arguments can be written as they are."""
    return bool(call.arguments) and all(_is_value(value) for value in call.arguments.values())


def _is_value(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_is_value, value))
    if isinstance(value, dict):
        return all(map(_is_value, value.values()))
    return value is None or isinstance(value, str | int | float | bool)


# --- layout


def _call(function: str, arguments: Sequence[str | list[str]], indent: int, behind: str = "") -> list[str]:
    """Return a call on as few lines as it needs.

    Args:
        function: what is called.
        arguments: texts of expressions, or lists of strings.
        indent: how far the statement is indented, which is left out.
        behind: what follows the closing bracket.
    """
    plain = [each if isinstance(each, str) else literal(each) for each in arguments]
    row = f"{function}({', '.join(plain)}){behind}"
    if len(row) + indent <= WIDTH or not plain:
        return [row]
    inner = f"{_INDENT}{', '.join(plain)}"
    if len(inner) + indent <= WIDTH:
        return [f"{function}(", inner, f"){behind}"]
    rows = [f"{function}("]
    for each, text in zip(arguments, plain, strict=True):
        if isinstance(each, list) and len(text) + indent + 5 > WIDTH:
            rows += [f"{_INDENT}[", *(f"{2 * _INDENT}{quoted(one)}," for one in each), f"{_INDENT}],"]
        else:
            rows.append(f"{_INDENT}{text},")
    return [*rows, f"){behind}"] if len(plain) > 1 else [f"{function}(", inner, f"){behind}"]


def literal(value: Any) -> str:
    """Return a JSON value as Python writes it, on one line, with double quotes."""
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, dict):
        return "{" + _join(f"{literal(key)}: {literal(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + _join(map(literal, value)) + "]"
    return repr(value) if value is None or isinstance(value, bool | int | float) else quoted(str(value))


def _join(texts: Iterable[str]) -> str:
    return ", ".join(texts)


def quoted(text: str) -> str:
    """Return a string literal in the quotes that Black prefers: double ones, unless they need more escapes."""
    written = repr(text)
    if written[0] == '"':
        return written
    inner = written[1:-1]
    doubled = inner.replace("\\'", "'").replace('"', '\\"')
    return f'"{doubled}"' if doubled.count("\\") <= inner.count("\\") else written
