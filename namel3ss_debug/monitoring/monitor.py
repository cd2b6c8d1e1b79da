"""Follow traces, evaluate alert rules on them, and keep the episodes of alerts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from pathlib import Path
from typing import Any, Final, NamedTuple

from namel3ss_debug.analysis.metrics import MetricTotals
from namel3ss_debug.expressions import name_fits
from namel3ss_debug.monitoring.alert import FIRING, PENDING, RESOLVED, Alert
from namel3ss_debug.monitoring.episodes import Episode, Judged, Program, has_fired, judge, make_alert
from namel3ss_debug.monitoring.rules import WEAK, AlertRule, find_windows
from namel3ss_debug.monitoring.sources import TraceFolder, TraceSource
from namel3ss_debug.monitoring.watch import RECENTLY, RUN, Reading, Watch
from namel3ss_debug.monitoring.windows import SUMS, CallWindow

TICK_SECONDS: Final = 1.0
"""Rules are evaluated so often in the time of the events, and at each look at a running trace."""

_OF_MEMORY: Final = frozenset({"memory_mb_per_hour", "memory_mb_ahead"})
_MOST_STEPS: Final = 200
"""A silence is looked at in so many steps at most."""

KEEP_SECONDS: Final = (10.0, 60.0)
"""An alert is resolved when its condition has not been met for a tenth of its window, but from 10 to 60 s.

So a condition that wavers is one episode. The alert ends when its condition was last met.
"""

LOOK_SECONDS: Final = 1.0
"""New traces in a folder are looked for so often."""

_MOST_RESOLVED: Final = 100

Probe = Callable[[int, float], tuple[float, float] | None]
"""Returns the processor time in seconds and the memory in MB of a process, by its id and when its trace began."""


@dataclass(slots=True)
class WatchedTrace:
    """A trace with its source, its episodes, and how far its rules were evaluated."""

    source: TraceSource
    watch: Watch
    episodes: dict[tuple[str, str], Episode] = field(default_factory=dict)
    due: dict[str, float] = field(default_factory=dict)
    evaluated: float = 0.0
    is_over: bool = False


class TraceFigures(NamedTuple):
    """The figures of one trace at a time; rates and percentiles are those of the last five minutes; None where not known."""

    trace: str
    title: str
    state: str
    seconds: float
    events: int
    requests: int
    calls: int
    failures: int
    errors: int
    tokens: int
    cost: float
    unpriced: int
    calls_per_minute: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    memory_mb: float | None
    cpu_share: float | None
    open_spans: int
    longest_open: str
    longest_open_seconds: float


class Snapshot(NamedTuple):
    """What a monitor shows at a time.

    Attributes:
        at: the time, seconds since 1970.
        traces: the figures of each trace, running ones first, then the newest.
        alerts: the pending and firing ones, those that fired last first, and then those that were resolved.
        changed: those that began to fire or were resolved since the last snapshot.
    """

    at: float
    traces: tuple[TraceFigures, ...]
    alerts: tuple[Alert, ...]
    changed: tuple[Alert, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the snapshot as a document."""
        return {
            "schema": "namel3ss-debug/monitor/1",
            "at": self.at,
            "traces": [figures._asdict() for figures in self.traces],
            "alerts": [alert.to_json() for alert in self.alerts],
        }


