"""Hostile documents, each made here, and what vetting is to say of it. Nothing is downloaded."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import pikepdf
from pikepdf import Array, Dictionary, Encryption, Name, Pdf
from PIL import Image

from kioskd.errors import DocumentFault

A4: Final = (595, 842)
PRINTED: Final = None
"""It becomes pictures: whatever was in it to run or to follow is not in them."""


@dataclass(frozen=True, slots=True)
class Hostile:
    """A document, and the faults that may be found in it; PRINTED among them where it may pass."""

    make: Callable[[], bytes]
    faults: tuple[DocumentFault | None, ...]


def raw_pdf(*objects: bytes, root: int = 1, trailer: bytes = b"") -> bytes:
    """Return a PDF of these objects, numbered from 1, with a right table of them."""
    out = io.BytesIO()
    out.write(b"%PDF-1.7\n")
    offsets = []
    for number, one in enumerate(objects, 1):
        offsets.append(out.tell())
        out.write(b"%d 0 obj\n%s\nendobj\n" % (number, one))
    start = out.tell()
    out.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1))
    for offset in offsets:
        out.write(b"%010d 00000 n \n" % offset)
    out.write(b"trailer\n<</Size %d/Root %d 0 R%s>>\n" % (len(objects) + 1, root, trailer))
    out.write(b"startxref\n%d\n%%%%EOF\n" % start)
    return out.getvalue()


def stream(data: bytes, words: bytes = b"") -> bytes:
    """Return a stream object."""
    return b"<<%s/Length %d>>\nstream\n%s\nendstream" % (words, len(data), data)


CATALOG: Final = b"<</Type/Catalog/Pages 2 0 R>>"
PAGES: Final = b"<</Type/Pages/Kids[3 0 R]/Count 1>>"


def one_page(content: bytes, *more: bytes, resources: bytes = b"", filters: bytes = b"") -> bytes:
    """Return a PDF of a page with this content; `more` are objects from number 5 on."""
    page = (
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents 4 0 R/Resources<<%s>>>>"
        % resources
    )
    return raw_pdf(CATALOG, PAGES, page, stream(content, filters), *more)


def _saved(change: Callable[[Pdf], None], encryption: Encryption | None = None) -> bytes:
    out = io.BytesIO()
    with pikepdf.new() as pdf:
        pdf.add_blank_page(page_size=A4)
        change(pdf)
        pdf.save(out, encryption=encryption or False)
    return out.getvalue()


def plain() -> bytes:
    """Return a harmless document of one page."""
    return one_page(b"0 0 300 300 re f")


def _encrypted(user: str) -> bytes:
    return _saved(lambda _: None, Encryption(owner="owner", user=user))


def _many_pages() -> bytes:
    page = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]>>"
    pages = b"<</Type/Pages/Kids[%s]/Count 10000>>" % (b"3 0 R " * 10_000)
    return raw_pdf(CATALOG, pages, page)


def _says_many_pages() -> bytes:
    return plain().replace(b"/Count 1>>", b"/Count 2147483647>>")


def _huge_page(size: bytes) -> bytes:
    return plain().replace(b"[0 0 595 842]", size)


def _zeros(mebibytes: int) -> bytes:
    packer = zlib.compressobj(9)
    return b"".join(packer.compress(bytes(1 << 20)) for _ in range(mebibytes)) + packer.flush()


def _chain() -> bytes:
    """Return a page whose content is packed three times and in hex: 64 MiB in some 100 bytes."""
    data = zlib.compress(zlib.compress(_zeros(64))).hex().encode() + b">"
    filters = b"/Filter[/ASCIIHexDecode/FlateDecode/FlateDecode/FlateDecode]"
    return one_page(data, filters=filters)


def _filters_without_end() -> bytes:
    return one_page(b"00" * 64 + b">", filters=b"/Filter[%s]" % (b"/ASCIIHexDecode" * 5000))


def _image(words: bytes, data: bytes) -> bytes:
    image = stream(data, b"/Type/XObject/Subtype/Image" + words)
    return one_page(b"q 500 0 0 500 0 0 cm /I Do Q", image, resources=b"/XObject<</I 5 0 R>>")


def _flate_image() -> bytes:
    grey = b"/Width 40000/Height 40000/BitsPerComponent 8/ColorSpace/DeviceGray/Filter/FlateDecode"
    return _image(grey, _zeros(32))


def _jbig2_image() -> bytes:
    # A page information segment of 4,294,967,295 pixels each way (ITU-T T.88, 7.4.8).
    page = struct.pack(">IBBI", 0, 48, 1, 19) + struct.pack(
        ">IIIIBH", 2**32 - 1, 2**32 - 1, 0, 0, 0, 0
    )
    words = b"/Width 9000/Height 9000/BitsPerComponent 1/ColorSpace/DeviceGray/Filter/JBIG2Decode"
    return _image(words, page)


def _jpx_image() -> bytes:
    # A code stream whose SIZ says 4,294,967,295 pixels each way (ITU-T T.800, A.5.1).
    size = struct.pack(">HIIIIIIIIH", 0, 2**32 - 1, 2**32 - 1, 0, 0, 2**32 - 1, 2**32 - 1, 0, 0, 1)
    siz = size + bytes((7, 1, 1))
    data = b"\xff\x4f\xff\x51" + struct.pack(">H", len(siz) + 2) + siz + b"\xff\xd9"
    return _image(b"/Width 9000/Height 9000/Filter/JPXDecode", data)


def _object_stream() -> bytes:
    bomb = stream(_zeros(256), b"/Type/ObjStm/N 1000000/First 8000000/Filter/FlateDecode")
    return one_page(b"", bomb)


def _xref_stream() -> bytes:
    table = stream(
        _zeros(256),
        b"/Type/XRef/Size 60000000/W[1 2 1]/Root 1 0 R/Filter/FlateDecode",
    )
    start = b"%PDF-1.7\n"
    return start + b"1 0 obj\n%s\nendobj\nstartxref\n%d\n%%%%EOF\n" % (table, len(start))


def _page_loop() -> bytes:
    return raw_pdf(
        CATALOG, b"<</Type/Pages/Kids[3 0 R]/Count 1>>", b"<</Type/Pages/Kids[2 0 R]/Count 1>>"
    )


def _form_loop() -> bytes:
    words = b"/Type/XObject/Subtype/Form/BBox[0 0 500 500]/Resources<</XObject<</F 5 0 R>>>>"
    return one_page(b"/F Do", stream(b"/F Do /F Do", words), resources=b"/XObject<</F 5 0 R>>")


def _deep_arrays() -> bytes:
    deep = b"[" * 100_000 + b"]" * 100_000
    return one_page(b"", deep, resources=b"/Properties 5 0 R")


def _deep_content() -> bytes:
    return one_page(b"q " * 1_000_000 + b"[" * 100_000)


def _action(action: Dictionary) -> Callable[[], bytes]:
    def change(pdf: Pdf) -> None:
        pdf.Root.OpenAction = action
        pdf.pages[0].AA = Dictionary(O=action)

    return lambda: _saved(change)


def _embedded() -> bytes:
    def change(pdf: Pdf) -> None:
        pdf.attachments["letter.exe"] = b"MZ" + bytes(1000)

    return _saved(change)


def _xfa(*, drawn: bool) -> bytes:
    """Return a form in XFA; one that is `drawn` has its fields as ordinary ones as well."""

    def change(pdf: Pdf) -> None:
        template = pdf.make_stream(b"<xdp:xdp xmlns:xdp='http://ns.adobe.com/xdp/'/>")
        field = pdf.make_indirect(
            Dictionary(
                Type=Name.Annot, Subtype=Name.Widget, FT=Name.Tx, T="f", Rect=Array([9, 9, 99, 99])
            )
        )
        if drawn:
            pdf.pages[0].Annots = Array([field])
        pdf.Root.AcroForm = Dictionary(Fields=Array([field] if drawn else []), XFA=template)
        if not drawn:
            pdf.Root.NeedsRendering = True

    return _saved(change)


def _zip() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("%PDF-1.7", b"%PDF-1.7\n%%EOF")
    return out.getvalue()


def _picture() -> bytes:
    out = io.BytesIO()
    Image.new("L", (10, 10)).save(out, "PNG")
    return out.getvalue() + b"%PDF-1.7\n%%EOF"


def _script(words: str) -> Dictionary:
    return Dictionary(S=Name.JavaScript, JS=words)


_F = DocumentFault
_BOMB: Final = (_F.BROKEN, _F.TOO_LARGE, _F.TIMEOUT, _F.EMPTY, PRINTED)
"""What unpacks to too much is given up, or the part is left out and the page stays white."""

CORPUS: Final[dict[str, Hostile]] = {
    "plain": Hostile(plain, (PRINTED,)),
    "user password": Hostile(lambda: _encrypted("user"), (_F.ENCRYPTED,)),
    "owner password": Hostile(lambda: _encrypted(""), (PRINTED,)),
    "truncated": Hostile(lambda: plain()[:-60], (_F.BROKEN,)),
    "broken table": Hostile(
        lambda: plain().replace(b"startxref\n", b"startxref\n9"), (PRINTED, _F.BROKEN)
    ),
    "no bytes": Hostile(lambda: b"", (_F.WRONG_TYPE,)),
    "10,000 pages": Hostile(_many_pages, (_F.TOO_MANY_PAGES,)),
    "says 2^31 pages": Hostile(_says_many_pages, (PRINTED, _F.BROKEN, _F.TOO_MANY_PAGES, _F.EMPTY)),
    "huge page": Hostile(lambda: _huge_page(b"[0 0 99999 99999]"), (_F.PAGE_TOO_LARGE, _F.BROKEN)),
    "huge unit": Hostile(
        lambda: _huge_page(b"[0 0 595 842]/UserUnit 75000"), (_F.PAGE_TOO_LARGE, PRINTED)
    ),
    "packed three times": Hostile(_chain, _BOMB),
    "5,000 filters": Hostile(_filters_without_end, _BOMB),
    "packed picture": Hostile(_flate_image, (_F.PAGE_TOO_LARGE,)),
    "JBIG2": Hostile(_jbig2_image, _BOMB),
    "JPEG 2000": Hostile(_jpx_image, _BOMB),
    "object stream": Hostile(_object_stream, _BOMB),
    "table stream": Hostile(_xref_stream, _BOMB),
    "pages in a ring": Hostile(_page_loop, (_F.BROKEN, _F.EMPTY)),
    "form in itself": Hostile(_form_loop, _BOMB),
    "100,000 arrays": Hostile(_deep_arrays, _BOMB),
    "deep content": Hostile(_deep_content, _BOMB),
    "script": Hostile(_action(_script("while(true){}")), (PRINTED,)),
    "launch": Hostile(_action(Dictionary(S=Name.Launch, F="/bin/sh")), (PRINTED,)),
    "link": Hostile(_action(Dictionary(S=Name.URI, URI="http://127.0.0.1/")), (PRINTED,)),
    "other file": Hostile(_action(Dictionary(S=Name.GoToR, F="/etc/passwd")), (PRINTED,)),
    "submitted": Hostile(_action(Dictionary(S=Name.SubmitForm, F="http://127.0.0.1/")), (PRINTED,)),
    "file inside": Hostile(_embedded, (PRINTED,)),
    "XFA only": Hostile(lambda: _xfa(drawn=False), (_F.WRONG_TYPE,)),
    "XFA and fields": Hostile(lambda: _xfa(drawn=True), (PRINTED,)),
    "zip": Hostile(_zip, (_F.WRONG_TYPE, _F.BROKEN)),
    "picture": Hostile(_picture, (_F.WRONG_TYPE, _F.BROKEN)),
    "page of the web": Hostile(
        lambda: b"<html>%PDF-1.7<script>1</script>\n%%EOF", (_F.WRONG_TYPE, _F.BROKEN)
    ),
    "21 MB": Hostile(lambda: plain() + bytes(21 << 20), (_F.BROKEN,)),
}
