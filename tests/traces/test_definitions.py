"""Tests of the digests of definitions."""

from __future__ import annotations

import ast
import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.traces.definitions import digest, digest_definitions, find_definitions, parse_source


def definitions_of(source, *log_level):
    """Return the digests of the definitions of a source text."""
    return digest_definitions(find_definitions(parse_source(textwrap.dedent(source), *log_level)))


SOURCE = """
    import functools
    from shop import RATE, Store
    LIMIT = 3
    TABLE = {}
    TABLE["a"] = 1

    def make(rate):
        extra = 2
        unused = 3
        def tool(value):
            return value * rate + extra
        return tool

    class Basket:
        size: int = 0
        def __init__(self, size):
            self.size = size
        def add(self, item):
            self.items.append(item)

    def main():
        price = 4
        store = Store(price)
        store.limit = 5
        return [make(price), functools.partial(main, key=1), Basket(size=2)]

    print(main())
"""


def test_each_definition_has_a_label():
    """Functions, classes, variables, the variables that inner functions and calls use, assignments elsewhere, and arguments."""
    assert sorted(definitions_of(SOURCE)) == [
        *("<module>", "Basket", "Basket.__init__", "Basket.add", "Basket.items=", "Basket.size="),
        *("LIMIT", "RATE", "Store", "TABLE", "TABLE="),
        *(
            "functools",
            "limit=",
            "main",
            "main.<locals>.Basket()",
            "main.<locals>.Store()",
            "main.<locals>.make()",
        ),
        *(
            "main.<locals>.partial(main)",
            "main.<locals>.price",
            "make",
            "make.<locals>.extra",
            "make.<locals>.tool",
        ),
    ]


@pytest.mark.parametrize(
    ("edit", "labels"),
    [
        (("LIMIT = 3", "LIMIT = 4"), {"LIMIT"}),
        (("extra = 2", "extra = 4"), {"make", "make.<locals>.extra"}),
        (("unused = 3", "unused = 4"), {"make"}),
        (("value * rate", "value + rate"), {"make", "make.<locals>.tool"}),
        (("size: int", "size: float"), {"Basket"}),
        (("self.size = size", "self.size = size + 1"), {"Basket.__init__", "Basket.size="}),
        (("store.limit = 5", "store.limit = 6"), {"main", "limit="}),
        (("make(price)", "make(price + 1)"), {"main", "main.<locals>.make()"}),
        (("key=1", "key=2"), {"main", "main.<locals>.partial(main)"}),
        (("print(main())", "print(main(), 1)"), {"<module>"}),
        (("RATE, Store", "RATE, Shop as Store"), {"Store"}),
        (("import functools", "import functools  # for partial"), set()),
    ],
)
def test_an_edit_changes_the_definitions_that_hold_it(edit, labels):
    """And no others."""
    before, after = definitions_of(SOURCE), definitions_of(SOURCE.replace(*edit))
    assert {label for label in before if before[label] != after[label]} == labels


FUNCTION = """
    def tool(value, *, unit="EUR"):
        total = 0
        for each in value:
            total += each
        with open(unit) as file:
            first, *rest = [line for line in file if line]
        try:
            limit: int = int(first)
        except ValueError as error:
            raise TypeError from error
        logger.debug("total %s", total)
        return total + limit
"""


@pytest.mark.parametrize(
    "edit",
    [
        ("total", "amount"),
        ("each", "one"),
        ("file", "stream"),
        ("rest", "others"),
        ("line", "row"),
        ("error", "problem"),
        ("limit: int =", "limit ="),
        ("return total + limit", "return total + limit\n        return total"),
        ('logger.debug("total %s", total)', 'logger.info("done")'),
        ('logger.debug("total %s", total)', "self._log.info(f'{total}')"),
        ("total = 0", '"""Add it up."""\n        total = 0'),
    ],
)
def test_local_names_annotations_and_logging_do_not_count(edit):
    """They change nothing that the function returns."""
    assert definitions_of(FUNCTION)["tool"] == definitions_of(FUNCTION.replace(*edit))["tool"]


@pytest.mark.parametrize(
    "edit",
    [
        ("value", "values"),  # callers name parameters
        ("unit", "currency"),
        ("return total + limit", "return limit + total"),
        ("return total + limit", "return total + other"),
        ('logger.debug("total %s", total)', "logger.debug(value.pop())"),
        ('logger.debug("total %s", total)', "sender.info(total)"),
        ("total = 0", "global total\n        total = 0"),
        ("total += each", "total += total"),
        ("return total + limit", "return total + limit\n        yield total"),
        ("return total + limit", "return total + limit\n        limit = 1"),
    ],
)
def test_what_a_function_does_counts(edit):
    """Names that others use, the order of terms, and calls inside a logging call."""
    assert definitions_of(FUNCTION)["tool"] != definitions_of(FUNCTION.replace(*edit))["tool"]


