"""What providers say of the money: other terms than the standard ones, costs, and what is billed besides tokens."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.wire import (
    FORMATS,
    anthropic_messages,
    bedrock_converse,
    gemini,
    openai_chat,
    openai_responses,
)
from namel3ss_debug.wire.billing import read_cost, read_header_cost, read_header_terms, select_terms

CLAUDE = {"input_tokens": 10, "output_tokens": 4}
CHAT = {"prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 14}
RESPONSE = {"input_tokens": 10, "output_tokens": 4, "total_tokens": 14}
GEMINI = {"promptTokenCount": 10, "candidatesTokenCount": 4, "totalTokenCount": 14}
CONVERSE = {"inputTokens": 10, "outputTokens": 4, "totalTokens": 14}
BOTH = {"input_tokens": 10, "output_tokens": 4}


@pytest.mark.parametrize(
    ("codec", "body", "billing"),
    [
        (anthropic_messages, {"usage": CLAUDE}, {}),
        (
            anthropic_messages,
            {"usage": {**CLAUDE, "service_tier": "standard", "inference_geo": "global"}},
            {},
        ),
        (
            anthropic_messages,
            {"usage": {**CLAUDE, "inference_geo": "not_available", "speed": "standard"}},
            {},
        ),
        (anthropic_messages, {"usage": {**CLAUDE, "service_tier": "batch"}}, {"service_tier": "batch"}),
        (anthropic_messages, {"usage": {**CLAUDE, "service_tier": "priority"}}, {"service_tier": "priority"}),
        (anthropic_messages, {"usage": {**CLAUDE, "speed": "fast"}}, {"speed": "fast"}),
        (anthropic_messages, {"usage": {**CLAUDE, "inference_geo": "us"}}, {"inference_geo": "us"}),
        (
            anthropic_messages,
            {
                "usage": {
                    **CLAUDE,
                    "iterations": [{"type": "advisor_message", "model": "m", "input_tokens": 5}],
                }
            },
            {"tool": "advisor"},
        ),
        (openai_chat, {"usage": CHAT, "service_tier": "default"}, {}),
        (openai_chat, {"usage": CHAT, "service_tier": "auto"}, {}),
        (openai_chat, {"usage": CHAT, "service_tier": "on_demand"}, {}),
        (openai_chat, {"usage": CHAT, "service_tier": None}, {}),
        (openai_chat, {"usage": CHAT, "service_tier": "flex"}, {"service_tier": "flex"}),
        (
            openai_chat,
            {"usage": {**CHAT, "inference_geo": "us", "speed": "standard"}},
            {"inference_geo": "us"},
        ),
        (openai_responses, {"usage": RESPONSE, "service_tier": "priority"}, {"service_tier": "priority"}),
        (
            openai_responses,
            {
                "usage": {
                    **RESPONSE,
                    "input_tokens_details": {
                        "cache_write_tokens": 9,
                        "cache_write_tokens_details": {"ttl_12h_tokens": 9, "ttl_30m_tokens": 0},
                    },
                }
            },
            {"cache": "12h"},
        ),
        (
            openai_responses,
            {"usage": RESPONSE, "output": [{"type": "image_generation_call", "status": "completed"}]},
            {"tool": "image_generation"},
        ),
        (gemini, {"usageMetadata": {**GEMINI, "trafficType": "ON_DEMAND"}}, {}),
        (gemini, {"usageMetadata": {**GEMINI, "trafficType": 1}}, {}),
        (
            gemini,
            {"usageMetadata": {**GEMINI, "trafficType": 2}},
            {"service_tier": "provisioned_throughput"},
        ),
        (gemini, {"usageMetadata": {**GEMINI, "trafficType": 7}}, {"service_tier": "7"}),
        (gemini, {"usageMetadata": {**GEMINI, "serviceTier": "standard"}}, {}),
        (gemini, {"usageMetadata": {**GEMINI, "serviceTier": "flex"}}, {"service_tier": "flex"}),
        (
            gemini,
            {"usageMetadata": {**GEMINI, "trafficType": "ON_DEMAND_PRIORITY"}},
            {"service_tier": "priority"},
        ),
        (
            gemini,
            {"usageMetadata": {**GEMINI, "trafficType": "PROVISIONED_THROUGHPUT"}},
            {"service_tier": "provisioned_throughput"},
        ),
        (bedrock_converse, {"usage": CONVERSE, "serviceTier": {"type": "default"}}, {}),
        (bedrock_converse, {"usage": CONVERSE, "serviceTier": {"type": "flex"}}, {"service_tier": "flex"}),
        (bedrock_converse, {"usage": CONVERSE, "performanceConfig": {"latency": "standard"}}, {}),
        (
            bedrock_converse,
            {"usage": CONVERSE, "performanceConfig": {"latency": "optimized"}},
            {"latency": "optimized"},
        ),
    ],
)
def test_terms_are_told_where_they_are_not_the_standard_ones(codec, body, billing):
    """Each provider has words of its own for what it always does, and `auto` says nothing of how a call was served."""
    answer = codec.decode_response(body)
    assert answer.billing == billing
    assert answer.usage.items() >= BOTH.items()


@pytest.mark.parametrize(
    ("headers", "billing"),
    [
        ({}, {}),
        ({"x-gemini-service-tier": "standard"}, {}),
        ({"x-gemini-service-tier": "priority"}, {"service_tier": "priority"}),
        (
            {
                "x-amzn-bedrock-service-tier": "default",
                "x-amzn-bedrock-performanceconfig-latency": "standard",
            },
            {},
        ),
        (
            {"x-amzn-bedrock-service-tier": "flex", "x-amzn-bedrock-performanceconfig-latency": "optimized"},
            {"service_tier": "flex", "latency": "optimized"},
        ),
    ],
)
def test_headers_tell_terms_that_the_body_does_not(headers, billing):
    """As those of Gemini, and of Claude on Bedrock, whose body is Anthropic's."""
    assert read_header_terms(headers) == billing


