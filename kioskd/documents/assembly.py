"""Assembly: pictures of pages become one PDF, without being coded again."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from kioskd.errors import DocumentError, DocumentFault


def assemble(pages: Sequence[Path | bytes], title: str = "") -> bytes:
    """Return one PDF of these JPEG files, or what they hold; as `assemble_into`."""
    file = io.BytesIO()
    assemble_into(file, pages, title)
    return file.getvalue()


def assemble_into(file: BinaryIO, pages: Sequence[Path | bytes], title: str = "") -> None:
    """Write one PDF of these JPEG files, each on an A4 page, upright or across.

    The JPEG data are copied as they are. A picture has its true size, from its dpi, and
    is made smaller where it is larger than the paper. The PDF names no date and no
    program, so that the same pages always give the same bytes. Raises DocumentError
    EMPTY without pages, BROKEN for a file that is no picture; OSError when a page cannot
    be read or the file not be written. Blocks: call it from a thread.
    """
    import img2pdf

    if not pages:
        raise DocumentError(DocumentFault.EMPTY)
    a4 = (img2pdf.mm_to_pt(210), img2pdf.mm_to_pt(297))
    layout = img2pdf.get_layout_fun(a4, fit=img2pdf.FitMode.shrink, auto_orient=True)
    try:
        img2pdf.convert(
            list(pages),
            outputstream=file,
            engine=img2pdf.Engine.internal,
            layout_fun=layout,
            rotation=img2pdf.Rotation.ifvalid,
            title=title or None,
            nodate=True,
        )
    except (img2pdf.ImageOpenError, img2pdf.JpegColorspaceError) as error:
        raise DocumentError(DocumentFault.BROKEN, str(error)) from error
