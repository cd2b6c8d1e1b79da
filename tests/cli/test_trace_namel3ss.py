"""Apps of the namel3ss language, on the published package: recorded, stepped, and run again with nothing there."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from namel3ss_debug.traces.reader import open_trace

pytestmark = pytest.mark.skipif(importlib.util.find_spec("namel3ss") is None, reason="needs namel3ss")

APPS = Path(__file__).parents[1] / "data" / "namel3ss"
RUNS = {
    "support": ["--run-args", '{"question": "Where is A-17?"}'],
    "pipeline": ["--flow", "pipeline", "--run-args", '{"topic": "the loss of memory"}'],
    "broken": ["--run-args", '{"text": "hello"}'],
}
NOWHERE = "http://127.0.0.1:9"
REFUSED = "How much is it?"
ACCEPTED = "The re-run matches the trace, except for what you accepted: 1 unknown tool."
"""The code of a tool that is gone cannot be compared."""
ANSWER = "Your order A-17 has shipped; 2 days."

SUPPORT = """
trace_start
app_load app.ai
chain_execution support app.ai:23
  chain_step ask ai assistant app.ai:24
    memory_operation assistant app.ai:24
    llm_call gpt-4o-mini app.ai:24
    tool_call lookup order app.ai:24
    llm_call gpt-4o-mini app.ai:24
    memory_operation assistant app.ai:24
  chain_step return app.ai:25
output
trace_end
"""

PIPELINE = """
trace_start
app_load app.ai
chain_execution pipeline app.ai:44
  chain_step run agent drafter app.ai:45
    agent_execution drafter app.ai:45
      memory_operation writer app.ai:45
      agent_turn drafter app.ai:45
        llm_call mock-1 app.ai:45
        memory_operation writer app.ai:45
  chain_step run agents in parallel app.ai:46 parallel
    agent_execution drafter app.ai:47
      memory_operation writer app.ai:47
      agent_turn drafter app.ai:47
        llm_call mock-1 app.ai:47
        memory_operation writer app.ai:47
    agent_execution critic app.ai:48
      memory_operation writer app.ai:48
      agent_turn critic app.ai:48
        llm_call mock-1 app.ai:48
        memory_operation writer app.ai:48
  chain_step let counted app.ai:50 tool_call
    tool_call count words app.ai:50
  chain_step let sized app.ai:52
    chain_execution size of app.ai:52
      chain_step if app.ai:37 condition
        decision if app.ai:37
        chain_step return app.ai:38
  chain_step set state.size app.ai:57
  state_change pipeline app.ai:57
  chain_step match app.ai:58 decision
    decision case app.ai:60
    chain_step let rounds app.ai:61
  chain_step repeat app.ai:64 loop
    decision repeat app.ai:64
    chain_step let note app.ai:65
    chain_step let note app.ai:65
  chain_step set state.note.body app.ai:67
  state_change pipeline app.ai:67
  chain_step create Note app.ai:68
  chain_step parallel app.ai:69 parallel
    chain_step first app.ai:70 parallel
      chain_step let a app.ai:71
    chain_step second app.ai:72 parallel
      chain_step let b app.ai:73
  chain_step return app.ai:74
output
trace_end
"""

BROKEN = """
trace_start
app_load app.ai
chain_execution broken app.ai:17 failed
  chain_step ask ai helper app.ai:18
    memory_operation helper app.ai:18
    llm_call mock-1 app.ai:18
    memory_operation helper app.ai:18
  chain_step let checked app.ai:19 tool_call failed
    tool_call flaky tool app.ai:19 failed
  error_occurred broken app.ai:19
