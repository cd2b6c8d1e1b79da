"""A message of the debugger's own is one short line on the stderr of the process, whatever is in it."""

from __future__ import annotations

import sys

from namel3ss_debug.capture.core.messages import print_message


def test_a_message_is_one_line_without_control_characters(capfd, monkeypatch):
    """Names from a trace cannot colour the terminal; the program may have replaced its `sys.stderr`."""
    monkeypatch.setattr(sys, "stderr", None)
    print_message("evil\x1b[31m\nname" + "x" * 900)
    line = capfd.readouterr().err
    assert line.startswith(r"namel3ss debug: evil\x1b[31m\nnamexx")
    assert (line.count("\n"), len(line)) == (1, 521)
