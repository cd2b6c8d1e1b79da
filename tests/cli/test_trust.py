"""Foreign traces are data: nothing that they name runs without consent, and a user's own traces need no question."""

from __future__ import annotations

import base64
import gzip
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pexpect
import pytest

from namel3ss_debug.traces import signing
from namel3ss_debug.traces.store import trace_files
from namel3ss_debug.traces.verification import verify

APP = """
import os, subprocess, sys, time
from namel3ss_debug.hooks import trace_tool_call

@trace_tool_call
def search(query):
    return {"found": os.environ.get("CITY")}

print(search("q"), time.time(), sys.argv[1:], sys.stdin.readline())
subprocess.run([sys.executable, "child.py"])
"""
CHILD = "import os, time\nprint(os.environ.get('COUNTRY'), time.time())\n"
EVIL = "from pathlib import Path\nPath({canary!r}).write_text('owned')\n"
EXTRA = "\nfrom pathlib import Path\nPath({canary!r}).write_text('owned')\n"

Event = dict[str, Any]


class Place(NamedTuple):
    """Where a hostile trace lies, and what it would have run."""

    folder: Path
    canary: Path
    evil: Path
    other: list[Event]
    """The events of another execution of the same user."""


class Trace:
    """The files of a trace, as lists of events that a case changes."""

    def __init__(self, folder: Path) -> None:
        self.files = {path.name: read(path) for path in sorted(folder.glob("run*.jsonl"))}

    @property
    def events(self) -> list[Event]:
        """The events of the first file."""
        return self.files["run.jsonl"]

    @property
    def start(self) -> Event:
        """The metadata of the first line."""
        return self.events[0]["metadata"]

    @property
    def read(self) -> Event:
        """The first event of what the program read."""
        return next(event for event in self.events if event["event_type"] == "inputs_read")

    @property
    def environment(self) -> Event:
        """The variables of the first event that has some."""
        return next(
            event["metadata"]["environment"]
            for event in self.events
            if "environment" in event.get("metadata", {})
        )

    def insert(self, metadata: Event, **fields: Any) -> Event:
        """Put a new event of what the program read behind the others, with a gapless number."""
        last = self.events[-1]
        event = {**self.read, **fields, "metadata": {"process": "m", **metadata}}
        event |= {"seq": last["seq"] + 1, "event_id": str(last["seq"] + 2)}
        self.events.append(event)
        return event


def read(path):
    """The events of a file."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def line(event):
    """The line of an event as the writer writes it, so that the signature of one that nobody changed stays valid."""
    return event if isinstance(event, str) else orjson.dumps(event).decode()


def write(path, events):
    """Write events to a file; a text is a line as it stands."""
    path.write_text("".join(line(each) + "\n" for each in events))


def signed(name, events, key_file):
    """The lines of a file, signed again with a key."""
    execution, number = events[0]["execution_id"], int(".p1." in name)
    sign = signing.line_signer(signing.execution_key(str(key_file), execution), number, 0)
    for event in events:
        event.pop("mac", None)
    return [sign(orjson.dumps(event) + b"\n").decode()[:-1] for event in events]


def in_folder(path, folder):
    """The lines of a file as if they had been recorded in this folder, signed again with the user's own key."""
    events = read(path)
    for event in events:
        if event["event_type"] == "trace_start":
            event["metadata"]["cwd"] = str(folder)
    return signed(path.name, events, signing.configuration_folder() / signing.KEY_FILE)


def debug(folder, *words, stdin="Oslo\n", **variables):
    """Run a command of the debugger as a process of its own, without a terminal."""
    command = [sys.executable, "-m", "namel3ss_debug", *map(str, words)]
    environment = {**os.environ, "PYTHONUNBUFFERED": "", **variables}
    return subprocess.run(
        command,
        cwd=folder,
        env=environment,
        input=stdin,
        text=True,
        capture_output=True,
        timeout=120,
        check=False,
    )


