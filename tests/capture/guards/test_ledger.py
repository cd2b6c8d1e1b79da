"""The ledger adds up what several processes use, and refuses what would pass a limit."""

from __future__ import annotations

import os
import stat
import subprocess
import sys

import pytest

from namel3ss_debug.capture.guards.ledger import Ledger, LedgerClaim


@pytest.fixture
def ledger(tmp_path):
    """A ledger in a new folder."""
    return Ledger(str(tmp_path / "new" / "limits.db"))


def test_a_reservation_counts_until_it_is_replaced_by_the_use(ledger):
    """Two calls fit, a third one does not, and does when the first has used less."""
    claim = LedgerClaim("cost|run|1", 100, reserves=50)
    assert [ledger.claim(owner, [claim], 0.0) for owner in ("a", "b")] == [[], []]
    (reached,) = ledger.claim("c", [claim], 0.0)
    assert (reached.value, reached.reserved) == (0, 100)
    ledger.settle("a", {claim.key: 10}, {}, 0.0)
    ledger.settle("b", {claim.key: 40}, {}, 0.0)
    assert ledger.claim("c", [claim], 0.0) == []
    ledger.settle("c", {claim.key: 50}, {}, 0.0)
    assert ledger.used(claim.key) == 100
    assert len(ledger.claim("d", [claim], 0.0)) == 1


def test_without_a_known_maximum_the_use_alone_counts(ledger):
    """The call that passes the limit is made, and the next one is refused."""
    claim = LedgerClaim("tokens|run|1", 100, reserves=1)
    assert ledger.claim("a", [claim], 0.0) == []
    ledger.settle("a", {claim.key: 140}, {}, 0.0)
    assert [each.value for each in ledger.claim("b", [claim], 0.0)] == [140]


def test_a_refused_call_takes_nothing_of_any_limit(ledger):
    """One limit refuses it, and the count of the other stays."""
    free, full = LedgerClaim("calls|run|1", 5, adds=1), LedgerClaim("calls|tool|1|search", 0, adds=1)
    assert [each.place for each in ledger.claim("a", [free, full], 0.0)] == [1]
    assert ledger.used(free.key) == 0
    warned = full._replace(enforced=False)
    assert [each.place for each in ledger.claim("a", [free, warned], 0.0)] == [1]
    assert ledger.used(free.key) == 1


def test_two_limits_on_the_same_use_count_it_once(ledger):
    """One warns before the other refuses."""
    warns = LedgerClaim("calls|run|1", 1, adds=1, enforced=False)
    refuses = warns._replace(most=2, enforced=True)
    reached = [[each.place for each in ledger.claim("a", [warns, refuses], 0.0)] for _ in range(3)]
    assert (reached, ledger.used(warns.key)) == ([[], [0], [0, 1]], 2)


def test_a_rate_counts_the_last_seconds_alone(ledger):
    """Three calls in a minute; a fourth one is refused until the first is a minute old."""
    claim = LedgerClaim("calls_per_minute|run|1", 3, "rate", window=60.0)
    assert [len(ledger.claim("a", [claim], at)) for at in (0.0, 1.0, 2.0, 59.9, 60.0)] == [0, 0, 0, 1, 0]


def test_time_counts_from_the_first_call(ledger):
    """Or from the begin that was noted."""
    claim = LedgerClaim("seconds|run|1", 10_000, "since")
    assert [len(ledger.claim("a", [claim], at)) for at in (100.0, 109.0, 110.0)] == [0, 0, 1]
    ledger.begin("seconds|run|2", 50.0)
    assert len(ledger.claim("b", [claim._replace(key="seconds|run|2")], 60.0)) == 1


def test_the_reservation_of_a_killed_process_is_dropped(ledger, tmp_path):
    """Its limit would be used up for ever."""
    source = (
        "import os, sys\n"
        "from namel3ss_debug.capture.guards.ledger import Ledger, LedgerClaim\n"
        "Ledger(sys.argv[1]).claim('a', [LedgerClaim('k', 100, reserves=100)], 0.0)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", source, str(tmp_path / "new" / "limits.db")], check=False)
    assert ledger.claim("b", [LedgerClaim("k", 100, reserves=100)], 0.0) == []


def test_a_forked_process_uses_the_file_with_a_connection_of_its_own(ledger):
    """Both add up in the same file, and the parent goes on with its connection."""
    claim = LedgerClaim("calls|run|1", 9, adds=1)
    ledger.claim("a", [claim], 0.0)
    child = os.fork()
    if not child:
        ledger.claim("b", [claim], 0.0)
        os._exit(0)
    os.waitpid(child, 0)
    ledger.claim("c", [claim], 0.0)
    assert ledger.used(claim.key) == 3


def test_the_file_is_for_this_user_alone_and_forgets_old_figures(ledger, tmp_path):
    """A month of use stays, what is older than the longest month goes."""
    ledger.settle("a", {"cost|month|2026-09": 5}, {}, 0.0)
    assert stat.S_IMODE((tmp_path / "new" / "limits.db").stat().st_mode) == 0o600
    ledger.forget_old(32 * 86400.0)
    assert ledger.used("cost|month|2026-09") == 5
    ledger.forget_old(64 * 86400.0)
    assert ledger.used("cost|month|2026-09") == 0
