"""What a traced span costs beside eliot, structlog with orjson, and the OpenTelemetry SDK.

Each is set up as its own documentation recommends for production and writes to a file of its own; when a call
returns, the line is in the kernel, because that is what we promise. All record the same facts: two lines
(OpenTelemetry: one) with the name, three short fields in, one out, the time, the status, and what it happened inside.
"""

from __future__ import annotations

import logging
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from timing import fastest, holds, interleaved, loop, ratios, show

SPANS = 1000
ROUNDS = 60
ARGUMENTS: Mapping[str, str | int] = {"query": "weather tomorrow", "city": "Zurich", "days": 3}
ANSWER = "Rain until noon, then sun."
PLAIN, REDACTED, HOOKED = "namel3ss-debug", "namel3ss-debug, redacting", "namel3ss-debug, decorated"

Span = Callable[[], None]


def namel3ss(folder: Path, **settings: Any) -> Callable[[], float]:
    """A span inside a span, as the API writes it; tracing starts before the clock and ends after it."""
    import namel3ss_debug

    def run() -> float:
        tracer = namel3ss_debug.initialize_tracing(
            trace_output_dir=str(folder), capture_memory=False, capture_performance=False, **settings
        )

        def span() -> None:
            with tracer.span("tool", "search", ARGUMENTS) as current:
                current.set_output(ANSWER)

        with tracer.span("agent", "Researcher"):
            span()
            taken = loop(span, SPANS)
        _end(folder, namel3ss_debug.shutdown_tracing, 2 * SPANS)
        return taken

    return run


def namel3ss_hook(folder: Path) -> Callable[[], float]:
    """The same as a decorated function, whose arguments and result are recorded."""
    import namel3ss_debug
    from namel3ss_debug import hooks

    @hooks.trace_tool_call
    def search(query: str, city: str, days: int) -> str:  # noqa: ARG001  (they are there to be recorded)
        return ANSWER

    def run() -> float:
        tracer = namel3ss_debug.initialize_tracing(
            trace_output_dir=str(folder), capture_memory=False, capture_performance=False, redact=False
        )
        with tracer.span("agent", "Researcher"):
            search("weather tomorrow", "Zurich", 3)
            taken = loop(lambda: search("weather tomorrow", "Zurich", 3), SPANS)
        _end(folder, namel3ss_debug.shutdown_tracing, 2 * SPANS)
        return taken

    return run


def _end(folder: Path, shutdown: Callable[[], Path | None], lines: int) -> None:
    path = shutdown()
    assert path is not None
    assert _count(path) >= lines, "not every event is in the file"
    for file in folder.iterdir():
        file.unlink()


def eliot_span(folder: Path, stack: ExitStack) -> Span:
    """`start_action` with a file destination, which flushes each message."""
    from eliot import start_action, to_file

    to_file(stack.enter_context((folder / "eliot.log").open("ab")))
    stack.enter_context(start_action(action_type="agent", name="Researcher"))

    def span() -> None:
        with start_action(action_type="tool", name="search", **ARGUMENTS) as action:
            action.add_success_fields(result=ANSWER)

    return span


def structlog_span(folder: Path, stack: ExitStack) -> Span:
    """Two events; the set-up is that of the chapter on performance in structlog's documentation."""
    import orjson
    import structlog

    file = stack.enter_context((folder / "structlog.log").open("ab"))
    structlog.configure(
        cache_logger_on_first_use=True,
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(serializer=orjson.dumps),
        ],
        logger_factory=structlog.BytesLoggerFactory(file),
    )
    log = structlog.get_logger()
    structlog.contextvars.bind_contextvars(execution="5f0c4a7d", agent="Researcher")
    log.info("agent_start")

    def span() -> None:
        began = perf_counter()
        log.info("tool_start", tool="search", **ARGUMENTS)
        log.info("tool_end", tool="search", result=ANSWER, seconds=perf_counter() - began)

    return span


def opentelemetry_span(folder: Path, stack: ExitStack) -> Span:
    """A span with attributes through the simple processor, which exports each span when it ends, as one line."""
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

    file = stack.enter_context((folder / "otel.log").open("a"))
    exporter = ConsoleSpanExporter(out=file, formatter=lambda span: span.to_json(indent=None) + "\n")
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("benchmark")
    stack.enter_context(tracer.start_as_current_span("agent Researcher"))

    def span() -> None:
        with tracer.start_as_current_span("tool search", attributes=ARGUMENTS) as current:
            current.set_attribute("result", ANSWER)

    return span


RIVALS: dict[str, tuple[str, int, Callable[[Path, ExitStack], Span]]] = {
    "eliot": ("eliot.log", 2, eliot_span),
    "structlog with orjson": ("structlog.log", 2, structlog_span),
    "OpenTelemetry SDK": ("otel.log", 1, opentelemetry_span),
}
"""Name -> its file, how many lines a span has in it, and what makes the span."""


def _count(path: Path) -> int:
    return path.read_bytes().count(b"\n")


def main() -> int:
    """Measure, print, and return the exit status: 0 when both claims hold."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        ours = folder / "traces"
        subjects = {
            PLAIN: namel3ss(ours, redact=False),
            REDACTED: namel3ss(ours, redact=True),
            HOOKED: namel3ss_hook(ours),
        }
        for rival, (_, _, make) in RIVALS.items():
            span = make(folder, stack)
            subjects[rival] = partial(loop, span, SPANS)
        taken = interleaved(subjects, ROUNDS)
        for file, lines, _ in RIVALS.values():
            assert _count(folder / file) >= lines * SPANS * ROUNDS, f"{file} does not hold every line"
    print("A span of two events, in the kernel when the call returns:")
    show(taken, 1e6, " us")
    rival = fastest(taken, list(RIVALS))
    plain, redacted = (median(ratios(taken, subject, rival)) for subject in (PLAIN, REDACTED))
    claims = [
        holds(f"a span without redaction / {rival}", plain, 1.0),
        holds(f"a span with redaction of texts seen before / {rival}", redacted, 1.5),
    ]
    return 0 if all(claims) else 1


if __name__ == "__main__":
    sys.exit(main())
