"""Fixtures for the whole suite: the scripted model server of the examples, and an environment that points at it."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import pytest
from hypothesis import settings

from namel3ss_debug import prices
from namel3ss_debug.capture import switch
from namel3ss_debug.prices import published

ROOT = Path(__file__).parents[1]

settings.register_profile("suite", deadline=None)  # the machine's speed is no property of the program
settings.load_profile("suite")


def load_file(path):
    """Import a file that is in no package, under its own name, once for each process."""
    if path.stem not in sys.modules:
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[path.stem] = module
        spec.loader.exec_module(module)
    return sys.modules[path.stem]


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory):
    """No test writes into the real cache of the user, and none is told what to trace by the environment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        for name in list(os.environ):
            if name.startswith("NAMEL3SS_"):
                patch.delenv(name)
        yield


@pytest.fixture(autouse=True)
def nothing_left_behind():
    """Every test leaves tracing off and the working directory where it was, and its user's prices to no other."""
    folder = Path.cwd()
    yield
    prices.use({})
    assert switch.ACTIVE is None, "a test left a tracer switched on"
    assert Path.cwd() == folder


@pytest.fixture(scope="session")
def scripted_model_module():
    """The module `examples/scripted_model.py`: `ScriptedModel`, `say`, `call`, `fail`."""
    return load_file(ROOT / "examples" / "scripted_model.py")


@pytest.fixture
def scripted_model(scripted_model_module, monkeypatch):
    """A running `ScriptedModel` that answers the programs in `tests/data/programs_sdk`."""
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")  # so that what the server sets is undone with it
    script = load_file(ROOT / "tests" / "data" / "programs_sdk" / "script.py")
    with scripted_model_module.ScriptedModel(script.answer) as model:
        yield model


@pytest.fixture
def model_environment(scripted_model):
    """The environment in which both SDKs find the scripted model."""
    return os.environ | {
        "OPENAI_BASE_URL": f"{scripted_model.url}/v1",
        "OPENAI_API_KEY": "unused",
        "ANTHROPIC_BASE_URL": scripted_model.url,
        "ANTHROPIC_API_KEY": "unused",
    }


@pytest.fixture
def own_prices():
    """Sets the user's own prices, for this test."""
    return prices.use


@pytest.fixture
def no_published_prices(monkeypatch):
    """As if the extra `[prices]` were not installed."""
    caches = (published._snapshot, published._model, published.extra_source)
    for name in ("genai_prices", "genai_prices.data_snapshot"):
        monkeypatch.setitem(sys.modules, name, None)
    for each in caches:
        each.cache_clear()
    yield
    for each in caches:
        each.cache_clear()
