"""Functions that are pickled by value run where nobody records."""

from __future__ import annotations

import subprocess
import sys
from types import CodeType, FunctionType, SimpleNamespace

import pytest

from namel3ss_debug.capture.seams.functions import pickling
from namel3ss_debug.capture.seams.functions.rewrite import CALLS, PLAIN, compile_source

SOURCE = """
def double(number):
    return number * 2

def outer():
    def inner(number):
        return number + 1
    return inner

def items():
    def inner(number):
        return number + 2
    yield inner

class Counter:
    def count(self, number):
        return number + 3

first, second = lambda number: "first", lambda number: "second"
"""


@pytest.fixture
def functions():
    """The functions of a module that was compiled with its edits."""
    namespace = {}
    exec(compile_source(SOURCE, "/nowhere/app.py"), namespace)
    yield SimpleNamespace(**namespace)
    del PLAIN["/nowhere/app.py"]


def names(code):
    """All names in a code object and in those within it."""
    inner = [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return {*code.co_names, *code.co_varnames}.union(*map(names, inner))


def test_an_edited_function_is_given_as_it_was_written(functions):
    """Within other functions, generators and classes too; it is the same function in the same place."""
    (inner,) = functions.items()
    edited = (
        functions.double,
        functions.outer,
        functions.outer(),
        functions.items,
        inner,
        functions.Counter.count,
    )
    for function in edited:
        code, plain = function.__code__, pickling.find_unedited_code(function.__code__)
        assert CALLS in names(code)
        assert not [name for name in names(plain) if name.startswith("__n3_")]
        assert (plain.co_qualname, plain.co_firstlineno) == (code.co_qualname, code.co_firstlineno)
    assert FunctionType(pickling.find_unedited_code(functions.double.__code__), {})(4) == 8


def test_what_was_not_edited_is_given_as_it_is(functions):
    """Of two functions without a name on one line each stays itself."""
    for function in (functions.first, functions.second, test_what_was_not_edited_is_given_as_it_is):
        assert pickling.find_unedited_code(function.__code__) is function.__code__


@pytest.mark.parametrize(
    ("name", "table"), [("cloudpickle.cloudpickle", "_dispatch_table"), ("dill._dill", "dispatch")]
)
def test_the_table_of_a_pickler_is_put_back(functions, monkeypatch, name, table):
    """While a program is recorded it has another way with code."""

    def taken(*given):
        return names(given[-1])

    kept = {CodeType: taken}
    pickler = SimpleNamespace(**{table: kept})
    monkeypatch.setitem(sys.modules, name, SimpleNamespace(Pickler=pickler, __name__=name))
    missing = []
    undo = pickling.install(missing.append)
    given = (
        [functions.double.__code__] if table == "_dispatch_table" else [pickler, functions.double.__code__]
    )
    assert CALLS not in kept[CodeType](*given)
    undo()
    assert (kept, missing) == ({CodeType: taken}, [])


@pytest.mark.parametrize("library", ["cloudpickle", "dill"])
def test_a_recorded_program_writes_pickles_that_run_without_us(tmp_path, library):
    """The function of a script is pickled by value, wherever it is loaded."""
    module = pytest.importorskip(library)
    if library == "dill" and sys.version_info >= (3, 15):
        with pytest.raises(AttributeError, match="co_lnotab"):  # it does not know this Python by itself
            module.dumps(test_what_was_not_edited_is_given_as_it_is.__code__)
        pytest.skip("dill cannot pickle a function of Python 3.15")
    (tmp_path / "app.py").write_text(
        f"import {library} as library\n"
        "def double(number):\n    return number * 2\n"
        "open('double.pickle', 'wb').write(library.dumps(double))\n"
    )
    trace = [sys.executable, "-m", "namel3ss_debug", "trace", "-o", "run.jsonl", "app.py"]
    subprocess.run(trace, cwd=tmp_path, capture_output=True, check=True)
    load = f"import {library} as library; print(library.load(open('double.pickle', 'rb'))(21))"
    done = subprocess.run(
        [sys.executable, "-c", load], cwd=tmp_path, capture_output=True, check=True, text=True
    )
    assert done.stdout == "42\n"
