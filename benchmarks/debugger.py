"""The debugger on a million events: how soon it asks, how soon it answers, and the way back beside the way there.

The trace is that of `read_million.py`. The prompt is that of the real command on a terminal of its own; commands
are given to the same session that the prompt feeds, and what they answer is drawn as on a terminal.
"""

from __future__ import annotations

import os
import pty
import select
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, process_time

from read_million import DEBUG, EVENTS, TRACE, make_trace
from timing import Ended, Rounds, holds, interleaved, process, ratios, spread

from namel3ss_debug.importers.opening import open_trace
from namel3ss_debug.replay.debugger.interpreter import Debugger
from namel3ss_debug.replay.debugger.results import Mistake, Stopped
from namel3ss_debug.views.results import draw_result

ROUNDS = 3
PATIENCE = 120.0
"""How long a prompt is waited for, in seconds, before the measurement is given up."""

POSITIONS = (1, 10, EVENTS // 2, EVENTS // 2 + 1, EVENTS // 2 + 4, EVENTS - 40, EVENTS)
COMMANDS = """
step; next; return; until; jump {near}; goto {far}; goto start; goto end; restart; step 100; next 10
reverse-step; reverse-next; reverse-finish; reverse-step 100; reverse-next 10
break llm:3; break tool:open_ticket; break error if duration_ms > 5; break desk.py:41; break {far}; tbreak gpt-4o@5000
breakpoint; watch totals.cost; info breakpoints; clear
where; up; down; list; list {near}, {far}; longlist; args; retval; source; when
print totals; print outputs; pp inputs; whatis inputs; inspect totals.cost; display totals.errors; undisplay
messages; messages --diff; info spans; info messages; info tools; info cost; info errors; info totals; info mocks
mock open_ticket:"closed"; mock gpt-4o@1000:"hello"; unmock; bookmark here; bookmark; help; help step
""".replace("\n", ";").split(";")

PLACES = {
    "a place": "trace_start",
    "a place if condition": "llm if tokens_used > 1e9",
    "if condition": "if duration_ms > 1e12",
}
"""What breakpoints are set at; the first stops only at the first event, the others nowhere."""

WATCHED = "totals.errors > 1e9"


def prompted() -> Ended:
    """Start a session on a terminal, wait for its prompt, and leave it: seconds to the prompt, memory to the end."""
    ours, theirs = pty.openpty()
    began = perf_counter()
    running = subprocess.Popen(
        [*DEBUG, "replay", str(TRACE), "--step"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm"},
        start_new_session=True,
    )
    os.close(theirs)
    shown = b""
    while b"(debug 1/" not in shown:
        if not select.select([ours], [], [], PATIENCE)[0]:
            running.kill()
            raise RuntimeError(f"no prompt: {shown[-500:].decode(errors='replace')}")
        shown += os.read(ours, 65536)
        if b"\x1b[6n" in shown:  # the line editor asks where the cursor stands
            os.write(ours, b"\x1b[1;1R")
            shown = shown.replace(b"\x1b[6n", b"")
    seconds = perf_counter() - began
    os.write(ours, b"quit\r")
    while select.select([ours], [], [], PATIENCE)[0]:
        try:
            if not os.read(ours, 65536):
                break
        except OSError:
            break
    _, status, used = os.wait4(running.pid, 0)
    running.returncode = os.waitstatus_to_exitcode(status)
    os.close(ours)
    return Ended(seconds, used.ru_maxrss / 1024)


def answer_times() -> dict[str, float]:
    """Each command with the longest it took at any of the positions, in milliseconds; the median of a few times each."""
    worst: dict[str, float] = {}
    session = Debugger(open_trace(TRACE))
    for number in POSITIONS:
        names = {"near": max(number - 5, 1), "far": max(number * 2 // 3, 1)}
        for written in filter(None, map(str.strip, COMMANDS)):
            command = written.format(**names)
            taken = []
            for _ in range(ROUNDS):
                session.execute("jump " + str(number))
                began = perf_counter()
                results = session.execute(command)
                for result in results:
                    for _ in draw_result(result, 80, cost_of=session.stepper.history.cost_of):
                        pass
                taken.append((perf_counter() - began) * 1000)
            worst[written] = max(worst.get(written, 0.0), statistics.median(taken))
        session.execute("clear")
    return worst


def runs(place: str, *, watch: bool = False) -> Rounds:
    """Seconds of `continue` and of `reverse-continue` over the whole recording, in turn.

    They are seconds of the processor: nothing waits here but for other programs.
    """
    session = Debugger(open_trace(TRACE))
    set_up = session.execute(f"{'watch' if watch else 'break'} {place}")
    if any(isinstance(result, Mistake) for result in set_up):
        raise RuntimeError(f"{place}: {set_up}")

    def run(command: str, begin: int, end: int) -> Callable[[], float]:
        def once() -> float:
            session.execute(f"jump {begin}")
            began = process_time()
            stopped = session.execute(command)[0]
            seconds = process_time() - began
            if not isinstance(stopped, Stopped) or stopped.number != end:
                raise RuntimeError(f"{command} with {place}: {stopped}")
            return seconds

        return once

    first = 1 if place == "trace_start" else 0
    there, back = run("continue", 1, EVENTS), run("reverse-continue", EVENTS, first)
    return interleaved({"continue": there, "reverse-continue": back}, ROUNDS)


def main() -> int:
    """Measure, print, and return the exit status: 0 when all claims hold."""
    make_trace()
    with tempfile.TemporaryDirectory() as cache:
        os.environ["XDG_CACHE_HOME"] = cache
        first = prompted()
        kept = sum(path.stat().st_size for path in Path(cache).rglob("*") if path.is_file())
        again = [prompted() for _ in range(ROUNDS)]
        print(f"{EVENTS:,} events of {TRACE.stat().st_size / EVENTS:.0f} bytes:")
        print(f"  to the prompt, first   {first.seconds:.3g} s, which keeps {kept / 1e6:.3g} MB")
        print(f"  to the prompt          {spread([one.seconds for one in again])} s")
        worst = answer_times()
        print("  the slowest commands, drawn, at their worst of seven places:")
        for command in sorted(worst, key=lambda name: -worst[name])[:8]:
            print(f"    {command:22} {worst[command]:.3g} ms")
        print("  over the whole recording, in seconds of the processor: continue, reverse-continue")
        backwards = {}
        for name, place in [*PLACES.items(), ("watch", WATCHED)]:
            taken = runs(place, watch=name == "watch")
            backwards[name] = ratios(taken, "reverse-continue", "continue")
            there, back = (spread(taken[each]) for each in ("continue", "reverse-continue"))
            print(f"    {name:22} {there}, {back}")
        script = [f"break {place}" for place in PLACES.values()]
        script += [
            "goto 1",
            "continue",
            "reverse-continue",
            "goto end",
            "info errors",
            "messages --diff",
            "longlist",
        ]
        walked = process([*DEBUG, "replay", str(TRACE), *(word for each in script for word in ("-c", each))])
    most = max(one.megabytes for one in [first, *again, walked])
    slowest = max(worst, key=lambda name: worst[name])
    claims = [
        holds("to the prompt, once indexed", statistics.median(one.seconds for one in again), 1, " s"),
        holds(f"the slowest command ({slowest})", worst[slowest], 50, " ms"),
        holds("memory at its peak", most, 300, " MB"),
        *(
            holds(f"reverse-continue / continue, {name}", statistics.median(each), 1.1)
            for name, each in backwards.items()
        ),
    ]
    return 0 if all(claims) else 1


if __name__ == "__main__":
    sys.exit(main())
