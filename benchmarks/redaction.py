"""Compare what redaction adds to a model call of 20 kB with what another version of this package adds.

A call is a span with a prompt that was never seen before: prose, source code, JSON of a search with its addresses, or an
image; then with a megabyte of base64, random, of zeros (silence, black pixels) or of text. In time of a processor, since nothing waits. Usage: `python benchmarks/redaction.py OTHER_PYTHON`, the Python of an
environment that holds the other version.
"""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from statistics import median

from timing import holds, interleaved, ratios, show, spread

CALLS = 60
ROUNDS = 9
KINDS = ("prose", "code", "image", "search")
CLAIMED = KINDS[:3]
DATA = ("data", "zeros", "text")
MOST_SECONDS = 0.020
MEASURED = f"""
import base64, inspect, json, random, subprocess, sys, tempfile, time
from namel3ss_debug.capture.launch.start import initialize_tracing, shutdown_tracing

kind = sys.argv[1]
rng = random.Random(5)
words = [w for w in inspect.getsource(json.decoder).split() if w.isalpha()] + "the a of and to in is it with for".split() * 20
code = inspect.getsource(subprocess)


def prompt(number):
    if kind == "prose":
        return " ".join(rng.choices(words, k=4000))[:20_000]
    if kind == "code":
        start = rng.randrange(len(code) - 19_000)
        return f"# {{number}}" + code[start:start + 19_000]
    if kind == "search":
        rows = []
        while len(rows) < 60:
            query = "%20".join(rng.choices(words, k=4))
            rows.append({{"id": f"{{rng.getrandbits(128):032x}}", "url": f"https://example.com/a?q={{query}}",
                          "text": " ".join(rng.choices(words, k=30)) + "\\n\\u201c"}})
        return json.dumps(rows)[:20_000]
    if kind == "data":
        return base64.b64encode(rng.randbytes(750_000)).decode()
    if kind == "zeros":
        return base64.b64encode(bytes(750_000 + number)).decode()
    if kind == "text":
        return base64.b64encode(" ".join(rng.choices(words, k=200_000))[:750_000].encode()).decode()
    return "data:image/png;base64," + base64.b64encode(b"\\x89PNG\\r\\n" + rng.randbytes(15_000)).decode()


with tempfile.TemporaryDirectory() as folder:
    calls = 3 if kind in {DATA} else {CALLS}
    tracer = initialize_tracing(trace_output_dir=folder, max_payload_size=0)
    prompts = [prompt(number) for number in range(calls + 5)]
    for text in prompts[:1]:
        with tracer.span("llm", "chat", inputs={{"prompt": text}}):
            pass
    began = time.process_time()
    for text in prompts[5:]:
        with tracer.span("llm", "chat", inputs={{"prompt": text}}):
            pass
    print((time.process_time() - began) / calls)
    shutdown_tracing()
"""
THIS, OTHER = "this version", "the other version"


def main() -> int:
    """Measure, print, and return the exit status: 0 when the claims hold."""
    if len(sys.argv) != 2:
        print("usage: redaction.py OTHER_PYTHON", file=sys.stderr)
        return 2
    pythons = {THIS: sys.executable, OTHER: os.path.abspath(sys.argv[1])}
    within = []
    for kind in KINDS:
        subjects = {version: partial(call_seconds, python, kind) for version, python in pythons.items()}
        taken = interleaved(subjects, ROUNDS)
        print(f"A model call of 20 kB of {kind}, redacted:")
        show(taken, 1e6, " µs")
        print(f"  this version / the other: {spread(ratios(taken, THIS, OTHER))}")
        ratio = median(ratios(taken, THIS, OTHER))
        if kind in CLAIMED:
            within.append(
                holds(f"a redacted model call of 20 kB of {kind} / with the other version", ratio, 1.5)
            )
    for kind in DATA:
        subjects = {version: partial(call_seconds, python, kind) for version, python in pythons.items()}
        taken = interleaved(subjects, 3)
        print(f"A model call of a megabyte of base64, {kind}:")
        show(taken, 1e3, " ms")
        within.append(
            holds(f"seconds for a redacted megabyte of base64, {kind}", median(taken[THIS]), MOST_SECONDS)
        )
    return 0 if all(within) else 1


def call_seconds(python: str, kind: str) -> float:
    """Record calls, and return what one took, in seconds.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    command = [python, "-c", MEASURED, kind]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


if __name__ == "__main__":
    sys.exit(main())
