"""Commands are spans, and the program gets from them what it gets without us."""

import asyncio
import io
import os
import pickle
import subprocess
import sys
import threading
import webbrowser
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from namel3ss_debug import read_trace, shutdown_tracing
from namel3ss_debug.capture.seams.processes.answered import _encode
from namel3ss_debug.capture.seams.processes.commands import MOST_BYTES, program_of

METHODS = ("_execute_child", "communicate", "_wait", "_internal_poll", "_handle_exitstatus")


def recorded():
    """End tracing, and return the starts and ends of the commands, in pairs."""
    events = [event for event in read_trace(shutdown_tracing()) if event.component == "command"]
    ends = {event.parent_event_id: event for event in events if event.event_type == "command_end"}
    return [(event, ends.get(event.event_id)) for event in events if event.event_type == "command_start"]


def only():
    """The inputs of the only command, its result, and what the trace lacks of it."""
    [(start, end)] = recorded()
    return start.inputs, end.outputs["result"], (end.metadata or {}).get("unrecorded", [])


def test_a_command_is_recorded_with_what_went_in_and_came_out(tracer, tmp_path):
    """Arguments, folder, changed environment, input, exit status and both outputs stand in the span."""
    subprocess.run(
        "cat; echo $WORD >&2; exit 3",
        shell=True,
        input="given",
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "WORD": "there"},
        check=False,
    )
    inputs, result, missing = only()
    assert inputs["arguments"] == "cat; echo $WORD >&2; exit 3"
    assert (inputs["shell"], inputs["folder"], inputs["input"]) == (True, str(tmp_path), "given")
    assert inputs["environment"] == {"WORD": "there"}
    assert (result, missing) == ({"status": 3, "stdout": "given", "stderr": "there\n"}, [])


def test_a_secret_in_the_output_is_not_written(tracing):
    """Output is redacted like every payload, also if the program reads it as bytes."""
    tracer = tracing()
    secret = "sk-proj-" + "a1B2c3D4" * 6
    subprocess.run(["echo", "-n", f"key {secret}"], stdout=subprocess.PIPE, check=True)
    shutdown_tracing()
    assert secret not in tracer.writer.first.read_text()


def read(opened):
    """Read the lines of a process or of `os.popen`, and close it."""
    with opened:
        return list(getattr(opened, "stdout", opened))


RUNS = {
    "bytes": lambda: subprocess.run(["printf", r"\377"], capture_output=True, check=False),
    "text": lambda: subprocess.run("echo a; exit 2", shell=True, capture_output=True, text=True, check=False),
    "checked": lambda: subprocess.run("echo a; exit 2", shell=True, stdout=-1, check=True),
    "missing": lambda: subprocess.run(["no-such-program"], capture_output=True, check=False),
    "no folder": lambda: subprocess.run(["true"], cwd="/no/such/folder", check=False),
    "not allowed": lambda: subprocess.run(["/etc/passwd"], check=False),
    "expired": lambda: subprocess.run("echo a; sleep 60", shell=True, stdout=-1, timeout=0.2, check=False),
    "signal": lambda: subprocess.run("kill -9 $$", shell=True, stdout=-1, check=False),
    "wrong input": lambda: subprocess.run(["cat"], input="text", stdout=-1, check=False),
    "both": lambda: subprocess.check_output("echo a; echo b >&2", shell=True, stderr=subprocess.STDOUT),
    "call": lambda: subprocess.call(["sh", "-c", "exit 5"]),
    "getoutput": lambda: subprocess.getstatusoutput("echo a; exit 4"),
    "system": lambda: (os.system("exit 6"), os.system("kill -15 $$")),
    "popen": lambda: (read(os.popen("echo a; echo b")), os.popen("exit 2").close()),
    "lines": lambda: read(subprocess.Popen(["seq", "3"], stdout=-1, text=True)),
    "large": lambda: len(subprocess.check_output(["head", "-c", "300000", "/dev/zero"])),
}


def outcome(call):
    """What a call returns or raises, as text; where an exception passes, by function."""
    try:
        return repr(call())
    except Exception as error:
        names, trace = [], error.__traceback__
        while trace is not None:
            names.append(trace.tb_frame.f_code.co_name)
            trace = trace.tb_next
        output = getattr(error, "output", None), getattr(error, "stderr", None)
        return repr(error), output, names, getattr(error, "filename", None)


