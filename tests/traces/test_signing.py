"""The keys that traces are signed with, what a signature covers, and the variables that a trace may set."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from namel3ss_debug.traces import signing
from namel3ss_debug.traces.environment import changes_loading, may_supply
from namel3ss_debug.traces.inputs import Recorded
from namel3ss_debug.traces.trust import Trusted, load_trusted, save_trusted

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


def signed(*events):
    """The events, signed with the user's key."""
    sign = signing.signer(signing.key_file_for(EXECUTION), EXECUTION)
    for event in events:
        sign(event)
    return list(events)


def test_the_key_is_made_once_and_for_this_user_alone(configuration):
    """The folder and the file are private, and a second execution uses the same key."""
    path = Path(signing.key_file_for(EXECUTION))
    assert path == configuration / "trust.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    content = path.read_bytes()
    assert signing.key_file_for("0" * 16) == str(path)
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
    path = Path(signing.key_file_for(EXECUTION))
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
    assert signing.signer("", EXECUTION) is None


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
    events = [start(), read()]
    sign = signing.signer(str(path), EXECUTION)
    for event in events:
        sign(event)
    assert signing.find_flaw(events, signing.load_key()) == ""
    assert signing.derive_key(signing.load_key(), "other").hex() not in path.read_text()
    signing.remove_lent_keys()
    assert not path.exists()


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


def test_the_signature_is_of_what_stands_there(configuration):
    """The order of members does not matter, and nothing else may differ."""
    events = signed(start(number=1.0, text="\u2028"), read(clock={"a": 1}))
    key = signing.load_key()
    assert signing.find_flaw(events, key) == ""
    turned = [dict(reversed(event.items())) for event in events]
    assert signing.find_flaw(turned, key) == ""
    for name, value in (("seq", 7), ("timestamp", 9.0), ("event_id", "9"), ("extra", 1), ("component", "x")):
        assert "the signature of its event" in signing.find_flaw([events[0], events[1] | {name: value}], key)


def test_a_child_process_need_not_sign_its_first_line_but_what_it_read(configuration):
    """A re-run takes nothing from the first line of a child, whose key may have been out of reach."""
    events = signed(start(), read())
    child = start(process=1, randomness={"seed": "1", "hash_seed": 5})
    assert signing.find_flaw([*events, child], signing.load_key()) == ""
    assert Recorded.of([*events, child]).seed == ""
    assert signing.find_flaw([*events, child, read(9)], signing.load_key()) == "it is not signed"


def test_signing_again_takes_the_new_number(configuration):
    """As where a signal handler has taken the number of an event that was about to be written."""
    event = read()
    sign = signing.signer(signing.key_file_for(EXECUTION), EXECUTION)
    sign(event)
    event["seq"] += 1
    sign(event)
    assert signing.find_flaw([*signed(start()), event], signing.load_key()) == ""


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
