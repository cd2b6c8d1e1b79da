"""`debug monitor`: figures and alerts of traces while they grow."""

from __future__ import annotations

import math
import os
import select
import shutil
import sys
import termios
import threading
import time
import tty
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from namel3ss_debug.cli.boundary import notify
from namel3ss_debug.cli.options import complete_files, find_trace_file, settings, write_file
from namel3ss_debug.cli.reporting import reporting
from namel3ss_debug.errors import TraceNotFoundError
from namel3ss_debug.views.report import Report

if TYPE_CHECKING:
    from rich.text import Text

    from namel3ss_debug.config import DebugConfiguration, Loaded
    from namel3ss_debug.monitoring.alert import Alert
    from namel3ss_debug.monitoring.monitor import Monitor, Snapshot
    from namel3ss_debug.monitoring.rules import AlertRule
    from namel3ss_debug.views.blocks import Block

POLL_SECONDS: Final = 0.5
SCHEMA: Final = "namel3ss-debug/monitor/1"


def read_rules(loaded: Loaded, files: Sequence[str] = (), texts: Sequence[str] = ()) -> list[AlertRule]:
    """Return the rules of the settings, of files and of options.

    Raises:
        RuleError: one of the rules cannot be used.
    """
    from namel3ss_debug.analysis.checks.rules import RuleSource, read_file, read_option
    from namel3ss_debug.monitoring.rules import read_alert_rules

    config = loaded.config
    sources = [RuleSource(f"{loaded.sources['alert_rules']}: alert_rules", list(config.alert_rules))]
    sources += [read_file(Path(name)) for name in files]
    sources += [read_option(text) for text in texts]
    return read_alert_rules(config, sources)


@contextmanager
def watching(
    paths: Sequence[Path],
    rules: Sequence[AlertRule],
    config: DebugConfiguration,
    *,
    last: float = math.inf,
    port: int | None = None,
    pushgateway: str = "",
    on_screen: bool = False,
) -> Iterator[Monitor]:
    """Provide a monitor that passes on its alerts and metrics until the block ends.

    Args:
        paths: traces and folders.
        rules: the alert rules.
        config: the settings.
        last: of folders, traces that were changed within so many seconds.
        port: where metrics are served.
        pushgateway: where they are pushed.
        on_screen: whether the terminal is taken: it shows the alerts itself, and problems afterwards.

    Raises:
        SettingError: a channel is not as it should be.
        WrongUsageError: the port is taken.
    """
    from namel3ss_debug.monitoring.channels import TERMINAL
    from namel3ss_debug.monitoring.channels.outbox import Outbox
    from namel3ss_debug.monitoring.loads import LoadReader, read_machine_mb
    from namel3ss_debug.monitoring.monitor import Monitor
    from namel3ss_debug.monitoring.outlets import Outlets

    now = time.time()
    named = config.alert_channels.items()
    channels = {name: row for name, row in named if not on_screen or row.get("kind") != TERMINAL}
    outbox = Outbox(Path(config.trace_output_dir), replace(config, alert_channels=channels), now)
    problems: list[str] = []
    report = problems.append if on_screen else notify
    outlets = Outlets(outbox, rules, report, port=port, pushgateway=pushgateway)
    monitor = Monitor(
        paths,
        rules,
        now,
        last=last,
        probe=LoadReader().read,
        machine_mb=read_machine_mb(),
        cpu_share=config.triggers.get("cpu_share"),
        metrics=outlets.metrics if port or pushgateway else None,
        pass_on=outlets.take,
    )
    outlets.start()
    try:
        yield monitor
    finally:
        monitor.close()
        outlets.close()
        for line in problems:
            notify(line)


def look_once(monitor: Monitor, now: float) -> Snapshot:
    """Return the snapshot once the files were read to their end."""
    looks = [monitor.poll(now) for _ in range(3)]  # that a trace is over shows at the second or third look
    return looks[-1]._replace(changed=tuple(alert for look in looks for alert in look.changed))


