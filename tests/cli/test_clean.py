"""`debug clean`."""

import fcntl
import json
import os
import time

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


@pytest.fixture
def kinds(old):
    """Runs of 100 days ago: the first failed, the next was marked, the next is a re-run, the last is none of these."""
    newest = next(path for path in old.parent.iterdir() if path != old)
    os.utime(newest)
    whole = old.read_text()
    for number, kind in enumerate(("failed", "marked", "rerun", "default")):
        path = old.with_name(f"trace_2025010{number + 1}_120000_{number:08x}.jsonl")
        path.write_text(whole.replace("ab12cd34ef567890", f"{number:016x}"))
        if kind != "failed":  # the others have their end
            last = json.loads(path.read_text().splitlines()[-1])
            end = {"event_type": "trace_end", "event_id": "end", "component": "app", "seq": last["seq"] + 1}
            with path.open("a") as file:
                file.write(json.dumps(end | {"timestamp": last["timestamp"]}) + "\n")
        if kind == "rerun":
            path.write_text(
                path.read_text().replace('"metadata": {', '"metadata": {"rerun": {"of": "x"}, ', 1)
            )
        elif kind == "marked":
            write_mark(path, Mark("good"))
        os.utime(path, (time.time() - 100 * 86_400,) * 2)
    old.unlink()


RETENTION = {"failed": "180d", "marked": "forever", "rerun": "7d", "default": "13w"}


def set_retention(monkeypatch, retention):
    """Set how long each kind is kept."""
    monkeypatch.setenv("NAMEL3SS_DEBUG_TRACE_RETENTION", json.dumps(retention))


@pytest.mark.parametrize(
    ("retention", "options", "gone"),
    [
        (RETENTION, (), {2: "rerun: over 7 days", 3: "default: over 91 days"}),
        (RETENTION | {"failed": "12h"}, (), {0: "failed: over 0.5 days", 2: "rerun", 3: "default"}),
        ({"rerun": "forever"}, (), {0: "default: over 30 days", 1: "default", 3: "default"}),
        (RETENTION, ("--days", "99"), {0: "failed: over 99 days", 2: "rerun", 3: "default"}),
        (RETENTION, ("--days", "0"), dict.fromkeys(range(5), "default: 0 days")),
        (RETENTION | {"rerun": "200d", "default": "200d"}, ("--max-bytes", "1"),
         {0: "failed: over the size limit", 2: "rerun", 3: "default"}),
    ],
)  # fmt: skip
def test_a_kind_of_traces_has_its_own_time(run, kinds, monkeypatch, retention, options, gone):
    """What goes is shown with its kind and the reason, and nothing is forgotten that is kept for ever, except by --days 0."""
    set_retention(monkeypatch, retention)
    removed = json.loads(run("clean", *options, "--dry-run", "--format", "json").stdout)["removed"]
    assert len(removed) == len(gone)
    for row, (number, reason) in zip(removed, gone.items(), strict=True):
        assert number == 4 or row["execution_id"] == f"{number:016x}"
        assert f"{row['kind']}: {row['why']}".startswith(reason)
    text = run("clean", *options).stdout
    assert all(reason in text for reason in gone.values())


@pytest.mark.parametrize(
    ("retention", "message"),
    [
        ({"broken": "7d"}, 'trace_retention has "broken", allowed is failed, marked, rerun, default'),
        ({"reruns": "7d"}, 'trace_retention has "reruns"; did you mean rerun?'),
        ({"rerun": 7}, 'trace_retention.rerun is 7, allowed is a time such as "12h", "7d" or "2w", or "forever"'),
    ],
)  # fmt: skip
def test_a_wrong_retention_is_one_line(run, kinds, monkeypatch, retention, message):
    """The kind or the time that is not known is named."""
    set_retention(monkeypatch, retention)
    result = run("clean")
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
