"""Fixtures: programs that are recorded in a child process, and run again on what the recording holds."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from namel3ss_debug.capture.launch.parent import RUNNER, child_environment, resolve_target
from namel3ss_debug.capture.launch.session import new_randomness, new_session
from namel3ss_debug.config import load_configuration
from namel3ss_debug.traces.inputs import Recorded
from namel3ss_debug.traces.reader import open_trace


class Result(NamedTuple):
    """How a program ended, and what was recorded of it."""

    status: int
    stdout: str
    stderr: str
    trace: Path | None = None

    @property
    def seen(self):
        """What the user sees of it."""
        return self.status, self.stdout, self.stderr

    @property
    def events(self):
        """All events of its recording."""
        return list(open_trace(self.trace).events())

    @property
    def recorded(self):
        """Its inputs."""
        return Recorded.of(self.events)

    def read(self, key):
        """One key of the metadata of all its `inputs_read` events."""
        found = [e["metadata"].get(key) for e in self.events if e["event_type"] == "inputs_read"]
        return [value for value in found if value is not None]


class Programs:
    """Writes programs and runs them: plain, recorded, and on the inputs of a recording."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.count = 0

    def write(self, source: str) -> Path:
        """A program in the folder."""
        path = self.folder / "app.py"
        path.write_text(source)
        return path

    def environment(self, environment: dict[str, str] | None = None) -> dict[str, str]:
        """An environment without what would tell a program how to behave."""
        kept = {
            k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "NAMEL3SS", "COV", "PYTEST"))
        }
        return {**kept, "PYTHON_COLORS": "0", **(environment or {})}

    def plain(self, source: str, stdin: bytes = b"", environment: dict[str, str] | None = None) -> Result:
        """Run it as `python app.py` does."""
        self.write(source)
        return self._run([sys.executable, "app.py"], self.environment(environment), stdin)

    def record(
        self,
        source: str,
        stdin: bytes = b"",
        environment: dict[str, str] | None = None,
        randomness: dict[str, Any] | None = None,
        **settings: Any,
    ) -> Result:
        """Run it as `debug trace app.py` does."""
        self.write(source)
        self.count += 1
        target = resolve_target(["app.py"], cwd=self.folder)
        config = load_configuration(
            self.folder, {}, {"enabled": True, "record_randomness": True, "max_payload_size": 0, **settings}
        ).config
        session = new_session(config, root=target.root, output=self.folder / f"run{self.count}.jsonl")
        given = self.environment(environment)
        own = new_randomness(given, running=False) if session.randomness else {}
        session = replace(session, randomness={**own, **(randomness or {})})
        command = [sys.executable, str(RUNNER), *target.command()]
        result = self._run(command, child_environment(given, asdict(session)), stdin)
        return result._replace(trace=Path(session.trace))

    def again(
        self, source: str, first: Result, environment: dict[str, str] | None = None, **settings: Any
    ) -> Result:
        """Run it as a re-run does: on the inputs of a recording."""
        recorded = first.recorded
        inputs = self.folder / f"inputs{self.count}.json"
        inputs.write_text(recorded.to_text())
        randomness = {"seed": recorded.seed, "recorded": str(inputs), "hash_seed": recorded.hash_seed}
        if recorded.hash_seed_is_set:
            randomness["hash_seed_given"] = True
        given = recorded.variables(self.environment(environment))
        return self.record(source, recorded.stdin_bytes, given, randomness, **settings)

    def _run(self, command: list[str], environment: dict[str, str], stdin: bytes) -> Result:
        done = subprocess.run(
            command, env=environment, input=stdin, capture_output=True, cwd=self.folder, check=False
        )
        return Result(done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.fixture
def programs(tmp_path):
    """Programs in a temporary folder."""
    folder = tmp_path / "programs"
    folder.mkdir()
    return Programs(folder.resolve())
