"""Secrets are found by name and by form; what only looks like one stays. All secrets here are made up at run time."""

from __future__ import annotations

import base64
import json
import random
import re
import resource
import subprocess
import sys
import textwrap

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from namel3ss_debug.errors import SettingError
from namel3ss_debug.traces.redaction.growing import IncrementalRedaction
from namel3ss_debug.traces.redaction.openings import first_literal, opening
from namel3ss_debug.traces.redaction.redactor import Redactor, at_literals, redact_headers
from namel3ss_debug.traces.redaction.rules import PHRASES

LETTERS = "aB3dE5gH7jK9mN2pQ4sT6vW8xY"
HEX = "0a1b2c3d4e5f6789"
UPPER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
REDACTOR = Redactor()


def made_of(alphabet: str, length: int) -> str:
    """A text of a length that no secret scanner takes for a leaked one, since it is not written down anywhere."""
    return (alphabet * (length // len(alphabet) + 1))[:length]


def segment(document: dict) -> str:
    """One part of a JWT."""
    return base64.urlsafe_b64encode(json.dumps(document).encode()).decode().rstrip("=")


TOKEN = made_of(LETTERS, 60)
JWT = ".".join(
    [segment({"alg": "HS256", "typ": "JWT"}), segment({"sub": "1234567890"}), made_of(LETTERS, 43)]
)
PEM_BODY = "\n".join(made_of(LETTERS + "+/", 64) for _ in range(4))
PEM = f"-----BEGIN RSA {'PRIVATE'} KEY-----\n{PEM_BODY}\n-----END RSA {'PRIVATE'} KEY-----"

SECRETS = {
    "anthropic": ["sk-" + "ant-api03-" + TOKEN, "sk-" + "ant-oat01-" + TOKEN],
    "openai": ["sk-" + "proj-" + TOKEN, "sk-" + "svcacct-" + TOKEN, "sk-" + "admin-" + TOKEN],
    "openrouter": ["sk-" + "or-v1-" + made_of(HEX, 64)],
    "langfuse": ["sk-" + "lf-" + "0a1b2c3d-0a1b-2c3d-4e5f-0a1b2c3d4e5f"],
    "sk_key": ["sk-" + made_of(LETTERS, 48), "sk-" + made_of(HEX, 32)],
    "groq": ["gsk" + "_" + made_of(LETTERS, 52)],
    "xai": ["xai" + "-" + made_of(LETTERS, 80)],
    "perplexity": ["pplx" + "-" + made_of(LETTERS, 48)],
    "replicate": ["r8" + "_" + made_of(LETTERS, 37)],
    "huggingface": ["hf" + "_" + made_of(LETTERS, 34), "api" + "_org_" + made_of(LETTERS, 34)],
    "fireworks": ["fw" + "_" + made_of(LETTERS, 24)],
    "cerebras": ["csk" + "-" + made_of(HEX, 48)],
    "together": ["tgp" + "_v1_" + made_of(LETTERS, 43)],
    "nvidia": ["nvapi" + "-" + made_of(LETTERS, 64)],
    "elevenlabs": ["sk" + "_" + made_of(HEX, 48)],
    "jina": ["jina" + "_" + made_of(HEX, 32) + made_of(LETTERS, 28)],
    "langsmith": ["lsv2" + "_pt_" + made_of(HEX, 32) + "_" + made_of(HEX, 10)],
    "logfire": ["pylf" + "_v1_us_" + made_of(LETTERS, 40)],
    "tavily": ["tvly" + "-" + made_of(LETTERS, 32)],
    "firecrawl": ["fc" + "-" + made_of(HEX, 32)],
    "pinecone": ["pcsk" + "_" + made_of(LETTERS, 70)],
    "e2b": ["e2b" + "_" + made_of(HEX, 40)],
    "aws_key_id": ["AK" + "IA" + made_of(UPPER, 16), "AS" + "IA" + made_of(UPPER, 16)],
    "aws_bedrock": ["AB" + "SK" + made_of(LETTERS, 120), "bedrock-" + "api-key-" + made_of(LETTERS, 40)],
    "google": ["AI" + "za" + made_of(LETTERS, 35), "GOC" + "SPX-" + made_of(LETTERS, 28)],
    "google_oauth": ["ya" + "29." + made_of(LETTERS, 60), "1/" + "/0" + made_of(LETTERS, 40)],
    "digitalocean": ["dop" + "_v1_" + made_of(HEX, 64)],
    "databricks": ["dapi" + made_of(HEX, 32)],
    "vault": ["hvs" + "." + made_of(LETTERS, 90)],
    "supabase": ["sbp" + "_" + made_of(HEX, 40), "sb_" + "secret_" + made_of(LETTERS, 31)],
    "planetscale": ["pscale" + "_tkn_" + made_of(LETTERS, 43)],
    "github": [f"gh{kind}_" + made_of(LETTERS, 36) for kind in "opusr"] + ["github" + "_pat_" + TOKEN],
    "gitlab": [f"gl{kind}-" + made_of(LETTERS, 20) for kind in ("pat", "dt", "rt")],
    "1password": ["ops" + "_eyJ" + made_of(LETTERS, 300)],
    "facebook": ["EA" + "AC" + made_of(LETTERS, 120)],
    "flyio": ["fm2" + "_" + made_of(LETTERS, 120), "fo1" + "_" + made_of(LETTERS, 43)],
    "sourcegraph": ["sgp" + "_" + made_of(HEX, 40), "sgp" + "_local_" + made_of(HEX, 40)],
    "npm": ["npm" + "_" + made_of(LETTERS, 36)],
    "pypi": ["pypi" + "-AgEIcHlwaS5vcmc" + made_of(LETTERS, 80)],
    "docker": ["dckr" + "_pat_" + made_of(LETTERS, 27)],
    "slack": ["xox" + "b-123456789012-" + made_of(LETTERS, 24), "xapp" + "-1-A012-" + made_of(HEX, 64)],
    "stripe": ["sk" + "_live_" + made_of(LETTERS, 24), "rk" + "_test_" + made_of(LETTERS, 24)],
    "webhook_secret": ["whsec" + "_" + made_of(LETTERS, 32)],
    "sendgrid": ["SG" + "." + made_of(LETTERS, 22) + "." + made_of(LETTERS, 43)],
    "mailgun": ["key" + "-" + made_of(HEX, 32)],
    "twilio": ["SK" + made_of(HEX, 32)],
    "shopify": ["shpat" + "_" + made_of(HEX, 32)],
    "sentry": ["sntrys" + "_" + made_of(LETTERS, 80)],
    "figma": ["figd" + "_" + made_of(LETTERS, 40)],
    "linear": ["lin" + "_api_" + made_of(LETTERS, 40)],
    "notion": ["ntn" + "_" + made_of(LETTERS, 46), "secret" + "_" + made_of(LETTERS, 43)],
    "grafana": ["glsa" + "_" + made_of(LETTERS, 32) + "_0a1b2c3d"],
    "newrelic": ["NRAK" + "-" + made_of(UPPER, 27)],
    "postman": ["PMAK" + "-" + made_of(HEX, 24) + "-" + made_of(HEX, 34)],
    "atlassian": ["ATA" + "TT3" + made_of(LETTERS, 180)],
    "airtable": ["pat" + made_of(LETTERS, 14) + "." + made_of(HEX, 64)],
    "telegram": ["1234567890" + ":AA" + made_of(LETTERS, 33)],
    "age": ["AGE-SECRET" + "-KEY-1" + made_of(UPPER, 58)],
    "jwt": [JWT, JWT.rpartition(".")[0] + "."],
    "private_key": [PEM, PEM.replace("\n", "\\n"), PEM.rpartition("\n")[0]],
    "card": ["4111 1111 1111 1111", "4111111111111111", "5555-5555-5555-4444", "3782 822463 10005"],
}
"""Rule to secrets that are replaced as a whole, wherever they stand."""

IN_CONTEXT = [
    ("url_password", "postgres://user:{}@db.example.com:5432/app", "s3cr%40t-Pass"),
    ("url_password", "https://{}@github.com/a/b", ":gh0st-t0ken"),
    ("url_password", "postgresql://user:{}@host/db", "ab/cd+ef"),
    ("url_password", "http://h:80/go?to=https://user:{}@host/", "passw0rd"),
    ("azure", "AccountName=a;AccountKey={};EndpointSuffix=core", made_of(LETTERS, 86) + "=="),
    ("azure_sas", "https://a.example.net/c?sv=2024&sig={}&se=1", made_of(LETTERS, 44)),
    ("slack_webhook", "https://hooks.slack.com/services/{}", "T00000000/B00000000/" + made_of(LETTERS, 24)),
    ("authorization", "Authorization: Bearer {}", "abcdefghijkl"),
    ("authorization", "{{'authorization': 'Basic {}'}}", "dXNlcjpwYXNzd29yZA=="),
    ("curl_user", "curl -k -u elastic:{} https://localhost:9200", "P@ssw0rd$1"),
    ("curl_user", "curl -X GET --user 'me:{}' https://h", "abc:def"),
    ("azure_secret", "it is {} here", "aB3" + "8Q~" + made_of(LETTERS, 34)),
    ("bearer", "curl -H 'X: Bearer {}'", made_of(LETTERS, 24)),
    ("bearer", "uses Bearer {} there", "abcdefghijklmnopqrstuvwx="),
    ("basic", "uses Basic {} for that", "dXNlcjpwYXNzd29yZA=="),
    ("cookie", "Set-Cookie: {}", "sid=" + made_of(LETTERS, 24) + "; Path=/"),
    ("aws_secret", "aws secret access key: {}", made_of(LETTERS + "/+", 40)),
    ("assignment", "password={}", "hunter2hunter"),
    ("assignment", "DB_PASSWORD={}", "correcthorsebattery"),
    ("assignment", "DB_PASSWORD={}", "/aB3dE5gH7jK"),
    ("assignment", "SERVER_PWD={}", "hunter2hunter"),
    ("assignment", "password={}", "p@ss(word"),
    ("assignment", "A=1\\ntoken={}", "abc123abc123abc123"),
    ("assignment", "dbPassword: {}", "hunter2hunter"),
    ("assignment", '{{"password": "{}"}}', "hunter2 hunter"),
    ("assignment", '{{\\"api_key\\": \\"{}\\", \\"a\\": 1}}', "abcdefgh12345"),
    ("assignment", "{{'apiKey': '{}'}}", "abcdefgh12345"),
    ("assignment", 'SECRET: str = "{}"', "hunter2hunter"),
    ("assignment", "client_secret={}&grant_type=x", "abc123abc123"),
    ("assignment", "run --db-password {} now", "hunter2hunter"),
    ("assignment", "x: xkey=password={}", "abcd1234x"),
    ("assignment", '"session_token":"{}"', "abc123abc123abc123"),
    ("assignment", "A=1\\nTOKEN={}\\nB=2", "abc123abc123abc123"),
    ("assignment", "password: '{}'", "my_dog_null_2020"),
    ("assignment", "password='{}'", "$ecret-Sauce1"),
    ("assignment", '["--host", "h", "--db-password", "{}", "x"]', "hunter2hunter"),
    ("assignment", "run(['mysql', '--password','{}'])", "hunter2hunter"),
    ("assignment", '{{\\"args\\": [\\"--api-key\\", \\"{}\\"]}}', "abcdefgh12345"),
    ("assignment", "<Login><Password>{}</Password></Login>", "pw12pw12"),
    ("assignment", '<wsse:Password Type="#PasswordText">{}</wsse:Password>', "hunter2hunter"),
    ("assignment", "<user><apiKey>{}</apiKey></user>", "abcdefgh12345"),
]

BENIGN = [
    "max_tokens=123456789 total_tokens: 1234567890",
    '{"token": " wonderful", "logprob": -0.1}',
    "api_key: Optional[str] = None",
    "client = OpenAI(api_key=settings.openai_api_key, timeout=10)",
    "password = get_password(username)",
    'api_key = os.environ["OPENAI_API_KEY"]',
    "api_key = load_key_v2(settings)",
    "token = tokens2[0]",
    "password = username",
    "password:username",
    '{"token": "internationalisation"}',
    '{"api_key": "see the docs, page 4"}',
    '{"api_key": "OPENAI_API_KEY", "password": "YOUR_PASSWORD_HERE"}'.replace("YOUR_", "your_"),
    "the password must have at least eight characters",
    "Password: required. Token: mandatory.",
    "the secret handshake: everybody knows it",
    "export PWD=/home/user/project",
    "http://localhost:8080/@vite/client",
    "see https://example.com/a@b and mail me@example.com: thanks",
    "https://{user}:{password}@{host}/",
    "Basic characteristics of internationalisation",
    "uses Basic QmFzaWNhbGx5IDEyMyB0aGluZ3M= for that",
    "bearer of exceptionally-good-news-for-all",
    "task-proj-alpha-beta-gamma-delta-epsilon",
    "disk-proj-management-and-some-more-words",
    "1234 5678 9012 3456 and 4111 1111 1111 1112",
    "order 1234567812345670, 4111-1111 1111-1111",
    "timestamp 1700000000000000000, id 6011000990139424123",
    "0.4111111111111111 and 4111111111111111.25",
    "commit 0a1b2c3d4e5f67890a1b2c3d4e5f67890a1b2c3d",
    "uuid 0a1b2c3d-0a1b-2c3d-4e5f-0a1b2c3d4e5f",
    "eyJ is how base64 of JSON begins",
    "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOC\n-----END PUBLIC KEY-----",
    'curl -u "$USER:$PASSWORD" https://localhost:9200 -u name',
    "docker run -u app:staff image && curl -s http://localhost:9200",
    "PASSWORD=\nSECRET_HOST=db.example.com\nAPI_KEY:\n  description: whatever",
    "hf_requiredcharacteristictypesfordisplaymetadata",
    "cookie: chocolate chips and butter",
    "sk-learn and hf_hub and pat and npm_config_registry",
    '["password", "username and more", "--user", "somebody"]',
    '["--password", "--another-option", "--token", "tok"]',
    '["--password", "The password to log in with"]',
    "<key>CFBundleName</key><string>App</string><token>wonderful</token><secret>handshake</secret>",
    "<password></password><password>your_password</password><Password> a b </Password>",
    "put it between <password> and </password>, as <password>{password}</password>",
    "<h2>Password</h2> <api-key-docs>a</api-key-docs> next_page_token>abcdef</",
]


@pytest.mark.parametrize(("rule", "secret"), [(rule, one) for rule, many in SECRETS.items() for one in many])
def test_known_formats_are_replaced_as_a_whole(rule, secret):
    """A secret of a known form leaves nothing but the name of its rule."""
    assert REDACTOR.text(f"it is {secret} there") == f"it is [REDACTED:{rule}] there"


@pytest.mark.parametrize(("rule", "frame", "secret"), IN_CONTEXT)
def test_secrets_known_by_their_context_are_replaced_and_the_context_stays(rule, frame, secret):
    """Of an assignment, a URL or a header only the secret goes."""
    expected = frame.format(f":[REDACTED:{rule}]" if secret[0] == ":" else f"[REDACTED:{rule}]")
    assert REDACTOR.text(frame.format(secret)) == expected


@pytest.mark.parametrize("text", BENIGN)
def test_what_only_looks_like_a_secret_stays(text):
    """Prose, code and identifiers come back as the same object."""
    assert REDACTOR.text(text) is text


IMAGE = base64.b64encode(random.Random(4).randbytes(900)).decode()
SHORT_NAMED = ("google", "google_oauth", "facebook", "aws_bedrock", "sk_key", "fireworks", "github", "flyio")
BY_CHANCE = [one for rule in SHORT_NAMED for one in SECRETS[rule] if re.fullmatch(r"[\w+/\-]+", one)]


@pytest.mark.parametrize("chance", BY_CHANCE)
@pytest.mark.parametrize("size", [7, 64, 5000])
def test_data_in_base64_stays_whatever_stands_in_it(chance, size):
    """An image holds the beginning of every token somewhere; behind a delimiter the same is a secret."""
    data = f"{IMAGE}+{chance}{IMAGE}"
    assert REDACTOR.text(data) is data
    assert grown(data, size)[0] == data
    told = REDACTOR.text(f"{IMAGE}, {chance}, {IMAGE}")
    assert told.startswith(f"{IMAGE}, [REDACTED:")
    assert told.endswith(f"], {IMAGE}")


@pytest.mark.parametrize("length", [40, 300, 5000])
def test_a_text_seen_before_is_not_scanned_again(length, monkeypatch):
    """The verdict on a text is remembered, whatever its length."""
    redactor = Redactor()
    text = "harmless words " * (length // 15)
    redactor.text(text)
    monkeypatch.setattr(Redactor, "_scan", None)
    again = "".join(text)
    assert redactor.text(again) is again


def test_the_memory_of_verdicts_is_bounded():
    """Many texts do not make the tables grow without end, and of long ones no text is kept."""
    redactor = Redactor()
    for number in range(5000):
        redactor.text(f"short text number {number}")
        redactor.text(f"word{number} " * 40)
        redactor.key_is_secret(f"name_{number}")
    assert len(redactor._known) <= 4096
    assert len(redactor._clean) <= 4096
    assert len(redactor._names) <= 4096
    assert not any(isinstance(part, str) for mark in redactor._clean for part in mark)


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "passwd",
        "pwd",
        "passphrase",
        "db_password",
        "dbPassword",
        "dbpassword",
        "user_password2",
        "secret",
        "client_secret",
        "clientSecret",
        "secrets",
        "api_key",
        "apikey",
        "apiKey",
        "APIKey",
        "X-Api-Key",
        "OPENAI_API_KEY",
        "api_keys",
        "access_key",
        "secret_access_key",
        "private_key",
        "signing_key",
        "encryption_key",
        "access_token",
        "accessToken",
        "refresh_token",
        "id_token",
        "auth_token",
        "bearer_token",
        "session_token",
        "csrf_token",
        "bot_token",
        "token",
        "X-Auth-Token",
        "jwt",
        "authorization",
        "Authorization",
        "Proxy-Authorization",
        "cookie",
        "Set-Cookie",
        "credential",
        "credentials",
        "connection_string",
        "SENTRY_DSN",
        "ssn",
        "cvv",
        "otp",
        "card_number",
        "db_pass",
        "password_hash",
    ],
)
def test_names_of_secrets(name):
    """A field of such a name holds a secret, in whatever style it is written."""
    assert REDACTOR.key_is_secret(name)


@pytest.mark.parametrize(
    "name",
    [
        "tokens",
        "max_tokens",
        "total_tokens",
        "completion_tokens",
        "token_count",
        "tokens_used",
        "author",
        "authors",
        "author_name",
        "authority_order",
        "session_id",
        "api_key_id",
        "access_key_id",
        "public_key",
        "stop_token",
        "eos_token",
        "bos_token",
        "pad_token",
        "next_page_token",
        "nextPageToken",
        "continuation_token",
        "time_per_token",
        "first_token",
        "key",
        "keys",
        "name",
        "passed",
        "pass",
        "compass",
        "secretary",
        "tokenizer",
        "cookie_policy",
        "password_policy",
        "authorization_url",
        "is_token_valid",
        "monkey",
        "otpauth",
        "description",
        "model",
    ],
)
def test_names_that_are_harmless(name):
    """A field of such a name holds none."""
    assert not REDACTOR.key_is_secret(name)


def test_own_names_and_patterns_add_to_the_built_in_ones():
    """Settings add rules; the built-in ones stay."""
    redactor = Redactor(keys=("employee_no",), patterns={"badge": r"B-\d{6}", "room": r"room (\d+)"})
    assert redactor.key_is_secret("employeeNo")
    assert redactor.key_is_secret("home_employee_no")
    assert redactor.key_is_secret("password")
    assert redactor.text("B-123456") == "[REDACTED:badge]"
    assert redactor.text("in room 12, desk 3") == "in room [REDACTED:room], desk 3"
    assert redactor.text('{"employee_no": "x1", "b": 1}') == '{"employee_no": "[REDACTED:key]", "b": 1}'
    assert redactor.text("password=hunter2hunter") == "password=[REDACTED:assignment]"


def test_an_own_pattern_that_matches_nothing_or_everything_ends():
    """Neither an empty match nor one of the placeholder itself goes on for ever."""
    redactor = Redactor(patterns={"empty": "x*", "all": ".+"})
    assert redactor.text("axb") == "[REDACTED:empty]" or redactor.text("axb") == "[REDACTED:all]"
    assert Redactor(patterns={"word": r"\w+"}).text("a b") == "[REDACTED:word] [REDACTED:word]"


@pytest.mark.parametrize(
    ("patterns", "said"), [({"bad": "("}, "'bad'"), ({"bad": 3}, "'bad'"), ({"bad name": "x"}, "'bad name'")]
)
def test_a_bad_pattern_is_named(patterns, said):
    """A regular expression that does not parse is a setting's mistake, told with the name of the rule."""
    with pytest.raises(SettingError, match=f"redact_patterns: {said}"):
        Redactor(patterns=patterns)


def test_headers_with_credentials_are_replaced_even_without_a_redactor():
    """The credentials of a request are never kept; the other headers only lose what the redactor finds."""
    pairs = [
        ("Authorization", "Bearer x"),
        ("x-api-key", "y"),
        ("Cookie", "a=b"),
        ("X-Note", "password=hunter2hunter"),
    ]
    kept = [(name, "[REDACTED:header]") for name, _ in pairs[:3]]
    assert redact_headers(pairs, None) == [*kept, pairs[3]]
    assert REDACTOR.headers(pairs) == [*kept, ("X-Note", "password=[REDACTED:assignment]")]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://h/v1?key=abc&alt=sse", "https://h/v1?key=[REDACTED:key]&alt=sse"),
        (
            "https://u:pw@h/v1?api-key=1&q=a b#t",
            "https://u:[REDACTED:url_password]@h/v1?api-key=[REDACTED:key]&q=a b#t",
        ),
        (
            "https://h/x?X-Amz-Signature=ab12&max_tokens=3",
            "https://h/x?X-Amz-Signature=[REDACTED:key]&max_tokens=3",
        ),
        ("https://h/plain?page=2", "https://h/plain?page=2"),
        ("https://h/?token=#access_token=a", "https://h/?token=#access_token=[REDACTED:key]"),
    ],
)
def test_urls_lose_passwords_and_secret_parameters(url, expected):
    """All else of the address stays, byte for byte, and a second look changes nothing."""
    assert REDACTOR.url(url) == expected
    assert REDACTOR.url(expected) == expected


