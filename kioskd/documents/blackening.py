"""Blackening: parts of a page that the resident does not want to be seen."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path

from kioskd.errors import DocumentError, DocumentFault

Part = tuple[float, float, float, float]
"""Left, top, width and height, as fractions of the page from 0 to 1."""


def blacken(page: Path, parts: Iterable[Part]) -> bytes:
    """Return the JPEG file `page` coded again, with `parts` black.

    The tables of the original are kept, and of its metadata nothing but the resolution: they
    may hold a small picture of the whole page. Raises DocumentError BROKEN for what is no
    JPEG, OSError when the page cannot be read. Blocks: call it from a thread.
    """
    from PIL import Image, ImageDraw, UnidentifiedImageError

    blackened = io.BytesIO()
    try:
        with Image.open(page, formats=["JPEG"]) as picture:
            draw = ImageDraw.Draw(picture)
            for x, y, width, height in parts:
                left, top = int(x * picture.width), int(y * picture.height)
                right, bottom = (x + width) * picture.width, (y + height) * picture.height
                draw.rectangle((left, top, int(right), int(bottom)), fill="black")
            kept = {key: picture.info[key] for key in ("dpi",) if key in picture.info}
            picture.info.clear()  # it would bring a comment along
            picture.save(blackened, "JPEG", quality="keep", **kept)
    except UnidentifiedImageError as error:
        raise DocumentError(DocumentFault.BROKEN, str(error)) from error
    return blackened.getvalue()
