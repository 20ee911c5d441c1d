"""What the terminal can do: colours, cursor, 80 columns or less, a serial line."""

from __future__ import annotations

import codecs
import io
import os
import sys
import unicodedata
from collections.abc import Mapping
from typing import Final

from rich.console import Console

WIDTH: Final = 80
_PLAIN: Final = ("", "dumb", "unknown", "vt52", "vt100", "vt102", "vt220", "vt320")
"""Terminals of a serial line (agetty(8) and systemd's serial-getty say vt220): each character
takes a millisecond at 9600 baud, so nothing is drawn twice, and there is no colour."""


LETTERS: Final = "kioskd.letters"
"""The name of how text is written where only ASCII can be: é as e, not as a question mark."""
_INSTEAD: Final = {
    "«": '"',
    "»": '"',
    "’": "'",
    "–": "-",
    "—": "-",
    "·": ".",
    "œ": "oe",
    "→": ">",
}


def _letters(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    written = ""
    for sign in error.object[error.start : error.end]:
        bare = unicodedata.normalize("NFKD", sign).encode("ascii", "ignore").decode()
        written += _INSTEAD.get(sign) or bare or "?"
    return written, error.end


codecs.register_error(LETTERS, _letters)


def plain(environment: Mapping[str, str] | None = None) -> bool:
    """Tell whether TERM names a terminal on which only lines are printed."""
    told = os.environ if environment is None else environment
    return told.get("TERM", "") in _PLAIN


def live(environment: Mapping[str, str] | None = None) -> bool:
    """Tell whether the standard output is a terminal on which a picture can be drawn anew."""
    return sys.stdout.isatty() and not plain(environment)


def prepare() -> None:
    """Set the standard output up; call before anything is printed, the library's help included.

    On a serial line rich, and typer with it, colours nothing once TERM is the only such terminal
    that it knows.
    """
    serial = plain() and sys.stdout.isatty()
    if serial:
        os.environ["TERM"] = "dumb"
    if isinstance(sys.stdout, io.TextIOWrapper):
        if serial:
            sys.stdout.reconfigure(encoding="ascii", errors=LETTERS)
        elif sys.stdout.encoding.lower() != "utf-8":
            sys.stdout.reconfigure(errors=LETTERS)


def console() -> Console:
    """Return where to print. NO_COLOR (no-color.org) is honoured."""
    return Console(highlight=False)


def width(to: Console) -> int:
    """Return the columns to use: never more than are there, and no more than are read well."""
    return min(WIDTH, to.width)
