"""All drivers: one union of configurations per kind, told apart by `driver`.

To add a driver: a module beside the others with a configuration that has `build()`,
one line here, one parameter in the contract tests.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from drivers.camera.fake import FakeCameraConfig
from drivers.camera.none import NoCameraConfig
from drivers.camera.v4l2 import V4l2CameraConfig
from drivers.microphone.fake import FakeMicrophoneConfig
from drivers.microphone.none import NoMicrophoneConfig
from drivers.microphone.pipewire import PipewireMicrophoneConfig
from drivers.panel.fake import FakePanelConfig
from drivers.panel.none import NoPanelConfig
from drivers.panel.serial_panel import SerialPanelConfig
from drivers.printer.cups_printer import CupsPrinterConfig
from drivers.printer.fake import FakePrinterConfig
from drivers.printer.none import NoPrinterConfig
from drivers.scanner.fake import FakeScannerConfig
from drivers.scanner.none import NoScannerConfig
from drivers.scanner.sane_scanner import SaneScannerConfig
from drivers.speaker.fake import FakeSpeakerConfig
from drivers.speaker.none import NoSpeakerConfig
from drivers.speaker.pipewire import PipewireSpeakerConfig

_tag = Field(discriminator="driver")

CameraConfig = Annotated[V4l2CameraConfig | FakeCameraConfig | NoCameraConfig, _tag]
MicrophoneConfig = Annotated[
    PipewireMicrophoneConfig | FakeMicrophoneConfig | NoMicrophoneConfig, _tag
]
SpeakerConfig = Annotated[PipewireSpeakerConfig | FakeSpeakerConfig | NoSpeakerConfig, _tag]
ScannerConfig = Annotated[SaneScannerConfig | FakeScannerConfig | NoScannerConfig, _tag]
PrinterConfig = Annotated[CupsPrinterConfig | FakePrinterConfig | NoPrinterConfig, _tag]
PanelConfig = Annotated[SerialPanelConfig | FakePanelConfig | NoPanelConfig, _tag]
