"""Fixtures for capture: a tracer that writes below a temporary folder and is switched off afterwards."""

from __future__ import annotations

import pytest

from namel3ss_debug.capture.start import initialize_tracing, shutdown_tracing


@pytest.fixture
def tracing(tmp_path):
    """Start tracing with settings; switched off after the test."""

    def start(**settings):
        return initialize_tracing(trace_output_dir=str(tmp_path / "traces"), **settings)

    yield start
    shutdown_tracing()


@pytest.fixture
def tracer(tracing):
    """A tracer with the default settings."""
    return tracing()
