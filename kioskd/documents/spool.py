"""The spool: where documents live during a visit, in RAM, and nowhere else.

The root is a folder of a tmpfs. Names on disk are random: they tell nothing about the
documents. Deleting is enough to wipe a tmpfs, provided that no file stays open.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import stat
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from kioskd.errors import DocumentError, DocumentFault, SettingsError

LIMIT_BYTES: Final = 512 * 1024 * 1024
_NEW_FILE: Final = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def create_private(path: Path) -> int:
    """Create a file of mode 0600 that nobody has put there before; return its descriptor.

    Open for reading and writing. Raises DocumentError NO_SPACE, FileExistsError (for a
    symbolic link too), OSError.
    """
    try:
        return os.open(path, os.O_RDWR | _NEW_FILE, 0o600)
    except OSError as error:
        raise _no_space(error) from error


def _no_space(error: OSError) -> OSError | DocumentError:
    if error.errno in _FULL:
        return DocumentError(DocumentFault.NO_SPACE, str(error))
    return error


class SpoolFile:
    """A file of the spool that is being written: a sink for `Receiver`.

    Closes itself as a context manager; what is written is readable at `path` at once.
    """

    def __init__(self, spool: Spool, path: Path, descriptor: int, size: int) -> None:
        self.path = path
        self.reserved = size
        self._spool = spool
        self._descriptor = descriptor

    def write(self, data: bytes) -> int:
        """Write all of `data` at the end.

        Raises DocumentError NO_SPACE when the tmpfs is full or the size that was asked
        for is exceeded, ValueError when the file is closed.
        """
        if self._descriptor < 0:
            raise ValueError("the file is closed")
        if len(data) > self.reserved:
            raise DocumentError(DocumentFault.NO_SPACE, "more than was asked for")
        left = memoryview(data)
        try:
            while left:
                written = os.write(self._descriptor, left)
                left = left[written:]
                self.reserved -= written
        except OSError as error:
            raise _no_space(error) from error
        return len(data)

    def close(self) -> None:
        """Close the file and give back what was reserved and not used."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
            self.reserved = 0
            self._spool.closed(self)

    def discard(self) -> None:
        """Close the file and delete it."""
        self.close()
        self.path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Spool:
    """A folder of a tmpfs with at most `limit` bytes in it.

    Used from one thread. The constructor touches nothing; `prepare` at start-up.
    """

    def __init__(self, root: Path, limit: int = LIMIT_BYTES) -> None:
        self.root = root
        self.limit = limit
        self._visit: Path | None = None
        self._open: set[SpoolFile] = set()

    def prepare(self) -> None:
        """Make the root, for our eyes only, and wipe what an earlier run has left.

        Raises SettingsError when the root is no folder of ours, OSError.
        """
        self.root.mkdir(mode=0o700, exist_ok=True)
        status = self.root.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
            raise SettingsError([f"documents.spool: {self.root} is not a folder of this user"])
        self.root.chmod(0o700)
        self.wipe()

    def folder(self) -> Path:
        """Make a new empty folder, mode 0700, that goes with the visit.

        Raises DocumentError NO_SPACE.
        """
        self.check_room()
        try:
            if self._visit is None:
                visit = self.root / secrets.token_hex(8)
                visit.mkdir(mode=0o700)
                self._visit = visit
            folder = self._visit / secrets.token_hex(8)
            folder.mkdir(mode=0o700)
        except OSError as error:
            raise _no_space(error) from error
        return folder

    def create(self, size: int, suffix: str = "") -> SpoolFile:
        """Create a file for `size` bytes at the most, which are kept free for it.

        Raises DocumentError NO_SPACE.
        """
        self.check_room(size)
        path = self.folder() / f"{secrets.token_hex(8)}{suffix}"
        file = SpoolFile(self, path, create_private(path), size)
        self._open.add(file)
        return file

    def closed(self, file: SpoolFile) -> None:
        """Told by a file that it is closed."""
        self._open.discard(file)

    def check_room(self, size: int = 1) -> None:
        """Raise DocumentError NO_SPACE unless there is room for `size` bytes more."""
        reserved = sum(file.reserved for file in self._open)
        room = self.limit - self.used() - reserved
        free = os.statvfs(self.root)
        room = min(room, free.f_bavail * free.f_frsize - reserved)
        if size > room:
            raise DocumentError(DocumentFault.NO_SPACE, f"{size} bytes do not fit in {room}")

    def used(self) -> int:
        """Return the bytes that all files of the spool hold."""
        total = 0
        for folder, _, names in os.walk(self.root):
            for name in names:
                # A file may go while we count: a worker removes its own.
                with contextlib.suppress(FileNotFoundError):
                    total += (Path(folder) / name).lstat().st_size
        return total

    def wipe(self) -> None:
        """Delete everything. May be called at any time, and again; raises OSError."""
        for file in list(self._open):
            file.close()  # an open file keeps its memory even when it is deleted
        self._visit = None
        with contextlib.suppress(FileNotFoundError), os.scandir(self.root) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path)
                else:
                    Path(entry.path).unlink(missing_ok=True)
