"""Damaged and hostile files of every imported format end in a readable part or in one line."""

from __future__ import annotations

import json
import random
import zipfile
from copy import deepcopy
from pathlib import Path

import pytest

from namel3ss_debug.errors import DebugError
from namel3ss_debug.importers.opening import load_spans, open_nonempty_trace

DATA = Path(__file__).parent.parent / "data/imports"
SAMPLES = sorted(
    min(folder.iterdir(), key=lambda path: path.stat().st_size)
    for folder in DATA.iterdir()
    if folder.is_dir() and folder.name != "LICENSES"
)
MUTATIONS = 60
WRONG = (
    None, True, -1, 10**30, 1e308, "", "\x1b[31m\x07", "\ud800".encode("utf-8", "replace").decode(), [], {}, [[]], [{}],
    {"a": {}}, "[" * 5000, [None, 1, "x"], "9" * 400, float("nan"),
)  # fmt: skip


def change(value, chance):
    """Return a JSON value in which one value is replaced by one of another type, or left out."""
    paths = []
    stack = [(value, ())]
    while stack:
        each, path = stack.pop()
        paths.append(path)
        items = each.items() if isinstance(each, dict) else enumerate(each) if isinstance(each, list) else ()
        stack += [(inner, (*path, key)) for key, inner in items]
    for path in chance.sample(paths, min(3, len(paths))):
        target = value
        try:
            for key in path[:-1]:
                target = target[key]
            if path:
                target[path[-1]] = deepcopy(chance.choice(WRONG))
        except (KeyError, IndexError, TypeError):
            continue
    return value


def mutate(data, chance, number):
    """Return bytes with one change: cut, overwritten, repeated, or with a value of another type."""
    kind = number % 4
    if kind == 0:
        return data[: chance.randrange(1, len(data))]
    if kind == 1:
        at = chance.randrange(len(data))
        return data[:at] + chance.randbytes(chance.randrange(1, 20)) + data[at + 5 :]
    lines = [line for line in data.decode().split("\n") if line]
    try:
        if all(json.loads(line) is not None for line in lines):
            at = chance.randrange(len(lines))
            lines[at] = json.dumps(change(json.loads(lines[at]), chance))
            return "\n".join(lines).encode()
    except ValueError:
        pass
    return json.dumps(change(json.loads(data), chance)).encode()


@pytest.mark.slow
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.parent.name)
def test_a_mutated_file_is_read_in_part_or_refused_in_one_line(sample, tmp_path):
    """No exception of another kind leaves an importer, and every event can be written."""
    chance = random.Random(sample.name)
    path = tmp_path / sample.name
    opened = 0
    for number in range(MUTATIONS):
        if sample.suffix == ".eval":
            with zipfile.ZipFile(sample) as old, zipfile.ZipFile(path, "w") as new:
                for name in old.namelist():
                    new.writestr(name, mutate(old.read(name), chance, number))
            if number % 4 == 0:
                path.write_bytes(path.read_bytes()[: chance.randrange(10, path.stat().st_size)])
        else:
            path.write_bytes(mutate(sample.read_bytes(), chance, number))
        try:
            load_spans(path)
            for event in open_nonempty_trace(path).events():
                json.dumps(event)
            opened += 1
        except DebugError as error:
            assert "\n" not in str(error)
    assert opened > MUTATIONS // 4, "most mutations leave something to read"