@pytest.mark.parametrize(
    "document",
    [
        {"password": 12345678, "b": 2},
        {"cards": [4111111111111111, 5555555555554444], "n": 1},
        {"args": json.dumps({"card": 4111111111111111, "password": 'a"b\\c\nd"efghijk'})},
        {"deep": json.dumps({"x": json.dumps({"api_key": "abcdefgh1234", "password": 87654321})})},
        {"log": f"line\n{SECRETS['aws_key_id'][0]}\t{JWT}\\n{PEM}", "é": "password='x\"yz12345678'"},
        {"header": "Cookie: a=bcdefghijk\r\nHost: x", "curl": '-H "Authorization: Bearer abcdefgh12"'},
    ],
)
def test_json_text_stays_json(document):
    """Replacing inside the text of a document, nested as it may be, leaves a document, with the same shape."""
    text = json.dumps(document)
    replaced = json.loads(REDACTOR.text(text))
    assert replaced != document
    assert replaced.keys() == document.keys()
    for key in ("args", "deep"):
        if key in document:
            assert json.loads(replaced[key]).keys() == json.loads(document[key]).keys()


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=20)
    | st.sampled_from([one for many in SECRETS.values() for one in many])
    | st.sampled_from([frame.format(secret) for _, frame, secret in IN_CONTEXT]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["password", "token", "a", 'q"', "api_key", "n\n"]), inner, max_size=4
        )
        | inner.map(json.dumps)
    ),
    max_leaves=12,
)
PIECES = st.lists(
    st.text(max_size=12)
    | st.sampled_from([one for many in SECRETS.values() for one in many])
    | st.sampled_from([frame.format(secret) for _, frame, secret in IN_CONTEXT])
    | st.sampled_from(
        ["password=", "Bearer ", "://", "@", '"', "\\", "[REDACTED:x]", "sk-", "eyJ", "AKIA", ":", "key"]
    ),
    max_size=8,
).map("".join)


