"""Rules as they are written: what is wrong with one is one line that says where it stands and what is allowed."""

import json

import pytest

from namel3ss_debug.analysis.checks import rules
from namel3ss_debug.analysis.checks.rules import KINDS, RuleSource, read_file, read_option, read_rules
from namel3ss_debug.analysis.checks.subjects import parse_pattern
from namel3ss_debug.errors import DebugError, MissingExtraError, RuleError

WRONG = [
    (5, "it is neither an object nor a text"),
    ({}, "it has no kind; one of assert, limit"),
    ({"forbidden": "tool"}, "did you mean 'forbid'"),
    ({"forbid": "tool", "require": "tool"}, "it has forbid and require"),
    ({"forbid": "tool", "levl": "note"}, "there is no key 'levl' in a rule of the kind forbid; did you mean"),
    ({"forbid": "tool", "by": "agent"}, "there is no key 'by'"),
    ({"forbid": "tool", "level": "fatal"}, 'level is "fatal", allowed is error, warning, note'),
    ({"forbid": "tool", "message": 3}, "message is 3, allowed is a text"),
    ({"forbid": "tool", "name": "a\nb"}, "name is"),
    ({"forbid": "tol:x"}, "forbid: 'tol:x' begins with no component; did you mean 'tool'"),
    ({"forbid": "retrieval:x"}, 'of one of your own, write retrieval:"x"'),
    ({"forbid": []}, "forbid is [], allowed is a pattern"),
    ({"forbid": "tool", "after": "llm", "before": "llm"}, "it has after and before"),
    ({"shape": "tool"}, "it needs of"),
    ({"shape": "tool", "of": {"a": "numbr"}}, "of.a is 'numbr'; a shape is text, number"),
    ({"shape": "tool", "of": "number 9 to 1"}, "of is 'number 9 to 1'"),
    ({"taken": "tool"}, "arguments is null, allowed is a list of names"),
    ({"forbid": ""}, "forbid: a pattern is empty"),
    ({"forbid": "tool delete"}, "write component:name"),
    ({"forbid": "tool", "after": "llm if refusd"}, "after: expression, column 1: unknown name 'refusd'"),
    (
        {"limit": "zzz < 3"},
        "the names are tokens, cost, duration_ms, calls, llm_calls, tool_calls, retries, failures",
    ),
    ("erors.total_errors == 0", "unknown name 'erors'; did you mean 'errors'"),
    ("1 +", "assert: expression, column"),
    ({"assert": "x", "on": "tool:a"}, "unknown name 'x'"),
    ({"assert": "answered", "on": "event"}, "unknown name 'answered'"),
    ({"limit": "cost < 1", "by": "tool"}, "limit (by tool): expression, column 1: unknown name 'cost'"),
    ({"limit": "cost < 1", "by": "team"}, 'by is "team", allowed is run, agent, model, tool'),
    ({"limit": "1 < 2"}, "limit: it names no measure"),
    ({"limit": "cost < 1", "of": "x"}, "of: names whom the limit is for"),
    ({"calls": "tool"}, "it needs at_most, at_least, or both"),
    ({"calls": "tool", "at_most": -1}, "at_most is -1, allowed is a whole number from 0"),
    ({"calls": "tool", "at_most": 1, "at_least": 2}, "which is more than at_most"),
    ({"require": "tool", "in_order": 1}, "in_order is 1, allowed is true or false"),
    ({"schema": {"type": 5}, "on": "tool"}, "it is no JSON schema"),
    ({"schema": {}}, "it needs on"),
    ({"schema": [], "on": "tool"}, "schema: it is no object"),
    ({"schema": "nowhere.json", "on": "tool"}, "cannot read"),
    ({"no": "fun"}, 'no is "fun", allowed is failures, open_spans, loops, handled_exceptions, secrets'),
    ({"no": "failures", "of": "timeouts"}, "did you mean 'timeout'"),
    ({"no": "secrets", "of": "timeout"}, "it needs no: failures"),
    ({"no": "loops", "except": ["KeyError in f"]}, "except: names handled exceptions that are allowed"),
    (
        {"no": "handled_exceptions", "except": "KeyError in f"},
        "allowed is a list of texts such as ValueError in",
    ),
    ({"baseline": "speed"}, 'there is no "speed"'),
    ({"baseline": "cost", "margin": -1}, "margin is -1, allowed is a share"),
    ({"baseline": "cost", "margin": "0.1"}, 'margin is "0.1", allowed is a share'),
    ({"baseline": "cost", "margin": True}, "margin is true, allowed is a share"),
    ({"baseline": 5}, "baseline is 5, allowed is one or a list of failures"),
    ({"no": "failures", "of": []}, "of is [], allowed is one or a list of"),
    ({"assert": 5}, "assert is 5, allowed is a text"),
    ({"assert": " "}, 'assert is " ", allowed is a text'),
    ({"calls": ["tool"], "at_most": 1}, 'calls is ["tool"], allowed is a text'),
    ({"calls": "tool", "at_most": "1"}, 'at_most is "1", allowed is a whole number'),
    ({"forbid": 5}, "forbid is 5, allowed is a pattern"),
    ({"forbid": ["tool", 5]}, 'forbid is ["tool", 5], allowed is a pattern'),
    ({"forbid": "tool", "name": 5}, "name is 5, allowed are letters"),
]


