from __future__ import annotations

import io
from pathlib import Path

import pikepdf
import pytest
from PIL import Image

from kioskd.documents.assembly import assemble
from kioskd.errors import DocumentError, DocumentFault


def jpeg(path: Path, size: tuple[int, int], dpi: int | None) -> Path:
    picture = Image.effect_noise(size, 50).convert("RGB")
    with path.open("wb") as file:
        if dpi:
            picture.save(file, "JPEG", quality=85, dpi=(dpi, dpi))
        else:
            picture.save(file, "JPEG", quality=85)
    return path


def test_the_jpeg_data_are_copied_as_they_are(tmp_path: Path) -> None:
    pages = [
        jpeg(tmp_path / "1.jpg", (620, 877), 75),
        jpeg(tmp_path / "2.jpg", (877, 620), 75),
        jpeg(tmp_path / "3.jpg", (253, 159), 75),
        jpeg(tmp_path / "4.jpg", (1240, 1754), None),
    ]
    with pikepdf.open(io.BytesIO(assemble(pages))) as pdf:
        assert len(pdf.pages) == 4
        for path, page in zip(pages, pdf.pages, strict=True):
            (picture,) = page.get_images().values()
            assert picture.read_raw_bytes() == path.read_bytes()
        sizes = [[round(float(side)) for side in page.mediabox[2:]] for page in pdf.pages]
    assert sizes == [[595, 842], [842, 595], [842, 595], [595, 842]]


def test_a_small_picture_keeps_its_true_size(tmp_path: Path) -> None:
    card = jpeg(tmp_path / "card.jpg", (600, 300), 300)
    with pikepdf.open(io.BytesIO(assemble([card]))) as pdf:
        content = pdf.pages[0].Contents.read_bytes().decode()
    assert "144.0000 0 0 72.0000" in content  # two inches by one


def test_the_pdf_tells_nothing_about_when_and_how(tmp_path: Path) -> None:
    page = jpeg(tmp_path / "1.jpg", (620, 877), 75)
    data = assemble([page])
    assert data == assemble([page])
    with pikepdf.open(io.BytesIO(data)) as pdf:
        assert dict(pdf.docinfo.items()) == {}
    with pikepdf.open(io.BytesIO(assemble([page], "Pièces"))) as pdf:
        assert {key: str(value) for key, value in pdf.docinfo.items()} == {"/Title": "Pièces"}


def test_what_is_no_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("text")
    with pytest.raises(DocumentError) as caught:
        assemble([tmp_path / "text.jpg"])
    assert caught.value.fault is DocumentFault.BROKEN
    with pytest.raises(DocumentError) as caught:
        assemble([])
    assert caught.value.fault is DocumentFault.EMPTY
    with pytest.raises(OSError, match="gone"):
        assemble([tmp_path / "gone.jpg"])
