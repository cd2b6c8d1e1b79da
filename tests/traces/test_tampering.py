"""Nothing that is done to the files of a trace hurts the program that writes it, or hides a loss."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "tampering.py"


@pytest.fixture
def tampering(monkeypatch):
    """Load the script that changes files under a running program."""
    spec = importlib.util.spec_from_file_location("tampering", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "tampering", module)
    spec.loader.exec_module(module)
    return module


def test_tampering_hurts_no_program_and_every_loss_is_counted(tampering, tmp_path):
    """Files are truncated, replaced and removed under a program with several threads."""
    lost = 0
    for seed in range(4):  # whether a single run loses events is up to the scheduler
        outcome = tampering.tamper(tmp_path / str(seed), seed, rotate_max_bytes=(seed % 2) * 100_000)
        assert outcome.is_sound(), outcome
        lost += outcome.lost
    assert lost


@pytest.mark.slow
def test_two_hundred_changes_of_files_hurt_no_program(tampering, monkeypatch, capsys):
    """The same, two hundred times, with segments and without."""
    monkeypatch.setattr(sys, "argv", [str(SCRIPT)])
    assert tampering.main() == 0, capsys.readouterr().out
