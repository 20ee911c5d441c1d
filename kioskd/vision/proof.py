"""The proof page: printed by a test, laid on the scanner, and known again.

Four markers (ArUco) give its place on the scan, a QR code and large letters its code: no page of
another day passes for it. Everything between the markers is compared with what was printed.
"""

from __future__ import annotations

import math
import secrets
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Grey: TypeAlias = NDArray[np.uint8]

ALPHABET: Final = "ACDEFGHJKLMNPQRTUVWXY34679"
"""Letters and digits that nobody takes for another when they are read aloud."""
CODE_LENGTH: Final = 6
PREFIX: Final = "kioskd-proof:"
A4_MM: Final = (210, 297)
DPI: Final = 300
LOOK_DPI: Final = 100
"""Enough for a module of the QR code (1.6 mm), and quick."""
_MARKER_MM: Final = 16
_MARGIN_MM: Final = 20
_QUIET: Final = 4
"""White modules around a QR code: ISO/IEC 18004, 9.1."""
_DICTIONARY: Final = cv2.aruco.DICT_4X4_50
_INSIDE_MM: Final = (38, 45, 172, 250)
"""What is compared: left, top, right, bottom. The footer, which tells the time, is below it."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a scan shows of a proof page; `code` is None where none is on it.

    `likeness` is the correlation with the page of that code, -1 to 1; `tilt_deg` how askew it
    lay; `scale` how large it came out, 1.0 for true. All 0 where the markers were not found.
    """

    code: str | None
    likeness: float = 0.0
    tilt_deg: float = 0.0
    scale: float = 0.0


def new_code() -> str:
    """Return a code that no other page bears."""
    return "".join(secrets.choice(ALPHABET) for _ in range(CODE_LENGTH))


def draw(code: str, footer: str = "", dpi: int = DPI) -> Grey:
    """Return the page, A4 upright, black on white; `footer` is in ASCII."""
    unit = dpi / 25.4
    size = (round(A4_MM[0] * unit), round(A4_MM[1] * unit))
    page = Image.new("L", size, 255)
    pen = ImageDraw.Draw(page)

    def box(left: float, top: float, right: float, bottom: float, fill: int) -> None:
        pen.rectangle([round(side * unit) for side in (left, top, right, bottom)], fill=fill)

    def text(x: float, y: float, words: str, height_mm: float, anchor: str = "mm") -> None:
        font = ImageFont.load_default(size=height_mm * unit)
        pen.text((x * unit, y * unit), words, fill=0, font=font, anchor=anchor)

    for number, (left, top) in enumerate(_places()):
        side = round(_MARKER_MM * unit)
        marker = cv2.aruco.generateImageMarker(_dictionary(), number, side)
        page.paste(Image.fromarray(marker), (round(left * unit), round(top * unit)))
    text(A4_MM[0] / 2, 28, "kioskd", 12)
    page.paste(_qr(PREFIX + code, round(72 * unit)), (round(69 * unit), round(48 * unit)))
    text(A4_MM[0] / 2, 142, code, 26)
    for step in range(9):  # greys, from black to white
        box(42 + step * 14, 168, 56 + step * 14, 184, round(step * 255 / 8))
    for step in range(12):  # lines that get finer
        width, left = 1.6 / (step + 1), 44 + step * 10.5
        for line in range(3):
            box(left + 2 * line * width, 196, left + (2 * line + 1) * width, 216, 0)
    for step in range(6):  # text that gets smaller
        height = 6 - 0.8 * step
        text(42, 224 + step * 5.2, "Portez ce vieux whisky 0123456789", height * 0.8, "ls")
    text(A4_MM[0] / 2, 282, footer, 4)
    return np.asarray(page, np.uint8)


