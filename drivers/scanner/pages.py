"""Scanned pixels to the file of a page."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from PIL import Image

QUALITY: Final = 90
"""JPEG quality: print stays crisp, an A4 page in colour at 300 dpi stays below 2 MB."""
A4_MM: Final = (210.0, 297.0)


def page_path(folder: Path, number: int) -> Path:
    """Return where page `number` goes, counted from 1."""
    return folder / f"page-{number:04d}.jpg"


def write_page(picture: Image.Image, path: Path, dpi: int) -> None:
    """Write a JPEG of mode 0600, whole or not at all. Raises OSError."""
    partial = path.with_suffix(".part")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as target:
            picture.save(target, "JPEG", quality=QUALITY, dpi=(dpi, dpi))
        partial.rename(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