class Monitor:
    """Follows traces and evaluates rules on them.

    Args:
        sources: traces, and folders in which traces appear.
        rules: the alert rules.
        now: the time, seconds since 1970.
        last: of folders, traces that were changed within so many seconds before `now`.
        probe: reads the load of a running process of this machine.
        machine_mb: the memory of the machine; None where that is not known.
        cpu_share: from which share of a processor on a process counts as busy.
        metrics: takes the spans that end.
        pass_on: takes each snapshot.
    """

    def __init__(
        self,
        sources: Iterable[Path],
        rules: Sequence[AlertRule],
        now: float,
        *,
        last: float = inf,
        probe: Probe | None = None,
        machine_mb: float | None = None,
        cpu_share: float | None = 0.9,
        metrics: MetricTotals | None = None,
        pass_on: Callable[[Snapshot], None] = lambda _: None,
    ) -> None:
        self._metrics, self._pass_on = metrics, pass_on
        self._rules = rules
        self._windows = find_windows(rules)
        self._all = {
            key: CallWindow(key.seconds, self._windows[key]) for key in self._windows if key.by == "all"
        }
        self._all_episodes: dict[tuple[str, str], Episode] = {}
        self._last_call = (Program(""), 0)
        self._probe, self._machine_mb, self._cpu_share = probe, machine_mb, cpu_share
        self._folders: list[TraceFolder] = []
        self._looked = self._probed = float("-inf")
        self._traces: dict[Path, WatchedTrace] = {}
        self._resolved: list[Alert] = []
        self._changed: list[Alert] = []
        leaks = [rule.key.seconds for rule in rules if not rule.limit.expression.names.isdisjoint(_OF_MEMORY)]
        self._leak_seconds = max((seconds for seconds in leaks if seconds), default=1800.0)
        for path in sources:
            if path.is_dir():
                self._folders.append(TraceFolder(path, now - last))
            else:
                self._add(path)

    def _add(self, path: Path) -> None:
        watch = Watch(
            str(path),
            self._windows,
            leak_seconds=self._leak_seconds,
            cpu_share=self._cpu_share,
            machine_mb=self._machine_mb,
            metrics=self._metrics,
        )
        self._traces[path] = WatchedTrace(TraceSource(path), watch)

    def poll(self, now: float) -> Snapshot:
        """Read what was written since the last call, evaluate the rules until `now`, and return the figures and alerts."""
        if now - self._looked >= LOOK_SECONDS:
            self._looked = now
            for folder in self._folders:
                for path in folder.find(self._traces, now):
                    self._add(path)
        if self._probe is not None and now - self._probed >= LOOK_SECONDS:
            self._probed = now
            self._read_loads(now)
        for watched in self._traces.values():
            if not watched.is_over:
                self._read(watched, now)
            elif watched.watch.down_at is not None:
                self._evaluate(watched, now)
        self._evaluate_all(now)
        changed, self._changed = tuple(self._changed), []
        snapshot = Snapshot(now, self._figures(now), self._alerts(), changed)
        self._pass_on(snapshot)
        return snapshot

    def close(self) -> None:
        """Close the files."""
        for watched in self._traces.values():
            watched.source.close()

    @property
    def is_over(self) -> bool:
        """Whether no trace can grow any more, and none can be added."""
        return not self._folders and all(watched.is_over for watched in self._traces.values())

    def _read_loads(self, now: float) -> None:
        """Read memory and processor time of the running programs, which record nothing while they compute."""
        for watched in self._traces.values():
            watch = watched.watch
            if self._probe is None or watch.pid is None or watch.began is None or watched.is_over:
                continue
            found = self._probe(watch.pid, watch.began)
            if found is not None:
                load = watch.load_of("p0")
                load.add_cpu(now, found[0], watch.count)
                load.add_memory(now, found[1], watch.count)

    def _read(self, watched: WatchedTrace, now: float) -> None:
        """Take the new events of a trace. The rules are evaluated between them, in the time of the events."""
        watch, was_seen = watched.watch, watched.watch.count > 0
        for event in watched.source.events(now):
            at = event.get("timestamp")
            if at is not None:
                self._advance(watched, min(at, now))
            watch.take(event)
        gone = watched.source.find_gone() if watch.count else []
        lost = [number for number in gone if number == 0 or _has_open(watch, number)]
        if lost and watched.source.is_over and watch.down_at is None:
            watch.down_at = watched.source.over_since if watched.source.was_written else watch.clock
        if watched.source.over_since is None:
            self._advance(watched, now)
            if (
                watch.count and watched.evaluated < now
            ):  # what was read last is judged now, and not a look later
                watched.evaluated = now
                self._evaluate(watched, now)
        elif watched.source.is_over:
            self._advance(watched, watch.clock)
            self._evaluate(watched, watch.clock)
            watched.is_over = True
            self._end(watched, watch.clock)
        if not was_seen and watch.title:
            self._replace(watched)

    def _replace(self, latest: WatchedTrace) -> None:
        """Note of runs of the same program that are gone that there is a later one."""
        for watched in self._traces.values():
            watch = watched.watch
            if watch.down_at is not None and (watch.title, watch.argv) == (
                latest.watch.title,
                latest.watch.argv,
            ):
                watch.replaced |= (latest.watch.began or 0.0) >= watch.down_at

    def _advance(self, watched: WatchedTrace, until: float) -> None:
        """Evaluate the rules at each tick until a time; a long silence is looked at in larger steps."""
        if not watched.watch.count:
            return
        watched.evaluated = watched.evaluated or watched.watch.clock
        step = max(TICK_SECONDS, (until - watched.evaluated) / _MOST_STEPS)
        while until - watched.evaluated >= step:
            watched.evaluated += step
            self._evaluate(watched, watched.evaluated)

    def _evaluate(self, watched: WatchedTrace, now: float) -> None:
        """Evaluate all rules about one trace."""
        watch = watched.watch
        for windows in watch.windows.values():
            for window in windows.values():
                window.expire(now)
        firing = any(map(has_fired, watched.episodes.values()))
        for rule in self._rules:
            if rule.key.by == "all" or now < watched.due.get(rule.name, 0.0):
                continue
            if watched.is_over and "down_seconds" not in rule.limit.expression.names:
                continue
            if rule.limit.every:
                watched.due[rule.name] = now + rule.limit.every
            for subject, calls in watch.subjects(rule.key):
                if rule.limit.only is not None and not name_fits(subject, rule.limit.only):
                    continue
                key = (rule.name, subject)
                judged = judge(rule, Reading(watch, rule.key.by, subject, calls, now))
                if rule.name in WEAK and firing and not has_fired(watched.episodes.get(key)):
                    judged = judged._replace(broken=False)
                if judged.broken or key in watched.episodes:
                    program = Program(watch.path, watch.title)
                    self._step(watched.episodes, rule, subject, judged, program, now)

    def _evaluate_all(self, now: float) -> None:
        """Evaluate the rules about all traces together."""
        by_second: dict[int, list[int]] = {}
        calls = []
        for watched in self._traces.values():
            watch = watched.watch
            calls += watch.new_calls
            if watch.new_calls:
                self._last_call = (Program(watch.path, watch.title), watch.new_calls[-1][0].number)
                watch.new_calls.clear()
        for call, amounts in calls:
            sums = by_second.setdefault(int(call.at), [0] * len(SUMS))
            for index, amount in enumerate(amounts):
                sums[index] += amount
        calls.sort(key=lambda each: each[0].at)
        for window in self._all.values():
            since = now - window.seconds
            if window.only_sums:  # of many calls a second, most windows need nothing else
                for second in sorted(by_second):
                    if second > since:
                        window.add_amounts(float(second), by_second[second])
            else:
                for call, amounts in calls:
                    if call.at > since:
                        window.add(call, amounts)
        for window in self._all.values():
            window.expire(now)
        last, number = self._last_call
        for rule in self._rules:
            if rule.key.by == "all":
                judged = judge(rule, Reading(None, "all", "", self._all[rule.key], now))
                self._step(self._all_episodes, rule, "", judged._replace(events=(number,)), last, now)

    def _step(
        self,
        episodes: dict[tuple[str, str], Episode],
        rule: AlertRule,
        subject: str,
        judged: Judged,
        program: Program,
        now: float,
    ) -> None:
        """Take one evaluation of a rule: an episode begins, fires, goes on, or is over."""
        key = (rule.name, subject)
        episode = episodes.get(key)
        if judged.broken:
            if episode is None:
                episode = episodes[key] = Episode(now)
            episode.over_since = None
            if episode.fired is None:
                fires = now - episode.began >= rule.limit.hold
                episode.fired = now if fires else None
                episode.alert = make_alert(
                    rule, subject, judged, program, episode, FIRING if fires else PENDING
                )
                if fires:
                    self._changed.append(episode.alert)
        elif episode is not None and episode.fired is None:
            del episodes[key]
        elif episode is not None:
            episode.over_since = episode.over_since if episode.over_since is not None else now
            least, most = KEEP_SECONDS
            if now - episode.over_since >= min(max((rule.limit.window or 0.0) / 10, least), most):
                self._resolve(episodes, key, episode.over_since)

    def _resolve(self, episodes: dict[tuple[str, str], Episode], key: tuple[str, str], at: float) -> None:
        alert = episodes.pop(key).alert
        if alert is not None and alert.state == FIRING:
            over = replace(alert, state=RESOLVED, ended=at)
            self._changed.append(over)
            self._resolved = [*self._resolved[-_MOST_RESOLVED:], over]

    def _end(self, watched: WatchedTrace, now: float) -> None:
        """Resolve the alerts of a trace that ended; that its program is gone stays."""
        for key, episode in list(watched.episodes.items()):
            if watched.watch.down_at is None or not key[0] or key[0] not in self._down_rules():
                self._resolve(
                    watched.episodes, key, now if episode.over_since is None else episode.over_since
                )

    def _down_rules(self) -> set[str]:
        return {rule.name for rule in self._rules if "down_seconds" in rule.limit.expression.names}

    def _alerts(self) -> tuple[Alert, ...]:
        current = [episode.alert for episode in self._episodes() if episode.alert is not None]
        current.sort(key=lambda alert: (alert.state != FIRING, -(alert.fired or alert.began)))
        return (*current, *reversed(self._resolved))

    def _episodes(self) -> Iterator[Episode]:
        yield from self._all_episodes.values()
        for watched in self._traces.values():
            yield from watched.episodes.values()

    def _figures(self, now: float) -> tuple[TraceFigures, ...]:
        ordered = sorted(
            (watched for watched in self._traces.values() if watched.watch.count),
            key=lambda watched: (watched.is_over, -(watched.watch.began or 0.0)),
        )
        return tuple(_figures_of(watched, now) for watched in ordered)


