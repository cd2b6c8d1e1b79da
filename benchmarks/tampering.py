"""Truncate, replace and remove the files of a trace while a program writes it, and count what is read and lost.

Nothing may hurt the program: no signal, no exception, no other status. Each event must be read or counted as lost.
`python benchmarks/tampering.py [CHANGES]` makes 200 changes, and fails where one of this does not hold.
"""

from __future__ import annotations

import math
import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from namel3ss_debug.importers.opening import open_trace
from namel3ss_debug.traces.store import find_trace

PER_PROGRAM = 3
"""Changes of files while one program runs."""

PROGRAM = """
import os, sys, threading
from namel3ss_debug import initialize_tracing, shutdown_tracing
tracer = initialize_tracing(trace_output_dir=sys.argv[1], rotate_max_bytes=int(sys.argv[2]))
stopped = threading.Event()
def work(name):
    n = 0
    while not stopped.is_set():
        with tracer.span("tool", name):
            tracer.emit("decision", component="tool", component_name=f"{name}-{n}")
        n += 1
threads = [threading.Thread(target=work, args=(f"t{k}",)) for k in range(3)]
for thread in threads:
    thread.start()
print(tracer.writer.first, flush=True)
for line in sys.stdin:  # one step of the tampering is over
    print(tracer.writer.next_seq, flush=True)
stopped.set()
for thread in threads:
    thread.join()
problems = dict(tracer.problems)
shutdown_tracing()
print(tracer.writer.next_seq, tracer.writer.dropped, problems, flush=True)
"""


class Outcome(NamedTuple):
    """What a program wrote, and what a reader counted."""

    status: int
    stderr: str
    problems: str
    written: int
    read: int
    lost: int

    def is_sound(self) -> bool:
        """Return whether the program ended as ever, and each event is read or counted as lost."""
        unhurt = self.status == 0 and self.problems == "{}" and "Traceback" not in self.stderr
        return unhurt and self.stderr.count("\n") <= 1 and self.written == self.read + self.lost


def truncate_to_nothing(file: Path, _rng: random.Random) -> None:
    """Truncate a file as `> FILE` does."""
    os.truncate(file, 0)


def truncate_anywhere(file: Path, rng: random.Random) -> None:
    """Cut a file in the middle of a line, or make it longer than it is."""
    os.truncate(file, rng.randrange(file.stat().st_size + 4096))


def replace_by_copy(file: Path, _rng: random.Random) -> None:
    """Replace a file as `sed -i` does."""
    copy = file.with_name(f"{file.name}.tmp")
    shutil.copy(file, copy)
    os.replace(copy, file)


def replace_by_other(file: Path, _rng: random.Random) -> None:
    """Replace a file by something that is no trace."""
    other = file.with_name("other")
    other.write_text("not a trace\n")
    os.replace(other, file)


def remove(file: Path, _rng: random.Random) -> None:
    """Remove a file."""
    file.unlink()


def remove_link(file: Path, _rng: random.Random) -> None:
    """Remove the link to the newest trace."""
    (file.parent / "trace_latest.jsonl").unlink(missing_ok=True)


def remove_folder(file: Path, _rng: random.Random) -> None:
    """Remove the folder with everything in it."""
    shutil.rmtree(file.parent, ignore_errors=True)


WAYS = (
    truncate_to_nothing,
    truncate_anywhere,
    replace_by_copy,
    replace_by_other,
    remove,
    remove_link,
    remove_folder,
)


def tamper(folder: Path, seed: int, *, rotate_max_bytes: int = 0) -> Outcome:
    """Run a program with several threads, tamper with its files, and read what is left.

    Args:
        folder: where its trace is written.
        seed: decides which file is changed in which way, and after how many more events.
        rotate_max_bytes: the size of a segment; 0 for one segment.
    """
    rng = random.Random(seed)
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM, str(folder), str(rotate_max_bytes)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        first = Path(program.stdout.readline().strip())
        for _ in range(PER_PROGRAM):
            wanted = _next_seq(program) + rng.randrange(1, 400)
            while _next_seq(program) < wanted:
                pass
            files = sorted(folder.glob("*_*[0-9a-f].*jsonl")) or [first]
            try:
                rng.choice(WAYS)(rng.choice(files), rng)
            except FileNotFoundError:
                pass  # the program has not begun its file anew yet
        wanted = _next_seq(program) + 10
        while _next_seq(program) < wanted:
            pass
        output, errors = program.communicate()
    last = output.splitlines()[-1].split(maxsplit=2) if output else ["0", "0", ""]
    trace = open_trace(find_trace(str(first), folder))
    seen = [event.get("seq") for event in trace.events()]
    return Outcome(program.returncode, errors, last[2], int(last[0]), len(seen), trace.lost)


def _next_seq(program: subprocess.Popen[str]) -> int:
    """Ask the program which number its next event gets."""
    assert program.stdin is not None
    assert program.stdout is not None
    program.stdin.write("?\n")
    program.stdin.flush()
    return int(program.stdout.readline())


def main() -> int:
    """Make the changes, print what was counted, and return the exit status."""
    changes = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    written = read = lost = failures = 0
    for seed in range(math.ceil(changes / PER_PROGRAM)):
        with tempfile.TemporaryDirectory() as name:
            outcome = tamper(Path(name) / "traces", seed, rotate_max_bytes=(seed % 2) * 100_000)
        written, read, lost = written + outcome.written, read + outcome.read, lost + outcome.lost
        if not outcome.is_sound():
            failures += 1
            print(f"seed {seed}: {outcome}")
    print(f"{changes} changes: {written:,} events written, {read:,} read, {lost:,} counted as lost")
    print(
        "PASS"
        if not failures
        else f"FAIL  {failures} programs were hurt, or lost events that were not counted"
    )
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
