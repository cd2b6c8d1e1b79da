"""Published prices are those of genai-prices, to the last 1e-12 dollar, whoever the provider and whenever the call."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug import prices
from namel3ss_debug.prices.published import find_published_price

genai_prices = pytest.importorskip("genai_prices")

AT = datetime(2025, 1, 1, 12, tzinfo=UTC).timestamp()


def theirs(provider, model, usage, at, **context):
    """What genai-prices says a call costs, in 1e-12 dollars."""
    found = genai_prices.calc_price(
        genai_prices.Usage(**usage),
        model,
        provider_id=provider,
        genai_request_timestamp=datetime.fromtimestamp(at, UTC),
        price_context=context or None,
    )
    return round(found.total_price * 10**12)


MODELS = [
    ("openai", "gpt-4o"),
    ("openai", "gpt-4o-2024-08-06"),
    ("openai", "gpt-4o-mini"),
    ("openai", "o3"),
    ("anthropic", "claude-sonnet-4-20250514"),
    ("anthropic", "claude-3-5-haiku-latest"),
    ("google", "gemini-2.5-pro"),
    ("deepseek", "deepseek-chat"),
    ("groq", "llama-3.3-70b-versatile"),
    ("mistral", "mistral-large-latest"),
]


@pytest.mark.parametrize(("provider", "model"), MODELS)
@given(
    plain=st.integers(0, 400_000),
    read=st.integers(0, 10_000),
    written=st.integers(0, 10_000),
    made=st.integers(0, 50_000),
    at=st.integers(1_700_000_000, 1_790_000_000),
)
def test_a_call_costs_what_they_say(provider, model, plain, read, written, made, at):
    """With what the cache read and wrote, above and below thresholds, on any day and at any hour."""
    usage = {
        "input_tokens": plain + read + written,
        "output_tokens": made,
        "cache_read_tokens": read,
        "cache_write_tokens": written,
    }
    assert prices.calculate_cost(provider, model, usage, at) == theirs(provider, model, usage, at)


LATE = datetime(2026, 11, 1, 12, tzinfo=UTC).timestamp()
"""When genai-prices knows what tiers and batches cost."""

RICH = {
    "input_tokens": 1000,
    "output_tokens": 200,
    "cache_read_tokens": 300,
    "cache_write_tokens": 400,
    "cache_write_1h_tokens": 250,
    "web_searches": 3,
}
PLAIN = {"input_tokens": 1000, "output_tokens": 200, "cache_read_tokens": 300}


@pytest.mark.parametrize(
    ("provider", "model", "usage"),
    [
        ("anthropic", "claude-sonnet-4-5", RICH),
        ("anthropic", "claude-sonnet-4-5", {**RICH, "input_tokens": 300_000}),
        ("anthropic", "claude-opus-4-5", RICH),
        ("openai", "gpt-4o", {**PLAIN, "web_searches": 2}),
        (
            "openai",
            "gpt-audio",
            {"input_tokens": 900, "output_tokens": 90, "input_audio_tokens": 700, "output_audio_tokens": 80},
        ),
        ("google", "gemini-2.5-flash", {**PLAIN, "input_audio_tokens": 600, "cache_audio_read_tokens": 100}),
        ("google", "gemini-2.5-flash", {**PLAIN, "input_image_tokens": 600, "web_searches": 1}),
        (
            "google",
            "gemini-2.5-flash-image",
            {"input_tokens": 9, "output_tokens": 1300, "output_image_tokens": 1290},
        ),
    ],
)
def test_what_is_billed_besides_plain_tokens_costs_what_they_say(provider, model, usage):
    """Hours in the cache, searches, sound and pictures, each at its published price."""
    assert prices.calculate_cost(provider, model, usage, AT) == theirs(provider, model, usage, AT)


def test_a_search_of_files_costs_what_they_say():
    """OpenAI's file search is a search of its storage there: $2.50 for a thousand."""
    ours = prices.calculate_cost("openai", "gpt-4o", {**PLAIN, "file_searches": 2}, AT)
    assert ours == theirs("openai", "gpt-4o", {**PLAIN, "storage_searches": 2}, AT)
    assert ours - prices.calculate_cost("openai", "gpt-4o", PLAIN, AT) == 5 * 10**9


@pytest.mark.parametrize(
    ("provider", "model", "term", "context"),
    [
        ("anthropic", "claude-haiku-4-5", ("service_tier", "batch"), {"processing": "batch"}),
        ("anthropic", "claude-opus-4-8", ("speed", "fast"), {"speed": "fast"}),
        ("openai", "gpt-5", ("service_tier", "flex"), {"service_tier": "flex"}),
        ("openai", "gpt-5", ("service_tier", "priority"), {"service_tier": "priority"}),
    ],
)
def test_other_terms_have_their_own_price(provider, model, term, context):
    """A batch is half the price, a faster answer a higher one."""
    found = find_published_price(provider, model, LATE, None, (term,))
    assert found is not None
    assert found.cost(PLAIN) == theirs(provider, model, PLAIN, LATE, **context)
    assert found.cost(PLAIN) != prices.calculate_cost(provider, model, PLAIN, LATE)


