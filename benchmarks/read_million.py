"""Reading and analysing a million events beside `jq`, and looking at one of them through the index.

What is compared is how long one waits, by the clock on the wall. `jq` is one process; `analyze` reads the later half of
so long a recording in a second one, where there are two processors. The time of the processors, of both processes
together, stands beside it. So does what `analyze` takes when it is held to one processor, which needs `taskset`.

The trace is made once and kept in the temporary directory (about 500 MB): a support desk of four agents, each answer a
chain of steps with two model calls, a tool call and an HTTP exchange in them; some fail, a few retry.
"""

from __future__ import annotations

import os
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any, BinaryIO

import orjson
from timing import Ended, holds, process, spread

EVENTS = 1_000_000
LOOKED_AT = 900_000
ROUNDS = 3
TRACE = Path(tempfile.gettempdir()) / "namel3ss-debug-benchmarks" / "million-2.jsonl"
DEBUG = [sys.executable, "-c", "from namel3ss_debug.cli.main import debug; debug()"]
JQ = ["jq", "-c", "[.component,.duration_ms]"]
ONE_PROCESSOR = ["taskset", "-c", str(min(os.sched_getaffinity(0)))] if shutil.which("taskset") else []
FOUR = ["--summary", "--performance", "--errors", "--resources"]

AGENTS = ("Router", "Billing", "Shipping", "Returns")
TOOLS = ("lookup_order", "refund_policy", "track_parcel", "open_ticket")
MODELS = {"gpt-4o": (2.5e-6, 1e-5), "gpt-4o-mini": (1.5e-7, 6e-7), "claude-sonnet-4": (3e-6, 1.5e-5)}
WORDS = [
    "the",
    "order",
    "arrived",
    "late",
    "and",
    "the",
    "lamp",
    "was",
    "broken",
    "so",
    "the",
    "customer",
    "would",
    "like",
    "to",
    "have",
    "the",
    "money",
    "back",
    "or",
    "a",
    "new",
    "one",
    "before",
    "the",
    "weekend",
    "please",
    "check",
    "the",
    "parcel",
    "and",
    "tell",
    "her",
    "when",
    "it",
    "will",
    "be",
    "there",
    "thank",
    "you",
    "very",
    "much",
]
FAILURE = 'Traceback (most recent call last):\n  File "desk.py", line 88, in lookup\n    raise KeyError(order)\nKeyError'


class Recording:
    """Writes spans in the format of a recording, with a clock of its own."""

    def __init__(self, file: BinaryIO, seed: int = 1, began: float = 1_735_689_600.0) -> None:
        self.random = random.Random(seed)
        self.written = 0
        self._file = file
        self._now = began
        self._inside: list[str] = []

    def event(self, event_type: str, component: str, **fields: Any) -> str:
        """Write one event inside the current span and return its id."""
        event_id = str(self.written + 1)
        self._now += self.random.expovariate(2000)
        event = {
            "event_type": event_type,
            "event_id": event_id,
            "seq": self.written,
            "timestamp": round(self._now, 6),
            "parent_event_id": self._inside[-1] if self._inside else None,
            "execution_id": "5f0c4a7d0e21b964",
            "component": component,
            **fields,
        }
        kept = {name: value for name, value in event.items() if value is not None}
        self._file.write(orjson.dumps(kept, None, orjson.OPT_APPEND_NEWLINE))
        self.written += 1
        return event_id

    def start(
        self, prefix: str, component: str, name: str, line: int, **fields: Any
    ) -> tuple[str, str, str, float]:
        """Write the start of a span and go into it."""
        event_id = self.event(
            f"{prefix}_start",
            component,
            component_name=name,
            status="started",
            **fields,
            call_site=f"desk.py:{line}",
        )
        self._inside.append(event_id)
        return prefix, component, name, self._now

    def end(self, opened: tuple[str, str, str, float], *, failed: bool = False, **fields: Any) -> None:
        """Write the end of the span that was begun last and leave it."""
        prefix, component, name, began = opened
        failure = {"error": "'A-1001'", "error_type": "KeyError", "stack_trace": FAILURE} if failed else {}
        self.event(
            f"{prefix}_end",
            component,
            component_name=name,
            status="failed" if failed else "completed",
            duration_ms=round((self._now - began) * 1000, 6),
            **failure,
            **fields,
        )
        self._inside.pop()

    def text(self, words: int) -> str:
        """So many words."""
        return " ".join(self.random.choices(WORDS, k=words))


