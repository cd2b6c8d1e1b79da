"""Limits refuse calls before they are made, whoever makes them, and a fault of theirs lets every call be made."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading

import pytest

from namel3ss_debug import LimitExceeded, hooks, limits, shutdown_tracing
from namel3ss_debug.capture.guards import limiting
from namel3ss_debug.errors import SettingError
from namel3ss_debug.traces.reader import open_trace

httpx = pytest.importorskip("httpx")

PRICES = {"m": {"input": 1, "output": 10}}
BODY = {"model": "m", "max_tokens": 400, "messages": [{"role": "user", "content": "x"}]}
COST = (20 * 1 + 400 * 10) / 1e6


@pytest.fixture
def model(scripted_model_module):
    """A server whose model takes 20 tokens in and 400 out."""

    def answer(_request):
        return scripted_model_module.say("ok", usage={"input_tokens": 20, "output_tokens": 400})

    with scripted_model_module.ScriptedModel(answer) as running:
        yield running


@pytest.fixture
def ask(model):
    """Asks the model once; further members of the request by name."""
    return lambda **more: httpx.post(f"{model.url}/v1/chat/completions", json=BODY | more).status_code


def count(ask, most=99):
    """Return how many calls are made before one is refused, and the refusal."""
    for number in range(most):
        try:
            ask()
        except LimitExceeded as error:
            return number, error
    return most, None


def read_events(kind=""):
    """End the trace, and return its events of a type."""
    return [each for each in open_trace(shutdown_tracing()).events() if each["event_type"].startswith(kind)]


def test_a_limit_on_cost_refuses_the_call_that_might_pass_it(tracing, model, ask):
    """The call is not made; the exception and the trace name the limit, the value and the caller."""
    tracing(limits=[{"cost": 0.05}], prices=PRICES)
    calls, error = count(ask)
    assert calls == len(model.requests) == int(0.05 / COST)
    assert (error.measure, error.most, error.subject) == ("cost", 0.05, "the run")
    assert error.value == pytest.approx(12 * COST)
    assert f"{error}".startswith(
        "the run has used $0.04824 of $0.05; next is the call of m, which may use $0.00"
    )
    events = read_events()
    (reached,) = (each for each in events if each["event_type"] == "limit_reached")
    call = next(each for each in events if each["event_id"] == reached["parent_event_id"])
    end = next(
        each for each in events if each.get("parent_event_id") == call["event_id"] and "duration_ms" in each
    )
    assert (reached["component"], reached["error"]) == ("guard", f"{error}")
    assert (end["status"], end["error"], end["metadata"]["guarded"]) == ("failed", f"{error}", "limit")


def test_threads_and_tasks_never_pass_a_limit_together(tracing, model, ask):
    """Each call has reserved its maximum before it is made."""
    tracing(limits=[{"cost": 0.05}], prices=PRICES)
    threads = [threading.Thread(target=count, args=(ask,)) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(model.requests) == int(0.05 / COST)
    shutdown_tracing()
    tracing(limits=[{"cost": 0.05}], prices=PRICES)

    async def run():
        async with httpx.AsyncClient() as client:
            while True:
                try:
                    await client.post(f"{model.url}/v1/chat/completions", json=BODY)
                except LimitExceeded:
                    return

    async def main():
        await asyncio.gather(*(run() for _ in range(8)))

    asyncio.run(main())
    assert len(model.requests) == 2 * int(0.05 / COST)


PROCESSES = """
import multiprocessing, os, sys
import httpx
from namel3ss_debug import LimitExceeded

def ask():
    while True:
        try:
            httpx.post(os.environ["URL"], json=%r)
        except LimitExceeded:
            return

if __name__ == "__main__":
    started = [multiprocessing.get_context(sys.argv[1]).Process(target=ask) for _ in range(4)]
    for each in started:
        each.start()
    for each in started:
        each.join()
    print([each.exitcode for each in started])
"""


@pytest.mark.parametrize("method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_four_processes_never_pass_a_limit_together(tmp_path, model, method):
    """They share the ledger; a re-run of the trace stops at the same calls."""
    program = tmp_path / "many.py"
    program.write_text(PROCESSES % BODY)
    command = [sys.executable, "-m", "namel3ss_debug"]
    environment = os.environ | {
        "URL": f"{model.url}/v1/chat/completions",
        "NAMEL3SS_DEBUG_LIMITS": '{"cost": 0.05}',
        "NAMEL3SS_DEBUG_PRICES": json.dumps(PRICES),
    }
    options = {"cwd": tmp_path, "env": environment, "capture_output": True, "text": True, "timeout": 60}
    ended = subprocess.run([*command, "trace", str(program), method], check=True, **options)
    assert ended.stdout == "[0, 0, 0, 0]\n"
    assert len(model.requests) == int(0.05 / COST)
    again = subprocess.run([*command, "rerun"], check=False, **options)
    assert (again.returncode, again.stdout.splitlines()[0]) == (0, "[0, 0, 0, 0]"), again.stderr
    assert len(model.requests) == int(0.05 / COST)


POOL = """
import multiprocessing
from namel3ss_debug import LimitExceeded, trace_tool_call

