"""`debug logs`."""

import fcntl
import gzip
import json
import os
import stat
import subprocess
import sys
from shlex import quote
from subprocess import PIPE

import pytest

from namel3ss_debug.cli import logs as command
from namel3ss_debug.views import logs


@pytest.fixture
def logged(trace):
    """The small recording with log records in its agent, one of them with hostile text."""
    lines = trace.read_text().splitlines()
    for number, (level, message, name) in enumerate(
        [("info", "order A-17", "shop"), ("error", "\x1b[31mno\nstock", "../shop")], len(lines)
    ):
        event = {
            "event_type": "log_record",
            "event_id": f"{number + 1}",
            "seq": number,
            "timestamp": 1763726405.5 + number,
            "parent_event_id": "2",
            "component": "log",
            "component_name": name,
            "metadata": {"level": level, "message": message, "extra": {"sku": "A-17"}},
        }
        lines.append(json.dumps(event))
    trace.write_text("\n".join(lines) + "\n")
    return trace


def test_lines_are_a_table(run, logged):
    """Time, level, agent, logger and words, nothing of which the terminal would obey."""
    result = run("logs", logged)
    assert result.exit_code == 0
    rows = result.stdout.splitlines()
    assert rows[0].split() == ["n", "time", "(UTC)", "level", "agent", "source", "message"]
    assert any("order A-17" in row and "Support" in row and "shop" in row for row in rows)
    assert "\x1b" not in result.stdout
    assert "^[[31mno stock" in result.stdout
    assert max(map(len, rows)) <= 80


def test_a_level_may_be_written_as_logging_has_it(run, logged):
    """Capitals do not matter."""
    assert run("logs", logged, "--level", "ERROR").stdout == run("logs", logged, "--level", "error").stdout


def test_lines_are_json(run, logged):
    """One document, or one line each, with the number of the event."""
    document = json.loads(run("logs", logged, "--level", "error", "--format", "json").stdout)
    assert next(iter(document.items())) == ("schema", "namel3ss-debug/logs/1")
    said = [line for line in document["lines"] if line["event_type"] == "log_record"]
    assert [(line["level"], line["message"], line["extra"]) for line in said] == [
        ("error", "\x1b[31mno\nstock", {"sku": "A-17"})
    ]
    rows = run("logs", logged, "--format", "jsonl", "--agent", "shop").stdout.splitlines()
    assert [json.loads(row)["source"] for row in rows] == ["shop"]


@pytest.fixture
def told(workspace):
    """A recording of what an agent decided and of how its state changed, and of a figure."""
    made = [
        {"event_type": "trace_start", "component": "app", "metadata": {"format": 2}},
        {
            "event_type": "state_change",
            "inputs": {"before": "idle"},
            "outputs": {"after": "busy"},
            "metadata": {"category": "agents", "reason": "a new question"},
        },
        {
            "event_type": "state_change",
            "inputs": {"before": {"plan": [1, 2], "phase": "plan", "left": 3}},
            "outputs": {"after": {"plan": [1, 2], "phase": "write", "open": True}},
            "metadata": {"category": "agents"},
        },
        {
            "event_type": "decision",
            "inputs": {"reasoning": "it arrived broken", "confidence": 0.9},
            "outputs": {"decision": "refund"},
            "metadata": {"category": "agents"},
        },
        {
            "event_type": "performance_marker",
            "metadata": {"category": "performance", "value": 12, "unit": "rows"},
        },
    ]
    lines = [
        {"event_id": str(n + 1), "seq": n, "timestamp": 1763726400.0 + n, "component_name": "Ada"} | event
        for n, event in enumerate(made)
    ]
    file = workspace / "told.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


