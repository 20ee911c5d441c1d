"""What the agent is told of a visit, as messages of the control channel."""

from __future__ import annotations

from kioskd.call import control
from kioskd.settings import KioskSettings
from kioskd.visit.state import Media, Print, Scan, Visit


def hello(
    kiosk: KioskSettings, visit: Visit, devices: list[control.DeviceReport]
) -> list[control.ToAgent]:
    """Return what is said first on a leg: a later one finds papers under way."""
    papers: list[control.ToAgent] = []
    if visit.scan is not None:
        papers.append(scan(visit.scan))
    if visit.print is not None:
        papers.append(job(visit.print))
    return [
        control.Hello(
            kiosk=kiosk.id,
            name=kiosk.name,
            town=kiosk.town,
            service=visit.service,
            language=visit.language,
        ),
        control.Devices(devices=devices),
        media(visit.own_media),
        *papers,
    ]


def media(own: Media) -> control.Media:
    """Return whether the resident's microphone and camera are on."""
    return control.Media(audio=own.audio, video=own.video)


def scan(paper: Scan) -> control.ScanStatus:
    """Return where the resident's paper is."""
    return control.ScanStatus(
        request=paper.request,
        stage=paper.stage,
        pages=len(paper.pages),
        done=paper.done,
        reason=paper.reason,
    )


def job(paper: Print) -> control.PrintStatus:
    """Return where the agent's document is."""
    return control.PrintStatus(
        document=paper.document,
        stage=paper.stage,
        pages=paper.pages,
        printed=paper.printed,
        reasons=list(paper.reasons),
    )