def record(folder, *words, **variables):
    """Record the program of the tests, with a child process, in a folder."""
    folder.mkdir(exist_ok=True)
    (folder / "app.py").write_text(APP)
    (folder / "child.py").write_text(CHILD)
    done = debug(folder, "trace", "-o", "run.jsonl", "app.py", *words, CITY="Oslo", COUNTRY="NO", **variables)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def genuine(tmp_path_factory, own_environment):
    """Two executions of the same program, recorded by this user."""
    folder = tmp_path_factory.mktemp("genuine")
    record(folder / "one", "--fast")
    record(folder / "two")
    return folder


@pytest.fixture
def place(tmp_path, genuine):
    """A copy of a genuine trace and its program, and a program that leaves a mark when it runs."""
    folder = tmp_path.resolve() / "project"
    shutil.copytree(genuine / "one", folder)
    for path in folder.glob("run*.jsonl"):
        write(path, in_folder(path, folder))
    canary, evil = tmp_path / "canary", tmp_path / "evil.py"
    evil.write_text(EVIL.format(canary=str(canary)))
    return Place(folder, canary, evil, read(genuine / "two" / "run.jsonl"))


@pytest.fixture
def processes(monkeypatch):
    """The command lines of the processes that are started in a test."""
    started = []
    plain = subprocess.Popen.__init__

    def noting(self, args, *more, **options):
        started.append(args)
        plain(self, args, *more, **options)

    monkeypatch.setattr(subprocess.Popen, "__init__", noting)
    return started


# --- hostile traces: what each changes in a genuine one


def target(text: str, **more: Any) -> Callable[[Trace, Place], None]:
    """Name another program in the first line; `{evil}` and `{canary}` are paths."""

    def change(trace: Trace, place: Place) -> None:
        paths = {"evil": str(place.evil), "canary": str(place.canary)}
        trace.start["target"] = text.format(**paths)
        words = [each.format(**paths) for each in more.pop("words", [])]
        trace.start["argv"] = [trace.start["target"], *words]
        given = more.get("arguments") or {}
        trace.start["arguments"] = json.loads(json.dumps(given).replace("CANARY", str(place.canary)))

    return change


def other_folder(trace: Trace, place: Place) -> None:
    """The working directory is one with another `app.py`."""
    (place.folder / "inner").mkdir()
    shutil.copyfile(place.evil, place.folder / "inner" / "app.py")
    trace.start["cwd"] = str(place.folder / "inner")


def folder_target(trace: Trace, place: Place) -> None:
    """The program is a folder with a `__main__`."""
    (place.folder / "pack").mkdir()
    shutil.copyfile(place.evil, place.folder / "pack" / "__main__.py")
    trace.start["target"] = "pack"


def linked_target(trace: Trace, place: Place) -> None:
    """The program is a link to another file."""
    (place.folder / "link.py").symlink_to(place.evil)
    trace.start["target"] = "link.py"


def interpreter(trace: Trace, place: Place) -> None:
    """The interpreter is a script."""
    script = place.folder / "python"
    script.write_text(f"#!/bin/sh\ntouch {place.canary}\n")
    script.chmod(0o755)
    trace.start["executable"] = str(script)


def read_at_start(name: str) -> Callable[[Trace, Place], None]:
    """The interpreter read a variable at its start, of which the first line tells."""

    def change(trace: Trace, place: Place) -> None:
        trace.start["randomness"]["interpreter"] = {name: str(place.evil.parent)}

    return change


def variable(name: str) -> Callable[[Trace, Place], None]:
    """The program read another variable, below a genuine first line."""

    def change(trace: Trace, place: Place) -> None:
        shutil.copyfile(place.evil, place.evil.with_name("sitecustomize.py"))
        trace.environment[name] = {"value": str(place.evil.parent)}

    return change


def inserted(**fields: Any) -> Callable[[Trace, Place], None]:
    """One more event of what the program read."""

    def change(trace: Trace, place: Place) -> None:
        value = {"value": str(place.evil.parent)}
        trace.insert({"environment": {"PYTHONPATH": value}}, **fields)

    return change