@pytest.mark.parametrize(
    ("codec", "body", "more"),
    [
        (
            anthropic_messages,
            {
                "usage": {
                    **CLAUDE,
                    "cache_creation_input_tokens": 30,
                    "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
                    "server_tool_use": {"web_search_requests": 3, "web_fetch_requests": 8},
                }
            },
            {"input_tokens": 40, "cache_write_tokens": 30, "cache_write_1h_tokens": 20, "web_searches": 3},
        ),
        # what it took to sum up the conversation is counted apart, also what it kept for an hour
        (
            anthropic_messages,
            {
                "usage": {
                    **CLAUDE,
                    "cache_creation": {"ephemeral_1h_input_tokens": 0},
                    "iterations": [
                        {
                            "type": "compaction",
                            "cache_creation_input_tokens": 7,
                            "cache_creation": {"ephemeral_1h_input_tokens": 7},
                        }
                    ],
                }
            },
            {"input_tokens": 17, "cache_write_tokens": 7, "cache_write_1h_tokens": 7},
        ),
        (
            bedrock_converse,
            {
                "usage": {
                    **CONVERSE,
                    "cacheWriteInputTokens": 30,
                    "cacheDetails": [{"ttl": "1h", "inputTokens": 20}, {"ttl": "5m", "inputTokens": 10}],
                }
            },
            {"input_tokens": 40, "cache_write_tokens": 30, "cache_write_1h_tokens": 20},
        ),
        (
            openai_chat,
            {
                "usage": {
                    **CHAT,
                    "prompt_tokens_details": {"audio_tokens": 8, "image_tokens": 1, "text_tokens": 1},
                    "completion_tokens_details": {"audio_tokens": 3},
                }
            },
            {"input_audio_tokens": 8, "input_image_tokens": 1, "output_audio_tokens": 3},
        ),
        # Claude behind LiteLLM
        (
            openai_chat,
            {
                "usage": {
                    **CHAT,
                    "prompt_tokens_details": {
                        "cached_tokens": 1,
                        "cache_creation_tokens": 6,
                        "cache_creation_token_details": {
                            "ephemeral_5m_input_tokens": 2,
                            "ephemeral_1h_input_tokens": 4,
                        },
                    },
                    "server_tool_use": {"web_search_requests": 2},
                }
            },
            {"cache_read_tokens": 1, "cache_write_tokens": 6, "cache_write_1h_tokens": 4, "web_searches": 2},
        ),
        # what was billed by its own word, else what was searched for; pages that are opened cost no search
        (
            openai_responses,
            {
                "usage": RESPONSE,
                "output": [
                    {
                        "type": "web_search_call",
                        "status": "completed",
                        "action": {"type": "search", "query": "a"},
                    },
                    {"type": "web_search_call", "status": "completed", "action": {"type": "open_page"}},
                    {"type": "web_search_call", "status": "failed", "action": {"type": "search"}},
                    {"type": "web_search_call", "status": "completed"},
                    {"type": "file_search_call", "status": "completed"},
                ],
            },
            {"web_searches": 2, "file_searches": 1},
        ),
        (
            openai_responses,
            {
                "usage": RESPONSE,
                "output": [{"type": "web_search_call", "action": {"type": "search"}}] * 3,
                "tool_usage": {"web_search": {"num_requests": 1}},
            },
            {"web_searches": 1},
        ),
        (
            gemini,
            {
                "modelVersion": "gemini-3.8-flash",
                "candidates": [{"groundingMetadata": {"webSearchQueries": ["a", "", "b", "a"]}}],
                "usageMetadata": {
                    **GEMINI,
                    "cachedContentTokenCount": 5,
                    "promptTokensDetails": [
                        {"modality": "TEXT", "tokenCount": 1},
                        {"modality": "AUDIO", "tokenCount": 6},
                        {"modality": "DOCUMENT", "tokenCount": 3},
                    ],
                    "toolUsePromptTokenCount": 2,
                    "toolUsePromptTokensDetails": [{"modality": "IMAGE", "tokenCount": 2}],
                    "cacheTokensDetails": [{"modality": "AUDIO", "tokenCount": 5}],
                    "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 4}],
                },
            },
            {
                "input_tokens": 12,
                "cache_read_tokens": 5,
                "input_audio_tokens": 6,
                "input_image_tokens": 5,
                "cache_audio_read_tokens": 5,
                "output_image_tokens": 4,
                "web_searches": 2,
            },
        ),
        (
            gemini,
            {
                "usageMetadata": {
                    **GEMINI,
                    "promptTokensDetails": [
                        {"modality": 1, "tokenCount": 4},
                        {"modality": 4, "tokenCount": 6},
                    ],
                    "candidatesTokensDetails": [{"modality": ["IMAGE"], "tokenCount": 4}],
                }
            },
            {"input_audio_tokens": 6},
        ),
        # a prompt to an older model is billed once, however often it was searched for
        (
            gemini,
            {
                "modelVersion": "gemini-2.5-flash",
                "candidates": [{"groundingMetadata": {"webSearchQueries": ["a", "b"]}}],
                "usageMetadata": GEMINI,
            },
            {"web_searches": 1},
        ),
    ],
)
def test_what_is_billed_at_a_price_of_its_own_is_counted(codec, body, more):
    """Hours in a cache, searches, sound and pictures; what is 0 is left out."""
    assert codec.decode_response(body).usage == BOTH | more


