from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from kioskd.documents.spool import Spool, create_private
from kioskd.errors import DocumentError, DocumentFault, SettingsError


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    spool = Spool(tmp_path / "spool", limit=1000)
    spool.prepare()
    return spool


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_all_is_for_our_eyes_only(spool: Spool) -> None:
    mask = os.umask(0)
    try:
        with spool.create(10, ".pdf") as file:
            file.write(b"abc")
    finally:
        os.umask(mask)
    assert file.path.read_bytes() == b"abc"
    assert file.path.suffix == ".pdf"
    assert mode(file.path) == 0o600
    folder = file.path.parent
    while folder != spool.root.parent:
        assert mode(folder) == 0o700
        folder = folder.parent


def test_prepare_wipes_and_closes_what_it_finds(tmp_path: Path) -> None:
    root = tmp_path / "spool"
    root.mkdir(mode=0o755)
    (root / "left").write_text("left")
    (root / "folder").mkdir()
    (root / "folder" / "page").write_text("page")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "keep").write_text("keep")
    (root / "link").symlink_to(outside)
    Spool(root).prepare()
    assert list(root.iterdir()) == []
    assert mode(root) == 0o700
    assert (outside / "keep").exists()


def test_a_link_in_place_of_the_root_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "spool").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SettingsError):
        Spool(tmp_path / "spool").prepare()


def test_a_file_that_is_there_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("keep")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    for name in ("target", "link"):
        with pytest.raises(FileExistsError):
            create_private(tmp_path / name)
    assert (tmp_path / "target").read_text() == "keep"


def test_the_cap_counts_files_and_reservations(spool: Spool) -> None:
    first = spool.create(600)
    with pytest.raises(DocumentError) as caught:
        spool.create(401)
    assert caught.value.fault is DocumentFault.NO_SPACE
    first.write(b"x" * 500)
    (spool.folder() / "of-a-worker").write_bytes(bytes(300))
    first.close()  # gives the other 100 back
    assert spool.used() == 800
    spool.check_room(200)
    with pytest.raises(DocumentError):
        spool.check_room(201)
    first.discard()
    spool.check_room(700)


def test_a_file_takes_no_more_than_was_asked_for(spool: Spool) -> None:
    with spool.create(4) as file:
        file.write(b"abc")
        with pytest.raises(DocumentError) as caught:
            file.write(b"de")
    assert caught.value.fault is DocumentFault.NO_SPACE


def test_a_full_device_is_no_space(spool: Spool) -> None:
    file = spool.create(4)
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, file._descriptor)
    os.close(full)
    with file, pytest.raises(DocumentError) as caught:
        file.write(b"abc")
    assert caught.value.fault is DocumentFault.NO_SPACE


def test_wipe_leaves_nothing_and_can_be_repeated(spool: Spool) -> None:
    file = spool.create(10)
    file.write(b"abc")
    folder = spool.folder()
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - the folder's own fd must not stay
    spool.wipe()
    assert len(os.listdir("/proc/self/fd")) == before - 1  # noqa: PTH208 - as above
    assert list(spool.root.iterdir()) == []
    with pytest.raises(ValueError, match="closed"):
        file.write(b"x")
    spool.wipe()
    assert spool.folder().parent != folder.parent
    spool.root.rename(spool.root.with_name("gone"))
    spool.wipe()