def llm_call(recording: Recording) -> None:
    """A call of a model: messages in, a text or a tool call out, usage and cost."""
    chance = recording.random
    model = chance.choice(list(MODELS))
    messages = [
        {"role": "system", "parts": [{"type": "text", "content": recording.text(30)}]},
        {"role": "user", "parts": [{"type": "text", "content": recording.text(chance.randrange(10, 50))}]},
    ]
    opened = recording.start("llm_call", "llm", model, 41, inputs={"model": model, "messages": messages})
    used, answered = chance.randrange(200, 4000), chance.randrange(10, 400)
    failed = chance.random() < 0.01
    if failed:
        recording.end(opened, failed=True, retry_count=1)
        return
    price_in, price_out = MODELS[model]
    recording.end(
        opened,
        outputs={"text": recording.text(40), "finish_reason": "stop", "response_model": model},
        usage={"input_tokens": used, "output_tokens": answered, "cache_read_tokens": used // 2},
        tokens_used=used + answered,
        cost_estimate=round(used * price_in + answered * price_out, 9),
        memory_usage_mb=120.5,
        cpu_time_ms=0.41,
    )


def tool_call(recording: Recording) -> None:
    """A tool call with an HTTP exchange inside."""
    chance = recording.random
    tool = chance.choice(TOOLS)
    arguments = {"order": f"A-{chance.randrange(9999)}", "note": recording.text(20)}
    opened = recording.start(
        "tool_call", "tool", tool, 66, inputs={"arguments": arguments, "call_id": f"call_{recording.written}"}
    )
    request = {"method": "GET", "url": f"http://127.0.0.1/orders/{chance.randrange(9999)}"}
    exchange = recording.start(
        "http_exchange", "http", "GET orders", 71, inputs=request | {"body": recording.text(30)}
    )
    recording.end(exchange, outputs={"status": 200, "body": recording.text(40)})
    recording.end(opened, failed=chance.random() < 0.02, outputs={"result": recording.text(45)})


def answers(recording: Recording) -> Iterator[None]:
    """Answer questions for ever; yields after each."""
    recording.event(
        "trace_start",
        "app",
        metadata={"format": 2, "pid": 1, "process": 0, "segment": 0, "first_seq": 0, "target": "desk.py"},
    )
    while True:
        question = recording.text(45)
        turn = recording.start(
            "agent_execution", "agent", recording.random.choice(AGENTS), 20, inputs={"question": question}
        )
        for step in ("classify", "look up", "answer"):
            opened = recording.start("chain_step", "chain", step, 30, inputs={"state": recording.text(30)})
            llm_call(recording)
            if step == "look up":
                tool_call(recording)
            recording.end(
                opened, outputs={"state": recording.text(30)}, memory_usage_mb=120.5, cpu_time_ms=1.2
            )
        recording.end(turn, outputs={"result": recording.text(45)}, memory_usage_mb=120.5, cpu_time_ms=3.9)
        yield


def make_trace() -> None:
    """Write the trace, unless an earlier run has."""
    if TRACE.exists():
        return
    print(f"making {TRACE} ...", flush=True)
    TRACE.parent.mkdir(exist_ok=True)
    unfinished = TRACE.with_suffix(".tmp")
    with unfinished.open("wb") as file:
        recording = Recording(file)
        for _ in answers(recording):
            if recording.written >= EVENTS - 30:
                break
        while recording.written < EVENTS - 1:
            recording.event("performance_marker", "app", component_name="queue", metadata={"value": 3})
        recording.event(
            "trace_end", "app", metadata={"events": recording.written, "tracing_us": 9e6, "dropped": 0}
        )
    unfinished.rename(TRACE)


def beside(mine: list[Ended], theirs: list[Ended]) -> float:
    """How much longer mine took than theirs on the wall, by the median of the rounds."""
    return median(one.seconds / other.seconds for one, other in zip(mine, theirs, strict=True))


def times(ended: list[Ended]) -> str:
    """What they took on the wall, and of the processors."""
    return f"{spread([one.seconds for one in ended])} s, of processors {spread([one.cpu for one in ended])} s"


def computed(mine: list[Ended], theirs: list[Ended]) -> str:
    """How much more of the processors' time mine took than theirs, by the median of the rounds."""
    return f"{median(one.cpu / other.cpu for one, other in zip(mine, theirs, strict=True)):.2f}"


def most(ended: list[Ended]) -> float:
    """The most memory that any of them took, in megabytes."""
    return max(one.megabytes for one in ended)


def main() -> int:
    """Measure, print, and return the exit status: 0 when all claims hold."""
    if shutil.which("jq") is None:
        sys.exit("read_million.py: jq is not installed")
    make_trace()
    size = TRACE.stat().st_size
    jq: list[Ended] = []
    four: list[Ended] = []
    every: list[Ended] = []
    alone: list[Ended] = []
    inspect: list[Ended] = []
    with tempfile.TemporaryDirectory() as cache:
        environ = {"XDG_CACHE_HOME": cache}
        look = [*DEBUG, "inspect", str(TRACE), "--event", str(LOOKED_AT), "--format", "json"]
        for _ in range(ROUNDS):
            jq.append(process([*JQ, str(TRACE)]))
            four.append(process([*DEBUG, "analyze", str(TRACE), *FOUR, "--format", "json"], environ))
            every.append(process([*DEBUG, "analyze", str(TRACE), "--format", "json"], environ))
            if ONE_PROCESSOR:
                command = [*ONE_PROCESSOR, *DEBUG, "analyze", str(TRACE), *FOUR, "--format", "json"]
                alone.append(process(command, environ))
        unindexed = process(look, environ)
        inspect += [process(look, environ) for _ in range(ROUNDS)]
        index = sum(path.stat().st_size for path in Path(cache).rglob("*") if path.is_file())
    print(f"{EVENTS:,} events of {size / EVENTS:.0f} bytes, whole processes:")
    print(f"  jq                      {times(jq)}")
    print(f"  analyze, four sections  {times(four)}  ({' '.join(FOUR)})")
    print(f"  the same, one processor {times(alone)}" if alone else "  taskset is not installed")
    print(f"  analyze, all sections   {times(every)}")
    print(f"  time of processors / jq: four sections {computed(four, jq)}, all {computed(every, jq)}")
    if alone:
        print(f"  four sections on one processor / jq: {beside(alone, jq):.2f}")
    print(
        f"  inspect --event, first  {unindexed.seconds:.3g} s, which builds an index of {index / 1e6:.3g} MB"
    )
    print(f"  inspect --event         {spread([one.seconds for one in inspect])} s")
    claims = [
        holds("four sections / jq", beside(four, jq), 1),
        holds("all sections / jq", beside(every, jq), 3),
        holds("memory of four sections, of inspect", most([*four, *inspect, unindexed]), 300, " MB"),
        holds("memory of all sections", most(every), 600, " MB"),
        holds(f"inspect --event {LOOKED_AT}, indexed", median(one.seconds for one in inspect), 1, " s"),
    ]
    return 0 if all(claims) else 1


if __name__ == "__main__":
    sys.exit(main())
