"""What a press on the resident's page means to the visit."""

from __future__ import annotations

from typing import Final

from kioskd.hal.scanner import ScanSettings
from kioskd.screen import messages as screen
from kioskd.signalling.messages import new_id
from kioskd.visit import events as ev
from kioskd.visit.events import Event
from kioskd.visit.state import HiddenPart, Media


def event_of(action: screen.Action) -> Event | None:
    """Return the event of a press; None for one that is not the visit's (volume, a key frame)."""
    match action:
        case screen.SetLanguage(language=language):
            return ev.Speak(language)
        case screen.RemovePage(page=page):
            return ev.ScanRemove(page)
        case screen.HidePart(page=page, area=area):
            return ev.ScanHide(HiddenPart(page, area.x, area.y, area.width, area.height))
        case screen.ShowPage(page=page):
            return ev.ScanShow(page)
        case screen.SetMedia(audio=audio, video=video):
            return ev.OwnMedia(Media(audio, video))
        case screen.Plain(action="scan-offer"):
            return ev.ScanAsked(new_id(), ScanSettings(), by_agent=False)
        case screen.Plain(action=name) if name != "keyframe":
            return _PLAIN[name]
    return None


_PLAIN: Final[dict[str, Event]] = {
    "hang-up": ev.End(),
    "back": ev.Back(),
    "scan-start": ev.ScanStart(),
    "scan-more": ev.ScanStart(),
    "scan-decline": ev.ScanDecline(),
    "scan-send": ev.ScanSend(),
    "scan-close": ev.ScanClose(),
    "print-accept": ev.PrintAccept(),
    "print-decline": ev.PrintDecline(),
    "print-close": ev.PrintClose(),
}
