"""A simulated fleet: every planted problem is found in time and once, and healthy runs hardly ever alert."""

from __future__ import annotations

import math
from collections import defaultdict
from pathlib import Path
from random import Random

import pytest

from namel3ss_debug.analysis.distributions import percentile
from namel3ss_debug.analysis.sections.memory import describe_leak
from namel3ss_debug.config import DebugConfiguration
from namel3ss_debug.monitoring.rules import read_alert_rules
from tests.monitoring import conftest as fleet

SEED = 20_261_125
HEALTHY_RUNS, PLANTED_RUNS = 200, 100
IN_TIME = 1.0

pytestmark = pytest.mark.slow


def ends(run, component="llm"):
    """The calls of a component that ended: time, end event."""
    return [(at, event) for at, event in run.moments if event["event_type"] == f"{component}_call_end"]


def five_far_above(values, least):
    """The first time at which the last five values are more than `least` times the usual ones before them.

    It is computed anew for each value, from all of them.
    """
    for count in range(20, len(values) + 1):
        recent = [value for _, value in values[count - 5 : count]]
        before = sorted(value for _, value in values[: count - 5])
        usual = max(percentile(before, 50), percentile(before, 90) / 2)
        if min(recent) > least * usual:
            return values[count - 1][0]
    raise AssertionError("the planted problem does not meet its condition")


def burst_times(run, times):
    """The times at which more than 5 % of at least 20 calls within five minutes have failed, and three or more."""
    calls = sorted(
        (at, event["status"] == "failed")
        for component in ("llm", "tool")
        for at, event in ends(run, component)
    )
    for at in times:
        recent = [failed for when, failed in calls if at - 300 < when <= at]
        if len(recent) >= 20 and sum(recent) >= 3 and sum(recent) > 0.05 * len(recent):
            yield at


def first_error_burst(run):
    """The first of them."""
    return next(
        burst_times(run, sorted(at for component in ("llm", "tool") for at, _ in ends(run, component)))
    )


def first_leak(run):
    """The first time at which the medians of 30 seconds each show a growth, over at least 15 minutes."""
    points, began, waiting = [], None, []
    for at, event in run.moments:
        mb = event.get("memory_usage_mb")
        if mb is None:
            continue
        if began is None:
            began = at
        elif at - began >= 30:
            ordered = sorted(waiting)
            middle = len(ordered) // 2
            points.append(
                (began, ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2)
            )
            began, waiting = at, []
            if points[-1][0] - points[0][0] >= 900:
                times = [int(when * 1e9) for when, _ in points]
                leak = describe_leak(times, [mb for _, mb in points], times[-1] - times[0])
                if (
                    leak["verdict"] == "grows"
                    and min(leak["mb_per_hour"], leak["second_half_mb_per_hour"]) > 50
                ):
                    return at
        waiting.append(mb)
    raise AssertionError("the planted problem does not meet its condition")


def condition_met(run):
    """When the condition of the planted problem is met, found without the monitor."""
    if run.expected == "performance_degradation":
        return five_far_above([(at, int(event["duration_ms"] * 1e6)) for at, event in ends(run)], 2)
    if run.expected == "cost_jump":
        return five_far_above(
            [(at, int(event["cost_estimate"] * 1e12)) for at, event in ends(run) if "cost_estimate" in event],
            3,
        )
    found = {"error_rate_high": first_error_burst, "memory_leak": first_leak}.get(run.expected)
    return found(run) if found else run.met