@pytest.mark.parametrize(
    ("provider", "model", "at", "terms"),
    [
        ("openai", "gpt-5", AT, (("service_tier", "flex"),)),  # before anybody wrote it down
        ("openai", "gpt-5", None, (("service_tier", "flex"),)),
        ("openai", "gpt-5", LATE, (("service_tier", "scale"),)),
        ("anthropic", "claude-haiku-4-5", LATE, (("service_tier", "priority"),)),
        ("anthropic", "claude-haiku-4-5", LATE, (("inference_geo", "us"),)),
        ("anthropic", "claude-opus-4-8", LATE, (("service_tier", "batch"), ("speed", "fast"))),
        ("azure", "gpt-5", LATE, (("service_tier", "priority"),)),  # OpenAI's price of it is not Azure's
    ],
)
def test_terms_without_a_published_price_have_none(provider, model, at, terms):
    """The standard price would be a claim that nobody made."""
    assert find_published_price(provider, model, LATE, None) is not None
    assert find_published_price(provider, model, at, None, terms) is None


def test_a_tier_that_costs_what_the_standard_one_does_has_its_price():
    """Groq's flex tier may be refused, and is paid as any other."""
    standard = find_published_price("groq", "llama-3.3-70b-versatile", AT, None)
    assert (
        find_published_price("groq", "llama-3.3-70b-versatile", AT, None, (("service_tier", "flex"),))
        == standard
    )


def test_prices_are_those_of_the_day():
    """OpenAI made o3 cheaper on 10 June 2025: $10 and $40 per million tokens became $2 and $8."""
    usage = {"input_tokens": 1_000_000, "output_tokens": 1_000_000}
    before, after = (datetime(2025, 6, day, tzinfo=UTC).timestamp() for day in (9, 10))
    assert prices.calculate_cost("openai", "o3", usage, before) == 50 * 10**12
    assert prices.calculate_cost("openai", "o3", usage, after) == 10 * 10**12
    assert prices.calculate_cost("openai", "o3", usage, None) is None
    assert prices.calculate_cost("openai", "o3", usage, 1e300) is None


def test_a_price_that_never_changed_needs_no_day():
    """gpt-4o is $2.50 and $10 per million tokens: 1,000 and 100 of them are $0.0035."""
    assert (
        prices.calculate_cost("openai", "gpt-4o", {"input_tokens": 1000, "output_tokens": 100}, None)
        == 3_500_000_000
    )


@pytest.mark.parametrize(
    ("provider", "model", "address", "same_as"),
    [
        (None, "gpt-4o", None, "openai"),
        (None, "claude-3-5-haiku-latest", None, "anthropic"),
        ("azure.ai.openai", "gpt-4o", None, "azure"),
        ("gcp.vertex_ai", "gemini-2.5-pro", None, "google"),
        ("x_ai", "grok-3", None, "x-ai"),
        # the format is OpenAI's, the server is not: it is the server's owner who is paid
        ("openai", "deepseek-chat", "https://api.deepseek.com/v1/chat/completions", "deepseek"),
        ("openai", "llama-3.3-70b-versatile", "https://api.groq.com/openai/v1/chat/completions", "groq"),
        ("openai", "gpt-4o", "https://api.openai.com/v1/chat/completions", "openai"),
        # a server of one's own that is no provider's tells nothing; the recorded provider counts
        ("openai", "gpt-4o", "http://127.0.0.1:4000/v1/chat/completions", "openai"),
    ],
)
def test_who_is_paid(provider, model, address, same_as):
    """By the address, else by the name that was recorded, else by the name of the model."""
    found = find_published_price(provider, model, AT, address)
    assert found is not None
    assert found == find_published_price(same_as, model, AT, None)
    assert found.source == f"genai-prices {genai_prices.__version__}"


@pytest.mark.parametrize(
    ("provider", "model", "address"),
    [
        ("openai", "deepseek-chat", None),
        ("openai", "deepseek-chat", "http://localhost:8000/v1"),
        ("nobody", "gpt-4o", None),
        ("ibm.watsonx.ai", "gpt-4o", None),
        (None, "no-such-model", None),
        ("openai", "whisper-1", None),  # paid by the hour of audio
    ],
)
def test_what_a_provider_does_not_sell_has_no_price(provider, model, address):
    """Another provider's price for a model of the same name would be a guess."""
    assert find_published_price(provider, model, AT, address) is None


def test_every_published_price_can_be_read():
    """Whatever the shape of a price, it becomes whole numbers or there is none; and they are the same numbers."""
    from genai_prices.data_snapshot import get_snapshot

    usage = {"input_tokens": 1_000_000, "output_tokens": 1_000}
    compared = 0
    for provider in get_snapshot().providers:
        for model in provider.models:
            found = (
                get_snapshot().find_provider_model(model.id, None, provider.id, None)[1]
                if model.is_match(model.id)
                else None
            )
            cost = prices.calculate_cost(provider.id, model.id, usage, AT) if found is model else None
            if cost is not None:
                # a price of more digits than 1e-12 dollars a token is rounded, once for each token
                assert abs(cost - theirs(provider.id, model.id, usage, AT)) <= 501_000, (
                    provider.id,
                    model.id,
                )
                compared += 1
    assert compared > 1000
