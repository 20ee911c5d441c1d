"""The screen's way in: a file that only its user may read, which leads Chromium to the page.

The page's address holds a token, so that no other user of the machine, and no page that another
program shows, finds it. Chromium is started on this file, whose name is no secret: a token on its
command line could be read by everybody. The token stays as long as the file, which is in RAM: a
page that is open finds the daemon again when that has started anew.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from pathlib import Path
from typing import Final

import structlog

log = structlog.get_logger(__name__)

TOKEN_BYTES: Final = 24
_ADDRESS: Final = re.compile(r"url=(http://[^/\"]+/([A-Za-z0-9_-]{32})/)\"")
_PAGE: Final = (
    '<!doctype html><meta charset="utf-8"><title>Visioservices</title>'
    "<style>html{{background:#0d1424}}</style>"
    '<meta http-equiv="refresh" content="0;url={url}">\n'
)


def new_token() -> str:
    """Return 192 random bits."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def read(file: Path) -> str | None:
    """Return the token that the file leads to, None where there is none."""
    found = _find(file)
    return found[2] if found else None


def address(file: Path) -> str | None:
    """Return the page's address that the file leads to, token and all; None where there is none."""
    found = _find(file)
    return found[1] if found else None


def _find(file: Path) -> re.Match[str] | None:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return _ADDRESS.search(file.read_text("utf-8"))
    return None


def write(file: Path, url: str) -> None:
    """Make the file lead to `url`: readable by the daemon's user and the folder's group.

    A file that cannot be written is told of in the log: the screen stays dark then.
    """
    new = file.with_name(f"{file.name}.new")
    try:
        new.unlink(missing_ok=True)
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as target:
            target.write(_PAGE.format(url=url))
            os.fchmod(target.fileno(), 0o640)
        new.replace(file)
    except OSError as error:
        log.error("screen.no_entry", file=str(file), error=error.strerror)  # noqa: TRY400