output
trace_end
"""


class Bench:
    """A copy of an app, recorded with the scripted model there, run again with nothing there."""

    def __init__(self, folder, name, url):
        self.name, self.url = name, url
        self.folder = folder / name
        shutil.copytree(APPS / name, self.folder)
        self.recording = folder / "run.jsonl"

    def plainly(self, *words, **more):
        """Run a command of `namel3ss`."""
        return self.run(
            *words, program=("-c", "from namel3ss_debug.cli.main import namel3ss; namel3ss()"), **more
        )

    def run(self, *words, url=NOWHERE, program=("-m", "namel3ss_debug"), **more):
        """Run a command of the debugger in the folder of the app."""
        environment = os.environ | {"NAMEL3SS_OPENAI_BASE_URL": url, "PYTHON_COLORS": "0", **more}
        if url == NOWHERE:
            environment = {name: value for name, value in environment.items() if "API_KEY" not in name}
        else:
            environment["NAMEL3SS_OPENAI_API_KEY"] = "unused"
        command = [sys.executable, *program, *map(str, words)]
        return subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=60, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def record(self, *words):
        """Record the app."""
        return self.run("trace", "-o", self.recording, *words, *RUNS[self.name], "app.ai", url=self.url)

    def again(self, *words):
        """Run the recording again, with the tools and the memory gone; the recording of that, and how it ended."""
        shutil.rmtree(self.folder / "tools", ignore_errors=True)
        shutil.rmtree(self.folder / ".namel3ss" / "memory", ignore_errors=True)
        before = set(self.recording.parent.glob("*.jsonl"))
        done = self.run("rerun", self.recording, "--accept", "unknown-code", *words)
        made = set(self.recording.parent.glob("*.jsonl")) - before
        return done, next(path for path in made if ".p" not in path.name)


@pytest.fixture
def bench(tmp_path, scripted_model_module):
    """Makes the bench of an app."""

    def script(request):
        said, call = scripted_model_module.say, scripted_model_module.call
        if REFUSED in json.dumps(request["messages"]):
            return scripted_model_module.fail(429, "slow down")
        if any(message["role"] == "tool" for message in request["messages"]):
            return said(ANSWER, usage={"input_tokens": 40, "output_tokens": 9})
        return said("", call("lookup order", order_id="A-17"), usage={"input_tokens": 31, "output_tokens": 9})

    with scripted_model_module.ScriptedModel(script) as model:
        yield lambda name: Bench(tmp_path, name, model.url)


def told(path):
    """The events of a recording but those that tell of inputs."""
    return [event for event in open_trace(path).events() if event["event_type"] != "inputs_read"]


def outline(events):
    """A recording as an indented list, a line for each span and each event that is none."""
    ends = {event.get("parent_event_id"): event for event in events if event["event_type"].endswith("_end")}
    depths, lines = {}, []
    for event in events:
        kind = event["event_type"]
        if kind.endswith("_end") and kind != "trace_end":
            continue
        depth = depths.get(event.get("parent_event_id"), -1) + 1
        span = kind.endswith("_start") and kind != "trace_start"
        if span:
            depths[event["event_id"]] = depth
            failed = ends[event["event_id"]]["status"] == "failed"
        words = [kind.removesuffix("_start") if span else kind]
        words += [event.get(name) for name in ("component_name", "call_site", "step_type")]
        words += ["failed"] if span and failed else []
        lines.append("  " * depth + " ".join(filter(None, words)))
    return "\n".join(lines)


def content(events):
    """What a run was and did: everything of its events but times, ids, and where they were made.

    The event that asked for a call is its place in the list: ids count the events of inputs, too, which a re-run may
    divide otherwise.
    """
    kept = ("event_type", "component", "component_name", "inputs", "outputs", "status", "error", "error_type",
            "call_site", "step_type", "usage", "tokens_used")  # fmt: skip
    events = [
        event for event in events if event["component"] != "command"
    ]  # inside a tool, which is answered as a whole
    positions = {event["event_id"]: position for position, event in enumerate(events)}
    shown = []
    for event in events:
        if event["event_type"] not in ("trace_start", "trace_end"):
            metadata = dict(event.get("metadata", {}))
            metadata.pop("answered", None)
            metadata.pop("sources", None)  # the tools are gone
            metadata.pop("paused_ms", None)  # a re-run waits for what the trace has first
            if "asked_in" in metadata:
                metadata["asked_in"] = positions[metadata["asked_in"]]
            shown.append({name: event[name] for name in kept if name in event} | {"metadata": metadata})
    return shown


@pytest.mark.parametrize(
    ("name", "shape", "status", "out"),
    [
        ("support", SUPPORT, 0, ANSWER),
        pytest.param("pipeline", PIPELINE, 0, "long", marks=pytest.mark.slow),
        pytest.param("broken", BROKEN, 1, "", marks=pytest.mark.slow),
    ],
)
def test_an_app_is_recorded_and_runs_again_with_nothing_there(bench, name, shape, status, out):
    """The events are those that the app's source makes, in order; the re-run, without model, tools and memory, is equal."""
    app = bench(name)
    done = app.record()
    assert (done.returncode, done.stdout.strip()) == (status, out), done.stderr
    events = told(app.recording)
    assert outline(events) == shape.strip()
    assert not events[-1]["metadata"]["problems"]
    again, recording = app.again()
    assert (again.returncode, again.stdout.strip()) == (0, out), again.stderr
    assert ACCEPTED in again.stderr
    assert content(told(recording)) == content(events)