def escaped(trace: Trace, place: Place) -> None:
    """Its type is written with an escape, which a search for the bytes does not find."""
    event = trace.insert({"environment": {"CITY": {"value": str(place.canary)}}})
    trace.events[-1] = json.dumps(event).replace("inputs_read", "inputs\\u005fread")


def damaged(trace: Trace, place: Place) -> None:
    """Its line is no JSON, and a reader that repairs it finds the event."""
    event = trace.insert({"environment": {"CITY": {"value": str(place.canary)}}})
    trace.events[-1] = json.dumps(event)[:-1] + ', "duration_ms": NaN}'


def glued(trace: Trace, place: Place) -> None:
    """It stands on the line of another event."""
    event = trace.insert({"environment": {"CITY": {"value": str(place.canary)}}})
    trace.events[-2:] = [json.dumps(trace.events[-2]) + json.dumps(event)]


def of_child(trace: Trace, place: Place) -> None:
    """What a child process read."""
    for event in trace.files["run.p1.jsonl"]:
        if "environment" in event.get("metadata", {}):
            event["metadata"]["environment"]["COUNTRY"] = {"value": str(place.canary)}


def second_segment(trace: Trace, place: Place) -> None:
    """A segment that this user never wrote."""
    first = json.loads(json.dumps(trace.events[0]))
    first["metadata"] |= {"segment": 1, "target": str(place.evil)}
    trace.files["run.s1.jsonl"] = [first]


def second_start(trace: Trace, place: Place) -> None:
    """Two first lines: one that names another program, and the genuine one."""
    first = json.loads(json.dumps(trace.events[0]))
    first["metadata"]["target"] = str(place.evil)
    first["timestamp"] -= 1.0
    trace.events.insert(0, first)


def typed(trace: Trace, place: Place) -> None:
    """Another standard input."""
    event = next(event for event in trace.events if "stdin" in event.get("metadata", {}))
    event["metadata"]["stdin"] = {"base64": base64.b64encode(b"rm -rf\n").decode()}


def clock(trace: Trace, place: Place) -> None:
    """Another time."""
    event = next(event for event in trace.events if "clock" in event.get("metadata", {}))
    event["metadata"]["clock"]["reads"] = {"m": {"0": [1]}}


def signature(value: Any) -> Callable[[Trace, Place], None]:
    """Another signature of the first line."""

    def change(trace: Trace, place: Place) -> None:
        trace.events[0]["mac"] = value(trace.events[0]["mac"]) if callable(value) else value

    return change


def unsigned(*event_types: str) -> Callable[[Trace, Place], None]:
    """No signatures on events of these types."""

    def change(trace: Trace, place: Place) -> None:
        for events in trace.files.values():
            for event in events:
                if not event_types or event["event_type"] in event_types:
                    del event["mac"]

    return change


def of_other_user(trace: Trace, place: Place) -> None:
    """All of it signed with the key of another user."""
    folder = place.folder.parent / "other"
    folder.mkdir()
    (folder / "key").touch(0o600)
    (folder / "key").write_text(f"namel3ss-debug user key {'ab' * 32}\n")
    for name, events in trace.files.items():
        trace.files[name] = signed(name, events, folder / "key")


def of_other_execution(trace: Trace, place: Place) -> None:
    """What the program read in another execution, with its genuine signature."""
    trace.events.extend(event for event in place.other if event["event_type"] == "inputs_read")


def renamed_execution(trace: Trace, place: Place) -> None:
    """What the program read in another execution, under the id of this one."""
    for event in place.other:
        if event["event_type"] == "inputs_read":
            trace.events.append({**event, "execution_id": trace.events[0]["execution_id"]})


def copied_signature(trace: Trace, place: Place) -> None:
    """The signature of the first line on an event of what the program read."""
    trace.insert({"environment": {"CITY": {"value": "x"}}}, mac=trace.events[0]["mac"])


def other_execution_id(trace: Trace, place: Place) -> None:
    """Another execution id in every event."""
    for events in trace.files.values():
        for event in events:
            event["execution_id"] = "0" * 16


def moved(trace: Trace, place: Place) -> None:
    """A signed event under another number."""
    trace.read["seq"] += 100


