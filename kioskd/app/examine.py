"""From a configuration, sound or not, to what doctor examines."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from pydantic import ValidationError

import kioskd
from drivers.microphone.pipewire import PipewireMicrophoneConfig
from drivers.printer.cups_printer import CupsPrinterConfig
from drivers.speaker.pipewire import PipewireSpeakerConfig
from kioskd.app.broker import broker_address
from kioskd.app.identity import identity_of
from kioskd.diagnostics.doctor import Subject
from kioskd.diagnostics.findings import Found, Trouble, trouble
from kioskd.errors import SettingsError
from kioskd.hal.device import Device
from kioskd.runtime.starts import FILE
from kioskd.settings import ControlSettings, Settings, load, read_toml
from kioskd.signalling.link import BrokerAddress

SOUND: Final = Path("/run/kioskd-sound/native")
"""Where the kiosk's sound server listens: systemd/kioskd.service."""
SOON: Final = timedelta(days=30)
"""How long before its end a credential is spoken of."""
_WRITTEN: Final = (
    Path(kioskd.__file__),
    Path("/var/lib/systemd/timesync/clock"),  # touched now and then: systemd-timesyncd(8)
)


def subject(config: Path) -> tuple[Subject, Settings | None]:
    """Return what is to be examined; with settings that are wrong, that and the rest."""
    try:
        settings = load(config)
    except SettingsError as error:
        refused = isinstance(error.__cause__, PermissionError)
        what = Trouble.NOT_ALLOWED if refused else Trouble.SETTINGS
        known = tuple(trouble(what, fault) for fault in error.faults)
        return Subject(control=_control(config), known=known, files=_WRITTEN), None
    return _whole(config, settings), settings


def _control(config: Path) -> Path:
    """Return the control socket of a configuration that is wrong, perhaps elsewhere."""
    try:
        return ControlSettings.model_validate(read_toml(config).get("control", {})).socket
    except (SettingsError, ValidationError):
        return ControlSettings().socket


def _whole(config: Path, settings: Settings) -> Subject:
    broker: BrokerAddress | None = None
    known: list[Found] = []
    try:
        broker = broker_address(settings.kiosk.id, settings.broker)
    except SettingsError as error:
        known += [trouble(Trouble.SETTINGS, fault) for fault in error.faults]
    known += _identity(settings)
    sound = isinstance(settings.microphone, PipewireMicrophoneConfig) or isinstance(
        settings.speaker, PipewireSpeakerConfig
    )
    reached = not sound or _reach_sound_server()
    if not reached:
        known.append(trouble(Trouble.NOT_ALLOWED, f"{SOUND}: permission denied"))
    printer = settings.printer
    return Subject(
        control=settings.control.socket,
        known=tuple(known),
        kiosk=settings.kiosk.id,
        broker=broker,
        certificate=settings.broker.certificate if settings.broker.tls else None,
        screen_port=settings.screen.port,
        spool=settings.documents.spool,
        state=settings.state.folder,
        sound=sound and reached,
        print_server=printer.server if isinstance(printer, CupsPrinterConfig) else None,
        devices=lambda: _devices(settings, heard=reached),
        files=(*_WRITTEN, config, settings.state.folder / FILE, settings.documents.spool),
    )


def _identity(settings: Settings) -> list[Found]:
    """Tell whether the kiosk can prove who it is, and for how long."""
    try:
        identity = identity_of(settings)
    except SettingsError as error:
        refused = isinstance(error.__cause__, PermissionError)
        what = Trouble.NOT_ALLOWED if refused else Trouble.IDENTITY
        return [trouble(what, fault) for fault in error.faults]
    if identity is None:
        return []  # the daemon says so
    until = datetime.fromtimestamp(identity.expires, UTC)
    left = until - datetime.now(UTC)
    if left > SOON:
        return []
    what = Trouble.EXPIRES_SOON if left > timedelta() else Trouble.IDENTITY
    return [trouble(what, f"{settings.identity.credential}: {until:%Y-%m-%d}")]


def _reach_sound_server() -> bool:
    """Let this process find the sound server that the daemon uses; False where we may not."""
    if os.environ.get("PULSE_SERVER") or not SOUND.parent.exists():
        return True  # found as every client of PulseAudio finds it
    if not os.access(SOUND.parent, os.X_OK):
        return False
    os.environ["PULSE_SERVER"] = f"unix:{SOUND}"
    return True


def _devices(settings: Settings, *, heard: bool) -> list[Device]:
    audible = [settings.microphone.build(), settings.speaker.build()] if heard else []
    return [
        settings.camera.build(),
        *audible,
        settings.scanner.build(),
        settings.printer.build(),
        settings.panel.build(),
    ]
