"""The messages of failures get the categories that multi-step-trace-analysis.txt names, and so do those of real libraries."""

from __future__ import annotations

import pytest

from namel3ss_debug.analysis.failures.categories import categorise

DOCUMENTED = [
    ("timeout", "timeout"),
    ("timeout", "time out"),
    ("parameter", "bad parameter"),
    ("parameter", "wrong argument"),
    ("parameter", "validation failed"),
    ("dependency", "a dependency is missing"),
    ("dependency", "prerequisite not met"),
    ("resource", "not enough memory"),
    ("resource", "resource exhausted"),
    ("resource", "quota used up"),
    ("network", "network down"),
    ("network", "connection lost"),
    ("network", "dns lookup failed"),
    ("authentication", "auth failed"),
    ("authentication", "no permission"),
    ("authentication", "unauthorized"),
    ("rate_limit", "rate limit"),
    ("rate_limit", "throttle"),
    ("rate_limit", "quota exceeded"),
    ("unknown", "something else"),
    ("unknown", ""),
]
"""The words that the document sorts messages by, in its own categories; `quota exceeded` by its meaning, not its order."""


@pytest.mark.parametrize(("category", "message"), DOCUMENTED)
def test_a_documented_word_decides_the_category(category, message):
    """A message without a type or a status has the category of its words."""
    assert categorise(None, message) == category


@pytest.mark.parametrize("kind", ["tool_error", "execution_error"])
def test_a_documented_type_is_a_failure_of_a_tool(kind):
    """These two types name no cause."""
    assert categorise(kind, "something else", component="tool") == "tool"


REAL = [
    # authentication
    ("authentication", "Incorrect API key provided: sk-****. You can find your API key at https://platform.openai.com."),
    ("authentication", "Error code: 401 - {'type': 'error', 'error': {'type': 'authentication_error', 'message': 'invalid x-api-key'}}"),
    ("authentication", "The security token included in the request is invalid."),
    ("authentication", 'FATAL:  password authentication failed for user "postgres"'),
    ("authentication", 'Unable to locate credentials. You can configure credentials by running "aws configure".'),
    ("authentication", "403 Client Error: Forbidden for url: https://api.github.com/user/repos"),
    ("authentication", "NOAUTH Authentication required."),
    ("authentication", "Token has expired and refresh token is invalid"),
    ("authentication", "Access denied for user 'root'@'localhost' (using password: YES)"),
    ("authentication", "You must be authenticated to access this model: gated repo"),
    # network
    ("network", "HTTPSConnectionPool(host='api.example.com', port=443): Max retries exceeded with url: /v1 (Caused by NewConnectionError('Failed to establish a new connection: [Errno 111] Connection refused'))"),
    ("network", "[Errno -2] Name or service not known"),
    ("network", "[Errno 104] Connection reset by peer"),
    ("network", "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: unable to get local issuer certificate (_ssl.c:1006)"),
    ("network", "Cannot connect to host api.example.com:443 ssl:default [getaddrinfo failed]"),
    ("network", "Server disconnected without sending a response."),
    ("network", "peer closed connection without sending complete message body (incomplete chunked read)"),
    ("network", "All connection attempts failed"),
    ("network", "[Errno 113] No route to host"),
    ("network", "Error 111 connecting to localhost:6379. Connection refused."),
    ("network", "net::ERR_NAME_NOT_RESOLVED at https://example.invalid/"),
    # timeouts
    ("timeout", "Request timed out."),
    ("timeout", "HTTPConnectionPool(host='localhost', port=80): Read timed out. (read timeout=5)"),
    ("timeout", "504 Deadline Exceeded"),
    ("timeout", "Command '['sleep', '10']' timed out after 1 seconds"),
    ("timeout", "canceling statement due to statement timeout"),
    ("timeout", 'Timeout 30000ms exceeded. waiting for selector "#login"'),
    ("timeout", "QueuePool limit of size 5 overflow 10 reached, connection timed out, timeout 30.00"),
    # rate limits
    ("rate_limit", "Rate limit reached for gpt-4o in organization org-x on tokens per min (TPM): Limit 30000, Used 29000"),
    ("rate_limit", "You exceeded your current quota, please check your plan and billing details."),
    ("rate_limit", "An error occurred (ThrottlingException) when calling the InvokeModel operation: Too many tokens, please wait"),
    ("rate_limit", "429 Too Many Requests"),
    ("rate_limit", "Resource has been exhausted (e.g. check quota)."),
    ("rate_limit", "Number of request tokens has exceeded your per-minute rate limit"),
    # resources
    ("resource", "CUDA out of memory. Tried to allocate 2.00 GiB (GPU 0; 8.00 GiB total capacity)"),
    ("resource", "[Errno 28] No space left on device"),
    ("resource", "[Errno 24] Too many open files: '/tmp/x'"),
    ("resource", "Unable to allocate 7.45 GiB for an array with shape (1000000000,) and data type float64"),
    ("resource", "[Errno 2] No such file or directory: 'data.csv'"),
    ("resource", "can't start new thread"),
    ("resource", "database or disk is full"),
    ("resource", "FATAL:  sorry, too many clients already"),
    ("resource", "[Errno 12] Cannot allocate memory"),
    # parameters
    ("parameter", "get_weather() missing 1 required positional argument: 'city'"),
    ("parameter", "search() got an unexpected keyword argument 'limit'"),
    ("parameter", "1 validation error for Order\nprice\n  Input should be a valid number, unable to parse string as a number [type=float_parsing, input_value='abc']"),
    ("parameter", "invalid literal for int() with base 10: 'abc'"),
    ("parameter", "'units' is a required property"),
    ("parameter", "Invalid isoformat string: '2025-13-45'"),
    ("parameter", "Invalid value for 'temperature': expected a number between 0 and 2"),
    ("parameter", "could not convert string to float: 'ten'"),
    ("parameter", "time data '31/12/2024' does not match format '%Y-%m-%d'"),
    # dependencies
    ("dependency", "503 Service Unavailable"),
    ("dependency", "No module named 'pandas'"),
    ("dependency", "Overloaded"),
    ("dependency", "The server had an error while processing your request. Sorry about that!"),
    ("dependency", "502 Bad Gateway"),
    ("dependency", "upstream connect error or disconnect/reset before headers. reset reason: overflow"),
    # logic of the program
    ("logic", "'NoneType' object has no attribute 'split'"),
    ("logic", "division by zero"),
]  # fmt: skip
"""What libraries wrote: openai, anthropic, boto3, psycopg, requests, httpx, aiohttp, redis, playwright, torch, numpy, pydantic."""


def test_most_messages_of_real_libraries_get_their_category():
    """At least 56 of 60, by the message alone: neither type nor status helps."""
    assert len(REAL) == 60
    wrong = [
        (category, categorise(None, text), text)
        for category, text in REAL
        if categorise(None, text) != category
    ]
    assert len(wrong) <= 4, wrong
