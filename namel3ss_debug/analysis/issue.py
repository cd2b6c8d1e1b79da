"""The content of a page about a failure, for an issue tracker: which failure is meant, where it began, on what it ran.

The failure that is meant is the one with most of the user's words in its component and name, its category, its type
and its message, or in those of its likeliest origin. A word counts as half where only its beginning is the same (four
letters or more), so that `timed` finds `timeout`'s neighbours and `refunds` finds `refund`. Without
words, or where none fits, it is the most severe; of equally severe ones the first. Weaker signs of failure count where
there are no failures, or where the words fit them better. Where nothing failed and the user has marked an event bad, the
page explains that event.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from namel3ss_debug.analysis.analyzer import analyze
from namel3ss_debug.analysis.failures.explain import explain, find_final_answer
from namel3ss_debug.traces.marks import BAD, mark_from_json
from namel3ss_debug.traces.signing import load_key
from namel3ss_debug.traces.verification import verify

if TYPE_CHECKING:
    from namel3ss_debug.analysis.totals import Options
    from namel3ss_debug.traces.events import Event
    from namel3ss_debug.traces.reader import Trace

SCHEMA = "namel3ss-debug/report/2"

_MATTER = (
    *("ag2", "agno", "aiohttp", "anthropic", "autogen", "boto3", "cohere", "crewai", "dspy", "google_adk"),
    *("google_genai", "groq", "haystack", "httpx", "langchain", "langgraph", "litellm", "llama_index", "mcp"),
    *("mistralai", "namel3ss", "ollama", "openai", "pydantic_ai", "requests", "smolagents", "strands"),
)
"""The beginnings of the names of packages that agent programs depend on."""

_FACTS = ("python", "platform", "git_commit", "environment", "agent_version", "target", "argv")
_COSTS = (
    "duration_ms",
    "llm_calls",
    "tool_calls",
    "tokens",
    "cost",
    "calls_without_price",
    "errors",
    "retries",
)
_WORD = re.compile(r"[^\W_]{3,}")
_SMALL = frozenset(
    [
        "the",
        "and",
        "with",
        "for",
        "was",
        "not",
        "from",
        "that",
        "this",
        "when",
        "why",
        "what",
        "does",
        "did",
        "has",
        "have",
        "are",
        "but",
        "its",
    ]
)
_HOME = re.compile(r"(?:/home/|/Users/|[A-Za-z]:\\Users\\)[^/\\\s:'\"]+")
_ANSWERED = frozenset({"llm", "tool"})
_MOCKED = re.compile(r"[\w./-]+")
_STACK_LINES = 15
_LONGEST_LINE = 200
_ALIKE = 4


def issue(trace: Trace, words: str, options: Options) -> dict[str, Any]:
    """Return the page as JSON, without schema and activity; paths below anybody's home are shortened to `~`.

    Args:
        trace: the trace.
        words: the user's own words for what is wrong; may be empty.
        options: the user's options for the analyses.
    """
    document = analyze(trace, progress=trace.progress, options=options)
    errors, overview = document["errors"], document["execution_overview"]
    failure, chosen_by = choose([*errors["failures"], *errors["weak_failures"]], words)
    first = next(iter(trace.events()), {})
    health = document["health"]
    mark = None if document["trace"]["mark"] is None else mark_from_json(document["trace"]["mark"])
    is_bad = failure is None and mark is not None and mark.judgement == BAD
    marked = (mark.event or find_final_answer(trace)[0]) if is_bad and mark is not None else None
    explained = marked if failure is None else failure["number"]
    page: dict[str, Any] = _homeless(
        {
            "words": words or None,
            "trace": {key: document["trace"][key] for key in ("execution_id", "events", "processes")}
            | {"file": trace.path.name},
            "status": {
                "status": overview["status"],
                "exit_status": overview["exit_status"],
                "processes_without_end": overview["processes_without_end"],
                "started_at": overview["started_at"],
                "health": health["score"],
                "level": health["level"],
                "statement": health["statement"],
            },
            "mark": document["trace"]["mark"],
            "failure": failure,
            "chosen_by": chosen_by,
            "other_failures": max(errors["total_errors"] + errors["weak_errors"] - (failure is not None), 0),
            "stack_trace": None if failure is None else _stack(trace, failure),
            "origin": explain(trace, explained, mark, is_outcome=is_bad) if explained else None,
            "open_spans": errors["open_spans"],
            "findings": health["findings"],
            "environment": {key: overview[key] for key in _FACTS} | {"packages": _packages(first)},
            "cost": {key: overview[key] for key in _COSTS},
            "can_run_again": _can_run_again(first),
            "signed": verify(trace.processes, load_key()).is_own,
            "mock": None if failure is None else _mock(trace, failure),
        }
    )
    return page


def choose(failures: list[dict[str, Any]], words: str) -> tuple[dict[str, Any] | None, str | None]:
    """Return the failure that is meant, and whether `words` or `severity` chose it.

    Args:
        failures: the failures of the section `errors`, then its weaker ones.
        words: what the user says is wrong.
    """
    asked = {word for word in _words(words) if word not in _SMALL}
    ranked = [(_fit(asked, failure), failure) for failure in failures]
    if not ranked:
        return None, None
    best = max(fit for fit, _ in ranked)
    if best:
        ranked = [(fit, failure) for fit, failure in ranked if fit == best]
    sure = [failure for _, failure in ranked if not failure.get("weak")] or [failure for _, failure in ranked]
    return min(sure, key=lambda row: (-row["severity"], row["number"])), "words" if best else "severity"


def _words(text: str) -> Iterator[str]:
    return (found.group().lower() for found in _WORD.finditer(text))


def _fit(asked: Collection[str], failure: Mapping[str, Any]) -> float:
    """Return how many of the words a failure has."""
    keys = ("component", "component_name", "category", "error_type", "error")
    texts = [failure.get(key) for key in keys]
    origin: Mapping[str, Any] = next(iter(failure.get("origins") or ()), {})
    texts += [origin.get(key) for key in ("component", "component_name", "reason")]
    # a type such as `ConnectionError` holds words of its own
    has = set(_words(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", " ".join(str(text) for text in texts if text))))
    begins = {word[:_ALIKE] for word in has if len(word) >= _ALIKE}
    return sum(1.0 if word in has else 0.5 for word in asked if word in has or word[:_ALIKE] in begins)


def _stack(trace: Trace, failure: Mapping[str, Any]) -> str | None:
    """Return the last lines of the stack trace, where the failed span has one."""
    stack = trace.event(failure["end_number"]).get("stack_trace")
    if not isinstance(stack, str) or not stack.strip():
        return None
    lines = [line[:_LONGEST_LINE] for line in stack.strip().splitlines()]
    return "\n".join((["..."] if len(lines) > _STACK_LINES else []) + lines[-_STACK_LINES:])


def _mock(trace: Trace, failure: Mapping[str, Any]) -> str | None:
    """Return the call in which the failure began, named as in a mock: `search@2` for the second call of that name."""
    call = next(iter(failure.get("origins") or ()), failure)
    name = call.get("component_name")
    if call["component"] not in _ANSWERED or not name or not _MOCKED.fullmatch(name):
        return None
    before = islice(trace.events(), call["number"])
    calls = sum(
        event["event_type"].endswith("_start") and event.get("component_name") == name
        for event in before
        if event.get("component") in _ANSWERED
    )
    return f"{name}@{max(calls, 1)}"


def _packages(first: Event) -> dict[str, str]:
    """Return the installed packages that agent programs depend on."""
    metadata = first.get("metadata")
    packages = metadata.get("packages") if isinstance(metadata, dict) else None
    if not isinstance(packages, dict):
        return {}
    return {
        str(name): str(packages[name]) for name in sorted(packages) if str(name).lower().startswith(_MATTER)
    }


def _can_run_again(first: Event) -> bool:
    """Return whether our tracer wrote the trace, with the payloads that a re-run needs."""
    metadata = first.get("metadata")
    if (
        first.get("event_type") != "trace_start"
        or not isinstance(metadata, dict)
        or not metadata.get("target")
    ):
        return False
    settings = metadata.get("settings")
    return isinstance(settings, dict) and settings.get("level") != "basic"


def _homeless(value: Any) -> Any:
    """JSON with every path below a home shortened to `~`."""
    if isinstance(value, dict):
        return {key: _homeless(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_homeless(item) for item in value]
    if isinstance(value, str):
        home = os.path.expanduser("~")  # unchanged for a user who has no home
        value = value if len(home) < 2 else re.sub(re.escape(home) + r"(?=[/\\]|\b)", "~", value)
        return _HOME.sub("~", value)
    return value
