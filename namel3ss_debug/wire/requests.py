"""Questions about whole requests: whether two are the same, ask for a batch, or are only telemetry of an SDK."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import parse_qsl, urlencode, urlsplit

import orjson

from namel3ss_debug.wire import lenient

LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_DEFAULT_PORTS = {"http": 80, "https": 443}
_SECRET_QUERY = {"key", "api_key", "api-key", "apikey", "access_token"}

_TELEMETRY = tuple(
    re.compile(pattern)
    for pattern in (
        r"/v1/traces(/ingest)?$",  # OTLP; OpenAI Agents
        r"/runs/(batch|multipart)$",  # LangSmith, also self-hosted
        r"\bsmith\.langchain\.com(/api)?(/v1)?/(info|runs(/[0-9a-f-]{36})?)$",
        r"/api/public/ingestion$",  # Langfuse
        r"^huggingface\.co/api/telemetry\b",
        r"\blogfire[a-z-]*\.pydantic\.dev/v1/(metrics|logs)$",
        r"\b(i|app)\.posthog\.com/(batch|capture|engage|track|e|i|s)\b",
        r"\bingest(\.[a-z]+)?\.sentry\.io/|/api/\d+/envelope$",  # Sentry, also self-hosted
        r"^api(-[a-z]+)?\.mixpanel\.com/(track|engage|groups|import)\b",
        r"^api2?\.amplitude\.com/|^api\.segment\.io/",
        r"^http-intake\.logs\.|^browser-intake-",  # Datadog
        r"^statsig\.anthropic\.com/|^telemetry\.crewai\.com|\bscarf\.sh/",
    )
)
"""The addresses to which SDKs report their own use, as patterns of host and path.

Each matches addresses that only take reports: a program that reads data must not get an invented answer, so a
host that serves both (LangSmith's prompts, PostHog's flags) is listed with its paths.
"""

_OTLP_PORTS = {4317, 4318}
_OTLP = re.compile(r"/v1/(metrics|logs)$")
_OTLP_TYPE = "application/x-protobuf"

_REMEMBERED = 256
"""For how many URLs the result is remembered: a program sends most of its requests to a few."""


def canonical_hash(method: str, url: str, body: object) -> str:
    """A hash that is equal for requests that ask the same: 16 hexadecimal digits of a SHA-256.

    The order of keys in a JSON body and the spelling of scheme and host do not count. Left out are the port
    of a loopback address, which a test server chooses anew each time, and API keys in the query.

    Args:
        method: The HTTP method.
        url: The whole URL.
        body: The parsed JSON, or the raw bytes or text, or None.
    """
    if isinstance(body, str):
        body = body.encode("utf-8", "surrogatepass")
    if isinstance(body, (bytes, bytearray, memoryview)):
        raw = bytes(body)
        body = _parsed(raw) if raw else None
        data = raw if body is None else lenient.dump(body, ordered=True)
    else:
        data = b"" if body is None else lenient.dump(body, ordered=True)
    return hashlib.sha256(_head(method, url) + data).hexdigest()[:16]


def _parsed(raw: bytes) -> object:
    """The JSON object or array in `raw`, otherwise None: for anything else the bytes are hashed."""
    try:
        value = orjson.loads(raw)
    except ValueError:
        return None
    return value if isinstance(value, (dict, list)) else None


@lru_cache(maxsize=_REMEMBERED)
def _head(method: str, url: str) -> bytes:
    """The part of a request that is hashed beside its body."""
    return f"{method.upper()} {canonical_url(url)}\n".encode("utf-8", "surrogatepass")


def canonical_url(url: str) -> str:
    """A URL as `canonical_hash` uses it: equal for two URLs that count as the same."""
    try:
        split = urlsplit(url)
        host, port = (split.hostname or "").lower(), split.port
    except ValueError:
        return url
    if host in LOOPBACK:
        host, port = "localhost", None
    shown_port = "" if port in (None, _DEFAULT_PORTS.get(split.scheme)) else f":{port}"
    said = parse_qsl(split.query, keep_blank_values=True)
    query = [(key, value) for key, value in said if key.lower() not in _SECRET_QUERY]
    tail = f"?{urlencode(query, errors='surrogatepass')}" if query else ""
    return f"{split.scheme}://{host}{shown_port}{split.path or '/'}{tail}"


_BATCHES = {
    "/batches": ("input_file_id", "requests"),  # OpenAI and compatible servers; Anthropic
    "/batch/jobs": ("input_files", "requests"),  # Mistral
    "/batchPredictionJobs": ("inputConfig",),  # Vertex AI
    "/model-invocation-job": ("modelId",),  # Bedrock
    ":asyncBatchEmbedContent": ("batch",),
    ":batchGenerateContent": ("batch",),
}
"""Batch requests, whose answers come hours later: the end of the path, and keys of which the body has one."""


def asks_in_batch(path: str, body: object) -> bool:
    """Whether a request asks models for a batch of answers, whose tokens are not in the response to it."""
    plain = path.rstrip("/")
    return isinstance(body, dict) and any(
        plain.endswith(end) and any(body.get(key) for key in keys) for end, keys in _BATCHES.items()
    )


def is_telemetry(url: str, headers: Iterable[tuple[str, str]] = ()) -> bool:
    """Whether a request to `url` only reports an SDK's use or traces, so that its answer does not matter.

    Args:
        url: The whole URL.
        headers: The headers of the request, where they are known.
    """
    reports = _takes_reports(url)
    if reports is None:
        return any(name.lower() == "content-type" and value == _OTLP_TYPE for name, value in headers)
    return reports


@lru_cache(maxsize=_REMEMBERED)
def _takes_reports(url: str) -> bool | None:
    """Whether the address takes only reports; `None` where that depends on the headers, by which OTLP is recognised."""
    try:
        split = urlsplit(url)
        host, port = (split.hostname or "").lower(), split.port
    except ValueError:
        return False
    path = split.path.rstrip("/")
    if port in _OTLP_PORTS and path.startswith("/v1/"):
        return True
    if any(pattern.search(f"{host}{path or '/'}") for pattern in _TELEMETRY):
        return True
    return None if _OTLP.search(path) else False
