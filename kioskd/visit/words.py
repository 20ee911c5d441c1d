"""The stages and reasons of a visit, one spelling for screen, agent and log."""

from __future__ import annotations

from enum import StrEnum


class Scene(StrEnum):
    """Where a visit is. CHOOSING is also the rest between two visits."""

    CHOOSING = "choosing"
    CLOSED = "closed"
    WAITING = "waiting"
    CONNECTING = "connecting"
    TALKING = "talking"
    ENDED = "ended"


class EndReason(StrEnum):
    """Why a call ended."""

    HANG_UP = "hang-up"
    NO_ANSWER = "no-answer"
    LOST = "lost"
    TIME_LIMIT = "time-limit"
    KIOSK_STOPPED = "kiosk-stopped"
    FAILED = "failed"
    NOT_VERIFIED = "not-verified"


class LineQuality(StrEnum):
    """How good the line is, as the resident is told."""

    GOOD = "good"
    POOR = "poor"
    LOST = "lost"


class ScanStage(StrEnum):
    """How far a scan is."""

    ASKING = "asking"
    DECLINED = "declined"
    SCANNING = "scanning"
    PREVIEW = "preview"
    SENDING = "sending"
    SENT = "sent"
    CANCELLED = "cancelled"
    FAILED = "failed"

    @property
    def over(self) -> bool:
        """True when nothing more happens with this scan."""
        return self in (self.DECLINED, self.SENT, self.CANCELLED, self.FAILED)

    @property
    def awaits_press(self) -> bool:
        """True while the resident's press on Scan starts the next page."""
        return self in (self.ASKING, self.PREVIEW, self.FAILED)


class PrintStage(StrEnum):
    """Where the agent's document is; HELD waits for paper or the like."""

    CHECKING = "checking"
    ASKING = "asking"
    DECLINED = "declined"
    PRINTING = "printing"
    HELD = "held"
    PRINTED = "printed"
    CANCELLED = "cancelled"
    FAILED = "failed"

    @property
    def over(self) -> bool:
        """True when nothing more happens with this document."""
        return self in (self.DECLINED, self.PRINTED, self.CANCELLED, self.FAILED)

    @property
    def at_printer(self) -> bool:
        """True while the printer has a job of it."""
        return self in (self.PRINTING, self.HELD)
