"""The keys that traces are signed with, what a signature covers, and the variables that a trace may set."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from orjson import dumps, loads

from namel3ss_debug.traces import signing
from namel3ss_debug.traces.environment import changes_loading, may_supply
from namel3ss_debug.traces.inputs import Recorded
from namel3ss_debug.traces.names import parse_name
from namel3ss_debug.traces.store import trace_files
from namel3ss_debug.traces.trust import Trusted, load_trusted, save_trusted
from namel3ss_debug.traces.verification import verify

EXECUTION = "ab12cd34ef567890"


@pytest.fixture
def configuration(tmp_path, monkeypatch):
    """The configuration directory of this test, which is not there yet."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "config" / "namel3ss-debug"


@pytest.fixture
def key_variable(monkeypatch):
    """Sets the key of the environment, and forgets it after the test."""
    monkeypatch.setattr(signing, "_from_environment", None)
    yield lambda secret: monkeypatch.setenv("NAMEL3SS_DEBUG_TRUST_KEY", secret)
    signing.remove_lent_keys()


def start(**metadata):
    """The first line of a program."""
    return {
        "event_type": "trace_start",
        "event_id": "1",
        "seq": 0,
        "timestamp": 1.5,
        "execution_id": EXECUTION,
        "component": "app",
        "metadata": {"process": 0, "target": "app.py", **metadata},
    }


def read(number=2, **metadata):
    """An event of what a program read."""
    return {
        "event_type": "inputs_read",
        "event_id": str(number),
        "seq": number - 1,
        "timestamp": 2.5,
        "execution_id": EXECUTION,
        "component": "app",
        "metadata": {"process": "m", **metadata},
    }


@pytest.fixture(autouse=True)
def no_lent_keys():
    """No test leaves a key behind."""
    yield
    signing.remove_lent_keys()


def sign_for(process=0, segment=0):
    """Signs lines with the user's key."""
    key = signing.execution_key(signing.key_file_for(EXECUTION, running=True), EXECUTION)
    return signing.line_signer(key, process, segment)


@pytest.fixture
def written(tmp_path, configuration):
    """Writes a trace of these events, signed for their file unless they are lines already, and verifies it."""

    def write(files):
        for name, events in files.items():
            number = parse_name(name)
            sign = sign_for(number.process, number.segment)
            lines = [each if isinstance(each, bytes) else sign(dumps(each) + b"\n") for each in events]
            (tmp_path / name).write_bytes(b"".join(lines))
        found = verify(trace_files(tmp_path / "run.jsonl"), signing.load_key())
        return found.flaw or [(each.file, each.line, each.twice) for each in found.changes]

    return write


def test_the_key_is_made_once_and_for_this_user_alone(configuration):
    """The folder and the file are private, and a second execution uses the same key."""
    path = Path(signing.key_file_for(EXECUTION, running=True))
    assert path == configuration / "trust.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    content = path.read_bytes()
    assert signing.key_file_for("0" * 16, running=True) == str(path)
    assert path.read_bytes() == content
    assert os.listdir(configuration) == ["trust.key"]