@pytest.mark.slow
def test_a_model_call_has_its_messages_tokens_and_what_was_asked(bench):
    """One turn is one model call, with what the provider was really sent and what it said of tokens."""
    app = bench("support")
    app.record()
    events = told(app.recording)
    starts = [event for event in events if event["event_type"] == "llm_call_start"]
    ends = [event for event in events if event["event_type"] == "llm_call_end"]
    roles = [[message["role"] for message in event["inputs"]["messages"]] for event in starts]
    assert roles == [["system", "user"], ["system", "user", "tool"]]
    assert [tool["name"] for tool in starts[0]["inputs"]["tools"]] == ["lookup order"]
    assert [event["usage"]["input_tokens"] for event in ends] == [31, 40]
    assert ends[1]["outputs"]["text"] == ANSWER
    asked = ends[0]["outputs"]["tool_calls"][0]
    tool = next(event for event in events if event["event_type"] == "tool_call_start")
    assert tool["inputs"] == {"arguments": {"order_id": "A-17"}, "call_id": asked["id"]}
    assert tool["metadata"]["asked_in"] == starts[0]["event_id"]
    assert tool["metadata"]["column"] == 3


@pytest.mark.slow
def test_a_failure_is_told_in_a_line_and_with_its_place(bench):
    """What a tool raised is its span's failure, and the app fails once, at the statement."""
    app = bench("broken")
    done = app.record()
    assert "the lookup service is away" in done.stderr
    assert "let checked is flaky tool:" in done.stderr
    events = told(app.recording)
    tool = next(event for event in events if event["event_type"] == "tool_call_end")
    error = next(event for event in events if event["event_type"] == "error_occurred")
    assert tool["error_type"] == "ValueError"
    assert tool["error"] == 'Python tool "flaky tool" failed with ValueError: the lookup service is away'
    assert (error["call_site"], error["metadata"]["column"]) == ("app.ai:19", 18)
    assert error["metadata"]["error_id"].startswith("E-TOOLS-")


@pytest.mark.slow
def test_what_a_provider_says_when_it_refuses_is_told_by_all_around_it(bench):
    """The language leaves the reason out; the re-run has it from the recording."""
    app = bench("support")
    given = ["--run-args", json.dumps({"question": REFUSED})]
    done = app.run("trace", "-o", app.recording, *given, "app.ai", url=app.url)
    assert done.returncode == 1
    events = told(app.recording)
    failed = [event for event in events if event.get("error")]
    assert all(event["error"].endswith("invalid response: slow down") for event in failed)
    assert [event["event_type"].removesuffix("_end") for event in failed] == [
        "llm_call", "chain_step", "error_occurred", "chain_execution",
    ]  # fmt: skip
    _again, recording = app.again()
    assert content(told(recording)) == content(events)


def test_another_result_of_a_tool_takes_the_other_branch(bench):
    """A mock of a tool changes the decision, and the app goes on from there for real."""
    app = bench("pipeline")
    app.record()
    done, recording = app.again("--mock", 'count words:{"words": 1}')
    assert (done.returncode, done.stdout) == (0, "short\n"), done.stderr
    assert "3 as recorded, 1 by your overrides" in done.stderr
    chosen = [event["outputs"] for event in told(recording) if event["event_type"] == "decision"]
    assert chosen == [{"decision": False}, {"decision": "otherwise branch taken"}, {"decision": 1}]


@pytest.mark.slow
def test_the_memory_is_that_of_the_start_of_the_recording(bench):
    """A run that recalls an earlier one does so again in a re-run, which leaves the app's folder as it is."""
    app = bench("support")
    app.record()
    app.record()
    recalled = [event for event in told(app.recording) if event["event_type"] == "memory_operation"]
    assert "short_term" in recalled[1]["outputs"]
    shutil.rmtree(app.folder / ".namel3ss" / "memory")
    before = {path: path.stat().st_mtime_ns for path in app.folder.rglob("*")}
    done = app.run("rerun", app.recording)
    assert "The re-run matches the trace." in done.stderr
    assert {path: path.stat().st_mtime_ns for path in app.folder.rglob("*")} == before