def test_nothing_is_counted_of_what_tells_no_tokens():
    """A response that has not ended has no usage, whatever it has searched for."""
    searched = {"output": [{"type": "web_search_call"}], "status": "in_progress", "usage": None}
    assert openai_responses.decode_response(searched).usage == {}
    assert (
        anthropic_messages.decode_response(
            {"usage": {"cache_creation": {"ephemeral_1h_input_tokens": 3}}}
        ).usage
        == {}
    )


def test_a_stream_tells_its_terms_as_the_whole_does():
    """Claude tells tier and cache at the start and the searches at the end, Bedrock its tier beside the usage."""
    start = {"usage": {**CLAUDE, "service_tier": "batch", "cache_creation": {"ephemeral_1h_input_tokens": 2}}}
    start["usage"]["cache_creation_input_tokens"] = 2
    events = [
        {"type": "message_start", "message": start},
        {
            "type": "message_delta",
            "usage": {"output_tokens": 9, "server_tool_use": {"web_search_requests": 1}},
        },
    ]
    answer = anthropic_messages.decode_response(anthropic_messages.join_events(events))
    assert answer.billing == {"service_tier": "batch"}
    assert answer.usage == {
        "input_tokens": 12,
        "output_tokens": 9,
        "cache_write_tokens": 2,
        "cache_write_1h_tokens": 2,
        "web_searches": 1,
    }
    whole = bedrock_converse.join_events(
        [{"metadata": {"usage": CONVERSE, "serviceTier": {"type": "priority"}}}]
    )
    assert bedrock_converse.decode_response(whole).billing == {"service_tier": "priority"}


