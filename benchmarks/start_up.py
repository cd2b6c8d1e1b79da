"""What starting costs: `namel3ss debug --help` and `import namel3ss_debug`, each beside `python -c pass`."""

from __future__ import annotations

import sys
from statistics import median

from timing import differences, holds, interleaved, process, show

ROUNDS = 25
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


def main() -> int:
    """Measure, print, and return the exit status: 0 when both claims hold."""
    subjects = {name: lambda command=command: process(command).seconds for name, command in COMMANDS.items()}
    taken = interleaved(subjects, ROUNDS)
    print("A whole process:")
    show(taken, 1e3, " ms")
    claims = [
        holds(HELP, median(taken[HELP]) * 1e3, 100, " ms"),
        holds(f"{IMPORT}, more than {PASS}", median(differences(taken, IMPORT, PASS)) * 1e3, 40, " ms"),
    ]
    return 0 if all(claims) else 1


if __name__ == "__main__":
    sys.exit(main())
