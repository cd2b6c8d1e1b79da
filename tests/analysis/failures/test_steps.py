import pytest

from namel3ss_debug.analysis.failures.steps import (
    Leaf,
    contains,
    find_named,
    is_empty,
    iter_leaves,
    may_contain,
    searchable_text,
)


@pytest.mark.parametrize(
    ("leaf", "payload", "found"),
    [
        (Leaf("city", "city", "Paris"), {"to": "paris"}, True),
        (Leaf("city", "city", "Paris"), {"to": "Parisian"}, False),
        (Leaf("city", "city", "Paris"), {"text": "What is the weather in\nParis today?"}, True),
        (Leaf("city", "city", "Pari"), {"text": "What is the weather in Paris today?"}, False),
        (Leaf("item", "item", "desk lamp"), {"text": "A desk  lamp, please."}, True),
        (Leaf("item", "item", "desk lamp"), {"text": "A desk, and a lamp."}, False),
        (Leaf("order", "order", "A-10293"), {"text": "look at A-10293, please"}, True),
        (Leaf("n", "n", 0), {"n": 0}, True),
        (Leaf("n", "n", 0), {"m": 0}, False),
        (Leaf("id", "id", "x" * 300), {"text": "x" * 300}, True),
        (Leaf("flag", "flag", False), {"text": '{"flag": false}'}, True),
        (Leaf("amount", "amount", 591.59), {"text": "at least 591.59 EUR"}, True),
        (Leaf("none", "", None), {"x": None}, False),
    ],
)
def test_a_value_is_found_where_it_stands(leaf, payload, found):
    """Whatever the case and white space, in JSON inside a text as well; trivial ones with their key only."""
    assert contains(searchable_text(payload), leaf) is found


@pytest.mark.parametrize(
    ("value", "words", "possible"),
    [
        (30, "Total 30.00.", True),
        (30, "Total 130.00.", False),
        (55.5, "Total 55.50.", True),
        (-1200, "minus 1,200 EUR", True),
        (1200, "1 200 EUR", True),
        (12345.6, "12.345,60 EUR", True),
        ("OSL", "A flight to Oslo.", True),
        ("31", "Invoice INV-31", True),
        ("S-00", "SKU-204", False),
        (None, "anything", True),
        (True, "anything", True),
    ],
)
def test_a_value_that_may_stand_there_in_another_form_is_not_ruled_out(value, words, possible):
    """A number with decimals or parted thousands, a text within a word; what says nothing may always be there."""
    assert may_contain(searchable_text({"text": words}), Leaf("x", "x", value)) is possible


def test_the_leaves_of_an_object_are_its_fields():
    """As an expression names them; its class is no value."""
    customer = {"$type": "app.Customer", "fields": {"name": "Ada", "at": {"$type": "tuple", "items": [1, 2]}}}
    found = [(leaf.path, leaf.value) for leaf in iter_leaves({"customer": customer})]
    assert found == [("customer.name", "Ada"), ("customer.at[0]", 1), ("customer.at[1]", 2)]
    assert list(iter_leaves({"$type": "float", "value": "inf"})) == [Leaf("value", "value", "inf")]


def test_the_leaves_of_a_payload_have_their_path():
    """Empty containers are values too."""
    found = [(leaf.path, leaf.value) for leaf in iter_leaves({"a": [{"b": 1}, []], "c": "x"})]
    assert found == [("a[0].b", 1), ("a[1]", []), ("c", "x")]
    assert [leaf.path for leaf in iter_leaves("text")] == ["value"]


def test_an_error_names_its_values():
    """In quotes or not; not inside another word; the longest first."""
    found = iter_leaves({"supplier": "S-00", "pieces": 40, "sku": "SKU-204", "other": "S"})
    named = find_named("there is no supplier 'S-00' to order 40 pieces of SKU-204 from", found)
    assert [(quoted, leaf.key) for quoted, leaf in named] == [
        (False, "sku"),
        (True, "supplier"),
        (False, "pieces"),
    ]


@pytest.mark.parametrize(
    "result", [None, "", [], {}, "[]", {"count": 0}, {"results": []}, " No results found "]
)
def test_nothing_is_nothing_in_every_shape(result):
    """An empty list, a count of 0 and a sentence that says so."""
    assert is_empty(result)


@pytest.mark.parametrize("result", [0, False, "x", [0], {"count": 1}, {"results": [1]}])
def test_something_is_something(result):
    """A zero is a result."""
    assert not is_empty(result)
