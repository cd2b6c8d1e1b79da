"""Recorded exceptions, made again."""

from __future__ import annotations

import json
import urllib.error

import pytest
from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.capture.core.answers import RecordedError
from namel3ss_debug.capture.core.failures import type_name
from namel3ss_debug.capture.seams.functions.exceptions import (
    make_recorded_error,
    make_similar_error,
)

KINDS = (ValueError, KeyError, OSError, ConnectionResetError, TimeoutError, ZeroDivisionError, LookupError)


@given(st.sampled_from(KINDS), st.text())
def test_an_exception_of_one_text_comes_back(kind, text):
    """Its class and what it says are as they were, whatever the text."""
    error = kind(text)
    again = make_recorded_error(RecordedError(type_name(kind), f"{error}"))
    assert type(again) is kind
    assert f"{again}" == f"{error}"


@pytest.mark.parametrize(
    "error",
    [
        ConnectionResetError(104, "Connection reset by peer"),
        FileNotFoundError(2, "No such file or directory", "a b.txt"),
        ValueError(),
        KeyError(("a", 1)),
        json.JSONDecodeError("Expecting value", "x", 0),
        UnicodeDecodeError("utf-8", b"x", 0, 1, "no"),
        urllib.error.URLError("off"),
        urllib.error.HTTPError("http://h", 404, "gone", {}, None),
    ],
    ids=repr,
)
def test_exceptions_with_more_in_them_keep_their_class(error):
    """Those of the system get their number and file back; of others the class is right."""
    again = make_recorded_error(RecordedError(type_name(type(error)), f"{error}"))
    assert type(again) is type(error)
    if isinstance(error, ConnectionResetError | FileNotFoundError):
        assert again.args == error.args
        assert again.filename == error.filename
        assert again.errno == error.errno
    if isinstance(error, urllib.error.HTTPError):
        again.close()


@pytest.mark.parametrize("key", [int, len, "a", (int, 1)], ids=repr)
def test_a_key_that_was_not_there_is_told_as_it_was(key):
    """Also one that is no data, such as a class, of which the recording holds the form alone."""
    again = make_recorded_error(RecordedError("KeyError", f"{KeyError(key)}"))
    assert (type(again), f"{again}") == (KeyError, f"{KeyError(key)}")


def test_an_interrupt_from_the_keyboard_comes_back():
    """It ended the call then, and nobody interrupts it again."""
    natures = {"timeout": TimeoutError, "connection": ConnectionError}
    assert type(make_similar_error(RecordedError("KeyboardInterrupt", ""), natures)) is KeyboardInterrupt
    assert type(make_recorded_error(RecordedError("KeyboardInterrupt", ""))) is KeyboardInterrupt


@pytest.mark.parametrize("name", ["", ".", "gone.Error", "builtins", "os.path", "print", "json.loads"])
def test_what_names_no_exception_makes_none(name):
    """A recording may name anything: only exceptions that are there are made, and nothing is imported or called."""
    assert make_recorded_error(RecordedError(name, "x")) is None
    made = make_similar_error(
        RecordedError(name, "x"), {"timeout": TimeoutError, "connection": ConnectionError}
    )
    assert type(made) is ConnectionError


def test_an_exception_that_is_not_there_has_one_of_its_nature():
    """A name that speaks of a timeout gives that of the library."""
    natures = {"timeout": TimeoutError, "connection": ConnectionError}
    assert type(make_similar_error(RecordedError("gone.ReadTimeout", "x"), natures)) is TimeoutError
    assert type(make_similar_error(RecordedError("timeout", "x"), natures)) is TimeoutError
