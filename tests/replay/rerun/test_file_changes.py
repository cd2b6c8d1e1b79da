"""Files that differ from the recorded run: how each has changed, and whether the recorded run changed it itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from namel3ss_debug.replay.rerun.file_changes import (
    CHANGED,
    MISSING_NOW,
    MODIFIED,
    NEW,
    add_digests,
    find_file_changes,
    find_file_key,
    read_digests,
)
from namel3ss_debug.traces.file_digests import FileDigester
from namel3ss_debug.traces.reader import open_trace
from namel3ss_debug.views.outcomes import describe_file_change

THEN = {"size": 3, "mtime_ns": 1, "digest": "a"}
GONE = {"missing": True}


@pytest.mark.parametrize(
    ("then", "now", "change", "written", "as_left"),
    [
        (THEN, THEN | {"mtime_ns": 2}, None, None, None),
        (THEN, THEN | {"digest": "b"}, CHANGED, False, None),
        (THEN | {"after": {"size": 4, "mtime_ns": 2}}, {"size": 4, "mtime_ns": 2, "digest": "b"}, CHANGED, True, True),
        (THEN | {"after": {"size": 4, "mtime_ns": 2}}, {"size": 4, "mtime_ns": 3, "digest": "b"}, CHANGED, True, False),
        (THEN | {"after": {"open": True}}, THEN | {"digest": "b"}, CHANGED, True, None),
        (THEN | {"written": True}, THEN | {"digest": "b"}, CHANGED, True, None),
        (THEN, GONE, MISSING_NOW, False, None),
        (THEN | {"after": GONE}, GONE, MISSING_NOW, True, True),
        (GONE, THEN, NEW, False, None),
        (GONE, GONE, None, None, None),
        (THEN | {"part": True}, THEN | {"part": True, "mtime_ns": 2}, MODIFIED, False, None),
        (THEN | {"part": True}, THEN | {"part": True}, None, None, None),
        (THEN | {"part": True}, THEN | {"digest": "b"}, None, None, None),
        (THEN | {"part": True}, THEN | {"digest": "b", "mtime_ns": 2}, MODIFIED, False, None),
        ({"size": 3, "mtime_ns": 1}, THEN | {"size": 4}, CHANGED, False, None),
        ({"size": 3, "mtime_ns": 1}, THEN | {"mtime_ns": 2}, None, None, None),
        ({"size": "x", "after": []}, {}, None, None, None),
    ],
)  # fmt: skip
def test_a_change_is_named_only_where_it_is_known(then, now, change, written, as_left):
    """Equal contents are no change, whatever the time; a file without a digest is judged by its size."""
    found = find_file_changes({"/a": then}, {"/a": now}, b"key")
    assert [each[1:] for each in found] == ([] if change is None else [(change, written, as_left)])
    for each in found:
        assert describe_file_change(each)


def test_a_file_that_the_rerun_did_not_open_is_read_now(tmp_path):
    """One that the recorded run did not change comes first, because it is the likelier cause."""
    own, other = tmp_path / "a.txt", tmp_path / "b.txt"
    then = {}
    for path in (own, other, tmp_path / "none"):
        path.write_text("x")
        then[str(path)] = FileDigester(b"key").describe(str(path), path.stat())
    then[str(own)]["written"] = True
    own.write_text("y")
    other.write_text("y")
    found = find_file_changes(then, {}, b"key")
    assert [(each.path, each.written) for each in found] == [(str(other), False), (str(own), True)]
    assert find_file_changes(then, {str(other): then[str(other)], str(own): then[str(own)]}, b"key") == ()


def test_the_first_description_of_a_file_counts():
    """A process that opens it later sees what the first one has written; of its ends, the last counts."""
    files = {}
    add_digests(files, {"digests": {"/a": GONE, "/b": THEN}})
    add_digests(files, {"digests": {"/a": THEN | {"after": {"size": 1}}, "/b": {"written": True}}})
    add_digests(files, {"digests": {"/a": {"after": {"size": 2}}, "/c": "damaged"}})
    assert files["/b"] == THEN | {"written": True}
    assert files["/a"] == GONE | {"after": {"size": 2}}
    assert find_file_changes(files, {"/a": GONE, "/b": THEN, "/c": {}}, b"key") == ()


PROGRAM = """
import json, os, sqlite3, sys, urllib.request
config = json.load(open("config.json"))
database = sqlite3.connect("cache.db")
database.execute("create table if not exists answers (question, answer)")