def twice(trace: Trace, place: Place) -> None:
    """A signed event that appears in it twice."""
    trace.events.append(dict(trace.read))


def foreign_without_signatures(trace: Trace, place: Place) -> None:
    """As it was written before traces were signed."""
    unsigned()(trace, place)
    (place.folder / "app.py").write_text(APP + EXTRA.format(canary=str(place.canary)))


HOSTILE: dict[str, Callable[[Trace, Place], None]] = {
    # targets
    "function of the standard library": target("os:system", arguments={"command": "touch CANARY"}),
    "function that starts processes": target("subprocess:run", arguments={"args": ["touch", "CANARY"]}),
    "module with code as its argument": target("-m timeit", words=["open('{canary}', 'w')"]),
    "module of the debugger of Python": target("-m pdb", words=["-c", "continue", "{evil}"]),
    "script elsewhere": target("{evil}"),
    "script above the folder": target("../evil.py"),
    "script with another argument": target("app.py", words=["--delete"]),
    "script in another folder": other_folder,
    "folder with a main module": folder_target,
    "script that is a link": linked_target,
    # interpreters and the environment
    "interpreter": interpreter,
    "LD_PRELOAD at the start": read_at_start("LD_PRELOAD"),
    "PYTHONPATH at the start": read_at_start("PYTHONPATH"),
    "PYTHONSTARTUP at the start": read_at_start("PYTHONSTARTUP"),
    "LD_PRELOAD": variable("LD_PRELOAD"),
    "PYTHONPATH": variable("PYTHONPATH"),
    "PATH": variable("PATH"),
    "BASH_ENV": variable("BASH_ENV"),
    "GIT_SSH_COMMAND": variable("GIT_SSH_COMMAND"),
    "https_proxy": variable("https_proxy"),
    "SSL_CERT_FILE": variable("SSL_CERT_FILE"),
    "variable of the program": variable("CITY"),
    # what was read, below a genuine first line
    "event that was inserted": inserted(),
    "event that was inserted, of another process": inserted(metadata_process="m/1"),
    "event with an escape in its type": escaped,
    "event on a damaged line": damaged,
    "event on the line of another": glued,
    "event of a child process": of_child,
    "standard input": typed,
    "clock": clock,
    "second segment": second_segment,
    "second first line": second_start,
    # signatures
    "signature that was cut": signature(lambda whole: whole[:8]),
    "signature that is empty": signature(""),
    "signature that is no text": signature([1]),
    "signature that is null": signature(None),
    "signature in reverse": signature(lambda whole: whole[::-1]),
    "no signature on the first line": unsigned("trace_start"),
    "no signature on what was read": unsigned("inputs_read"),
    "no signature at all": foreign_without_signatures,
    "signatures of another user": of_other_user,
    "signatures of another execution": of_other_execution,
    "signatures of another execution, renamed": renamed_execution,
    "signature of another event": copied_signature,
    "execution id": other_execution_id,
    "event that was moved": moved,
    "event that stands twice": twice,
}
"""What a hostile trace changes in a genuine one."""


def linked(path: Path, place: Place) -> Path:
    """Reach it over a link in the user's own folder."""
    link = place.folder / "mine.jsonl"
    elsewhere = place.folder.parent / "elsewhere"
    elsewhere.mkdir()
    link.symlink_to(path.rename(elsewhere / "run.jsonl"))
    return link


def latest(path: Path, place: Place) -> Path:
    """Reach it over the link to the latest trace."""
    link = path.with_name("trace_latest.jsonl")
    link.symlink_to(path.name)
    return link


