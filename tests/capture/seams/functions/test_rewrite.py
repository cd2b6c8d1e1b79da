"""The user's functions become seams, and stay what they were."""

import ast
import asyncio
import builtins
import difflib
import gc
import importlib
import inspect
import os
import pickle
import subprocess
import sys
import sysconfig
import textwrap
import threading
import traceback
import warnings
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.capture.seams.functions import hot_calls, rewrite

FINALLY = pytest.mark.filterwarnings(
    "ignore:.* in a 'finally' block:SyntaxWarning"
)  # as Python says since 3.14
STDLIB = Path(sysconfig.get_paths()["stdlib"])


class Recorded:
    """A context that notes what it is told, and answers where it was given an answer."""

    def __init__(self, log, name, arguments, answers):
        self.log, self.name = log, name
        self.handled = name in answers
        self.answers = answers
        log.append(("call", name, arguments))

    @property
    def value(self):
        """The answer, or the error given as one."""
        answer = self.answers[self.name]
        if isinstance(answer, BaseException):
            raise answer
        return answer

    async def ready(self):
        """The body may run at once."""

    async def value_async(self):
        """The same as `value`."""
        return self.value

    def ret(self, value):
        """Note the result."""
        self.log.append(("ret", self.name, value))

    def traceback_for(self, frame, error):
        """Its traceback is as it is."""

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        self.log.append(("exit", self.name, kind and kind.__name__))


@pytest.fixture
def hot(monkeypatch):
    """Make names hot; the calls are in the list that is returned."""
    log = []

    def make(*names, answers=None):
        monkeypatch.setattr(
            hot_calls, "CALL", lambda name, code, arguments: Recorded(log, name, arguments, answers or {})
        )
        rewrite.HOT.update(names)
        return log

    yield make
    rewrite.HOT.clear()


def load(source, path="<program>"):
    """The namespace of a source, edited."""
    namespace = {"__name__": "program"}
    exec(rewrite.compile_source(textwrap.dedent(source), path), namespace)
    return namespace


def test_a_cold_function_is_not_asked_about(hot):
    """Functions whose name is not hot run by themselves."""
    log = hot("other")
    assert load("def f(a): return a + 1")["f"](1) == 2
    assert log == []


def test_a_hot_call_tells_arguments_and_result(hot):
    """Every kind of parameter is told by its name."""
    log = hot("f")
    f = load(
        """
        def f(a, /, b, *rest, c=3, **more):
            "Doc."
            return [a, b, rest, c, more]
        """
    )["f"]
    assert f(1, 2, 9, d=4) == [1, 2, (9,), 3, {"d": 4}]
    arguments = {"a": 1, "b": 2, "rest": (9,), "c": 3, "more": {"d": 4}}
    assert log == [("call", "f", arguments), ("ret", "f", [1, 2, (9,), 3, {"d": 4}]), ("exit", "f", None)]


def test_arguments_that_an_inner_function_uses_are_told(hot):
    """A parameter that is a cell is told as any other."""
    log = hot("f")
    assert load("def f(a):\n    return (lambda: a)()")["f"](5) == 5
    assert log[0] == ("call", "f", {"a": 5})


def test_a_function_without_return_completes_with_none(hot):
    """Falling off the end is a completion with None."""
    log = hot("f")
    assert load("def f(a):\n    if a:\n        a = 2")["f"](1) is None
    assert log[1:] == [("ret", "f", None), ("exit", "f", None)]


@FINALLY
def test_a_return_that_is_taken_back_does_not_count(hot):
    """A `finally` that goes on with the loop takes the return back; one that returns puts another in its place."""
    log = hot("f", "g")
    namespace = load(
        """
        def f():
            for _ in range(2):
                try:
                    return 1
                finally:
                    continue
        def g():
            try:
                return 1
            finally:
                return 2
        """
    )
    assert (namespace["f"](), namespace["g"]()) == (None, 2)
    assert [entry for entry in log if entry[0] == "ret"] == [("ret", "f", None), ("ret", "g", 2)]


