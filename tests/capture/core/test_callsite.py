"""The user's functions on the stack, as a chain names them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from namel3ss_debug.capture.core.callsite import CallSites

SOURCE = "def ask(sites): return sites.chain(0)"


def function_of(file: Path) -> Callable[[CallSites], list[str]]:
    """A function that stands in a file, and gives the chain of its own calls."""
    names: dict[str, Any] = {}
    exec(compile(SOURCE, str(file), "exec"), names)
    function: Callable[[CallSites], list[str]] = names["ask"]
    return function


@pytest.fixture
def sites(tmp_path: Path) -> CallSites:
    """Call sites of the user's code in `tmp_path`."""
    return CallSites(str(tmp_path), str(tmp_path))


def test_a_chain_names_the_users_functions_alone(tmp_path: Path, sites: CallSites) -> None:
    """Functions of other folders are left out, however often they are asked for."""
    within, beyond = function_of(tmp_path / "agent.py"), function_of(tmp_path.parent / "other.py")
    assert [within(sites), beyond(sites), within(sites), beyond(sites)] == [["agent.py:ask"], []] * 2


def test_a_trail_is_the_chain_and_the_call_site(tmp_path: Path, sites: CallSites) -> None:
    """One walk gives what two give; where no function is the user's there is neither."""
    source = "def ask(sites): return sites.trail(0), (sites.chain(0), sites.find(0))"
    for folder, known in ((tmp_path, (["agent.py:ask"], "agent.py:1")), (tmp_path.parent, ([], None))):
        names: dict[str, Any] = {}
        exec(compile(source, str(folder / "agent.py"), "exec"), names)
        assert names["ask"](sites) == (known, known)


def test_equal_functions_of_two_files_keep_their_names(tmp_path: Path, sites: CallSites) -> None:
    """Code objects that compare equal are not taken for each other."""
    one, other = function_of(tmp_path / "one.py"), function_of(tmp_path / "other.py")
    assert one.__code__ == other.__code__
    assert [one(sites), other(sites), one(sites)] == [["one.py:ask"], ["other.py:ask"], ["one.py:ask"]]


def test_a_function_in_the_place_of_one_that_is_gone_has_its_own_name(
    tmp_path: Path, sites: CallSites
) -> None:
    """Many functions that live one after the other, in the same memory perhaps, are each named for what they are."""
    for number in range(5000):
        assert function_of(tmp_path / f"m{number % 7}.py")(sites) == [f"m{number % 7}.py:ask"]


def test_a_long_chain_keeps_its_innermost_hundred(tmp_path: Path, sites: CallSites) -> None:
    """Of a deep recursion the innermost hundred calls are named, the outermost of them first."""
    names: dict[str, Any] = {}
    source = "def down(n, sites): return sites.chain(0) if n == 0 else down(n - 1, sites)\ndef top(sites): return down({0}, sites)"
    exec(compile(source.format(98), str(tmp_path / "deep.py"), "exec"), names)
    assert names["top"](sites) == ["deep.py:top", *["deep.py:down"] * 99]
    exec(compile(source.format(99), str(tmp_path / "deep.py"), "exec"), names)
    assert names["top"](sites) == ["deep.py:down"] * 100
