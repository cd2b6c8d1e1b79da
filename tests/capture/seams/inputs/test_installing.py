"""What is written of a program's inputs, where it is bounded, and that all of it can be undone."""

from __future__ import annotations

import os
import random
import sys
import time

import pytest

from namel3ss_debug.capture.launch.start import shutdown_tracing
from namel3ss_debug.capture.seams.inputs import clock
from namel3ss_debug.traces.inputs import VERSION, Recorded, find_sources
from namel3ss_debug.traces.reader import open_trace


def test_inputs_are_written_before_the_next_event(programs):
    """A process that is killed has lost nothing that was read before its last event."""
    program = """
import os, signal, time
from namel3ss_debug import get_global_tracer
for n in range(3):
    now = time.time_ns()
    get_global_tracer().emit("performance_marker", component="app", metadata={"now": str(now)})
os.kill(os.getpid(), signal.SIGKILL)
"""
    result = programs.record(program, environment={"PYTHONPATH": os.pathsep.join(sys.path)})
    assert result.status == -9
    kinds = [event["event_type"] for event in result.events]
    assert kinds == ["trace_start", *["inputs_read", "performance_marker"] * 3]
    markers = [int(e["metadata"]["now"]) for e in result.events if e["event_type"] == "performance_marker"]
    assert [
        value for places in result.recorded.clock.values() for v in places.values() for value in v
    ] == markers


def test_what_libraries_read_between_steps_stands_together(programs):
    """Their reads wait for the next call; those of the program stand before the next event, whatever that is."""
    program = """
import locale, os, time
from namel3ss_debug import get_global_tracer
library = eval(compile("lambda: __import__('time').time_ns()", os.path.abspath(locale.__file__), "eval"))
tracer = get_global_tracer()
for n in range(3):
    with tracer.span("chain", "step"):
        library()
with tracer.span("tool", "call"):
    time.time()
with tracer.span("tool", "call"):
    library()
with tracer.span("chain", "own"):
    library()
    time.time()
"""
    result = programs.record(program, environment={"PYTHONPATH": os.pathsep.join(sys.path)})
    kinds = [event["event_type"] for event in result.events]
    steps, read = ["chain_execution_start", "chain_execution_end"], "inputs_read"
    call = ["tool_call_start", read, "tool_call_end"]
    told = ["trace_start", *steps * 3, read, *call, call[0], call[2], steps[0], read, steps[1], "trace_end"]
    assert kinds == told
    [places] = result.recorded.clock.values()
    assert sorted(map(len, places.values())) == [2, 5]  # the two of the program are of one text


def test_trace_start_says_what_numbers_follow_from(programs):
    """Seed, hash seed, version and process stand in the header of each process, and its file is private."""
    result = programs.record("import os, time\nif os.fork() == 0:\n    time.time()\nelse: os.wait()")
    first, second = [e["metadata"]["randomness"] for e in result.events if e["event_type"] == "trace_start"]
    assert len(bytes.fromhex(first["seed"])) == 16
    assert first["seed"] == second["seed"]
    assert (first["lineage"], first["process"], second["process"]) == (VERSION, "0", "0/1")
    assert first["hash_seed"] == second["hash_seed"] > 0
    assert result.trace.stat().st_mode & 0o777 == 0o600


def test_a_process_that_reads_nothing_and_records_nothing_has_no_file(programs):
    """Reading variables alone is no reason to begin a file."""
    result = programs.record(
        "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import tempfile'])"
    )
    assert len(list(result.trace.parent.glob("run1*.jsonl"))) == 1


def test_a_worker_that_is_killed_has_written_what_it_read(programs):
    """Workers of a pool are ended by a signal; what they read stands in their file."""
    program = """
import multiprocessing, time
with multiprocessing.get_context("fork").Pool(1) as pool:
    print(pool.apply(time.time_ns))
"""
    result = programs.record(program)
    values = [v for places in result.recorded.clock.values() for vs in places.values() for v in vs]
    assert int(result.stdout) in values


