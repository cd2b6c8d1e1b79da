r"""What following a framework adds to one call of a model, beside the instrumentors of OpenTelemetry for the same framework.

The programs and the instrumentors are in `integrations.py`. A program makes some calls that do not count, then `BATCH`
at each turn, and says what they took of a processor in its own process, all threads together. It runs plain, under
`debug trace`, and under each instrumentor that is installed, which gets a tracer provider with a `SimpleSpanProcessor`
and OpenTelemetry's file exporter (`opentelemetry-exporter-otlp-json-file`), which writes a line of OTLP in JSON for
each span: as with ours, what has ended is in the file. All record messages, answers, and what the model says of its
tokens; where the instrumentor of a framework leaves the calls of models to that of the SDK, both are switched on. The
model is in another process and answers at once; so does, for `mcp`, the server whose tool is called. What is compared
is what each adds to the plain program. What is not installed is left out, and one line says so; names as arguments
choose.

Every one that is installed is a claim: that ours adds no more than it.

Ours runs twice. By default it also records what a re-run needs of a program besides its calls, whatever the program
makes them with: the clock, the randomness and the environment that it and its libraries read; and memory and processor
time of each span. No instrumentor records any of these. With three settings these are left out (`CALLS_ALONE`), and
what is left is the following of calls. The claims are about the default settings, which is what users run; what it is
without these is shown beside it.

How it counts: in a run all programs are up at the same time and take turns, a batch each, so that a slow second is slow
for all. There are `RUNS` runs, each with new processes. Of each batch (the first, the second, ...) the least of the
runs counts, and the mean of all batches is the figure. The least of a batch is free of what other processes of the
machine did at that moment. The work that comes again after so many calls, above all the collection of garbage, comes at
the same place of nearly every run, so it is in the figure as often as it comes; a low quantile of the batches would
leave it out for a program that needs it less often than once in a batch. Each program collects all garbage once before
the calls that count: else the one full collection that is due after the imports falls on whichever program happens to
be near it. Later full collections are too rare to be in the figure. The mean of whole rounds, one program after the
other, differed between rounds by more than what is compared. Where the two halves of the runs say very different
ratios, the machine was too busy.

Not all go into one environment:

    pip install opentelemetry-sdk opentelemetry-exporter-otlp-json-file openai anthropic langchain langchain-openai
    openai-agents \
        'pydantic-ai-slim[openai]' opentelemetry-instrumentation-{openai,anthropic,langchain,openai-agents} \
        openinference-instrumentation-{openai,anthropic,langchain,openai-agents} \
        opentelemetry-instrumentation-genai-{openai,anthropic,langchain,openai-agents}
    pip install opentelemetry-sdk opentelemetry-exporter-otlp-json-file langgraph langchain langchain-openai
    google-genai ollama \
        boto3 cohere mistralai groq mcp 'smolagents[openai]' litellm \
        opentelemetry-instrumentation-{langchain,google-generativeai,ollama,bedrock,cohere,mistralai,groq,mcp,litellm} \
        openinference-instrumentation-{langchain,google-genai,ollama,bedrock,cohere,mistralai,groq,smolagents,litellm} \
        opentelemetry-instrumentation-{google-genai,botocore,genai-bedrock,genai-langchain,genai-openai,genai-smolagents}
    pip install opentelemetry-sdk opentelemetry-exporter-otlp-json-file 'google-adk>=2' \
        openinference-instrumentation-{google-adk,google-genai}
    pip install opentelemetry-sdk opentelemetry-exporter-otlp-json-file crewai \
        {opentelemetry,openinference}-instrumentation-{crewai,openai}
    pip install opentelemetry-sdk opentelemetry-exporter-otlp-json-file 'mcp<2' 'cohere<6' \
        opentelemetry-instrumentation-{mcp,cohere}

google-adk and crewai ask for older releases of what the others use, and OpenLLMetry's for mcp and cohere for older ones
of these.

Still not all record the same. Ours has a line at the start of each span, where in the program it was, and the HTTP
exchange with its body as it was; no instrumentor has these. The instructions of an agent of the OpenAI Agents SDK are
in ours and in OpenTelemetry's. Spans that the SDK of Anthropic makes itself have no texts, so they are not compared:
the tracer provider is given to the instrumentor, and is not that of the whole process.

OpenTelemetry's own instrumentors (the third rival) have texts only where a variable of the environment says so; it is
set to put them into the span. That of botocore knows log records only: it gets a logger provider too, whose exporter
writes a line for each record into the same file.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean
from typing import BinaryIO, NamedTuple

from integrations import ANSWER, FRAMEWORKS, INSTRUMENTED, OWN, PARCELS, TOKENS, Framework
from serving import serving
from timing import holds

BATCH = 10  # calls in a turn
WARM = 20  # calls before those
RUNS = 8
PLAIN, OURS, CALLS = "plain", "debug trace", "debug trace, calls alone"
CALLS_ALONE = {
    "NAMEL3SS_DEBUG_RECORD_RANDOMNESS": "false",
    "NAMEL3SS_DEBUG_CAPTURE_MEMORY": "false",
    "NAMEL3SS_DEBUG_CAPTURE_PERFORMANCE": "false",
}
"""Settings with which ours records of a program what an instrumentor records."""

TRACE = ["-c", "from namel3ss_debug.cli.main import debug; debug()", "trace", "-o", "run.jsonl"]


class Subject(NamedTuple):
    """What is run: its title, the program, the file that switches an instrumentor on and runs it, and settings of ours."""

    title: str
    program: str
    instrumented: str = ""
    told: re.Pattern[bytes] = TOKENS  # stands in a line for each call
    settings: dict[str, str] = {}  # noqa: RUF012  (nobody changes it)


Run = dict[str, list[float]]
"""Title of a subject -> what each of its batches took in one run, in seconds."""


TURNS = """\
import gc
import os
from time import process_time


