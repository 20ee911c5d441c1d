"""The kiosk at a glance, for a terminal of 80 columns, with or without colour and line drawing."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

from rich import box
from rich.console import Console, Group, OverflowMethod, RenderableType
from rich.table import Table
from rich.text import Text

from kioskd.control.api import DeviceStatus, MaintenanceStage, Status
from kioskd.diagnostics.findings import device_id
from kioskd.diagnostics.terminal import width
from kioskd.errors import Reason
from kioskd.hal.device import DeviceState
from kioskd.visit.words import Scene

_STATES: Final = {
    DeviceState.READY: "green",
    DeviceState.BUSY: "bold green",
    DeviceState.DEGRADED: "bold yellow",
    DeviceState.ABSENT: "yellow",
    DeviceState.FAILED: "bold red",
}


@dataclass(frozen=True, slots=True)
class Signs:
    """The signs that a terminal can draw."""

    states: dict[DeviceState, str]
    dot: str
    bars: str


_DRAWN: Final = Signs(
    dict(zip(DeviceState, "●●▲○✖", strict=True)),  # ready, busy, degraded, absent, failed
    " · ",
    "▁▂▃▄▅▆▇█",
)
_ASCII: Final = Signs(dict(zip(DeviceState, "++!-x", strict=True)), ", ", "_.-=*#")


def signs(console: Console) -> Signs:
    """Return what can be drawn: a serial line in a C locale has letters only."""
    return _ASCII if console.options.ascii_only else _DRAWN


def ago(seconds: float) -> str:
    """Return a length of time as people say it."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s" if whole < 600 else f"{whole // 60} min"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60:02} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"


def rate(bits_per_second: float) -> str:
    """Return a rate as people say it."""
    kilo = bits_per_second / 1000
    return f"{kilo / 1000:.1f} Mbit/s" if kilo >= 1000 else f"{kilo:.0f} kbit/s"


def glance(status: Status, console: Console) -> RenderableType:
    """Return the whole kiosk."""
    return Group(head(status, console), facts(status), Text(), devices(status, console))


def head(status: Status, console: Console) -> RenderableType:
    """Return the title: which kiosk, and whether it serves."""
    dot = signs(console).dot
    right = f"kioskd {status.kioskd}{dot}pid {status.pid}{dot}up {ago(status.uptime_s)}"
    grid = Table.grid(expand=False, padding=(0, 1))
    grid.width = width(console)
    grid.add_column(ratio=1)
    grid.add_column(justify="right", no_wrap=True)
    grid.add_row(Text.assemble((status.kiosk, "bold"), "  ", service(status)), Text(right, "dim"))
    line = Text(("-" if console.options.ascii_only else "─") * width(console), "dim")
    return Group(grid, line)


def service(status: Status) -> Text:
    """Say whether a resident can call."""
    match status.maintenance.stage:
        case MaintenanceStage.ON:
            return Text("MAINTENANCE", "bold cyan")
        case MaintenanceStage.AFTER_VISIT:
            return Text("MAINTENANCE AFTER THIS VISIT", "bold cyan")
    if not status.broker_online or not status.screen_connected:
        return Text("NO CALLS", "bold red")
    well = all(one.state.usable or one.reason is Reason.NOT_CONFIGURED for one in status.devices)
    degraded = any(one.state is DeviceState.DEGRADED for one in status.devices)
    if status.safe_mode or status.stuck or not well or degraded:
        return Text("in service, with troubles", "bold yellow")
    return Text("in service", "bold green")


