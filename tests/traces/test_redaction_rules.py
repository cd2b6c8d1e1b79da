"""Every rule of redaction finds its secrets in every place of a trace, and ordinary text stays as it is.

The values are made from the examples of the table itself: a new row is tested by being there.
"""

from __future__ import annotations

import json
import random
import re
import string
from importlib import import_module
from itertools import chain
from urllib.parse import quote, unquote, urlencode

import pytest

from namel3ss_debug.capture.payloads import Payloads
from namel3ss_debug.capture.seams.http.chunks import Chunks
from namel3ss_debug.traces.redaction.checks import is_card
from namel3ss_debug.traces.redaction.redactor import Redactor
from namel3ss_debug.traces.redaction.rules import PHRASES, RUN, TOKENS

_parser = import_module("re._parser")
_c = import_module("re._constants")

RULES = [(f"{rule.name}-{number}", rule) for number, rule in enumerate(TOKENS + PHRASES)]
CATEGORIES = {_c.CATEGORY_WORD: string.ascii_letters + string.digits + "_", _c.CATEGORY_DIGIT: string.digits}


def characters(item):
    """The characters of one item of a class."""
    kind, value = item
    if kind is _c.LITERAL:
        return chr(value)
    if kind is _c.RANGE:
        return "".join(map(chr, range(value[0], value[1] + 1)))
    return CATEGORIES[value]


def made(form, rng):
    """A random text of a form, and the part of it that its group stands for, else all."""
    group = []

    def build(items):
        parts = []
        for kind, value in items:
            if kind is _c.LITERAL:
                parts.append(chr(value))
            elif kind is _c.IN:
                parts.append(rng.choice("".join(map(characters, value))))
            elif kind is _c.MAX_REPEAT:
                least, most, inner = value
                parts += [build(inner) for _ in range(rng.randint(least, most))]
            elif kind is _c.BRANCH:
                parts.append(build(rng.choice(value[1])))
            elif kind is _c.SUBPATTERN:
                parts.append(build(value[3]))
                if value[0] is not None:
                    group.append(parts[-1])
            else:
                raise ValueError(f"no example may hold {kind}")
        return "".join(parts)

    text = build(_parser.parse(form))
    return text, group[-1] if group else text


def examples(rule, count):
    """So many random texts of a rule with their secrets, the same in each run."""
    rng = random.Random(rule.example)
    while count:
        text, secret = made(rule.example, rng)
        if rule.name == "card" and not is_card(re.fullmatch(".*", secret)):
            continue  # nine of ten numbers have another check digit
        yield text, secret
        count -= 1


def in_text(payloads, text, _rng):
    return payloads.value({"prompt": f"see {text}\nand then"}).value


def in_nested_json(payloads, text, _rng):
    whole = json.dumps({"n": 1, "log": f"a\n{text}", "arguments": json.dumps({"q": text})})
    return [payloads.text(whole), payloads.value(json.loads(whole)).value]


def in_pieces(payloads, text, rng):
    """The text in a stream of server-sent events, cut anywhere."""
    whole = f"It is {text}\nand then "
    chunks = Chunks("text/event-stream", payloads, lambda _chunk: None)
    for piece in split(whole, rng):
        chunks.add(b"data: " + json.dumps({"choices": [{"index": 0, "delta": {"content": piece}}]}).encode() + b"\n\n")
    return chunks


def split(text, rng):
    places = sorted({0, len(text), *(rng.randrange(len(text)) for _ in range(rng.choice([1, 2, 8, 20])))})
    return [text[one:other] for one, other in zip(places, places[1:], strict=False)]
