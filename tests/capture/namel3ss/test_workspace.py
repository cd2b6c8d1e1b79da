"""The folder in which an app runs again."""

from __future__ import annotations

import hashlib

import pytest

from namel3ss_debug.capture.namel3ss.workspace import copy_database, mirror


@pytest.fixture
def app(tmp_path):
    """An app with a module, tools, settings, what it keeps, and what its last run has left."""
    root = tmp_path / "app"
    for name in (
        "app.ai",
        "modules/stock/main.ai",
        "tools/orders.py",
        "namel3ss.toml",
        ".env",
        ".namel3ss/tools.yaml",
        ".namel3ss/data.db",
        ".namel3ss/packs/one/pack.yaml",
        ".namel3ss/memory/memory_snapshot.json",
        ".namel3ss/execution/last.json",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    return root


def test_the_folder_looks_like_the_apps_own(app, tmp_path):
    """Sources and settings are copies, all else is the same file; what a run has left is not there."""
    into = mirror(app, tmp_path / "into", None)
    for name in (
        "app.ai",
        "modules/stock/main.ai",
        "tools/orders.py",
        ".env",
        ".namel3ss/packs/one/pack.yaml",
    ):
        assert (into / name).read_text() == name
    assert (into / "app.ai").resolve() == into / "app.ai"
    assert (into / "modules/stock/main.ai").resolve() == into / "modules/stock/main.ai"
    assert (into / "tools").resolve() == app / "tools"
    assert not (into / ".namel3ss" / "execution").exists()
    assert not (into / ".namel3ss" / "memory").exists()


def test_what_the_app_keeps_is_not_written_to(app, tmp_path):
    """Its records are a copy."""
    into = mirror(app, tmp_path / "into", None)
    (into / ".namel3ss" / "data.db").write_text("changed")
    (into / ".namel3ss" / "packs" / "one" / "new").write_text("")
    assert (app / ".namel3ss" / "data.db").read_text() == ".namel3ss/data.db"
    assert not (app / ".namel3ss" / "packs" / "one" / "new").exists()


def test_it_begins_with_the_memory_of_the_recording(app, tmp_path):
    """The snapshot stands there with its checksum, also where the app has no folder of its own for it."""
    into = mirror(app, tmp_path / "into", '{"items": []}')
    held = (into / ".namel3ss/memory/memory_snapshot.json").read_bytes()
    assert held == b'{"items": []}'
    assert (into / ".namel3ss/memory/memory_snapshot.sha256").read_text() == hashlib.sha256(held).hexdigest()
    (tmp_path / "bare").mkdir()
    assert (
        mirror(tmp_path / "bare", tmp_path / "second", "{}") / ".namel3ss/memory/memory_snapshot.json"
    ).is_file()


def test_what_is_large_is_linked(app, tmp_path):
    """A folder of a thousand files is not copied for a run."""
    many = app / ".namel3ss" / "venv"
    many.mkdir()
    for number in range(1000):
        (many / str(number)).touch()
    into = mirror(app, tmp_path / "into", None)
    assert (into / ".namel3ss" / "venv").is_symlink()


def test_a_database_is_copied_once_with_what_stands_beside_it(tmp_path):
    """What is written into the copy stays there; one that is not there yet has a place."""
    (tmp_path / "kept.db").write_text("records")
    (tmp_path / "kept.db-wal").write_text("latest")
    copy = copy_database(tmp_path / "kept.db", tmp_path / "workspace")
    assert (copy.read_text(), copy.with_name("kept.db-wal").read_text()) == ("records", "latest")
    copy.write_text("more records")
    assert copy_database(tmp_path / "kept.db", tmp_path / "workspace").read_text() == "more records"
    assert (tmp_path / "kept.db").read_text() == "records"
    new = copy_database(tmp_path / "none.db", tmp_path / "other")
    assert new.parent.is_dir()
    assert not new.exists()