def _has_open(watch: Watch, process: int) -> bool:
    """Return whether a process has open spans: one that ended by its own limit, as pools end their workers, has none."""
    prefix = f"p{process}"
    return any(span.process == prefix for span in watch.open.values())


def _figures_of(watched: WatchedTrace, now: float) -> TraceFigures:
    watch = watched.watch
    at = watch.clock if watched.is_over else max(now, watch.clock)
    total, recent = watch.windows[RUN][""], watch.windows[RECENTLY][""]
    if not watched.is_over:
        recent.expire(now)
    waited, span = watch.longest_open("run", "", at, blocked=False)
    known = [share for load in watch.loads.values() if (share := load.cpu_share()) is not None]
    elapsed = min(at - (watch.began or at), RECENTLY.seconds or 0.0)
    return TraceFigures(
        trace=watch.path,
        title=watch.title,
        state="killed" if watch.down_at is not None else "finished" if watched.is_over else "running",
        seconds=at - (watch.began or at),
        events=watch.count,
        requests=watch.requests,
        calls=total.sum("calls"),
        failures=total.sum("failures"),
        errors=watch.totals.errors,
        tokens=watch.totals.tokens,
        cost=watch.totals.totals().cost,
        unpriced=watch.totals.unpriced,
        calls_per_minute=recent.sum("calls") * 60 / elapsed if elapsed >= 1 else None,
        p50_ms=recent.percentile_ms(50),
        p95_ms=recent.percentile_ms(95),
        p99_ms=recent.percentile_ms(99),
        memory_mb=watch.memory_mb(),
        cpu_share=sum(known) if known else None,
        open_spans=len(watch.open),
        longest_open=span.operation if span else "",
        longest_open_seconds=waited,
    )
