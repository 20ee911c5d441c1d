"""Documents to begin with: good ones, and those that are made to do harm."""

from __future__ import annotations

import functools
import io
import zlib
from collections.abc import Callable
from typing import Any, Final

import pikepdf
from pikepdf import Array, Dictionary, Name, Pdf

from tests.unit.test_vetting import add_page, text

BOMB_BYTES: Final = 200_000_000


def _pdf(make: Callable[[Pdf], None], **save: Any) -> bytes:
    file = io.BytesIO()
    with pikepdf.new() as pdf:
        add_page(pdf, text("Attestation"))
        make(pdf)
        pdf.save(file, static_id=True, **save)
    return file.getvalue()


def _nothing(_: Pdf) -> None: ...


def _fields(pdf: Pdf) -> None:
    field = Dictionary(
        Type=Name.Annot,
        Subtype=Name.Widget,
        FT=Name.Tx,
        T="name",
        V="Dupont",
        Rect=[72, 600, 300, 640],
    )
    pdf.pages[0].Annots = Array([pdf.make_indirect(field)])
    pdf.Root.AcroForm = Dictionary(Fields=Array([pdf.pages[0].Annots[0]]), NeedAppearances=True)


def _scripts(pdf: Pdf) -> None:
    endless = Dictionary(S=Name.JavaScript, JS="while (true) { app.alert('x'); }")
    pdf.Root.OpenAction = Dictionary(S=Name.Launch, F="/bin/sh", Next=endless)
    pdf.pages[0].AA = Dictionary(O=Dictionary(S=Name.SubmitForm, F="http://127.0.0.1:9/"))


def _xfa(pdf: Pdf) -> None:
    form = b'<xdp:xdp xmlns:xdp="http://ns.adobe.com/xdp/"><template/></xdp:xdp>'
    pdf.Root.AcroForm = Dictionary(Fields=Array(), XFA=pdf.make_stream(form))


def _attachment(pdf: Pdf) -> None:
    pdf.attachments["x.exe"] = pikepdf.AttachedFileSpec(pdf, b"MZ" * 100, filename="x.exe")


def _picture(pdf: Pdf, width: int, height: int, data: bytes, **more: Any) -> None:
    image = pdf.make_stream(data)
    image.stream_dict.update(
        Dictionary(
            Type=Name.XObject,
            Subtype=Name.Image,
            Width=width,
            Height=height,
            ColorSpace=Name.DeviceGray,
            BitsPerComponent=8,
        )
    )
    for key, value in more.items():
        image.stream_dict[f"/{key}"] = value
    pdf.pages[0].Resources.XObject = Dictionary(Im=image)
    pdf.pages[0].Contents = pdf.make_stream(b"595 0 0 842 0 0 cm /Im Do")


def _small_picture(pdf: Pdf) -> None:
    _picture(pdf, 8, 8, bytes(range(64)))


def _picture_bomb(pdf: Pdf) -> None:
    _picture(pdf, 60_000, 60_000, zlib.compress(bytes(1_000_000), 9), Filter=Name.FlateDecode)


def _nested_filters(pdf: Pdf) -> None:
    data = zlib.compress(zlib.compress(bytes(BOMB_BYTES), 9), 9)
    _picture(pdf, 9_000, 9_000, data, Filter=Array([Name.FlateDecode, Name.FlateDecode]))


def _content_bomb(pdf: Pdf) -> None:
    data = zlib.compress(b"q " * (BOMB_BYTES // 20), 9)
    content = pdf.make_stream(data)
    content.stream_dict.Filter = Name.FlateDecode
    pdf.pages[0].Contents = content


def _form_in_itself(pdf: Pdf) -> None:
    form = pdf.make_stream(b"/Fm Do")
    form.stream_dict.update(Dictionary(Type=Name.XObject, Subtype=Name.Form, BBox=[0, 0, 9, 9]))
    form.stream_dict.Resources = Dictionary(XObject=Dictionary(Fm=form))
    pdf.pages[0].Resources.XObject = Dictionary(Fm=form)
    pdf.pages[0].Contents = pdf.make_stream(b"/Fm Do")


def _deep(pdf: Pdf) -> None:
    pdf.pages[0].Contents = pdf.make_stream(b"[" * 100_000 + b"]" * 100_000 + b" TJ")


def _deep_patterns(pdf: Pdf) -> None:
    pdf.pages[0].Contents = pdf.make_stream(b"q 1 0 0 1 1 1 cm " * 50_000)


def _page_in_itself(data: bytes) -> bytes:
    """A page tree whose node is its own kid."""
    return data.replace(b"/Type /Pages", b"/Type /Pages /Kids [1 0 R 2 0 R 3 0 R]", 1)


def _many_pages() -> bytes:
    """Ten thousand pages out of one object."""
    kids = b"3 0 R " * 10_000
    return (
        b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Count 10000"
        b"/Kids[" + kids + b"]>>endobj\n3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]>>"
        b"endobj\ntrailer<</Root 1 0 R/Size 4>>\n%%EOF\n"
    )


@functools.cache
def documents() -> dict[str, bytes]:
    """Return the documents by name; made once, for the bombs take a second."""
    owner = pikepdf.Encryption(owner="o", user="", allow=pikepdf.Permissions(extract=False))
    good = _pdf(_nothing)
    return {
        "good": good,
        "compressed": _pdf(_nothing, object_stream_mode=pikepdf.ObjectStreamMode.generate),
        "form": _pdf(_fields),
        "picture": _pdf(_small_picture),
        "scripts": _pdf(_scripts),
        "XFA": _pdf(_xfa),
        "attachment": _pdf(_attachment),
        "owner's password": _pdf(_nothing, encryption=owner),
        "user's password": _pdf(_nothing, encryption=pikepdf.Encryption(owner="o", user="u")),
        "picture bomb": _pdf(_picture_bomb),
        "nested filters": _pdf(_nested_filters),
        "content bomb": _pdf(_content_bomb),
        "form in itself": _pdf(_form_in_itself),
        "deep arrays": _pdf(_deep),
        "deep states": _pdf(_deep_patterns),
        "page in itself": _page_in_itself(good),
        "ten thousand pages": _many_pages(),
        "huge page": good.replace(b"595", b"9999999"),
        "empty": b"",
        "HTML with marks": b"<html>%PDF-1.4 <script>alert(1)</script> %%EOF",
        "ZIP with marks": b"%PDF-1.4\nPK\x03\x04" + bytes(300) + b"%%EOF",
        "no end": good[: len(good) // 2],
    }
