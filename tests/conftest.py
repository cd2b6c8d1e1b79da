"""Fixtures for the whole suite: the scripted model server of the examples, and an environment that points at it."""

from __future__ import annotations

import gc
import gzip
import importlib.util
import json
import logging
import os
import signal
import sys
import threading
from contextvars import copy_context
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path
from time import monotonic, sleep

import psutil
import pytest
from hypothesis import settings

from namel3ss_debug import prices
from namel3ss_debug.capture.core.patching import call_when_imported
from namel3ss_debug.prices import published
from namel3ss_debug.traces.reader import ProcessReader

ROOT = Path(__file__).parents[1]

# No deadline: the machine's speed is no property of the program. PROPERTY_EXAMPLES=1000 searches deeper than the suite does.
settings.register_profile("suite", deadline=None, max_examples=int(os.environ.get("PROPERTY_EXAMPLES", "40")))
settings.load_profile("suite")

# What a shell without job control starts in its background ignores the first two, and what nohup starts the third;
# programs that tests start inherit that.
AS_USUAL = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGQUIT: signal.SIG_DFL,
    signal.SIGHUP: signal.SIG_DFL,
}
for number, usual in AS_USUAL.items():
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, usual)

# Our finder of modules to patch stays in `sys.meta_path`; pytester would take out one that a test has put there.
call_when_imported("no_module_of_this_name", lambda _module: None)


def pytest_collection_finish(session):
    """Leave what is loaded by now out of every look at all objects: a recorded call looks for the functions of its tools."""
    del session
    gc.collect()
    gc.freeze()


def load_file(path):
    """Import a file that is in no package, under its own name, once for each process."""
    if path.stem not in sys.modules:
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[path.stem] = module
        spec.loader.exec_module(module)
    return sys.modules[path.stem]


TELLS = ("NAMEL3SS_", "OTEL_", "GITHUB_", "FORCE_COLOR", "NO_COLOR", "PYTHONHASHSEED")
"""What the names of variables begin with that tell the programs what to do and how to show it."""


@pytest.fixture(autouse=True, scope="session")
def own_environment(tmp_path_factory):
    """No test writes into the user's real cache or configuration, and none is told by the environment what to trace.

    Lines have 80 columns, wherever the suite runs. What is on this machine is asked without a proxy; the scripted model
    sets the same, for good.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("configuration")))
        patch.setenv("COLUMNS", "80")
        for name in ("NO_PROXY", "no_proxy"):
            patch.setenv(name, "127.0.0.1")
        for name in list(os.environ):
            if name.startswith(TELLS):
                patch.delenv(name)
        yield


@pytest.fixture(autouse=True)
def nothing_left_behind(tmp_path_factory):
    """Every test leaves tracing off and its process as it was; its user's prices and its own modules end with it."""
    before, modules = of_the_process(), len(sys.modules)
    yield
    prices.use({})
    for name in list(islice(reversed(sys.modules), max(0, len(sys.modules) - modules))):
        file = getattr(sys.modules[name], "__file__", None)
        if file is not None and Path(file).is_relative_to(tmp_path_factory.getbasetemp()):
            del sys.modules[name]
    after = of_the_process()
    assert {name: told(before[name], value) for name, value in after.items() if value != before[name]} == {}


OURS = "namel3ss_debug"
RECORDING = [
    (f"{OURS}.capture.{module}", name)
    for module, names in {
        "core.switch": ("ACTIVE",),
        "core.context": ("thread_starts",),
        "core.delivery": ("CHECK_CONNECTION",),
        "seams.inputs.installing": ("_running",),
        "core.lineage": ("_root",),
        "seams.inputs.stdin": ("_note",),
        "frameworks.langchain": ("_told",),
        "seams.functions.hot_calls": ("TAKE",),
        "seams.http.offline": ("_guard",),
        "seams.processes.processes": ("_current", "_adopt", "_carried"),
        "seams.functions.rewrite": ("HOT", "CALL", "LOADED"),
        "launch.start": ("_undo", "_renewed_by_fork"),
    }.items()
    for name in names
]
"""Where a process keeps that it is recorded: a module, if it is imported, and its name that then is empty."""

SIGNALS = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGTSTP,
    signal.SIGTTOU,
    signal.SIGCHLD,
)


