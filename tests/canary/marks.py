"""What is searched for: the words of a visit, and its pictures, in any form they could be kept."""

from __future__ import annotations

import base64
import io
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import img2pdf
import numpy as np
import pikepdf
from PIL import Image

Codings = dict[str, bytes]

PIECE_BYTES: Final = 48
"""A piece of a file or of a row of pixels: two of that length are never alike by chance."""
PAPER: Final = (960, 320)
_ROW_PIXELS: Final = 48


def words(mark: str) -> Codings:
    """Return the bytes by which a text could be kept."""
    plain = mark.encode()
    found = {
        "utf-8": plain,
        "utf-16-le": mark.encode("utf-16-le"),
        "utf-32-le": mark.encode("utf-32-le"),
        "hex": plain.hex().encode(),
    }
    for shift in range(3):
        # What base64 makes of it depends on where it stands; the ends depend on its neighbours.
        coded = base64.b64encode(bytes(shift) + plain)
        found[f"base64+{shift}"] = coded[(4 if shift else 0) : -4]
    return found


def paper() -> Image.Image:
    """Return a paper that nobody has had before: noise, of which no row is like another."""
    width, height = PAPER
    noise = np.frombuffer(secrets.token_bytes(width * height // 64), np.uint8) // 2 + 64
    small = Image.fromarray(noise.reshape(height // 8, width // 8))
    return small.resize(PAPER, Image.Resampling.BICUBIC)


def add_paper(document: Path) -> None:
    """Lay such a paper onto the first page of a PDF."""
    picture = io.BytesIO()
    paper().save(picture, "PNG")
    page = img2pdf.convert(picture.getvalue(), nodate=True)
    assert page is not None
    with (
        pikepdf.open(document, allow_overwriting_input=True) as pdf,
        pikepdf.open(io.BytesIO(page)) as more,
    ):
        pdf.pages[0].add_overlay(more.pages[0], pikepdf.Rectangle(50, 50, 550, 550))
        pdf.save()


def pictures(files: Iterable[tuple[str, bytes]]) -> Codings:
    """Return pieces of documents, each with its name: of their bytes, and of their pixels."""
    found: Codings = {}
    for name, data in files:
        found[f"bytes of {name}"] = _piece(data)
        if data.startswith(b"\xff\xd8"):
            for coding, row in _rows(data).items():
                found[f"{coding} pixels of {name}"] = row
    return found


def _piece(data: bytes) -> bytes:
    """Return a piece of a file's middle that is noise, as what is compressed is."""
    start = len(data) // 2
    for at in range(start, len(data) - PIECE_BYTES, PIECE_BYTES):
        if len(set(data[at : at + PIECE_BYTES])) > PIECE_BYTES // 2:
            return data[at : at + PIECE_BYTES]
    raise AssertionError("a document without a piece that is its own")


def _rows(jpeg: bytes) -> Codings:
    """Return the pixels of the piece of a row that has most shades."""
    with Image.open(io.BytesIO(jpeg)) as picture:
        grey = np.asarray(picture.convert("L"))
        colours = np.asarray(picture.convert("RGB"))
    parts = grey[:, : grey.shape[1] // _ROW_PIXELS * _ROW_PIXELS]
    parts = np.sort(parts.reshape(grey.shape[0], -1, _ROW_PIXELS), axis=2)
    shades = (parts[:, :, 1:] != parts[:, :, :-1]).sum(axis=2)
    row, part = np.unravel_index(shades.argmax(), shades.shape)
    piece = np.s_[row, part * _ROW_PIXELS : (part + 1) * _ROW_PIXELS]
    rgb = colours[piece]
    opaque = np.full((_ROW_PIXELS, 1), 255, np.uint8)
    found = {"rgb": rgb.tobytes(), "rgba": np.hstack((rgb, opaque)).tobytes()}
    if (rgb == rgb[:, :1]).all():
        found["grey"] = grey[piece].tobytes()
    else:
        found |= {
            "bgr": rgb[:, ::-1].tobytes(),
            "bgra": np.hstack((rgb[:, ::-1], opaque)).tobytes(),
        }
    assert all(len(set(one)) > _ROW_PIXELS // 4 for one in found.values()), "a paper without marks"
    return found
