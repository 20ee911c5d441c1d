"""The worker's side of vetting: opens what may be hostile, and makes pictures of it.

It runs in a process of its own, with hard limits on memory and time, without network,
other files than its own, or system calls for more, and serves one document.
"""

from __future__ import annotations

import errno
import math
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kioskd.documents.assembly import assemble_into
from kioskd.documents.confinement import forbid_calls, keep_only_files, leave_network
from kioskd.documents.spool import create_private
from kioskd.errors import DocumentError, DocumentFault

if TYPE_CHECKING:
    from kioskd.runtime.worker_main import Context

PAGES_LIMIT: Final = 50
PAGE_LIMIT_PT: Final = 1200.0
"""Longest side of a page in points: A3 is 1191."""
DPI: Final = 300
QUALITY: Final = 90
IMAGE_LIMIT_PIXELS: Final = 100_000_000
"""A picture inside a page: A3 at 600 dpi has 70 million."""
PICTURES_LIMIT: Final = 192 * 1024 * 1024
"""Bytes of all pages' pictures; the printable is as large again."""

_MEMORY_LIMIT: Final = 1536 * 1024 * 1024
_CPU_LIMIT_S: Final = 60
_FILES_LIMIT: Final = 32
_NEAR: Final = 1024
"""Bytes at a file's start and end in which the marks of a PDF are looked for."""


def picture_name(number: int) -> str:
    """Return the name of a page's picture; `number` counts from 1."""
    return f"page-{number:04}.jpg"


PRINTABLE_NAME: Final = "printable.pdf"


class VettingWorker:
    """Vets the document `source` into `folder`. Confines its process for good when it is made.

    Its event `unconfined` names what this kernel did not let it give up.
    """

    def __init__(self, context: Context, source: str, folder: str) -> None:
        self._context = context
        self._source = source
        self._folder = Path(folder)
        import pypdfium2

        self._pdfium = pypdfium2
        given_up = {
            "network": leave_network(),
            "calls": forbid_calls(),  # before the files: it has libseccomp to look for
            "files": keep_only_files(Path(source), self._folder),
        }
        context.event({"unconfined": [name for name, done in given_up.items() if not done]})
        _limit(resource.RLIMIT_AS, _MEMORY_LIMIT)
        _limit(resource.RLIMIT_CPU, _CPU_LIMIT_S)
        _limit(resource.RLIMIT_FSIZE, PICTURES_LIMIT + (1 << 20))
        _limit(resource.RLIMIT_CORE, 0)
        _limit(resource.RLIMIT_NOFILE, _FILES_LIMIT)

    def ready(self) -> None:
        """Do nothing: answers once the process is up and confined."""

    def vet(self) -> int:
        """Write the pages' pictures and the printable; return how many pages.

        Progress is [page, pages] after each page. Raises DocumentError.
        """
        _check_marks(Path(self._source))
        with _faults(self._pdfium.PdfiumError), self._open(self._source) as document:
            count = self._check_pages(document)
            pictures: list[Path] = []
            total = 0
            for number in range(1, count + 1):
                if self._context.cancelled:
                    raise DocumentError(DocumentFault.CANCELLED)
                picture = self._folder / picture_name(number)
                self._rasterise(document, number - 1, picture)
                pictures.append(picture)
                total += picture.stat().st_size
                if total > PICTURES_LIMIT:
                    raise DocumentError(DocumentFault.TOO_LARGE, f"{total} bytes of pictures")
                self._context.progress([number, count])
            with os.fdopen(create_private(self._folder / PRINTABLE_NAME), "wb") as printable:
                assemble_into(printable, pictures)
        return count

    def _open(self, source: str) -> Any:
        pdfium = self._pdfium
        try:
            document = pdfium.PdfDocument(source)
        except pdfium.PdfiumError as error:
            faults = {
                pdfium.raw.FPDF_ERR_PASSWORD: DocumentFault.ENCRYPTED,
                pdfium.raw.FPDF_ERR_SECURITY: DocumentFault.ENCRYPTED,
                # So PDFium says that it has read a document and found no page in it.
                pdfium.raw.FPDF_ERR_SUCCESS: DocumentFault.EMPTY,
            }
            fault = faults.get(error.err_code, DocumentFault.BROKEN)
            raise DocumentError(fault, str(error)) from error
        # Its only page says "Please wait": the form itself is a program, which nothing here runs.
        if document.get_formtype() == pdfium.raw.FORMTYPE_XFA_FULL:
            raise DocumentError(DocumentFault.WRONG_TYPE, "XFA")
        document.init_forms()
        return document

    def _check_pages(self, document: Any) -> int:
        count = len(document)
        if count == 0:
            raise DocumentError(DocumentFault.EMPTY)
        if count > PAGES_LIMIT:
            raise DocumentError(DocumentFault.TOO_MANY_PAGES, str(count))
        for index in range(count):
            # Written so that NaN is too large as well.
            if not all(0 < side <= PAGE_LIMIT_PT for side in document.get_page_size(index)):
                raise DocumentError(DocumentFault.PAGE_TOO_LARGE, f"page {index + 1}")
        return count

    def _rasterise(self, document: Any, index: int, picture: Path) -> None:
        page = document[index]
        for image in page.get_objects(filter=[self._pdfium.raw.FPDF_PAGEOBJ_IMAGE]):
            if math.prod(image.get_px_size()) > IMAGE_LIMIT_PIXELS:
                raise DocumentError(DocumentFault.PAGE_TOO_LARGE, f"a picture of page {index + 1}")
        bitmap = page.render(scale=DPI / 72, may_draw_forms=True)
        pixels = bitmap.to_pil().convert("RGB")
        bitmap.close()
        page.close()
        if _is_grey(pixels):
            pixels = pixels.convert("L")
        with os.fdopen(create_private(picture), "wb") as file:
            pixels.save(file, "JPEG", quality=QUALITY, dpi=(DPI, DPI))


def _is_grey(pixels: Any) -> bool:
    from PIL import ImageChops

    red, green, blue = pixels.split()
    return not (
        ImageChops.difference(red, green).getbbox() or ImageChops.difference(green, blue).getbbox()
    )


def _check_marks(source: Path) -> None:
    with source.open("rb") as file:
        start = file.read(_NEAR)
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _NEAR))
        end = file.read()
    if b"%PDF-" not in start:
        raise DocumentError(DocumentFault.WRONG_TYPE)
    # PDFium repairs a truncated file and silently leaves out what is lost.
    if b"%%EOF" not in end:
        raise DocumentError(DocumentFault.BROKEN, "the end is missing")


@contextmanager
def _faults(broken: type[Exception]) -> Iterator[None]:
    try:
        yield
    except broken as error:
        raise DocumentError(DocumentFault.BROKEN, str(error)) from error
    except MemoryError as error:
        raise DocumentError(DocumentFault.TOO_LARGE, "memory") from error
    except OSError as error:
        if error.errno == errno.EFBIG:
            raise DocumentError(DocumentFault.TOO_LARGE, str(error)) from error
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DocumentError(DocumentFault.NO_SPACE, str(error)) from error
        raise


def _limit(what: int, value: int) -> None:
    hard = resource.getrlimit(what)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(what, (value, value))
