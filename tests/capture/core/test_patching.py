"""Modules are patched when they are imported, by those that still wait for them, who are forgotten otherwise."""

from __future__ import annotations

import gc
import importlib
import importlib.util
import signal
import sys
import weakref
from types import ModuleType

import pytest

from namel3ss_debug.capture.core.patching import replace, when_imported


@pytest.fixture
def awaited(tmp_path, monkeypatch):
    """The name of a module that nobody has imported yet."""
    (tmp_path / "awaited_by_the_test.py").write_text("def word():\n    return 'own'\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield "awaited_by_the_test"
    sys.modules.pop("awaited_by_the_test", None)


def patch(word):
    """A patch that puts a word in the place of the module's."""

    def how(module):
        return [replace(module, "word", lambda _original: lambda: word)]

    return how


def word_of(name):
    """What a module says now."""
    return importlib.import_module(name).word()


def test_only_who_still_waits_patches_a_module(awaited):
    """Two wait, one gives up; then it is imported, and all is put back."""
    left = when_imported({awaited: patch("left")}, pytest.fail)
    stays = when_imported({awaited: patch("stays")}, pytest.fail)
    left()
    assert word_of(awaited) == "stays"
    stays()
    assert word_of(awaited) == "own"


def test_a_module_that_is_there_already_is_patched_at_once(awaited, monkeypatch):
    """Also where it came by another way than an import, while somebody waited for one."""
    first = when_imported({awaited: patch("first")}, pytest.fail)
    module = ModuleType(awaited)
    module.word = lambda: "own"
    monkeypatch.setitem(sys.modules, awaited, module)
    second = when_imported({awaited: patch("second")}, pytest.fail)
    assert word_of(awaited) == "second"
    second()
    first()
    assert word_of(awaited) == "own"


def test_who_waits_no_more_is_forgotten():
    """A process that is recorded again and again, as by a test runner, keeps nothing of what is over."""
    how = patch("never")
    over = weakref.ref(how)
    when_imported({"a_module_that_is_never_imported": how}, pytest.fail)()
    del how
    gc.collect()
    assert over() is None


def test_what_a_module_has_not_is_told(awaited):
    """In words, with the name of the module; the import goes on."""
    told = []
    undo = when_imported({awaited: lambda module: [replace(module, "other", str)]}, told.append)
    assert word_of(awaited) == "own"
    undo()
    assert len(told) == 1
    assert told[0].startswith(f"{awaited} is not recorded: ")


@pytest.mark.parametrize("missing", ["module.other", "importlib.import_module(f'{module.__name__}.other')"])
def test_a_module_that_lacks_a_part_stays_as_it_was(awaited, missing):
    """Whatever that part is; what was replaced before is put back: such a module is not recorded by halves."""

    def how(module):
        return [*patch("half")(module), eval(missing)]

    told = []
    undo = when_imported({awaited: how}, told.append)
    assert word_of(awaited) == "own"
    assert len(told) == 1
    undo()


def test_an_alarm_while_a_module_is_patched_reaches_the_program(awaited):
    """The module stays as it was, and nothing is told of it."""

    def reached(_number, _frame):
        raise TimeoutError("too long")

    def how(module):
        patch("half")(module)
        signal.raise_signal(signal.SIGALRM)

    undo = when_imported({awaited: how}, pytest.fail)
    before = signal.signal(signal.SIGALRM, reached)
    try:
        with pytest.raises(TimeoutError, match="too long"):
            importlib.import_module(awaited)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert word_of(awaited) == "own"
    undo()


def test_the_loader_of_an_awaited_module_passes_for_the_real_one(awaited):
    """While the module is found, by another finder that asks all as well, and afterwards, when it has the real one."""
    real = type(importlib.util.find_spec(awaited).loader)
    stop = when_imported({awaited: patch("patched")}, pytest.fail)
    found = importlib.util.find_spec(awaited)
    assert isinstance(found.loader, real)

    class AsksAll:
        def find_spec(self, name, path=None, target=None):
            return (
                None
                if name != awaited or self in asked
                else (asked.append(self), importlib.util.find_spec(name))[1]
            )

    asked = []
    sys.meta_path.insert(0, asks := AsksAll())
    try:
        assert word_of(awaited) == "patched"
    finally:
        sys.meta_path.remove(asks)
    module = sys.modules[awaited]
    assert asked == [asks]
    assert type(module.__loader__) is type(module.__spec__.loader) is real
    stop()


def test_an_import_that_fails_shows_no_frame_of_ours(tmp_path, monkeypatch):
    """The traceback leads from the import to the line of the module; the module is still awaited."""
    (tmp_path / "fails_for_the_test.py").write_text("raise ValueError('as ever')\n")
    monkeypatch.syspath_prepend(tmp_path)
    stop = when_imported({"fails_for_the_test": patch("never")}, pytest.fail)
    with pytest.raises(ValueError, match="as ever") as failed:
        importlib.import_module("fails_for_the_test")
    assert not [entry for entry in failed.traceback if "namel3ss_debug" in str(entry.path)]
    stop()
