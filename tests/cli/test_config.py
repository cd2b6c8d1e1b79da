"""`debug config`."""

import json


def test_each_setting_has_its_value_and_source(run, workspace, monkeypatch):
    """The document names, for every setting, the value in force and where it comes from."""
    (workspace / ".namel3ss").mkdir()
    (workspace / ".namel3ss/debug.json").write_text('{"level": "basic", "slow_ms": 5}')
    monkeypatch.setenv("NAMEL3SS_DEBUG_COMPONENTS", "llm,tool")
    document = json.loads(run("config", "--format", "json").stdout)
    assert next(iter(document)) == "schema"
    assert document["schema"] == "namel3ss-debug/config/1"
    file = str(workspace / ".namel3ss/debug.json")
    assert document["file"] == file
    assert (document["settings"]["level"]["value"], document["settings"]["level"]["source"]) == (
        "basic",
        file,
    )
    assert document["settings"]["default_components"]["value"] == ["llm", "tool"]
    assert document["settings"]["default_components"]["source"] == "NAMEL3SS_DEBUG_COMPONENTS"
    assert document["settings"]["redact"]["source"] == "default"


def test_the_table_shows_what_people_set(run, workspace):
    """Sizes and lists read as people write them."""
    (workspace / ".namel3ss").mkdir()
    (workspace / ".namel3ss/debug.json").write_text('{"slow_ms": 250}')
    lines = run("config").stdout.splitlines()
    assert lines[0] == "setting                 value           from"
    assert "slow_ms                 250             file" in lines
    assert "max_payload_size        16 KB           default" in lines
    assert "default_components      all             default" in lines
    assert "join                    none            default" in lines
    assert lines[-2].startswith("file         ")


def test_prices_are_shown_by_their_names(run, workspace):
    """The first models of the table and how many there are; the document has all of it."""
    prices = {name: {"input": 1.5} for name in ("gpt-4o", "my-*", "c", "d", "e")} | {"f": None}
    (workspace / ".namel3ss").mkdir()
    (workspace / ".namel3ss/debug.json").write_text(json.dumps({"prices": prices}))
    lines = run("config").stdout.splitlines()
    assert (
        next(line for line in lines if line.startswith("prices ")).split(maxsplit=1)[1]
        == "gpt-4o, my-*, c and 3 more  file"
    )
    assert json.loads(run("config", "--format", "json").stdout)["settings"]["prices"]["value"] == prices
