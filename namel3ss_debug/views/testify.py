"""Writes a pytest test from a recording: it runs the program on the recorded answers, and asserts what it did.

The text is laid out as Black and Ruff lay it out, so that nothing is left to format. Data of the recording is in it as
literals of Python only.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from namel3ss_debug.inspection.calls import RecordedRun, ToolCall

WIDTH: Final = 88
"""The line length of Black and Ruff where nobody has set another."""

_INDENT = "    "
_MOST_ASSERTED = 10
_LEAST_ANSWER = 20
_PLACEHOLDER = "unused"
_BUILTIN = re.compile(r"[A-Z]\w*(?:Error|Exception|Interrupt|Iteration|Exit)\Z")


@dataclass(frozen=True)
class Program:
    """How the recorded program is run.

    Attributes:
        kind: as of a target.
        value: the path of a script relative to `folder`, a module, or `module:function`.
        argv: the arguments of the program, its own name first.
        arguments: the keyword arguments of a function.
        folder: the working directory, relative to the folder of the test.
        variables: what it read from the environment.
        secrets: the variables of which only the names are known.
        stdin: what it read from the standard input.
        awaited: whether a function may have to be awaited.
        ends_by: how it ended: the type of an exception, `SystemExit`, or "" for in order.
    """

    kind: Literal["script", "module", "function"]
    value: str
    argv: Sequence[str] = ()
    arguments: Mapping[str, Any] = field(default_factory=dict)
    folder: str = "."
    variables: Mapping[str, str] = field(default_factory=dict)
    secrets: Sequence[str] = ()
    stdin: str = ""
    awaited: bool = False
    ends_by: str = ""


def written_test(name: str, recording: str, program: Program, run: RecordedRun) -> str:
    """The text of the file.

    Args:
        name: of the test, without `test_`.
        recording: the name of the recording beside it.
        program: how the program is run.
        run: what it did.
    """
    body = [*_before(program), *_running(program)]
    asserted = list(_assertions(run))
    rows = [
        '"""A recorded run as a test, written by `namel3ss debug testify`."""',
        "",
        *(f"import {module}" for module in _modules(program)),
        "from pathlib import Path",
        "",
        "import pytest",
        "",
        *_call("FOLDER = Path", ["__file__"], 0, _folder(program.folder)),
        "",
        "",
        *_call("@pytest.mark.agent_recording", [quoted(recording)], 0),
        f"def test_{name}(agent_trace, monkeypatch):",
        *(_INDENT + row if row else "" for row in body),
        *([""] if asserted else []),
        *(_INDENT + row for row in asserted),
    ]
    return "\n".join(rows) + "\n"


def _folder(folder: str) -> str:
    return ".parent" if folder == "." else f".parent / {quoted(folder)}"


def _modules(program: Program) -> list[str]:
    """The modules of the standard library that the test needs, in order."""
    needed = {
        "asyncio": program.awaited and program.kind == "function",
        "contextlib": not program.ends_by and program.kind != "function",
        "inspect": program.awaited and program.kind == "function",
        "io": bool(program.stdin),
        "os": bool(program.secrets),
        "runpy": program.kind != "function",
        "sys": bool(program.argv) or bool(program.stdin),
    }
    return [name for name, is_needed in needed.items() if is_needed]


def _before(program: Program) -> Iterator[str]:
    """The set-up before the program starts."""
    yield "monkeypatch.chdir(FOLDER)"
    above, _, _ = program.value.rpartition("/")
    place = f"FOLDER / {quoted(above)}" if program.kind == "script" and above else "FOLDER"
    yield from _call("monkeypatch.syspath_prepend", [place], 4)
    if program.argv:
        yield from _call("monkeypatch.setattr", ["sys", '"argv"', list(program.argv)], 4)
    if program.stdin:
        yield from _call(
            "monkeypatch.setattr", ["sys", '"stdin"', f"io.StringIO({quoted(program.stdin)})"], 4
        )
    for name, value in sorted(program.variables.items()):
        yield from _call("monkeypatch.setenv", [quoted(name), quoted(value)], 4)
    for name in program.secrets:
        found = f"os.environ.get({quoted(name)}, {quoted(_PLACEHOLDER)})"
        yield from _call("monkeypatch.setenv", [quoted(name), found], 4)


def _running(program: Program) -> Iterator[str]:
    """The code that runs the program."""
    indent = 4
    if program.kind == "function":
        module, _, path = program.value.partition(":")
        yield f"from {module} import {path.partition('.')[0]}"
        yield ""
    if program.ends_by:
        kind = program.ends_by if _BUILTIN.match(program.ends_by) else "Exception"
        yield f"with pytest.raises({kind}):"
        indent = 8
    elif program.kind != "function":
        yield "with contextlib.suppress(SystemExit):"
        indent = 8
    rows = list(_started(program, indent))
    yield from (_INDENT + row for row in rows) if indent == 8 else rows


def _started(program: Program, indent: int) -> Iterator[str]:
    """The lines that start the program within the test."""
    if program.kind == "script":
        path = f"str(FOLDER / {quoted(program.value)})"
        yield from _call("runpy.run_path", [path, 'run_name="__main__"'], indent)
    elif program.kind == "module":
        yield from _call(
            "runpy.run_module", [quoted(program.value), 'run_name="__main__"', "alter_sys=True"], indent
        )
    else:
        function = program.value.partition(":")[2]
        given = [f"{name}={literal(value)}" for name, value in program.arguments.items()]
        yield from _call(f"result = {function}" if program.awaited else function, given, indent)
        if program.awaited:
            yield "if inspect.iscoroutine(result):"
            yield f"{_INDENT}asyncio.run(result)"


def _assertions(run: RecordedRun) -> Iterator[str]:
    """The assertions: the tools it called, in which order, and its answer."""
    calls = Counter(call.name for call in run.tool_calls)
    for name, times in list(calls.items())[:_MOST_ASSERTED]:
        yield from _call("agent_trace.assert_called", [quoted(name), f"times={times}"], 4)
    for call in run.tool_calls[:_MOST_ASSERTED]:
        given = f"with_arguments={literal(call.arguments)}"
        row = f"agent_trace.assert_called({quoted(call.name)}, {given})"
        if _is_plain(call) and len(row) <= WIDTH - 4:
            yield row
    order = [call.name for call in run.tool_calls]
    if len(order) > 1 and len(order) <= _MOST_ASSERTED:
        yield from _call("agent_trace.assert_order", [quoted(name) for name in order], 4)
    if not run.failures:
        yield "agent_trace.assert_no_failures()"
    answers = [call.text for call in run.llm_calls if call.answers and call.text]
    if answers:
        yield _answer(answers[-1])


def _answer(text: str) -> str:
    """The assertion on the final answer, or on its beginning where it is long."""
    row = f"assert agent_trace.answers[-1] == {quoted(text)}"
    if len(row) <= WIDTH - 4:
        return row
    kept = text[:WIDTH]
    while len(kept) > _LEAST_ANSWER or kept == text:
        kept = kept[:-1]
        row = f"assert agent_trace.answers[-1].startswith({quoted(kept)})"
        if len(row) <= WIDTH - 4:
            break
    return row if len(row) <= WIDTH - 4 else "assert agent_trace.answers"


def _is_plain(call: ToolCall) -> bool:
    """Whether the arguments can be written as they are."""
    return bool(call.arguments) and all(_is_value(value) for value in call.arguments.values())


def _is_value(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_is_value, value))
    if isinstance(value, dict):
        return all(map(_is_value, value.values()))
    return value is None or isinstance(value, str | int | float | bool)


# --- layout


def _call(function: str, arguments: Sequence[str | list[str]], indent: int, behind: str = "") -> list[str]:
    """A call on as few lines as it needs.

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
    """A JSON value as Python writes it, on one line, with double quotes."""
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, dict):
        return "{" + _joined(f"{literal(key)}: {literal(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + _joined(map(literal, value)) + "]"
    return repr(value) if value is None or isinstance(value, bool | int | float) else quoted(str(value))


def _joined(texts: Iterable[str]) -> str:
    return ", ".join(texts)


def quoted(text: str) -> str:
    """A string literal in the quotes that Black prefers: double ones, unless they need more escapes."""
    written = repr(text)
    if written[0] == '"':
        return written
    inner = written[1:-1]
    doubled = inner.replace("\\'", "'").replace('"', '\\"')
    return f'"{doubled}"' if doubled.count("\\") <= inner.count("\\") else written
