"""Settings: four sources in order, one table, and errors that say where."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.config import (
    SETTINGS,
    TRIGGERS,
    DebugConfiguration,
    enabled_never,
    find_file,
    load_configuration,
    values,
)
from namel3ss_debug.config.editing import set_members
from namel3ss_debug.config.guarding import add_guards
from namel3ss_debug.errors import SettingError


@pytest.fixture
def folder(tmp_path):
    """A folder with a configuration file, and a way to fill it."""
    (tmp_path / ".namel3ss").mkdir()

    def fill(content):
        text = content if isinstance(content, str) else json.dumps(content)
        (tmp_path / ".namel3ss" / "debug.json").write_text(text)
        return tmp_path

    return fill


def test_without_sources_the_defaults_of_the_table_hold(tmp_path):
    """Each setting has the default that the table shows, and says so."""
    loaded = load_configuration(tmp_path, {})
    assert loaded.config == DebugConfiguration()
    assert set(loaded.sources.values()) == {"default"}
    assert all(getattr(loaded.config, setting.key) == setting.default for setting in SETTINGS)


def test_a_later_source_wins(folder):
    """The file is over the defaults, the environment over the file, an option over all."""
    cwd = folder({"level": "basic", "slow_ms": 5, "sample_rate": 0.5})
    environ = {"NAMEL3SS_DEBUG_SLOW_MS": "7", "NAMEL3SS_DEBUG_SAMPLE_RATE": "0.25"}
    loaded = load_configuration(cwd, environ, {"sample_rate": 1, "level": None})
    assert (loaded.config.level, loaded.config.slow_ms, loaded.config.sample_rate) == ("basic", 7.0, 1.0)
    assert loaded.sources["level"].endswith("debug.json")
    assert loaded.sources["slow_ms"] == "NAMEL3SS_DEBUG_SLOW_MS"
    assert loaded.sources["sample_rate"] == "option"


def test_defaults_of_a_command_are_below_every_source(folder):
    """A command may have defaults of its own; file, environment and option still win."""
    cwd = folder({"max_payload_size": 5})
    defaults = {"max_payload_size": 0, "record_randomness": True}
    config = load_configuration(cwd, {}, defaults=defaults).config
    assert (config.max_payload_size, config.record_randomness) == (5, True)


def test_the_file_is_searched_upwards(folder):
    """A program deep in a project finds the project's settings."""
    deep = folder({"level": "basic"}) / "a" / "b"
    deep.mkdir(parents=True)
    assert find_file(deep) == deep.parents[1] / ".namel3ss" / "debug.json"
    assert load_configuration(deep, {}).config.level == "basic"


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("enabled", "yes", True),
        ("enabled", "never", False),
        ("output_dir", "/x", "/x"),
        ("components", "agent, llm", ("agent", "llm")),
        ("components", "all", ()),
        ("level", "Basic", "basic"),
        ("log_level", "WARNING", "warning"),
        ("redact_keys", '["email", "phone"]', ("email", "phone")),
        ("max_payload_size", "4KB", 4096),
        ("rotate_max_bytes", "1.5 MB", 1572864),
        ("redact", "off", False),
        ("redact_patterns", '{"ticket": "T-[0-9]+"}', {"ticket": "T-[0-9]+"}),
        ("triggers", '{"timeouts": null, "loops": 2}', {**TRIGGERS, "timeouts": None, "loops": 2}),
        ("prices", '{"gpt*": {"input": 2.5}, "x": null}', {"gpt*": {"input": 2.5}, "x": None}),
        ("mocks", 'search:{"a": 1, "b": 2}', ('search:{"a": 1, "b": 2}',)),
        ("faults", '["search:timeout", "llm@2:status:429"]', ("search:timeout", "llm@2:status:429")),
    ],
)
def test_the_environment_speaks_in_words(tmp_path, key, text, value):
    """Flags, lists, sizes and objects are read from text; the short names work."""
    config = load_configuration(tmp_path, {f"NAMEL3SS_DEBUG_{key.upper()}": text}).config
    name = {"output_dir": "trace_output_dir", "components": "default_components"}.get(key, key)
    assert getattr(config, name) == value