def test_a_loop_that_reads_the_clock_is_bounded(programs):
    """Beyond the bound reads are left out, which is told, and served as time that goes on; others stay exact."""
    program = """
import time
for _ in range(40000):
    now = time.time_ns()
print(time.time_ns())
end = time.time_ns() + 20_000_000
while time.time_ns() < end:
    pass
print(time.time_ns())
"""
    first = programs.record(program)
    assert sum(len(v) for places in first.recorded.clock.values() for v in places.values()) < 40000
    assert first.read("clock")[-1].get("left_out") or any("left_out" in read for read in first.read("clock"))
    assert sum(path.stat().st_size for path in first.trace.parent.glob("run1*")) < 400_000
    again = programs.again(program, first)
    assert again.seen == first.seen
    assert again.read("new") == []


def test_what_stands_in_for_time_machine_is_a_module_that_has_been_imported(programs):
    """Python asks at each read of the clock whether it is still being imported, which costs an exception where nothing says so."""
    result = programs.record("import sys; print(vars(sys.modules['time_machine'].__spec__)['_initializing'])")
    assert result.stdout == "False\n"


def test_variables_are_written_with_their_values_where_they_are_not_secret(programs):
    """Each variable once, with the line; secrets by name only, and those of the program's own not at all."""
    program = """
import os
os.environ.get("TOWN"), os.environ.get("TOWN"), os.getenv("NOT_SET"), os.environ.get("OPENAI_API_KEY")
os.environ["OWN"] = "1"; os.environ["OWN"]
dict(os.environ), os.environ.copy(), {**os.environ}, list(os.environ.items())
"""
    secret = "sk-proj-0123456789abcdefghij"
    result = programs.record(program, environment={"TOWN": "Ghent", "OPENAI_API_KEY": secret, "HIDDEN": "x"})
    (variables,) = result.read("environment")
    assert variables == {
        "TOWN": {"value": "Ghent", "call_site": "app.py:3"},
        "NOT_SET": {"call_site": "app.py:3"},
        "OPENAI_API_KEY": {"value": "[REDACTED:key]", "redacted": True, "call_site": "app.py:3"},
    }
    assert result.read("environment_listed") == [{"app.py:5": 4}]
    assert secret not in result.trace.read_text()
    recorded = result.recorded
    assert recorded.variables({})["OPENAI_API_KEY"] == "[REDACTED:key]"
    now = {"OPENAI_API_KEY": "now", "NOT_SET": "now", "TOWN": "Bruges"}
    assert recorded.variables(now).items() >= {"OPENAI_API_KEY": "now", "TOWN": "Ghent"}.items()
    assert "NOT_SET" not in recorded.variables(now)


def test_what_is_read_by_name_while_all_variables_are_gone_through_is_told(programs):
    """That of the views themselves is not, whichever of them goes on after another has ended."""
    program = """
import os
def named():
    return os.environ["STREET"]
for _ in os.environ.items():
    os.environ.get("TOWN")
list(os.environ.values()), list(os.environ.items()), named()
"""
    result = programs.record(program, environment={"TOWN": "Ghent", "STREET": "Veldstraat", "HIDDEN": "x"})
    assert {"TOWN", "STREET", "HIDDEN"} & set(result.recorded.variables({})) == {"TOWN", "STREET"}
    assert result.read("environment_listed") == [{"app.py:5": 1, "app.py:7": 2}]


def test_a_private_key_that_is_typed_line_by_line_is_not_recorded_in_pieces(programs):
    """Its lines wait for its end."""
    key = (
        f"-----BEGIN {'PRIVATE'} KEY-----\n"
        + ("aB3dE5gH7jK9mN2p" * 3 + "\n") * 4
        + f"-----END {'PRIVATE'} KEY-----\n"
    )
    program = "import sys, time\nwhile sys.stdin.buffer.raw.read(10):\n    time.time()"
    recorded = programs.record(program, ("first\n" + key + "last\n").encode()).recorded
    assert b"aB3dE5" not in recorded.stdin_bytes
    assert recorded.stdin_bytes.startswith(b"first\n[REDACTED")
    assert recorded.stdin_bytes.endswith(b"last\n")


def test_secrets_in_standard_input_are_not_written(programs):
    """A secret that comes in two pieces is found, and a recording that lacks it says so."""
    program = "import sys, time\nwhile sys.stdin.buffer.raw.read(10):\n    time.time()"
    secret = "sk-proj-0123456789abcdefghij0123456789abcdefghij"
    result = programs.record(program, f"key {secret}\nnext\n".encode())
    assert "0123456789" not in result.trace.read_text()
    recorded = result.recorded
    assert not recorded.stdin_whole
    assert recorded.stdin_ended
    assert b"\nnext\n" in recorded.stdin_bytes


