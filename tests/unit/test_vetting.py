from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
import zlib
from pathlib import Path

import pikepdf
import psutil
import pytest
from PIL import Image

from kioskd.documents.vetting import VettedDocument, Vetter
from kioskd.errors import DocumentError, DocumentFault
from tests.processes import family

A4 = (595, 842)


def add_page(pdf: pikepdf.Pdf, content: bytes, size: tuple[float, float] = A4) -> pikepdf.Page:
    pdf.add_blank_page(page_size=(100, 100))
    page = pdf.pages[-1]
    page.mediabox = pikepdf.Array([0, 0, *size])
    font = pikepdf.Dictionary(
        Type=pikepdf.Name.Font, Subtype=pikepdf.Name.Type1, BaseFont=pikepdf.Name.Helvetica
    )
    page.Resources = pikepdf.Dictionary(Font=pikepdf.Dictionary(F1=font))
    page.Contents = pdf.make_stream(content)
    return page


def text(words: str, colour: str = "0 0 0") -> bytes:
    return f"BT {colour} rg /F1 36 Tf 72 700 Td ({words}) Tj ET".encode()


def write(path: Path, *words: str) -> Path:
    with pikepdf.new() as pdf:
        for word in words:
            add_page(pdf, text(word))
        pdf.save(path)
    return path


async def refused(source: Path, folder: Path, vetter: Vetter | None = None) -> DocumentFault:
    """Vet, expecting a refusal; check that nothing is left of it; return the fault."""
    target = folder / "target"
    target.mkdir()
    with pytest.raises(DocumentError) as caught:
        await (vetter or Vetter()).vet(source, target)
    assert list(target.iterdir()) == []
    assert psutil.Process().children() == []
    return caught.value.fault


async def test_a_good_document_becomes_pictures(tmp_path: Path) -> None:
    with pikepdf.new() as pdf:
        add_page(pdf, text("Attestation"))
        add_page(pdf, text("Second", "1 0 0"))
        add_page(pdf, text("Third"), (842, 595))
        pdf.save(tmp_path / "in.pdf")
    seen: list[tuple[int, int]] = []
    vetted = await Vetter().vet(
        tmp_path / "in.pdf", tmp_path, lambda page, pages: seen.append((page, pages))
    )
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert psutil.Process().children() == []
    _check_files(vetted)
    assert "Attestation" in await asyncio.to_thread(_read, vetted.pages[0])


def _read(page: Path) -> str:
    return subprocess.run(
        ["tesseract", page, "-", "--psm", "6"],
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
        env={**os.environ, "OMP_THREAD_LIMIT": "1"},
    ).stdout