def of_the_process():
    """What one test could change for the next, by name."""
    environment = os.environ._data.copy()  # without decoding it
    environment.pop(b"PYTEST_CURRENT_TEST", None)
    return {
        "os.environ": environment,
        "sys.path": sys.path.copy(),
        "sys.meta_path": sys.meta_path.copy(),
        "sys.path_hooks": sys.path_hooks.copy(),
        "sys.argv": sys.argv.copy(),
        "__main__": sys.modules["__main__"],
        "seams.functions.hooks": (
            sys.excepthook,
            sys.unraisablehook,
            sys.breakpointhook,
            threading.excepthook,
        ),
        "signals": [signal.getsignal(number) for number in SIGNALS],
        "recording": [name for name in RECORDING if getattr(sys.modules.get(name[0]), name[1], None)],
        "context": [
            (each, value) for each, value in copy_context().items() if value and each.name.startswith(OURS)
        ],
        "logging": (logging.root.level, logging.root.handlers.copy(), logging.root.manager.disable),
        "working directory": os.getcwd(),
    }


def told(before, after):
    """What there was and what there is now; of a mapping, where they differ."""
    if not isinstance(after, dict):
        return before, after
    pairs = {key: (before.get(key), after.get(key)) for key in before | after}
    return {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}


@pytest.fixture
def until_ended():
    """Waits until a process of this number has ended, also where nobody reaps it, as the first process of a container may not."""

    def wait(pid, seconds=30):
        deadline = monotonic() + seconds
        try:
            process = psutil.Process(pid)
            while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                assert monotonic() < deadline, f"process {pid} has not ended after {seconds} seconds"
                sleep(0.01)
        except psutil.NoSuchProcess:
            return

    return wait


@pytest.fixture(scope="session")
def scripted_model_module():
    """The module `examples/scripted_model.py`: `ScriptedModel`, `say`, `call`, `fail`."""
    return load_file(ROOT / "examples" / "scripted_model.py")


ENCODINGS = ("gzip", "deflate", "br", "zstd")
"""The encodings in which the scripted server answers, as far as a program accepts them."""


@pytest.fixture(scope="session")
def start_scripted_model(scripted_model_module):
    """Starts a `ScriptedModel` that answers the programs in `tests/data/programs_sdk`."""
    script = load_file(ROOT / "tests" / "data" / "programs_sdk" / "script.py")
    return lambda: scripted_model_module.ScriptedModel(script.answer, ENCODINGS)


@pytest.fixture
def scripted_model(start_scripted_model):
    """A running `ScriptedModel`."""
    with start_scripted_model() as model:
        yield model


def environment_with(model):
    """The environment in which both SDKs find a scripted model."""
    return os.environ | {
        "OPENAI_BASE_URL": f"{model.url}/v1",
        "OPENAI_API_KEY": "unused",
        "ANTHROPIC_BASE_URL": model.url,
        "ANTHROPIC_API_KEY": "unused",
    }


@pytest.fixture
def model_environment(scripted_model):
    """The environment in which both SDKs find the scripted model of this test."""
    return environment_with(scripted_model)


@pytest.fixture(scope="session")
def environment_of_model():
    """Returns the environment in which both SDKs find a scripted model that is not of one test."""
    return environment_with


@pytest.fixture
def trusting(monkeypatch):
    """Allow re-runs of traces that no user of this machine has signed, as those written by hand."""
    monkeypatch.setenv("NAMEL3SS_DEBUG_TRUST", "1")


@pytest.fixture
def passes(monkeypatch):
    """Counts the passes over files of recordings from when it is called on."""

    def count():
        counted = []
        whole = ProcessReader.events

        def events(self, resume=None):
            counted.append(resume)
            return whole(self, resume)

        monkeypatch.setattr(ProcessReader, "events", events)
        return counted

    return count


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


class Receiver:
    """A receiver on loopback that answers with scripted statuses, then with 200."""

    def __init__(self):
        self.arrived = threading.Condition()
        self.statuses, self.requests, self.answer = [], [], (b"", "application/x-protobuf")
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                status = receiver.statuses.pop(0) if receiver.statuses else 200
                with receiver.arrived:
                    receiver.requests.append((self.path, dict(self.headers), body, status))
                    receiver.arrived.notify()
                content, kind = receiver.answer if status == 200 else (b"not now", "text/plain")
                self.send_response(status)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def wait(self, requests):
        """Wait until so many requests have arrived."""
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.requests) >= requests, 60)

    def taken(self):
        """Return the ids of the spans that were taken."""
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        found = []
        for _, headers, body, status in self.requests:
            if status == 200:
                plain = gzip.decompress(body)
                if "json" in headers["content-type"]:
                    scopes = [s for r in json.loads(plain)["resourceSpans"] for s in r["scopeSpans"]]
                    found += [span["spanId"] for scope in scopes for span in scope["spans"]]
                    continue
                request = ExportTraceServiceRequest.FromString(plain)
                scopes = [scope for each in request.resource_spans for scope in each.scope_spans]
                found += [span.span_id.hex() for scope in scopes for span in scope.spans]
        return found

    def close(self):
        """Stop it."""
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def receiver():
    """A receiver that takes what it is sent."""
    receiver = Receiver()
    yield receiver
    receiver.close()