def facts(status: Status) -> RenderableType:
    """Return what is no device."""
    rows = Table.grid(padding=(0, 1))
    rows.add_column(no_wrap=True, width=9, style="dim")
    rows.add_column(overflow="fold")
    if status.unsigned:
        rows.add_row("", Text("NOBODY IS VERIFIED: identity.unsigned, for tests only", "bold red"))
    if status.safe_mode:
        rows.add_row("", Text(_safe_mode(status), "bold yellow"))
    if status.stuck:
        rows.add_row("stuck", Text(", ".join(status.stuck), "bold red"))
    if status.maintenance.since is not None:
        told = f"wanted for {ago(time.time() - status.maintenance.since)}: kioskctl maintenance off"
        rows.add_row("service", Text(told, "cyan"))
    rows.add_row("broker", _good("online", "OFFLINE", well=status.broker_online))
    shown = _good("connected", "NOT CONNECTED", well=status.screen_connected)
    rows.add_row("screen", Text.assemble(shown, "  ", (status.screen_url, "dim")))
    rows.add_row("visit", Text(visit(status)))
    if status.call.round_trip_s is not None or status.call.sent_bps is not None:
        rows.add_row("call", Text(call(status)))
    if status.call.bars is not None:
        rows.add_row("line", Text(line(status)))
    if status.encoder_trouble:
        told = f"by {status.encoder}; {status.encoder_trouble}"
        rows.add_row("picture", Text(told, "yellow"))
    lag = f"{status.loop_lag_p99_ms:.0f} ms (p99), {status.loop_lag_max_ms:.0f} ms at most"
    rows.add_row("loop lag", Text(f"{lag}, in the last minute"))
    rows.add_row("audit", _audit(status))
    return rows


def visit(status: Status) -> str:
    """Say where the visit is."""
    scene = status.call.scene
    if scene is Scene.CHOOSING:
        return "nobody is here"
    return f"{scene.value}, {status.call.service or '-'}, for {ago(status.call.scene_s)}"


def call(status: Status) -> str:
    """Say how good the call is; a figure that is not known yet is a dash."""
    one = status.call
    trip = "-" if one.round_trip_s is None else f"{one.round_trip_s * 1000:.0f} ms"
    out = "-" if one.sent_bps is None else rate(one.sent_bps)
    into = "-" if one.received_bps is None else rate(one.received_bps)
    lost = [
        "-" if loss is None else f"{loss * 100:.1f} %"
        for loss in (one.loss_sent, one.loss_received)
    ]
    return f"out {out} ({lost[0]} lost), in {into} ({lost[1]}), round trip {trip}"


def line(status: Status) -> str:
    """Say how good the call is for people: `kioskctl call` has the rest."""
    told = f"{status.call.bars} of 4 bars"
    if (figures := status.call.so_far) is None:
        return told
    heard = (("at the agent's", figures.to_agent.mos), ("here", figures.to_kiosk.mos))
    scores = [f"{score:.1f} {where}" for where, score in heard if score is not None]
    return f"{told}; score {', '.join(scores)}" if scores else told


def _safe_mode(status: Status) -> str:
    left_out = [one.kind.value for one in status.devices if one.reason is Reason.LEFT_OUT]
    return f"SAFE MODE after failed starts; left out: {', '.join(left_out) or '-'}"


def _audit(status: Status) -> Text:
    audit = status.audit
    told = Text(f"{audit.seq} lines")
    if audit.failing:
        told.append(f", NOT WRITTEN: {audit.failing}", "bold red")
    if audit.lost:
        told.append(f", {audit.lost} events LOST", "bold red")
    return told.append(f"\n{audit.head}", "dim")


def _good(yes: str, no: str, *, well: bool) -> Text:
    return Text(yes, "green") if well else Text(no, "bold red")


def devices(status: Status, console: Console, *, brief: bool = False) -> RenderableType:
    """Return the table of devices; a brief one has a line for each."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, width=width(console), show_edge=False)
    table.add_column("device", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("for", no_wrap=True, justify="right")
    cut: OverflowMethod = "crop" if console.options.ascii_only else "ellipsis"
    table.add_column("what", ratio=1, overflow=cut if brief else "fold", no_wrap=brief)
    drawn = signs(console)
    for one in status.devices:
        style = "dim" if one.reason is Reason.NOT_CONFIGURED else _STATES[one.state]
        state = Text(f"{drawn.states[one.state]} {one.state.value}", style)
        table.add_row(one.kind.value, state, ago(one.since_s), _what(one, brief=brief))
    return table


def _what(one: DeviceStatus, *, brief: bool) -> Text:
    if one.reason is None:
        return Text(one.driver, "dim")
    if one.reason is Reason.NOT_CONFIGURED:
        return Text(one.reason.value, "dim")
    told = Text.assemble((one.reason.value, "bold"))
    told.append(f"  {device_id(one.kind, one.reason)}", "cyan")
    if brief:
        return told.append(f"  {one.detail}")
    told.append(f"\n{one.detail}" if one.detail else "")
    return told.append(f"\n{one.driver}", "dim")
