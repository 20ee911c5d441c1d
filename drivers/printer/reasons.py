"""What keywords of IPP mean for people (printer-state-reasons, RFC 8011, 5.4.12)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from kioskd.errors import Reason

_REASONS: Final = {  # without their severity
    "media-empty": Reason.PAPER_OUT,
    "media-needed": Reason.PAPER_OUT,
    "input-tray-missing": Reason.PAPER_OUT,
    "media-jam": Reason.PAPER_JAM,
    "cover-open": Reason.COVER_OPEN,
    "door-open": Reason.COVER_OPEN,
    "interlock-open": Reason.COVER_OPEN,
    "marker-supply-low": Reason.INK_LOW,
    "toner-low": Reason.INK_LOW,
    "developer-low": Reason.INK_LOW,
    "marker-supply-empty": Reason.INK_OUT,
    "toner-empty": Reason.INK_OUT,
    "developer-empty": Reason.INK_OUT,
    "output-area-full": Reason.OUTPUT_FULL,
    "output-tray-missing": Reason.OUTPUT_FULL,
    "fuser-under-temp": Reason.WARMING_UP,
    "offline": Reason.OFFLINE,
    "connecting-to-device": Reason.OFFLINE,
    "timed-out": Reason.OFFLINE,
    "shutdown": Reason.OFFLINE,
    "paused": Reason.OFFLINE,  # the key on the printer that people call "online"
    "moving-to-paused": Reason.OFFLINE,
}
_SEVERITIES: Final = ("-error", "-warning", "-report")
HOLDING: Final = frozenset(
    {
        Reason.PAPER_OUT,
        Reason.PAPER_JAM,
        Reason.COVER_OPEN,
        Reason.INK_OUT,
        Reason.OUTPUT_FULL,
        Reason.OFFLINE,
    }
)
"""Reasons that stop a job until somebody helps. Their severity does not tell: ippeveprinter
has only warnings while it waits for paper in the middle of a job."""


def reasons_of(keywords: Iterable[str]) -> set[Reason]:
    """Translate printer-state-reasons; unknown ones are left out."""
    found = set()
    for name in keywords:
        for severity in _SEVERITIES:
            name = name.removesuffix(severity)  # noqa: PLW2901  (one word, cut in steps)
        if name in _REASONS:
            found.add(_REASONS[name])
    return found
