"""When two requests are the same, and which are telemetry."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.wire.requests import canonical_hash, is_batch_request, is_telemetry

URL = "https://api.openai.com/v1/chat/completions"

bodies = st.dictionaries(
    st.text(st.characters(codec="utf-8")),
    st.integers(-(2**53), 2**53) | st.text(st.characters(codec="utf-8")),
)


@given(bodies)
def test_order_of_keys_and_form_of_the_body_do_not_count(body):
    """A parsed body, its bytes, its text and a body with its keys in another order have one hash."""
    backwards = dict(reversed(body.items()))
    raw = orjson.dumps(backwards)
    hashes = {
        canonical_hash("POST", URL, form) for form in (body, backwards, raw, raw.decode(), bytearray(raw))
    }
    assert len(hashes) == 1


def test_order_of_keys_does_not_count_beside_a_very_long_number():
    """What the quick writer of JSON cannot write is ordered all the same."""
    body = {"seed": 10**30, "model": "m", "text": "\ud800"}
    assert canonical_hash("POST", URL, body) == canonical_hash("POST", URL, dict(reversed(body.items())))


@pytest.mark.parametrize(
    ("path", "body", "batch"),
    [
        ("/v1/batches", {"input_file_id": "file-1", "endpoint": "/v1/responses"}, True),
        ("/openai/v1/batches/", {"input_file_id": "file-1"}, True),
        ("/v1/messages/batches", {"requests": [{"custom_id": "a", "params": {}}]}, True),
        ("/v1/batch/jobs", {"input_files": ["f"], "model": "mistral-small"}, True),
        ("/v1beta/models/gemini-3.8-flash:batchGenerateContent", {"batch": {"display_name": "a"}}, True),
        ("/v1/projects/p/locations/l/batchPredictionJobs", {"inputConfig": {}, "model": "m"}, False),
        ("/v1/projects/p/locations/l/batchPredictionJobs", {"inputConfig": {"gcsSource": {}}}, True),
        ("/model-invocation-job", {"modelId": "m", "jobName": "j"}, True),
        ("/v1/batches", None, False),
        ("/v1/batches", [{"input_file_id": "file-1"}], False),
        ("/beer/batches", {"hops": 3}, False),
        ("/v1/batches/batch_1/cancel", {"input_file_id": "file-1"}, False),
    ],
)
def test_a_batch_is_known_by_path_and_body(path, body, batch):
    """Whatever else is made in batches is none."""
    assert is_batch_request(path, body) is batch


def test_a_hash_never_changes_between_releases():
    """The hash is part of recordings, so its value is fixed."""
    assert canonical_hash("POST", URL, {"model": "m", "messages": []}) == "26638aa0367bb433"
    assert canonical_hash("GET", URL, None) == "619e7e189ec42b56"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("POST", URL, {"a": 1}), ("POST", URL, {"a": 2})),
        (("POST", URL, {"a": 1}), ("PUT", URL, {"a": 1})),
        (("POST", URL, {"a": [1, 2]}), ("POST", URL, {"a": [2, 1]})),
        (("POST", URL, None), ("POST", URL, {})),
        (("POST", URL, b"\xff\x00"), ("POST", URL, b"\xff\x01")),
        (("GET", f"{URL}?n=1", None), ("GET", f"{URL}?n=2", None)),
        (("GET", "http://h:81/", None), ("GET", "http://h:82/", None)),
        (("GET", "http://h/a", None), ("GET", "http://h/b", None)),
        (("GET", f"{URL}?stream=", None), ("GET", URL, None)),
        (("GET", "http://h:99999/a", None), ("GET", "http://h:99999/b", None)),
    ],
)
def test_requests_that_ask_something_else_differ(one, other):
    """Method, URL and body count."""
    assert canonical_hash(*one) != canonical_hash(*other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("http://127.0.0.1:4001/v1/x", "http://localhost:4002/v1/x"),
        ("http://[::1]:9/x", "http://localhost/x"),
        ("HTTPS://API.OpenAI.com:443/v1", "https://api.openai.com/v1"),
        ("https://h/x?key=secret&n=1", "https://h/x?n=1&key=other"),
        ("https://user:word@h/x#part", "https://h/x"),
        ("https://h", "https://h/"),
    ],
)
def test_what_only_the_place_decides_does_not_count(one, other):
    """Ports of a test server, spelling, keys in the query and credentials in the URL do not count."""
    assert canonical_hash("post", one, {"a": 1}) == canonical_hash("POST", other, {"a": 1})


@given(st.text(), st.text(), st.binary() | st.text())
def test_any_request_has_a_hash(method, url, body):
    """Whatever is asked, the hash is 16 hexadecimal digits."""
    assert len(bytes.fromhex(canonical_hash(method, url, body))) == 8


@pytest.mark.parametrize(
    "url",
    [
        "https://api.openai.com/v1/traces/ingest",
        "https://api.smith.langchain.com/runs/batch",
        "https://eu.api.smith.langchain.com/runs/multipart",
        "https://api.smith.langchain.com/runs/0197d0f6-4c5b-7a51-9f6b-0c8a1e2d3f4a",
        "http://localhost:4318/v1/metrics",
        "http://collector/v1/traces/",
        "https://cloud.langfuse.com/api/public/ingestion",
        "https://us.i.posthog.com/batch/",
        "https://eu.i.posthog.com/i/v0/e/",
        "https://api-eu.mixpanel.com/track",
        "https://o1.ingest.us.sentry.io/api/2/envelope/",
        "https://sentry.example.com/api/2/envelope/",
        "https://logfire-us.pydantic.dev/v1/logs",
        "https://huggingface.co/api/telemetry/transformers",
    ],
)
def test_telemetry_is_known(url):
    """Reports that SDKs send about themselves are telemetry."""
    assert is_telemetry(url)


@pytest.mark.parametrize(
    "url",
    [
        URL,
        "https://api.anthropic.com/v1/messages",
        "https://api.smith.langchain.com/commits/owner/prompt/latest",
        "https://api.smith.langchain.com/runs/query",
        "https://sentry.io/api/0/projects/",
        "https://logfire-us.pydantic.dev/v1/info",
        "https://logfire-eu.pydantic.dev/v1/query?sql=select+1",
        "https://us.i.posthog.com/flags/?v=2",
        "https://api.mixpanel.com/flags",
        "https://example.com/v1/logs",
        "http://localhost:4318/chat",
        "https://huggingface.co/api/models/x",
        "https://posthog.com/docs",
        "http://[bad",
        "http://h:99999/v1/traces",
        "",
    ],
)
def test_what_a_program_reads_is_not_telemetry(url):
    """An address whose answer a program may need is never taken for telemetry."""
    assert not is_telemetry(url)


@pytest.mark.parametrize(
    ("content_type", "reports"),
    [("application/x-protobuf", True), ("application/json", False), (None, False)],
)
def test_metrics_and_logs_are_telemetry_in_the_form_of_opentelemetry(content_type, reports):
    """The paths of OTLP for metrics and logs may be anybody's, but what its exporters send there says what it is."""
    headers = [("User-Agent", "x"), *([("Content-Type", content_type)] if content_type else [])]
    assert is_telemetry("https://otlp.example.com/otlp/v1/metrics", headers) is reports
    assert is_telemetry("https://otlp.example.com:8443/v1/logs", headers) is reports
    assert not is_telemetry("https://otlp.example.com/v1/logs/1", headers)
    assert not is_telemetry("https://example.com/v1/logs", [("Accept", "application/x-protobuf")])