@pytest.mark.parametrize("key", ["trace_output_dir", "join"])
def test_a_tilde_is_the_home(folder, monkeypatch, key):
    """No shell reads the file of settings, so `~` is replaced where the path is read, and no folder of that name is made."""
    monkeypatch.setenv("HOME", "/home/ada")
    config = load_configuration(folder({key: "~/runs/x.jsonl"}), {}).config
    assert getattr(config, key) == "/home/ada/runs/x.jsonl"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"levle": "basic"}, "{file}: unknown setting 'levle'; did you mean level?"),
        ({"level": "loud"}, '{file}: level is "loud", allowed is basic, detailed or comprehensive'),
        ({"buffer_size": 0}, "{file}: buffer_size is 0, allowed is a whole number of events from 1"),
        ({"sample_rate": "x"}, '{file}: sample_rate is "x", allowed is a number from 0 to 1'),
        ({"enabled": 3}, "{file}: enabled is 3, allowed is true or false, or never in the environment"),
        (
            {"trace_output_dir": "a\0b"},
            '{file}: trace_output_dir is "a\\u0000b", allowed is a path, in which ~ is the home',
        ),
        (
            {"redact_patterns": {"ticket": "T-("}},
            "{file}: redact_patterns: 'ticket' is not a valid regular expression: missing ), unterminated subpattern at position 2",
        ),
        (
            {"redact_patterns": {"": "x"}},
            "{file}: redact_patterns: '' is not a usable name; use letters, digits, '_', '-' and '.'",
        ),
        (
            {"faults": {"search": 1}},
            '{file}: faults is {{"search": 1}}, allowed is a list of NAME:FAULT or NAME@N:FAULT, such as ["search:timeout", "llm@2:status:429"]',
        ),
        (
            {"prices": {"gpt-4.1": {"input": -1}}},
            '{file}: prices["gpt-4.1"].input is -1, allowed is a number of US dollars per million tokens from 0',
        ),
        (
            {"triggers": {"error_rte": 1}},
            '{file}: triggers has "error_rte"; did you mean error_rate?',
        ),
        (
            {"triggers": {"zzz": 1}},
            '{file}: triggers has "zzz", allowed is response_time, error_rate, error_window_seconds, memory_mb_per_hour, loops, cpu_share, cpu_seconds, timeouts, context_share, blocked_seconds',
        ),
        (
            {"triggers": {"loops": -1}},
            "{file}: triggers.loops is -1, allowed is a number from 0, or null to switch the rule off",
        ),
        (
            {"triggers": []},
            '{file}: triggers is [], allowed is an object of rule to threshold, such as {{"error_rate": 0.01, "timeouts": null}}',
        ),
        (
            {"prices": 3},
            '{file}: prices is 3, allowed is an object of model (with * and ? for many) to US dollars per million tokens, such as {{"my-model": {{"input": 0.5, "output": 2}}}}',
        ),
        ({"limits": [{"cots": 1}]}, '{file}: limits has "cots"; did you mean cost?'),
        ({"limits": [{"cost": "5"}]}, '{file}: limits.cost is "5", allowed is a number from 0'),
        (
            {"limits": [{"cost": 5, "name": "a"}]},
            '{file}: limits.name is "a"; it is a pattern of names, by agent, tool or model',
        ),
        (
            {"circuit_breakers": {"tol:search": {}}},
            '{file}: circuit_breakers has "tol"; did you mean tool?',
        ),
        (
            {"circuit_breakers": {"tool:search": {"failure_threshold": 0}}},
            '{file}: circuit_breakers["tool:search"].failure_threshold is 0, allowed is a whole number from 1',
        ),
        (
            {"circuit_breakers": {"tool:search": {"timeout": 3}}},
            '{file}: circuit_breakers["tool:search"] has "timeout"; did you mean recovery_timeout?',
        ),
        (
            {"circuit_breakers": {"tool:a": {"fallback": 1, "fallback_function": "m:f"}}},
            '{file}: circuit_breakers["tool:a"] has fallback and fallback_function; keep one of them',
        ),
        (
            {"circuit_breakers": {"tool:a": {"fallback_function": "f"}}},
            '{file}: circuit_breakers["tool:a"].fallback_function is "f", allowed is module:function',
        ),
        (
            {"circuit_breakers": {"tool:a": {"fallback_model": "m"}}},
            '{file}: circuit_breakers["tool:a"] has fallback_model, which only a model can have',
        ),
        (
            {"retries": {"tool:search": {}}},
            '{file}: retries has "tool", allowed is model, host',
        ),
        (
            {"retries": {"model:*": {"attempt": 2}}},
            '{file}: retries["model:*"] has "attempt"; did you mean attempts?',
        ),
        (
            {"retries": {"model:*": {"delay": -1}}},
            '{file}: retries["model:*"].delay is -1, allowed is a number from 0',
        ),
        ([], "{file} must hold one JSON object of settings, found []"),
    ],
)
def test_a_mistake_in_the_file_is_named_with_its_place(folder, content, message):
    """The message tells file, key, what was found and what is allowed."""
    cwd = folder(content)
    with pytest.raises(SettingError) as error:
        load_configuration(cwd, {})
    assert str(error.value) == message.format(file=cwd / ".namel3ss" / "debug.json")