def packed(path: Path, place: Place) -> Path:
    """Compress it."""
    packed = path.with_name("run.jsonl.gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    return packed


def as_document(path: Path, place: Place) -> Path:
    """Write it as one JSON document."""
    document = path.with_suffix(".json")
    document.write_text(json.dumps({"events": read(path)}))
    return document


def of_child_file(path: Path, place: Place) -> Path:
    """Reach it by the file of a child process."""
    return path.with_name("run.p1.jsonl")


PATHS: dict[str, Callable[[Path, Place], Path]] = {
    "over a link": linked,
    "over the link to the latest": latest,
    "compressed": packed,
    "as a document": as_document,
    "by the file of a child process": of_child_file,
}
"""Ways to reach a trace that names another program."""


def check_refused(result, place, processes):
    """Nothing ran, and one line says what would have, and how to allow it."""
    assert result.exit_code == 2, result.output
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, lines
    assert "is not a trace of yours" in lines[0] or "is not as you recorded it" in lines[0]
    assert "--trust" in lines[0]
    assert processes == []
    assert not place.canary.exists()


@pytest.mark.parametrize("case", HOSTILE)
def test_nothing_of_a_hostile_trace_runs_without_consent(run, place, processes, monkeypatch, case):
    """A re-run starts no process, whatever was changed in a genuine trace."""
    trace = Trace(place.folder)
    HOSTILE[case](trace, place)
    for name, events in trace.files.items():
        write(place.folder / name, events)
    monkeypatch.chdir(place.folder)
    check_refused(run("rerun", "run.jsonl"), place, processes)


@pytest.mark.parametrize("case", PATHS)
def test_it_does_not_matter_how_a_hostile_trace_is_reached(run, place, processes, monkeypatch, case):
    """A link, a compressed file, a document or another of its files is as foreign as the file itself."""
    trace = Trace(place.folder)
    target("{evil}")(trace, place)
    write(place.folder / "run.jsonl", trace.events)
    path = PATHS[case](place.folder / "run.jsonl", place)
    monkeypatch.chdir(place.folder)
    check_refused(run("rerun", path), place, processes)


@pytest.mark.parametrize("words", [("make-test",), ("replay", "-c", "rerun"), ("rerun", "--step")])
def test_every_command_that_runs_a_trace_again_asks_for_consent(run, place, processes, monkeypatch, words):
    """So do the generation of a test, the command `rerun` of the debugger, and a re-run that is stepped."""
    trace = Trace(place.folder)
    target("{evil}")(trace, place)
    write(place.folder / "run.jsonl", trace.events)
    monkeypatch.chdir(place.folder)
    result = run(words[0], "run.jsonl", *words[1:])
    assert result.exit_code == 2
    assert "is not as you recorded it" in result.output
    assert processes == []
    assert not place.canary.exists()
    assert not list(place.folder.glob("test_*"))


# --- a user's own traces


def test_a_trace_of_ones_own_runs_again_without_a_question(genuine, tmp_path):
    """With its child process, its variables, its arguments and its standard input."""
    folder = tmp_path / "own"
    shutil.copytree(genuine / "one", folder)
    first = debug(folder, "trace", "-o", "run.jsonl", "app.py", "--fast", CITY="Rome", COUNTRY="IT")
    done = debug(folder, "rerun", "run.jsonl")
    assert done.returncode == 0, done.stderr
    assert done.stdout == first.stdout
    assert "{'found': 'Rome'}" in done.stdout
    again = next(folder.glob("trace_*.jsonl"))
    assert debug(folder, "rerun", again).returncode == 0  # of a re-run, another one


@pytest.mark.parametrize("options", [["--buffer-size", "50"], []])
def test_every_segment_of_ones_own_trace_is_signed(tmp_path, options):
    """Also where events wait in a buffer, and the trace is cut into segments."""
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "app.py").write_text("import time\nprint([time.time() for _ in range(2000)][-1])\n")
    variables = {"NAMEL3SS_DEBUG_ROTATE_MAX_BYTES": "2000"}
    first = debug(folder, "trace", "-o", "run.jsonl", *options, "app.py", **variables)
    assert len(list(folder.glob("run.s*.jsonl"))) >= 1
    done = debug(folder, "rerun", "run.jsonl")
    assert (done.returncode, done.stdout) == (0, first.stdout), done.stderr


