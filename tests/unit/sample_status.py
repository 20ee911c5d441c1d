"""A status to draw: a kiosk in a call, with two devices in trouble."""

from __future__ import annotations

from typing import Any

from kioskd.control.api import Status

_DEVICES: list[dict[str, Any]] = [
    {"kind": "camera", "driver": "v4l2 /dev/kiosk/camera mjpeg", "state": "busy"},
    {
        "kind": "microphone",
        "driver": "pipewire kiosk_microphone_clean",
        "state": "degraded",
        "reason": "silent",
        "detail": "nothing heard for 30 s",
    },
    {"kind": "speaker", "driver": "pipewire kiosk_speaker_clean", "state": "ready"},
    {"kind": "scanner", "driver": "sane CanoScan LiDE 300", "state": "ready"},
    {
        "kind": "printer",
        "driver": "cups kiosk (ipp://printer.local/ipp/print)",
        "state": "failed",
        "reason": "paper-jam",
        "detail": "media-jam-error: open the front",
    },
    {"kind": "panel", "driver": "none", "state": "absent", "reason": "not-configured"},
]


def sample(**changed: Any) -> Status:
    """Return the status, with some of its fields changed."""
    devices = [{"reason": None, "detail": "", "since_s": 4000.0, **one} for one in _DEVICES]
    told: dict[str, Any] = {
        "kioskd": "0.1.0",
        "kiosk": "fc-0001",
        "pid": 1234,
        "uptime_s": 90_000.0,
        "broker_online": True,
        "invalid_messages": 0,
        "screen_url": "http://127.0.0.1:8480",
        "screen_connected": True,
        "safe_mode": False,
        "failed_starts": 0,
        "loop_lag_p99_ms": 4.2,
        "loop_lag_max_ms": 18.0,
        "process": {"fds": 61, "threads": 12, "tasks": 48, "children": 3, "rss_kb": 152_000},
        "call": {
            "scene": "talking",
            "service": "caf",
            "scene_s": 187.0,
            "round_trip_s": 0.042,
            "loss_sent": 0.004,
            "loss_received": 0.0,
            "sent_bps": 1.24e6,
            "received_bps": 9e5,
        },
        "audit": {"seq": 4711, "head": "c0ffee" * 10 + "0123", "failing": None, "lost": 0},
        "devices": devices,
        "services": [{"id": "caf", "name": "CAF", "open": True, "opens": None}],
    }
    return Status.model_validate(told | changed)
