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
        literals: in lower case; a text without any of them cannot match. Empty: tried where a long run of characters is.
        example: the published form, as a regular expression of literals, classes and counts. The tests make random
            texts from it, and its group, or all of it, has to disappear in each.
        check: a further check of a match, where the pattern alone would match too much.
        at_literals: whether a match always begins with one of the literals.
        is_named: whether the name of a field, header or variable may be the beginning of a match, and its value the rest.
    """

    name: str
    pattern: str
    literals: tuple[str, ...]
    example: str
    check: Callable[[re.Match[str]], bool] | None = None
    at_literals: bool = False
    is_named: bool = False


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
_START = r"(?:(?<![A-Za-z0-9])|(?<=\\[abfnrtv])|(?<=\\u[0-9A-Fa-f]{4}))"
"""Where a token may begin that no prefix marks: not inside a word, but after an escape."""

_HEX = "[0-9a-f]"
_BASE64 = "[A-Za-z0-9+/]"
_MIXED = r"(?=[a-z]*+[A-Z0-9])"
_BASIC_EXAMPLE = (
    "(dXNlcjp3(?:[A-Za-f][A-HQ-Xg-nw-z0-3][ABEFIJMNQRUVYZcdghklopstwx014589][A-Za-z0-9+/]){4,10})"
)
"""Base64 of `user:w` and ASCII: the sets leave out what would set the highest bit of a byte."""

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
    in_code = rf"(?:{annotation}{_IS}|\]=)(?={quoted}|([^\s\"'\\,;&)<`]{many}))"
    option = rf"[ ](?=([^\s\"'\\\-=][^\s\"'\\]{many}))"
    in_list = rf"|{_QUOTE},[ ]?(?!\\{{0,8}}[\"']-)(?={quoted})" if in_lists else ""
    element = rf"(?:[ ][\w.:\-]{{1,40}}=[^<>]{{0,200}}+)?>(?=(?P<element>[^\s<>\"'\\]{many})</[\w.:\-]{{0,40}}{keyword})"
    return rf"{keyword}(?:[sS](?=\\?[\"'\s=:]))?(?:{in_json}|{in_code}|{option}|{element}{in_list})"


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_KEY_WORDS = r"[\w.\- ]{0,30}(?i:key|token|secret|password|passwd|pass|pwd|pw|pat|auth|credential)s?"


def _beside(
    name: str, literals: str, value: str, example: str, *, key: str = "", end: str = r"[\w\-]"
) -> Rule:
    """Return a rule for values that look like any hash, where they follow the name of their service.

    The name may be a part of a longer one: `MY_OKTA_TOKEN=...`, `"oktaToken": "..."`, `okta: ...`.

    Args:
        name: the name of the rule.
        literals: what the names of the service begin with, in lower case, separated by blanks.
        value: the pattern of the value.
        example: as in `Rule`.
        key: a pattern for the name of the service, where it is more than one of the literals.
        end: a class of characters that do not follow the value.
    """
    quote = rf"(?:{_QUOTE})?"
    between = rf"(?:{_KEY_WORDS}{quote}(?:{_IS}|,[ ]?|[ ]{{1,3}}|>)|{quote}{_IS}){quote}"
    names = key or "|".join(_words(literals))
    pattern = rf"(?i:{names}){between}({value})(?!{end})"
    return Rule(name, pattern, _words(literals), example, at_literals=True, is_named=True)


_UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"

TOKENS: tuple[Rule, ...] = (
    # Model providers and services for agents.
    Rule(
        "anthropic",
        rf"sk-ant-[a-z0-9]{{2,12}}-{_WORD}{{16,}}+",
        ("sk-ant-",),
        r"sk-ant-(?:api03|admin01|oat01)-[\w\-]{93}AA",
    ),
    Rule(
        "openai",
        _token("sk-", rf"(?:proj|svcacct|service|admin|None)-{_WORD}{{20,}}+"),
        _words("sk-proj- sk-svcacct- sk-service- sk-admin- sk-none-"),
        r"sk-(?:proj|svcacct|admin)-[\w\-]{74}T3BlbkFJ[\w\-]{74}",
    ),
    Rule(
        "openai",
        _token("sk-", rf"(?={_WORD}{{0,200}}?T3BlbkFJ){_WORD}{{30,}}+"),
        ("t3blbkfj",),
        r"sk-[a-z]{4,12}-[A-Za-z0-9]{20}T3BlbkFJ[A-Za-z0-9]{20}",
    ),
    Rule("openrouter", rf"sk-or-v\d-{_HEX}{{32,}}+", ("sk-or-v",), r"sk-or-v1-[0-9a-f]{64}"),
    Rule("langfuse", r"sk-lf-[0-9a-f\-]{32,}+", ("sk-lf-",), rf"sk-lf-{_UUID}"),
    Rule("sk_key", _token("sk-", rf"{_ALNUM}{{32,}}+"), ("sk-",), r"sk-(?:[A-Za-z0-9]{48}|[0-9a-f]{32})"),
    Rule("groq", _token("gsk_", rf"{_ALNUM}{{40,}}+"), ("gsk_",), r"gsk_[A-Za-z0-9]{52}"),
    Rule("xai", _token("xai-", rf"{_ALNUM}{{60,}}+"), ("xai-",), r"xai-[A-Za-z0-9]{80}"),
    Rule("perplexity", _token("pplx-", rf"{_ALNUM}{{40,}}+"), ("pplx-",), r"pplx-[A-Za-z0-9]{48}"),
    Rule("replicate", _token("r8_", rf"{_ALNUM}{{36,}}+"), ("r8_",), r"r8_[A-Za-z0-9]{37}"),
    Rule("huggingface", _token("hf_", _MIXED + rf"{_ALNUM}{{34,}}+"), ("hf_",), r"hf_[A-Za-z0-9]{34}"),
    Rule(
        "huggingface",
        _token("api_org_", _MIXED + rf"{_ALNUM}{{34,}}+"),
        ("api_org_",),
        r"api_org_[A-Za-z0-9]{34}",
    ),
    Rule("fireworks", _token("fw_", rf"{_ALNUM}{{22,}}+"), ("fw_",), r"fw_[A-Za-z0-9]{24}"),
    Rule("cerebras", _token("csk-", rf"{_ALNUM}{{40,}}+"), ("csk-",), r"csk-[a-z0-9]{48}"),
    Rule("together", _token("tgp_v1_", rf"{_WORD}{{40,}}+"), ("tgp_v1_",), r"tgp_v1_[\w\-]{43}"),
    Rule("nvidia", rf"nvapi-{_WORD}{{60,}}+", ("nvapi-",), r"nvapi-[\w\-]{64}"),
    Rule("elevenlabs", _token("sk_", rf"{_HEX}{{40,}}+"), ("sk_",), r"sk_[0-9a-f]{48}"),
    Rule("jina", rf"jina_{_HEX}{{32}}{_WORD}*+", ("jina_",), r"jina_[0-9a-f]{32}[\w\-]{28}"),
    Rule(
        "langsmith",
        rf"lsv2_(?:pt|sk)_{_HEX}{{32}}_{_HEX}{{10,}}+",
        ("lsv2_",),
        r"lsv2_(?:pt|sk)_[0-9a-f]{32}_[0-9a-f]{10}",
    ),
    Rule(
        "logfire",
        rf"pylf_v\d+_[a-z]{{2}}_{_ALNUM}{{20,}}+",
        ("pylf_v",),
        r"pylf_v1_(?:us|eu)_[A-Za-z0-9]{43}",
    ),
    Rule("tavily", rf"tvly-{_WORD}{{20,}}+", ("tvly-",), r"tvly-(?:dev-)?[A-Za-z0-9]{32}"),
    Rule("firecrawl", _token("fc-", rf"{_HEX}{{32,}}+"), ("fc-",), r"fc-[0-9a-f]{32}"),
    Rule("pinecone", r"pcsk_[A-Za-z0-9_]{40,}+", ("pcsk_",), r"pcsk_[A-Za-z0-9]{5,6}_[A-Za-z0-9]{63}"),
    Rule("e2b", rf"e2b_{_HEX}{{40,}}+", ("e2b_",), r"e2b_[0-9a-f]{40}"),
    Rule(
        "voyage",
        _token("[pa][al]-", rf"(?=[a-z\-]*+[A-Z0-9_]){_WORD}{{40,}}+", 3),
        ("pa-", "al-"),
        r"(?:pa|al)-[\w\-]{43}",
    ),
    Rule("gemini", _token(r"AQ\.", rf"{_WORD}{{30,}}+", 3), ("aq.",), r"AQ\.Ab[\w\-]{48}"),
    Rule("openai", _token("sess-", rf"{_ALNUM}{{40,}}+"), ("sess-",), r"sess-[A-Za-z0-9]{40}"),
    Rule(
        "helicone",
        rf"sk-helicone-{_WORD}{{20,}}+",
        ("sk-helicone-",),
        r"sk-helicone-[a-z0-9]{7}-[a-z0-9]{7}-[a-z0-9]{7}-[a-z0-9]{7}",
    ),
    Rule("wandb", rf"wandb_v1_{_WORD}{{40,}}+", ("wandb_v1_",), r"wandb_v1_[\w\-]{77}"),
    Rule("runpod", _token("rpa_", rf"{_ALNUM}{{40,}}+"), ("rpa_",), r"rpa_[A-Z0-9]{40}[a-z0-9]{6}"),
    Rule("friendli", _token("flp_", rf"{_ALNUM}{{40,}}+"), ("flp_",), r"flp_[A-Za-z0-9]{40,50}"),
    Rule("mem0", _token("m0-", rf"{_ALNUM}{{40,}}+"), ("m0-",), r"m0-[A-Za-z0-9]{40}"),
    # Clouds.
    Rule(
        "aws_key_id",
        _token(r"(?:AKIA|ASIA|ABIA|ACCA|A3T[A-Z0-9])", rf"[A-Z2-7]{{16}}(?!{_ALNUM})", width=4),
        _words("akia asia abia acca a3t"),
        r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}",
    ),
    Rule("aws_bedrock", r"ABSK[A-Za-z0-9+/]{100,}+={0,2}", ("absk",), r"ABSK[A-Za-z0-9+/]{110,200}={0,2}"),
    Rule(
        "aws_bedrock",
        r"bedrock-api-key-[A-Za-z0-9+/=]{20,}+",
        ("bedrock-api-key-",),
        r"bedrock-api-key-YmVkcm9jay5hbWF6b25hd3MuY29t[A-Za-z0-9+/]{100}",
    ),
    Rule("google", rf"AIza{_WORD}{{35,}}+", ("aiza",), r"AIza[\w\-]{35}"),
    Rule("google", rf"GOCSPX-{_WORD}{{28,}}+", ("gocspx-",), r"GOCSPX-[\w\-]{28}"),
    Rule(
        "google_oauth",
        rf"ya29\.{_WORD}{{20,}}+|1//0{_WORD}{{30,}}+",
        ("ya29.", "1//0"),
        r"(?:ya29\.[\w\-]{60,100}|1//0[\w\-]{60,90})",
    ),
    Rule(
        "azure",
        r"(?:AccountKey|SharedAccessKey|SharedSecretKey)=([A-Za-z0-9+/]{40,}+={0,2})",
        _words("accountkey= sharedaccesskey= sharedsecretkey="),
        r"(?:AccountKey=([A-Za-z0-9+/]{86}==)|SharedAccessKey=([A-Za-z0-9+/]{43}=))",
    ),
    # Since 2024 the keys of Azure's AI services carry a mark in their middle.
    Rule(
        "azure_openai",
        rf"{_START}{_ALNUM}{{52}}JQQJ9[9D]{_ALNUM}{{26}}(?!{_ALNUM})",
        ("jqqj9",),
        r"[A-Za-z0-9]{52}JQQJ99[A-Z0-9]{6}AAA[A-Z]{17}",
    ),
    # Other keys of Azure carry the mark of their service near their end.
    Rule(
        "azure",
        rf"{_START}(?:{_BASE64}{{76}}(?:AZDO|APIM|ACDb|\+ASt|\+ABa)|[\w+/\-]{{42,44}}(?:AzFu|AzSe|\+ACR)"
        rf"|{_BASE64}{{33}}(?:AzCa|AIoT|\+AEh|\+ASb))[\w+/\-]{{4,7}}={{0,2}}(?![\w+=\-])",
        _words("azdo apim acdb +ast +aba azfu azse +acr azca aiot +aeh +asb"),
        r"(?:[A-Za-z0-9]{76}AZDO[A-Za-z0-9]{4}|[A-Za-z0-9+/]{76}(?:ACDb|\+ASt|\+ABa)[A-Za-z0-9+/]{6}==|[A-Za-z0-9]{44}AzFu[\w\-]{6}Q==|[A-Za-z0-9]{42}(?:AzSe|\+ACR)[A-D][A-Za-z0-9]{5}|[A-Za-z0-9]{33}(?:AzCa|AIoT|\+AEh|\+ASb)[A-Za-z0-9]{6}=)",
    ),
    # The temporary credentials of AWS begin with the base64 of a fixed header.
    Rule(
        "aws_session",
        r"(?:IQoJb3JpZ2lu|FwoGZXIvYXdz|FQoGZXIvYXdz)[A-Za-z0-9+/]{80,}+={0,2}",
        _words("iqojb3jpz2lu fwogzxivyxdz fqogzxivyxdz"),
        r"IQoJb3JpZ2luX2Vj[A-Za-z0-9+/]{200,400}={0,2}",
    ),
    Rule(
        "digitalocean",
        rf"do[opr]_v1_{_HEX}{{40,}}+",
        _words("doo_v1_ dop_v1_ dor_v1_"),
        r"do[opr]_v1_[0-9a-f]{64}",
    ),
    Rule("databricks", _token("dapi", rf"{_HEX}{{32,}}+(?:-\d)?"), ("dapi",), r"dapi[0-9a-f]{32}(?:-2)?"),
    Rule("vault", rf"hv[bsr]\.{_WORD}{{24,}}+", _words("hvb. hvs. hvr."), r"hv[bsr]\.[\w\-]{90,120}"),
    Rule(
        "supabase",
        rf"sbp_{_HEX}{{40,}}+|sb_secret_{_WORD}{{20,}}+",
        ("sbp_", "sb_secret_"),
        r"(?:sbp_[0-9a-f]{40}|sb_secret_[\w\-]{31})",
    ),
    Rule(
        "neon",
        _token("npg_", rf"{_ALNUM}{{12,}}+") + "|" + _token("napi_", rf"{_ALNUM}{{60,}}+"),
        ("npg_", "napi_"),
        r"(?:npg_[A-Za-z0-9]{12}|napi_[a-z0-9]{64})",
    ),
    Rule(
        "planetscale",
        r"pscale_(?:tkn|pw|oauth)_[\w.\-=]{32,}+",
        ("pscale_",),
        r"pscale_(?:tkn|pw|oauth)_[\w\-]{43}",
    ),
    Rule(
        "alibaba",
        _token("LTAI", rf"{_ALNUM}{{12,24}}+(?!{_WORD})"),
        ("ltai",),
        r"LTAI(?:5t)?[A-Za-z0-9]{18,20}",
    ),
    Rule("tencent", _token("AKID", rf"{_ALNUM}{{32}}(?!{_WORD})"), ("akid",), r"AKID[A-Za-z0-9]{32}"),
    Rule("heroku", rf"HRKU-AA{_WORD}{{50,}}+", ("hrku-aa",), r"HRKU-AA[\w\-]{58}"),
    Rule(
        "cloudflare", rf"v1\.0-{_HEX}{{24}}-{_HEX}{{100,}}+", ("v1.0-",), r"v1\.0-[0-9a-f]{24}-[0-9a-f]{146}"
    ),
    Rule(
        "cloudflare",
        _token("cfk_", rf"{_ALNUM}{{40,}}+") + "|" + _token("cf[ua]t_", rf"{_ALNUM}{{40,}}+", 5),
        ("cfk_", "cfut_", "cfat_"),
        r"cf[ua]t_[A-Za-z0-9]{40}[0-9a-f]{8}",
    ),
    Rule(
        "tailscale",
        rf"tskey-[a-z]{{2,12}}-{_ALNUM}{{8,}}+-{_ALNUM}{{20,}}+",
        ("tskey-",),
        r"tskey-(?:auth|api|client)-[A-Za-z0-9]{12}CNTRL-[A-Za-z0-9]{32}",
    ),
    Rule(
        "vercel",
        _token("vc[acikpr]_", rf"{_ALNUM}{{40,}}+", 4) + r"|vercel_blob_rw_[A-Za-z0-9_]{30,}+",
        _words("vca_ vcc_ vci_ vck_ vcp_ vcr_ vercel_blob_rw_"),
        r"(?:vc[kp]_[A-Za-z0-9]{56}|vercel_blob_rw_[A-Za-z0-9]{16}_[A-Za-z0-9]{30})",
    ),
    Rule("render", _token("rnd_", rf"{_MIXED}{_ALNUM}{{28,}}+"), ("rnd_",), r"rnd_[A-Z][A-Za-z0-9]{27}"),
    Rule("clickhouse", _token("4b1d", rf"{_ALNUM}{{38}}(?!{_ALNUM})"), ("4b1d",), r"4b1d[A-Za-z0-9]{38}"),
    Rule("yandex", _token("AQVN", rf"{_WORD}{{35,}}+"), ("aqvn",), r"AQVN[\w\-]{35,38}"),
    Rule(
        "yandex",
        rf"t1\.{_WORD}{{2,400}}+={{0,2}}\.{_WORD}{{86}}={{0,2}}",
        ("t1.",),
        r"t1\.[\w\-]{40,90}\.[\w\-]{86}",
    ),
    # Code hosts, builds and package registries.
    Rule(
        "github",
        rf"gh[oprsu]_{_ALNUM}{{30,}}+|github_pat_[A-Za-z0-9_]{{22,}}+",
        _words("gho_ ghp_ ghr_ ghs_ ghu_ github_pat_"),
        r"(?:gh[oprsu]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59})",
    ),
    Rule(
        "gitlab",
        rf"gl(?:agent|cbt|dt|ffct|ft|imt|oas|pat|ptt|rt|soat|wt)-{_WORD}{{20,}}+(?:\.[a-z0-9]{{7,}}+)?",
        _words("glagent- glcbt- gldt- glffct- glft- glimt- gloas- glpat- glptt- glrt- glsoat- glwt-"),
        r"gl(?:agent|cbt|dt|ffct|ft|imt|oas|pat|ptt|rt|soat|wt)-[\w\-]{20,50}",
    ),
    Rule("gitlab", rf"GR1348941{_WORD}{{20,}}+", ("gr1348941",), r"GR1348941[\w\-]{20}"),
    Rule(
        "bitbucket",
        _token("AT[BC][BT]", rf"{_ALNUM}{{28,}}+[\w\-=]*+", 4),
        ("atbb", "atct"),
        r"(?:ATBB[A-Za-z0-9]{32}|ATCTT3[A-Za-z0-9]{50}[\w\-=]{100})",
    ),
    Rule("bitbucket", r"ATCTT3[\w\-=]{60,}+", ("atctt3",), r"ATCTT3xFfGF0[\w\-]{150,170}=[0-9A-F]{8}"),
    Rule("npm", _token("npm_", rf"{_ALNUM}{{36,}}+"), ("npm_",), r"npm_[A-Za-z0-9]{36}"),
    Rule("pypi", rf"pypi-AgE{_WORD}{{50,}}+", ("pypi-age",), r"pypi-AgEIcHlwaS5vcmc[\w\-]{70,120}"),
    Rule("rubygems", rf"rubygems_{_HEX}{{40,}}+", ("rubygems_",), r"rubygems_[0-9a-f]{48}"),
    Rule(
        "crates", _token("cio", rf"{_MIXED}{_ALNUM}{{32}}(?!{_ALNUM})"), ("cio",), r"cio[A-Z][A-Za-z0-9]{31}"
    ),
    Rule("nuget", _token("oy2", "[a-z0-9]{43}(?![A-Za-z0-9])"), ("oy2",), r"oy2[a-z0-9]{43}"),
    Rule("docker", rf"dckr_(?:pat|oat)_{_WORD}{{24,}}+", ("dckr_",), r"dckr_(?:pat|oat)_[\w\-]{27}"),
    Rule("clojars", rf"(?i:clojars_){_ALNUM}{{60,}}+", ("clojars_",), r"CLOJARS_[a-z0-9]{60}"),
    Rule(
        "circleci",
        rf"CCIP(?:AT|RJ)_{_ALNUM}{{16,30}}+_{_HEX}{{40,}}+",
        ("ccipat_", "cciprj_"),
        r"CCIP(?:AT|RJ)_[A-Za-z0-9]{22}_[0-9a-f]{40}",
    ),
    Rule(
        "buildkite",
        rf"bk(?:ua|aj|at|ct)_{_ALNUM}{{36,}}+",
        _words("bkua_ bkaj_ bkat_ bkct_"),
        r"bkua_[0-9a-f]{40}",
    ),
    Rule(
        "artifactory",
        _token("AKC", rf"{_ALNUM}{{12,}}+"),
        ("akc",),
        r"AKC(?:p[A-Za-z0-9]{69}|[A-Za-z0-9]{12,30})",
    ),
    Rule(
        "artifactory",
        _token("AP[0-9A-F]", rf"(?=[A-Z0-9]*+[a-z])(?=[A-Za-z]*+[0-9]){_ALNUM}{{24,}}+", 3),
        (),
        r"AP[0-9A-F]a1[A-Za-z0-9]{30}",
    ),
    Rule("artifactory", _token("cmVmd", rf"{_ALNUM}{{59}}"), ("cmvmd",), r"cmVmd[A-Za-z0-9]{59}"),
    Rule(
        "sonarqube",
        _token("sq[apu]_", rf"{_HEX}{{40,}}+", 4),
        ("sqa_", "sqp_", "squ_"),
        r"sq[apu]_[0-9a-f]{40}",
    ),
    Rule(
        "terraform",
        rf"{_START}{_ALNUM}{{14}}\.atlasv1\.[\w\-=]{{60,}}+",
        (".atlasv1.",),
        r"[A-Za-z0-9]{14}\.atlasv1\.[\w\-]{60,70}",
    ),
    Rule(
        "doppler",
        _token(r"dp\.", rf"(?:audit|ct|pt|sa|scim|st)\.(?:{_WORD}{{2,35}}+\.)?{_ALNUM}{{40,}}+", 3),
        ("dp.",),
        r"dp\.(?:pt\.|st\.(?:dev\.)?|ct\.)[A-Za-z0-9]{43}",
    ),
    Rule(
        "netlify",
        _token("nf[copu]_", rf"{_ALNUM}{{36,}}+", 4),
        _words("nfc_ nfo_ nfp_ nfu_"),
        r"nf[cpu]_[A-Za-z0-9]{36}",
    ),
    Rule("pulumi", _token("pul-", rf"{_HEX}{{40,}}+"), ("pul-",), r"pul-[0-9a-f]{40}"),
    Rule("prefect", _token("pnu_", rf"{_ALNUM}{{36,}}+"), ("pnu_",), r"pnu_[A-Za-z0-9]{36}"),
    Rule(
        "harness",
        _token(r"[ps]at\.", rf"{_WORD}{{22}}\.{_ALNUM}{{24}}\.{_ALNUM}{{20}}", 4),
        ("pat.", "sat."),
        r"[ps]at\.[\w\-]{22}\.[A-Za-z0-9]{24}\.[A-Za-z0-9]{20}",
    ),
    Rule("octopus", _token("API-", "[A-Z0-9]{25,26}(?![A-Za-z0-9])"), ("api-",), r"API-[A-Z0-9]{26}"),
    Rule("readme", rf"rdme_{_ALNUM}{{70,}}+", ("rdme_",), r"rdme_[a-z0-9]{70}"),
    Rule("infracost", _token("ico-", rf"{_ALNUM}{{32,}}+"), ("ico-",), r"ico-[A-Za-z0-9]{32}"),
    # Services.
    Rule("1password", rf"ops_eyJ{_WORD}{{50,}}+={{0,2}}", ("ops_eyj",), r"ops_eyJ[A-Za-z0-9]{250,300}={0,2}"),
    Rule(
        "1password",
        _token("A3-", "[A-Z0-9]{6}-(?:[A-Z0-9]{11}|[A-Z0-9]{6}-[A-Z0-9]{5})(?:-[A-Z0-9]{5}){3}"),
        ("a3-",),
        r"A3-[A-Z0-9]{6}-[A-Z0-9]{6}-[A-Z0-9]{5}-[A-Z0-9]{5}-[A-Z0-9]{5}-[A-Z0-9]{5}",
    ),
    Rule("adobe", _token("p8e-", rf"{_ALNUM}{{32,}}+"), ("p8e-",), r"p8e-[a-z0-9]{32}"),
    Rule("square", r"sq0[a-z]{3}-[\w\-]{22,}+", ("sq0",), r"(?:sq0csp-[\w\-]{43}|sq0atp-[\w\-]{22})"),
    Rule("square", _token("EAAA", rf"(?=[A-Za-z]*+[0-9_\-]){_WORD}{{56,}}+"), ("eaaa",), r"EAAA[\w\-]{60}"),
    Rule("facebook", _token("EAA", rf"[A-Z]{_ALNUM}{{80,}}+"), ("eaa",), r"EAA[CM][A-Za-z0-9]{100,150}"),
    Rule(
        "flyio",
        r"fm[12][ar]?_[A-Za-z0-9+/=_]{80,}+|fo1_[A-Za-z0-9_\-]{40,}+",
        ("fm1", "fm2", "fo1_"),
        r"(?:fo1_[\w\-]{43}|fm(?:1[ar]|2)_[A-Za-z0-9+/]{100,140}={0,2})",
    ),
    Rule(
        "sourcegraph",
        r"sgp_(?:local_|[0-9a-fA-F]{16}_)?[0-9a-fA-F]{40,}+",
        ("sgp_",),
        r"sgp_(?:local_|[0-9a-f]{16}_)?[0-9a-f]{40}",
    ),
    Rule(
        "slack",
        r"xox[a-z](?:\.xox[bp])?-[A-Za-z0-9\-]{10,}+|xapp-\d-[A-Za-z0-9\-]{10,}+",
        ("xox", "xapp-"),
        r"(?:xox[abpors]-[0-9]{10,13}-[0-9]{10,13}-[A-Za-z0-9]{24}|xapp-1-A[A-Z0-9]{10}-[0-9]{13}-[0-9a-f]{64})",
    ),
    Rule(
        "slack_webhook",
        r"hooks\.slack\.com/(?:services|workflows|triggers)/([A-Za-z0-9+/_\-]{20,}+)",
        ("hooks.slack.com",),
        r"https://hooks\.slack\.com/services/(T[A-Z0-9]{8,10}/B[A-Z0-9]{8,10}/[A-Za-z0-9]{24})",
    ),
    Rule(
        "discord_webhook",
        rf"discord(?:app)?\.com/api/(?:v\d{{1,2}}/)?webhooks/(\d{{15,20}}/{_WORD}{{40,}}+)",
        ("discord",),
        r"https://discord(?:app)?\.com/api/webhooks/([0-9]{17,20}/[\w\-]{68})",
    ),
    Rule(
        "teams_webhook",
        r"webhook\.office\.com/webhookb2/([0-9A-Za-z@/\-]{36,}+)",
        ("webhook.office.com",),
        rf"https://[a-z]{{8}}\.webhook\.office\.com/webhookb2/({_UUID}@{_UUID}/IncomingWebhook/[0-9a-f]{{32}}/{_UUID})",
    ),
    Rule(
        "stripe",
        rf"[rs]k_(?:live|prod|test)_{_ALNUM}{{10,}}+",
        _words("sk_live_ sk_prod_ sk_test_ rk_live_ rk_prod_ rk_test_"),
        r"[rs]k_(?:live|prod|test)_[A-Za-z0-9]{24,99}",
    ),
    Rule("webhook_secret", r"whsec_[A-Za-z0-9+/=]{20,}+", ("whsec_",), r"whsec_[A-Za-z0-9+/]{32}"),
    Rule(
        "sendgrid",
        _token(r"SG\.", rf"{_WORD}{{16,32}}+\.{_WORD}{{30,}}+", width=3),
        ("sg.",),
        r"SG\.[\w\-]{22}\.[\w\-]{43}",
    ),
    Rule(
        "resend",
        _token("re_", rf"{_ALNUM}{{8}}_{_ALNUM}{{20,}}+"),
        ("re_",),
        r"re_[A-Za-z0-9]{8}_[A-Za-z0-9]{24}",
    ),
    Rule(
        "brevo",
        rf"x(?:key|smtp)sib-{_HEX}{{64}}-{_ALNUM}{{14,}}+",
        ("xkeysib-", "xsmtpsib-"),
        r"x(?:key|smtp)sib-[0-9a-f]{64}-[A-Za-z0-9]{16}",
    ),
    Rule(
        "mailchimp",
        rf"{_START}{_HEX}{{32}}-us\d{{1,2}}(?!{_ALNUM})",
        tuple(f"-us{digit}" for digit in range(1, 10)),
        r"[0-9a-f]{32}-us[1-9][0-9]?",
    ),
    Rule("mailgun", _token("key-", rf"{_HEX}{{32}}(?!{_ALNUM})"), ("key-",), r"key-[0-9a-f]{32}"),
    Rule("twilio", _token("(?:SK|AC)", rf"{_HEX}{{32}}(?!{_ALNUM})", 2), (), r"(?:SK|AC)[0-9a-f]{32}"),
    Rule(
        "discord",
        _token("[MNO][DTjz][AEIMQUYcgk]", rf"{_WORD}{{21,25}}\.{_WORD}{{6}}\.{_WORD}{{27,}}+", 3),
        (),
        r"[MNO][DTjz][AEIMQUYcgk][A-Za-z0-9]{21,23}\.[\w\-]{6}\.[\w\-]{27,38}",
    ),
    Rule(
        "shopify",
        r"shp(?:at|ca|pa|ss|tka)_[0-9a-fA-F]{32,}+",
        _words("shpat_ shpca_ shppa_ shpss_ shptka_"),
        r"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}",
    ),
    Rule(
        "sentry",
        r"sntry[su]_[A-Za-z0-9+/=_\-]{40,}+",
        _words("sntrys_ sntryu_"),
        r"(?:sntrys_eyJpYXQiO[A-Za-z0-9+/]{80,150}={0,2}_[A-Za-z0-9+/]{43}|sntryu_[0-9a-f]{64})",
    ),
    Rule(
        "figma",
        rf"fig[dop]_{_WORD}{{40,}}+|figd[a-z]*_{_WORD}{{40,}}+",
        ("figd", "figo_", "figp_"),
        r"figd_[\w\-]{40}",
    ),
    Rule(
        "linear",
        rf"lin_(?:api|oauth)_{_ALNUM}{{40,}}+",
        ("lin_api_", "lin_oauth_"),
        r"lin_(?:api|oauth)_[A-Za-z0-9]{40,64}",
    ),
    Rule(
        "notion",
        _token("ntn_", rf"{_ALNUM}{{40,}}+") + "|" + _token("secret_", rf"{_ALNUM}{{43,}}+"),
        ("ntn_", "secret_"),
        r"(?:ntn_[0-9]{11}[A-Za-z0-9]{35}|secret_[A-Za-z0-9]{43})",
    ),
    Rule(
        "grafana",
        r"gl(?:sa|c)_[A-Za-z0-9+/=_]{32,}+",
        ("glsa_", "glc_"),
        r"(?:glsa_[A-Za-z0-9]{32}_[0-9A-F]{8}|glc_[A-Za-z0-9+/]{60,120}={0,2})",
    ),
    Rule("grafana", r"eyJrIjoi[A-Za-z0-9]{60,}+={0,2}", ("eyjrijoi",), r"eyJrIjoi[A-Za-z0-9]{70,120}={0,2}"),
    Rule(
        "newrelic",
        rf"NRAK-{_ALNUM}{{27,}}+|NRII-{_WORD}{{32,}}+|NRJS-{_HEX}{{19,}}+|{_START}{_HEX}{{36}}NRAL(?!{_ALNUM})",
        _words("nrak- nrii- nrjs- nral"),
        r"(?:NRAK-[A-Z0-9]{27}|NRII-[A-Za-z0-9\-]{32}|NRJS-[0-9a-f]{19}|[0-9a-f]{36}NRAL)",
    ),
    Rule(
        "dynatrace",
        r"dt0[a-z]\d{2}\.[A-Za-z0-9]{24}\.[A-Za-z0-9]{64}",
        ("dt0",),
        r"dt0(?:c01|s01|s02)\.[A-Z0-9]{24}\.[A-Z0-9]{64}",
    ),
    Rule("postman", rf"PMAK-{_HEX}{{24}}-{_HEX}{{30,}}+", ("pmak-",), r"PMAK-[0-9a-f]{24}-[0-9a-f]{34}"),
    Rule("atlassian", r"ATATT3[A-Za-z0-9_\-=]{60,}+", ("atatt3",), r"ATATT3[\w\-=]{186}"),
    Rule(
        "airtable",
        _token("pat", rf"{_ALNUM}{{14}}\.{_HEX}{{64,}}+"),
        ("pat",),
        r"pat[A-Za-z0-9]{14}\.[0-9a-f]{64}",
    ),
    Rule("telegram", rf"\d{{8,10}}:AA{_WORD}{{33,}}+", (":aa",), r"[0-9]{8,10}:AA[\w\-]{33}"),
    Rule(
        "plaid",
        rf"access-(?:sandbox|development|production)-{_HEX}{{8}}-[0-9a-f\-]{{27}}",
        ("access-sandbox-", "access-development-", "access-production-"),
        rf"access-(?:sandbox|development|production)-{_UUID}",
    ),
    Rule("hubspot", rf"pat-[a-z]{{2}}\d-{_HEX}{{8}}-[0-9a-f\-]{{27}}", ("pat-",), rf"pat-(?:na|eu)1-{_UUID}"),
    Rule(
        "dropbox",
        _token(r"sl\.", rf"(?:u\.)?{_WORD}{{100,}}+=*+", 3),
        ("sl.",),
        r"sl\.(?:u\.)?[\w\-]{130,150}",
    ),
    Rule(
        "dropbox",
        rf"{_START}{_ALNUM}{{11}}AAAAAAAAAA[\w\-=]{{43}}(?![\w\-=+/])",
        ("aaaaaaaaaa",),
        r"[a-z0-9]{11}AAAAAAAAAA[\w\-]{43}",
    ),
    Rule(
        "asana",
        rf"{_START}[12]/\d{{13,19}}(?:/\d{{13,19}})?:{_HEX}{{32}}(?!{_ALNUM})",
        ("1/", "2/"),
        r"(?:1/[0-9]{16}|2/[0-9]{16}/[0-9]{16}):[0-9a-f]{32}",
    ),
    Rule("contentful", rf"CFPAT-{_WORD}{{40,}}+", ("cfpat-",), r"CFPAT-[\w\-]{43}"),
    Rule("easypost", _token("EZ[AT]K", rf"{_ALNUM}{{54,}}+", 4), ("ezak", "eztk"), r"EZ[AT]K[A-Za-z0-9]{54}"),
    Rule(
        "mapbox",
        _token(r"[pst]k\.", rf"eyJ{_WORD}{{20,}}+\.{_WORD}{{20,}}+", 3),
        ("pk.eyj", "sk.eyj", "tk.eyj"),
        r"[pst]k\.eyJ[A-Za-z0-9]{60,80}\.[\w\-]{22}",
    ),
    Rule(
        "duffel", rf"duffel_(?:live|test)_{_WORD}{{40,}}+", ("duffel_",), r"duffel_(?:live|test)_[\w\-]{43}"
    ),
    Rule(
        "flutterwave",
        rf"FLWSECK(?:_TEST)?-{_ALNUM}{{12,}}+(?:-X)?",
        ("flwseck",),
        r"FLWSECK_TEST-[0-9a-h]{32}-X",
    ),
    Rule("frameio", rf"fio-u-{_WORD}{{60,}}+", ("fio-u-",), r"fio-u-[\w\-]{64}"),
    Rule(
        "maxmind",
        rf"{_START}{_ALNUM}{{6}}_{_ALNUM}{{29}}_mmk",
        ("_mmk",),
        r"[A-Za-z0-9]{6}_[A-Za-z0-9]{29}_mmk",
    ),
    Rule("scalingo", rf"tk-us-{_WORD}{{48,}}+", ("tk-us-",), r"tk-us-[\w\-]{48}"),
    Rule(
        "settlemint",
        rf"sm_[aps]at_{_ALNUM}{{16,}}+",
        ("sm_aat_", "sm_pat_", "sm_sat_"),
        r"sm_[aps]at_[A-Za-z0-9]{16}",
    ),
    Rule(
        "shippo", rf"shippo_(?:live|test)_{_HEX}{{40,}}+", ("shippo_",), r"shippo_(?:live|test)_[0-9a-f]{40}"
    ),
    Rule("typeform", r"tfp_[\w.\-=]{40,}+", ("tfp_",), r"tfp_[A-Za-z0-9]{40,44}_[\w\-]{14}"),
    Rule("clickup", r"pk_\d{7,10}_[A-Z0-9]{32}", ("pk_",), r"pk_[0-9]{8}_[A-Z0-9]{32}"),
    Rule(
        "liveblocks",
        rf"sk_(?:dev|prod)_{_WORD}{{60,}}+",
        ("sk_dev_", "sk_prod_"),
        r"sk_(?:dev|prod)_[\w\-]{64}",
    ),
    Rule(
        "lob",
        _token("(?:live|test)_", rf"{_HEX}{{35}}(?!{_ALNUM})", 5),
        ("live_", "test_"),
        r"(?:live|test)_[0-9a-f]{35}",
    ),
    Rule("mailersend", rf"mlsn\.{_HEX}{{64}}", ("mlsn.",), r"mlsn\.[0-9a-f]{64}"),
    Rule("onesignal", r"os_v2_(?:app|org)_[a-z0-9]{80,}+", ("os_v2_",), r"os_v2_(?:app|org)_[a-z0-9]{103}"),
    Rule("posthog", _token("ph[cx]_", rf"{_ALNUM}{{40,}}+", 4), ("phc_", "phx_"), r"ph[cx]_[A-Za-z0-9]{43}"),
    Rule("age", r"AGE-SECRET-KEY-1[A-Z0-9]{50,}+", ("age-secret-key-1",), r"AGE-SECRET-KEY-1[A-Z0-9]{58}"),
    Rule(
        "softlayer",
        rf"softlayer\.com/soap/v3(?:\.1)?/({_ALNUM}{{64}})",
        ("softlayer.com/soap/",),
        r"https://api\.softlayer\.com/soap/v3/([a-z0-9]{64})",
    ),
    Rule(
        "jwt",
        rf"{_token('eyJ', '')}{_WORD}{{8,2000}}+\.(?:eyJ{_WORD}{{4,}}+|{_WORD}{{8,2000}}+(?=\.))(?:\.{_WORD}*+)*+",
        ("eyj",),
        r"eyJ[A-Za-z0-9]{20,40}\.eyJ[A-Za-z0-9]{20,200}\.[\w\-]{43}",
    ),
)
"""Secrets that are one run of characters without spaces, at least `RUN` long."""

RUN = 15
"""No secret of `TOKENS` is shorter."""

_PEM_END = r"-----END[ A-Z0-9]{0,40}PRIVATE KEY(?: BLOCK)?-----"
_BREAK = r"(?:\\{1,4}[nrt]|\s)"
_PEM_LINES = (
    rf"(?>(?:(?>{_BREAK}*)"
    r"(?:(?:Proc-Type|DEK-Info|Version|Comment):[ ][^\n\\\"]{0,100}+|[A-Za-z0-9+/=]{12,}+))*)"
)
_NOT_URL = r"\"'<>`\\\[\]{}()"
_NOT_AT = rf"\s/@:{_NOT_URL}"
_BARE = r"[^\s\"'\\]"

HASHES: tuple[Rule, ...] = (
    _beside(
        "aws_secret",
        "aws",
        r"(?=[0-9a-f]{0,39}[A-Zg-z/+])[A-Za-z0-9/+]{40}",
        r"AWS_SIGNING_KEY=([A-Za-z0-9/+]{40})",
        end=r"[\w/+=\-]",
    ),
    _beside(
        "azure_openai",
        "azure aoai cognitive",
        "[0-9a-f]{32}|[A-Za-z0-9]{84}|[A-Za-z0-9]{52}",
        r"AZURE_OPENAI_KEY=([0-9a-f]{32}|[A-Za-z0-9]{84})",
    ),
    _beside("azure", "azure", "[A-Za-z0-9+/]{86}==", r"AZURE_STORAGE_KEY=([A-Za-z0-9+/]{86}==)"),
    _beside(
        "bitbucket",
        "bitbucket",
        r"[\w=\-]{64}|[A-Za-z0-9]{44}|[A-Za-z0-9]{32}",
        r"BITBUCKET_CLIENT_KEY=([A-Za-z0-9]{32}|[\w\-]{64})",
    ),
    _beside(
        "buildkite",
        "buildkite",
        "[0-9a-f]{40}|[A-Za-z0-9]{50}",
        r"BUILDKITE_AGENT_PAT=([0-9a-f]{40}|[A-Za-z0-9]{50})",
    ),
    _beside("circleci", "circle", "[0-9a-f]{40}", r"CIRCLECI_KEY=([0-9a-f]{40})", key=r"circle[_\-]?ci"),
    _beside("contentful", "contentful", r"[\w=\-]{43}|[\w=\-]{64}", r"CONTENTFUL_DELIVERY_KEY=([\w\-]{43})"),
    _beside("dropbox", "dropbox", "[a-z0-9]{15}", r"DROPBOX_APP_KEY=([a-z0-9]{15})"),
    _beside("netlify", "netlify", r"[\w=\-]{40,46}", r"NETLIFY_AUTH=([\w\-]{40,46})"),
    _beside("okta", "okta", r"00[\w=\-]{40}", r"OKTA_KEY=(00[\w\-]{40})"),
    _beside("plaid", "plaid", "[a-z0-9]{30}|[a-z0-9]{24}", r"PLAID_KEY=([0-9a-f]{30}|[0-9a-f]{24})"),
    _beside("sonarqube", "sonar", "[0-9a-f]{40}", r"SONAR_KEY=([0-9a-f]{40})"),
    _beside("hubspot", "hubspot", f"(?i:{_UUID})", rf"HUBSPOT_KEY=({_UUID})"),
    _beside("alibaba", "alibaba aliyun alicloud", "[A-Za-z0-9]{30}", r"ALIBABA_CLOUD_KEY=([A-Za-z0-9]{30})"),
    _beside("tencent", "tencent qcloud", "[A-Za-z0-9]{32}", r"TENCENTCLOUD_KEY=([A-Za-z0-9]{32})"),
    _beside("dynatrace", "dynatrace", r"[A-Za-z0-9]{21}|[\w\-]{40,64}", r"DYNATRACE_PAT=([A-Za-z0-9]{21})"),
    _beside(
        "mapbox", "mapbox", r"[\w\-]{80,}\.[\w\-]{22}|[A-Za-z0-9]{32,64}", r"MAPBOX_KEY=([A-Za-z0-9]{32})"
    ),
    _beside("sentry", "sentry", "[0-9a-f]{64}|[0-9a-f]{32}", r"SENTRY_AUTH=([0-9a-f]{64})"),
    _beside("discord", "discord", r"[0-9a-f]{64}|[\w=\-]{32}", r"DISCORD_KEY=([0-9a-f]{64}|[\w\-]{32})"),
    _beside("doppler", "doppler", "[A-Za-z0-9]{40,44}", r"DOPPLER_KEY=([A-Za-z0-9]{43})"),
    _beside("cloudant", "cloudant", "[0-9a-f]{64}|[a-z]{24}", r"CLOUDANT_PW=([0-9a-f]{64}|[a-z]{24})"),
    _beside(
        "ibm", "ibm iam cloud_iam", r"[\w\-]{44}|[0-9a-f]{48}", r"IBM_CLOUD_IAM_KEY=([\w\-]{44}|[0-9a-f]{48})"
    ),
    _beside("softlayer", "softlayer", "[a-z0-9]{64}", r"SOFTLAYER_PW=([a-z0-9]{64})"),
    _beside("algolia", "algolia", "[A-Za-z0-9]{32}", r"ALGOLIA_KEY=([a-z0-9]{32})"),
    _beside("assemblyai", "assemblyai", "[0-9a-f]{32}", r"ASSEMBLYAI_KEY=([0-9a-f]{32})"),
    _beside(
        "cloudflare", "cloudflare", r"[0-9a-f]{37}|[\w\-]{40}", r"CLOUDFLARE_KEY=([0-9a-f]{37}|[\w\-]{40})"
    ),
    _beside("codecov", "codecov", f"[a-z0-9]{{32}}|{_UUID}", rf"CODECOV_KEY=([a-z0-9]{{32}}|{_UUID})"),
    _beside("cohere", "cohere", "[A-Za-z0-9]{40}", r"COHERE_KEY=([A-Za-z0-9]{40})"),
    _beside(
        "datadog", "datadog", "[0-9a-f]{40}|[0-9a-f]{32}", r"DATADOG_APP_KEY=([0-9a-f]{32}|[0-9a-f]{40})"
    ),
    _beside("deepgram", "deepgram", "[0-9a-f]{40}", r"DEEPGRAM_KEY=([0-9a-f]{40})"),
    _beside("fastly", "fastly", r"[\w=\-]{32}", r"FASTLY_KEY=([\w\-]{32})"),
    _beside("heroku", "heroku", _UUID, rf"HEROKU_KEY=({_UUID})"),
    _beside(
        "mailgun",
        "mailgun",
        "[0-9a-h]{32}-[0-9a-h]{8}-[0-9a-h]{8}",
        r"MAILGUN_SIGNING_KEY=([0-9a-f]{32}-[0-9a-f]{8}-[0-9a-f]{8})",
    ),
    _beside("mistral", "mistral", "[A-Za-z0-9]{32}", r"MISTRAL_KEY=([A-Za-z0-9]{32})"),
    _beside("rapidapi", "rapidapi rapid_api", r"[\w\-]{50}", r"RAPIDAPI_KEY=([\w\-]{50})"),
    _beside("snyk", "snyk", _UUID, rf"SNYK_KEY=({_UUID})"),
    _beside("twilio", "twilio", "[0-9a-f]{32}", r"TWILIO_AUTH=([0-9a-f]{32})"),
    _beside("twitch", "twitch", "[a-z0-9]{30}", r"TWITCH_KEY=([a-z0-9]{30})"),
    _beside(
        "twitter",
        "twitter",
        "[A-Za-z0-9]{50}|[A-Za-z0-9]{45}|[A-Za-z0-9]{25}|A{22}[A-Za-z0-9%]{80,100}",
        r"TWITTER_APP_KEY=([A-Za-z0-9]{25}|[A-Za-z0-9]{50})",
    ),
    _beside("zendesk", "zendesk", "[A-Za-z0-9]{40}", r"ZENDESK_KEY=([a-z0-9]{40})"),
)
"""Secrets that look like any hash, at least `RUN` long, beside the name of their service."""

PHRASES: tuple[Rule, ...] = (
    Rule(
        "private_key",
        rf"-----BEGIN[ A-Z0-9]{{0,40}}PRIVATE KEY(?: BLOCK)?-----(?:(?>(?:[^\-\"]|-(?!----))*){_PEM_END}|{_PEM_LINES})",
        ("private key",),
        r"-----BEGIN (?:RSA |EC |OPENSSH )?PRIVATE KEY-----\n(?:[A-Za-z0-9+/]{64}\n){3,6}[A-Za-z0-9+/]{20}==\n-----END PRIVATE KEY-----",
    ),
    Rule(
        "private_key",
        rf"----[ ]BEGIN[ A-Z0-9]{{0,40}}PRIVATE KEY[ ]----{_PEM_LINES}",
        ("private key",),
        r"---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\n((?:[A-Za-z0-9+/]{64}\n){3,6}[A-Za-z0-9+/]{20}==)",
    ),
    Rule(
        "putty_key",
        rf"Private-Lines:[ ]\d{{1,4}}{_BREAK}{{1,8}}((?>(?:[A-Za-z0-9+/=]{{2,}}+(?![\-:]){_BREAK}{{0,8}})*))",
        ("private-lines:",),
        r"PuTTY-User-Key-File-[23]: ssh-rsa\nPrivate-Lines: 5\n((?:[A-Za-z0-9+/]{64}\n){3,6}[A-Za-z0-9+/]{18}==)\nPrivate-MAC: [0-9a-f]{64}",
    ),
    Rule(
        "url_password",
        rf"://(?=[^{_NOT_AT}]{{0,200}}+:(?:([^\s/{_NOT_URL}]{{1,{_LONGEST}}})@|([^\s@{_NOT_URL}]{{1,200}}+)@))",
        ("://",),
        r"(?:postgres|https)://[a-z]{3,8}:([A-Za-z][A-Za-z0-9!$^*_.~+\-]{9,30})@db\.example\.com/app",
        checks.is_url_password,
    ),
    Rule(
        "sentry_dsn",
        rf"://({_HEX}{{32}}(?::{_HEX}{{32}})?)@[\w.\-]{{1,200}}",
        ("://",),
        r"https://([0-9a-f]{32})@o[0-9]{6}\.ingest\.(?:us\.)?sentry\.io/[0-9]{7,16}",
    ),
    Rule(
        "netrc",
        rf"(?:machine{_BREAK}{{1,8}}{_BARE}{{1,200}}+|default){_BREAK}{{1,8}}login{_BREAK}{{1,8}}{_BARE}{{1,200}}+"
        rf"(?:{_BREAK}{{1,8}}account{_BREAK}{{1,8}}{_BARE}{{1,200}}+)?{_BREAK}{{1,8}}password{_BREAK}{{1,8}}({_BARE}{{1,{_LONGEST}}}+)",
        ("machine", "default"),
        r"machine [a-z]{4,10}\.example\.com login [a-z]{3,9} password ([A-Za-z0-9!$^*_.~+\-]{8,30})",
        at_literals=True,
    ),
    # A shared access signature: 32 bytes in base64, percent-encoded or not, as a parameter or beside its name.
    Rule(
        "azure_sas",
        _token("(?i:sig)", "", 3) + rf"(?:{_QUOTE})?{_IS}(?:{_QUOTE})?([A-Za-z0-9%+/_\-]{{42,}}+={{0,2}})",
        ("sig",),
        r"https://[a-z]{8}\.blob\.core\.windows\.net/c\?sv=2024-11-04&se=2026-12-01&(?:sr=b&)?sig=((?:[A-Za-z0-9]|%2B|%2F){43}(?:%3D|=))",
        at_literals=True,
        is_named=True,
    ),
    Rule(
        "authorization",
        rf"(?i:authorization)(?:{_QUOTE})?\s{{0,3}}[:=,]\s{{0,3}}(?:b?{_QUOTE})?"
        r"(?i:bearer|basic|digest|token|apikey|ssws|geniekey|splunk)[ ]{1,4}([A-Za-z0-9_\-.=+/~:]{8,}+)",
        ("authorization",),
        r"Authorization: (?:Bearer|Token|ApiKey|SSWS|GenieKey|Splunk) ([A-Za-z0-9_\-.+/~]{12,80})",
    ),
    Rule(
        "curl_user",
        rf"(?<!\S)(?:-u|--user|--proxy-user|-U)[ =]{{0,2}}(?:{_QUOTE})?[^\s:\"'\\]{{0,100}}+:(?!//)([^\s\"'\\]{{3,200}}+)",
        ("-u",),
        r"curl -s -u [a-z]{3,8}:([A-Za-z0-9][A-Za-z0-9!^*_~+\-]{7,30}) https://db\.example\.com",
        checks.is_for_curl,
    ),
    Rule(
        "azure_secret",
        r"[A-Za-z0-9_~.]{3}\dQ~[A-Za-z0-9_~.\-]{31,}+",
        ("q~",),
        r"[A-Za-z0-9_~.]{3}[0-9]Q~[A-Za-z0-9_~.\-]{31,34}",
    ),
    Rule(
        "braintree",
        rf"access_token\$(?:production|sandbox)\$[a-z0-9]{{16}}\${_HEX}{{32}}",
        ("access_token$",),
        r"access_token\$(?:production|sandbox)\$[a-z0-9]{16}\$[0-9a-f]{32}",
    ),
    Rule("okta", rf"SSWS[ ]{{1,4}}(00{_WORD}{{40}})(?!{_WORD})", ("ssws ",), r"SSWS (00[\w\-]{40})"),
    # A cookie of percent-encoded base64, which is no run for `TOKENS`.
    Rule(
        "slack",
        r"xoxd-[A-Za-z0-9%+/=_\-]{20,}+",
        ("xoxd-",),
        r"xoxd-(?:[A-Za-z0-9]{4,9}(?:%2B|%2F)){9}[A-Za-z0-9]{10}%3D",
    ),
    Rule("openshift", rf"sha256~{_WORD}{{43}}(?!{_WORD})", ("sha256~",), r"sha256~[\w\-]{43}"),
    Rule(
        "bearer",
        r"(?i:bearer)\s{1,4}([A-Za-z0-9_\-.=+/~]{16,}+)",
        ("bearer",),
        r"Bearer ([A-Za-z0-9_\-.+/~]{15,80}[0-9])",
        checks.has_digit,
    ),
    Rule(
        "basic",
        r"(?i:basic)[ ]{1,4}([A-Za-z0-9+/]{8,}+={0,2})",
        ("basic ",),
        rf"Basic {_BASIC_EXAMPLE}",
        checks.is_basic_credential,
    ),
    Rule(
        "docker_auth",
        _token("(?i:auth)", "", 4)
        + rf"(?:{_QUOTE})?{_IS}(?:{_QUOTE})?([A-Za-z0-9+/]{{8,}}+={{0,2}})(?![\w.\-])",
        ("auth",),
        rf'auth": "{_BASIC_EXAMPLE}',
        checks.is_basic_credential,
        at_literals=True,
        is_named=True,
    ),
    Rule(
        "cookie",
        rf"(?i:cookie)(?:{_QUOTE})?\s{{0,3}}[:,]\s{{0,3}}(?:b?{_QUOTE})?([^\"'\\\n\r]{{8,}}+)",
        ("cookie",),
        r"Cookie: (sid=[A-Za-z0-9_\-]{20,60})",
        checks.is_cookie,
    ),
    Rule(
        "aws_secret",
        r"(?i:secret[_ \-]?(?:access)?[_ \-]?key)[^A-Za-z0-9\n]{1,8}([A-Za-z0-9/+=]{40})(?![A-Za-z0-9/+=])",
        ("secret",),
        r"aws secret access key: ([A-Za-z0-9/+]{40})",
    ),
    *HASHES,
    Rule(
        "assignment",
        assigned(_KEYWORD, in_lists=True),
        _words("password passwd passphrase pwd secret key token credential"),
        r"(?:api_key|DB_PASSWORD|clientSecret|ACCESS_TOKEN)=([A-Za-z0-9_\-]{19,40}[0-9])",
        checks.is_assignment,
        at_literals=True,
    ),
    Rule(
        "card",
        r"[2-6](?:(?<![\w.\-].)|(?<=\\[nrt].))(?<=(?=(\d\d(?:[ \-]?\d){12,14}(?![\w\-]|\.\d))).)",
        (),
        r"(?:4[0-9]{15}|5[1-5][0-9]{14}|37[0-9]{13}|4[0-9]{3} [0-9]{4} [0-9]{4} [0-9]{4})",
        checks.is_card,
    ),
)
"""Secrets that are recognised by the text around them, or that may hold spaces."""
