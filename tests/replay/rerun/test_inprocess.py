"""A piece of the process itself recorded and answered; what a test sees of it is tested with the plugin of pytest."""

import pytest

from namel3ss_debug.capture.seams.functions import rewrite
from namel3ss_debug.capture.seams.functions.loaded import LoadedFunctions
from namel3ss_debug.config import DebugConfiguration
from namel3ss_debug.replay.rerun import inprocess
from namel3ss_debug.replay.rerun.inprocess import InProcess, Recordable


def test_functions_that_are_loaded_can_be_seams_before_a_framework_is_followed(tmp_path, monkeypatch):
    """So the tools that it holds by then are learnt; where recording cannot begin, nothing of that is left."""
    seen = []

    def activate(*_args, **_kwargs):
        seen.append(rewrite.LOADED)
        raise OSError("no room")

    monkeypatch.setattr(inprocess, "activate", activate)
    functions = LoadedFunctions(str(tmp_path))
    what = Recordable(tmp_path / "run.jsonl", "test", tmp_path, DebugConfiguration(), functions, tmp_path)
    with pytest.raises(OSError, match="no room"):
        InProcess(what, None, frozenset(), lambda stop, _recorded: RuntimeError(stop))
    assert seen == [functions.edit]
    assert rewrite.LOADED is None