def test_standard_input_of_any_bytes_is_kept(programs):
    """What is no text is kept as it is."""
    data = bytes(range(256)) * 9
    result = programs.record("import sys\nprint(len(sys.stdin.buffer.read()))", data)
    assert result.recorded.stdin_bytes == data
    assert result.recorded.stdin_whole


def test_standard_input_is_bounded_like_payloads(programs):
    """With a bound on payloads the rest is left out, and the recording says that it is not whole."""
    program = "import sys\nprint(len(sys.stdin.read()))"
    result = programs.record(program, b"line\n" * 1000, max_payload_size=100)
    assert len(result.recorded.stdin_bytes) == 100
    assert not result.recorded.stdin_whole


def test_sources_are_listed_with_their_lines(programs):
    """Which line reads what, and how often; draws where the recording watched for them."""
    program = """
import os, random, time, uuid
for _ in range(3):
    time.time()
os.environ.get("TOWN")
random.random(), uuid.uuid4()
random.Random()
"""
    result = programs.record(program, environment={"TOWN": "Ghent"}, randomness={"watch": True})
    assert [tuple(source) for source in find_sources(result.events)] == [
        ("clock", "app.py:4", "", 3),
        ("environment", "app.py:5", "TOWN", 1),
        ("randomness", "app.py:6", "", 2),
        ("randomness", "app.py:7", "", 1),
    ]


def test_without_the_setting_nothing_is_put_in_place(programs):
    """Off means off: the functions of Python are its own, and nothing of this is imported."""
    program = """
import os, random, sys, time
print(type(os.urandom), type(random._inst).__name__, type(os.environ._data).__name__, "_time_machine" in sys.modules)
print([name for name in sys.modules if "inputs.clock" in name])
"""
    result = programs.record(program, record_randomness=False)
    assert result.stdout == "<class 'builtin_function_or_method'> Random dict False\n[]\n"
    assert "randomness" not in result.events[0]["metadata"]


def test_a_recording_without_payloads_has_no_inputs(programs):
    """Level basic cannot be run again, so it keeps none of this."""
    result = programs.record("import time; time.time()", level="basic")
    assert "inputs_read" not in {event["event_type"] for event in result.events}


def test_all_of_it_is_undone(tracing, tmp_path):
    """After `shutdown_tracing` Python is as it was, and a program's own seed was never touched."""
    random.seed(5)
    before = os.urandom, random._urandom, type(random._inst), random.Random.seed.__code__, time.ctime
    expected = random.Random(5)
    tracer = tracing(record_randomness=True)
    assert random.random() == expected.random()
    assert time.time() > 0
    tracer.emit("performance_marker", component="app")
    path = shutdown_tracing()
    assert before == (
        os.urandom,
        random._urandom,
        type(random._inst),
        random.Random.seed.__code__,
        time.ctime,
    )
    assert type(os.environ._data) is dict
    assert "time_machine" not in sys.modules or not sys.modules["time_machine"].traveller_stack
    assert random.random() == expected.random()
    recorded = Recorded.of(open_trace(path).events())
    assert recorded.usable
    assert recorded.state
    assert recorded.hash_seed is None or recorded.hash_seed_is_set


def test_a_recording_begun_by_the_program_gives_the_state_of_its_generator(programs):
    """Where a program starts the recording itself, its generator is left alone and goes on as it was."""
    start = "import random\nfrom namel3ss_debug import initialize_tracing, shutdown_tracing\n"
    start += "initialize_tracing(record_randomness=True, trace_output_dir='own')\nprint(random.random())\n"
    environment = {"PYTHONPATH": os.pathsep.join(sys.path)}
    plain = programs.plain(start, environment=environment)
    assert plain.status == 0, plain.stderr
    trace = programs.folder / "own" / "trace_latest.jsonl"
    again = programs.again(start, plain._replace(trace=trace), environment)
    assert again.stdout == plain.stdout


def test_the_hook_of_time_machine_is_as_we_know_it():
    """Our stand-in relies on two names in the module `time_machine`, and on `time_ns` of what is on its stack."""
    hook = pytest.importorskip("_time_machine")
    assert {"patch", "unpatch", "original_time_ns"} <= set(dir(hook))
    import time_machine

    assert time_machine.traveller_stack == []
    assert time_machine._time_machine is hook
    assert time_machine.__name__ == clock._HOOKED