@pytest.mark.parametrize("name", RUNS)
def test_the_program_sees_no_difference(tracing, name):
    """Results, exceptions, their output and their frames are those of an untraced run."""
    plain = outcome(RUNS[name])
    tracing()
    assert outcome(RUNS[name]) == plain
    shutdown_tracing()
    assert outcome(RUNS[name]) == plain


def test_the_class_stays_itself(tracing):
    """Subclasses, isinstance, generics and pickling work, and everything is restored at the end."""
    popen = subprocess.Popen
    before = {name: vars(popen)[name] for name in METHODS}
    system = os.system
    tracing()

    class Own(subprocess.Popen):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)

    with Own(["echo", "a"], stdout=subprocess.PIPE) as process:
        assert process.communicate() == (b"a\n", None)
    assert isinstance(process, popen)
    assert subprocess.Popen is popen
    assert pickle.loads(pickle.dumps(subprocess.Popen)) is popen
    assert subprocess.Popen[bytes].__origin__ is popen
    assert vars(popen)["communicate"] is not before["communicate"]
    shutdown_tracing()
    assert {name: vars(popen)[name] for name in METHODS} == before
    assert os.system is system


def test_a_conversation_is_a_span_only(tracer):
    """What the program writes and reads itself is noted as missing."""
    with subprocess.Popen(["cat"], stdin=-1, stdout=-1, text=True, bufsize=1) as process:
        process.stdin.write("a\n")
        assert process.stdout.readline() == "a\n"
    _, result, missing = only()
    assert "stdout" not in result
    assert missing == ["the program read its stdout by itself", "the program wrote to its stdin by itself"]


def test_output_read_before_communicate_is_not_taken_for_the_whole(tracer):
    """If the program has read a line before, the rest that communicate returns cannot answer the command."""
    with subprocess.Popen(["seq", "3"], stdout=-1, text=True) as process:
        process.stdout.readline()
        process.communicate()
        process.stdout.close()
    assert only()[2] == ["the program read its stdout by itself"]


def test_files_and_other_commands_are_no_recorded_streams(tracer, tmp_path):
    """Output into a file, input from one, and the commands of a pipeline are noted as missing."""
    with (tmp_path / "out").open("wb") as out, open(os.devnull) as empty:
        subprocess.run(["cat"], stdin=empty, stdout=out, check=True)
    with subprocess.Popen(["seq", "3"], stdout=-1) as first:
        subprocess.run(["tail", "-1"], stdin=first.stdout, stdout=-1, check=True)
    missing = {start.component_name: end.metadata["unrecorded"] for start, end in recorded()}
    from_file = "its stdin came from a file or another command"
    assert missing == {
        "cat": ["its stdout went to a file", from_file],
        "seq": ["the program read its stdout by itself"],
        "tail": [from_file],
    }


def test_a_stream_of_more_than_16_mb_is_left_out(tracer):
    """The span of a command with such output says so, and holds none of it."""
    found = subprocess.check_output(["head", "-c", str(MOST_BYTES + 1), "/dev/zero"])
    assert len(found) == MOST_BYTES + 1
    assert only()[1:] == ({"status": 0}, ["its stdout has more than 16 MB"])


def test_timeouts_and_polls_are_counted(tracer):
    """A process that is polled, and one whose timeout expires before it is killed, end with these counts."""
    with subprocess.Popen(["sh", "-c", "echo a; exec sleep 60"], stdout=-1) as process:
        assert process.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            process.communicate(timeout=0.3)
        process.kill()
        assert process.communicate()[0] == b"a\n"
    _, result, missing = only()
    assert (result["status"], result["stdout"], missing) == (-9, "a\n", [])
    assert result["timeouts"] == [[2, 0]]
    assert result["polls"] >= 1


def test_processes_of_asyncio_are_recorded(tracer):
    """Parallel processes have a span each, with their input and output; a stream that is read directly is not recorded."""

    async def run(word):
        process = await asyncio.create_subprocess_exec("cat", stdin=-1, stdout=-1)
        return await process.communicate(word)

    async def read():
        process = await asyncio.create_subprocess_exec("seq", "2", stdout=-1)
        line = await process.stdout.readline()
        return line, await process.communicate()

    async def main():
        return await asyncio.gather(run(b"a"), run(b"b"), read())

    assert asyncio.run(main()) == [(b"a", None), (b"b", None), (b"1\n", (b"2\n", None))]
    pairs = recorded()
    results = [end.outputs["result"] for start, end in pairs if start.component_name == "cat"]
    assert results == [{"status": 0, "stdout": each, "input": each} for each in ("a", "b")]
    [end] = [end for start, end in pairs if start.component_name == "seq"]
    assert end.metadata["unrecorded"] == ["the program read its stdout by itself"]


