"""Classify whole requests: whether two are the same, and whether one asks for a batch or is only telemetry of an SDK."""

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

Each matches only addresses that take reports. A program that reads data must not get an invented answer, so a host that
serves both (LangSmith's prompts, PostHog's flags) is listed with its paths.
"""

_OTLP_PORTS = {4317, 4318}
_OTLP = re.compile(r"/v1/(metrics|logs)$")
_OTLP_TYPE = "application/x-protobuf"

_CACHED_URLS = 256
"""How many URLs are cached: a program sends most of its requests to a few."""


def canonical_hash(method: str, url: str, body: object) -> str:
    """Return a hash that is equal for requests that ask the same: 16 hexadecimal digits of a SHA-256.

    The order of keys in a JSON body and the spelling of scheme and host do not count, nor do API keys in the query and
    the port of a loopback address, because a test server chooses a new port each time.

    Args:
        method: The HTTP method.
        url: The whole URL.
        body: The parsed JSON, or the raw bytes or text, or None.
    """
    if isinstance(body, str):
        body = body.encode("utf-8", "surrogatepass")
    if isinstance(body, (bytes, bytearray, memoryview)):
        raw = bytes(body)
        body = _parse_container(raw) if raw else None
        data = raw if body is None else lenient.dump(body, ordered=True)
    else:
        data = b"" if body is None else lenient.dump(body, ordered=True)
    return hashlib.sha256(_format_head(method, url) + data).hexdigest()[:16]


def _parse_container(raw: bytes) -> object:
    """Return the JSON object or array in `raw`, otherwise None: for anything else the bytes are hashed."""
    try:
        value = orjson.loads(raw)
    except ValueError:
        return None
    return value if isinstance(value, (dict, list)) else None


@lru_cache(maxsize=_CACHED_URLS)
def _format_head(method: str, url: str) -> bytes:
    """Return the part of a request that is hashed beside its body."""
    return f"{method.upper()} {canonical_url(url)}\n".encode("utf-8", "surrogatepass")


def canonical_url(url: str) -> str:
    """Return a URL as `canonical_hash` uses it, which is equal for two URLs that count as the same."""
    try:
        split = urlsplit(url)
        host, port = (split.hostname or "").lower(), split.port
    except ValueError:
        return url
    if host in LOOPBACK:
        host, port = "localhost", None
    port_text = "" if port in (None, _DEFAULT_PORTS.get(split.scheme)) else f":{port}"
    fields = parse_qsl(split.query, keep_blank_values=True)
    query = [(key, value) for key, value in fields if key.lower() not in _SECRET_QUERY]
    tail = f"?{urlencode(query, errors='surrogatepass')}" if query else ""
    return f"{split.scheme}://{host}{port_text}{split.path or '/'}{tail}"


_BATCHES = {
    "/batches": ("input_file_id", "requests"),  # OpenAI and compatible servers; Anthropic
    "/batch/jobs": ("input_files", "requests"),  # Mistral
    "/batchPredictionJobs": ("inputConfig",),  # Vertex AI
    "/model-invocation-job": ("modelId",),  # Bedrock
    ":asyncBatchEmbedContent": ("batch",),
    ":batchGenerateContent": ("batch",),
}
"""End of the path of batch requests -> keys of which the body has at least one. Their answers come hours later."""


def is_batch_request(path: str, body: object) -> bool:
    """Return whether a request asks for a batch of answers, whose tokens are not in the response to it."""
    plain = path.rstrip("/")
    return isinstance(body, dict) and any(
        plain.endswith(end) and any(body.get(key) for key in keys) for end, keys in _BATCHES.items()
    )


def is_telemetry(url: str, headers: Iterable[tuple[str, str]] = ()) -> bool:
    """Return whether a request to `url` only reports an SDK's use or traces, so that its answer does not matter.

    Args:
        url: The whole URL.
        headers: The headers of the request, if they are known.
    """
    only_reports = _is_report_address(url)
    if only_reports is None:
        return any(name.lower() == "content-type" and value == _OTLP_TYPE for name, value in headers)
    return only_reports


@lru_cache(maxsize=_CACHED_URLS)
def _is_report_address(url: str) -> bool | None:
    """Return whether the address takes only reports; None if this depends on the headers, by which OTLP is recognised."""
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
    # Other services have such paths too, so that only the content type can show OTLP.
    return None if _OTLP.search(path) else False