@pytest.mark.parametrize(
    ("usage", "dollars"),
    [
        ({}, None),
        (None, None),
        ({"cost": None}, None),
        ({"cost": 0.0015}, 0.0015),
        ({"cost": 0}, 0.0),
        ({"cost": -1}, None),
        ({"cost": True}, None),
        ({"cost": "0.1"}, None),
        ({"cost": {"input_tokens_cost": 0.001, "request_cost": 0.005, "total_cost": 0.006}}, 0.006),
        ({"cost": {"currency": "EUR"}}, None),
        ({"estimated_cost": 0.0002}, 0.0002),
        ({"cost_in_usd_ticks": 37_756_000}, 0.0037756),
        # with a key of one's own OpenRouter charges a fee, and the provider the rest
        ({"cost": 0.95, "is_byok": False, "cost_details": {"upstream_inference_cost": 19}}, 0.95),
        ({"cost": 0.95, "is_byok": True, "cost_details": {"upstream_inference_cost": 19}}, 19.95),
        ({"cost": 0.95, "is_byok": True, "cost_details": {"upstream_inference_cost": None}}, None),
    ],
)
def test_a_cost_that_the_server_tells_is_taken(usage, dollars):
    """In US dollars, whoever tells it and however; a part of it is none."""
    assert read_cost(usage) == dollars


@pytest.mark.parametrize(
    "name", ["openai.chat", "openai.responses", "anthropic.messages", "openai.embeddings"]
)
def test_gateways_tell_it_in_every_format_they_speak(name):
    """OpenRouter says the same in each of its APIs."""
    usage = {**CLAUDE, **CHAT, "cost": 0.25}
    assert FORMATS[name].codec.decode_response({"usage": usage}).cost == 0.25


@pytest.mark.parametrize(
    ("value", "dollars"),
    [("0.00042", 0.00042), ("0.0", 0.0), ("None", None), ("nan", None), ("-1", None), ("", None)],
)
def test_a_header_may_tell_the_cost(value, dollars):
    """LiteLLM's proxy does so, and says None where it does not know."""
    assert read_header_cost({"x-request-id": value}) is None
    assert read_header_cost({"x-litellm-response-cost": value}) == dollars


NAMES = st.sampled_from(
    ["cost", "total_cost", "is_byok", "cost_details", "upstream_inference_cost", "cost_in_usd_ticks"]
)
ODD = st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=3) | st.lists(st.integers())


@given(ODD | st.dictionaries(NAMES, ODD | st.dictionaries(NAMES, ODD)))
def test_whatever_a_usage_holds_is_no_error(usage):
    """What cannot be read tells nothing; what is told is dollars from 0."""
    dollars = read_cost(usage)
    assert dollars is None or dollars >= 0
    json.dumps(select_terms(a=usage, b=dollars))