@given(PIECES)
def test_redacting_twice_is_redacting_once(text):
    """What was redacted has nothing left to find."""
    once = REDACTOR.text(text)
    assert REDACTOR.text(once) == once


@pytest.mark.parametrize("secret", ["password = " + TOKEN[:20], "sk-" + "proj-" + TOKEN])
def test_a_run_of_base64_is_replaced_as_a_whole_and_what_was_replaced_in_it_stays(secret):
    """Also UTF-16, and in the alphabet of URLs; a text without a secret and an image come back as they are."""
    for text in (secret, json.dumps({"a": secret}), secret.encode("utf-16-le").decode()):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            run = encode(text.encode()).decode()
            assert re.fullmatch(r"it is \[REDACTED:\w+\] there", REDACTOR.text(f"it is {run} there"))
    for text in (REDACTOR.text(secret), "the agent asks a model and the model asks for a tool"):
        run = base64.b64encode(text.encode()).decode()
        assert REDACTOR.text(f"it is {run} there") == f"it is {run} there"


@pytest.mark.parametrize("before", ["/files/", "https://example.com/v1/", "state_", "id-"])
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_base64_behind_a_path_or_a_prefix_is_replaced(before, size):
    """The characters that separate it from what is before it are characters of base64 themselves."""
    run = base64.urlsafe_b64encode(("sk-" + "proj-" + TOKEN).encode()).decode().rstrip("=")
    text = f"see {before}{run} there"
    assert run[20:] not in REDACTOR.text(text)
    assert before in REDACTOR.text(text)
    growing = IncrementalRedaction(REDACTOR)
    for start in range(0, len(text), size):
        growing.feed(text[start : start + size])
    growing.finish()
    (secret,) = growing.secrets
    assert secret.start - text.index(run) <= 16, "only the shortest run that waits may have passed"
    assert secret.end == text.index(run) + len(run)