def test_a_change_shows_both_states_and_a_decision_its_reasoning(run, told, tmp_path):
    """Before and after with the reason, of objects only what differs; in the table, the files and JSON."""
    result = run("logs", told)
    rows = result.stdout.splitlines()
    said = [row.partition("Ada")[2].strip() for row in rows[1:]]
    assert said == [
        "idle -> busy (a new question)",
        "phase: plan -> write, left: 3 -> (none), open: …",
        "refund (it arrived broken)",
        '{"value": 12, "unit": "rows"}',
    ]
    assert max(map(len, rows)) <= 80
    run("logs", told, "--write", tmp_path / "logs")
    (file,) = (tmp_path / "logs").glob("*/agents/Ada.log")
    written = [line.partition(": ")[2] for line in file.read_text().splitlines()]
    assert written == [said[0], "phase: plan -> write, left: 3 -> (none), open: (none) -> true", said[2]]
    change, _, decision, figure = map(json.loads, run("logs", told, "--format", "jsonl").stdout.splitlines())
    assert (change["before"], change["after"], change["reason"]) == ("idle", "busy", "a new question")
    assert (decision["message"], decision["reason"]) == ("refund", "it arrived broken")
    assert figure["extra"] == {"value": 12, "unit": "rows"}


def test_nothing_that_fits_is_said(run, trace):
    """An empty log is no failure, and tells of the setting."""
    result = run("logs", trace, "--category", "learning")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "log_level" in result.stderr


def test_the_classic_tree_is_written(run, logged, tmp_path):
    """A folder for each log, a file for each name below it, and a summary; no name leaves the folder."""
    result = run("logs", logged, "--write", tmp_path / "logs")
    assert result.exit_code == 0
    (session,) = (tmp_path / "logs").iterdir()
    assert session.name.startswith("session_2")
    files = {str(path.relative_to(session)) for path in session.rglob("*") if path.is_file()}
    assert {"system/Support.log", "events/Support.log", "trace_summary.json"} <= files
    (first, second) = (session / "system/Support.log").read_text().splitlines()
    assert "INFO" in first
    assert "shop #" in first
    assert "order A-17" in first
    assert "no stock" in second
    summary = json.loads((session / "trace_summary.json").read_text())
    assert summary["lines"]["system"] == 2


@pytest.mark.parametrize(
    ("execution", "suffix"),
    [("0011223344556677", "_00112233"), ("../../../away", "_.._.._.."), (None, "_other")],
)
def test_recordings_of_one_second_are_kept_apart(run, trace, tmp_path, execution, suffix):
    """The first has the classic name, that of another execution its id behind it, and each has it again next time."""
    out, other = tmp_path / "logs", trace.with_name("other.jsonl")
    events = [json.loads(line) for line in trace.read_text().splitlines()]
    other.write_text("".join(json.dumps(event | {"execution_id": execution}) + "\n" for event in events))
    for recording in (trace, other, trace, other):
        assert run("logs", recording, "--write", out, "--category", "events").exit_code == 0
    first, second = sorted(out.iterdir())
    assert second.name == first.name + suffix
    summaries = [json.loads((folder / "trace_summary.json").read_text()) for folder in (first, second)]
    assert [summary.get("execution_id") for summary in summaries] == ["ab12cd34ef567890", execution]
    assert [summary["trace"] for summary in summaries] == [str(trace), str(other)]


def test_a_file_that_cannot_be_written_is_told(logged, tmp_path):
    """In one line, as where nothing can be: here no file may be longer than 1,024 bytes, and Python would cut its own, too."""
    logged.write_text(logged.read_text().replace("order A-17", "order A-17 " * 500))
    write = f"ulimit -f 1; exec {quote(sys.executable)} -B -m namel3ss_debug logs {quote(str(logged))} --write {quote(str(tmp_path))}/out"
    done = subprocess.run(["bash", "-c", write], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "the logs cannot be written there: File too large" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "name", ["\U00020000" * 80, "\ud800", "../../etc"], ids=["long", "surrogate", "path"]
)
def test_any_name_is_that_of_a_file(run, logged, tmp_path, name):
    """Of a long one the beginning, as far as a file system takes it."""
    events = [json.loads(line) for line in logged.read_text().splitlines()]
    events[-1] |= {"component_name": name, "parent_event_id": "none"}
    logged.write_text("".join(json.dumps(event) + "\n" for event in events))
    result = run("logs", logged, "--write", tmp_path / "logs", "--category", "system")
    assert (result.exit_code, "Traceback" in result.stderr) == (0, False)
    assert [path for path in (tmp_path / "logs").rglob("system/*.log") if "stock" in path.read_text()]


