"""The monitor: figures, and the states of alerts."""

import dataclasses
import json

import pytest

from namel3ss_debug.analysis.checks.rules import RuleSource
from namel3ss_debug.config import DebugConfiguration, load_configuration
from namel3ss_debug.monitoring.alert import FIRING, PENDING, RESOLVED
from namel3ss_debug.monitoring.monitor import KEEP_SECONDS
from namel3ss_debug.monitoring.rules import read_alert_rules
from tests.monitoring import conftest as fleet


def only(*rules):
    """The rules of a test, without the built-in ones."""
    return read_alert_rules(DebugConfiguration(), [RuleSource("test", rules)])[-len(rules) :]


@pytest.fixture
def program(tmp_path):
    """A program whose trace grows: takes a run, and returns the run, a monitor and what writes its moments until a time."""

    def begin(run, rules, **options):
        run.moments.sort(key=lambda moment: moment[0])
        _, append = fleet.write(run, tmp_path)
        monitor = fleet.monitor_of([tmp_path / f"{run.name}.jsonl"], rules, fleet.BEGAN, **options)
        moments = iter(run.moments)
        waiting = []

        def until(now):
            for at, event in [*waiting, *moments]:
                if at <= now:
                    append(event)
                else:
                    kept.append((at, event))
            waiting[:] = kept
            kept.clear()
            return monitor.poll(now)

        kept = []
        return until

    return begin


def test_an_alert_is_pending_then_fires_and_is_resolved(program):
    """Once each, with the events that prove it and the command that goes there."""
    run = fleet.Run("slow", 3)
    for _ in range(3):
        run.tool(None, "search", status="failed", error="no", error_type="E")
    run.pause(60)
    for _ in range(10):
        run.tool(None, "search")
    rule = {"name": "search_fails", "limit": "error_rate <= 0.5", "by": "tool", "window": "30s", "for": "10s",
            "severity": "warning", "labels": {"team": "search"}}  # fmt: skip
    until = program(run, only(rule))
    failed_at = run.moments[1][0]
    (alert,) = until(failed_at + 0.5).alerts
    assert (alert.state, alert.fired) == (PENDING, None)
    states = []
    now = failed_at
    while now < run.at + 2 * KEEP_SECONDS[0]:
        now += 0.5
        states += [(each.state, each.episode, each) for each in until(now).changed]
    (fired, episode, alert), (resolved, same, over) = states
    assert (fired, resolved) == (FIRING, RESOLVED)
    assert episode == same
    assert alert.fired - alert.began >= 10
    assert over.ended == pytest.approx(run.moments[5][0] + 30, abs=1.5)
    assert alert.events == (2, 4, 6)
    assert alert.command.endswith("slow.jsonl --event 2")
    assert alert.text == "tool search: error_rate is 1 over 30 s, the limit is error_rate <= 0.5"
    assert dict(alert.labels) == {"team": "search", "tool": "search", "program": "slow.py"}
    assert (alert.value, alert.threshold, alert.severity) == (1.0, 0.5, "warning")
    json.dumps(over.to_json())


def test_what_was_read_last_is_judged_at_once(program):
    """A failure is found by the look that reads it, whenever the program began."""
    run = fleet.Run("fails", 3)
    run.pause(0.4)
    run.tool(None, "first")
    run.at = fleet.BEGAN + 10.45
    run.span("tool", "find", 0.0, status="failed", error="no", error_type="LookupError")
    until = program(run, only({"name": "fails", "limit": "failures < 1"}))
    found = [(step / 2, alert.rule) for step in range(30) for alert in until(fleet.BEGAN + step / 2).changed]
    assert found == [(10.5, "fails")]


def test_the_reason_stands_behind_a_long_name(program):
    """A name of a trace may have any length."""
    run = fleet.Run("long", 3)
    run.tool(None, "x" * 2000)
    until = program(run, only({"name": "few", "limit": "calls < 1", "by": "tool"}))
    (alert,) = until(fleet.BEGAN + 5).changed
    assert alert.text.startswith("tool xxx")
    assert alert.text.endswith("calls is 1, the limit is calls < 1")


def test_a_condition_that_wavers_is_one_episode(program):
    """Ten times over and below the limit, a second apart."""
    run = fleet.Run("wavers", 4)
    for turn in range(10):
        run.span("tool", "search", 0.5, **({"status": "failed", "error": "no"} if turn % 2 else {}))
        run.pause(0.6)
    until = program(run, only({"name": "fails", "limit": "failures == 0", "window": "1s"}))
    changed = [each.state for step in range(80) for each in until(fleet.BEGAN + step / 2).changed]
    assert changed == [FIRING, RESOLVED]