def test_a_file_that_is_not_json_is_one_line(folder):
    """What is wrong, where, and what to do."""
    cwd = folder("{nope")
    with pytest.raises(SettingError, match=r"debug\.json is not JSON: .*; repair it or remove it"):
        load_configuration(cwd, {})


def test_a_mistake_in_the_environment_names_the_variable(tmp_path):
    """A bad value and an unknown variable are both told."""
    with pytest.raises(SettingError, match=r"^NAMEL3SS_DEBUG_LEVEL: level is "):
        load_configuration(tmp_path, {"NAMEL3SS_DEBUG_LEVEL": "x"})
    with pytest.raises(
        SettingError, match="NAMEL3SS_DEBUG_LEVL in the environment; did you mean NAMEL3SS_DEBUG_LEVEL"
    ):
        load_configuration(tmp_path, {"NAMEL3SS_DEBUG_LEVL": "basic"})
    with pytest.raises(
        SettingError, match="NAMEL3SS_DEBUG_UNKNOWN in the environment; run `namel3ss debug config`"
    ):
        load_configuration(tmp_path, {"NAMEL3SS_DEBUG_UNKNOWN": "1"})


def test_mistakes_can_be_taken_apart_from_what_is_right(folder):
    """Each setting that is wrong is left out with its mistake, and the rest is in force."""
    cwd = folder({"levle": 1, "level": "loud", "slow_ms": 5})
    mistakes = []
    environ = {"NAMEL3SS_DEBUG_REDACT_KEY": "email", "NAMEL3SS_DEBUG_BUFFER_SIZE": "7"}
    config = load_configuration(cwd, environ, mistakes=mistakes).config
    assert (config.level, config.slow_ms, config.buffer_size) == ("detailed", 5, 7)
    assert [each.key for each in mistakes] == ["levle", "level", "redact_key"]
    assert [each.may_be_about_secrets for each in mistakes] == [False, False, True]


def test_never_is_told_from_off():
    """Only the word never makes decorators give back the function itself."""
    assert enabled_never({"NAMEL3SS_DEBUG_ENABLED": "Never"})
    assert not enabled_never({"NAMEL3SS_DEBUG_ENABLED": "false"})
    assert not enabled_never({})


def test_a_configuration_survives_json():
    """What travels to a child process is the same configuration there."""
    config = DebugConfiguration(
        default_components=("a",),
        redact_patterns={"x": "y"},
        sample_rate=0.5,
        prices={"a": {"input": 1.5}, "b": None},
        triggers={**TRIGGERS, "loops": None},
        limits=({"cost": 0.05}, {"calls": 3, "by": "tool"}),
        circuit_breakers={"model:*": {"fallback": [1]}},
        retries={"host:*": {"attempts": 2, "longest": 3}},
    )
    assert DebugConfiguration.from_json(json.loads(json.dumps(config.to_json()))) == config
    assert DebugConfiguration.from_json({**config.to_json(), "of a newer version": 1}) == config


@given(
    st.dictionaries(
        st.sampled_from([s.key for s in SETTINGS]), st.text() | st.integers() | st.floats() | st.none()
    )
)
def test_any_value_is_read_or_refused_in_one_line(values):
    """No value gives a traceback, and no message has a line break."""
    try:
        load_configuration(None, {}, values)
    except SettingError as error:
        assert "\n" not in str(error)