def test_a_parameter_named_cookie_is_code():
    """A cookie is `name=value`; a default value in Python has blanks around its `=`."""
    code = "def f(quote_cookie: bool = True, treat_as_secure: bool = False): pass"
    assert REDACTOR.text(code) == code
    assert REDACTOR.text("Cookie: sid=0123456789abcdef") == "Cookie: [REDACTED:cookie]"


@pytest.mark.parametrize(
    "text",
    [
        "q=Bearer%20" + TOKEN,
        "x%3Dsk%2Dproj%2D" + TOKEN,
        "sk\\u002dproj\\u002d" + TOKEN,
        "a=1&token=Bearer+" + TOKEN,
        "AccountKey%3D" + made_of(LETTERS, 40) + "%252F" + made_of(LETTERS, 40),
    ],
)
def test_a_secret_behind_escapes_is_replaced(text):
    """And only once: what is left has nothing to find."""
    once = REDACTOR.text(text)
    assert TOKEN[-20:] not in once
    assert "[REDACTED:" in once
    assert REDACTOR.text(once) == once


@given(JSON, st.booleans())
def test_json_stays_json_whatever_it_holds(document, escaped):
    """Law: the text of any document is still a document afterwards."""
    json.loads(REDACTOR.text(json.dumps(document, ensure_ascii=escaped)))


