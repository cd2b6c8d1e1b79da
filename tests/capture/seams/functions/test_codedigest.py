"""Tests of the digest of the code behind a tool."""

from __future__ import annotations

import ast
import importlib
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.capture.core.callsite import CallSites
from namel3ss_debug.capture.seams.functions.codedigest import ToolCode, describe_code
from namel3ss_debug.capture.seams.functions.syntax import digest

PROJECT = {
    "config.py": """
        RATE = 1.1
        PRICES = {"tea": 2, "milk": 1}
        PRICES["salt"] = 3
        UNUSED = 7
        SEEN = []
        """,
    "helpers.py": """
        from config import RATE

        def normalise(name):
            return name.strip().lower()

        def deeper(value):
            return round(value * RATE)

        class Base:
            factor = 2
            def scale(self, value):
                return value * self.factor

        def unrelated():
            return 1
        """,
    "tools.py": '''
        import json
        import math
        import helpers as h
        import config
        from helpers import Base, deeper

        LIMIT = 10
        COUNT = 0

        def lookup(name, unit="EUR"):
            """Find a price."""
            # the name may be anything
            price = config.PRICES[h.normalise(name)]
            return f"{price:.2f} {unit}", deeper(price) < LIMIT

        class Converter(Base):
            def __init__(self, offset=0):
                self.offset = offset

            def run(self, value):
                return self._add(self.scale(value))

            def _add(self, value):
                return value + self.offset

            def other(self):
                return None

        def counted(value):
            global COUNT
            COUNT += 1
            return value

        def dispatch(name, value):
            return HANDLERS[name](value)

        def double(value):
            return value * 2

        HANDLERS = {"double": double}

        def made(rate):
            extra = 5
            def inner(value):
                return value * rate + extra
            return inner

        def late(value):
            from helpers import unrelated
            return unrelated() + value

        def outside(value, callback=None):
            import wrapt
            if callback:
                callback(value)
            return wrapt.decorator(value), json.dumps(value), math.sqrt(value), getattr(value, value)
        ''',
}  # fmt: skip


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Writes the project with replacements, imports its tools afresh, and describes the code of a function."""
    monkeypatch.syspath_prepend(str(tmp_path))
    names = [Path(file).stem for file in PROJECT]

    def describe(function, *replacements, receiver=None):
        for file, text in PROJECT.items():
            source = "\n".join(line.removeprefix("        ") for line in text.splitlines())
            for where, old, new in replacements:
                if where == file:
                    assert old in source
                    source = source.replace(old, new)
            (tmp_path / file).write_text(source)
        for name in names:
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        monkeypatch.setattr("namel3ss_debug.capture.seams.functions.codedigest._STARTED", float("inf"))
        monkeypatch.setattr(sys, "dont_write_bytecode", True)
        tools = importlib.import_module("tools")
        found = eval(function, vars(tools))
        owner = eval(receiver, vars(tools)) if receiver else None
        return describe_code(CallSites(str(tmp_path), str(tmp_path)), found.__code__, owner, vars(tools))

    yield describe
    for name in names:
        sys.modules.pop(name, None)


def test_a_digest_covers_what_the_function_names(project):
    """The constants and functions of the project that it reaches are parts of their own; others are not among them."""
    described = project("lookup")
    assert list(described["parts"]) == [
        "config.py:PRICES",
        "config.py:RATE",
        "helpers.py:deeper",
        "helpers.py:normalise",
        "tools.py:LIMIT",
        "tools.py:lookup",
    ]
    assert "not_verified" not in described


@pytest.mark.parametrize(
    "edit",
    [
        ("tools.py", "# the name may be anything", "# whatever it is called"),
        ("tools.py", '"""Find a price."""', '"""Find the price of a thing."""'),
        (
            "tools.py",
            "config.PRICES[h.normalise(name)]",
            "config.PRICES[\n        h.normalise( name )\n    ]",
        ),
        ("tools.py", "LIMIT = 10", "\n\nLIMIT = (1_0)"),
        ("config.py", "UNUSED = 7", "UNUSED = 8"),
        ("helpers.py", "def unrelated():\n    return 1", "def unrelated():\n    return 2"),
        ("tools.py", "class Converter(Base):", "class Converter(Base):\n    kind = 1\n"),
    ],
)
def test_comments_formatting_and_unrelated_code_do_not_change_a_digest(project, edit):
    """What the function does not reach, or does not run, is not part of its digest."""
    assert project("lookup", edit)["digest"] == project("lookup")["digest"]


@pytest.mark.parametrize(
    ("function", "edit", "part"),
    [
        ("lookup", ("tools.py", ":.2f", ":.3f"), "tools.py:lookup"),
        ("lookup", ("tools.py", '"EUR"', '"USD"'), "tools.py:lookup"),
        ("lookup", ("tools.py", "LIMIT = 10", "LIMIT = 11"), "tools.py:LIMIT"),
        ("lookup", ("config.py", '"tea": 2', '"tea": 3'), "config.py:PRICES"),
        ("lookup", ("config.py", 'PRICES["salt"] = 3', 'PRICES["salt"] = 4'), "config.py:PRICES"),
        ("lookup", ("config.py", "RATE = 1.1", "RATE = 1.2"), "config.py:RATE"),
        ("lookup", ("helpers.py", ".lower()", ".upper()"), "helpers.py:normalise"),
        ("lookup", ("tools.py", "def lookup", "@(lambda f: f)\ndef lookup"), "tools.py:lookup"),
        ("Converter.run", ("tools.py", "value + self", "value - self"), "tools.py:Converter._add"),
        ("Converter.run", ("tools.py", "offset=0", "offset=1"), "tools.py:Converter.__init__"),
        ("Converter.run", ("helpers.py", "factor = 2", "factor = 3"), "helpers.py:Base"),
        ("Converter.run", ("helpers.py", "value * self.factor", "value"), "helpers.py:Base.scale"),
        ("dispatch", ("tools.py", "value * 2", "value * 3"), "tools.py:double"),
        ("made(2)", ("tools.py", "extra = 5", "extra = 6"), "tools.py:made.extra"),
        ("late", ("helpers.py", "def unrelated():\n    return 1", "def unrelated():\n    return 2"),
         "helpers.py:unrelated"),
    ],
)  # fmt: skip
def test_a_changed_part_is_named(project, function, edit, part):
    """A change in what the function reaches changes the digest, and that part alone."""
    before, after = project(function), project(function, edit)
    assert before["digest"] != after["digest"]
    changed = [name for name in after["parts"] if after["parts"][name] != before["parts"].get(name)]
    assert changed == [part]


@pytest.mark.parametrize(
    ("function", "what"),
    [
        ("outside", "wrapt.decorator"),
        ("outside", "tools.py:outside: callback()"),
        ("outside", "tools.py:outside: getattr()"),
        ("counted", "tools.py:COUNT (reassigned by a function)"),
        ("made(2)", "tools.py:made: rate"),
    ],
)
def test_what_is_not_followed_is_not_verified(project, function, what):
    """Installed packages, dynamic calls, and values that are set while the program runs are listed; the standard library is not."""
    described = project(function)
    assert what in described["not_verified"]
    assert not [each for each in described["not_verified"] if each.startswith(("json", "math"))]


def test_methods_are_followed_as_far_as_the_tool_reaches_them(project):
    """Another method of the class is no part; one of a subclass of the object is."""
    described = project("Converter.run", receiver="type('Sub', (Converter,), {})()")
    assert "tools.py:Converter.other" not in described["parts"]
    assert "tools.py:Converter._add" in described["parts"]


def test_a_function_that_was_replaced_is_followed_to_the_one_that_runs(project, monkeypatch):
    """A patch in the running program shows, although no file says so."""
    project("lookup")
    tools, helpers = sys.modules["tools"], sys.modules["helpers"]
    monkeypatch.setattr(tools, "deeper", helpers.unrelated)
    monkeypatch.setattr(tools, "LIMIT", 99)
    monkeypatch.setattr(helpers, "normalise", helpers.unrelated)
    folder = str(Path(tools.__file__).parent)
    described = describe_code(CallSites(folder, folder), tools.lookup.__code__, None, vars(tools))
    assert "helpers.py:normalise (replaced while the program ran)" in described["not_verified"]
    assert "tools.py:LIMIT (changed while the program ran)" in described["not_verified"]
    assert "helpers.py:unrelated" in described["parts"]


def test_a_file_that_was_edited_while_the_program_ran_is_not_verified(project, monkeypatch):
    """The file does not hold what runs, so there is no digest."""
    project("lookup")
    tools = sys.modules["tools"]
    folder = str(Path(tools.__file__).parent)
    monkeypatch.setattr("namel3ss_debug.capture.seams.functions.codedigest._STARTED", 0.0)
    described = describe_code(CallSites(folder, folder), tools.lookup.__code__, None, vars(tools))
    assert "digest" not in described
    assert described["not_verified"] == ["tools.py (edited since it was loaded)"]


def test_limits_are_reported(tmp_path, monkeypatch):
    """Functions beyond the fifth level are not verified."""
    source = (
        "".join(f"def level{n}():\n    return level{n + 1}()\n" for n in range(8))
        + "def level8():\n    pass\n"
    )
    (tmp_path / "deep.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr("namel3ss_debug.capture.seams.functions.codedigest._STARTED", float("inf"))
    deep = importlib.import_module("deep")
    described = describe_code(CallSites(str(tmp_path), str(tmp_path)), deep.level0.__code__, None, vars(deep))
    assert list(described["parts"]) == [f"deep.py:level{n}" for n in range(6)]
    assert described["not_verified"] == ["deep.py:level6 (not followed so far)"]


def test_a_tool_tells_its_code_once(project):
    """Later calls of the same code tell nothing; other code of the same name is told again."""
    project("lookup")
    tools = sys.modules["tools"]
    folder = str(Path(tools.__file__).parent)
    codes = ToolCode(CallSites(folder, folder))
    first = codes.of_call("lookup", tools.lookup.__code__, None, vars(tools))
    assert first["digest"]
    assert codes.of_call("lookup", tools.lookup.__code__, None, vars(tools)) is None
    assert codes.of_call("lookup", tools.double.__code__, None, vars(tools))["digest"] != first["digest"]


# --- laws of the digest of a tree

NAMES = st.sampled_from(["alpha", "beta", "gamma"])
CONSTANTS = st.one_of(
    st.integers(-5, 5), st.floats(allow_nan=False, allow_infinity=False), st.booleans(), st.none(),
    st.text(max_size=4), st.binary(max_size=3),
)  # fmt: skip
EXPRESSIONS = st.recursive(
    st.one_of(NAMES, CONSTANTS.map(repr)),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*", "or", "==", "<"]), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        st.tuples(NAMES, inner).map(lambda t: f"{t[0]}({t[1]})"),
        inner.map(lambda text: f"[{text}]"),
        st.tuples(inner, inner).map(lambda t: f"{{'k': {t[0]}, **({t[1]})}}"),
        inner.map(lambda text: f"(lambda alpha: {text})"),
        inner.map(lambda text: f"[beta for beta in {text} if {text}]"),
    ),
    max_leaves=6,
)  # fmt: skip
FUNCTIONS = st.lists(
    st.tuples(st.sampled_from(["alpha = {}", "return {}", "if {}:\n        pass", "assert {}"]), EXPRESSIONS),
    min_size=1,
    max_size=4,
).map(
    lambda rows: (
        "def tool(alpha, *, beta=1):\n" + "".join(f"    {form.format(text)}\n" for form, text in rows)
    )
)


def parsed(source):
    """The digest of a source text."""
    return digest(ast.parse(source).body)


@given(FUNCTIONS)
def test_formatting_comments_and_docstrings_never_change_the_digest(source):
    """A function that is unparsed, commented on, documented and indented otherwise has the same digest."""
    tree = ast.parse(source)
    written = ast.unparse(tree)
    documented = written.replace(":\n", ':\n    """Anything."""\n\n    # a remark\n    pass\n', 1)
    assert parsed(source) == parsed(written) == parsed(documented) == parsed("\n\n" + written + "\n")


@given(FUNCTIONS, st.data())
def test_any_changed_constant_operator_or_name_changes_the_digest(source, data):
    """No edit of a node that a program runs by goes unnoticed."""
    tree = ast.parse(source)
    before = digest(tree.body)
    nodes = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant | ast.Name | ast.BinOp | ast.Compare | ast.arg)
    ]
    node = data.draw(st.sampled_from(nodes))
    if isinstance(node, ast.Constant):
        node.value = "another" if node.value != "another" else 1
    elif isinstance(node, ast.Name):
        node.id += "x"
    elif isinstance(node, ast.arg):
        node.arg += "x"
    elif isinstance(node, ast.BinOp):
        node.op = ast.Pow()
    else:
        node.ops[0] = ast.IsNot()
    assert digest(tree.body) != before


@pytest.mark.parametrize(
    ("one", "other"),
    [("True", "1"), ("1", "1.0"), ("0.0", "-0.0"), ("'1'", "1"), ("b'a'", "'a'"), ("None", "'None'"), ("...", "None")],
)  # fmt: skip
def test_constants_of_different_types_have_different_digests(one, other):
    """Equality of Python is not enough."""
    assert parsed(f"x = {one}") != parsed(f"x = {other}")


EVERYTHING = """
@decorator(1)
async def tool(a: int, /, b=2, *c, d: "str" = "é\\U0001fae8", **e) -> list[int]:
    async with a as f, b: pass
    async for g in [x async for x in a if x]: await g
    try: del a[1:2, ...]
    except* ValueError as error: raise OSError from error
    match a:
        case {"k": [1, *rest], **more} if rest: pass
        case Point(x=0) | None as p: pass
        case _: return f"{a!r:>{b}} {c=} " "tail"
    global z
    while not (y := -1 if a else +2.5e3j): break
    else: print(*c, **e, sep={**e, 1: {2, 3}})
class K(Base, metaclass=Meta):
    attr: int = 0
    def m(self): return super().m()
"""  # fmt: skip


def test_the_digest_is_the_same_in_every_version_of_python():
    """The digest of a program that uses nearly all of the syntax is the one that is written here."""
    assert parsed(EVERYTHING) == "7fee1d157b4c095d"
