"""Code that records the calls of functions that are loaded already, and calls their original code."""

from __future__ import annotations

import asyncio
import inspect
import pickle
import traceback

import pytest

from namel3ss_debug.capture.seams.functions import hot_calls, rewrite
from namel3ss_debug.capture.seams.functions.code_replacement import FORWARDING, CodeReplacer, find_original
from namel3ss_debug.capture.seams.functions.pickling import find_unedited_code

SOURCE = """
def plain(a, b=2, /, c=3, *args, k, l=5, **rest):
    return a, b, c, args, k, l, rest

def fails():
    "doc"
    raise KeyError("not here")

async def waits(a, *, b=1):
    return a + b

def makes(kept):
    def inner(a):
        nonlocal kept
        kept += a
        return kept
    return inner

inner = makes(10)
double = lambda a: 2 * a

def yields(a):
    yield a

class Base:
    def method(self, a):
        return a

class Shop(Base):
    def method(self, a):
        return super().method(a) + 1

    @classmethod
    def made(cls, a):
        return cls.__name__, locals()["a"]
"""


@pytest.fixture
def space():
    """Functions without a source file, their calls as they are seen, and what edits them."""
    names = {"__name__": "typed_in"}
    exec(SOURCE, names)
    return names


@pytest.fixture
def seen(monkeypatch):
    """The calls that were recorded: name and arguments."""
    calls = []

    class Call:
        handled = False

        def __init__(self, *call):
            calls.append(call)

        def __enter__(self):
            return self

        def __exit__(self, *_error):
            return None

        def ret(self, value):
            calls.append(value)

        async def ready(self):
            return None

        def traceback_for(self, _frame, _error):
            return None

    monkeypatch.setattr(hot_calls, "CALL", lambda name, _code, arguments: Call(name, arguments))
    rewrite.HOT.add(FORWARDING)
    yield calls
    rewrite.HOT.clear()


@pytest.fixture
def replacer():
    """A replacer that restores everything at the end."""
    replacer = CodeReplacer(anywhere=True)
    yield replacer
    replacer.restore()


def test_a_function_without_a_source_keeps_its_signature_and_its_results(space, seen, replacer):
    """Positional, variable and keyword parameters, defaults, variables of outer functions and `super` work as before."""
    functions = [space[name] for name in ("plain", "inner", "double", "waits")]
    functions += [space["Shop"].method, space["Shop"].made.__func__]
    before = [(inspect.signature(each), each.__qualname__, each.__closure__) for each in functions]
    assert all(map(replacer.edit, functions))
    assert [(inspect.signature(each), each.__qualname__, each.__closure__) for each in functions] == before
    shop = space["Shop"]()
    assert space["plain"](1, k=4, z=9) == (1, 2, 3, (), 4, 5, {"z": 9})
    assert space["plain"](1, 7, 8, 9, k=4) == (1, 7, 8, (9,), 4, 5, {})
    assert [space["inner"](1), space["inner"](1), space["double"](4)] == [11, 12, 8]
    assert (shop.method(1), shop.made(2)) == (2, ("Shop", 2))
    assert inspect.iscoroutinefunction(space["waits"])
    assert asyncio.run(space["waits"](1)) == 2
    assert ("<lambda>", {"a": 4}) in seen
    assert ("waits", {"a": 1, "b": 1}) in seen


def test_no_traceback_shows_the_frame_that_forwards(space, seen, replacer):
    """It is the same as without recording."""

    def shown():
        with pytest.raises(KeyError) as failure:
            space["fails"]()
        return [(each.name, each.lineno) for each in traceback.extract_tb(failure.tb)][1:]

    plain = shown()
    assert replacer.edit(space["fails"])
    assert shown() == plain == [("fails", 7)]
    assert seen


def test_a_generator_is_left_as_it_is(space, replacer):
    """Its body runs later than its call."""
    code = space["yields"].__code__
    assert not replacer.edit(space["yields"])
    assert space["yields"].__code__ is code


def test_a_function_with_builtins_of_its_own_is_left_as_it_is(replacer):
    """It would not find the names that an edited body uses."""
    space = {"__builtins__": {"len": len}}
    exec("def counts(a): return len(a)", space)
    assert not replacer.edit(space["counts"])
    assert space["counts"]("abc") == 3


def test_everything_is_restored(space, seen, replacer):
    """Also the code that goes into a pickle by value is the original one."""
    code = space["double"].__code__
    replacer.edit(space["double"])
    assert space["double"].__code__ is not code
    assert find_original(space["double"].__code__) is find_unedited_code(space["double"].__code__) is code
    replacer.restore()
    assert space["double"].__code__ is code
    assert find_original(code) is None
    assert not seen


def test_a_function_of_an_installed_module_is_edited_in_its_own_body(tmp_path, monkeypatch, seen, replacer):
    """There is no further frame, the functions stay importable by name, and the names of its module are not the user's."""
    (tmp_path / "acme_installed.py").write_text("def acme_weather(city):\n    return city\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import acme_installed

    assert replacer.edit(acme_installed.acme_weather)
    rewrite.HOT.add("acme_weather")
    assert acme_installed.acme_weather("Oslo") == "Oslo"
    assert seen == [("acme_weather", {"city": "Oslo"}), "Oslo"]
    assert find_original(acme_installed.acme_weather.__code__) is None
    assert pickle.loads(pickle.dumps(acme_installed.acme_weather)) is acme_installed.acme_weather
    assert "acme_weather" not in rewrite.EDITED