def changes(monitor: Monitor) -> Iterator[Alert]:
    """Yield the alerts as they change, until no trace can grow any more, or Ctrl-C."""
    with suppress(KeyboardInterrupt):
        while True:
            yield from monitor.poll(time.time()).changed
            sys.stdout.flush()
            if monitor.is_over:
                return
            time.sleep(POLL_SECONDS)


class Screen:
    """The state of the live screen: what is shown of a snapshot, and what the keys changed."""

    def __init__(self) -> None:
        self.order, self.at, self.paused, self.running_only, self.helps = "N", 0, False, False, False

    def press(self, key: str, height: int, lines: int) -> bool:
        """Take a key, and return whether the screen goes on.

        Args:
            key: what was typed.
            height: how many lines are visible.
            lines: how many there are.
        """
        from namel3ss_debug.views.monitor import ORDERS

        moves = {"j": 1, "\x1b[B": 1, "\r": 1, "k": -1, "\x1b[A": -1, "y": -1}
        moves |= {" ": height, "f": height, "\x1b[6~": height, "b": -height, "\x1b[5~": -height}
        moves |= {"g": -lines, "<": -lines, "\x1b[H": -lines, "G": lines, ">": lines, "\x1b[F": lines}
        if key in ("q", "Q", "\x03", "\x04"):
            return False
        if key in ORDERS:
            self.order = key
        elif key in moves:
            self.at = max(0, min(self.at + moves[key], lines - height))
        elif key == "p":
            self.paused = not self.paused
        elif key == "r":
            self.running_only = not self.running_only
        elif key in ("h", "?"):
            self.helps = not self.helps
        return True

    def draw(self, snapshot: Snapshot, width: int, height: int, source: str) -> tuple[list[Text], int]:
        """Return the lines that fit, and how many there are below the head."""
        from namel3ss_debug.monitoring.alert import FIRING
        from namel3ss_debug.views.monitor import KEYS, ORDERS, screen_lines
        from namel3ss_debug.views.quantities import moment
        from namel3ss_debug.views.terminal import DIM, ERROR, HEADING, Piece, clean, fitted, wrapped_lines

        rows = [row for row in snapshot.traces if row.state == "running" or not self.running_only]
        rows.sort(key=ORDERS[self.order])
        firing = sum(alert.state == FIRING for alert in snapshot.alerts)
        head = [
            fitted(
                [
                    Piece("monitor ", HEADING),
                    Piece(f"{moment(snapshot.at)[11:19]} UTC  ", ""),
                    Piece(f"{firing} firing  " if firing else "no alert  ", ERROR if firing else DIM),
                    Piece("paused  " if self.paused else "", "yellow"),
                    Piece("running only  " if self.running_only else "", DIM),
                    Piece(f"h help  q quit  {clean(source)}", DIM),
                ],
                width,
            ),
            *(wrapped_lines(KEYS, width, DIM) if self.helps else ()),
        ]
        lines = screen_lines(snapshot._replace(traces=tuple(rows)), width)
        room = max(height - len(head), 1)
        self.at = max(0, min(self.at, len(lines) - room))
        return [*head, *lines[self.at : self.at + room]], len(lines)


def run_screen(monitor: Monitor, source: str) -> Snapshot:
    """Show the live screen until the user quits, and return the last snapshot."""
    from rich.live import Live
    from rich.text import Text

    from namel3ss_debug.views.terminal import console

    target, screen = console(drawn=True), Screen()
    snapshot = monitor.poll(time.time())
    with keyboard() as read_key, Live(console=target, screen=True, auto_refresh=False) as live:
        due = time.monotonic()
        while True:
            width, height = target.width, target.height = shutil.get_terminal_size()
            lines, total = screen.draw(snapshot, width, height, source)
            for each in lines:
                each.truncate(width)
            live.update(Text("\n").join(lines), refresh=True)
            key = read_key(max(due - time.monotonic(), 0.0))
            if key and not screen.press(key, height - 2, total):
                return snapshot
            if time.monotonic() >= due:
                due = time.monotonic() + POLL_SECONDS
                latest = monitor.poll(time.time())
                snapshot = snapshot if screen.paused else latest


