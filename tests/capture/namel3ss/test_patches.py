"""Functions of the language replaced, and put back."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from namel3ss_debug.capture.namel3ss.patches import Seams


@pytest.fixture
def language(monkeypatch):
    """Two modules of a language, of which the second has imported a function of the first by name."""

    def ask(text):
        return f"said {text}"

    class Runner:
        def run(self):
            return ask("run")

    for name in [name for name in sys.modules if name.split(".")[0] == "namel3ss"]:
        monkeypatch.delitem(sys.modules, name)
    first, second = ModuleType("namel3ss.first"), ModuleType("namel3ss.second")
    first.ask = second.ask = ask
    first.Runner = Runner
    for module in (ModuleType("namel3ss"), first, second):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return first, second


def louder(original):
    """What takes the place of a function."""

    def ask(text):
        return original(text).upper()

    return ask


def test_a_function_is_replaced_wherever_it_was_imported(language):
    """Both modules call the replacement, and have their own again afterwards."""
    first, second = language
    missing = []
    seams = Seams(missing.append)
    seams.replace_function("first", "ask", louder)
    assert (first.ask("a"), second.ask("a")) == ("SAID A", "SAID A")
    seams.undo()
    assert (first.ask("a"), second.ask("a"), missing) == ("said a", "said a", [])


def test_a_method_is_replaced(language):
    """On its class, until it is put back."""
    first, _second = language
    seams = Seams(print)
    seams.replace_method("first", "Runner", "run", lambda original: lambda self: [original(self)])
    assert first.Runner().run() == ["said run"]
    seams.undo()
    assert first.Runner().run() == "said run"


def test_what_a_version_does_not_have_is_told(language):
    """A missing module, function, class or method costs what comes through it, and nothing else."""
    missing = []
    seams = Seams(missing.append)
    seams.replace_function("third", "ask", louder)
    seams.replace_function("first", "tell", louder)
    seams.replace_method("first", "Walker", "run", louder)
    seams.replace_method("first", "Runner", "walk", louder)
    seams.undo()
    assert missing == [
        f"this version of namel3ss has no {name}"
        for name in ("third.ask", "first.tell", "first.Walker.run", "first.Runner.walk")
    ]