def test_a_file_has_the_same_name_in_every_locale(logged, tmp_path):
    """Also where the locale has no letter of it."""
    events = [json.loads(line) for line in logged.read_text().splitlines()]
    events[-1] |= {"component_name": "größe", "parent_event_id": "none"}
    logged.write_text("".join(json.dumps(event) + "\n" for event in events))
    command = [sys.executable, "-m", "namel3ss_debug", "logs", str(logged), "--write", str(tmp_path / "logs")]
    done = subprocess.run(
        command, env=os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0"}, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert [path.name for path in (tmp_path / "logs").rglob("*.log") if "stock" in path.read_text()] == [
        "größe.log"
    ]


def test_what_is_no_folder_of_ours_is_left_alone(run, trace, tmp_path):
    """Where nothing tells which recording a folder is of, neither it nor what is in it is touched."""
    run("logs", trace, "--write", tmp_path / "logs")
    (first,) = (tmp_path / "logs").iterdir()
    (first / "trace_summary.json").write_text("[]")
    before = {path: path.stat().st_mtime_ns for path in first.rglob("*")}
    names = [f"{first.name}_ab12cd34", f"{first.name}_ab12cd34_2"]
    (first.with_name(names[0])).touch()
    run("logs", trace, "--write", tmp_path / "logs")
    assert {path: path.stat().st_mtime_ns for path in first.rglob("*")} == before
    assert sorted(path.name for path in first.parent.iterdir()) == [first.name, *names]


def test_writing_again_replaces_what_was_written(run, logged, tmp_path):
    """Logs of an earlier filter go, rotated ones too; what the user put beside them stays."""
    run("logs", logged, "--write", tmp_path / "logs")
    (session,) = (tmp_path / "logs").iterdir()
    (session / "system/Support.log.1").write_text("rotated")
    (session / "events/notes.txt").write_text("mine")
    run("logs", logged, "--write", tmp_path / "logs", "--category", "errors")
    files = {str(path.relative_to(session)) for path in session.rglob("*") if path.is_file()}
    assert files == {"events/notes.txt", "trace_summary.json"}
    assert not (session / "system").exists()
    run("logs", logged, "--write", tmp_path / "logs", "--category", "system")
    run("logs", logged, "--write", tmp_path / "logs", "--category", "system")
    assert len((session / "system/Support.log").read_text().splitlines()) == 2


def test_what_is_written_is_for_its_owner_alone(run, logged, tmp_path, monkeypatch):
    """Files have the mode 0600, rotated ones too, and folders 0700, also where an older summary was for everyone."""
    monkeypatch.setattr(logs, "LIMITS", {"system": (1, 3)})
    before = os.umask(0)
    try:
        for _ in range(2):
            assert run("logs", logged, "--write", tmp_path / "new/logs").exit_code == 0
            (summary,) = (tmp_path / "new").rglob("trace_summary.json")
            modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "new").rglob("*")}
            assert {oct(mode) for path, mode in modes.items() if path.is_file()} == {"0o600"}
            assert {oct(mode) for path, mode in modes.items() if path.is_dir()} == {"0o700"}
            assert any(path.name == "Support.log.1" for path in modes)
            summary.chmod(0o644)
    finally:
        os.umask(before)


def test_wrong_combinations_are_refused(run, trace, tmp_path):
    """A tree has no format, and what is followed is no document."""
    assert run("logs", trace, "--write", tmp_path, "--follow").exit_code == 2
    assert run("logs", trace, "--follow", "--format", "json").exit_code == 2


