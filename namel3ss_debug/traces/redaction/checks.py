"""Further checks of what a pattern has found, where the pattern alone would match too much.

Each check gets the match and returns whether its secret part (the last group that matched, else the whole match) is a
secret.
"""

from __future__ import annotations

import base64
import re
from functools import lru_cache

from namel3ss_debug.late_patterns import compile_late

_HUMP = compile_late(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_SEPARATORS = compile_late(r"[^0-9a-z]+")
_LONGEST_NAME = 200

_SECRET_END = compile_late(
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

_HARMLESS = compile_late(
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
    """Return the name in lower-case words joined by underscores: `X-Api-Key` and `xApiKey` become `x_api_key`."""
    return _SEPARATORS.sub("_", _HUMP.sub("_", name[-_LONGEST_NAME:]).lower()).strip("_")


_AMBIGUOUS = compile_late(
    r"""
    (?:^|_)(?:
        (?P<token>token | jwt | cookies?) | (?P<secret>secrets?) | (?P<path>pwd)
      | (?P<digits>otp | ssn | cvv2? | cvc | pin_code | card_number)
      | (?P<sign>(?:proxy_)?authorization | credentials?)
    )(?:_?\d{1,3})?$
    """,
    re.VERBOSE,
)
_ONE_MEANING = compile_late(r"(?:(?:access|auth|refresh|bearer)_?token|client_?secret)(?:_?\d{1,3})?$")
_COOKIE = compile_late(r"[^\s=]=[^\s=]")
_SCHEME = compile_late(r"[0-9=:]|(?i:bearer|basic|digest|token) ")


def is_secret_field(name: str, value: str) -> bool:
    """Return whether a value is secret under a name for which `is_secret_name` is true.

    Some of these names also mean other things: `token: "USDC"`, `cookie: "chocolate chip"`, `secret: "mellon"`,
    `authorization: "approved"`. Under such a name the value must look like a secret, as in a text.
    """
    words = snake(name)
    ambiguous = _AMBIGUOUS.search(words)
    if ambiguous is None or _ONE_MEANING.search(words):
        return True
    meaning = ambiguous.lastgroup
    if meaning == "path":
        return value[:1] not in "/~."
    if meaning == "digits":
        return _DIGIT.search(value) is not None
    if meaning == "sign":
        return _SCHEME.search(value) is not None
    if "cookie" in ambiguous[0] and _COOKIE.search(value):
        return True
    if " " in value.strip():
        return False
    if ambiguous.start():  # `slack_token` is a token, but `fee_token: "USDC"`
        return len(value) >= _SHORTEST_VALUE
    return len(value) >= _ALSO_HARMLESS[meaning or ""] and (
        value.endswith("=") or _DIGIT.search(value) is not None
    )


def is_secret_name(name: str) -> bool:
    """Return whether the value of a field of this name may be secret by the built-in list."""
    words = snake(name)
    return _SECRET_END.search(words) is not None and _HARMLESS.search(words) is None


_BACKWARDS = compile_late(r"[\w\-]{0,40}+")
_NAME = compile_late(r"[\w\-]+")
_ESCAPE = compile_late(r"[abfnrtv]|u[0-9A-Fa-f]{4}")
_CODE = compile_late(r"[A-Za-z_][\w.]*+(?:[(\[].*)?\Z", re.DOTALL)
_STAND_IN = compile_late(
    r"(?i:none|null|nil|true|false|undefined|required|optional|redacted|string|secretstr)\b[^\w\-]*\Z"
    r"|\$[({]|\$[A-Z_]+\Z|\$[a-z_]+\Z|<[^<>]*>|\{.*\}|%[({]|%s\Z|\*{3}|[xX]{4}|\.{3}"
    r"|(?i:your[_\- ])|os\.|process\.|getenv|env\."
)
_CONSTANT_NAME = compile_late(r"[A-Z]+(?:_[A-Z]+)+\Z")
_DIGIT = compile_late("[0-9]")
_IS = compile_late("[=:]")
_CURL_BEFORE = 256
_DATA = 200
_RUN_OF_DATA = compile_late(
    rf"(?=[^A-Z]*+[A-Z])(?=[^a-z]*+[a-z])(?=[^0-9]*+[0-9])[A-Za-z0-9+/_\-]{{{_DATA}}}"
)
_SHORTEST_VALUE = 8
_is_secret_name = lru_cache(4096)(is_secret_name)
_ALSO_HARMLESS = {"token": 16, "secret": 8}
"""Names that can also mean a model's token or a riddle's secret: their values need a digit and this length."""


def secret_part(match: re.Match[str]) -> str:
    """Return the part of a match that is the secret."""
    return match[match.lastindex or 0]


def is_in_data(text: str, start: int) -> bool:
    """Return whether this place is in a run of base64, such as an image: what looks like a token there is one by chance.

    The beginning of a token with four known characters occurs once in some megabytes of base64.
    """
    return start >= _DATA and _RUN_OF_DATA.match(text, start - _DATA, start) is not None


def has_digit(match: re.Match[str]) -> bool:
    """Return whether the secret part holds a digit or base64's `=`; words of prose and names in code hold neither."""
    secret = secret_part(match)
    return secret.endswith("=") or _DIGIT.search(secret) is not None


def is_no_stand_in(match: re.Match[str]) -> bool:
    """Return whether the secret part is more than a variable or a placeholder."""
    return not is_stand_in(secret_part(match))


def is_stand_in(value: str) -> bool:
    """Return whether a value is a variable or a placeholder in place of a secret."""
    return _STAND_IN.match(value) is not None


def is_for_curl(match: re.Match[str]) -> bool:
    """Return whether the match is an option of a `curl` before it, and its value more than a placeholder."""
    before = match.string[max(0, match.start() - _CURL_BEFORE) : match.start()]
    return "curl" in before.lower() and is_no_stand_in(match)


def is_assignment(match: re.Match[str]) -> bool:
    """Return whether `name = value` gives a secret its value; it does not where the value is code or a placeholder."""
    name = _name(match)
    if not _is_secret_name(name):
        return False
    if match.lastgroup == "element":
        return (
            _before(match, name, 1) in {"<", ":"}
            and name.lower() not in _ALSO_HARMLESS
            and is_no_stand_in(match)
        )
    start = match.start(match.lastindex or 0)
    value = secret_part(match)
    if _STAND_IN.match(value) or _CONSTANT_NAME.match(value):
        return False
    lower = name.lower()
    if not _IS.search(match[0]) and _before(match, name, 2) != "--":  # a blank or a comma before the value
        return False
    if lower.endswith("pwd") and value[0] in "/~.":
        return False  # the working directory
    if lower in _ALSO_HARMLESS and not (len(value) >= _ALSO_HARMLESS[lower] and has_digit(match)):
        return False
    if match.string[start - 1] in "\"'":
        return " " not in value or ("pass" in lower and _IS.search(match[0]) is not None)
    return not _is_code(value, match.string[match.start() : start])


def _name(match: re.Match[str]) -> str:
    r"""Return the name that ends with the keyword that the pattern has found.

    In JSON text the letter of an escape such as `\n` may stand right before it.
    """
    text, start = match.string, match.start()
    before = _BACKWARDS.match(text[max(0, start - 40) : start][::-1])
    keyword = _NAME.match(match[0])
    assert before is not None
    assert keyword is not None
    first = start - before.end()
    escape = _ESCAPE.match(text, first, start) if first and text[first - 1] == "\\" else None
    return (text[escape.end() if escape else first : start] + keyword[0]).lstrip("-")


def _before(match: re.Match[str], name: str, many: int) -> str:
    """Return so many characters before the name that ends with the keyword that the pattern has found."""
    keyword = _NAME.match(match[0])
    assert keyword is not None
    start = match.start() + keyword.end() - len(name)
    return match.string[max(0, start - many) : start]


def _is_code(value: str, assigned: str) -> bool:
    """Return whether an unquoted value is an expression or a word of prose rather than a secret."""
    bare = value.rstrip(")]}>.:!?")
    if not _CODE.match(bare):
        return False
    if "(" in value or "[" in value:
        return True
    if _DIGIT.search(bare):
        return False
    return "." in bare or value != bare or ":" in assigned or assigned.endswith(" ")


def is_basic_credential(match: re.Match[str]) -> bool:
    """Return whether the secret part is base64 of `user:password`."""
    try:
        decoded = base64.b64decode(secret_part(match)[:400].rstrip("=") + "===", validate=False)
    except ValueError:
        return False
    return b":" in decoded and decoded.isascii()


def is_cookie(match: re.Match[str]) -> bool:
    """Return whether the secret part has the form `name=value`; a parameter `cookie: bool = True` in code has not."""
    return _COOKIE.search(secret_part(match)) is not None


def is_url_password(match: re.Match[str]) -> bool:
    """Return whether the part between `:` and `@` is a password and not a port followed by a path."""
    return re.match(r"\d{1,5}(?:[/?#]|$)", secret_part(match)) is None


_BRANDS = compile_late(
    r"4\d{15}|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}|3[47]\d{13}|6(?:011|5\d\d|4[4-9]\d)\d{12}"
)
_GROUPS = compile_late(r"\d+|\d{4}(?P<s>[ \-])\d{4}(?P=s)\d{4}(?P=s)\d{4}|\d{4}([ \-])\d{6}\2\d{5}")


_NUMBERED = (
    r"(?i:order|invoice|tracking|shipment|parcel|transaction|booking|reservation|ticket|reference|customer|"
    r"request|message|trace|span|event|user|chat|job|case)"
    r"(?:[_\- ]?(?i:id|no|nr|num|number|code|ref|key))?s?"
)
_NUMBERED_NAME = compile_late(
    rf"(?:\A|.*[_\-. ]){_NUMBERED}\Z|.*[a-z](?=[A-Z]){_NUMBERED}\Z|(?:\A|.*_)(?i:id)\Z"
)
_NUMBERED_BEFORE = compile_late(rf"(?:(?<![A-Za-z])|(?<=[a-z])(?=[A-Z])){_NUMBERED}[\s\"'\\:=#.(]{{1,12}}\Z")
_BEFORE_NUMBER = 40


def is_numbered(name: str) -> bool:
    """Return whether a long number under this name numbers something, such as an order; one in ten looks like a card's."""
    return len(name) <= _LONGEST_NAME and _NUMBERED_NAME.match(name) is not None


def is_card(match: re.Match[str]) -> bool:
    """Return whether the match is the number of a payment card: issuer, length, grouping and check digit (ISO/IEC 7812-1).

    The number of an order is none, where the word before it says so: `"order": "4532015112830366"`.
    """
    text = secret_part(match)
    start = match.start(match.lastindex or 0)
    if _NUMBERED_BEFORE.search(match.string[max(0, start - _BEFORE_NUMBER) : start]):
        return False
    digits = re.sub(r"\D", "", text)
    if not _GROUPS.fullmatch(text) or not _BRANDS.fullmatch(digits):
        return False
    doubled = (int(digit) * 2 for digit in digits[-2::-2])
    return (sum(map(int, digits[::-2])) + sum(d - 9 if d > 9 else d for d in doubled)) % 10 == 0
