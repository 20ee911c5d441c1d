"""What a technician can try: each device, and what they are for together."""

from __future__ import annotations

from enum import StrEnum


class Trial(StrEnum):
    """In the order in which all are tried: a page is printed before one is scanned."""

    CAMERA = "camera"
    MICROPHONE = "microphone"
    SPEAKER = "speaker"
    PANEL = "panel"
    PRINTER = "printer"
    SCANNER = "scanner"
    NETWORK = "network"
    CALL = "call"