def test_processes_that_make_the_key_at_once_agree_on_one(configuration):
    """Each signs with the key that is there in the end."""
    code = (
        "from namel3ss_debug.traces.signing import key_file_for, load_key\n"
        "key_file_for('a'); print(load_key().hex())"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    assert {each.communicate()[0].strip() for each in running} == {signing.load_key().hex()}


@pytest.mark.parametrize("spoil", ["readable", "link", "folder", "damaged", "short"])
def test_a_key_that_others_may_know_is_not_used(configuration, tmp_path, spoil):
    """Nor one that is no key; then nothing is signed, and nothing is verified."""
    path = Path(signing.key_file_for(EXECUTION, running=True))
    if spoil == "readable":
        path.chmod(0o644)
    elif spoil == "link":
        path.rename(tmp_path / "elsewhere")
        path.symlink_to(tmp_path / "elsewhere")
    elif spoil == "folder":
        path.unlink()
        path.mkdir()
    else:
        path.write_bytes(b"" if spoil == "damaged" else path.read_bytes()[:40])
    assert signing.load_key() is None
    assert signing.key_file_for(EXECUTION) == ""
    assert signing.execution_key("", EXECUTION) is None


def test_a_user_without_a_home_signs_nothing(monkeypatch):
    """No folder is made anywhere."""
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    assert signing.configuration_folder() is None
    assert signing.key_file_for(EXECUTION) == ""
    assert signing.load_key() is None


def test_the_key_of_the_environment_leaves_it(configuration, key_variable):
    """Its processes get a key for this execution alone, in a private file that goes with this process."""
    key_variable("secret")
    path = Path(signing.key_file_for(EXECUTION))
    assert "NAMEL3SS_DEBUG_TRUST_KEY" not in os.environ
    assert not configuration.exists()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert b"secret" not in path.read_bytes()
    assert signing.execution_key(str(path), EXECUTION) == signing.derive_key(signing.load_key(), EXECUTION)
    assert signing.derive_key(signing.load_key(), "other").hex() not in path.read_text()
    signing.remove_lent_keys()
    assert not path.exists()


def test_a_program_that_a_command_starts_gets_the_key_of_its_execution_alone(configuration):
    """In a file that goes with the command; what is started later reads the user's own file."""
    path = Path(signing.key_file_for(EXECUTION))
    assert path.parent != configuration
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert signing.load_key().hex() not in path.read_text()
    key = signing.execution_key(str(path), EXECUTION)
    assert key == signing.derive_key(signing.load_key(), EXECUTION)
    signing.remove_lent_keys()
    assert not path.exists()
    assert signing.execution_key(str(path), EXECUTION) == key


def test_a_forked_process_leaves_the_key_of_its_parent(configuration, key_variable):
    """The file is the parent's, which may still start processes."""
    key_variable("secret")
    path = Path(signing.key_file_for(EXECUTION))
    pid = os.fork()
    if pid == 0:
        signing.remove_lent_keys()
        os._exit(0)
    os.waitpid(pid, 0)
    assert path.exists()


def test_a_signed_line_is_its_json_with_one_field_more(configuration):
    """Of any size: a long one is digested in pieces."""
    for length in (0, 10, 2020, 2048, 5000, 300_000):
        event = read(text="x" * length)
        line = sign_for()(dumps(event) + b"\n")
        assert line.endswith(b'"}\n')
        assert list(loads(line).items()) == [*event.items(), ("mac", loads(line)["mac"])]
        is_valid = signing.line_verifier(signing.derive_key(signing.load_key(), EXECUTION), 0, 0)
        assert is_valid(line)
        assert not is_valid(line.replace(b"inputs_read", b"inputs_reed"))


WHOLE = {
    "run.jsonl": [start(), read(2)],
    "run.s1.jsonl": [start(segment=1) | {"seq": 2}, read(4)],
    "run.p1.jsonl": [start(process=1), read(2)],
}
"""A trace of two processes; the first has two segments."""


def lines_of(name, events):
    """The lines of a file of that trace."""
    number = parse_name(name)
    return [sign_for(number.process, number.segment)(dumps(event) + b"\n") for event in events]


def test_every_line_of_every_file_is_verified(written):
    """And nothing else is there."""
    assert written(WHOLE) == []


CHANGES = {
    "a value": ("run.jsonl", lambda lines: [lines[0], lines[1].replace(b"2.5", b"2.6")], [2]),
    "white space": ("run.jsonl", lambda lines: [lines[0], lines[1].replace(b":", b": ", 1)], [2]),
    "no signature": ("run.jsonl", lambda lines: [lines[0], lines[1][:-27] + b"}\n"], [2]),
    "a line twice": ("run.jsonl", lambda lines: [*lines, lines[1]], [3]),
    "another process": ("run.p1.jsonl", lambda _: lines_of("run.jsonl", WHOLE["run.jsonl"]), [1, 2]),
    "another segment": ("run.s1.jsonl", lambda _: lines_of("run.jsonl", WHOLE["run.jsonl"]), [1, 2]),
    "a new process": ("run.p2.jsonl", lambda _: [dumps(start(process=2)) + b"\n"], [1]),
    "no first line": ("run.p1.jsonl", lambda lines: lines[1:], [1]),
    "an unsigned line at the end, without a line feed": (
        "run.jsonl",
        lambda lines: [*lines, dumps(read(3))],
        [3],
    ),
    "an event on a damaged line": (
        "run.jsonl",
        lambda lines: [*lines, b'{"event_type":"x","a":NaN}\n'],
        [3],
    ),
    "two events on a line": (
        "run.jsonl",
        lambda lines: [lines[0], lines[1][:-1] + dumps(read(3)) + b"\n"],
        [2, 2],
    ),
    "an event in the form of a note": (
        "run.jsonl",
        lambda lines: [lines[0], b'{"dropped":1,"next_seq":9,"seq":7}\n', lines[1]],
        [2],
    ),
}
"""The file that is changed, how, and which of its lines count as changed."""


@pytest.mark.parametrize("case", CHANGES)
def test_a_changed_line_is_found(written, case):
    """By its file and number, whatever else is in the trace."""
    name, change, numbers = CHANGES[case]
    written(WHOLE)
    files = WHOLE | {name: change(lines_of(name, WHOLE.get(name, [])))}
    assert written(files) == [(name, number, case == "a line twice") for number in numbers]


LOSSES = {
    "a line in the middle": ("run.jsonl", lambda lines: lines[:1]),
    "a file": ("run.p1.jsonl", lambda _: []),
    "a segment": ("run.s1.jsonl", lambda _: []),
    "the end of the last line": ("run.s1.jsonl", lambda lines: [lines[0], lines[1][:60]]),
    "all but a part of the first line": ("run.p1.jsonl", lambda lines: [lines[0][:30]]),
    "what a note counts": (
        "run.jsonl",
        lambda lines: [lines[0], b'{"dropped":1,"next_seq":9}   \n', lines[1]],
    ),
    "what was torn and is followed by more": (
        "run.jsonl",
        lambda lines: [lines[0], lines[1][:50] + b"\n", lines[1]],
    ),
}
"""The file from which something is missing, and its lines then."""


@pytest.mark.parametrize("case", LOSSES)
def test_what_is_missing_is_no_change(written, case):
    """A gap is a loss, a torn line is of a process that was killed, and every complete line is verified."""
    name, change = LOSSES[case]
    written(WHOLE)
    assert written(WHOLE | {name: change(lines_of(name, WHOLE[name]))}) == []


def test_a_trace_of_another_user_is_not_taken_for_a_changed_one(written, configuration):
    """Nor is one without signatures, or one for which there is no key."""
    written(WHOLE)
    lines = {name: lines_of(name, events) for name, events in WHOLE.items()}
    (configuration / "trust.key").unlink()
    assert written({}) == "this user has no key to check its signature with"
    signing.key_file_for(EXECUTION, running=True)
    assert written(lines) == "its signatures are of somebody else"
    assert written({"run.jsonl": [dumps(start()) + b"\n"]}) == "it is not signed"
    assert written({"run.jsonl": [dumps(read()) + b"\n"]}) == "it does not name its program"


@pytest.mark.parametrize(
    "name",
    [
        "LD_PRELOAD",
        "LD_AUDIT",
        "DYLD_INSERT_LIBRARIES",
        "PYTHONPATH",
        "PYTHONSTARTUP",
        "PYTHONHOME",
        "PATH",
        "BASH_ENV",
        "ENV",
        "NODE_OPTIONS",
        "PERL5LIB",
        "PERL5OPT",
        "RUBYOPT",
        "RUBYLIB",
        "GIT_SSH_COMMAND",
        "GIT_SSH",
        "GIT_EXEC_PATH",
        "GIT_CONFIG_GLOBAL",
        "HTTP_PROXY",
        "https_proxy",
        "All_Proxy",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
        "GCONV_PATH",
        "LOCPATH",
        "HOME",
        "XDG_CONFIG_HOME",
        "EDITOR",
        "NAMEL3SS_DEBUG_TRUST",
    ],
)
def test_a_variable_that_changes_how_code_is_loaded_is_never_supplied(name):
    """Whoever recorded the trace; nor is it taken out of the environment."""
    assert changes_loading(name)
    recorded = Recorded(environment={name: "/evil"}, interpreter={name: "/evil"})
    assert recorded.variables({name: "mine"}) == {name: "mine"}
    assert recorded.variables({}) == {}
    assert Recorded(environment={name: None}).variables({name: "mine"}) == {name: "mine"}
    assert recorded.not_supplied({name: "mine"}) == [name]


def test_what_a_trace_supplies_depends_on_trust():
    """With trust its variables and the hash seed; without it the locale and the time zone, in their plain form."""
    environment = {
        "CITY": "Oslo",
        "TZ": "Europe/Oslo",
        "LC_ALL": "nb_NO.UTF-8",
        "PYTHONHASHSEED": "7",
        "GONE": None,
    }
    recorded = Recorded(environment=dict(environment))
    now = {"GONE": "1", "LC_ALL": "C"}
    assert recorded.variables(now) == {k: v for k, v in environment.items() if v is not None}
    recorded.trusted = False
    assert recorded.variables(now) == {"GONE": "1", "TZ": "Europe/Oslo", "LC_ALL": "nb_NO.UTF-8"}
    assert recorded.not_supplied(now) == ["CITY", "GONE", "PYTHONHASHSEED"]


@pytest.mark.parametrize("value", ["/etc/passwd", "../../etc/passwd", ":/etc/passwd", "a\0b", 7, ["x"]])
def test_a_path_is_no_time_zone_of_an_untrusted_trace(value):
    """It would have a file read that the trace names."""
    assert not may_supply("TZ", value, trusted=False)
    assert Recorded(interpreter={"TZ": value}, trusted=False).variables({"TZ": "UTC"}) == {"TZ": "UTC"}


@pytest.mark.parametrize(
    ("name", "value"), [("", "x"), ("A=B", "x"), ("A\0", "x"), ("PYTHONHASHSEED", "x"), ("A", {})]
)
def test_what_is_no_variable_is_left_out(name, value):
    """It would keep the process from starting."""
    assert Recorded(environment={name: value}).variables({}) == {}


def test_damaged_or_foreign_consent_is_none(configuration):
    """A file that is no JSON, or that others can write to, allows nothing."""
    path = save_trusted(Trusted(("/work",), ("aa",)))
    assert load_trusted() == Trusted(("/work",), ("aa",))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o666)
    assert load_trusted() == Trusted()
    path.chmod(0o600)
    path.write_text('{"folders": {"/": 1}, "traces": [1]')
    assert load_trusted() == Trusted()