def test_a_failed_call_tells_its_exception(hot):
    """An exception leaves through the context, with no result told."""
    log = hot("f")
    with pytest.raises(ZeroDivisionError):
        load("def f(): return 1 / 0")["f"]()
    assert log[1:] == [("exit", "f", "ZeroDivisionError")]


def test_a_return_within_an_except_block_is_a_completion(hot):
    """An exception that the function or its caller handles is not the function's failure."""
    log = hot("f")
    f = load("def f():\n    try:\n        1 / 0\n    except ZeroDivisionError:\n        return 5")["f"]
    try:
        {}["key"]
    except KeyError:
        assert f() == 5
    assert log[1:] == [("ret", "f", 5), ("exit", "f", None)]


def test_an_answer_takes_the_place_of_the_body(hot):
    """A handled call returns the answer, and the body does not run."""
    log = hot("f", answers={"f": {"temp": 3}})
    assert load("def f(a):\n    raise AssertionError")["f"](1) == {"temp": 3}
    assert log == [("call", "f", {"a": 1}), ("exit", "f", None)]


def test_an_answer_may_be_an_error(hot):
    """An error given as the answer is raised by the function."""
    log = hot("f", answers={"f": TimeoutError("no answer")})
    with pytest.raises(TimeoutError, match="no answer"):
        load("def f(a): return a")["f"](1)
    assert log[-1] == ("exit", "f", "TimeoutError")


def test_async_functions_and_methods_are_seams(hot):
    """Coroutines complete when their body does, methods have `self` among their arguments."""
    log = hot("wait", "ask")
    namespace = load(
        """
        import asyncio
        async def wait(x):
            async with asyncio.Lock():
                await asyncio.sleep(0)
                return x
        class Agent:
            @classmethod
            def ask(cls, x):
                return super().__new__(cls), x
        """
    )
    assert asyncio.run(namespace["wait"](3)) == 3
    assert namespace["Agent"].ask(1)[1] == 1
    assert [(entry[0], entry[1]) for entry in log] == [
        (what, name) for name in ("wait", "ask") for what in ("call", "ret", "exit")
    ]


def test_a_cancelled_coroutine_leaves_by_its_cancellation(hot):
    """Cancellation is an exception like others."""
    log = hot("wait")
    wait = load("import asyncio\nasync def wait():\n    await asyncio.Event().wait()")["wait"]

    async def main():
        task = asyncio.create_task(wait())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(main())
    assert log[1:] == [("exit", "wait", "CancelledError")]


