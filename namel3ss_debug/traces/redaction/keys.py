"""Names whose values are secret: fields of a payload, assigned variables, HTTP headers, query parameters.

A name is secret by its ending, after converting it to snake_case: `OPENAI_API_KEY`, `dbPassword` and `X-Auth-Token`
are secret; `max_tokens`, `session_id` and `next_page_token` are not.
"""

from __future__ import annotations

import re

_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_SEPARATORS = re.compile(r"[^0-9a-z]+")
_LONGEST_NAME = 200

_SECRET_END = re.compile(
    r"""
    # Long words that mean one thing only: also without a separator before them, as in "dbpassword".
    (?: pass(?:word|wd|phrase)s? | pass(?:word|phrase)_(?:hash|confirm|confirmation)
      | (?:api|secret|private)_?keys? | (?:access|auth|refresh|bearer)_?token | clientsecret
    # The others as a whole word at the end of the name.
    | (?:^|_)(?:
        pwd | secrets? | token | jwt | (?:proxy_)?authorization | (?:set_)?cookies? | credentials?
      | (?:access|signing|encryption|master|account|subscription|shared_access)_key
      | (?:db|smtp|ftp|mail|pg|user|redis|mysql|postgres)_pass
      | connection_string | dsn | ssn | cvv2? | cvc | otp | pin_code | card_number | totp_seed
      )
    )(?:_?\d{1,3})?$
    """,
    re.VERBOSE,
)

_HARMLESS = re.compile(
    r"""
    (?:^|_)(?:
        tokens | token_count | author(?!i[sz]ation$)\w* | \w+_key_id | public_(?:api_)?key
      # What language models and pagers call a token.
      | (?:stop|eos|bos|pad|unk|sep|cls|mask|special|first|last|start|end|next|prev|previous|page|
           continuation|sync|per|input|output|prompt|completion|cached|image|audio|max|min|num|total|
           cancellation|placeholder|trial)_token
    )$
    """,
    re.VERBOSE,
)

SECRET_HEADERS = frozenset(
    [
        "authorization",
        "proxy-authorization",
        "cookie",
        "set-cookie",
        "x-api-key",
        "api-key",
        "x-goog-api-key",
        "x-auth-token",
        "x-amz-security-token",
        "x-csrf-token",
        "x-xsrf-token",
        "x-access-token",
        "x-vault-token",
        "x-gitlab-token",
        "x-figma-token",
        "ocp-apim-subscription-key",
        "x-subscription-token",
        "x-functions-key",
        "x-rapidapi-key",
        "cf-access-client-secret",
    ]
)
"""Headers that carry credentials, in lower case; their values are never kept, even with redaction off."""

SECRET_PARAMETERS = frozenset(
    ["key", "sig", "signature", "x_amz_signature", "x_goog_signature", "x_amz_credential", "auth", "hapikey"]
)
"""Query parameters that are secret in a URL though their names are harmless elsewhere, in snake case."""


def snake(name: str) -> str:
    """The name in lower-case words joined by underscores: `X-Api-Key` and `xApiKey` become `x_api_key`."""
    return _SEPARATORS.sub("_", _HUMP.sub("_", name[-_LONGEST_NAME:]).lower()).strip("_")


def is_secret_name(name: str) -> bool:
    """Whether the value of a field of this name is secret by the built-in list."""
    words = snake(name)
    return _SECRET_END.search(words) is not None and _HARMLESS.search(words) is None
