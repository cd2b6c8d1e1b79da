"""Reading the lines of a recording's files."""

from __future__ import annotations

import os

import pytest

from namel3ss_debug.traces import lines


def test_ctrl_c_while_the_head_of_a_file_is_closed_is_not_lost(tmp_path, monkeypatch):
    """What a signal raises there arrives, though the rest of the file is never asked for."""
    path = tmp_path / "run.jsonl"
    path.write_bytes(b'{"event_type":"log_record"}\n' * 2)

    def close(descriptor):
        os.close(descriptor)
        raise KeyboardInterrupt

    monkeypatch.setattr(lines, "os", _With(os, close))
    with pytest.raises(KeyboardInterrupt):
        lines.head_lines(path)


class _With:
    """A module with another `close`."""

    def __init__(self, module, close):
        self._module, self.close = module, close

    def __getattr__(self, name):
        return getattr(self._module, name)
