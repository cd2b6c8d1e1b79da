"""Simulated runs in real trace files: the real writer, with the times of a simulated clock.

Each run is a list of moments: a time, and the events that its program writes then. `watch` writes them as the clock gets
there, and lets a monitor look every half a second.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from namel3ss_debug.config import DebugConfiguration
from namel3ss_debug.monitoring.alert import FIRING, RESOLVED, Alert
from namel3ss_debug.monitoring.monitor import Monitor
from namel3ss_debug.monitoring.rules import AlertRule, read_alert_rules
from namel3ss_debug.traces.events import FORMAT_VERSION
from namel3ss_debug.traces.writer import TraceWriter

OPENED: list[Any] = []
"""Writers and monitors, which are closed after each test."""

BEGAN = 1_795_600_000.0
LOOK_SECONDS = 0.5
EXAMPLES = ("support_agent.py", "research_agent.py", "weather_agent.py")


@dataclass
class Run:
    """A run to be watched.

    Attributes:
        name: of its file.
        moments: time and event, in order; an event without `event_id` gets one by the writer.
        expected: the rule that must alert; empty for a healthy run.
        met: when its condition is met.
        over: when it is over; None for the end of the run.
        dies: whether the program ends without recording its end.
        lasts: how long the monitor looks after the last event.
    """

    name: str
    seed: int
    moments: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    expected: str = ""
    met: float = 0.0
    over: float | None = None
    dies: bool = False
    lasts: float = 15.0

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.at = BEGAN
        self.memory = 80.0
        self.spread = self.random.uniform(0.25, 0.9)
        self.ids = 0

    def event(self, event_type: str, component: str, at: float, **fields: Any) -> str:
        """Add an event, and return the id by which later ones name it."""
        self.ids += 1
        key = f"#{self.ids}"
        event = {"event_type": event_type, "component": component, "timestamp": at, "key": key, **fields}
        self.moments.append((at, event))
        return key

    def span(
        self,
        component: str,
        name: str,
        seconds: float,
        parent: str | None = None,
        prefix: str = "",
        **fields: Any,
    ) -> float:
        """Add a span that begins now and takes some seconds; return when it ends, which is now then."""
        start_fields = {"inputs": fields.pop("inputs")} if "inputs" in fields else {}
        start = self.event(f"{prefix or component + '_call'}_start", component, self.at, component_name=name, parent=parent,
                           status="started", **start_fields)  # fmt: skip
        self.at += seconds
        self.end(component, start, seconds, prefix, component_name=name, **fields)
        return self.at

    def end(self, component: str, start: str, seconds: float, prefix: str = "", **fields: Any) -> None:
        """Add the end of a span."""
        fields = {"status": "completed"} | fields
        self.event(f"{prefix or component + '_call'}_end", component, self.at, parent=start, duration_ms=seconds * 1000,
                   memory_usage_mb=round(self.memory + self.random.uniform(-1, 1), 2), cpu_time_ms=2.0, **fields)  # fmt: skip

    def model(
        self,
        parent: str | None = None,
        slower: float = 1.0,
        dearer: float = 1.0,
        read: int = 0,
        **fields: Any,
    ) -> float:
        """Add a model call with a latency as real models have it."""
        seconds = fields.pop("seconds", 0.0) + slower * self.random.lognormvariate(0.2, self.spread)
        read = read or self.random.randint(400, 900)
        usage = {"input_tokens": read, "output_tokens": self.random.randint(40, 160)}
        amounts = {} if fields.get("status") == "failed" else {"usage": usage, "cost_estimate": dearer * (read * 1.5e-7 + usage["output_tokens"] * 6e-7)}  # fmt: skip
        outputs = {"text": f"answer {self.random.random()}", "response_model": "gpt-4o-mini"}
        inputs = fields.pop("inputs", None) or {
            "model": "gpt-4o-mini",
            "messages": [{"role": "user", "content": f"question {self.random.random()}"}],
        }
        return self.span(
            "llm", "gpt-4o-mini", seconds, parent, outputs=outputs, inputs=inputs, **amounts, **fields
        )

    def tool(self, parent: str | None, name: str = "", **fields: Any) -> float:
        """Add a tool call with an argument of its own."""
        name = name or self.random.choice(("search", "lookup", "fetch"))
        seconds = self.random.lognormvariate(-1.5, 0.6)
        fields = {
            "inputs": {"arguments": {"q": self.random.random()}},
            "outputs": {"result": self.random.random()},
        } | fields
        return self.span("tool", name, seconds, parent, **fields)

    def request(self, calls: int = 3, agent: str = "Helper", **model: Any) -> None:
        """Add the work of an agent on one request: model calls, and tools between them."""
        began = self.at
        start = self.event("agent_execution_start", "agent", self.at, component_name=agent, status="started")
        for call in range(calls):
            self.at += self.random.uniform(0.005, 0.05)
            self.model(start, **model)
            if call < calls - 1:
                self.tool(start)
        self.end("agent", start, self.at - began, "agent_execution", component_name=agent)

    def pause(self, seconds: float) -> None:
        """Let time pass without an event."""
        self.at += seconds


def chat(run: Run) -> None:
    """A conversation: a few requests, with the pauses of a user, and a context that grows."""
    read = 300
    for _ in range(run.random.randint(4, 14)):
        read += run.random.randint(100, 400)
        run.request(run.random.randint(1, 3), read=read)
        run.pause(run.random.uniform(1, 40))


def service(run: Run, seconds: float = 400, **model: Any) -> None:
    """A service: requests one after the other; one call in a hundred fails and is tried again."""
    until = run.at + seconds
    while run.at < until:
        if run.random.random() < 0.01:
            run.model(status="failed", error="overloaded", error_type="OverloadedError")
        run.request(run.random.randint(1, 4), **model)
        run.pause(run.random.expovariate(0.6))


def worker(run: Run) -> None:
    """A queue worker: jobs of the same three steps in the same order, and long waits for the next one.

    It takes memory while it warms up.
    """
    for job in range(run.random.choice((15, 30, 150))):
        began = run.at
        start = run.event("agent_execution_start", "agent", run.at, component_name="Worker", status="started")
        for step in ("load", "convert", "store"):
            run.tool(start, step)
        run.memory = 80 + 60 * (1 - 0.9**job)
        run.end("agent", start, run.at - began, "agent_execution", component_name="Worker")
        run.pause(run.random.expovariate(1 / 20))


def example(recorded: list[dict[str, Any]]) -> Callable[[Run], None]:
    """Return an agent that does what a recorded example did, with latencies of its own."""

    def play(run: Run) -> None:
        slower = run.random.uniform(1, 12)
        keys: dict[str, str] = {}
        before = recorded[0]["timestamp"]
        for event in recorded:
            if event["event_type"] in ("trace_start", "trace_end"):
                continue
            run.at += (event["timestamp"] - before) * slower * run.random.uniform(0.7, 1.4)
            before = event["timestamp"]
            fields = {name: value for name, value in event.items() if name not in _WRITTEN}
            if "duration_ms" in fields:
                fields["duration_ms"] *= slower
            kind, component = fields.pop("event_type"), fields.pop("component")
            keys[event["event_id"]] = run.event(
                kind, component, run.at, parent=keys.get(event.get("parent_event_id", "")), **fields
            )

    return play


_WRITTEN = frozenset({"event_id", "seq", "timestamp", "execution_id", "parent_event_id", "sig"})


def plant_loop(run: Run) -> None:
    """An agent that calls the same tool with the same argument and gets the same result."""
    service(run, 60)
    run.expected = "loop"
    began = run.at
    start = run.event("agent_execution_start", "agent", run.at, component_name="Stuck", status="started")
    for again in range(25):
        run.model(start)
        run.tool(start, "search", inputs={"arguments": {"q": "lamps"}}, outputs={"result": []})
        if again == 4:
            run.met = run.at
    run.over = run.at
    for _ in range(12):
        run.model(start)
        run.tool(start)
    run.end("agent", start, run.at - began, "agent_execution", component_name="Stuck")
    run.pause(20)


def plant_slow_model(run: Run) -> None:
    """A model that takes about ten times as long."""
    service(run, 150)
    run.expected = "performance_degradation"
    for _ in range(14):
        run.model(slower=0.0, seconds=run.random.uniform(8, 14))
        run.pause(0.2)
    run.met = -1.0  # by the durations
    run.over = run.at
    service(run, 60)


def plant_error_burst(run: Run) -> None:
    """Half of the calls fail."""
    service(run, 200)
    run.expected, run.met = "error_rate_high", -1.0
    for _ in range(30):
        failed = (
            {"status": "failed", "error": "500", "error_type": "ServerError"}
            if run.random.random() < 0.5
            else {}
        )
        run.model(**failed)
        run.pause(0.5)
    service(run, 340)


def plant_leak(run: Run) -> None:
    """Memory that grows by 300 MB an hour."""
    run.expected, run.met = "memory_leak", -1.0
    until, began = run.at + 1500, run.at
    while run.at < until:
        run.memory = 80 + 300 * (run.at - began) / 3600
        run.request(2)
        run.pause(run.random.expovariate(0.2))


def plant_cost_jump(run: Run) -> None:
    """A model call that costs eight times as much from some time on."""
    service(run, 120)
    run.expected, run.met = "cost_jump", -1.0
    for _ in range(12):
        run.model(dearer=12)
        run.pause(0.2)
    run.over = run.at
    service(run, 60)


def plant_stall(run: Run) -> None:
    """A model call that is not answered for two minutes."""
    service(run, 90)
    run.expected, run.met = "stalled_call", run.at + 60
    run.model(slower=0.0)
    moments = run.moments[-2:]
    del run.moments[-1:]
    run.at += 120
    run.moments.append((run.at, moments[1][1] | {"timestamp": run.at, "duration_ms": 120_000.0}))
    run.over = run.at
    service(run, 30)


def plant_death(run: Run) -> None:
    """A process that is killed within a request."""
    service(run, run.random.uniform(30, 90))
    run.request(3)
    del run.moments[-3:]
    run.at = run.moments[-1][0]
    run.expected, run.dies, run.lasts = "agent_down", True, 75.0


HEALTHY = (chat, service, worker)
PLANTED = (
    plant_loop,
    plant_slow_model,
    plant_error_burst,
    plant_leak,
    plant_cost_jump,
    plant_stall,
    plant_death,
)


@dataclass
class Outcome:
    """What a monitor reported of a run.

    Attributes:
        fired: every alert that began to fire, once.
        resolved: those that were resolved.
        seen: when each fired, by rule: the time of the look.
    """

    fired: list[Alert] = field(default_factory=list)
    resolved: list[Alert] = field(default_factory=list)
    seen: dict[str, float] = field(default_factory=dict)


def write(run: Run, folder: Path, title: str = "") -> tuple[TraceWriter, Callable[[dict[str, Any]], None]]:
    """Begin the trace of a run; return its writer, and what appends an event to it."""
    execution = f"{run.seed:032x}"

    def header(process: int, segment: int, seq: int) -> dict[str, Any]:
        about = {
            "format": FORMAT_VERSION,
            "process": process,
            "segment": segment,
            "target": title or f"{run.name}.py",
            "argv": [],
            "pid": 4242,
        }
        return {"event_type": "trace_start", "event_id": "", "seq": seq, "timestamp": run.moments[0][0], "execution_id": execution,
                "component": "app", "metadata": about}  # fmt: skip

    writer = TraceWriter(folder / f"{run.name}.jsonl", first_process=True, header=header)
    writer.begin()
    OPENED.append(writer)
    ids: dict[str, str] = {}

    def append(event: dict[str, Any]) -> None:
        event = {"event_id": "", "seq": 0, "execution_id": execution, **event}
        key, parent = event.pop("key"), event.pop("parent", None)
        if parent is not None:
            event["parent_event_id"] = ids[parent]
        ids[key] = writer.append(event)

    return writer, append


def end(writer: TraceWriter, at: float) -> None:
    """Record the end of a run."""
    event = {
        "event_type": "trace_end",
        "event_id": "",
        "seq": 0,
        "timestamp": at,
        "execution_id": "",
        "component": "app",
    }
    writer.end(event, 0)


def watch(run: Run, folder: Path, config: DebugConfiguration | None = None) -> Outcome:
    """Write a run as the clock goes, and return what a monitor reported of it."""
    rules = read_alert_rules(config or DebugConfiguration())
    run.moments.sort(key=lambda moment: moment[0])
    writer, append = write(run, folder)
    outcome = Outcome()
    now = run.moments[0][0]
    monitor = monitor_of([folder / f"{run.name}.jsonl"], rules, now)

    def look() -> None:
        for alert in monitor.poll(now).changed:
            if alert.state == FIRING:
                outcome.fired.append(alert)
                outcome.seen.setdefault(alert.rule, now)
            elif alert.state == RESOLVED:
                outcome.resolved.append(alert)

    for at, event in run.moments:
        while at > now:
            look()
            now += LOOK_SECONDS
        append(event)
    until = now + run.lasts
    now += LOOK_SECONDS
    look()
    if not run.dies:
        end(writer, run.at)
    else:
        run.met = now + 60
    writer.close()
    while now < until:
        now += LOOK_SECONDS
        look()
    return outcome


def monitor_of(paths: list[Path], rules: list[AlertRule], now: float, **options: Any) -> Monitor:
    """Return a monitor that is closed after the test."""
    monitor = Monitor(paths, rules, now, **options)
    OPENED.append(monitor)
    return monitor


@pytest.fixture(autouse=True)
def close_all():
    """Close writers and monitors."""
    yield
    while OPENED:
        OPENED.pop().close()


def read_recorded(path: Path) -> list[dict[str, Any]]:
    """Return the events of a recorded example."""
    return [json.loads(line) for line in path.read_text().splitlines()]


ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def examples(tmp_path_factory):
    """The events of the recorded examples."""
    folder = tmp_path_factory.mktemp("examples")
    found = []
    for name in EXAMPLES:
        path = folder / f"{name}.jsonl"
        command = [
            sys.executable,
            "-m",
            "namel3ss_debug",
            "trace",
            "-o",
            str(path),
            str(ROOT / "examples" / name),
        ]
        subprocess.run(command, check=False, capture_output=True, stdin=subprocess.DEVNULL)
        found.append(read_recorded(path))
    return found