def ask(question):
    known = database.execute("select answer from answers where question = ?", (question,)).fetchone()
    if known:
        return known[0]
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": question}]}).encode()
    request = urllib.request.Request(os.environ["OPENAI_BASE_URL"] + "/chat/completions", body)
    with urllib.request.urlopen(request) as response:
        answer = json.load(response)["choices"][0]["message"]["content"]
    database.execute("insert into answers values (?, ?)", (question, answer))
    database.commit()
    return answer

print(ask("Hello" + config["tail"]))
database.close()
if "killed" in sys.argv:
    os.kill(os.getpid(), 9)
"""


@pytest.fixture
def program(model_environment, tmp_path):
    """A program with a cache and a configuration: a function that runs a command, and one that returns a re-run's outcome."""
    (tmp_path / "app.py").write_text(PROGRAM)
    (tmp_path / "config.json").write_text('{"tail": "!"}')

    def run(*words, **variables):
        environment = model_environment | {"COLUMNS": "400"} | variables
        command = [sys.executable, "-m", "namel3ss_debug", *words]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=60
        )

    def rerun(**variables):
        done = run("rerun", "run.jsonl", "--format", "jsonl", **variables)
        return json.loads(done.stdout.splitlines()[-1])

    return run, rerun


@pytest.mark.parametrize("ending", ["", "killed"])
def test_a_cache_that_the_recorded_run_filled_is_named(program, tmp_path, ending):
    """Also if the run was killed; a run that matches its trace reports no files."""
    run, rerun = program
    run("trace", "-o", "run.jsonl", "app.py", *filter(None, [ending]))
    cache = tmp_path / "cache.db"
    outcome = rerun()
    assert outcome["verdict"] == "diverged"
    as_left = None if ending else True
    change = {"path": str(cache), "change": "new", "written": True, "as_left": as_left}
    assert outcome["files"] == [change]
    report = run("rerun", "run.jsonl").stderr
    assert f"{cache.name} did not exist then; the recorded run itself" in report
    assert "empty the cache" in report
    cache.unlink()
    outcome = rerun()
    assert outcome["files"] == []
    assert outcome["divergences"] == {}


def test_an_edited_file_is_named_and_only_with_the_key(program, tmp_path):
    """The trace has no digest of its contents that could be compared without the user's key."""
    run, rerun = program
    run("trace", "-o", "run.jsonl", "app.py")
    (tmp_path / "cache.db").unlink()
    (tmp_path / "config.json").write_text('{"tail": "?"}')
    [found, *_] = rerun()["files"]
    assert (found["path"], found["change"]) == (str(tmp_path / "config.json"), "changed")
    report = run("rerun", "run.jsonl").stderr
    assert "config.json has changed" in report
    assert "doctor" not in report
    other = {"XDG_CONFIG_HOME": str(tmp_path / "other"), "NAMEL3SS_DEBUG_TRUST": "1"}
    (tmp_path / "cache.db").unlink()
    outcome = rerun(**other)
    assert (outcome["verdict"], outcome["files"]) == ("diverged", [])


def test_a_trace_names_its_files_as_they_were_read(program, tmp_path):
    """Under a key in the environment too, as in CI; none with the setting 0, and never its own."""
    run, _rerun = program
    run("trace", "-o", "run.jsonl", "app.py", NAMEL3SS_DEBUG_TRUST_KEY="a secret of CI")
    events = list(open_trace(tmp_path / "run.jsonl").events())
    files = read_digests(events)
    assert sorted(map(os.path.basename, files)) == ["cache.db", "config.json"]
    assert files[str(tmp_path / "config.json")]["size"] == 13
    assert find_file_key(events[0]["metadata"]) is None  # this process has another key
    run("trace", "-o", "run.jsonl", "app.py", NAMEL3SS_DEBUG_FILE_DIGESTS="0")
    events = list(open_trace(tmp_path / "run.jsonl").events())
    assert read_digests(events) == {}
    assert "files" not in events[0]["metadata"]["randomness"]