def _check_files(vetted: VettedDocument) -> None:
    modes, sizes = [], []
    for page in vetted.pages:
        with Image.open(page) as picture:
            modes.append(picture.mode)
            sizes.append(picture.size)
            assert picture.info["dpi"] == (300, 300)
    assert modes == ["L", "RGB", "L"]
    assert [(w // 10, h // 10) for w, h in sizes] == [(248, 350), (248, 350), (350, 248)]
    for path in (*vetted.pages, vetted.printable):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pikepdf.open(vetted.printable) as pdf:
        assert len(pdf.pages) == 3
        for path, sheet in zip(vetted.pages, pdf.pages, strict=True):
            (image,) = sheet.get_images().values()
            assert image.read_raw_bytes() == path.read_bytes()
            assert "/Font" not in sheet.Resources


async def test_forms_and_their_scripts(tmp_path: Path) -> None:
    """What is filled in is drawn; what wants to run does nothing."""
    with pikepdf.new() as pdf:
        page = add_page(pdf, text("Form"))
        script = pikepdf.Dictionary(
            S=pikepdf.Name.JavaScript, JS="app.alert('x'); while(true){}", Type=pikepdf.Name.Action
        )
        launch = pikepdf.Dictionary(S=pikepdf.Name.Launch, F="/bin/sh", Next=script)
        pdf.Root.OpenAction = launch
        page.AA = pikepdf.Dictionary(O=script)
        black = pdf.make_stream(b"0 g 0 0 300 300 re f")
        black.update(
            pikepdf.Dictionary(
                Type=pikepdf.Name.XObject,
                Subtype=pikepdf.Name.Form,
                BBox=pikepdf.Array([0, 0, 300, 300]),
            )
        )
        field = pdf.make_indirect(
            pikepdf.Dictionary(
                Type=pikepdf.Name.Annot,
                Subtype=pikepdf.Name.Widget,
                FT=pikepdf.Name.Tx,
                T="field",
                F=4,
                Rect=pikepdf.Array([100, 100, 400, 400]),
                AP=pikepdf.Dictionary(N=black),
            )
        )
        page.Annots = pikepdf.Array([field])
        pdf.Root.AcroForm = pikepdf.Dictionary(Fields=pikepdf.Array([field]))
        pdf.save(tmp_path / "in.pdf")
    vetted = await Vetter().vet(tmp_path / "in.pdf", tmp_path)
    with Image.open(vetted.pages[0]) as picture:
        centre = (250 * 300 // 72, picture.height - 250 * 300 // 72)
        assert picture.getpixel(centre) == 0
    data = vetted.printable.read_bytes()
    assert b"JavaScript" not in data
    assert b"OpenAction" not in data


async def test_encrypted(tmp_path: Path) -> None:
    source = write(tmp_path / "in.pdf", "secret")
    with pikepdf.open(source) as pdf:
        pdf.save(tmp_path / "locked.pdf", encryption=pikepdf.Encryption(owner="o", user="u"))
    assert await refused(tmp_path / "locked.pdf", tmp_path) is DocumentFault.ENCRYPTED


async def test_truncated(tmp_path: Path) -> None:
    source = write(tmp_path / "in.pdf", "one", "two")
    source.write_bytes(source.read_bytes()[:-400])
    assert await refused(source, tmp_path) is DocumentFault.BROKEN


async def test_marks_without_a_document(tmp_path: Path) -> None:
    (tmp_path / "in.pdf").write_bytes(b"%PDF-1.7\n" + bytes(5000) + b"\n%%EOF\n")
    assert await refused(tmp_path / "in.pdf", tmp_path) is DocumentFault.BROKEN


async def test_other_types(tmp_path: Path) -> None:
    Image.new("L", (10, 10)).save(tmp_path / "in.pdf", "PNG")
    assert await refused(tmp_path / "in.pdf", tmp_path) is DocumentFault.WRONG_TYPE
    (tmp_path / "target").rmdir()
    (tmp_path / "in.pdf").write_text("A letter.")
    assert await refused(tmp_path / "in.pdf", tmp_path) is DocumentFault.WRONG_TYPE


async def test_too_many_pages(tmp_path: Path) -> None:
    source = write(tmp_path / "in.pdf", *(["page"] * 51))
    assert await refused(source, tmp_path) is DocumentFault.TOO_MANY_PAGES


async def test_no_pages(tmp_path: Path) -> None:
    assert await refused(write(tmp_path / "in.pdf"), tmp_path) is DocumentFault.EMPTY


async def test_a_huge_page(tmp_path: Path) -> None:
    with pikepdf.new() as pdf:
        add_page(pdf, text("fine"))
        add_page(pdf, text("huge"), (14_000, 14_000))
        pdf.save(tmp_path / "in.pdf")
    assert await refused(tmp_path / "in.pdf", tmp_path) is DocumentFault.PAGE_TOO_LARGE


def zeros(mebibytes: int) -> bytes:
    """Return that many MiB of zeros in zlib's format, made without compressing them all."""
    packer = zlib.compressobj(9)
    first = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    adler = (((mebibytes << 20) % 65521) << 16) | 1  # RFC 1950
    return first[:2] + first[2:] * mebibytes + b"\x03\x00" + adler.to_bytes(4, "big")


async def test_a_picture_bomb(tmp_path: Path) -> None:
    with pikepdf.new() as pdf:
        page = add_page(pdf, b"q 500 0 0 500 0 0 cm /I Do Q")
        picture = pdf.make_stream(zeros(859), Filter=pikepdf.Name.FlateDecode)
        picture.update(
            pikepdf.Dictionary(
                Type=pikepdf.Name.XObject,
                Subtype=pikepdf.Name.Image,
                Width=30_000,
                Height=30_000,
                BitsPerComponent=8,
                ColorSpace=pikepdf.Name.DeviceGray,
            )
        )
        page.Resources.XObject = pikepdf.Dictionary(I=picture)
        pdf.save(tmp_path / "in.pdf", stream_decode_level=pikepdf.StreamDecodeLevel.none)
    assert await refused(tmp_path / "in.pdf", tmp_path) is DocumentFault.PAGE_TOO_LARGE


async def test_a_content_bomb(tmp_path: Path) -> None:
    """A small file whose content stream unpacks to more than the worker may have."""
    with pikepdf.new() as pdf:
        page = add_page(pdf, b"")
        bomb = pdf.make_stream(zlib.compress(zeros(1024)))
        bomb.Filter = pikepdf.Array([pikepdf.Name.FlateDecode, pikepdf.Name.FlateDecode])
        page.Contents = pikepdf.Array([bomb, bomb, bomb])
        pdf.save(
            tmp_path / "in.pdf",
            compress_streams=False,
            stream_decode_level=pikepdf.StreamDecodeLevel.none,
        )
    assert (tmp_path / "in.pdf").stat().st_size < 100_000
    before = psutil.Process().memory_info().rss
    fault = await refused(tmp_path / "in.pdf", tmp_path, Vetter(deadline=8, stall=4))
    assert fault in (DocumentFault.BROKEN, DocumentFault.TOO_LARGE, DocumentFault.TIMEOUT)
    assert psutil.Process().memory_info().rss - before < 100 << 20


async def _worker_of(task: asyncio.Task[VettedDocument]) -> psutil.Process:
    async with asyncio.timeout(10):
        while not task.done():
            for child, line in family(os.getpid()):
                if any("worker_main" in part for part in line):
                    return child
            await asyncio.sleep(0.01)
    raise AssertionError("there was no worker")


def _network(pid: int) -> Path:
    return Path(f"/proc/{pid}/ns/net").readlink()


async def test_a_document_that_takes_too_long(tmp_path: Path) -> None:
    source = write(tmp_path / "in.pdf", *(["page"] * 50))
    fault = await refused(source, tmp_path, Vetter(deadline=0.5, stall=0.5))
    assert fault is DocumentFault.TIMEOUT


async def test_the_worker_is_confined_and_its_death_is_survived(tmp_path: Path) -> None:
    source = write(tmp_path / "in.pdf", *(["page"] * 50))
    started = asyncio.Event()
    target = tmp_path / "target"
    target.mkdir()
    task = asyncio.create_task(Vetter().vet(source, target, lambda *_: started.set()))
    await asyncio.wait_for(started.wait(), 15)
    worker = await _worker_of(task)
    assert _network(worker.pid) != _network(os.getpid())
    assert worker.rlimit(psutil.RLIMIT_AS)[0] == 1536 << 20
    assert worker.rlimit(psutil.RLIMIT_CORE) == (0, 0)
    worker.send_signal(signal.SIGKILL)
    with pytest.raises(DocumentError) as caught:
        await task
    assert caught.value.fault is DocumentFault.BROKEN
    assert list(target.iterdir()) == []


async def test_cancelling_leaves_nothing(tmp_path: Path) -> None:
    source = write(tmp_path / "in.pdf", *(["page"] * 50))
    started = asyncio.Event()
    target = tmp_path / "target"
    target.mkdir()
    task = asyncio.create_task(Vetter().vet(source, target, lambda *_: started.set()))
    await asyncio.wait_for(started.wait(), 15)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert list(target.iterdir()) == []
    assert psutil.Process().children() == []