@pytest.mark.slow
def test_a_changed_file_of_an_app_makes_its_tools_unknown(bench):
    """They run in processes of their own; an app that has not changed matches."""
    app = bench("support")
    app.record()
    assert app.run("rerun", app.recording).returncode == 0
    tool = app.folder / "tools" / "orders.py"
    tool.write_text(tool.read_text().replace('"eta_days": 2', '"eta_days": 3'))
    done = app.run("rerun", app.recording)
    assert done.returncode == 1
    assert "it is not known whether lookup order would return the same now" in " ".join(done.stderr.split())


NOTES = """spec is "1.0"

record "Note":
  body is text must be present

flow "add": requires true
  set state.note with:
    body is "hello"
  create "Note" with state.note as saved
  find "Note" where body is "hello"
  return list length of note_results
"""


def test_a_rerun_keeps_its_records_in_a_copy(bench):
    """It begins with the records of now; those of the app are as they were."""
    app = bench("broken")
    (app.folder / "app.ai").write_text(NOTES)
    kept = {"N3_PERSIST_TARGET": "sqlite"}
    assert app.run("trace", "-o", app.recording, "app.ai", **kept).stdout == "1\n"
    before = (app.folder / ".namel3ss" / "data.db").read_bytes()
    done = app.run("rerun", app.recording, **kept)
    assert done.stdout == "2\n", done.stderr
    assert (app.folder / ".namel3ss" / "data.db").read_bytes() == before


@pytest.mark.slow
def test_a_rerun_is_stepped_as_well(bench):
    """With the local values, and with nothing there."""
    app = bench("pipeline")
    app.record()
    done, _recording = app.again(
        "-b", "app.ai:58", "-c", "continue", "-c", "p metadata.locals.counted", "-c", "quit"
    )
    assert '{"words": 4}' in done.stderr


@pytest.mark.slow
def test_an_edited_app_is_compared_with_its_recording(bench):
    """A changed prompt is a changed question, and one more question ends the run, whatever the app catches."""
    app = bench("broken")
    app.record()
    source = app.folder / "app.ai"
    text = source.read_text()
    source.write_text(text.replace("input.text as said", '"other" as said'))
    done, _recording = app.again("--mock", 'flaky tool:{"ok": true}')
    assert done.returncode == 1
    assert "changed  the request changed" in done.stderr
    assert "newer than the trace: app.ai" in done.stderr
    more = '  try:\n    ask ai "helper" with input: said as more\n  with catch err:\n    return "caught"\n'
    source.write_text(text.replace("  let checked", f"{more}  let checked"))
    done, _recording = app.again()
    assert (done.returncode, done.stdout) == (1, "")
    assert "app.ai:20 calls mock-1, and the trace holds no answer for this call" in " ".join(
        done.stderr.split()
    )


@pytest.mark.slow
def test_a_line_of_an_app_stops_the_debugger_with_the_local_values(bench):
    """A breakpoint at a line of the source holds the app before that statement."""
    app = bench("pipeline")
    commands = ["continue", "p metadata.locals.counted", "p state", "source", "continue"]
    done = app.record("-b", "app.ai:58", *(word for each in commands for word in ("-c", each)))
    assert done.returncode == 0, done.stderr
    assert "breakpoint 1, app.ai:58" in done.stderr
    assert '{"words": 4}' in done.stderr
    assert '{"size": "long"}' in done.stderr
    assert "58 ->   match state.size:" in done.stderr
    assert "secrets" not in app.recording.read_text()


