"""What the control socket answers: typed models, also the shape of `kioskctl --json`."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from kioskd.errors import Reason
from kioskd.hal.device import DeviceKind, DeviceState
from kioskd.visit.words import Scene


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


class CallStatus(_Answer):
    """The call, without anything that tells who the resident is.

    The figures are those of LegStats: seconds, bit/s, shares from 0 to 1. Those of the agent's
    voice are totals of the leg, but for its delay in the jitter buffer, which is that of now.
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
    """

    version: int = 5
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
    maintenance: MaintenanceStatus = MaintenanceStatus()
    loop_lag_p99_ms: float
    loop_lag_max_ms: float
    process: ProcessStatus
    call: CallStatus
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