def test_the_same_rule_and_subject_have_one_fingerprint_in_every_run(program, tmp_path):
    """And an episode of its own in each."""
    found = []
    for name in ("one", "two"):
        run = fleet.Run("same", len(name) + len(found))
        run.tool(None, "search")
        (tmp_path / name).mkdir()
        _, append = fleet.write(run, tmp_path / name)
        for _, event in run.moments:
            append(event)
        monitor = fleet.monitor_of(
            [tmp_path / name], only({"name": "called", "limit": "calls < 1", "by": "tool"}), run.at
        )
        found += monitor.poll(run.at + 1).alerts
    assert found[0].fingerprint == found[1].fingerprint
    assert found[0].episode != found[1].episode


def test_figures_are_those_of_the_trace(program):
    """Calls, failed ones, tokens, cost, percentiles, memory, and what waits."""
    run = fleet.Run("figures", 5)
    run.request(3)
    run.model(status="failed", error="x", error_type="E")
    run.tool(None, "search")
    del run.moments[-1]
    run.at = run.moments[-1][0]
    (figures,) = program(run, [])(run.at + 7).traces
    assert (figures.state, figures.requests, figures.calls, figures.failures, figures.errors) == (
        "running",
        1,
        6,
        1,
        1,
    )
    ends = [event for _, event in run.moments if event["event_type"] == "llm_call_end" and "usage" in event]
    assert figures.tokens == sum(sum(event["usage"].values()) for event in ends)
    assert figures.cost == pytest.approx(sum(event["cost_estimate"] for event in ends), abs=1e-9)
    assert (figures.open_spans, figures.longest_open.split(":")[0]) == (1, "tool")
    assert figures.longest_open_seconds == pytest.approx(7, abs=0.01)
    assert figures.memory_mb == pytest.approx(80, abs=2)
    assert 0 < figures.p50_ms <= figures.p95_ms <= figures.p99_ms


def test_all_runs_together_have_a_budget(tmp_path):
    """Two runs that each stay below it exceed it together."""
    rules = only({"name": "budget", "limit": "cost <= 0.01", "by": "all", "window": "1d"})
    monitor = fleet.monitor_of([tmp_path], rules, fleet.BEGAN)
    for seed in (1, 2):
        run = fleet.Run(f"run{seed}", seed)
        run.span("llm", "gpt-4o-mini", 1.0, usage={"input_tokens": 10}, cost_estimate=0.006)
        _, append = fleet.write(run, tmp_path)
        for _, event in run.moments:
            append(event)
        alerts = monitor.poll(fleet.BEGAN + 1.5 * seed).alerts
        assert [alert.rule for alert in alerts] == (["budget"] if seed == 2 else [])


def test_a_program_that_computes_without_an_event_is_found_by_its_load(program):
    """The load of the process is read from the machine, as its trace says nothing meanwhile."""
    run = fleet.Run("busy", 6)
    run.request(1)
    run.moments[0] = (run.moments[0][0], run.moments[0][1])
    loads = []

    def probe(pid, began):
        loads.append((pid, began))
        return 0.99 * len(loads), 500.0

    until = program(run, read_alert_rules(DebugConfiguration()), probe=probe, machine_mb=550.0)
    fired = [each.rule for second in range(60) for each in until(run.at + second).changed]
    assert fired == ["memory_usage", "infinite_loop"]
    assert loads[0][0] == 4242


def test_a_worker_that_ended_by_its_own_limit_was_not_killed(tmp_path):
    """A pool ends its workers by `os._exit`, between two jobs; a worker that is gone within one was killed."""
    for name, within in (("idle", False), ("within", True)):
        folder = tmp_path / name
        folder.mkdir()
        run = fleet.Run("pool", 9)
        run.request(1)
        writer, append = fleet.write(run, folder)
        for _, event in run.moments:
            append(event)
        events = [
            {"event_type": "trace_start", "event_id": "p1.1", "parent_event_id": "1", "component": "app"},
            {
                "event_type": "tool_call_start",
                "event_id": "p1.2",
                "component": "tool",
                "component_name": "job",
            },
            {
                "event_type": "tool_call_end",
                "event_id": "p1.3",
                "parent_event_id": "p1.2",
                "component": "tool",
            },
        ]
        lines = [
            {"seq": seq, "timestamp": run.at + seq, "execution_id": f"{run.seed:032x}", **event}
            for seq, event in enumerate(events[:2] if within else events)
        ]
        (folder / "pool.p1.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        writer.end(
            {
                "event_type": "trace_end",
                "event_id": "",
                "seq": 0,
                "timestamp": run.at + 5,
                "component": "app",
            },
            0,
        )
        writer.close()
        monitor = fleet.monitor_of([folder], read_alert_rules(DebugConfiguration()), run.at)
        changed = [each.rule for second in range(100) for each in monitor.poll(run.at + 6 + second).changed]
        assert changed == (["agent_down"] if within else [])