@given(PIECES)
def test_a_rule_that_begins_with_a_literal_is_found_where_one_stands(text):
    """Law: to look where a literal stands finds what a search of the whole text finds, and as many times."""
    for rule in (rule for rule in PHRASES if rule.at_literals):
        pattern = re.compile(rule.pattern)
        found = [match.span() for match in at_literals(rule.literals, pattern, text, text.lower(), 0)]
        assert found == [match.span() for match in pattern.finditer(text)] or len(text.lower()) != len(text)


def test_the_same_words_are_looked_at_once(monkeypatch):
    """A run of characters without the beginning of a secret is remembered, and one with it is not."""
    redactor = Redactor()
    asked: list[list[str]] = []
    orders = Redactor._orders
    monkeypatch.setattr(Redactor, "_orders", lambda self, runs: asked.append(runs) or orders(self, runs))
    secret = SECRETS["groq"][0]
    for n in range(3):
        assert secret not in redactor.text(f"{n} completion_tokens_details {secret}")
    assert redactor.text("completion_tokens_details, again") == "completion_tokens_details, again"
    assert redactor.text("and again completion_tokens_details") == "and again completion_tokens_details"
    assert [runs for runs in asked if secret not in runs] == []


EDGES = st.sampled_from([" ", "\n", "\t", '"', "'", "(", "<", "=", ",", "\\n", "\\u00e9", "…"])


@settings(max_examples=300)
@given(
    st.text(max_size=60),
    EDGES,
    st.sampled_from([one for rule, many in SECRETS.items() if rule != "card" for one in many]),
    EDGES.filter(lambda edge: "\\" not in edge),
    st.text(max_size=60),
)
def test_a_secret_in_any_text_never_survives(before, left, secret, right, after):
    """Law: whatever stands around a secret, it is gone."""
    replaced = REDACTOR.text(before + left + secret + right + after)
    assert secret not in replaced
    assert secret[8:] not in replaced


def test_the_rules_are_thread_safe_enough():
    """Two redactors of the same settings agree, whatever they saw before."""
    first, second = Redactor(), Redactor()
    texts = [frame.format(secret) for _, frame, secret in IN_CONTEXT]
    assert [first.text(text) for text in texts] == [second.text(text) for text in reversed(texts)][::-1]