@pytest.mark.parametrize(("written", "said"), WRONG, ids=lambda value: json.dumps(value)[:50])
def test_a_wrong_rule_says_where_it_stands_and_what_is_allowed(written, said):
    """The message is one line with the file, the place of the rule, the key and what is allowed."""
    with pytest.raises(RuleError) as caught:
        read_rules([RuleSource("rules.json", [{"forbid": "tool:x"}, written])])
    message = str(caught.value)
    assert message.startswith("rules.json, rule 2")
    assert said in message
    assert "\n" not in message


def test_a_rule_that_needs_a_section_that_is_not_there_says_so(monkeypatch):
    """A section that this version does not have is an error, and no silence."""
    # another table, because what is taken out of a table and put back stands at its end
    monkeypatch.setattr(
        rules, "SECTIONS", {name: fold for name, fold in rules.SECTIONS.items() if name != "patterns"}
    )
    with pytest.raises(RuleError, match="there is no section 'patterns'; there are execution_overview"):
        read_rules([RuleSource("rules.json", [{"no": "loops"}])])


def test_a_name_is_given_or_made_of_what_the_rule_says():
    """Names are the same every time, and each is there once."""
    written = [{"forbid": "tool:delete_*"}, {"forbid": "tool:delete"}, {"name": "mine", "no": "failures"}]
    first, second = (
        [rule.name for rule in read_rules([RuleSource("rules.json", written)])] for _ in range(2)
    )
    assert first == second
    assert len(set(first)) == 3
    assert first[0] == "forbid-tool-delete"
    assert first[2] == "mine"
    with pytest.raises(
        RuleError, match=r"b, rule 1 \(mine\): another rule has the name 'mine' \(a, rule 1\)"
    ):
        read_rules([RuleSource("a", [written[2]]), RuleSource("b", [written[2]])])


def test_a_file_holds_a_list_or_an_object_with_checks(tmp_path):
    """Both forms are read; anything else is refused with the name of the file."""
    path = tmp_path / "rules.json"
    for content in ([{"no": "failures"}], {"checks": [{"no": "failures"}]}):
        path.write_text(json.dumps(content))
        assert [rule.kind for rule in read_rules([read_file(path)])] == ["no"]
    for content in ("{", '"x"', '{"rules": []}', '{"checks": [], "more": 1}'):
        path.write_text(content)
        with pytest.raises(RuleError, match=r"rules\.json"):
            read_file(path)
    with pytest.raises(RuleError, match="cannot read the rules"):
        read_file(tmp_path / "missing.json")


def test_an_option_is_an_expression_or_a_rule():
    """What begins with a brace is JSON, everything else an expression about the run."""
    texts = ["cost <= 1", '{"forbid": "tool:x"}']
    assert [rule.kind for rule in read_rules(map(read_option, texts))] == ["assert", "forbid"]
    with pytest.raises(RuleError, match=r"--rule \{: it is not JSON"):
        read_option("{")


def test_a_schema_in_a_file_lies_beside_the_rules(tmp_path):
    """A name of a file is relative to the file of the rules."""
    (tmp_path / "shape.json").write_text('{"type": "object"}')
    (tmp_path / "rules.json").write_text('[{"schema": "shape.json", "on": "tool:x"}]')
    assert read_rules([read_file(tmp_path / "rules.json")])


def test_without_the_package_a_schema_names_the_extra(monkeypatch):
    """The message says what to install."""
    monkeypatch.setitem(__import__("sys").modules, "jsonschema", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'namel3ss-debug\[schema\]'"):
        read_rules([RuleSource("rules.json", [{"schema": {}, "on": "tool"}])])


@pytest.mark.parametrize(
    ("text", "component", "name"),
    [
        ("tool", "tool", None),
        ("tool:delete_*", "tool", "delete_*"),
        ("llm:gpt-4o if duration_ms > 5", "llm", "gpt-4o"),
        ("mcp", "mcp", None),
        ("search", None, "search"),
        ('mine:"a thing if any"', "mine", "a thing if any"),
        ("if failed", None, None),
        ("notify", None, "notify"),
    ],
)
def test_a_pattern_is_a_component_a_name_and_a_condition(text, component, name):
    """Patterns read as the places of the debugger do."""
    pattern = parse_pattern(text)
    assert (pattern.component, pattern.name) == (component, name)
    assert (pattern.condition is not None) == (" if " in f" {text} " and '"' not in text)


@pytest.mark.parametrize(
    "text", ['{"limit": "cost < 1", "limit": "tokens < 9"}', '{"no": "loops", "no": "loops"}']
)
def test_a_key_that_stands_twice_is_refused(tmp_path, text):
    """The first of the two rules would not be held, and nothing would say so."""
    path = tmp_path / "rules.json"
    path.write_text(f"[{text}]")
    for read in (lambda: read_file(path), lambda: read_option(text)):
        with pytest.raises(
            RuleError, match=r"(rules\.json|--rule .*): the key '\w+' is there twice in one object"
        ):
            read()


def test_every_kind_says_what_it_takes():
    """The table of kinds has words for each, and no key twice."""
    for words, others, _ in KINDS.values():
        assert words
        assert len(set(others)) == len(others)


def test_hostile_rules_are_refused_in_one_line():
    """Deep and huge rules end in a message, not in a traceback."""
    deep = "(" * 300 + "1" + ")" * 300
    for written in (
        {"assert": deep},
        {"forbid": "x" * 5000 + " if " + deep},
        {"name": "x" * 200, "no": "loops"},
    ):
        with pytest.raises(DebugError) as caught:
            read_rules([RuleSource("rules.json", [written])])
        assert len(str(caught.value)) < 7000