def turns(batch, go, told):
    gc.collect()  # every program begins with a collector in the same state
    ended = 0
    before = process_time()
    os.write(told, b"ready\\n")
    while os.read(go, 1):
        yield from range(ended, ended + batch)
        ended += batch
        now = process_time()
        os.write(told, f"{now - before}\\n".encode())
        before = now
"""


def main() -> int:
    """Measure the frameworks named in the arguments, all without one; print, and return the exit status."""
    assert isinstance(sys.stdout, io.TextIOWrapper)
    sys.stdout.reconfigure(line_buffering=True)  # a row takes half a minute and more
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        shutil.copy(Path(__file__).with_name("answers.py"), folder)
        os.environ |= {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
        os.environ |= {"LANGSMITH_TRACING": "false", "TRACELOOP_TRACE_CONTENT": "true"}
        os.environ |= {"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "SPAN_ONLY"}
        os.environ.pop("OPENAI_API_KEY", None)
        with serving("answers") as url:
            claims = [
                claim
                for name in sys.argv[1:] or FRAMEWORKS
                for claim in following(name, FRAMEWORKS[name], url)
            ]
    return 0 if all(claims) else 1


def following(name: str, framework: Framework, url: str) -> list[bool]:
    """What each adds to a call of one framework; a claim for each instrumentor."""
    version = installed(framework.package)
    if not version:
        print(f"{name}: {framework.package} is not installed: left out")
        return []
    program, told = framework.program, framework.told
    subjects = {
        PLAIN: Subject(PLAIN, program),
        OURS: Subject(OURS, program, told=told),
        CALLS: Subject(CALLS, program, told=told, settings=CALLS_ALONE),
    }
    for title, other in framework.rivals.items():
        found = installed(other.package)
        full = title if title == OWN else f"{title} {found}"
        subject = Subject(full, program, INSTRUMENTED.format(statements=other.statements), told)
        if not found:
            print(f"{name}: {other.package} is not installed: {title} is left out")
        elif why := refused(subject, url):  # it is for other versions of the framework
            print(f"{name}: {full} does not follow {framework.package} {version}, and is left out: {why}")
        else:
            subjects[full] = subject
    runs = [in_turn(list(subjects.values()), url, framework.turns) for _ in range(RUNS)]
    taken = least(runs)
    width = max(map(len, taken))
    print(f"{name} ({framework.package} {version}), of a processor, each call:")
    for title, seconds in taken.items():
        added = "" if title == PLAIN else f", {1e6 * (seconds - taken[PLAIN]):.0f} µs more than plain"
        print(f"  {title:{width}}  {1e6 * seconds:.0f} µs{added}")
    return [compared(name, title, runs) for title in subjects if title not in (PLAIN, OURS, CALLS)]


def compared(name: str, rival: str, runs: Sequence[Run]) -> bool:
    """Print whether ours adds no more than an instrumentor, what each half of the runs says alone, and it for calls alone.

    It does not hold beside one that adds nothing that can be measured, as where the machine was too busy.
    """
    whole, even, odd = (added_beside(rival, least(part)) for part in (runs, runs[::2], runs[1::2]))
    calls = added_beside(rival, least(runs), CALLS)
    more = f"every second run alone: {even:.2f} and {odd:.2f}; calls alone: {calls:.2f}"
    if whole == math.inf:
        print(f"over  {name}: {rival} adds nothing measurable to a call ({more})")
        return False
    return holds(f"{name}: what ours adds to a call / {rival} ({more})", whole, 1.0)


def added_beside(rival: str, taken: dict[str, float], ours: str = OURS) -> float:
    """What ours adds to the plain program, as a part of what an instrumentor adds; infinite where that adds nothing."""
    beside = taken[rival] - taken[PLAIN]
    return (taken[ours] - taken[PLAIN]) / beside if beside > 0 else math.inf


def least(runs: Sequence[Run]) -> dict[str, float]:
    """Subject -> seconds a call: the least of the runs for each batch, then the mean of all batches."""
    return {
        title: mean(map(min, zip(*(run[title] for run in runs), strict=True))) / BATCH for title in runs[0]
    }


def in_turn(subjects: Sequence[Subject], url: str, turns: int) -> Run:
    """Start each program anew, and let them make a batch of calls each, in turn.

    Raises:
        RuntimeError: a program failed, or not every call has been recorded.
        EOFError: a program ended before its turn, without an error.
    """
    with contextlib.ExitStack() as stack:
        batches = {subject.title: stack.enter_context(started(subject, url, turns)) for subject in subjects}
        for batch in batches.values():
            next(batch)  # it has made the calls that do not count
        taken: Run = {title: [] for title in batches}
        for turn in range(turns):
            first = turn % len(subjects)
            for subject in (*subjects[first:], *subjects[:first]):
                taken[subject.title].append(next(batches[subject.title]))
    return taken


@contextlib.contextmanager
def started(subject: Subject, url: str, turns: int) -> Iterator[Iterator[float]]:
    """Run a program; what is given waits for its first calls, then gives the seconds that each batch took.

    Raises:
        RuntimeError: it failed, or not every call has been recorded.
    """
    with tempfile.TemporaryDirectory() as name, tempfile.TemporaryFile("w+") as errors:
        folder = Path(name)
        command = [sys.executable, *written(subject, folder), "program.py", url, str(WARM), str(BATCH)]
        (its_go, go), (told, its_told) = os.pipe(), os.pipe()
        process = subprocess.Popen(
            [*command, str(its_go), str(its_told)],
            cwd=folder,
            env=os.environ | subject.settings,
            pass_fds=(its_go, its_told),
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )
        os.close(its_go)
        os.close(its_told)
        try:
            with open(told, "rb") as answers:
                yield steps(answers, go)
        finally:
            os.close(go)  # there are no more turns
            status = process.wait()
            errors.seek(0)
            said = errors.read()
            if status:
                raise RuntimeError(f"{subject.title}: status {status}\n{said}")
        if subject.title != PLAIN:
            lines = (
                (folder / ("spans.jsonl" if subject.instrumented else "run.jsonl")).read_bytes().splitlines()
            )
            made = WARM + turns * BATCH
            for what, pattern in (("answers", ANSWER), ("counts of tokens", subject.told)):
                seen = sum(pattern.search(line) is not None for line in lines)
                if seen < made:
                    raise RuntimeError(f"{said}\n{subject.title}: {seen} {what} are recorded, of {made}")


def steps(answers: BinaryIO, go: int) -> Iterator[float]:
    """Wait until a program is ready (0), then give it a turn at each step: the seconds that its batch took.

    Raises:
        EOFError: the program has ended.
    """
    while line := answers.readline():
        yield 0.0 if line == b"ready\n" else float(line)
        os.write(go, b"1")
    raise EOFError("it ended before its turn")


def written(subject: Subject, folder: Path) -> list[str]:
    """Write the files of a program; the arguments that come before it."""
    for name, text in (("program", subject.program), ("turns", TURNS), ("parcels", PARCELS)):
        (folder / f"{name}.py").write_text(text)
    if not subject.instrumented:
        return [] if subject.title == PLAIN else TRACE
    (folder / "instrumented.py").write_text(subject.instrumented)
    return ["instrumented.py"]


def refused(subject: Subject, url: str) -> str:
    """Why an instrumentor does not record the calls of the framework; empty where it does."""
    try:
        in_turn([subject], url, 1)
    except (RuntimeError, EOFError) as error:
        return str(error).strip().splitlines()[-1]
    return ""


def installed(package: str) -> str:
    """The version of a distribution; empty where it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


if __name__ == "__main__":
    sys.exit(main())
