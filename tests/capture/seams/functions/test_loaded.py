"""Functions that were loaded before anything was recorded, edited while it is and put back."""

import gc
import importlib
import importlib.util
import sys
import types

import pytest

from namel3ss_debug.capture.seams.functions import hot_calls, rewrite
from namel3ss_debug.capture.seams.functions.loaded import LoadedFunctions

SOURCE = """
import functools

def plain(value):
    return value + 1

class Shop:
    def method(self, value):
        return value + 2

def wrapped(function):
    @functools.wraps(function)
    def inner(*words):
        return function(*words)
    return inner

@wrapped
def decorated(value):
    return value + 3

def generator(value):
    yield value

def makes(word):
    def made(value):
        return word, value + 4
    return made
"""


class Answered:
    """A context of a hot call that answers every call with the name of the function."""

    handled = True

    def __init__(self, name):
        self.value = name

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        return None


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """A module that is loaded already, and its functions as they may be edited."""
    (tmp_path / "loaded_shop.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(str(tmp_path))
    module = importlib.import_module("loaded_shop")
    monkeypatch.setattr(hot_calls, "CALL", lambda name, _code, _arguments: Answered(name))
    functions = LoadedFunctions(str(tmp_path))
    put_back = functions.install()
    yield module, functions
    rewrite.HOT.clear()
    put_back()
    del sys.modules["loaded_shop"]


def make_hot(*names):
    """What happens when a model is offered tools of these names."""
    rewrite.HOT.update(names)
    rewrite.LOADED(set(names))


def test_functions_and_methods_that_are_loaded_are_answered(shop):
    """The same objects, decorated or not, are seams once a model was offered their names."""
    module, _ = shop
    before = module.plain, module.Shop.method
    make_hot("plain", "method", "decorated")
    assert (module.plain(1), module.Shop().method(1), module.decorated(1)) == ("plain", "method", "decorated")
    assert (module.plain, module.Shop.method) == before


def test_a_function_of_a_running_function_is_answered(shop):
    """One that stands in a variable, by itself or in a dict, is found among those of the running functions."""
    module, _ = shop
    source = "def run(offer):\n    def inner(value):\n        return value\n    held = {'inner': inner}\n    del inner\n    offer()\n    return held['inner'](1)\n"
    path = module.__file__.replace("loaded_shop", "loaded_run")
    with open(path, "w") as file:
        file.write(source)
    run = importlib.import_module("loaded_run").run
    try:
        assert run(lambda: make_hot("inner")) == "inner"
    finally:
        del sys.modules["loaded_run"]


def test_a_function_that_is_defined_at_each_call_of_another_is_answered(shop):
    """Also those of calls that come later: a handler of requests defines its tools each time."""
    module, _ = shop
    make_hot("made")
    assert [module.makes("first")(1), module.makes("second")(1)] == ["made", "made"]


def test_a_module_that_takes_the_name_of_another_is_looked_at(shop):
    """As scripts do that run as `__main__`, one after the other; their functions may stand in objects of a framework."""
    module, _ = shop
    make_hot("plain")
    del sys.modules["loaded_shop"], module
    gc.collect()
    spec = importlib.util.find_spec("loaded_shop")
    again = types.ModuleType("loaded_shop")
    again.__file__ = spec.origin
    with open(spec.origin) as file:
        exec(compile(file.read(), spec.origin, "exec"), again.__dict__)
    sys.modules["loaded_shop"] = again
    make_hot("plain")
    assert again.plain(1) == "plain"


def test_everything_is_put_back(shop):
    """At the end each function has the code it had, and what was edited once can be again."""
    module, functions = shop
    code = module.plain.__code__
    for _ in range(2):
        put_back = functions.install()
        make_hot("plain")
        assert module.plain.__code__ is not code
        put_back()
        assert module.plain.__code__ is code
        assert rewrite.LOADED is None


@pytest.mark.parametrize("now", ["value * 7", "value + 2"])
def test_what_cannot_be_answered_stays_as_it_is(shop, now):
    """A generator, and a function whose file holds something else by now, were it another number, keep their code."""
    module, _ = shop
    with open(module.__file__, "w") as file:
        file.write(SOURCE.replace("value + 1", now))
    codes = module.plain.__code__, module.generator.__code__
    make_hot("plain", "generator")
    assert (module.plain.__code__, module.generator.__code__) == codes
    assert (module.plain(1), list(module.generator(1))) == (2, [1])
