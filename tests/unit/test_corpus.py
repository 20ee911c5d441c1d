"""Each hostile document is refused with the right word, or only its pixels are left."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from kioskd.documents.vetting import Vetter
from kioskd.errors import DocumentError
from tests.corpus import CORPUS

WORDS = (b"JavaScript", b"OpenAction", b"Launch", b"/URI", b"EmbeddedFile", b"/AcroForm", b"/XFA")


@pytest.mark.parametrize("name", CORPUS)
async def test_a_hostile_document(name: str, tmp_path: Path) -> None:
    hostile = CORPUS[name]
    source, target = tmp_path / "in.pdf", tmp_path / "target"
    source.write_bytes(hostile.make())
    target.mkdir()
    fault = None
    try:
        vetted = await Vetter(deadline=20, stall=6).vet(source, target)
    except DocumentError as error:
        fault = error.fault
        assert list(target.iterdir()) == []
    else:
        data = vetted.printable.read_bytes()
        assert not [word for word in WORDS if word in data]
    assert fault in hostile.faults
    assert psutil.Process().children() == []
