"""What `debug trace` costs a program that uses the OpenAI SDK: the whole process, and each call of the model.

The model is the scripted one of the examples, in another process, so that only the program's own work is measured.
A call that answers at once is the worst case: a real model takes a thousand times as long. No claim stands on this; the
figures are for the guide.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from serving import running
from timing import differences, interleaved, process, show, spread

CALLS = 200
ROUNDS = 7
PROGRAM = """\
import sys

from openai import OpenAI

url, calls = sys.argv[1], int(sys.argv[2])


def ask(client, turn):
    question = [{"role": "user", "content": f"Question {turn}: where is my parcel?"}]
    return client.chat.completions.create(model="gpt-4o-mini", messages=question).choices[0].message.content


with OpenAI(base_url=url + "/v1", api_key="unused") as client:
    for turn in range(calls):
        assert ask(client, turn)
"""
SERVER = """\
import sys

sys.path.insert(0, sys.argv[1])
from scripted_model import ScriptedModel, say

with ScriptedModel(lambda request: say("It is on its way.")) as model:
    print(model.url, flush=True)
    sys.stdin.read()
"""
TRACE = ["-c", "from namel3ss_debug.cli.main import debug; debug()", "trace"]


def main() -> int:
    """Measure, print, and return the exit status."""
    examples = Path(__file__).resolve().parent.parent / "examples"
    with tempfile.TemporaryDirectory() as name, running(SERVER, str(examples)) as url:
        program = Path(name) / "program.py"
        program.write_text(PROGRAM)
        environ = {"NO_PROXY": "127.0.0.1", "NAMEL3SS_DEBUG_OUTPUT_DIR": f"{name}/traces"}

        def run(*before: str, calls: int) -> float:
            command = [sys.executable, *before, str(program), url, str(calls)]
            return process(command, environ).seconds

        taken = interleaved(
            {
                "plain, 1 call": lambda: run(calls=1),
                "traced, 1 call": lambda: run(*TRACE, calls=1),
                f"plain, {CALLS} calls": lambda: run(calls=CALLS),
                f"traced, {CALLS} calls": lambda: run(*TRACE, calls=CALLS),
            },
            ROUNDS,
        )
    print("A program with the OpenAI SDK, whole processes:")
    show(taken, 1e3, " ms")
    once = differences(taken, "traced, 1 call", "plain, 1 call")
    often = differences(taken, f"traced, {CALLS} calls", f"plain, {CALLS} calls")
    each = [(more - start) / (CALLS - 1) for more, start in zip(often, once, strict=True)]
    print(f"debug trace adds {spread(once, 1e3, ' ms')} once, and {spread(each, 1e3, ' ms')} a call")
    return 0


if __name__ == "__main__":
    sys.exit(main())