@trace_tool_call
def look_up(number):
    return number

if __name__ == "__main__":
    with multiprocessing.get_context("fork").Pool(2) as pool:
        try:
            pool.map(look_up, range(9))
        except LimitExceeded as error:
            print(error.measure, error.most)
"""


def test_a_pool_passes_the_exception_of_its_worker_on(tmp_path):
    """It would wait forever after one that is no `Exception`."""
    (tmp_path / "pool.py").write_text(POOL)
    command = [sys.executable, "-m", "namel3ss_debug", "trace", "pool.py"]
    environment = os.environ | {"NAMEL3SS_DEBUG_LIMITS": '{"calls": 3}'}
    ended = subprocess.run(
        command, check=True, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
    )
    assert ended.stdout == "calls 3.0\n"


def test_an_example_is_stopped_at_its_limit_and_so_is_its_rerun(tmp_path):
    """Its own `except` handles the exception, which the OpenAI SDK has let pass."""
    pytest.importorskip("openai")
    example = os.path.join(os.path.dirname(__file__), "../../../examples/endless_agent.py")
    command = [sys.executable, "-m", "namel3ss_debug"]
    options = {"cwd": tmp_path, "capture_output": True, "text": True, "timeout": 60}
    ended = subprocess.run([*command, "trace", example], check=True, **options)
    assert ended.stdout.startswith("Gave up: this call of answer has used $0.0")
    again = subprocess.run([*command, "rerun"], check=False, **options)
    assert (again.returncode, again.stdout) == (0, ended.stdout), again.stderr


def test_without_a_known_maximum_one_call_more_is_made(tracing, model, ask):
    """What a call without `max_tokens` costs is known when it has ended."""
    tracing(limits=[{"tokens": 1000}])
    assert count(lambda: ask(max_tokens=None))[0] == 3
    assert len(model.requests) == 3


@pytest.mark.parametrize(
    ("row", "made"),
    [
        ({"calls": 2}, 2),
        ({"calls": 2, "by": "model"}, 2),
        ({"calls": 2, "by": "model", "name": "other*"}, 5),
        ({"repeats": 3}, 3),
        ({"context": 20}, 1),
        ({"calls_per_minute": 4}, 4),
        ({"cost": 1, "unknown_cost": "refuse"}, 0),
        ({"cost": 1, "unknown_cost": 0.5}, 2),
        ({"cost": 1}, 5),
    ],
)
def test_what_may_be_limited(tracing, own_prices, ask, row, made):
    """Each measure, for whom it is for; without a known price, as the setting has it."""
    own_prices({"m": None})
    tracing(limits=[row])
    assert count(ask, 5)[0] == made


def test_time_and_days_are_those_of_the_clock(tracing, ask):
    """A minute after the first call no further one is made; the next day has its own limit."""
    tracer = tracing(limits=[{"seconds": 60}, {"calls": 2, "by": "day"}])
    tracer.guards._now = lambda: clock[0]
    clock = [1.8e9]
    tracer.guards._ledger.settle("", {}, {f"seconds|run|{tracer.execution_id}": int(1.8e12)}, 1.8e9)
    assert count(ask)[1].measure == "calls"
    clock[0] += 86400
    assert count(ask)[1].measure == "seconds"


def test_the_request_of_a_hooked_call_of_a_model_counts_once(tracing, model, ask):
    """The hook and the request are two spans of one call; both would reserve and use."""
    tracing(limits=[{"calls": 4, "cost": 5 * COST}], prices=PRICES)

    @hooks.trace_llm_call
    def call(model, max_tokens):
        return ask(model=model, max_tokens=max_tokens)

    made, error = count(lambda: call("m", 400))
    assert (made, len(model.requests), error.measure) == (4, 4, "calls")


def test_a_call_that_a_limit_refuses_is_no_failure_of_what_it_calls(tracing):
    """The circuit breaker stays closed."""
    tracer = tracing(limits=[{"calls": 1}], circuit_breakers={"tool:*": {"failure_threshold": 1}})

    @hooks.trace_tool_call
    def search(query):
        return query

    assert count(lambda: search("a"))[0] == 1
    with pytest.raises(LimitExceeded):
        search("a")
    assert tracer.guards._breakers._find("tool", "search")[0].state == "closed"


def test_tools_and_agents_have_limits_of_their_own(tracing):
    """Each by its name; another agent goes on."""
    tracing(limits=[{"calls": 2, "by": "tool", "name": "sea*"}, {"calls": 3, "by": "agent"}])

    @hooks.trace_tool_call
    def search(query):
        return query

    @hooks.trace_tool_call
    def read(page):
        return page

    @hooks.trace_agent_execution("First")
    def first():
        return [count(lambda: search("a")), count(lambda: read(1))]

    @hooks.trace_agent_execution("Second")
    def second():
        return count(lambda: read(1))

    (searched, why), (read_more, limit) = first()
    assert (searched, why.subject, read_more, limit.subject) == (2, "tool search", 1, "agent First")
    assert f"{limit}" == "agent First has made 3 of 3 calls; next is the call of read by agent First"
    assert second()[0] == 3


def test_a_function_limits_what_is_inside_each_of_its_calls(tracing, ask):
    """Also in threads that it starts, and anew for the next call."""
    tracing()

    @limits(calls=2)
    def answer():
        found = []
        thread = threading.Thread(target=lambda: found.append(count(ask)))
        thread.start()
        thread.join()
        return found[0]

    assert [answer()[0], answer()[0]] == [2, 2]
    assert answer()[1].subject == "this call of answer"
    assert ask() == 200


def test_a_coroutine_function_and_a_generator_may_have_limits(tracing, ask):
    """Their calls begin and end with their bodies."""
    tracing()

    @limits(calls=1)
    async def run():
        return count(ask)[0]

    @limits(calls=2)
    def stream():
        yield count(ask)[0]

    assert (asyncio.run(run()), list(stream())) == (1, [2])


def test_a_limit_that_only_warns_is_one_line(tracing, ask, capfd):
    """Every call is made, and the trace has one event."""
    tracing(limits=[{"calls": 1, "action": "warn"}])
    assert count(ask, 4)[0] == 4
    assert capfd.readouterr().err.count("limit reached: the run has made 1 of 1 calls") == 1
    assert len(read_events("limit_reached")) == 1


def test_a_limit_may_end_the_program(tracing, ask):
    """The exception is that of `sys.exit`, with the reason as its text."""
    tracing(limits=[{"calls": 1, "action": "stop"}])
    ask()
    with pytest.raises(
        SystemExit, match="limit reached: the run has made 1 of 1 calls; next is the call of m"
    ):
        ask()


def test_a_fault_of_the_ledger_is_counted_and_the_call_is_made(tracing, ask, tmp_path, capfd):
    """A folder stands where the file should be."""
    (tmp_path / "limits.db").mkdir()
    tracing(limits=[{"calls": 1}], limits_file=str(tmp_path / "limits.db"))
    assert [ask(), ask()] == [200, 200]
    end = read_events("trace_end")[0]
    assert (
        end["metadata"]["problems"]["limits could not be checked, so a call was made: IsADirectoryError"] == 2
    )
    assert "the file of the limits could not be opened" in capfd.readouterr().err


def test_without_limits_nothing_is_installed(tracing, ask):
    """No answer is taken, and no file is written."""
    tracer = tracing()
    ask()
    assert (tracer.guards, tracer.answers) == (None, None)


def test_what_is_limited_is_recorded_in_any_case(tracing, ask):
    """A run that would not be sampled, and a component that would be left out."""
    tracing(limits=[{"calls": 1}], sample_rate=0.0, default_components=["tool"])
    assert count(ask)[0] == 1


def test_limits_without_tracing_are_reported_once(ask, capfd):
    """They have no effect."""

    @limits(calls=1)
    def unguarded():
        return count(ask, 2)[0]

    assert [unguarded(), unguarded()] == [2, 2]
    assert capfd.readouterr().err.count("the limits of unguarded have no effect") == 1
    limiting._WARNED.clear()


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"calls": "many"}, 'limits.calls is "many", allowed is a number from 0'),
        ({"call": 1}, 'limits has "call"; did you mean calls?'),
        ({"by": "run"}, "name one of cost, tokens, calls"),
        ({"calls": 1, "by": "years"}, 'limits.by has "years"'),
        ({"calls": 1, "name": "a"}, "it is a pattern of names, by agent, tool or model"),
        ({"calls": 1, "action": "explode"}, 'limits.action has "explode"'),
    ],
)
def test_a_wrong_limit_is_one_clear_line(row, problem):
    """It says what is allowed."""
    with pytest.raises(SettingError, match="limits") as raised:
        limits(**row)
    assert problem in f"{raised.value}"


def test_a_limit_may_pause_a_program_that_is_debugged(tmp_path):
    """The debugger stops at the event, and the call is made; without a debugger it is refused."""
    program = tmp_path / "paused.py"
    program.write_text(
        "from namel3ss_debug import trace_tool_call\n"
        "look_up = trace_tool_call(lambda number: number)\n"
        "print([look_up(number) for number in range(3)])\n"
    )
    command = [sys.executable, "-m", "namel3ss_debug", "trace"]
    environment = os.environ | {"NAMEL3SS_DEBUG_LIMITS": '{"calls": 2, "action": "pause"}'}
    options = {"cwd": tmp_path, "env": environment, "capture_output": True, "text": True, "timeout": 60}
    typed = ["-c", "continue", "-c", "p metadata.value", "-c", "continue"]
    ended = subprocess.run([*command, *typed, "paused.py"], check=True, **options)
    assert ended.stdout == "[0, 1, 2]\n"
    assert "breakpoint 1, limit_reached" in ended.stderr
    assert "\n2.0\n" in ended.stderr
    refused = subprocess.run([*command, "paused.py"], check=False, **options)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "LimitExceeded: the run has made 2 of 2 calls; next is the call of <lambda>" in refused.stderr
