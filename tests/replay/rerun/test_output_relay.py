"""Tests of the way of a program's output to the user, with real descriptors."""

from __future__ import annotations

import contextlib
import os
import threading

import pytest

from namel3ss_debug.replay.rerun.output_relay import OutputRelay


class Written:
    """A file that stands for the user's stdout, and one for stderr."""

    def __init__(self, folder):
        self.paths = [folder / "out", folder / "err"]
        self.files = [path.open("wb") for path in self.paths]
        self.outputs = OutputRelay(*(file.fileno() for file in self.files))

    def run(self, *printed, hold_after=None, shown=True):
        """One run: what is printed on stdout, with the output held back after so many pieces."""
        with self.outputs.run() as ends:
            for place, piece in enumerate(printed):
                if place == hold_after:
                    self.arrived(b"".join(printed[:place]))
                    self.outputs.hold()
                os.write(ends.stdout, piece)
        self.outputs.settle(shown=shown)

    def arrived(self, printed):
        """Wait until all of this has come out, or is known to be left out."""
        way = self.outputs._out
        while way._received < len(printed):
            pass

    def close(self):
        """The test is over."""
        for file in self.files:
            file.close()

    @property
    def shown(self):
        """What stands on stdout."""
        return self.paths[0].read_bytes()


@pytest.fixture
def written(tmp_path):
    """The user's streams."""
    made = Written(tmp_path)
    yield made
    made.close()


def test_what_is_printed_is_shown(written):
    """Byte for byte, also what is no text."""
    written.run(b"one\n", b"\xff\x00two")
    assert written.shown == b"one\n\xff\x00two"
    assert not written.outputs.differs


def test_what_is_held_back_is_shown_when_the_run_counts(written):
    """It comes at the end, behind what came before."""
    written.run(b"one ", b"two ", b"three", hold_after=1)
    assert written.shown == b"one two three"


def test_a_run_that_does_not_count_leaves_nothing_behind_its_hold(written):
    """The next run prints the beginning again, which is left out, and then goes on."""
    written.run(b"one ", b"WRONG", hold_after=1, shown=False)
    assert written.shown == b"one "
    written.run(b"one ", b"right")
    assert written.shown == b"one right"
    assert not written.outputs.differs


def test_a_beginning_that_differs_is_noticed(written):
    """What was shown stays, and what comes behind it is shown."""
    written.run(b"at 10:01 ", b"WRONG", hold_after=1, shown=False)
    written.run(b"at 10:02 ", b"right")
    assert written.shown == b"at 10:01 right"
    assert written.outputs.differs


def test_a_second_run_that_prints_less_is_noticed(written):
    """What was shown of the first stays, and is more than the program has printed."""
    written.run(b"one\n", b"two\n", hold_after=1, shown=False)
    written.run(b"on")
    assert written.outputs.differs


def test_a_reader_that_is_slow_gets_all():
    """Also where its end is set not to wait."""
    source, target = os.pipe()
    os.set_blocking(target, False)
    printed, came = b"x" * 300_000, []
    reader = threading.Thread(target=lambda: came.extend(iter(lambda: os.read(source, 1000), b"")))
    outputs = OutputRelay(target, None)
    with outputs.run() as ends, contextlib.suppress(BrokenPipeError):
        os.write(ends.stdout, printed[:100_000])  # more than the pipe takes, and nobody reads yet
        reader.start()
        os.write(ends.stdout, printed[100_000:])
    outputs.settle(shown=True)
    os.close(target)
    reader.join()
    os.close(source)
    assert b"".join(came) == printed


def test_streams_that_lead_to_one_place_keep_their_order(tmp_path):
    """As with 2>&1: both go the same way."""
    with (tmp_path / "both").open("wb") as file:
        outputs = OutputRelay(file.fileno(), os.dup(file.fileno()))
        with outputs.run() as ends:
            assert ends.stdout == ends.stderr
            for end in (ends.stdout, ends.stderr, ends.stdout):
                os.write(end, b"%d" % (end == ends.stdout))
        outputs.settle(shown=True)
    assert (tmp_path / "both").read_bytes() == b"111"


def test_a_stream_that_is_closed_has_no_way():
    """The program gets what this process has."""
    read, write = os.pipe()
    os.close(write)
    os.close(read)
    with OutputRelay(write, None).run() as ends:
        assert ends == (None, None)


def test_a_terminal_is_a_terminal_for_the_program():
    """It has the size of the user's, and line ends are translated once."""
    ours, theirs = os.openpty()
    outputs = OutputRelay(theirs, None)
    with outputs.run() as ends:
        assert os.isatty(ends.stdout)
        assert os.get_terminal_size(ends.stdout) == os.get_terminal_size(theirs)
        os.write(ends.stdout, b"a\nb\n")
    outputs.settle(shown=True)
    assert os.read(ours, 100) == b"a\r\nb\r\n"
    os.close(ours)
    os.close(theirs)


def test_a_reader_that_has_gone_ends_the_way():
    """The program meets a closed pipe itself when it prints on."""
    read, write = os.pipe()
    outputs = OutputRelay(write, None)
    os.close(read)

    def print_on(end):
        while True:
            os.write(end, b"x" * 1000)

    with outputs.run() as ends, pytest.raises(BrokenPipeError):
        print_on(ends.stdout)
    outputs.settle(shown=True)
    os.close(write)


def test_what_comes_ahead_of_a_run_waits_until_the_run_is_settled(written):
    """The run goes on with the same ends."""
    ends = written.outputs.open_early()
    os.write(ends.stdout, b"ahead, ")
    written.arrived(b"ahead, ")
    assert written.shown == b""
    written.outputs.settle(shown=True)
    with written.outputs.run() as same:
        assert same == ends
        os.write(same.stdout, b"then")
    assert written.shown == b"ahead, then"


def test_what_came_ahead_of_a_run_that_never_was_is_not_shown(written):
    """The next run begins with nothing."""
    os.write(written.outputs.open_early().stdout, b"ahead")
    with written.outputs.run():
        pass
    written.outputs.settle(shown=False)
    written.run(b"only this")
    assert written.shown == b"only this"
    assert not written.outputs.differs