def test_a_program_that_traces_itself_signs_its_trace(tmp_path):
    """`initialize_tracing` signs, for its child processes too, and a program that changes its home does not matter."""
    (tmp_path / "child.py").write_text(CHILD)
    (tmp_path / "app.py").write_text(
        "import os, subprocess, sys\n"
        "from namel3ss_debug import initialize_tracing, shutdown_tracing\n"
        "initialize_tracing(trace_output_dir='.', record_randomness=True)\n"
        "os.environ['HOME'] = os.environ['XDG_CONFIG_HOME'] = '/nowhere'\n"
        "import time; print(time.time(), os.environ.get('CITY'))\n"
        "subprocess.run([sys.executable, 'child.py'])\n"
    )
    done = subprocess.run(
        [sys.executable, "app.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    files = sorted(path for path in tmp_path.glob("trace_*.jsonl") if not path.is_symlink())
    assert len(files) == 2
    assert verify(trace_files(files[0]), signing.load_key()).is_own


def can_read(path):
    """Whether a file of the system can be opened here."""
    try:
        Path(path).open("rb").close()
    except OSError:
        return False
    return True


PARENT = """
shown = [open(f"/proc/{os.getppid()}/{name}").read() for name in ("environ", "cmdline")]
print("parent shows", "something" if "battery" in shown[0] or "app.py" in shown[1] else "nothing")
"""
"""A program that looks at the process that started it."""


def test_the_key_of_the_environment_is_kept_from_the_program(tmp_path):
    """Neither the program nor what it starts sees it, the trace does not hold it, and its children sign with it all the same."""
    folder = tmp_path / "ci"
    folder.mkdir()
    (folder / "app.py").write_text(
        "import os, subprocess, sys\n"
        + "print(open('/proc/self/environ').read())\n" * can_read("/proc/self/environ")
        + PARENT * can_read("/proc/self/environ")
        + "print(dict(os.environ))\n"
        "print(os.environ.get('NAMEL3SS_DEBUG_TRUST_KEY'))\n"
        "subprocess.run(['env'])\n"
        "subprocess.run([sys.executable, '-c', 'import os, time; print(time.time(), dict(os.environ))'])\n"
    )
    secret = "correct-horse-battery"
    key = {"NAMEL3SS_DEBUG_TRUST_KEY": secret}
    first = debug(folder, "trace", "-o", "run.jsonl", "app.py", **key)
    assert first.returncode == 0
    assert secret not in first.stdout
    assert first.stdout.count("parent shows nothing") == can_read("/proc/self/environ")
    assert all(secret not in path.read_text() for path in folder.glob("*.jsonl"))
    assert debug(folder, "run", "app.py", **key).stdout.count(secret) == 0
    # The environments that it prints differ, so it diverges; the point is that nobody is asked.
    again = debug(folder, "rerun", "run.jsonl", **key)
    assert (again.returncode, "--trust" in again.stderr) == (1, False), again.stderr
    assert debug(folder, "rerun", "run.jsonl").returncode == 2


def test_without_a_configuration_directory_a_trace_is_unsigned(tmp_path):
    """The program does not notice, and its re-run needs consent."""
    (tmp_path / "file").touch()
    nowhere = {"XDG_CONFIG_HOME": str(tmp_path / "file")}
    folder = tmp_path / "own"
    done = record(folder, **nowhere)
    assert "configuration" not in done.stderr
    assert all("mac" not in event for event in read(folder / "run.jsonl"))
    assert debug(folder, "rerun", "run.jsonl", **nowhere).returncode == 2
    assert debug(folder, "rerun", "run.jsonl", "--trust", **nowhere).returncode == 0


# --- consent


@pytest.fixture
def foreign(place):
    """A trace of somebody else, of a program in the user's folder."""
    trace = Trace(place.folder)
    of_other_user(trace, place)
    for name, events in trace.files.items():
        write(place.folder / name, events)
    return place.folder


@pytest.fixture
def own_configuration(tmp_path, monkeypatch):
    """A configuration directory for one test."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.mark.parametrize(("words", "variables"), [(["--trust"], {}), ([], {"NAMEL3SS_DEBUG_TRUST": "1"})])
def test_consent_runs_a_foreign_trace_again(foreign, words, variables):
    """By the option, or by the variable; its program gets its recorded variables."""
    done = debug(foreign, "rerun", "run.jsonl", *words, **variables)
    assert done.returncode == 0, done.stderr
    assert "{'found': 'Oslo'}" in done.stdout


def test_a_variable_that_says_neither_yes_nor_no_is_refused(foreign):
    """It is named, with what it may be."""
    done = debug(foreign, "rerun", "run.jsonl", NAMEL3SS_DEBUG_TRUST="maybe")
    assert done.returncode == 2
    assert "NAMEL3SS_DEBUG_TRUST='maybe' is neither yes nor no" in done.stderr


def test_a_trusted_folder_is_consent_for_what_lies_below_it(foreign, own_configuration):
    """Until it is removed; a trace elsewhere that is linked from there is not below it."""
    assert debug(foreign, "rerun", "run.jsonl").returncode == 2
    assert debug(foreign, "trust", foreign.parent).returncode == 0
    assert debug(foreign, "trust", "--list").stdout == f"{foreign.parent}\n"
    assert debug(foreign, "rerun", "run.jsonl").returncode == 0
    assert debug(foreign, "trust", "--remove", foreign.parent).returncode == 0
    assert debug(foreign, "trust", "--list").stdout == ""
    assert debug(foreign, "rerun", "run.jsonl").returncode == 2
    inner = foreign / "inner"
    inner.mkdir()
    (inner / "link.jsonl").symlink_to(foreign / "run.jsonl")
    debug(foreign, "trust", inner)
    assert debug(foreign, "rerun", inner / "link.jsonl").returncode == 2


def test_a_folder_that_others_can_write_to_is_not_trusted(foreign, own_configuration):
    """Neither when it is named, nor later, nor one on the way to the trace."""
    debug(foreign, "trust", foreign.parent)
    foreign.chmod(0o777)
    assert "everybody can write to it" in debug(foreign, "trust", foreign).stderr
    assert debug(foreign, "rerun", "run.jsonl").returncode == 2
    foreign.chmod(0o755)
    assert debug(foreign, "rerun", "run.jsonl").returncode == 0
    assert "it is not a folder" in debug(foreign, "trust", "run.jsonl").stderr
    assert "No such file" in debug(foreign, "trust", "nowhere").stderr


@pytest.mark.parametrize("answer", ["y", "n"])
def test_a_terminal_shows_what_would_run_and_asks_once(foreign, own_configuration, answer):
    """The answer holds for this content, and for no other."""

    def ask():
        words = ["-m", "namel3ss_debug", "rerun", "run.jsonl"]
        environment = {**os.environ, "TERM": "dumb", "COLUMNS": "300"}
        return pexpect.spawn(
            sys.executable, words, cwd=str(foreign), env=environment, encoding="utf-8", timeout=60
        )

    child = ask()
    child.expect_exact("is not a trace of yours")
    for shown in ("app.py --fast", str(foreign), sys.executable, "CITY=Oslo", "Run it?"):
        child.expect_exact(shown)
    child.sendline(answer)
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == (0 if answer == "y" else 2)
    if answer == "y":
        child = ask()
        child.expect(pexpect.EOF)
        assert "Run it?" not in child.before
        (foreign / "run.jsonl").write_text((foreign / "run.jsonl").read_text().replace("--fast", "--slow"))
        child = ask()
        child.expect_exact("Run it?")
        child.close(force=True)


LOADERS = {
    "LD_LIBRARY_PATH": "/evil",
    "PYTHONPATH": "/evil",
    "PATH": "/evil",
    "HTTPS_PROXY": "http://evil",
    "HOME": "/evil",
}


def test_no_trace_sets_variables_that_change_how_code_is_loaded(place):
    """Not even one with consent: they keep the user's value, and the re-run says so."""
    trace = Trace(place.folder)
    for name, value in LOADERS.items():
        trace.environment[name] = {"value": value}
    trace.start["randomness"]["interpreter"] = {"LD_PRELOAD": "/evil", "TZ": "Asia/Tokyo"}
    write(place.folder / "run.jsonl", trace.events)
    names = ["LD_PRELOAD", *LOADERS, "TZ", "CITY"]
    shown = f"import json, os\nprint(json.dumps({{name: os.environ.get(name) for name in {names}}}))"
    (place.folder / "app.py").write_text(shown)
    done = debug(place.folder, "rerun", "run.jsonl", "--trust")
    printed = json.loads(done.stdout)
    assert printed.pop("TZ") == "Asia/Tokyo"
    assert printed.pop("CITY") == "Oslo"
    assert printed == {name: os.environ.get(name) for name in printed}
    assert "a trace does not set HOME, HTTPS_PROXY, LD_LIBRARY_PATH, ..." in done.stderr


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("os:system", {"command": "touch x"}), ("json.tool:main", {}), ("click:echo", {"message": "x"})],
)
def test_a_function_outside_of_the_project_is_refused_even_with_consent(place, name, arguments):
    """A trace names only functions of the project's own files."""
    trace = Trace(place.folder)
    trace.start.update(target=name, argv=[name], arguments=arguments)
    write(place.folder / "run.jsonl", trace.events)
    done = debug(place.folder, "rerun", "run.jsonl", "--trust")
    assert done.returncode == 2
    assert f"{name} is no function of the project" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (place.folder / "x").exists()


