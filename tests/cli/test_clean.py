"""`debug clean`."""

import fcntl
import json
import os

import pytest

from namel3ss_debug.cli.trace import write_document
from namel3ss_debug.traces.marks import Mark, write_mark


@pytest.fixture
def old(trace):
    """A recording two months old, beside a newer one, which always stays."""
    newer = trace.with_name("trace_20251122_120000_ffffffff.jsonl")
    newer.write_text(
        trace.read_text().replace("ab12cd34ef567890", "ffffffffffffffff").replace("17637264", "17638128")
    )
    os.utime(trace, (1.7e9, 1.7e9))
    os.utime(newer, (1.7e9, 1.7e9))
    return trace


def test_a_default_removes_nothing(run, old):
    """Without an option or a setting of the user's own, it says what would go and how to say so."""
    result = run("clean")
    assert old.exists()
    assert "would be removed from debug/traces" in result.stdout
    assert result.stderr == (
        "namel3ss debug: nothing was removed: give --days 30, or set trace_retention_days in .namel3ss/debug.json\n"
    )


def test_an_option_removes(run, old):
    """With --days, what is older goes; the newest recording stays."""
    result = run("clean", "--days", "30")
    assert not old.exists()
    assert len(list(old.parent.iterdir())) == 1
    assert result.stdout.splitlines()[1].startswith("ab12cd34  2025-11-21 12:00  app.py")
    assert result.stdout.splitlines()[-1].startswith("1 trace, ")
    assert result.stdout.splitlines()[-1].endswith("removed from debug/traces")


@pytest.mark.parametrize(("content", "stays"), [(None, False), ('{"schema": "theirs"}', True)])
def test_the_document_beside_a_recording_goes_with_it(run, old, content, stays):
    """What `trace --format json` wrote holds the same payloads, and is removed too; a file of somebody else's stays."""
    document = old.with_suffix(".json")
    write_document(old)
    if content is not None:
        document.write_text(content)
    run("clean", "--days", "30")
    assert (old.exists(), document.exists()) == (False, stays)


def test_a_setting_removes(run, old, monkeypatch):
    """A retention the user has set counts as said."""
    monkeypatch.setenv("NAMEL3SS_DEBUG_TRACE_RETENTION_DAYS", "7")
    run("clean")
    assert not old.exists()


def test_a_dry_run_removes_nothing(run, old):
    """--dry-run says what would go."""
    document = json.loads(run("clean", "--max-bytes", "1KB", "--dry-run", "--format", "json").stdout)
    assert document["schema"] == "namel3ss-debug/clean/1"
    assert document["dry_run"] is True
    assert [item["execution_id"] for item in document["removed"]] == ["ab12cd34ef567890"]
    assert old.exists()


def test_a_wrong_size_is_one_line(run, old):
    """A size that is none is named."""
    result = run("clean", "--max-bytes", "lots")
    assert result.exit_code == 2
    assert result.stderr == (
        'namel3ss debug: --max-bytes is "lots", allowed is a number of bytes, '
        "or one with KB, MB or GB after it (see namel3ss debug help bad-setting)\n"
    )
    assert old.exists()


def test_zero_days_remove_everything_but_a_running_program(run, old):
    """The newest recording goes too, with its mark; only the one that is being written stays."""
    newer = next(path for path in old.parent.iterdir() if path != old)
    write_mark(newer, Mark("bad"))
    running = old.with_name("trace_20251120_120000_eeeeeeee.jsonl")
    running.write_text(old.read_text().replace("ab12cd34ef567890", "eeeeeeeeeeeeeeee"))
    with running.open("rb") as writer:
        fcntl.flock(writer, fcntl.LOCK_SH)
        result = run("clean", "--days", "0")
    assert list(old.parent.iterdir()) == [running]
    assert result.stdout.splitlines()[-1].startswith("2 traces, ")


def test_a_setting_of_zero_days_keeps_recordings(run, old, monkeypatch):
    """As a setting, 0 is no limit; only the option asks for everything to go."""
    monkeypatch.setenv("NAMEL3SS_DEBUG_TRACE_RETENTION_DAYS", "0")
    assert "nothing to remove" in run("clean").stdout
    assert old.exists()
