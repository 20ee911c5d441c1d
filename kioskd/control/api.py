"""What the control socket answers: typed models, also the shape of `kioskctl --json`."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from kioskd.errors import Reason
from kioskd.hal.device import DeviceKind, DeviceState
from kioskd.visit.words import EndReason, Scene


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DeviceStatus(_Answer):
    """One device; `since_s` is how many seconds it has been in this state.

    `lately` is its last error, other than its absence, which is over for `lately_s` seconds.
    """

    kind: DeviceKind
    driver: str
    state: DeviceState
    reason: Reason | None
    detail: str
    since_s: float
    lately: Reason | None = None
    lately_s: float | None = None


class EarFigures(_Answer):
    """One direction of a call: its score now, at its worst and in the middle, 1.0 to 4.5
    (docs/quality.md); and the share of its sound that was made up. Null where nothing is known.
    """

    mos: float | None
    mos_min: float | None
    mos_median: float | None
    concealed: float | None


class CallFigures(_Answer):
    """A call so far, or as a whole: seconds. `poor_s`: for how long the line was called weak."""

    duration_s: float
    poor_s: float
    reconnections: int
    round_trip_median_s: float | None
    round_trip_worst_s: float | None
    to_agent: EarFigures
    to_kiosk: EarFigures


class CallRecord(_Answer):
    """A call that is over: when it began (Unix time), for which service, how it ended."""

    began: float
    service: str
    end: EndReason
    figures: CallFigures


class ScoreTotals(_Answer):
    """How many calls had a median score up to each step (by the step, as text), how many have one
    at all, and what they add up to.
    """

    upto: dict[str, int] = {}
    count: int = 0
    sum: float = 0.0


class CallTotals(_Answer):
    """All calls of this life of the daemon, by how they ended; seconds."""

    ended: dict[EndReason, int] = {}
    talked_s: float = 0.0
    poor_s: float = 0.0
    reconnections: int = 0
    to_agent: ScoreTotals = ScoreTotals()
    to_kiosk: ScoreTotals = ScoreTotals()


class CallStatus(_Answer):
    """The call, without anything that tells who the resident is.

    The figures are those of LegStats: seconds, bit/s, shares from 0 to 1. Those of the agent's
    voice are totals of the leg, but for its delay in the jitter buffer, which is that of now.
    `bars` are what both pages show, 0 to 4; `so_far` is of the whole call.
    """

    scene: Scene
    service: str | None
    scene_s: float
    round_trip_s: float | None = None
    loss_sent: float | None = None
    loss_received: float | None = None
    sent_bps: float | None = None
    received_bps: float | None = None
    sound_s: float | None = None
    sound_concealed_s: float | None = None
    sound_recovered_s: float | None = None
    sound_accelerated_s: float | None = None
    sound_expanded_s: float | None = None
    sound_discarded_s: float | None = None
    sound_delay_s: float | None = None
    sound_late_packets: int | None = None
    bars: int | None = None
    so_far: CallFigures | None = None


class ServiceStatus(_Answer):
    """One service and whether it is open now."""

    id: str
    name: str
    open: bool
    opens: str | None


class ProcessStatus(_Answer):
    """What the daemon's process holds: for a soak test to see what grows.

    `tasks` are asyncio's; `children` are direct ones, zombies included.
    """

    fds: int
    threads: int
    tasks: int
    children: int
    rss_kb: int


class AuditStatus(_Answer):
    """The audit log: number and hash of its last line; why it cannot be written, if so; and how
    many events were lost by that since the start.
    """

    seq: int
    head: str
    failing: str | None
    lost: int


class MaintenanceStage(StrEnum):
    """Whether the kiosk is out of service; AFTER_VISIT while a resident is still served."""

    OFF = "off"
    AFTER_VISIT = "after-visit"
    ON = "on"


class MaintenanceStatus(_Answer):
    """Maintenance, and since when it is wanted, in Unix time."""

    stage: MaintenanceStage = MaintenanceStage.OFF
    since: float | None = None


class Status(_Answer):
    """The whole kiosk at a glance. `version` is that of this answer's shape.

    The lag is how late the daemon's loop woke, over the last minute. `failed_starts` counts
    those in a row, this one included for its first minute. `stuck` names what makes no progress.
    `unsigned`: nobody proves who it is. `clock_doubted`: the last agent to claim a call was
    refused because its clock and ours differ. `refused_peers` counts all that were refused.
    `calls` are the last ones, newest first.
    `encoder` is what the next call's picture begins with, by FFmpeg's name; `encoder_trouble`: why
    hardware that is wanted, or was in use, is not used.
    """

    version: int = 6
    kioskd: str
    kiosk: str
    pid: int
    uptime_s: float
    broker_online: bool
    invalid_messages: int
    screen_url: str
    screen_connected: bool
    safe_mode: bool
    failed_starts: int
    stuck: list[str] = []
    unsigned: bool = False
    clock_doubted: bool = False
    refused_peers: int = 0
    encoder: str = ""
    encoder_trouble: str = ""
    maintenance: MaintenanceStatus = MaintenanceStatus()
    loop_lag_p99_ms: float
    loop_lag_max_ms: float
    process: ProcessStatus
    call: CallStatus
    calls: list[CallRecord] = []
    call_totals: CallTotals = CallTotals()
    audit: AuditStatus
    devices: list[DeviceStatus]
    services: list[ServiceStatus]


class Done(_Answer):
    """What became of `kioskctl restart` or `maintenance`; `warning` where it is done by half."""

    done: bool
    message: str
    warning: str = ""


class Readmission(_Answer):
    """Whether a device that was left out is back, in words."""

    device: DeviceKind
    passed: bool
    message: str