@pytest.mark.slow
def test_a_line_that_makes_calls_stops_the_debugger_once(bench):
    """Not at the calls of the model, of the tool and of the memory that the statement makes."""
    app = bench("support")
    done = app.record("-b", "app.ai:24", *(word for each in ("c", "c") for word in ("-c", each)))
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("breakpoint 1, app.ai:24") == 1
    assert "end of the trace" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("given", "text", "status"),
    [
        (["--fault", "llm:status:429"], "AI provider error: Too Many Requests (fault)", 1),
        (["--fault", "lookup order:timeout"], "timed out (fault)", 1),
        (["--mock", "llm@2.text=It is lost."], "It is lost.", 0),
    ],
    ids=lambda value: value[1] if isinstance(value, list) else "",
)
def test_faults_and_mocks_reach_the_app_as_its_own_errors_and_answers(bench, given, text, status):
    """A failing model and a failing tool fail as the language says it, and a mocked answer is the flow's result."""
    app = bench("support")
    app.record()
    done, recording = app.again(*given)
    assert text in done.stdout + done.stderr
    last = list(open_trace(recording).events())[-1]
    assert last["metadata"]["exit_status"] == status


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "status", "what"),
    [
        (["app.ai"], 2, "app.ai has several flows: choose one with --flow: size of, pipeline"),
        (["--flow", "x", "app.ai"], 2, "app.ai has no flow 'x'; it has size of, pipeline"),
        (["--flow", "", "app.ai"], 2, "app.ai has no flow ''; it has size of, pipeline"),
    ],
    ids=["several", "none", "empty"],
)
def test_a_flow_that_cannot_be_run_is_one_line(bench, words, status, what):
    """Which flow is meant has to be said where there are several, and has to be there."""
    app = bench("pipeline")
    done = app.run("trace", "-o", app.recording, *words)
    assert done.returncode == status
    assert f"namel3ss debug: {what}\n" in done.stderr


def test_an_app_that_does_not_parse_fails_at_its_line(bench):
    """The language's own message goes to stderr, and the trace has the place."""
    app = bench("broken")
    (app.folder / "app.ai").write_text('spec is "1.0"\n\nflow "x":\n  lett a is 1\n')
    done = app.run("trace", "-o", app.recording, "app.ai")
    assert done.returncode == 1
    assert "line 4" in done.stderr
    error = next(event for event in told(app.recording) if event["event_type"] == "error_occurred")
    assert error["call_site"] == "app.ai:4"


IDENTITY = """spec is "1.0"

identity "user":
  field "email" is text must be present

flow "x":
  return 1
"""


def test_an_app_without_the_identity_that_it_needs_fails_as_the_language_says(bench):
    """Before a flow begins: a message with its line, no traceback, and the place in the recording."""
    app = bench("broken")
    (app.folder / "app.ai").write_text(IDENTITY)
    done = app.run("trace", "-o", app.recording, "app.ai")
    assert done.returncode == 1
    assert done.stderr.startswith("[line 3, col 1] What happened: Identity field 'email' failed")
    assert "Traceback" not in done.stderr
    failed = [event for event in told(app.recording) if event.get("error")]
    assert [(event["event_type"], event["call_site"]) for event in failed] == [("error_occurred", "app.ai:3")]
    assert failed[0]["error"].startswith("Identity field 'email' failed validation: ")


def test_an_app_that_is_not_utf_8_is_one_line(bench):
    """The file is named, with the byte, and what to do."""
    app = bench("broken")
    (app.folder / "app.ai").write_bytes(b"\xff\xfe")
    done = app.run("trace", "-o", app.recording, "app.ai")
    assert done.returncode == 1
    said, recorded = done.stderr.splitlines()
    assert said.startswith(
        "namel3ss debug: app.ai is not UTF-8 ('utf-8' codec can't decode byte 0xff in position 0"
    )
    assert said.endswith("save it as UTF-8")
    assert recorded.startswith("namel3ss debug: recorded ")


@pytest.mark.slow
def test_an_app_runs_without_being_recorded(bench):
    """`namel3ss run` runs a flow of an app where tracing is off, and leaves no recording."""
    app = bench("pipeline")
    given = ["--flow", "size of", "--run-args", '{"words": 1}']
    done = app.plainly("run", *given, "app.ai")
    assert (done.returncode, json.loads(done.stdout)) == (0, {"size": "short"}), done.stderr
    assert not (app.folder / "debug").exists()
    done = app.plainly("run", "app.ai", *given, NAMEL3SS_DEBUG_ENABLED="true")
    assert (done.returncode, json.loads(done.stdout)) == (0, {"size": "short"}), done.stderr
    done = app.run("rerun", "latest")
    assert "The re-run matches the trace." in done.stderr