@pytest.mark.parametrize("output_format", ["table", "jsonl"])
def test_a_growing_log_is_followed_to_its_end(logged, program, output_format):
    """Lines come as they are recorded, through a pipe too; the end of the trace is the end of the log."""
    command = [*program, "logs", "--follow", str(logged), "--format", output_format]
    with logged.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        with subprocess.Popen(command, stdout=PIPE, stderr=PIPE, text=True) as shown:
            assert shown.stdout.readline()
            put(file, "log_record", 89, message="late")
            put(file, "trace_end", 90)
            rest, told = shown.communicate(timeout=60)
    assert "late" in rest
    assert (shown.returncode, told) == (0, "")


def put(file, event_type, seq, *, at=0.0, process="", **metadata):
    """Append an event to a file, as a writer does."""
    event = {
        "event_type": event_type,
        "event_id": f"{process}{seq + 1}",
        "seq": seq,
        "timestamp": 1763726410.0 + at,
        "execution_id": "ab12cd34ef567890",
        "component": "log",
        "metadata": {"format": 2} | metadata,
    }
    file.write(json.dumps(event) + "\n")
    file.flush()


@pytest.fixture
def meanwhile(monkeypatch):
    """Makes each wait of the command one step of what happens meanwhile; a wait with nothing left to come fails."""

    def happen(*steps):
        left = [*steps, lambda: None, lambda: None]
        monkeypatch.setattr(command, "sleep", lambda _seconds: left.pop(0)())

    return happen


@pytest.fixture
def held(workspace):
    """Opens a file for appending and holds it as a writer does, until it is closed."""
    files = []

    def hold(name):
        files.append((workspace / name).open("a"))
        fcntl.flock(files[-1], fcntl.LOCK_SH)
        return files[-1]

    yield hold
    for file in files:
        file.close()


def test_every_process_is_followed_in_the_order_of_time(run, held, meanwhile):
    """What is there is merged as the reader does it, a child outlives the first process, and no line has a number."""
    first, child = held("run.jsonl"), held("run.p1.jsonl")
    put(first, "trace_start", 0)
    put(child, "trace_start", 0, at=2, process="p1.")
    for n in range(3):
        put(first, "log_record", n + 1, at=2 * n + 1, message=f"first {n}")
        put(child, "log_record", n + 1, at=2 * n + 2.5, process="p1.", message=f"child {n}")
    meanwhile(
        lambda: put(first, "trace_end", 4, at=8),
        lambda: put(child, "log_record", 4, at=9, process="p1.", message="late"),
        lambda: None,
        lambda: put(child, "log_record", 5, at=10, process="p1.", message="later"),
        child.close,
    )
    result = run("logs", first.name, "--follow", "--format", "jsonl")
    followed = [json.loads(row) for row in result.stdout.splitlines()]
    read = [json.loads(row) for row in run("logs", first.name, "--format", "jsonl").stdout.splitlines()]
    assert [row["message"] for row in followed][-2:] == ["late", "later"]
    assert [row["event_id"] for row in followed[:3]] == ["2", "p1.2", "3"]
    assert followed == [{key: value for key, value in row.items() if key != "number"} for row in read]
    assert (result.exit_code, result.stderr) == (0, "")


def test_a_process_is_followed_into_its_next_file(run, held, meanwhile):
    """That it lets go of a file is not its end where it has begun another."""
    first, second = held("run.jsonl"), []
    put(first, "trace_start", 0)

    def rotate():
        second.append(held("run.s1.jsonl"))
        first.close()

    def go_on():
        put(second[0], "trace_start", 1)
        put(second[0], "log_record", 2, message="further")
        put(second[0], "trace_end", 3)

    meanwhile(rotate, go_on)
    assert "further" in run("logs", first.name, "--follow").stdout