def test_logging_calls_count_from_the_level_of_the_program_on():
    """What they would show is output of the tool."""
    other = FUNCTION.replace('"total %s"', '"the total is %s"')
    for level, counts in ((10, True), (11, False)):
        assert (definitions_of(FUNCTION, level)["tool"] != definitions_of(other, level)["tool"]) == counts


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("r = RATES[a]; return b * r", "return b * RATES[a]"),
        ("x = g(); y = h(); return x + y", "return g() + h()"),
        ("x = self.g(); return self.h(x)", "return self.h(self.g())"),
        ("x = await g(); print(a, x)", "print(a, await g())"),
        ("p = g()\n    with open(p) as q: return q", "with open(g()) as r: return r"),
        ("if a: return 1\n    else: return 2", "if a: return 1\n    return 2"),
        ("if a: return 1\n    elif b: raise c\n    else: return 2", "if a: return 1\n    if b: raise c\n    return 2"),
        ("return not a in b", "return a not in b"),
        ("return not a >= 3", "return a < 3"),
        ("return a > b", "return b < a"),
        ("a -= 2; return a", "a = a - 2; return a"),
        ("c = a\n    def g():\n        nonlocal c\n        c += 1\n    return g", "k = a\n    def g():\n        nonlocal k\n        k += 1\n    return g"),
        ("c = a\n    class K:\n        def m(self): return c\n    return K", "d = a\n    class K:\n        def m(self): return d\n    return K"),
    ],
)  # fmt: skip
def test_equal_ways_to_write_it_have_the_same_digest(one, other):
    """A variable that is used once by the next statement, an `else` after `return`, comparisons, names in closures."""
    sources = [f"async def f(a, b):\n    {body}\n" for body in (one, other)]
    assert parsed(sources[0]) == parsed(sources[1])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x = g(); return h() + x", "return h() + g()"),
        ("x = g(); return COUNT + x", "return COUNT + g()"),
        ("x = self.g(); return self.c + x", "return self.c + self.g()"),
        ("x = g(); return a and x", "return a and g()"),
        ("x = g(); return [x for _ in a]", "return [g() for _ in a]"),
        ("x = g()\n    while x: pass", "while g(): pass"),
        ("x = g(); return lambda: x", "return lambda: g()"),
        ("if a: b = 1\n    else: return 2", "if a: b = 1\n    return 2"),
        ("return not a >= b", "return a < b"),
        ("a += b; return a", "a = a + b; return a"),  # a list is changed in place
        ("return g() > h()", "return h() < g()"),
        ("c = 1; d = 2\n    return lambda: c", "c = 1; d = 2\n    return lambda: d"),
        ("c = 1; d = 2\n    class K:\n        def m(self): return c", "c = 1; d = 2\n    class K:\n        def m(self): return d"),
        ("c = a\n    def g(): c = 1\n    return g", "c = a\n    def g():\n        nonlocal c\n        c = 1\n    return g"),
    ],
)  # fmt: skip
def test_what_may_differ_has_another_digest(one, other):
    """Calls in another order or number, sets in a comparison, and another variable in a closure."""
    sources = [f"async def f(a, b):\n    {body}\n" for body in (one, other)]
    assert parsed(sources[0]) != parsed(sources[1])


def test_the_variables_of_a_function_that_looks_at_them_keep_their_names():
    """By `locals()`, also in a function inside it."""
    looks = "def f():\n    a = 1\n    return locals()\n"
    assert definitions_of(looks)["f"] != definitions_of(looks.replace("a = 1", "b = 1"))["f"]


def test_annotations_are_digested_apart():
    """Models get a schema of a tool's annotations; of other functions they do not count."""
    plain = definitions_of("def f(a): return a")["f"]
    noted = definitions_of("def f(a: int) -> int: return a")["f"]
    other = definitions_of("def f(a: str) -> int: return a")["f"]
    assert (len(plain), len(noted)) == (16, 32)
    assert plain == noted[:16] == other[:16]
    assert noted != other


# --- laws of the digest of a tree

