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


def test_a_document_on_one_line_has_no_first_line(tmp_path, monkeypatch):
    """It is of another tool, and too large to be read for its beginning alone."""
    monkeypatch.setattr(lines, "LONGEST_LINE", 100)
    path = tmp_path / "export.json"
    path.write_bytes(b'{"text": "' + b"a" * 100 + b'"}\n')
    assert lines.head_lines(path) == []
    path.write_bytes(b'{"text": "short"}\n' + b"a" * 100)
    assert lines.first_line(path) == b'{"text": "short"}'
