"""What a framework holds is read without harm, and no traceback of the program shows that somebody followed it."""

from __future__ import annotations

import traceback
from types import SimpleNamespace

import pytest

from namel3ss_debug.capture.frameworks import litellm, smolagents
from namel3ss_debug.capture.frameworks.reading import read


def test_a_surprise_is_a_problem_of_tracing(structure):
    """What is made is given; what cannot be made is left out."""
    assert read(structure, int, "3") == 3
    assert read(structure, int, "snow") is None
    assert structure.tracer.problems.pop("something that loom holds could not be read: ValueError") == 1


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