def read(scan: Grey, dpi: int) -> Reading:
    """Look for a proof page on a scan. Takes about a second: call it from a thread."""
    share = LOOK_DPI / dpi
    small = cv2.resize(scan, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
    code = _code(np.asarray(small, np.uint8))
    placed = _placed(np.asarray(small, np.uint8))
    if code is None or placed is None:
        return Reading(code)
    straight, tilt, scale = placed
    return Reading(code, _likeness(straight, draw(code, dpi=LOOK_DPI)), tilt, scale)


def contrast(scan: Grey) -> float:
    """Return how much there is to see, 0 for one colour: the standard deviation of its grey."""
    return float(np.std(scan))


def _places() -> list[tuple[float, float]]:
    """Return the left upper corner of each marker in mm."""
    right, bottom = A4_MM[0] - _MARGIN_MM - _MARKER_MM, A4_MM[1] - 2 * _MARGIN_MM - _MARKER_MM
    return [(_MARGIN_MM, _MARGIN_MM), (right, _MARGIN_MM), (_MARGIN_MM, bottom), (right, bottom)]


def _dictionary() -> cv2.aruco.Dictionary:
    return cv2.aruco.getPredefinedDictionary(_DICTIONARY)


def _qr(words: str, side: int) -> Image.Image:
    modules = cv2.QRCodeEncoder.create().encode(words)
    modules = cv2.copyMakeBorder(
        modules, _QUIET, _QUIET, _QUIET, _QUIET, cv2.BORDER_CONSTANT, value=(255,)
    )
    return Image.fromarray(np.asarray(modules, np.uint8)).resize(
        (side, side), Image.Resampling.NEAREST
    )


def _code(small: Grey) -> str | None:
    for turned in (small, *(cv2.rotate(small, way) for way in _TURNS)):
        words = cv2.QRCodeDetector().detectAndDecode(np.asarray(turned, np.uint8))[0]
        if words.startswith(PREFIX):
            return words.removeprefix(PREFIX)
    return None


_TURNS: Final = (cv2.ROTATE_180, cv2.ROTATE_90_CLOCKWISE, cv2.ROTATE_90_COUNTERCLOCKWISE)


def _placed(small: Grey) -> tuple[Grey, float, float] | None:
    """Return the page as it would lie straight, how askew it lies in degrees, and its scale."""
    detector = cv2.aruco.ArucoDetector(_dictionary(), cv2.aruco.DetectorParameters())
    corners, ids, _ = detector.detectMarkers(small)
    if ids is None or len(ids) < 2:
        return None
    unit = LOOK_DPI / 25.4
    seen, meant = [], []
    for number, four in zip(np.ravel(ids), corners, strict=True):
        if number >= len(_places()):
            continue
        left, top = _places()[int(number)]
        side = _MARKER_MM
        square = ((left, top), (left + side, top), (left + side, top + side), (left, top + side))
        seen += list(np.reshape(four, (4, 2)))
        meant += [(x * unit, y * unit) for x, y in square]
    if not seen:
        return None
    # A scan turns, moves and scales a page, and does nothing else to it.
    found = cv2.estimateAffinePartial2D(np.array(seen), np.array(meant, np.float32))
    move: Any = found[0]  # none where the markers are in one place
    if move is None:
        return None
    size = (round(A4_MM[0] * unit), round(A4_MM[1] * unit))
    straight = cv2.warpAffine(small, move, size, borderMode=cv2.BORDER_CONSTANT, borderValue=(255,))
    scale = 1 / math.hypot(move[0, 0], move[1, 0])
    return np.asarray(straight, np.uint8), math.degrees(math.atan2(move[1, 0], move[0, 0])), scale


def _likeness(one: Grey, other: Grey) -> float:
    unit = LOOK_DPI / 25.4
    left, top, right, bottom = (round(side * unit) for side in _INSIDE_MM)
    parts = [
        cv2.GaussianBlur(page[top:bottom, left:right].astype(np.float32), (5, 5), 0)
        for page in (one, other)
    ]
    a, b = (part - part.mean() for part in parts)
    norm = float(np.linalg.norm(a)) * float(np.linalg.norm(b))
    return float(np.sum(a * b)) / norm if norm else 0.0
