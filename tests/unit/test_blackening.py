"""Parts of a page that nobody is to see are in no byte of what is sent."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageChops

from kioskd.documents.blackening import blacken
from kioskd.errors import DocumentError, DocumentFault

SIZE = (620, 877)


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """A page of noise, with a small picture of the whole in its metadata."""
    picture = Image.effect_noise(SIZE, 60).convert("RGB")
    exif = Image.Exif()
    exif[0x010E] = "a small picture of the page"
    path = tmp_path / "page.jpg"
    with path.open("wb") as file:
        picture.save(file, "JPEG", quality=85, dpi=(75, 75), exif=exif, comment=b"secret")
    return path


def brightest(picture: Image.Image, box: tuple[int, int, int, int]) -> int:
    """Return the greatest value of a part of a picture, 0 to 255."""
    return int(np.asarray(picture.convert("L").crop(box)).max())


def test_what_is_hidden_is_black_and_the_rest_as_it_was(page: Path) -> None:
    data = io.BytesIO(blacken(page, [(0.25, 0.5, 0.5, 0.1)]))
    with Image.open(page) as before, Image.open(data) as after:
        assert after.size == before.size
        assert after.info["dpi"] == before.info["dpi"] == (75, 75)
        # A block of JPEG has 8 pixels, and 16 of colour: across an edge it rings.
        assert brightest(after, (171, 455, 449, 510)) < 3
        rest = ImageChops.difference(before.convert("RGB"), after.convert("RGB"))
        rest.paste((0, 0, 0), (139, 423, 481, 542))
        assert brightest(rest, (0, 0, *SIZE)) < 16


def test_no_metadata_are_left(page: Path) -> None:
    assert b"secret" in page.read_bytes()
    data = blacken(page, [(0, 0, 1, 1)])
    assert b"secret" not in data
    assert b"a small picture" not in data


def test_a_part_may_reach_over_the_edge(page: Path) -> None:
    with Image.open(io.BytesIO(blacken(page, [(0.9, 0.9, 1, 1), (0, 0, 0, 0)]))) as after:
        assert brightest(after, (576, 808, *SIZE)) < 3


def test_what_is_no_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("text")
    with pytest.raises(DocumentError) as caught:
        blacken(tmp_path / "text.jpg", [(0, 0, 1, 1)])
    assert caught.value.fault is DocumentFault.BROKEN