HOSTILE = """
import resource, sys
from namel3ss_debug.traces.redaction.redactor import Redactor
n = 1_000_000
text = {shape}
redacted = Redactor().text(text)
assert Redactor().text("password=hunter2hunter") == "password=[REDACTED:assignment]"
"""
SHAPES = {
    "jwt starts": "'eyJ' * (n // 3)",
    "jwt parts": "'eyJaaaaaaaaaa.' * (n // 14)",
    "keys": "'xkey=' * (n // 5)",
    "passwords": "'password=' * (n // 9)",
    "stand-ins": "'password=null-' * (n // 14)",
    "urls": "'://a:b/' * (n // 7)",
    "colons": "'://a:' + ':b' * (n // 2)",
    "ats": "'://a:' + '@' * n",
    "backslashes": "'password' + chr(92) * n",
    "quotes": "'password=' + chr(34) + 'a' * n",
    "digits": "'4' * n",
    "spaced digits": "'4 ' * (n // 2)",
    "pem starts": "'-----BEGIN PRIVATE KEY-----' * (n // 27)",
    "pem dashes": "'-----BEGIN PRIVATE KEY-----' + '- ' * (n // 2)",
    "bearers": "'bearer ' * (n // 7)",
    "annotations": "'password:' + 'a ' * (n // 2)",
    "cookies": "'cookie: abcdefgh' * (n // 16)",
    "tokens": "'AKIA' * (n // 4)",
    "chained tokens": "'AKIAABCDEFGHIJKLMNOP' * (n // 20)",
    "placeholders": "'[REDACTED:a]' * (n // 12)",
    "one word": "'a' * n",
    "spaces": "'secret' + ' ' * n",
    "curls": "'curl' + ' -u aaaaaaaa' * (n // 12)",
    "sendgrid": "'SG.aaaaaaaaaaaaaaaaaaaa.' * (n // 24)",
    "percent escapes": "'%2B' * (n // 3)",
    "escaped escapes": "'%252525' * (n // 7)",
    "json escapes": "(chr(92) * 7 + 'u002b') * (n // 12)",
    "queries": "'?a=b+c&' * (n // 7)",
    "base64 texts": "'QUJDREVGR0hJSktMTU5PUFFSU1RVVldY ' * (n // 33)",
    "one base64 text": "'QUJD' * (n // 4)",
    "names of services": "'okta ' * (n // 5)",
    "names of keys": "'okta_key_key_key_key ' * (n // 21)",
    "hashes beside nothing": "'azure ' + '0a1b2c3d' * (n // 8)",
    "marks of suffixes": "('a' * 30 + '-us1') * (n // 34)",
    "netrc": "'machine a login ' * (n // 16)",
    "growing when lowered": "'\\u0130password=' * (n // 10)",
}


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_hostile_texts_of_a_megabyte_need_bounded_work(shape):
    """No text makes a pattern go over it again and again: 20 s of processor time are more than enough."""

    def limit():
        resource.setrlimit(resource.RLIMIT_CPU, (20, 20))

    program = textwrap.dedent(HOSTILE).replace("{shape}", shape)
    ended = subprocess.run(
        [sys.executable, "-c", program], preexec_fn=limit, capture_output=True, check=False
    )
    assert ended.returncode == 0, ended.stderr


def test_a_command_line_loses_the_values_of_options_with_secret_names():
    """Behind a space or an equals sign; other options keep theirs."""
    words = [
        "app.py",
        "--password",
        "pw",
        "--max-tokens",
        "12",
        "--api-key=abc123abc123",
        "--token",
        "--n",
        "1",
        "-x",
        "",
    ]
    assert REDACTOR.words(words) == [
        *("app.py", "--password", "[REDACTED:key]", "--max-tokens", "12", "--api-key=[REDACTED:assignment]"),
        *("--token", "--n", "1", "-x", ""),
    ]


def test_a_list_loses_what_stands_behind_an_option_and_the_lines_of_a_private_key():
    """A word alone is taken out, and no prose, no other option and no stand-in; a key ends where its lines do."""
    words = [
        "mysql",
        "--user",
        "ann",
        "--password",
        "pw",
        7,
        "--token",
        "--n",
        "--secret",
        "$SECRET",
        "--api-key",
    ]
    assert REDACTOR.hidden(words) == {4: "[REDACTED:key]"}
    assert REDACTOR.hidden(["--password", "The password to use", "--max-tokens", "12"]) == {}
    own = Redactor(keys=["customer_id"])
    assert own.text("<customer_id>c-17</customer_id><b>c-17</b>").count("c-17") == 1
    assert own.text('["customer_id", "name"] </customer_id>name</b>').count("name") == 2
    assert own.hidden(["--customer-id", "c-17"]) == {1: "[REDACTED:key]"}
    key = PEM.splitlines(keepends=True)
    assert REDACTOR.hidden(["x", *key, "then"]) == dict.fromkeys(range(2, 6), "[REDACTED:private_key]")
    assert REDACTOR.hidden([key[0], "Proc-Type: 4,ENCRYPTED", "", key[1], 3, key[1]]) == dict.fromkeys(
        (1, 2, 3), "[REDACTED:private_key]"
    )


def grown(text, size, redactor=REDACTOR, *, is_json=False):
    """A text that came in pieces of a size, without its secrets, and the most that had to wait."""
    growing, most = IncrementalRedaction(redactor, is_json=is_json), 0
    for start in range(0, len(text), size):
        growing.feed(text[start : start + size])
        most = max(most, growing.length - growing.settled)
    growing.finish()
    parts, done = [], 0
    for secret in growing.secrets:
        parts += [text[done : secret.start], secret.shown]
        done = secret.end
    return "".join([*parts, text[done:]]), most


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("my badge is B-123456, and so on. ", "123456"),
        ("in room 12, desk 3. ", "12"),
        ("with employee_no=x1y2z3 here ", "x1y2z3"),
        ("it is 123#abc there ", "123#abc"),
        ("words " * 100 + "my badge is B-123456 " + "words " * 200, "123456"),
    ],
)
@pytest.mark.parametrize("patterns", [["badge", "room"], ["badge", "room", "code"]])
def test_what_the_user_added_is_found_in_a_text_that_comes_in_pieces(text, secret, patterns):
    """Names and patterns of the user's, also one of which no literal is known, are found however the text is cut."""
    forms = {"badge": r"B-\d{6}", "room": r"room (\d+)", "code": r"\d{3}#\w+"}
    redactor = Redactor(keys=("employee_no",), patterns={name: forms[name] for name in patterns})
    whole = redactor.text(text)
    assert (secret in whole) == ("#" in secret and "code" not in patterns)
    for size in (1, 2, 3, 7, 20, 1000):
        told, _ = grown(text, size, redactor)
        assert (secret in told) == (secret in whole)
        assert told[-10:] == whole[-10:]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"password": "pw", "n": 1}', '{"password": "[REDACTED:key]", "n": 1}'),
        ('{"api_key":"a \\" x","a":[1]}', '{"api_key":"[REDACTED:key]","a":[1]}'),
        ('{"pin_code": 1234, "b": "x"}', '{"pin_code": "[REDACTED:key]", "b": "x"}'),
        ('{"api_key": {"a": "b"}, "c": 1}', '{"api_key": [REDACTED:key], "c": 1}'),
        ('{"api_key": ["a", "b"], "c": 1}', '{"api_key": [REDACTED:key], "c": 1}'),
        ('{"a": {"otp": "77"}, "cvv": "123"}', '{"a": {"otp": "[REDACTED:key]"}, "cvv": "[REDACTED:key]"}'),
        ('{"rows": [{"otp": "77", "n": 1}]}', '{"rows": [{"otp": "[REDACTED:key]", "n": 1}]}'),
        ('{"note": "pw", "max_tokens": 5}', '{"note": "pw", "max_tokens": 5}'),
    ],
)
def test_in_json_that_comes_in_pieces_the_values_of_secret_names_are_found(text, told):
    """As the arguments of a tool in a stream: whatever the value is, and however it is cut."""
    for size in (1, 2, 3, 7, 20, 1000):
        assert grown(text, size, is_json=True)[0] == told