def test_a_log_whose_first_file_is_rotated_away_is_followed_to_its_end(run, held, meanwhile, workspace):
    """What is gone had been shown, and how the program ended stands in the files that are left."""
    first, second = held("run.jsonl"), []
    put(first, "trace_start", 0)
    put(first, "log_record", 1, message="early")

    def rotate():
        second.append(held("run.s1.jsonl"))
        put(second[0], "trace_start", 2)
        first.close()

    def go_on():
        (workspace / first.name).unlink()
        put(second[0], "log_record", 3, message="further")
        put(second[0], "trace_end", 4)

    meanwhile(rotate, go_on)
    result = run("logs", first.name, "--follow", "--format", "jsonl")
    assert [json.loads(row)["message"] for row in result.stdout.splitlines()] == ["early", "further"]
    assert (result.exit_code, result.stderr) == (0, "")


def test_a_recording_that_has_just_begun_is_waited_for(run, held, meanwhile):
    """A file without a whole line is followed as long as somebody writes it."""
    file = held("new.jsonl")

    def begin():
        file.write('{"event_type": "trace_')
        file.flush()

    def go_on():
        file.write('start", "event_id": "1", "seq": 0}\n')
        put(file, "log_record", 1, message="there")
        put(file, "trace_end", 2)

    meanwhile(begin, go_on)
    assert "there" in run("logs", file.name, "--follow").stdout


@pytest.mark.parametrize("content", ["import os\nprint(1)\n", '{"a": 1}\n', "{", ""])
def test_what_is_no_recording_is_not_followed(run, workspace, content):
    """It is refused in the line in which it is without --follow, as nothing can come of waiting."""
    (workspace / "other.jsonl").write_text(content)
    refused = run("logs", "other.jsonl", "--follow")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "there is no event in it" in refused.stderr
    assert refused.stderr == run("logs", "other.jsonl").stderr


def test_a_recording_without_a_writer_is_read_as_it_stands(run, logged, workspace):
    """A compressed one too; that its program never said that it ended stands on stderr."""
    packed = workspace / "packed.jsonl.gz"
    packed.write_bytes(gzip.compress(logged.read_bytes()))
    for path in (logged, packed):
        result = run("logs", path, "--follow")
        assert "order A-17" in result.stdout
        assert result.exit_code == 0
        assert result.stderr.count("\n") == 1
        assert "wrote no end of its trace" in result.stderr


LEAVES = """
import logging, os, sys
import namel3ss_debug.auto
logging.basicConfig(level=20, stream=open(os.devnull, "w"))
logging.info("first")
sys.stdin.readline()
for n in range(20):
    logging.info("more %d", n)
os.{end}
"""


@pytest.mark.parametrize("end", ["_exit(0)", "kill(os.getpid(), 9)"])
def test_following_ends_with_a_program_that_does_not_say_so(program, workspace, end):
    """All that it recorded is shown, and one line says how it ended."""
    link = workspace / "debug/traces/trace_latest.jsonl"
    alone = [
        sys.executable,
        "-c",
        LEAVES.format(end=end),
    ]  # with a parent, that would bring the ring into the file
    environment = os.environ | {"NAMEL3SS_DEBUG_ENABLED": "1"}
    with subprocess.Popen(alone, stdin=PIPE, stderr=PIPE, text=True, env=environment) as app:
        wait_for(lambda: link.exists() and '"first"' in link.read_text(), app)
        with subprocess.Popen([*program, "logs", "--follow"], stdout=PIPE, stderr=PIPE, text=True) as shown:
            assert "first" in shown.stdout.readline()
            app.communicate("go\n", timeout=60)
            rest, told = shown.communicate(timeout=60)
    assert [line.split()[-2:] for line in rest.splitlines()] == [["more", str(n)] for n in range(20)]
    assert told.count("\n") == 1
    assert "wrote no end of its trace" in told
    assert shown.returncode == 0


def wait_for(condition, process):
    """Look again until it is so, as long as the process runs."""
    while not condition():
        assert process.poll() is None, process.stderr.read()