def test_recursion_and_threads_keep_calls_apart(hot):
    """Each call has its own context, whatever runs beside it."""
    log = hot("fact")
    fact = load("def fact(n):\n    return n * fact(n - 1) if n else 1")["fact"]
    threads = [threading.Thread(target=fact, args=(4,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(entry[2] for entry in log if entry[0] == "ret") == sorted([1, 1, 2, 6, 24] * 4)


def test_a_broken_seam_does_not_break_the_program(monkeypatch):
    """Errors inside recording stay inside."""

    def broken(name, code, arguments):
        return 1 / 0

    class BrokenContext(Recorded):
        def ret(self, value):
            return 1 / 0

    f = load("def f(a): return a")["f"]
    rewrite.HOT.add("f")
    try:
        for call in (None, broken, lambda *_: None, lambda *_: BrokenContext([], "f", {}, {})):
            monkeypatch.setattr(hot_calls, "CALL", call)
            assert f(1) == 1
    finally:
        rewrite.HOT.clear()


@pytest.mark.parametrize(
    "source",
    [
        "def f(a):\n    yield a",
        "async def f(a):\n    yield a",
        "def f(a):\n    return locals()",
        "def f(a):\n    return [vars() for _ in ()]",
        "def f(a):\n    return eval('a')",
        "import sys\ndef f(a):\n    return sys._getframe().f_locals",
        "def f(a): ...",
        "def f(a):\n    'Only a docstring.'\n    pass",
        "jit = lambda f: f\n@jit\ndef f(a):\n    return a",
        "def __f__(a): return a\nf = __f__",
    ],
)
def test_functions_that_would_notice_are_left_alone(source):
    """Generators, functions that look at their locals, empty ones, compiled ones and dunders are not edited."""
    plain = {}
    exec(compile(source, "<program>", "exec"), plain)
    assert load(source)["f"].__code__ == plain["f"].__code__


def test_a_function_looks_as_before(tmp_path):
    """Signature, documentation, first line, qualified name, closures and source are those of the plain function."""
    path = tmp_path / "shape.py"
    path.write_text(
        textwrap.dedent(
            '''
            from __future__ import annotations
            def decorate(f): return f
            @decorate
            @decorate
            def f(a: int, /, b: str = "x", *c: Missing, d=1, **e) -> None:
                """Doc."""
                global seen
                seen = 1
                def inner():
                    nonlocal a
                    a = 2
                    return a
                return inner()
            '''
        )
    )
    plain = {"__name__": "shape"}
    exec(compile(path.read_bytes(), str(path), "exec"), plain)
    edited = load(path.read_text(), str(path))
    f, g = plain["f"], edited["f"]
    assert g(1) == f(1) == 2
    assert edited["seen"] == 1
    assert inspect.signature(g) == inspect.signature(f)
    assert inspect.getsource(g) == inspect.getsource(f)
    for name in ("__doc__", "__qualname__", "__annotations__", "__defaults__", "__kwdefaults__"):
        assert getattr(g, name) == getattr(f, name)
    for name in ("co_firstlineno", "co_flags", "co_argcount", "co_freevars", "co_qualname", "co_filename"):
        assert getattr(g.__code__, name) == getattr(f.__code__, name)


LINES = """
import asyncio, contextlib
def deco(f):
    return f
@deco
@deco
def a(x, y=1, *args, k=2, **kw):
    "doc"
    if x:
        y = 2
    elif y:
        y = 3
def b(x):
    for i in range(x):
        if i == 2:
            break
    else:
        x = 1
def c(x):
    try:
        return (
          x +
          1
        )
    finally:
        x = 3
def d(x):
    while x:
        x -= 1
        try:
            continue
        finally:
            x
    with contextlib.nullcontext() as f:
        pass
def e(x):
    try:
        1/0
    except ZeroDivisionError:
        return 1
def g(x):
    1/0
def h(x):
    try:
        g(x)
    finally:
        x
async def i(x):
    async with asyncio.Lock():
        await asyncio.sleep(0)
        return x
class K:
    def m(self, x):
        self.__p = x
        def inner():
            nonlocal x
            x = 5
            return x
        return inner() if x else None
    @classmethod
    def n(cls, x):
        match x:
            case 1:
                return 5
            case _:
                pass
def j(x):
    if x: return
    if x == 0: x = 3
def l(x): return x
def o(x):
    with contextlib.nullcontext():
        if x:
            return 3
def p(x):
    assert x == 0
    global Q
    Q = 3
def r(x):
    for i in (1,2):
        try:
            return 5
        finally:
            if x: break
def s(x):
    return [i
      for i in range(x)
      if i]
def t(x):
    def u():
        return 1
    lambda: 3
def run():
    for x in (0,1,3):
        for f in (a,b,c,d,e,g,h,K().m,K.n,j,l,o,p,r,s,t):
            try: f(x)
            except Exception as z: pass
        try: i(x).send(None)
        except StopIteration: pass
"""


@FINALLY
def test_a_debugger_sees_the_same_lines():
    """`sys.settrace` reports the same calls, lines, exceptions and returns, in the same order."""

    def events(code):
        seen = []

        def tracer(frame, event, argument):
            if frame.f_code.co_filename != "<lines>":
                return None
            seen.append(f"{frame.f_code.co_name} {event} {frame.f_lineno}")
            return tracer

        namespace = {"__name__": "lines"}
        exec(code, namespace)
        before = sys.gettrace()
        sys.settrace(tracer)
        try:
            namespace["run"]()
        finally:
            sys.settrace(before)
        return seen

    plain = events(compile(LINES, "<lines>", "exec"))
    edited = events(rewrite.compile_source(LINES, "<lines>"))
    assert len(plain) > 300
    assert list(difflib.unified_diff(plain, edited)) == []


@pytest.mark.skipif(sys.version_info < (3, 12), reason="type parameters came with Python 3.12")
def test_type_parameters_are_kept(hot):
    """A generic function is edited as any other."""
    log = hot("first")
    first = load("def first[T](items: list[T]) -> T:\n    return items[0]")["first"]
    assert first([7]) == 7
    assert first.__type_params__[0].__name__ == "T"
    assert log[1] == ("ret", "first", 7)


@pytest.mark.skipif(sys.version_info < (3, 14), reason="these came with Python 3.14")
def test_what_came_with_python_3_14_is_kept(hot):
    """Templates, exceptions without brackets, and annotations that name what comes later."""
    log = hot("tell", "sum_of")
    namespace = load(
        """
        def tell(word: Later, width: int = 4) -> Later:
            try:
                return {}[word]
            except KeyError, ValueError:
                return t"<{word!r:>{width}}>"
        async def sum_of(*numbers: Later) -> Later:
            return sum(numbers)
        class Later:
            pass
        """
    )
    told, later = namespace["tell"]("a"), namespace["Later"]
    (part,) = told.interpolations
    assert (told.strings, part.value, part.expression, part.format_spec) == (("<", ">"), "a", "word", ">4")
    assert log == [("call", "tell", {"word": "a", "width": 4}), ("ret", "tell", told), ("exit", "tell", None)]
    assert namespace["tell"].__annotations__ == {"word": later, "width": int, "return": later}
    assert asyncio.run(namespace["sum_of"](1, 2)) == 3
    assert namespace["sum_of"].__annotations__ == {"numbers": later, "return": later}


def test_tracebacks_are_equal():
    """The text of a traceback, carets and causes included, is that of the plain program."""
    source = textwrap.dedent(
        """
        def inner(x):
            return (x
                    / 0)
        def middle(x):
            try:
                return inner(x)
            except ZeroDivisionError as error:
                raise ValueError("wrong") from error
        async def outer(x):
            return middle(x)
        """
    )

    def text(code):
        namespace = {}
        exec(code, namespace)
        with pytest.raises(ValueError, match="wrong") as caught:
            asyncio.run(namespace["outer"](1))
        return "".join(traceback.format_exception(caught.value))

    assert text(rewrite.compile_source(source, "<t>")) == text(compile(source, "<t>", "exec"))


def test_what_cannot_be_edited_is_compiled_as_it_stands():
    """A function at the compiler's limit of nested blocks runs unedited."""
    depth = 20
    lines = ["def f():"] + [" " * n + f"for i{n} in (1,):" for n in range(1, depth + 1)]
    source = "\n".join([*lines, " " * (depth + 1) + "return 7"])
    assert load(source)["f"]() == 7


def test_a_syntax_error_is_that_of_the_compiler():
    """What does not compile raises what the compiler raises."""
    for source in ("x = = 1", "return 1", "def f():\n    x\n    global x"):
        with pytest.raises(SyntaxError) as plain:
            compile(source, "bad.py", "exec")
        with pytest.raises(SyntaxError) as edited:
            rewrite.compile_source(source, "bad.py")
        assert edited.value.args == plain.value.args


def test_a_warning_of_the_compiler_comes_once():
    """The compiler runs twice, and warns once."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        rewrite.compile_source("def f(x):\n    return x is 1", "warns.py")
        rewrite.compile_source("def f(x):\n    return x is 1", "warns.py", silent=True)
    assert len(caught) == 1


statements = st.recursive(
    st.sampled_from(
        ["x += 1", "return x", "return", "pass", "x = f(-x) + 1", "raise KeyError(x)", "out.append(x)"]
    ),
    lambda inner: st.one_of(
        st.tuples(st.sampled_from(["if x % 2:", "with context():"]), st.lists(inner, min_size=1, max_size=3)),
        st.tuples(st.sampled_from(["for i in range(2):"]), st.lists(inner, min_size=1, max_size=3)),
        st.tuples(
            st.sampled_from(["try/finally", "try/except"]),
            st.lists(inner, min_size=1, max_size=2),
            st.lists(inner, min_size=1, max_size=2),
        ),
    ),
    max_leaves=12,
)


def lines_of(statement, indent):
    """The source of a generated statement."""
    if isinstance(statement, str):
        return [indent + statement]
    head, *blocks = statement
    bodies = [[line for part in block for line in lines_of(part, indent + "  ")] for block in blocks]
    if head.startswith("try"):
        clause = "finally:" if head == "try/finally" else "except KeyError:"
        return [indent + "try:", *bodies[0], indent + clause, *bodies[1]]
    return [indent + head, *bodies[0]]


@FINALLY
@given(st.lists(statements, min_size=1, max_size=5), st.booleans())
def test_a_generated_function_behaves_as_before(body, is_hot):
    """Whatever the control flow, result, error and side effects are equal; what is told is what happened."""
    source = "\n".join(
        ["def f(x):", "  if x <= 0: return -1", *(line for part in body for line in lines_of(part, "  "))]
    )

    def behaviour(code):
        from contextlib import nullcontext

        out = []
        namespace = {"out": out, "context": nullcontext}
        exec(code, namespace)
        try:
            return namespace["f"](3), out
        except KeyError as error:
            return repr(error), out

    log = []
    hot_calls.CALL = lambda name, code, arguments: Recorded(log, name, arguments, {})
    rewrite.HOT.update({"f"} if is_hot else ())
    try:
        plain = behaviour(compile(source, "<f>", "exec"))
        assert behaviour(rewrite.compile_source(source, "<f>")) == plain
    finally:
        hot_calls.CALL = None
        rewrite.HOT.clear()
    if is_hot:
        told = log[-2][2] if log[-2][0] == "ret" and log[-1][2] is None else log[-1][2]
        assert told == plain[0] or (told == "KeyError" and plain[0].startswith("KeyError"))


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with modules of its own, an environment within it, and editing switched on."""
    for name, text in {
        "mine.py": "def f(a):\n    return a",
        "package/__init__.py": "from .part import f",
        "package/part.py": "def f(a):\n    return a",
        "env/lib/python3/site-packages/theirs.py": "def f(a):\n    return a",
        "broken.py": "def f(:",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(sys, "path", [*sys.path])
    sys.path[:0] = [str(tmp_path), str(tmp_path / "env/lib/python3/site-packages")]
    known = set(sys.modules)
    uninstall = rewrite.install(tmp_path)
    yield tmp_path
    uninstall()
    for name in sys.modules.keys() - known:
        del sys.modules[name]
    assert not rewrite.is_installed()


def test_modules_below_the_root_are_edited_and_others_are_not(project, hot):
    """The user's modules and packages are seams; what is installed, and the standard library, is not."""
    log = hot("f", "getLogger", "dumps")
    assert importlib.import_module("mine").f(1) == 1
    assert importlib.import_module("package").f(2) == 2
    assert importlib.import_module("theirs").f(3) == 3
    assert [entry[2] for entry in log if entry[0] == "ret"] == [1, 2]
    assert rewrite.Finder(str(project)).find_spec("json") is None
    assert rewrite.Finder(str(project)).find_spec("no_such_module") is None
    assert (
        rewrite.Finder(os.path.dirname(rewrite.__file__)).find_spec(
            "namel3ss_debug.capture.seams.functions.rewrite"
        )
        is None
    )


def test_no_compiled_files_are_written_or_read(project, monkeypatch):
    """An edited module leaves no .pyc behind that a plain run would take."""
    monkeypatch.setattr(sys, "pycache_prefix", None)
    module = importlib.import_module("mine")
    assert not list(project.rglob("*.pyc"))
    compiled = Path(module.__spec__.cached)
    compiled.parent.mkdir()
    compiled.write_bytes(b"not a compiled file")
    assert importlib.reload(module).f(1) == 1


def test_a_module_that_does_not_compile_is_left_to_python(project):
    """The finder says nothing to a broken module, so the error is the ordinary one."""
    assert rewrite.Finder(str(project)).find_spec("broken") is None
    with pytest.raises(SyntaxError):
        importlib.import_module("broken")


def test_functions_are_pickled_by_name(project):
    """An edited function of a module is pickled as any other."""
    f = importlib.import_module("mine").f
    assert pickle.loads(pickle.dumps(f)) is f


def check_compiles(paths):
    """The files among these that were compiled as they stand although they have functions to edit."""
    failed = []
    for path in paths:
        source = path.read_bytes()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                tree = ast.parse(source)
                plain = compile(tree, str(path), "exec", dont_inherit=True)
            except (SyntaxError, ValueError):
                continue
            code = rewrite.compile_source(source, str(path))
            functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
            if code == plain and any(map(rewrite._is_editable, functions)):
                failed.append(path)
    return failed


def test_some_of_the_standard_library_compiles_edited():
    """A sample of real code is edited without a fall back to plain compilation."""
    assert check_compiles(sorted(STDLIB.glob("[a-d]*.py"))) == []


@pytest.mark.slow
def test_all_of_the_standard_library_compiles_edited():
    """Every file of the standard library is edited without a fall back."""
    paths = [path for path in STDLIB.rglob("*.py") if not {"site-packages", "test"} & set(path.parts)]
    assert check_compiles(sorted(paths)) == []


RUN_EDITED = """
import sys
sys.path.insert(0, sys.argv[2])
from namel3ss_debug.capture.seams.functions import rewrite
name = sys.argv[1]
class Everything(rewrite.Finder):
    def is_own(self, path):
        return path.startswith(self.root)
import os, unittest, test.support
sys.meta_path.insert(0, Everything(os.path.dirname(os.__file__)))
rewrite._offer_names()
result = unittest.TextTestRunner(verbosity=0).run(unittest.defaultTestLoader.loadTestsFromName("test." + name))
sys.exit(not (result.testsRun and result.wasSuccessful()))
"""


def test_what_goes_while_python_ends_may_call_edited_functions(tmp_path):
    """An object of the program's main module goes when Python has taken from its built-in names what is not its own."""
    (tmp_path / "agent.py").write_text(
        "class Agent:\n"
        "    def close(self):\n        print('closed', flush=True)\n"
        "    def __del__(self):\n        self.close()\n"
        "agent = Agent()\n"
    )
    command = [sys.executable, "-m", "namel3ss_debug", "trace", "agent.py"]
    traced = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True, text=True)
    assert traced.stdout == "closed\n"
    assert "Exception ignored" not in traced.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["test_dataclasses", "test_contextlib", "test_textwrap", "test_bisect", "test_heapq"]
)
def test_the_standard_library_passes_its_own_tests_edited(name):
    """Modules and their tests, all edited as they are imported, pass."""
    if not (STDLIB / "test" / f"{name}.py").exists() and not (STDLIB / "test" / name).is_dir():
        pytest.skip("this Python came without its tests")
    root = str(Path(rewrite.__file__).resolve().parents[4])
    result = subprocess.run(
        [sys.executable, "-c", RUN_EDITED, name, root], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr[-3000:]


def test_two_threads_that_edit_first_leave_functions_hot(monkeypatch):
    """The object that restores the names at the end is dropped by one of them, which changes nothing."""
    monkeypatch.delitem(vars(builtins), "__n3_to_the_end__", raising=False)
    names = vars(builtins).get("__n3_hot__"), vars(builtins).get("__n3_calls__")
    made = rewrite._RestoresBuiltins
    late = []

    def make(names):
        if not late:  # another thread comes first, between the check and here
            late.append(1)
            rewrite._offer_names()
        return made(names)

    monkeypatch.setattr(rewrite, "_RestoresBuiltins", make)
    rewrite._offer_names()
    gc.collect()
    assert vars(builtins)["__n3_hot__"] is rewrite.HOT
    assert names in ((None, None), (rewrite.HOT, vars(builtins)["__n3_calls__"]))
    vars(builtins)["__n3_to_the_end__"].names = {}  # it goes with this test