@pytest.mark.parametrize("name", ["tasks:main", "pack.tasks:main"])
def test_a_function_of_the_project_runs_again(tmp_path, name):
    """From a module, or from a package without an `__init__`."""
    (tmp_path / "pack").mkdir()
    for folder in (tmp_path, tmp_path / "pack"):
        (folder / "tasks.py").write_text("def main(city):\n    print(city)\n")
    words = ["-o", "run.jsonl", name, "--run-args", '{"city": "Oslo"}']
    assert debug(tmp_path, "trace", *words).stdout == "Oslo\n"
    assert debug(tmp_path, "rerun", "run.jsonl").stdout == "Oslo\n"


def test_the_arguments_of_a_function_are_no_code_in_a_generated_test(tmp_path):
    """A name that no argument can have would be Python in the test."""
    (tmp_path / "tasks.py").write_text("def main(**given):\n    print(given)\n")
    words = ["-o", "run.jsonl", "tasks:main", "--run-args", '{"x=open(1), y": 1}']
    assert debug(tmp_path, "trace", *words).returncode == 0
    done = debug(tmp_path, "make-test", "run.jsonl")
    assert done.returncode == 2
    assert "have names that no function has" in done.stderr


def test_a_report_says_that_a_foreign_trace_would_start_a_program(foreign, genuine):
    """The page of one's own trace does not."""
    assert (
        "starts app.py for a trace that is not signed by you" in debug(foreign, "report", "run.jsonl").stdout
    )
    assert "not signed by you" not in debug(genuine / "one", "report", "run.jsonl").stdout


def test_a_committed_cassette_runs_under_pytest_without_a_signature(tmp_path):
    """It answers the calls of a test, and the environment stays that of the test."""
    (tmp_path / "test_agent.py").write_text(
        "import os, pytest\n"
        "from namel3ss_debug.hooks import trace_tool_call\n"
        "@trace_tool_call\n"
        "def search(query):\n"
        "    return os.environ.get('CITY')\n"
        "@pytest.mark.agent_recording('kept.jsonl')\n"
        "def test_search(agent_trace):\n"
        "    assert search('q') == 'Oslo'\n"
        "    assert os.environ.get('CITY') == os.environ['EXPECTED']\n"
    )
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]

    def tested(city):
        environment = {**os.environ, "CITY": city, "EXPECTED": city}
        done = subprocess.run(
            words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout

    tested("Oslo")
    kept = tmp_path / "kept.jsonl"
    events = read(kept)
    for event in events:
        del event["mac"]
    events[0]["metadata"]["randomness"] = {"seed": "1", "interpreter": {"CITY": "evil"}}
    write(kept, events)
    tested("Rome")
