r"""The known forms of secrets, one rule each.

The forms are those the vendors document; gitleaks and detect-secrets collect them. Three rules hold for every
pattern, and are tested:

- The work is bounded: a token is an unusual prefix and a possessive run of one class of characters, and a part
  that may be tried again has a fixed maximum length.
- The secret part never crosses a double quote nor splits an escape, so JSON text stays valid after replacing.
- A boundary on the left also accepts an escape such as `\n`, since JSON text inside a string has a backslash and a
  letter for each line break.

A repeated part that may fail in its middle is in an atomic group, `(?>(?:...)*)`: before Python 3.11.5 a possessive
repeat keeps the beginning of what failed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from namel3ss_debug.traces.redaction import checks


class Rule(NamedTuple):
    """One known form of a secret.

    Attributes:
        name: the name in the placeholder, `[REDACTED:<name>]`.
        pattern: finds the secret: the last group that matched, else the whole match.
        literals: in lower case; a text without any of them cannot match. Empty: always try.
        check: a further check of a match, where the pattern alone would match too much.
        at_literals: whether a match always begins with one of the literals.
    """

    name: str
    pattern: str
    literals: tuple[str, ...]
    check: Callable[[re.Match[str]], bool] | None = None
    at_literals: bool = False


def _token(prefix: str, body: str, width: int = 0) -> str:
    """Return a prefix that does not continue a word, and what follows it.

    The look-behind reaches over the prefix, so that the search can jump from prefix to prefix.

    Args:
        prefix: a pattern of fixed width.
        body: the pattern that follows it.
        width: the width of the prefix where that is not its length.
    """
    over = f".{{{width or len(prefix)}}}"
    escapes = rf"(?<=\\[abfnrtv]{over})|(?<=\\u[0-9A-Fa-f]{{4}}{over})"
    return rf"{prefix}(?:(?<![A-Za-z0-9]{over})|{escapes}){body}"


_WORD = r"[A-Za-z0-9_\-]"
_ALNUM = "[A-Za-z0-9]"
_HEX = "[0-9a-f]"
_QUOTE = r"\\{0,8}[\"']"
_IS = r"[ \t]{0,3}(?:=>|:=|={1,3}|:)[ \t]{0,3}"
_KEYWORD = (
    r"[pPsSkKtTcC](?:(?<=[pP])(?i:assword|asswd|assphrase|wd)|(?<=[sS])(?i:ecret)|(?<=[kK])(?i:ey)"
    r"|(?<=[tT])(?i:oken)|(?<=[cC])(?i:redential))"
)
_LONGEST = 1000


def assigned(keyword: str, shortest: int = 8, *, in_lists: bool = False) -> str:
    """Return a pattern for a value that is assigned to a name in code, JSON, YAML, XML, a shell or a command line.

    The value is in a look-ahead, so that a value that turns out to be none does not hide an assignment inside it.

    Args:
        keyword: a pattern for the end of the name.
        shortest: the fewest characters of a value.
        in_lists: whether the value may be the next item after the name in a list; the name must be an option then.
    """
    run = f"{{{shortest},{_LONGEST}}}"
    many = f"{run}+"
    escape = r"\\(?!\\{0,8}[\"'])\S"
    quoted = rf"\\{{0,8}}\"((?>(?:[^\"\\\n\r]|{escape}){run}))|\\{{0,8}}'((?>(?:[^\"'\\\n\r]|{escape}){run}))"
    annotation = r"(?::\s?[A-Za-z_][\w.|\[\] ]{0,40}?(?=\s?=))?"
    in_json = rf"{_QUOTE}{_IS}(?={quoted}|([^\s\"'\\,;&)}}\]\[{{<]{many}))"
    in_code = rf"{annotation}{_IS}(?={quoted}|([^\s\"'\\,;&)<`]{many}))"
    option = rf"[ ](?=([^\s\"'\\\-=][^\s\"'\\]{many}))"
    in_list = rf"|{_QUOTE},[ ]?(?!\\{{0,8}}[\"']-)(?={quoted})" if in_lists else ""
    element = rf"(?:[ ][\w.:\-]{{1,40}}=[^<>]{{0,200}}+)?>(?=(?P<element>[^\s<>\"'\\]{many})</[\w.:\-]{{0,40}}{keyword})"
    return rf"{keyword}(?:[sS](?=\\?[\"'\s=:]))?(?:{in_json}|{in_code}|{option}|{element}{in_list})"


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


TOKENS: tuple[Rule, ...] = (
    # Model providers and services for agents.
    Rule("anthropic", rf"sk-ant-[a-z0-9]{{2,12}}-{_WORD}{{16,}}+", ("sk-ant-",)),
    Rule(
        "openai",
        _token("sk-", rf"(?:proj|svcacct|service|admin|None)-{_WORD}{{20,}}+"),
        _words("sk-proj- sk-svcacct- sk-service- sk-admin- sk-none-"),
    ),
    Rule("openrouter", rf"sk-or-v\d-{_HEX}{{32,}}+", ("sk-or-v",)),
    Rule("langfuse", r"sk-lf-[0-9a-f\-]{32,}+", ("sk-lf-",)),
    Rule("sk_key", _token("sk-", rf"{_ALNUM}{{32,}}+"), ("sk-",)),
    Rule("groq", _token("gsk_", rf"{_ALNUM}{{40,}}+"), ("gsk_",)),
    Rule("xai", _token("xai-", rf"{_ALNUM}{{60,}}+"), ("xai-",)),
    Rule("perplexity", _token("pplx-", rf"{_ALNUM}{{40,}}+"), ("pplx-",)),
    Rule("replicate", _token("r8_", rf"{_ALNUM}{{36,}}+"), ("r8_",)),
    Rule("huggingface", _token("hf_", rf"(?=[a-z]*+[A-Z0-9]){_ALNUM}{{34,}}+"), ("hf_",)),
    Rule("huggingface", _token("api_org_", rf"(?=[a-z]*+[A-Z0-9]){_ALNUM}{{34,}}+"), ("api_org_",)),
    Rule("fireworks", _token("fw_", rf"{_ALNUM}{{22,}}+"), ("fw_",)),
    Rule("cerebras", _token("csk-", rf"{_ALNUM}{{40,}}+"), ("csk-",)),
    Rule("together", _token("tgp_v1_", rf"{_WORD}{{40,}}+"), ("tgp_v1_",)),
    Rule("nvidia", rf"nvapi-{_WORD}{{60,}}+", ("nvapi-",)),
    Rule("elevenlabs", _token("sk_", rf"{_HEX}{{40,}}+"), ("sk_",)),
    Rule("jina", rf"jina_{_HEX}{{32}}{_WORD}*+", ("jina_",)),
    Rule("langsmith", rf"lsv2_(?:pt|sk)_{_HEX}{{32}}_{_HEX}{{10,}}+", ("lsv2_",)),
    Rule("logfire", rf"pylf_v\d+_[a-z]{{2}}_{_ALNUM}{{20,}}+", ("pylf_v",)),
    Rule("tavily", rf"tvly-{_WORD}{{20,}}+", ("tvly-",)),
    Rule("firecrawl", _token("fc-", rf"{_HEX}{{32,}}+"), ("fc-",)),
    Rule("pinecone", r"pcsk_[A-Za-z0-9_]{40,}+", ("pcsk_",)),
    Rule("e2b", rf"e2b_{_HEX}{{40,}}+", ("e2b_",)),
    # Clouds.
    Rule(
        "aws_key_id",
        _token(r"(?:AKIA|ASIA|ABIA|ACCA|A3T[A-Z0-9])", rf"[A-Z2-7]{{16}}(?!{_ALNUM})", width=4),
        _words("akia asia abia acca a3t"),
    ),
    Rule("aws_bedrock", r"ABSK[A-Za-z0-9+/]{100,}+={0,2}", ("absk",)),
    Rule("aws_bedrock", r"bedrock-api-key-[A-Za-z0-9+/=]{20,}+", ("bedrock-api-key-",)),
    Rule("google", rf"AIza{_WORD}{{35,}}+|GOCSPX-{_WORD}{{28,}}+", ("aiza", "gocspx-")),
    Rule("google_oauth", rf"ya29\.{_WORD}{{20,}}+|1//0{_WORD}{{30,}}+", ("ya29.", "1//0")),
    Rule(
        "azure",
        r"(?:AccountKey|SharedAccessKey|SharedSecretKey)=([A-Za-z0-9+/]{40,}+={0,2})|[?&]sig=([A-Za-z0-9%+/]{40,}+)",
        _words("accountkey= sharedaccesskey= sharedsecretkey= sig="),
    ),
    Rule("digitalocean", rf"do[opr]_v1_{_HEX}{{40,}}+", _words("doo_v1_ dop_v1_ dor_v1_")),
    Rule("databricks", _token("dapi", rf"{_HEX}{{32,}}+"), ("dapi",)),
    Rule("vault", rf"hv[bsr]\.{_WORD}{{24,}}+", _words("hvb. hvs. hvr.")),
    Rule("supabase", rf"sbp_{_HEX}{{40,}}+|sb_secret_{_WORD}{{20,}}+", ("sbp_", "sb_secret_")),
    Rule("planetscale", rf"pscale_(?:tkn|pw|oauth)_{_WORD}{{32,}}+", ("pscale_",)),
    # Code hosts and package registries.
    Rule(
        "github",
        rf"gh[oprsu]_{_ALNUM}{{30,}}+|github_pat_[A-Za-z0-9_]{{22,}}+",
        _words("gho_ ghp_ ghr_ ghs_ ghu_ github_pat_"),
    ),
    Rule(
        "gitlab",
        rf"gl(?:agent|cbt|dt|ffct|ft|imt|oas|pat|ptt|rt|soat)-{_WORD}{{20,}}+(?:\.[a-z0-9]{{7,}}+)?",
        _words("glagent- glcbt- gldt- glffct- glft- glimt- gloas- glpat- glptt- glrt- glsoat-"),
    ),
    Rule("npm", _token("npm_", rf"{_ALNUM}{{36,}}+"), ("npm_",)),
    Rule("pypi", rf"pypi-AgE{_WORD}{{50,}}+", ("pypi-age",)),
    Rule("docker", rf"dckr_(?:pat|oat)_{_WORD}{{24,}}+", ("dckr_",)),
    # Services.
    Rule("1password", rf"ops_eyJ{_WORD}{{50,}}+={{0,2}}", ("ops_eyj",)),
    Rule("facebook", _token("EAA", rf"[A-Z]{_ALNUM}{{80,}}+"), ("eaa",)),
    Rule("flyio", r"fm[12][ar]?_[A-Za-z0-9+/=_]{80,}+|fo1_[A-Za-z0-9_\-]{40,}+", ("fm1", "fm2", "fo1_")),
    Rule("sourcegraph", r"sgp_(?:local_|[0-9a-fA-F]{16}_)?[0-9a-fA-F]{40,}+", ("sgp_",)),
    Rule(
        "slack", r"xox[a-z](?:\.xox[bp])?-[A-Za-z0-9\-]{10,}+|xapp-\d-[A-Za-z0-9\-]{10,}+", ("xox", "xapp-")
    ),
    Rule(
        "slack_webhook",
        r"hooks\.slack\.com/(?:services|workflows|triggers)/([A-Za-z0-9+/_\-]{20,}+)",
        ("hooks.slack.com",),
    ),
    Rule(
        "stripe",
        rf"[rs]k_(?:live|prod|test)_{_ALNUM}{{10,}}+",
        _words("sk_live_ sk_prod_ sk_test_ rk_live_ rk_prod_ rk_test_"),
    ),
    Rule("webhook_secret", r"whsec_[A-Za-z0-9+/=]{20,}+", ("whsec_",)),
    Rule("sendgrid", _token(r"SG\.", rf"{_WORD}{{16,32}}+\.{_WORD}{{30,}}+", width=3), ("sg.",)),
    Rule("mailgun", _token("key-", rf"{_HEX}{{32}}(?!{_ALNUM})"), ("key-",)),
    Rule("twilio", _token("SK", rf"{_HEX}{{32}}(?!{_ALNUM})"), tuple(f"sk{digit:x}" for digit in range(16))),
    Rule(
        "shopify", r"shp(?:at|ca|pa|ss|tka)_[0-9a-fA-F]{32,}+", _words("shpat_ shpca_ shppa_ shpss_ shptka_")
    ),
    Rule("sentry", r"sntry[su]_[A-Za-z0-9+/=_\-]{40,}+", _words("sntrys_ sntryu_")),
    Rule("figma", rf"fig[dop]_{_WORD}{{40,}}+|figd[a-z]*_{_WORD}{{40,}}+", ("figd", "figo_", "figp_")),
    Rule("linear", rf"lin_(?:api|oauth)_{_ALNUM}{{40,}}+", ("lin_api_", "lin_oauth_")),
    Rule(
        "notion",
        _token("ntn_", rf"{_ALNUM}{{40,}}+") + "|" + _token("secret_", rf"{_ALNUM}{{43,}}+"),
        ("ntn_", "secret_"),
    ),
    Rule("grafana", r"gl(?:sa|c)_[A-Za-z0-9+/=_]{32,}+", ("glsa_", "glc_")),
    Rule("newrelic", rf"NRAK-{_ALNUM}{{27,}}+", ("nrak-",)),
    Rule("postman", rf"PMAK-{_HEX}{{24}}-{_HEX}{{30,}}+", ("pmak-",)),
    Rule("atlassian", r"ATATT3[A-Za-z0-9_\-=]{60,}+", ("atatt3",)),
    Rule("airtable", _token("pat", rf"{_ALNUM}{{14}}\.{_HEX}{{64,}}+"), ("pat",)),
    Rule("telegram", rf"\d{{8,10}}:AA{_WORD}{{33,}}+", (":aa",)),
    Rule("age", r"AGE-SECRET-KEY-1[A-Z0-9]{50,}+", ("age-secret-key-1",)),
    Rule(
        "jwt",
        rf"{_token('eyJ', '')}{_WORD}{{8,2000}}+\.(?:eyJ{_WORD}{{4,}}+|{_WORD}{{8,2000}}+(?=\.))(?:\.{_WORD}*+)*+",
        ("eyj",),
    ),
)
"""Secrets that are one run of characters without spaces, at least `RUN` long."""

RUN = 15
"""No secret of `TOKENS` is shorter."""

_PEM_END = r"-----END[ A-Z0-9]{0,40}PRIVATE KEY(?: BLOCK)?-----"
_PEM_LINES = (
    r"(?>(?:(?>(?:\\{1,4}[nrt]|\s)*)"
    r"(?:(?:Proc-Type|DEK-Info|Version|Comment):[ ][^\n\\\"]{0,100}+|[A-Za-z0-9+/=]{12,}+))*)"
)
_NOT_URL = r"\"'<>`\\\[\]{}()"
_NOT_AT = rf"\s/@:{_NOT_URL}"

PHRASES: tuple[Rule, ...] = (
    Rule(
        "private_key",
        rf"-----BEGIN[ A-Z0-9]{{0,40}}PRIVATE KEY(?: BLOCK)?-----(?:(?>(?:[^\-\"]|-(?!----))*){_PEM_END}|{_PEM_LINES})",
        ("private key",),
    ),
    Rule(
        "url_password",
        rf"://(?=[^{_NOT_AT}]{{0,200}}+:(?:([^\s/{_NOT_URL}]{{1,{_LONGEST}}})@|([^\s@{_NOT_URL}]{{1,200}}+)@))",
        ("://",),
        checks.is_url_password,
    ),
    Rule(
        "authorization",
        rf"(?i:authorization)(?:{_QUOTE})?\s{{0,3}}[:=,]\s{{0,3}}(?:b?{_QUOTE})?"
        r"(?i:bearer|basic|digest|token|apikey)[ ]{1,4}([A-Za-z0-9_\-.=+/~:]{8,}+)",
        ("authorization",),
    ),
    Rule(
        "curl_user",
        rf"(?<!\S)(?:-u|--user|--proxy-user|-U)[ =]{{0,2}}(?:{_QUOTE})?[^\s:\"'\\]{{0,100}}+:(?!//)([^\s\"'\\]{{3,200}}+)",
        ("-u",),
        checks.is_for_curl,
    ),
    Rule("azure_secret", r"[A-Za-z0-9_~.]{3}\dQ~[A-Za-z0-9_~.\-]{31,}+", ("q~",)),
    Rule("bearer", r"(?i:bearer)\s{1,4}([A-Za-z0-9_\-.=+/~]{16,}+)", ("bearer",), checks.has_digit),
    Rule("basic", r"(?i:basic)[ ]{1,4}([A-Za-z0-9+/]{8,}+={0,2})", ("basic ",), checks.is_basic_credential),
    Rule(
        "cookie",
        rf"(?i:cookie)(?:{_QUOTE})?\s{{0,3}}[:,]\s{{0,3}}(?:b?{_QUOTE})?([^\"'\\\n\r]{{8,}}+)",
        ("cookie",),
        checks.is_cookie,
    ),
    Rule(
        "aws_secret",
        r"(?i:secret[_ \-]?(?:access)?[_ \-]?key)[^A-Za-z0-9\n]{1,8}([A-Za-z0-9/+=]{40})(?![A-Za-z0-9/+=])",
        ("secret",),
    ),
    Rule(
        "assignment",
        assigned(_KEYWORD, in_lists=True),
        _words("password passwd passphrase pwd secret key token credential"),
        checks.is_assignment,
        at_literals=True,
    ),
    Rule(
        "card",
        r"[2-6](?:(?<![\w.\-].)|(?<=\\[nrt].))(?<=(?=(\d\d(?:[ \-]?\d){12,14}(?![\w\-]|\.\d))).)",
        (),
        checks.is_card,
    ),
)
"""Secrets that are recognised by the text around them, or that may hold spaces."""
