"""What a framework holds is read without harm, and no traceback of the program shows that somebody followed it."""

from __future__ import annotations

import traceback
from types import SimpleNamespace

import pytest

from namel3ss_debug.capture import rewrite
from namel3ss_debug.capture.frameworks import litellm, smolagents
from namel3ss_debug.capture.frameworks.reading import find_existing_tools, read_safely


def test_a_surprise_is_a_problem_of_tracing(structure):
    """What is made is given; what cannot be made is left out."""
    assert read_safely(structure, int, "3") == 3
    assert read_safely(structure, int, "snow") is None
    assert structure.tracer.problems.pop("an object of loom could not be read: ValueError") == 1


@pytest.mark.parametrize("seam", ["litellm", "smolagents"])
def test_a_traceback_shows_the_program_and_the_framework_alone(structure, seam):
    """Though a function of ours stands between the two."""

    def fails(*_args, **_kwargs):
        raise KeyError("snow")

    if seam == "litellm":
        module = SimpleNamespace(completion=fails, acompletion=fails)
        undo = litellm.follow(module, structure)
    else:
        module = SimpleNamespace(
            __name__="smolagents.tools", Tool=type("Tool", (), {"__call__": fails, "name": "x"})
        )
        undo = smolagents.follow(module, structure)
    call = module.completion if seam == "litellm" else module.Tool()
    with pytest.raises(KeyError) as caught:
        call("gpt")
    for each in undo:
        each()
    frames = traceback.extract_tb(caught.value.__traceback__)
    assert {frame.filename for frame in frames} == {__file__}


@pytest.mark.parametrize("is_loaded", [False, True])
def test_tools_that_were_made_before_are_looked_for_where_their_functions_can_be_seams(
    monkeypatch, is_loaded
):
    """Those of a class and of the classes derived from it, and no class is one."""
    monkeypatch.setattr(rewrite, "LOADED", (lambda _names: None) if is_loaded else None)
    kind = type("Tool", (SimpleNamespace,), {})
    tools = [kind(), type("Search", (kind,), {})()]
    assert sorted(find_existing_tools(kind), key=id) == (sorted(tools, key=id) if is_loaded else [])
