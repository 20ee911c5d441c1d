"""What the screen shows, derived from the visit and the state of the kiosk."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from kioskd.call.control import DeviceReport
from kioskd.hal.trial import Trial
from kioskd.screen.messages import (
    EndView,
    PagePicture,
    PrintView,
    ScanView,
    ServiceView,
    View,
)
from kioskd.services import Service
from kioskd.visit.state import HiddenPart, Print, Scan, Visit
from kioskd.visit.words import EndReason, LineQuality, PrintStage, Scene


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the screen shows beside the visit. `now` is monotonic, `today` the clock's."""

    kiosk: str
    services: tuple[Service, ...]
    devices: list[DeviceReport]
    online: bool
    place: int | None
    volume: float
    sensors_open: bool
    testing: Trial | None
    maintenance: bool
    scan_button: bool
    now: float
    today: datetime


def service_views(services: tuple[Service, ...], today: datetime) -> list[ServiceView]:
    """Return the buttons."""
    return [
        ServiceView(
            id=one.id,
            name=one.name,
            description=one.description,
            colour=one.colour,
            icon=one.icon,
            open=one.is_open(today),
            opens=None if one.is_open(today) else one.next_opening(today),
        )
        for one in services
    ]


def build(visit: Visit, around: Surroundings) -> View:
    """Return the whole view."""
    waiting = visit.scene in (Scene.WAITING, Scene.CONNECTING)
    talking = visit.talking_since is not None
    return View(
        scene=visit.scene,
        kiosk=around.kiosk,
        language=visit.language,
        online=around.online,
        services=service_views(around.services, around.today),
        service=visit.service or None,
        place=around.place if visit.scene is Scene.WAITING else None,
        waited_s=around.now - visit.waiting_since if waiting else 0,
        agent=visit.agent.name if visit.agent else None,
        organisation=visit.agent.organisation or None if visit.agent else None,
        refused=visit.refused if visit.scene is Scene.WAITING else None,
        agent_media={"audio": visit.agent_media.audio, "video": visit.agent_media.video},
        call_s=around.now - visit.talking_since if visit.talking_since is not None else 0,
        line=visit.line,
        bars=0 if visit.line is LineQuality.LOST else visit.bars,
        microphone_on=around.sensors_open and visit.own_media.audio,
        camera_on=around.sensors_open and visit.own_media.video,
        volume=around.volume,
        testing=around.testing,
        maintenance=around.maintenance,
        devices=around.devices,
        scan=_scan(visit.scan, around) if visit.scan and talking else None,
        print=_print(visit.print) if visit.print and talking else None,
        end=_end(visit),
    )


def _scan(scan: Scan, around: Surroundings) -> ScanView:
    return ScanView(
        stage=scan.stage,
        requested_by_agent=scan.by_agent,
        pages=[_page(number, scan.hidden) for number in scan.pages],
        done=scan.done,
        reason=scan.reason,
        button=around.scan_button and scan.stage.awaits_press,
    )


def _page(number: int, hidden: tuple[HiddenPart, ...]) -> PagePicture:
    parts = sum(part.page == number for part in hidden)
    # The address names what is hidden: the page shows the picture anew when that changes.
    return PagePicture(number=number, url=f"pages/scan/{number}.jpg?{parts}", hidden=parts)


def _print(job: Print) -> PrintView:
    # The pictures exist once the document is vetted, and no longer than it is of use.
    seen = job.stage in (PrintStage.ASKING, PrintStage.PRINTING, PrintStage.HELD, PrintStage.FAILED)
    pages = range(1, job.pages + 1) if seen else ()
    return PrintView(
        stage=job.stage,
        name=job.name,
        pages=[PagePicture(number=n, url=f"pages/print/{n}.jpg") for n in pages],
        printed=job.printed,
        reasons=list(job.reasons),
    )


def _end(visit: Visit) -> EndView | None:
    if visit.scene is not Scene.ENDED:
        return None
    return EndView(
        reason=visit.end_reason or EndReason.HANG_UP,
        seconds=round(visit.talked_s),
        pages_sent=visit.pages_sent,
        pages_printed=visit.pages_printed,
    )