@pytest.mark.parametrize(
    ("text", "secret"),
    [(f"see {one} end. ", one) for many in SECRETS.values() for one in many]
    + [(frame.format(secret) + "\nand", secret) for _, frame, secret in IN_CONTEXT],
)
def test_every_known_form_is_found_in_a_text_that_comes_in_pieces(text, secret):
    """However it is cut: but for the beginning that tells one by, which is no secret yet, nothing of it is left."""
    for size in (1, 2, 3, 7, 20, 1000):
        told, _ = grown(text, size)
        assert secret[-8:] not in told
        assert secret[30:42] not in told or len(secret) < 42
        assert REDACTOR.text(told) == told
        assert told.endswith(text[-3:])


@pytest.mark.parametrize("text", BENIGN)
def test_what_only_looks_like_a_secret_stays_in_pieces_too(text):
    """And waits for no more than the text is long."""
    for size in (1, 4, 9):
        assert grown(text, size)[0] == text


def test_a_keyword_in_running_text_is_not_followed_for_long():
    """No element of XML, nor anything else that is secret, begins with such a word and goes on with prose."""
    (pattern,) = (rule.pattern for rule in PHRASES if rule.name == "assignment")
    assert opening(pattern).search("the password option, then more words and").start() == 40
    assert opening(pattern).search('<Password Type="x y"').start() == 1


def test_a_text_that_waits_for_long_is_not_looked_at_with_every_piece(monkeypatch):
    """A private key whose end never comes is looked at each time that it has grown by a part of itself."""
    looks, look = [], IncrementalRedaction._look
    monkeypatch.setattr(
        IncrementalRedaction,
        "_look",
        lambda self, text, again: (looks.append(len(text)), look(self, text, again)),
    )
    told, most = grown(PEM.rpartition("\n")[0] + "\nwords and words" * 8000, 16)
    assert most > 100_000
    assert len(looks) < 400
    assert "[REDACTED:private_key]" in told


@pytest.mark.parametrize(
    ("pattern", "text", "start"),
    [
        ("abc", "xxab", 2),
        ("a(?:b|cd)e", "acd", 0),
        ("a{3,5}b", "xaaaa", 1),
        ("(?:ab){2,}", "abab", 0),
        ("a(?=b+c)", "xabb", 1),
        ("a(?!bc)", "ab", 0),
        (r"\bsk", "a s", 2),
        ("(?i:AB)c", "aB", 0),
        ("abc", "xxabx", None),
        ("a(?=bc)", "abx", None),
        ("^ab", "a", 0),
        (r"(a)\1", "some word", 5),
    ],
)
def test_where_a_text_ends_inside_of_a_match(pattern, text, start):
    """Literals, branches, repeats, what stands ahead; of what cannot be cut, the last word."""
    found = opening(pattern).search(text)
    assert (None if found is None or found.start() == len(text) else found.start()) == start


@pytest.mark.parametrize(
    ("pattern", "literal"),
    [("TICKET-[0-9]+", "ticket-"), (r"\b(?:Cust#(\d+))", "cust#"), ("[ab]c", ""), ("(a|b)", ""), ("(", "")],
)
def test_what_every_match_begins_with(pattern, literal):
    """So that a text without it need not be looked at."""
    assert first_literal(pattern) == literal


@pytest.mark.parametrize("size", [1000, 192_000])
@pytest.mark.parametrize("begins", ["", "data:audio/wav;base64,", '{"data": "'])
def test_base64_of_zeros_stays(begins, size):
    """Silence and black pixels look like tokens of Dropbox one after another; nothing of them is lost."""
    text = begins + base64.b64encode(bytes(size)).decode() + ('"}' if "{" in begins else "")
    assert Redactor().text(text) is text


def test_what_is_no_secret_stays_beside_any_number_of_secrets():
    """Of a text in which each placeholder uncovers the next secret, only the secrets are replaced."""
    own = Redactor(patterns={"own": r"(?:(?<=\])|(?<=^))x{20}"})
    shown = own.text("x" * 4000 + " and the rest")
    assert shown == "[REDACTED:own]" * 200 + " and the rest"


@pytest.mark.parametrize("secret", [f"sk-proj-{TOKEN}", f"password={made_of(HEX, 20)}"])
@pytest.mark.parametrize("data", [random.Random(2).randbytes(200_000), bytes(200_000)])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_secrets_around_long_data_are_replaced(encode, data, secret):
    """The middles of long runs are left out of the search, and the places behind them are still right."""
    run = encode(data).decode()
    text = f"{secret} {run} {secret}\n{run}\n{secret} end"
    shown = Redactor().text(text)
    label = re.search(r"\[REDACTED:\w+\]", shown)[0]
    placed = label if secret.startswith("sk-") else f"password={label}"
    assert shown == f"{placed} {run} {placed}\n{run}\n{placed} end"


