"""`debug check --canary`."""

import json
from pathlib import Path
from random import Random

import pytest

from namel3ss_debug.traces.marks import Mark, write_mark


def record(folder, runs, failing, seed, slow=1.0):
    """Write the traces of some runs, of which a part failed."""
    folder.mkdir()
    rng = Random(seed)
    for number in range(runs):
        at, ms, failed = number * 60.0 + seed, rng.lognormvariate(7, 0.2) * slow, rng.random() < failing
        agent = {"component": "agent", "component_name": "Agent"}
        head = {"format": 2, "pid": 1, "process": 0, "segment": 0, "target": "app.py", "argv": ["app.py"]}
        events = [
            {"event_type": "trace_start", "component": "app", "timestamp": at, "metadata": head},
            {**agent, "event_type": "agent_execution_start", "timestamp": at},
            {**agent, "event_type": "agent_execution_end", "parent_event_id": "2", "timestamp": at + ms / 1000,
             "duration_ms": ms, "status": "failed" if failed else "completed", "memory_usage_mb": 200.0},
            {"event_type": "trace_end", "component": "app", "timestamp": at + ms / 1000, "metadata": {"exit_status": int(failed)}},
        ]  # fmt: skip
        identity = f"{seed:02x}{number:06x}"
        rows = [
            event | {"event_id": str(index + 1), "seq": index, "execution_id": identity}
            for index, event in enumerate(events)
        ]
        path = folder / f"trace_20251101_000000_{identity}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(folder)


@pytest.fixture
def versions(workspace):
    """An old version, one that fails twice as often, one that is the same, and a few runs."""
    return {
        "old": record(Path("old"), 120, 0.2, 1),
        "failing": record(Path("failing"), 120, 0.5, 2),
        "same": record(Path("same"), 120, 0.05, 3),
        "few": record(Path("few"), 4, 0.0, 4),
    }


@pytest.mark.parametrize(
    ("new", "verdict", "status"), [("failing", "roll back", 1), ("same", "promote", 0), ("few", "hold", 4)]
)
def test_the_exit_status_is_the_verdict(run, versions, new, verdict, status):
    """The document has each measure with both levels."""
    result = run("check", versions[new], "--canary", "--against", versions["old"], "--format", "json")
    document = json.loads(result.stdout)
    assert (result.exit_code, document["verdict"]) == (status, verdict)
    assert document["schema"] == "namel3ss-debug/canary/1"
    assert document["old_runs"] == 120
    measures = {row["measure"]: row for row in document["measures"]}
    assert measures["memory_mb"]["old"] == 200.0
    assert measures["cost"]["finding"] == "not known"
    shown = run("check", versions[new], "--canary", "--against", versions["old"]).stdout
    assert shown.startswith(verdict.capitalize())
    assert "not known of both versions: cost of a run, marked bad" in " ".join(shown.split())


def test_marks_are_compared(run, versions):
    """Runs marked bad in the new version only."""
    for folder, judgement in (("old", "good"), ("same", "bad")):
        for path in sorted(Path(versions[folder]).iterdir())[:40]:
            write_mark(path, Mark(judgement))
    result = run("check", versions["same"], "--canary", "--against", versions["old"])
    assert result.exit_code == 1
    assert "marked bad" in result.stdout


def test_limits_are_settings(run, versions, monkeypatch):
    """A higher one lets the same version pass to a person."""
    monkeypatch.setenv("NAMEL3SS_DEBUG_CANARY_LIMITS", '{"error_rate": [0.02, 0.9]}')
    assert run("check", versions["failing"], "--canary", "--against", versions["old"]).exit_code == 4
    for wrong, message in (
        (
            '{"time": [0, 1]}',
            'canary_limits has "time", allowed is error_rate, response_ms, cost, memory_mb, marked_bad',
        ),
        (
            '{"cost": [2, 1]}',
            "canary_limits.cost is [2, 1], allowed is two numbers from 0, the smaller first, or null for none",
        ),
    ):
        monkeypatch.setenv("NAMEL3SS_DEBUG_CANARY_LIMITS", wrong)
        assert message in run("check", versions["few"], "--canary", "--against", versions["old"]).stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("few", "--canary"), "give the new runs, and the old ones with --against"),
        (("--canary", "--against", "old"), "give the new runs, and the old ones with --against"),
        (
            ("few", "--canary", "--against", "few"),
            "is of both versions; name the new runs and --against apart",
        ),
        (("few", "--against", "old", "--rule", "tokens < 1"), "--canary takes TRACE... and --against only"),
    ],
)
def test_a_comparison_that_is_none_is_one_line(run, versions, words, message):
    """With what to give."""
    result = run("check", *words)
    assert result.exit_code == 2
    assert message in result.stderr