def test_a_dropped_stream_is_closed_at_once(tracer):
    """The seam keeps no reference to the streams of a process, which would leave its pipe open."""
    process = subprocess.Popen(["echo"], stdout=-1)
    process.wait()
    number = process.stdout.fileno()
    with pytest.warns(ResourceWarning):
        process.stdout = None
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)


def test_commands_of_the_standard_library_are_in_the_background(tracer, tmp_path, monkeypatch):
    """Such a command is marked, and one that the program itself runs is not."""
    import platform

    monkeypatch.syspath_prepend(tmp_path)
    platform._Processor.from_subprocess()
    subprocess.run(["true"], check=True)
    marks = {start.component_name: (start.metadata or {}).get("background") for start, _ in recorded()}
    assert marks["uname"] is True


def test_commands_of_the_program_are_not_in_the_background(tracer, tmp_path, monkeypatch):
    """Nor those that a thread or a pool runs for it, nor a page that it opens in the browser."""
    monkeypatch.setenv("BROWSER", f"{tmp_path}/browser %s")
    (tmp_path / "browser").write_text("#!/bin/sh\n")
    (tmp_path / "browser").chmod(0o755)
    browser = webbrowser.get(f"{tmp_path}/browser %s")
    assert browser.open("http://127.0.0.1/")
    thread = threading.Thread(target=subprocess.run, args=(["true"],))
    thread.start()
    thread.join()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(subprocess.run, ["true"]).result()
    asyncio.run(asyncio.to_thread(subprocess.run, ["true"]))
    starts = [start for start, _ in recorded()]
    assert [start.component_name for start in starts] == ["browser", "true", "true", "true"]
    assert not [start for start in starts if "background" in (start.metadata or {})]


def test_a_file_that_a_command_changed_is_noted_when_the_program_reads_it(tracer, tmp_path):
    """A file that the program wrote itself, and one that nobody changed, are not noted."""
    (tmp_path / "own").write_text("own")
    subprocess.run("echo a > made", shell=True, cwd=tmp_path, check=True)
    (tmp_path / "own").write_text("again")
    for name in ("made", "own"):
        (tmp_path / name).read_text()
    changes = [event for event in read_trace(shutdown_tracing()) if event.event_type == "state_change"]
    assert [event.metadata["file"] for event in changes] == [str(tmp_path / "made")]


def test_threads_record_beside_each_other(tracer):
    """Commands that run in several threads at once have a span each."""
    threads = [
        threading.Thread(target=subprocess.run, args=(["echo", str(each)],), kwargs={"stdout": -1})
        for each in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    outputs = {end.outputs["result"]["stdout"] for _, end in recorded()}
    assert outputs == {f"{each}\n" for each in range(5)}


@pytest.mark.parametrize(
    ("words", "by_shell", "name"),
    [
        (["/usr/bin/git", "status"], False, "git"),
        (["bash", "-lc", "cd app && PYTHONPATH=. pytest -q | tail"], False, "pytest"),
        (["bash", "script.sh"], False, "bash"),
        (["export A=1; sudo -n ls /root"], True, "ls"),
        (["cd somewhere"], True, "cd"),
        (["echo 'unclosed"], True, "echo"),
        ([""], True, "sh"),
        ([], False, ""),
    ],
)
def test_a_command_has_the_name_of_its_program(words, by_shell, name):
    """The first program of a command line that is no preparation names it."""
    assert program_of(words, by_shell=by_shell) == name


@given(
    st.binary(max_size=60),
    st.sampled_from(["utf-8", "ascii", "latin-1", "cp1252", "koi8-r"]),
    st.sampled_from(["replace", "surrogateescape", "backslashreplace", "ignore"]),
)
@settings(max_examples=200, deadline=None)
def test_recorded_text_is_decoded_to_the_same_text_again(data, encoding, errors):
    """Whatever a program has decoded, the bytes that stand in for its output give it the same text."""
    text = data.decode(encoding, errors)
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors=errors)
    assert _encode(text, stream).decode(encoding, errors) == text


@given(st.text(max_size=300))
@settings(max_examples=100, deadline=None)
def test_a_name_is_found_for_any_text(text):
    """No command line makes the seam fail."""
    assert isinstance(program_of([text], by_shell=True), str)
    assert isinstance(program_of([sys.executable, text], by_shell=False), str)
