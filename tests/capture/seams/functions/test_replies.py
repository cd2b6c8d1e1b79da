"""Calls of functions that are answered: values as they were, exceptions, faults, and their turn."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import signal
import threading
import traceback
from decimal import Decimal

import pytest

from namel3ss_debug.capture.core import context, delivery, switch
from namel3ss_debug.capture.seams.functions import rewrite
from namel3ss_debug.hooks import trace_tool_call

SOURCE = """
import asyncio

def look_up(x):
    return "ran"

async def fetch(x):
    await asyncio.sleep(0)
    return "ran"
"""


def last_end(shell):
    """The last end of a tool call in the recording."""
    events = [json.loads(line) for line in shell.trace.read_text().splitlines()]
    return [event for event in events if event["event_type"] == "tool_call_end"][-1]


@trace_tool_call
def hooked(x):
    """A tool with a hook."""
    return "ran"


@trace_tool_call
async def hooked_on_loop(x):
    """A coroutine function with one."""
    return "ran"


@pytest.fixture
def call(shell):
    """Call one of four tools by its name."""
    namespace = {}
    exec(rewrite.compile_source(SOURCE, "<program>"), namespace)
    rewrite.HOT.update({"look_up", "fetch"})
    functions = namespace | {"hooked": hooked, "hooked_on_loop": hooked_on_loop}

    def call(name, x=1):
        result = functions[name](x)
        return asyncio.run(result) if asyncio.iscoroutine(result) else result

    return call


TOOLS = pytest.mark.parametrize("tool", ["look_up", "fetch", "hooked", "hooked_on_loop"])


@TOOLS
def test_a_recorded_value_comes_back_as_it_was(shell, call, tool):
    """The forms of a recording become tuples, bytes, decimals and times again, and are recorded as before."""
    value = {"$type": "dict", "items": [[1, {"$type": "tuple", "items": ["a", None]}]]}
    shell.words[tool] = {"answer": value, "outputs": {"result": value}, "recorded": True}
    assert call(tool) == {1: ("a", None)}
    end = last_end(shell)
    assert end["outputs"]["result"] == value
    assert end["metadata"] == {"answered": "recording"}


@TOOLS
@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("ValueError", "no", ValueError("no")),
        ("KeyError", "'k'", KeyError("k")),
        ("FileNotFoundError", "[Errno 2] No such file or directory: 'f'", FileNotFoundError(2, "x", "f")),
        ("json.decoder.JSONDecodeError", "Expecting value", json.JSONDecodeError("", "", 0)),
        ("gone.away.Error", "what", RuntimeError("gone.away.Error: what")),
    ],
)
def test_a_recorded_exception_is_raised_again(shell, call, tool, kind, text, expected):
    """Its class is that of the recording where the program has it, its text in any case."""
    shell.words[tool] = {"raised": {"type": kind, "text": text}}
    with pytest.raises(type(expected)) as caught:
        call(tool)
    assert type(caught.value) is type(expected)
    assert str(caught.value) == (str(expected) if kind == "gone.away.Error" else text)
    assert last_end(shell)["status"] == "failed"


@TOOLS
def test_a_recorded_exception_has_what_it_held(shell, call, tool):
    """Its arguments and attributes; what is missing of it is told as a problem."""
    held = {
        "args": ["no", 4],
        "attributes": {"hint": {"$type": "tuple", "items": ["a"]}},
        "lost": ["response"],
    }
    shell.words[tool] = {"raised": {"type": "ValueError", "text": "('no', 4)", "state": held}}
    with pytest.raises(ValueError, match="no") as caught:
        call(tool)
    assert (caught.value.args, vars(caught.value)) == (("no", 4), {"hint": ("a",)})
    assert last_end(shell)["metadata"]["raised"] == {name: held[name] for name in ("args", "attributes")}
    assert list(switch.ACTIVE.problems) == [
        "ValueError is raised without response, which the trace does not contain"
    ]
    switch.ACTIVE.problems.clear()


BODY = """
async def fetch(x):
    value = x
    raise KeyError(value)

def look_up(x):
    if x:
        raise ValueError("no")