@pytest.mark.parametrize("number", range(PLANTED_RUNS))
def test_a_planted_problem_is_found_within_a_second_and_once(number, tmp_path):
    """One alert of its rule, no other, and it is resolved when the problem is over."""
    plant = fleet.PLANTED[number % len(fleet.PLANTED)]
    run = fleet.Run(f"{plant.__name__}_{number}", SEED + number)
    plant(run)
    outcome = fleet.watch(run, tmp_path)
    print(f"seed {run.seed}: {run.name}, {[(alert.rule, alert.text) for alert in outcome.fired]}")
    assert [alert.rule for alert in outcome.fired] == [run.expected]
    met = condition_met(run)
    assert -fleet.LOOK_SECONDS <= outcome.seen[run.expected] - met <= IN_TIME
    (alert,) = outcome.fired
    assert alert.events
    if run.expected == "agent_down":  # nothing brings the program back
        assert outcome.resolved == []
        return
    (resolved,) = outcome.resolved
    assert resolved.episode == alert.episode
    if run.expected == "error_rate_high":  # of its window whole seconds leave
        over = max(
            burst_times(
                run, (run.moments[0][0] + second for second in range(int(run.at - run.moments[0][0])))
            )
        )
        assert over - 1 <= resolved.ended <= over + 3
    if run.over is not None:
        assert run.over - 1 <= resolved.ended <= run.over + 45  # a slowdown ends with the third usual call


def test_healthy_runs_alert_in_at_most_one_of_twenty(examples, tmp_path):
    """Services, queue workers that warm up, conversations, and the real examples with latencies of their own."""
    agents = [*fleet.HEALTHY, *map(fleet.example, examples)]
    alarmed = []
    for number in range(HEALTHY_RUNS):
        run = fleet.Run(f"healthy_{number}", 2 * SEED + number)
        agents[number % len(agents)](run)
        outcome = fleet.watch(run, tmp_path)
        if outcome.fired:
            alarmed.append(
                (run.seed, number % len(agents), [(alert.rule, alert.text) for alert in outcome.fired])
            )
    print(f"{len(alarmed)} of {HEALTHY_RUNS} healthy runs alerted: {alarmed}")
    assert len(alarmed) <= math.floor(0.05 * HEALTHY_RUNS)


def test_a_fleet_in_one_folder_is_watched_together(examples, tmp_path):
    """One monitor, as `monitor DIR`: runs begin at different times, and each problem is found within a second and once."""
    agents = [*fleet.HEALTHY, *map(fleet.example, examples)]
    runs = [fleet.Run(f"healthy_{number}", 3 * SEED + number) for number in range(42)]
    for number, run in enumerate(runs):
        agents[number % len(agents)](run)
    for number in range(3 * len(fleet.PLANTED)):
        plant = fleet.PLANTED[number % len(fleet.PLANTED)]
        runs.append(fleet.Run(f"{plant.__name__}_{number}", 4 * SEED + number))
        plant(runs[-1])
    fired = watch_together(runs, tmp_path)
    for run in runs:
        alerts = [(rule, at - condition_met(run)) for at, rule in fired[run.name]]
        print(f"seed {run.seed}: {run.name}, {alerts}")
        assert [rule for rule, _ in alerts] == ([run.expected] if run.expected else [])
        assert all(-fleet.LOOK_SECONDS <= late <= IN_TIME for _, late in alerts)


def watch_together(runs, folder):
    """Write runs that begin within five minutes, and return when and of which rules alerts fired, by run."""
    delays, moments, appenders = Random(SEED), [], {}
    for run in runs:
        delay = delays.uniform(0, 300)
        run.moments = [
            (at + delay, event | {"timestamp": event["timestamp"] + delay})
            for at, event in sorted(run.moments, key=lambda moment: moment[0])
        ]
        run.met += delay
        moments += [(at, number, run, event) for number, (at, event) in enumerate(run.moments)]
    now = fleet.BEGAN
    monitor = fleet.monitor_of([folder], read_alert_rules(DebugConfiguration()), now)
    fired = defaultdict(list)

    def look():
        for alert in monitor.poll(now).changed:
            if alert.state == "firing":
                fired[Path(alert.trace).stem].append((now, alert.rule))

    for at, number, run, event in sorted(moments, key=lambda moment: (moment[0], moment[2].name, moment[1])):
        while at > now:
            look()
            now += fleet.LOOK_SECONDS
        writer, append = appenders.setdefault(run.name, None) or fleet.write(run, folder)
        appenders[run.name] = writer, append
        append(event)
        if number == len(run.moments) - 1:
            if run.dies:
                run.met = now + 60
            else:
                fleet.end(writer, at)
            writer.close()
    for _ in range(150):
        now += fleet.LOOK_SECONDS
        look()
    return fired
