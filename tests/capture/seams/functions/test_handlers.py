"""Exceptions that the user's own code handles are recorded, and handling them stays what it was."""

import ast
import asyncio
import gc
import sys
import textwrap
import traceback
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st

import namel3ss_debug
from namel3ss_debug.capture.seams.functions import handlers, rewrite
from namel3ss_debug.traces.reader import Trace

SOME = [
    "x += 1",
    "pass",
    "return x",
    "return f(-x)",
    "return",
    "raise",
    "raise KeyError(x)",
    "raise ValueError(x) from None",
    "raise ValueError(x) from KeyError(1)",
    "raise ExceptionGroup('g', [KeyError(x), ValueError(x)])",
    "f(-x)",
    "note()",
    "{}[x]",
    "int('x')",
]
BLOCKS = [
    "if x % 2:",
    "with suppress(ValueError):",
    "for i in range(2):",
    "while x < 5:\n  x += 1",
    "try:finally:",
    "try:except KeyError:",
    "try:except KeyError as e:",
    "try:except (ValueError, TypeError) as e:",
    "try:except Exception:",
    "try:except:",
    "try:except* KeyError as g:",
    "try:except KeyError:else:",
    "try:except ValueError:finally:",
]


def in_loop(head):
    """Whether `break` and `continue` may stand in the block."""
    return head.startswith(("for", "while"))


statements = st.recursive(
    st.sampled_from(SOME),
    lambda inner: st.tuples(
        st.sampled_from(BLOCKS),
        st.lists(st.lists(inner, min_size=1, max_size=3), min_size=3, max_size=3),
        st.sampled_from(["", "", "break", "continue"]),
    ),
    max_leaves=14,
)


def lines_of(statement, indent, leave=""):
    """The source of a generated statement; `leave` is what may end its blocks, out of `break` and `continue`."""
    if isinstance(statement, str):
        return [indent + statement]
    head, blocks, wish = statement
    leave = wish if in_loop(head) else leave
    starred = head.startswith("try:except*")
    clauses = [head] if not head.startswith("try:") else []
    if not clauses:
        clauses = ["try:", *(f"{each}:" for each in head[4:].split(":") if each)]
    lines = []
    for clause, block in zip(clauses, blocks, strict=False):
        first, *more = clause.split("\n")
        lines += [indent + first, *(indent + each for each in more)]
        plain = starred and clause.startswith("except*")  # nothing may leave it, except by raising
        body = [line for part in block for line in lines_of(part, indent + "  ", "" if plain else leave)]
        if plain:
            body = [line.replace("return", "pass #") for line in body]
        lines += body
        if leave and not plain and clause != "finally:":
            lines.append(f"{indent}  {leave}")
    return lines


def chain(error):
    """An exception with all that a program can see of it: its text, its lines, and those that it follows from."""
    seen = []
    while error is not None and len(seen) < 20:
        lines = [
            (frame.name, frame.lineno)
            for frame in traceback.extract_tb(error.__traceback__)
            if frame.filename == "<f>"
        ]
        seen.append((repr(error), lines, repr(error.__cause__), error.__suppress_context__))
        error = error.__context__
    return seen


def behaviour(code, kind):
    """What a program can see of the code: results, exceptions, what is handled meanwhile, and the lines that run."""
    from contextlib import suppress

    out, lines = [], set()

    def note():
        out.append(chain(sys.exception()))

    def local(frame, event, _argument):
        if event == "line":
            lines.add(frame.f_lineno)
        return local

    def observe(frame, _event, _argument):
        return local if frame.f_code.co_filename == "<f>" else None

    namespace = {"note": note, "suppress": suppress}
    exec(code, namespace)
    before = sys.gettrace()
    sys.settrace(observe)
    try:
        result = namespace["f"](3)
        if kind == "generator":
            result = list(result)
        elif kind == "async":
            result = asyncio.run(result)
    except Exception as error:
        result = chain(error)
    finally:
        sys.settrace(before)
    return result, out, chain(sys.exception()), lines


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """A trace that is recorded, so that clauses are noted."""
    folder = tmp_path_factory.mktemp("traces")
    namel3ss_debug.initialize_tracing(trace_output_dir=str(folder), record_randomness=False)
    yield
    namel3ss_debug.shutdown_tracing()


@pytest.mark.filterwarnings("ignore:.* in a 'finally' block:SyntaxWarning")
@pytest.mark.usefixtures("recording")
@given(st.lists(statements, min_size=1, max_size=4), st.sampled_from(["plain", "generator", "async"]))
def test_generated_handlers_behave_as_before(body, kind):
    """Results, exception chains with their lines, `sys.exception()` inside and after, and traced lines are equal."""
    lines = [line for part in body for line in lines_of(part, "  ")]
    if kind == "generator":
        lines = [
            line.replace("x += 1", "x += 1; yield x").replace("f(-x)", "len(list(f(-x)))") for line in lines
        ]
    head = "async def" if kind == "async" else "def"
    base = "return [][:0]" if kind == "generator" else "return -1"
    if kind == "async":
        lines = [line.replace("f(-x)", "await f(-x)") for line in lines]
    source = "\n".join(
        [f"{head} f(x):", f"  if x <= 0: {base}", *lines, "  if x < 0: yield" if kind == "generator" else ""]
    )
    try:
        plain = compile(source, "<f>", "exec")
    except SyntaxError:  # a bare `raise` is fine, but a `break` may stand in a clause of `except*`
        return
    expected = behaviour(plain, kind)
    assert behaviour(rewrite.compile_source(source, "<f>"), kind)[:3] == expected[:3]
    tree = ast.parse(source)
    handlers.edit_clauses(tree.body, "<f>", lambda _: True)
    assert behaviour(compile(tree, "<f>", "exec"), kind) == expected