"""
STACK = (
    'Traceback (most recent call last):\n  File "/then/shop.py", line {}, in {}\n    raise\nValueError: no\n'
)


@pytest.mark.parametrize(
    ("tool", "word", "line"),
    [
        ("look_up", {"raised": {"stack": STACK.format(8, "look_up")}}, 8),
        ("look_up", {"raised": {"stack": STACK.format(80, "look_up")}}, 6),
        ("look_up", {"raised": {"stack": STACK.format(8, "another")}}, 6),
        ("look_up", {"raised": {}}, 6),
        ("look_up", {"fault": {"kind": "error", "error_type": "ValueError", "message": "no"}}, 6),
        ("fetch", {"raised": {"stack": STACK.format(4, "fetch")}}, 4),
    ],
)
def test_an_exception_is_raised_on_its_recorded_line(shell, tmp_path, tool, word, line):
    """The function has the line that the recording tells, else that of its `def`; below it stands no frame of ours."""
    if "raised" in word:
        word = {"raised": {"type": "ValueError", "text": "no"} | word["raised"]}
    (tmp_path / "shop.py").write_text(BODY)
    namespace = {}
    exec(rewrite.compile_source(BODY, str(tmp_path / "shop.py")), namespace)
    rewrite.HOT.update({"look_up", "fetch"})
    shell.words[tool] = word

    async def run():
        result = namespace[tool](1)
        return await result if asyncio.iscoroutine(result) else result

    with pytest.raises(ValueError, match="no") as caught:
        asyncio.run(run())
    shown = traceback.format_exception(caught.value)[-2:]
    code = BODY.splitlines()[line - 1].strip()
    assert shown == [f'  File "{tmp_path}/shop.py", line {line}, in {tool}\n    {code}\n', "ValueError: no\n"]
    assert "".join(shown) in last_end(shell)["stack_trace"]


@pytest.mark.parametrize(("text", "code"), [("exit 3", 3), ("no key", "no key")])
def test_a_tool_that_ended_the_program_does_so_again(shell, call, text, code):
    """`sys.exit` in a tool is raised again, with its status or its words."""
    shell.words["look_up"] = {"raised": {"type": "SystemExit", "text": text}}
    with pytest.raises(SystemExit) as caught:
        call("look_up")
    assert caught.value.code == code


@TOOLS
def test_a_tool_goes_wrong_as_asked(shell, call, tool):
    """Faults in place of a call: a timeout, an error; and what is no error of a tool is told and raised all the same."""
    shell.words[tool] = [
        {"fault": {"kind": "timeout"}},
        {"fault": {"kind": "error", "error_type": "ValueError", "message": "no"}},
        {"fault": {"kind": "status", "status": 500}},
    ]
    for kind in (TimeoutError, ValueError, RuntimeError):
        with pytest.raises(kind):
            call(tool)
        end = last_end(shell)
        assert end["metadata"]["mocked"] is True
        assert end["metadata"]["fault"]


@TOOLS
def test_a_late_tool_runs_and_a_cut_answer_is_cut(shell, call, tool):
    """Latency alone lets the call be made; truncation cuts the answer that is given."""
    shell.words[tool] = [
        {"fault": {"kind": "latency", "delay_ms": 1.0}},
        {"answer": ["abcd"], "outputs": {"result": ["abcd"]}, "fault": {"kind": "truncate"}},
        {"fault": {"kind": "truncate"}},
    ]
    assert [call(tool) for _ in range(3)] == ["ran", ["ab"], "ran"]


@pytest.fixture
def pauses(monkeypatch):
    """The pauses that are made, which take no time; at each, a function is called if the test sets one."""

    class Pauses(list):
        """The seconds of each."""

        at = staticmethod(lambda: None)

        def here(self, seconds):
            """Sleep."""
            if seconds:
                self.append(seconds)
                self.at()

        async def on_loop(self, seconds):
            """Sleep on the loop."""
            self.here(seconds)

    made = Pauses()
    monkeypatch.setattr(delivery, "sleep_here", made.here)
    monkeypatch.setattr(delivery, "sleep", made.on_loop)
    return made


@TOOLS
@pytest.mark.parametrize("answer", [{}, {"answer": "given", "outputs": {"result": "given"}}])
def test_a_late_tool_is_late_whether_it_runs_or_is_answered(shell, call, pauses, tool, answer):
    """It waits once, for as long as was asked."""
    shell.words[tool] = {"fault": {"kind": "latency", "delay_ms": 1500.0}} | answer
    assert call(tool) == answer.get("answer", "ran")
    assert pauses == [1.5]
    assert last_end(shell)["metadata"]["fault"] == "latency"


@TOOLS
def test_an_answer_takes_the_time_that_it_is_told(shell, call, pauses, tool):
    """As a recorded one does that comes at its own pace; a latency comes to it."""
    shell.words[tool] = {
        "answer": "given",
        "outputs": {"result": "given"},
        "recorded": True,
        "delay": 0.25,
        "fault": {"kind": "latency", "delay_ms": 500.0},
    }
    assert call(tool) == "given"
    assert pauses == [0.75]


@TOOLS
@pytest.mark.parametrize("answer", [{}, {"answer": "given", "outputs": {"result": "given"}}])
def test_a_timeout_of_the_program_ends_a_late_tool(shell, call, pauses, tool, answer):
    """What its signal handler raises reaches it, and what comes next is not inside the call."""

    def reached(_number, _frame):
        raise TimeoutError("too late")

    pauses.at = lambda: signal.raise_signal(signal.SIGALRM)
    shell.words[tool] = {"fault": {"kind": "latency", "delay_ms": 1500.0}} | answer
    before = signal.signal(signal.SIGALRM, reached)
    try:
        with pytest.raises(TimeoutError, match="too late"):
            call(tool)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert last_end(shell)["status"] == "timeout"
    assert context.current() is None


def test_a_given_up_tool_hangs_until_it_is_given_up_again(shell, call):
    """What the program once cancelled, it cancels again."""

    async def run():
        task = asyncio.create_task(hooked_on_loop(1))
        while '"tool_call_start"' not in shell.trace.read_text():  # noqa: ASYNC110  (only the recording tells)
            await asyncio.sleep(0)
        task.cancel()
        await task

    shell.words["hooked_on_loop"] = {"given_up": True}
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(run())
    assert last_end(shell)["status"] == "cancelled"


@pytest.mark.parametrize("tool", ["fetch", "hooked_on_loop"])
def test_tools_on_a_loop_end_in_their_turn(shell, call, tool):
    """Of two tools that run side by side, the one that is let go first returns first; and threads wait in theirs."""
    namespace = {}
    exec(rewrite.compile_source(SOURCE, "<program>"), namespace)
    function = namespace.get(tool, hooked_on_loop)
    done = []

    async def run(x):
        done.append(await function(x))

    async def both():
        await asyncio.gather(run(0), run(1))

    first_end = []

    def may(question):
        first_end.append(question["at"])
        return question["at"] != first_end[0] or len(set(first_end)) > 1

    shell.may = may
    shell.words[tool] = [
        {"answer": n, "outputs": {"result": n}, "ordered": True, "recorded": True} for n in (1, 2)
    ]
    asyncio.run(both())
    assert sorted(done) == [1, 2]
    assert done[0] == 2


def test_a_synchronous_tool_on_a_loop_does_not_wait(shell, call):
    """Nothing else would run while it slept: it asks, and goes with a word that patience is over."""

    async def run():
        return hooked(1)

    shell.may = lambda question: question["waited"] > 1e6
    shell.words["hooked"] = {"answer": 1, "outputs": {"result": 1}, "ordered": True}
    assert asyncio.run(run()) == 1
    assert [question["waited"] for question in shell.asked] == [0.0, 1e9]


def test_a_thread_waits_for_its_turn(shell, call):
    """A tool in a thread asks again and again, and tells for how long it has waited."""
    shell.may = lambda question: question["waited"] > 0.003
    shell.words["hooked"] = {"answer": 1, "outputs": {"result": 1}, "ordered": True}
    thread = threading.Thread(target=call, args=("hooked",))
    thread.start()
    thread.join()
    waits = [question["waited"] for question in shell.asked]
    assert len(waits) > 1
    assert waits == sorted(waits)
    assert waits[0] == 0


def test_what_a_tool_gave_is_recorded_so_that_it_comes_back(shell):
    """What JSON would hide has a form of its own, and what has none is named."""

    @trace_tool_call
    def give(value):
        return value

    class Text(str):
        """A text with a class of its own."""

        __slots__ = ()

    zone = dt.timezone(dt.timedelta(hours=2))
    give(
        (
            1,
            [b"x", bytearray(b"y")],
            {2: Decimal("1.10"), "$type": None},
            dt.datetime(2026, 1, 2, tzinfo=zone),
        )
    )
    end = last_end(shell)
    assert end["outputs"]["result"]["items"][2]["items"] == [
        [2, {"$type": "decimal", "value": "1.10"}],
        ["$type", None],
    ]
    assert "inexact" not in end.get("metadata", {})
    give([Text("x"), b"x"])
    assert last_end(shell)["metadata"]["inexact"] == [f"{Text.__module__}.{Text.__qualname__}"]
    give({"api_key": "sk-12345", 1: 2})
    assert last_end(shell)["outputs"]["result"]["items"][0] == ["api_key", "[REDACTED:key]"]


def test_a_generator_that_is_a_tool_says_that_it_cannot_be_given(shell):
    """Of a generator only the count is recorded, and of a tool without outputs nothing; the end says so."""

    @trace_tool_call
    def pages():
        yield 1

    @trace_tool_call(capture_outputs=False)
    def quiet():
        return 1

    list(pages())
    assert last_end(shell)["metadata"]["inexact"] == ["generator"]
    quiet()
    assert last_end(shell)["metadata"]["inexact"] == ["not recorded"]