def test_places_to_stop_at_are_a_list_or_one_place(folder):
    """In the file they are a list; in the environment a list as JSON, or one place, whose condition may hold commas."""
    cwd = folder(
        {"auto_breakpoints": ["tool:search", " llm if max(1, duration_ms) > 5 "], "break_on_errors": True}
    )
    loaded = load_configuration(cwd, {}).config
    assert loaded.auto_breakpoints == ("tool:search", "llm if max(1, duration_ms) > 5")
    assert (loaded.break_on_errors, loaded.break_on_warnings) == (True, False)
    for said, places in (
        ('["llm", "error"]', ("llm", "error")),
        ("llm, duration_ms > max(1, 2)", ("llm, duration_ms > max(1, 2)",)),
    ):
        environ = {"NAMEL3SS_DEBUG_AUTO_BREAKPOINTS": said}
        assert load_configuration(cwd, environ).config.auto_breakpoints == places
    config = load_configuration(cwd, {}).config
    assert DebugConfiguration.from_json(json.loads(json.dumps(config.to_json()))) == config
    for bad in ("[1]", "[", "[" * 100_000):
        with pytest.raises(SettingError, match="auto_breakpoints"):
            load_configuration(cwd, {"NAMEL3SS_DEBUG_AUTO_BREAKPOINTS": bad})


def test_a_key_that_stands_twice_is_refused(folder):
    """Which of the two is meant is not known; the first would be lost."""
    root = folder('{"level": "basic", "level": "detailed"}')
    with pytest.raises(SettingError, match=r"debug\.json: the key 'level' appears twice in one object"):
        load_configuration(root, {})


@pytest.mark.parametrize("url", ["http://orders.internal:8000/v1", "orders.internal:8000/v1"])
def test_a_url_is_no_host_to_propagate_to(url, tmp_path):
    """No request goes to a host of such a name, so that the setting would do nothing."""
    variables = {"NAMEL3SS_DEBUG_PROPAGATE": url}
    with pytest.raises(SettingError, match=r'give the host alone: "orders\.internal:8000"'):
        load_configuration(tmp_path, variables)


@pytest.mark.parametrize("value", ["user=42, team = search", '{"user": 42, "team": "search"}'])
def test_tags_are_an_object_or_pairs(value):
    """Values are texts, because a tag is compared as it is typed."""
    assert values.tags(value) == {"user": "42", "team": "search"}
    for wrong in ("=42", '{"user": []}', 5):
        with pytest.raises((TypeError, ValueError)):
            values.tags(wrong)


# --- changing the file

MEMBERS = st.dictionaries(
    st.text(max_size=6), st.recursive(st.integers() | st.text(max_size=6), st.lists, max_leaves=4), max_size=4
)


@given(MEMBERS, MEMBERS, st.sampled_from([None, 0, 1, 4, "\t"]), st.sampled_from(["", "\n", " \n\n"]))
def test_members_are_set_and_the_others_stay(before, values, indent, end):
    """Law: the document has the new members, and the old ones in their order."""
    text = json.dumps(before, indent=indent, ensure_ascii=False) + end
    changed = set_members(text, values)
    assert json.loads(changed) == before | values
    assert list(json.loads(changed)) == list(before | values)
    assert set_members(changed, values) == changed
    if not values:
        assert changed == text


def test_the_rest_of_a_file_stays_as_it_was_written():
    """So a difference shows what changed, and nothing else."""
    text = '{\n    "slow_ms": 10,  \n    "redact_keys": ["a",   "b"],\n    "level" :"basic"\n}\n'
    assert set_members(text, {"slow_ms": 20, "retries": {"model:*": {}}}) == (
        '{\n    "slow_ms": 20,  \n    "redact_keys": ["a",   "b"],\n    "level" :"basic",\n'
        '    "retries": {\n        "model:*": {}\n    }\n}\n'
    )
    assert set_members("", {"slow_ms": 1}) == '{\n  "slow_ms": 1\n}\n'


def test_guards_are_added_to_those_that_are_there():
    """Of rows by name the first that fits counts, so a new one stands first; limits all hold."""
    present = {"retries": {"model:*": {"attempts": 1}}, "limits": {"cost": 1}, "slow_ms": 3}
    added = {
        "retries": {"model:m": {"attempts": 3}},
        "limits": [{"calls": 9}],
        "circuit_breakers": {"tool:a": {}},
    }
    whole = add_guards(present, added)
    assert whole == {
        "retries": {"model:m": {"attempts": 3}, "model:*": {"attempts": 1}},
        "limits": [{"cost": 1}, {"calls": 9}],
        "circuit_breakers": {"tool:a": {}},
    }
    assert next(iter(whole["retries"])) == "model:m"
    assert add_guards(present | whole, added) == whole
