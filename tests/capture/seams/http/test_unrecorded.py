"""What is not recorded is told where it is used, and only there."""

from __future__ import annotations

import importlib
import sys

import pytest

from namel3ss_debug.capture.seams.http import libraries as transport
from namel3ss_debug.capture.seams.http import unrecorded

STAND_INS = {
    "websockets.client": "class ClientProtocol:\n    def connect(self):\n        return 'opened'\n",
    "websocket._core": "class WebSocket:\n    def connect(self):\n        raise ConnectionRefusedError\n",
    "grpc._channel": "class Channel:\n    def __init__(self, target):\n        self.target = target\n",
}


@pytest.fixture
def library(tmp_path, monkeypatch):
    """Imports a stand-in for a library, in place of one that may be installed."""

    def load(name):
        package = name.partition(".")[0]
        for loaded in [one for one in sys.modules if one.partition(".")[0] == package]:
            monkeypatch.delitem(sys.modules, loaded)
        for one in (package, name):  # what is imported here is taken away again
            monkeypatch.setitem(sys.modules, one, None)
            del sys.modules[one]
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
        (tmp_path / f"{name.replace('.', '/')}.py").write_text(STAND_INS[name])
        monkeypatch.syspath_prepend(tmp_path)
        return importlib.import_module(name)

    return load


def test_a_websocket_is_told_once_when_it_is_opened(tracer, library):
    """Not when the library is imported, and not a second time."""
    websockets = library("websockets.client")
    assert not tracer.problems
    assert [websockets.ClientProtocol().connect() for _ in range(2)] == ["opened", "opened"]
    assert tracer.problems == {"websockets was used, but it is not recorded": 1}


def test_one_that_cannot_be_opened_fails_as_it_did(tracer, library):
    """The exception is the library's, and no frame of ours is in its traceback."""
    websocket = library("websocket._core")
    with pytest.raises(ConnectionRefusedError) as caught:
        websocket.WebSocket().connect()
    assert len(caught.traceback) == 2
    assert list(tracer.problems) == ["a websocket of websocket-client was used, but it is not recorded"]


def test_a_channel_of_grpc_is_told_unless_it_only_reports(tracer, library):
    """A collector of OpenTelemetry gets what the program tells of itself, and is no part of what it does."""
    grpc = library("grpc._channel")
    assert grpc.Channel("127.0.0.1:4317").target == "127.0.0.1:4317"
    assert not tracer.problems
    grpc.Channel("example.org:443")
    assert list(tracer.problems) == ["gRPC was used, but it is not recorded"]


def test_every_way_that_is_told_is_watched():
    """The two tables name the same modules."""
    watched = {name for name, seam in transport._LIBRARIES.items() if seam == "unrecorded"}
    assert watched == set(unrecorded._OPENINGS)