NAMES = st.sampled_from(["alpha", "beta", "gamma"])
CONSTANTS = st.one_of(
    st.integers(-5, 5), st.floats(allow_nan=False, allow_infinity=False), st.booleans(), st.none(),
    st.text(max_size=4), st.binary(max_size=3),
)  # fmt: skip
EXPRESSIONS = st.recursive(
    st.one_of(NAMES, CONSTANTS.map(repr)),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*", "or", "==", "<"]), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        st.tuples(NAMES, inner).map(lambda t: f"{t[0]}({t[1]})"),
        inner.map(lambda text: f"[{text}]"),
        st.tuples(inner, inner).map(lambda t: f"{{'k': {t[0]}, **({t[1]})}}"),
        inner.map(lambda text: f"(lambda alpha: {text})"),
        inner.map(lambda text: f"[beta for beta in {text} if {text}]"),
    ),
    max_leaves=6,
)  # fmt: skip
FUNCTIONS = st.lists(
    st.tuples(st.sampled_from(["alpha = {}", "return {}", "if {}:\n        pass", "assert {}"]), EXPRESSIONS),
    min_size=1,
    max_size=4,
).map(
    lambda rows: (
        "def tool(alpha, *, beta=1):\n" + "".join(f"    {form.format(text)}\n" for form, text in rows)
    )
)


def parsed(source):
    """The digest of a source text."""
    return digest(ast.parse(source).body)


@given(FUNCTIONS)
def test_formatting_comments_and_docstrings_never_change_the_digest(source):
    """A function that is unparsed, commented on, documented and indented otherwise has the same digest."""
    tree = ast.parse(source)
    written = ast.unparse(tree)
    documented = written.replace(":\n", ':\n    """Anything."""\n\n    # a remark\n    pass\n', 1)
    assert parsed(source) == parsed(written) == parsed(documented) == parsed("\n\n" + written + "\n")


@given(FUNCTIONS, st.data())
def test_any_changed_constant_operator_or_name_changes_the_digest(source, data):
    """No edit of a node that a program runs by goes unnoticed."""
    tree = ast.parse(source)
    body = tree.body[0].body
    returns = [place for place, each in enumerate(body) if isinstance(each, ast.Return)]
    del body[returns[0] + 1 if returns else len(body) :]  # what is never reached does not count
    before = digest(tree.body)
    nodes = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant | ast.Name | ast.BinOp | ast.Compare | ast.arg)
    ]
    node = data.draw(st.sampled_from(nodes))
    if isinstance(node, ast.Constant):
        node.value = "another" if node.value != "another" else 1
    elif isinstance(node, ast.Name):
        node.id += "x"
    elif isinstance(node, ast.arg):
        node.arg += "x"
    elif isinstance(node, ast.BinOp):
        node.op = ast.Pow()
    else:
        node.ops[0] = ast.IsNot()
    assert digest(tree.body) != before


@pytest.mark.parametrize(
    ("one", "other"),
    [("True", "1"), ("1", "1.0"), ("0.0", "-0.0"), ("'1'", "1"), ("b'a'", "'a'"), ("None", "'None'"), ("...", "None")],
)  # fmt: skip
def test_constants_of_different_types_have_different_digests(one, other):
    """Equality of Python is not enough."""
    assert parsed(f"x = {one}") != parsed(f"x = {other}")


def test_an_expression_of_two_numbers_is_the_number_that_python_makes_of_it():
    """One that Python cannot compute stays, and so does one of texts."""
    assert parsed("x = 19 / 100") == parsed("x = 0.19") != parsed("x = 19 // 100")
    assert parsed("x = 1 / 0") != parsed("x = 1")
    assert parsed("x = 'a' + 'b'") != parsed("x = 'ab'")


EVERYTHING = """
@decorator(1)
async def tool(a: int, /, b=2, *c, d: "str" = "é\\U0001fae8", **e) -> list[int]:
    async with a as f, b: pass
    async for g in [x async for x in a if x]: await g
    try: del a[1:2, ...]
    except* ValueError as error: raise OSError from error
    match a:
        case {"k": [1, *rest], **more} if rest: pass
        case Point(x=0) | None as p: pass
        case _: return f"{a!r:>{b}} {c=} " "tail"
    global z
    while not (y := -1 if a else +2.5e3j): break
    else: print(*c, **e, sep={**e, 1: {2, 3}})
class K(Base, metaclass=Meta):
    attr: int = 0
    def m(self): return super().m()
"""  # fmt: skip


def test_the_digest_is_the_same_in_every_version_of_python():
    """The digest of a program that uses nearly all of the syntax is the one that is written here."""
    assert parsed(EVERYTHING) == "c23e5cf2cb0a363c"