def test_a_program_that_was_started_again_is_no_longer_down(tmp_path):
    """A later run of the same program resolves the alert."""
    rules = read_alert_rules(DebugConfiguration())
    monitor = fleet.monitor_of([tmp_path], rules, fleet.BEGAN)
    run = fleet.Run("service", 11)
    run.request(1)
    writer, append = fleet.write(run, tmp_path)
    append(run.moments[0][1])
    monitor.poll(fleet.BEGAN + 1)
    writer.close()
    changed = [each.state for step in range(150) for each in monitor.poll(fleet.BEGAN + 2 + step / 2).changed]
    assert changed == [FIRING]
    again = fleet.Run("service", 12)
    again.at += 100
    again.request(1)
    folder = dataclasses.replace(again, name="again")
    _, append = fleet.write(folder, tmp_path, title="service.py")
    for _, event in again.moments:
        append(event)
    changed = [
        each.state for step in range(60) for each in monitor.poll(fleet.BEGAN + 105 + step / 2).changed
    ]
    assert changed == [RESOLVED]


def test_a_context_that_fills_is_reported_before_it_is_full(program):
    """A conversation of 128,000 tokens that grows by about 9,000 a call: in about three calls it is 80 % full."""
    run = fleet.Run("fills", 13)
    tokens = [9_000 * call + run.random.randint(-500, 500) for call in range(1, 14)]
    for number, read in enumerate(tokens):
        messages = [{"role": "user", "content": "sort these"}] * (2 * number + 1)
        run.model(read=read, inputs={"model": "gpt-4o-mini", "messages": messages})
        run.pause(1)
    until = program(run, read_alert_rules(DebugConfiguration()))
    found = [alert for step in range(80) for alert in until(fleet.BEGAN + step / 2).changed]
    alert = found[0]
    assert (alert.rule, alert.state, alert.value, alert.threshold) == ("context_forecast", FIRING, 3, 3)
    full = next(
        at for (at, event) in run.moments if event.get("usage", {}).get("input_tokens", 0) >= 0.8 * 128_000
    )
    assert alert.fired < full
    assert alert.text.startswith(
        "model gpt-4o-mini: the context of a conversation will soon be nearly full; context_turns is 3"
    )


@pytest.mark.parametrize(
    ("setting", "threshold", "rises"),
    [
        ("latency_forecast", 2500, {"seconds": lambda at: 1 + at / 600}),
        ("error_forecast", 0.5, {"failed": lambda at: at / 1500}),
        ("cost_forecast", 0.004, {"dearer": lambda at: 10 + at / 60}),
    ],
)
def test_a_rising_trend_alerts_before_the_threshold_is_reached(program, setting, threshold, rises):
    """While the value itself is below it."""
    run = fleet.Run("rises", 14)
    while run.at < fleet.BEGAN + 900:
        at = run.at - fleet.BEGAN
        failed = (
            {"status": "failed", "error": "no"}
            if run.random.random() < rises.get("failed", lambda _: 0)(at)
            else {}
        )
        seconds = rises.get("seconds", lambda _: 1.0)(at) * run.random.uniform(0.9, 1.1)
        run.model(slower=0.0, seconds=seconds, dearer=rises.get("dearer", lambda _: 1.0)(at), **failed)
        run.pause(1)
    config = load_configuration(environ={}, overrides={"alert_thresholds": {setting: threshold}}).config
    rules = [rule for rule in read_alert_rules(config) if rule.name == setting]
    until = program(run, rules)
    fired = [
        alert
        for step in range(1800)
        for alert in until(fleet.BEGAN + step / 2).changed
        if alert.state == FIRING
    ]
    assert [alert.rule for alert in fired] == [setting]
    assert fired[0].fired < fleet.BEGAN + 890
