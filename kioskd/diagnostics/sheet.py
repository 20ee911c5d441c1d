"""A sheet of A4 to write and draw on, whose text can be selected, over pikepdf's canvas.

Lengths are in points (1/72 inch), from the left upper corner.
"""

from __future__ import annotations

import unicodedata
from decimal import Decimal
from pathlib import Path
from typing import Final, TypeAlias

from pikepdf import Dictionary, Matrix, Name, Pdf
from pikepdf.canvas import Canvas, Color, Font, Text
from PIL import Image

A4: Final = (595.0, 842.0)

Colour: TypeAlias = tuple[float, float, float]

BLACK: Final[Colour] = (0.09, 0.09, 0.09)
GREY: Final[Colour] = (0.42, 0.42, 0.42)
PALE: Final[Colour] = (0.90, 0.91, 0.93)
WHITE: Final[Colour] = (1.0, 1.0, 1.0)

# Widths of U+0020 to U+007E in thousandths of the size: Adobe's metrics of the standard fonts.
_REGULAR: Final = (
    "278 278 355 556 556 889 667 191 333 333 389 584 278 333 278 278 556 556 556 556 556 556 556 "
    "556 556 556 278 278 584 584 584 556 1015 667 667 722 722 667 611 778 722 278 500 667 556 833 "
    "722 778 667 778 722 667 611 722 667 944 667 667 611 278 278 278 469 556 333 556 556 500 556 "
    "556 278 556 556 222 222 500 222 833 556 556 556 556 333 500 278 556 500 722 500 500 500 334 "
    "260 334 584"
)
_BOLD: Final = (
    "278 333 474 556 556 889 722 238 333 333 389 584 278 333 278 278 556 556 556 556 556 556 556 "
    "556 556 556 333 333 584 584 584 611 975 722 722 722 722 667 611 778 722 278 556 722 611 833 "
    "722 778 667 778 722 667 611 722 667 944 667 667 611 333 278 333 584 556 333 556 611 556 611 "
    "556 333 611 611 278 278 556 278 889 611 611 611 611 389 556 333 611 556 778 556 556 500 389 "
    "280 389 584"
)


class _Standard(Font):
    """One of the fonts that every PDF reader has (ISO 32000-1, 9.6.2.2), with Latin 1's letters."""

    def __init__(self, name: str, widths: str) -> None:
        self.name = name
        self._widths = [int(one) for one in widths.split()]

    def text_width(
        self,
        text: str | bytes,
        fontsize: float | Decimal = 1,
        *,
        char_spacing: int | Decimal = 0,  # noqa: ARG002
        word_spacing: int | Decimal = 0,  # noqa: ARG002
    ) -> float:
        """Return the width in points."""
        words = text if isinstance(text, str) else text.decode("cp1252")
        return sum(self._width(letter) for letter in words) * float(fontsize) / 1000

    def register(self, pdf: Pdf) -> Dictionary:
        """Put it into a document."""
        return pdf.make_indirect(
            Dictionary(
                Type=Name.Font,
                Subtype=Name.Type1,
                BaseFont=Name(f"/{self.name}"),
                Encoding=Name.WinAnsiEncoding,
            )
        )

    def _width(self, letter: str) -> int:
        plain = unicodedata.normalize("NFKD", letter)[0]  # an accent makes no letter wider
        place = ord(plain) - 0x20
        return self._widths[place] if 0 <= place < len(self._widths) else 556


_FONTS: Final = {
    False: _Standard("Helvetica", _REGULAR),
    True: _Standard("Helvetica-Bold", _BOLD),
}


class Sheet:
    """One page. Colours are red, green and blue from 0 to 1."""

    def __init__(self) -> None:
        self._canvas = Canvas(page_size=A4)
        for bold, font in _FONTS.items():
            self._canvas.add_font(_name(bold=bold), font)

    def text(
        self,
        x: float,
        y: float,
        words: str,
        size: float,
        *,
        bold: bool = False,
        colour: Colour = BLACK,
        align: float = 0.0,
    ) -> None:
        """Write one line on the base line `y`; `align` 0 begins at `x`, 0.5 centres, 1 ends."""
        left = x - align * width(words, size, bold=bold)
        text = Text().font(_name(bold=bold), size)
        text.text_transform(Matrix(1, 0, 0, 1, left, A4[1] - y))
        text.show(words.encode("cp1252", "replace"))
        self._canvas.do.fill_color(_colour(colour)).draw_text(text)

    def box(
        self, x: float, y: float, wide: float, high: float, colour: Colour, *, fill: bool = True
    ) -> None:
        """Draw a rectangle whose left upper corner is at `x`, `y`."""
        do = self._canvas.do
        if fill:
            do.fill_color(_colour(colour))
        else:
            do.stroke_color(_colour(colour)).line_width(0.6)
        do.rect(x, A4[1] - y - high, wide, high, fill)

    def line(
        self, start: tuple[float, float], end: tuple[float, float], colour: Colour, wide: float
    ) -> None:
        """Draw a line."""
        do = self._canvas.do.stroke_color(_colour(colour)).line_width(wide)
        do.line(start[0], A4[1] - start[1], end[0], A4[1] - end[1])

    def picture(self, image: Image.Image, x: float, y: float, wide: float, high: float) -> None:
        """Draw a picture as large as fits into a box, in its middle."""
        share = min(wide / image.width, high / image.height)
        w, h = image.width * share, image.height * share
        left, top = x + (wide - w) / 2, y + (high - h) / 2
        self._canvas.do.draw_image(image, left, A4[1] - top - h, w, h)

    def save(self, path: Path, title: str) -> None:
        """Write the page as a PDF file. Raises OSError."""
        with self._canvas.to_pdf() as pdf:
            with pdf.open_metadata() as metadata:
                metadata["dc:title"] = title
            pdf.save(path, compress_streams=True, recompress_flate=True)


def width(words: str, size: float, *, bold: bool = False) -> float:
    """Return the width of a line in points."""
    return _FONTS[bold].text_width(words, size)


def wrap(words: str, size: float, wide: float, *, bold: bool = False) -> list[str]:
    """Break a text into lines of `wide` points; a word that is longer is cut."""
    lines: list[str] = []
    line = ""
    for word in words.split():
        longer = f"{line} {word}".strip()
        if width(longer, size, bold=bold) <= wide:
            line = longer
            continue
        if line:
            lines.append(line)
        line = word
        while width(line, size, bold=bold) > wide:
            cut = next(
                n for n in range(len(line), 0, -1) if n == 1 or width(line[:n], size) <= wide
            )
            lines.append(line[:cut])
            line = line[cut:]
    return [*lines, line] if line else lines


def _name(*, bold: bool) -> Name:
    return Name("/FB" if bold else "/FR")


def _colour(colour: Colour) -> Color:
    return Color(*colour, 1)