@contextmanager
def keyboard() -> Iterator[Callable[[float], str]]:
    """Provide a function that waits so many seconds for a key and returns it; empty where none was pressed."""
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)

    def read_key(seconds: float) -> str:
        ready, _, _ = select.select([descriptor], [], [], seconds)
        return os.read(descriptor, 16).decode(errors="replace") if ready else ""

    try:
        tty.setcbreak(descriptor)
        yield read_key
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def is_interactive() -> bool:
    """Return whether keys can be read and a screen can be shown."""
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout))


@contextmanager
def beside(path: Path, loaded: Loaded) -> Iterator[None]:
    """Show the alerts of a program on stderr while the block runs it, and its figures at the end."""
    from namel3ss_debug.views.monitor import describe_alert, summary_line
    from namel3ss_debug.views.terminal import console, wrapped_lines

    over, screen = threading.Event(), console(stderr=True)

    def follow(monitor: Monitor) -> None:
        last = False
        while not last:
            last = over.wait(POLL_SECONDS)
            snapshot = look_once(monitor, time.time()) if last else monitor.poll(time.time())
            lines: list[Text] = []
            for alert in snapshot.changed:
                lines += describe_alert(alert, screen.width)
            if last:
                lines += wrapped_lines(summary_line(snapshot), screen.width)
            with suppress(OSError):  # stderr was closed: the program goes on
                screen.lines(lines)

    with watching([path], read_rules(loaded), loaded.config) as monitor:
        thread = threading.Thread(target=follow, args=(monitor,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


@click.command("monitor")
@click.argument("references", metavar="[TRACE|DIR]...", nargs=-1, shell_complete=complete_files)
@click.option("--once", is_flag=True, help="Look once, show what there is, and end.")
@click.option("--last", default="1h", show_default=True, metavar="TIME",
              help="Of a folder, traces that were changed within this time, such as 30m or 1d; running ones in any case.")  # fmt: skip
@click.option("--rules", "files", multiple=True, metavar="FILE", shell_complete=complete_files,
              help="Further alert rules of a JSON file; may be given several times.")  # fmt: skip
@click.option("--rule", "texts", multiple=True, metavar="RULE", help="One more alert rule, as JSON.")
@click.option("--fail-on", type=click.Choice(("error", "warning", "note")), default="error", show_default=True,
              help="With --once: the lowest severity of an alert that ends with status 1.")  # fmt: skip
@click.option("--metrics", "port", type=click.IntRange(1, 65535), metavar="PORT",
              help="Serve metrics for Prometheus on this port of loopback, as /metrics.")  # fmt: skip
@click.option("--pushgateway", default="", metavar="URL", help="Push metrics to a Pushgateway, such as http://localhost:9091.")  # fmt: skip
@click.option("--write-rules", metavar="FILE", shell_complete=complete_files, type=click.Path(path_type=Path, allow_dash=True),
              help="Write the alert rules as rules of Prometheus, and end; - for the standard output.")  # fmt: skip
@click.option("--write-dashboard", metavar="FILE", shell_complete=complete_files, type=click.Path(path_type=Path, allow_dash=True),
              help="Write a dashboard for Grafana, and end.")  # fmt: skip
@reporting()
@click.pass_context
def command(
    ctx: click.Context,
    /,
    references: tuple[str, ...],
    *,
    once: bool,
    last: str,
    files: tuple[str, ...],
    texts: tuple[str, ...],
    fail_on: str,
    port: int | None,
    pushgateway: str,
    write_rules: Path | None,
    write_dashboard: Path | None,
) -> Report:
    """Watch traces while they grow: calls, errors, tokens, cost, latencies, memory, and alerts.

    TRACE is a trace, or a folder for the traces that are in it and those that will be; without it, trace_output_dir. On
    a terminal it is one screen, with the keys of top and less; h shows them. Elsewhere, and with --format jsonl, each alert is a
    line when it fires and when it is resolved. Rules are those of the settings alert_thresholds, triggers and alert_rules.
    """
    from namel3ss_debug.analysis.aggregate.windows import parse_seconds

    loaded = settings()
    rules = read_rules(loaded, files, texts)
    if write_rules or write_dashboard:
        return write_for_prometheus(rules, write_rules, write_dashboard)
    paths = find_sources(references, Path(loaded.config.trace_output_dir))
    is_table = ctx.get_parameter_source("format_name") is click.core.ParameterSource.DEFAULT
    on_screen = not once and is_interactive() and is_table
    watched = watching(
        paths, rules, loaded.config, last=parse_seconds(last, "--last"), port=port, pushgateway=pushgateway, on_screen=on_screen,
    )  # fmt: skip
    if not once and not on_screen:
        return report_growing(watched)
    with watched as monitor:
        if once:
            return report_once(look_once(monitor, time.time()), fail_on)
        run_screen(monitor, ", ".join(map(str, paths)))
        return Report(())


def write_for_prometheus(rules: Sequence[AlertRule], file: Path | None, dashboard: Path | None) -> Report:
    """Write the rules of Prometheus, the dashboard of Grafana, or both."""
    from namel3ss_debug.monitoring.dashboard import make_dashboard
    from namel3ss_debug.monitoring.prometheus_rules import write_rules
    from namel3ss_debug.views.payloads import json_bytes

    for path, text in (
        (file, write_rules(rules)),
        (dashboard, json_bytes(make_dashboard(), indent=True) + "\n"),
    ):
        if path is not None and str(path) == "-":
            click.echo(text, nl=False)
        elif path is not None:
            write_file(path, text.encode())
            notify(f"{path} was written")
    return Report(())


def find_sources(references: Sequence[str], directory: Path) -> list[Path]:
    """Return the traces and folders that are meant; the folder of the traces where none is named.

    Raises:
        TraceNotFoundError: one is not there.
    """
    if not references:
        if not directory.is_dir():
            raise TraceNotFoundError(
                f"{directory}: no such directory; record a run with `namel3ss debug trace`, or name a folder"
            )
        return [directory]
    return [Path(name) if Path(name).is_dir() else find_trace_file(name).resolve() for name in references]


def report_once(snapshot: Snapshot, fail_on: str) -> Report:
    """Return the report of one look; its status is 1 where an alert fires, or fired in a trace that is over."""
    from namel3ss_debug.analysis.findings import SEVERITIES
    from namel3ss_debug.monitoring.alert import PENDING
    from namel3ss_debug.views.monitor import monitor_blocks

    least = SEVERITIES.index(fail_on)
    failed = any(
        SEVERITIES.index(alert.severity) >= least for alert in snapshot.alerts if alert.state != PENDING
    )
    if not snapshot.traces:
        notify("no trace to watch; make one with: namel3ss debug trace app.py")
    document = snapshot.to_json()
    return Report(monitor_blocks(snapshot), document, rows=document["alerts"], status=int(failed))


def report_growing(watched: AbstractContextManager[Monitor]) -> Report:
    """Return a report that grows by a line for each alert that changes."""
    from namel3ss_debug.views.blocks import Lines
    from namel3ss_debug.views.monitor import describe_alert

    def lines(width: int) -> Iterator[Text]:
        with watched as monitor:
            for alert in changes(monitor):
                yield from describe_alert(alert, width)

    def rows() -> Iterator[dict[str, Any]]:
        with watched as monitor:
            yield from (alert.to_json() for alert in changes(monitor))

    blocks: list[Block] = [Lines(lines)]
    return Report(blocks, rows=rows(), live=True)
