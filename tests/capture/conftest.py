"""Fixtures for capture: a tracer that writes below a temporary folder and is switched off afterwards; a shell to ask."""

from __future__ import annotations

import contextlib
import json
import queue
import shutil
import socket
import tempfile
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from namel3ss_debug.capture.launch.session import new_session
from namel3ss_debug.capture.launch.start import activate, initialize_tracing, shutdown_tracing
from namel3ss_debug.config import load_configuration


@pytest.fixture
def tracing(tmp_path):
    """Start tracing with settings; switched off after the test."""

    def start(**settings):
        return initialize_tracing(trace_output_dir=str(tmp_path / "traces"), **settings)

    yield start
    shutdown_tracing()


@pytest.fixture
def tracer(tracing):
    """A tracer with the default settings."""
    return tracing()


@pytest.fixture
def asked_nowhere(monkeypatch):
    """Both SDKs ask at an address where nobody listens."""
    nowhere = "http://127.0.0.1:9"
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("OPENAI_BASE_URL", f"{nowhere}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "unused")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", nowhere)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "unused")


class Shell:
    """Stands in for the debugger's shell: takes lines from every connection and says what the test tells it to.

    Attributes:
        told: every line in the order of arrival, as `(mark, event)`.
        answers: what is said to the start of a call of this name, by name; nothing for all others.
        words: further members of what is said to the start of a call of this name; a list has one for each call.
        asked: the questions whether a part of an answer may be delivered.
        may: answers such a question; it may unless the test says otherwise.
        held: where set, each line that waits is put here and answered only when the test says so by `go`.
    """

    def __init__(self, address):
        self.told = queue.Queue()
        self.answers = {}
        self.words = {}
        self.asked = []
        self.may = lambda _question: True
        self.held = None
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(address)
        self.socket.listen()
        self.connections = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with connection.makefile("rb") as lines:
            for line in lines:
                if line == b"\n":  # behind a line whose sending was ended
                    continue
                event = json.loads(line[line.index(b"{") :])
                if line[:1] == b"!":
                    self.asked.append(event)
                    connection.sendall(json.dumps({"may": self.may(event)}).encode() + b"\n")
                    continue
                waits = line[:1] == b"?"
                if waits and self.held is not None and event["event_type"] != "trace_start":
                    self.held.put((connection, event))
                elif waits:
                    self.go(connection, event)
                self.told.put((line[:1], event))

    def go(self, connection, event):
        """Let the process go on, with the answer of the test if it has one."""
        word = {"at": event["event_id"]}
        if event["event_type"].endswith("_start") and event.get("component_name") in self.answers:
            answer = self.answers[event["component_name"]]
            outputs = answer.get("outputs", {}) if isinstance(answer, dict) else {}
            word |= {"answer": answer, "outputs": outputs or {"result": answer}}
        if event["event_type"].endswith("_start") and event.get("component_name") in self.words:
            more = self.words[event["component_name"]]
            word |= more.pop(0) if isinstance(more, list) else more
        connection.sendall(json.dumps(word).encode() + b"\n")

    def close(self):
        """Be gone, as a shell that was killed."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        while self.connections:
            connection = self.connections.pop()
            connection.shutdown(socket.SHUT_RDWR)
            connection.close()


@pytest.fixture
def shell(request):
    """A shell, and tracing in this process with a gate to it; further fields of the session as its parameter."""
    folder = tempfile.mkdtemp(prefix="n3-", dir="/tmp")
    shell = Shell(f"{folder}/shell")
    config = load_configuration(Path(folder), {}, {"trace_output_dir": f"{folder}/traces"}).config
    session = new_session(config)
    more = getattr(request, "param", {})
    activate(replace(session, step_socket=f"{folder}/shell", **more), first_process=True)
    shell.trace, shell.settings, shell.address = Path(session.trace), session.settings, f"{folder}/shell"
    yield shell
    shell.held = None
    shutdown_tracing()
    shell.close()
    shutil.rmtree(folder)
