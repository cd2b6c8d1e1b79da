"""What starting costs: `namel3ss debug --help`, `import namel3ss_debug`, a traced program, and a worker that it spawns.

The last two are time of processors of all processes, because the command and the program are two. A worker of
multiprocessing does nothing; what four more of them take is a worker's.
"""

from __future__ import annotations

import os
import sys
import tempfile
from functools import partial
from pathlib import Path
from statistics import median

from timing import Rounds, differences, holds, interleaved, process, show, spread

ROUNDS = 25
TRACED_ROUNDS = 7
HELP = "namel3ss debug --help"
IMPORT = "import namel3ss_debug"
PASS = "python -c pass"

COMMANDS = {
    PASS: [sys.executable, "-c", "pass"],
    IMPORT: [sys.executable, "-c", "import namel3ss_debug"],
    HELP: [
        sys.executable,
        "-c",
        "from namel3ss_debug.cli.main import namel3ss; namel3ss()",
        "debug",
        "--help",
    ],
}
WORKERS = """\
import multiprocessing
import sys


def work():
    pass


if __name__ == "__main__":
    spawning = multiprocessing.get_context("spawn")
    for _ in range(int(sys.argv[1])):
        worker = spawning.Process(target=work)
        worker.start()
        worker.join()
"""
TRACE = ["-c", "from namel3ss_debug.cli.main import debug; debug()", "trace"]
MORE = 4


def main() -> int:
    """Measure, print, and return the exit status: 0 when all claims hold."""
    subjects = {name: lambda command=command: process(command).seconds for name, command in COMMANDS.items()}
    taken = interleaved(subjects, ROUNDS)
    print("A whole process:")
    show(taken, 1e3, " ms")
    claims = [
        holds(HELP, median(taken[HELP]) * 1e3, 100, " ms"),
        holds(f"{IMPORT}, more than {PASS}", median(differences(taken, IMPORT, PASS)) * 1e3, 40, " ms"),
        *traced(),
    ]
    return 0 if all(claims) else 1


def traced() -> list[bool]:
    """What a traced program and its workers take more of processors than without us."""
    with tempfile.TemporaryDirectory() as folder:
        # The first round compiles everything, as installing a package does.
        os.environ |= {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": f"{folder}/compiled"}
        program = Path(folder) / "program.py"
        program.write_text(WORKERS)

        def run(*before: str, workers: int) -> float:
            command = [sys.executable, *before, str(program), str(workers)]
            return process(command, {"NAMEL3SS_DEBUG_OUTPUT_DIR": f"{folder}/traces"}).cpu

        each = (
            (name, before, workers)
            for name, before in (("plain", []), ("traced", TRACE))
            for workers in (0, 1, 5)
        )
        taken = interleaved(
            {
                f"{name}, {workers} workers": partial(run, *before, workers=workers)
                for name, before, workers in each
            },
            TRACED_ROUNDS,
        )
    print("A program and its processes, time of processors:")
    show(taken, 1e3, " ms")
    start = differences(taken, "traced, 0 workers", "plain, 0 workers")
    more = [
        ours - plain
        for ours, plain in zip(of_a_worker(taken, "traced"), of_a_worker(taken, "plain"), strict=True)
    ]
    print(
        f"debug trace adds {spread(start, 1e3, ' ms')} to a start, {spread(more, 1e3, ' ms')} to a spawned worker"
    )
    return [
        holds("a traced start, more than a plain one", median(start) * 1e3, 150, " ms"),
        holds("a spawned worker, more than a plain one", median(more) * 1e3, 50, " ms"),
    ]


def of_a_worker(taken: Rounds, name: str) -> list[float]:
    """What one worker takes, in seconds."""
    return [more / MORE for more in differences(taken, f"{name}, {1 + MORE} workers", f"{name}, 1 workers")]


if __name__ == "__main__":
    sys.exit(main())