LONG = {
    "bytes": random.Random(2).randbytes(300_000),
    "zeros": bytes(300_000),
    "text": b"the agent asks a model and the model asks for a tool\n" * 6000,
    "pixels": b"\xff\xff\xfe" * 100_000,
}


@pytest.mark.parametrize("secret", [f" sk-proj-{TOKEN} ", f'{{"password": "{made_of(HEX, 20)}"}}'])
@pytest.mark.parametrize("kind", LONG)
@pytest.mark.parametrize("place", [100, 150_000, 299_000])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_a_secret_anywhere_in_long_base64_is_replaced_and_nothing_else(encode, place, kind, secret):
    """A document or a pickle in base64 holds a secret behind the first 64 KB as well; what is no secret stays."""
    data, run = LONG[kind], secret.encode()
    whole = encode(data[:place] + run + data[place:]).decode()
    shown = Redactor().text(f'{{"file": "{whole}"}}')
    assert json.loads(shown)["file"].count("[REDACTED:") == 1
    before, after = re.split(r"\[REDACTED:\w+\]", json.loads(shown)["file"])
    assert whole.startswith(before)
    assert whole.rstrip("=").endswith(after.rstrip("="))
    hidden = whole[len(before) : len(whole) - len(after)]
    assert len(hidden) <= len(encode(run)) + 8
    left = base64.urlsafe_b64decode(before.translate(str.maketrans("+/", "-_")))
    assert (TOKEN if "sk-" in secret else made_of(HEX, 20)).encode()[:8] not in left


@pytest.mark.parametrize("before", ["/files/", "a/bc/", "state_"])
def test_long_base64_behind_a_path_is_searched(before):
    """What is before it is of characters of base64 itself, so that its groups of four begin anywhere."""
    run = base64.urlsafe_b64encode(LONG["bytes"] + f" sk-proj-{TOKEN} ".encode() + LONG["zeros"]).decode()
    assert "[REDACTED:openai]" in Redactor().text(before + run)


def test_utf16_in_long_base64_is_searched():
    """The encoded commands of PowerShell are UTF-16."""
    text = "Write-Host 'the agent asks a model'\n" * 2000 + f"$key = 'sk-proj-{TOKEN}'\n" + "exit\n" * 500
    run = base64.b64encode(text.encode("utf-16-le")).decode()
    shown = Redactor().text(run)
    assert shown.count("[REDACTED:openai]") == 1
    assert len(shown) > len(run) - 4 * len(TOKEN) - 50


@pytest.mark.parametrize("rule", [name for name in SECRETS if name != "dropbox"])
@pytest.mark.parametrize("around", ["A", "f", "_wAA", "0123456789abcdef"])
def test_tokens_in_long_runs_are_found(rule, around):
    """Where zeros, pixels or digits are around a token, it is none by chance, wherever in the run it is."""
    secrets = [one for one in SECRETS[rule] if re.fullmatch(r"[A-Za-z0-9_\-]+", one)]
    for secret in secrets:
        run = around * (20_000 // len(around))
        text = f"{run}_{secret}_{run}"
        whole = Redactor().finds(text)
        shown = Redactor().text(text)
        assert (secret in shown) == (not whole), secret


def test_a_token_behind_a_long_run_of_words_is_replaced():
    """Words joined by `-` are no data, however many they are."""
    words = "some-words-" * 500
    assert Redactor().text(f"{words}sk-proj-{TOKEN}") == f"{words}[REDACTED:openai]"


@pytest.mark.parametrize(
    "text",
    [
        "{&quot;password&quot;: &quot;SECRET&quot;}",
        "{&#34;api_key&#34;:&#34;SECRET&#34;}",
        "{&#x22;client_secret&#x22;: &#x22;SECRET&#x22;}",
        "{&amp;quot;password&amp;quot;:&amp;quot;SECRET&amp;quot;}",
        "&lt;password&gt;SECRET&lt;/password&gt;",
        "a=1&amp;password=SECRET&amp;b=2",
        "password&#61;SECRET",
        "user[password]=SECRET&x=1",
        "user%5Bpassword%5D=SECRET&x=1",
        "username%3Dbob%26password%3DSECRET%26x%3D1",
    ],
)
def test_assignments_in_forms_and_in_html_are_found(text):
    """The value goes, and what is around it stays as it was, also where the text arrives in pieces."""
    secret = made_of(HEX, 16)
    before, after = text.split("SECRET")
    shown = REDACTOR.text(before + secret + after)
    assert shown.startswith(before + "[REDACTED:")
    assert shown.endswith("]" + after)
    for size in (1, 5, 1000):
        assert grown(before + secret + after, size)[0] == shown


@pytest.mark.parametrize(
    ("name", "value", "is_secret"),
    [
        ("token", "USDC", False),
        ("token", {"symbol": "USDC", "decimals": 6}, False),
        ("fee_token", "USDC", False),
        ("token", TOKEN, True),
        ("token", {"value": TOKEN}, True),
        ("slack_token", "abcdefghij", True),
        ("access_token", "short", True),
        ("cookie", "chocolate chip", False),
        ("cookie", "sid=abcdef", True),
        ("secret", "mellon", False),
        ("client_secret", "mellon", True),
        ("authorization", "approved", False),
        ("authorization", "Bearer abc", True),
        ("pwd", "/home/bob", False),
        ("otp", 123456, True),
        ("password", "hunter2", True),
        ("city", "hunter2", False),
    ],
)
def test_a_name_with_several_meanings_needs_a_value_that_looks_like_a_secret(name, value, is_secret):
    """A word that means one thing only, and a name that the user added, need none."""
    assert REDACTOR.field_is_secret(name, value) is is_secret
    assert Redactor(keys=[name]).field_is_secret(name, value) is True


@pytest.mark.parametrize(
    "text", ['{"order": "NUMBER"}', "order_id=NUMBER", "Your order number: NUMBER", "invoiceNo NUMBER"]
)
def test_the_number_of_an_order_is_no_card(text):
    """One in ten numbers of sixteen digits looks like that of a card; the word before it tells them apart."""
    number = "4532" + "015112830366"
    assert REDACTOR.text(text.replace("NUMBER", number)) == text.replace("NUMBER", number)
    assert REDACTOR.text(f"reorder with card {number}") == "reorder with card [REDACTED:card]"
