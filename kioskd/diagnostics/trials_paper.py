"""The report of a test on one page, for the town hall's file."""

from __future__ import annotations

import base64
import io
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from PIL import Image

from kioskd.control.trial import Curve, Outcome, Result
from kioskd.diagnostics.sheet import A4, BLACK, GREY, PALE, WHITE, Colour, Sheet, width, wrap
from kioskd.diagnostics.trials import PartTold, TestReport, TrialTold
from kioskd.diagnostics.words import Tests, words

MARGIN: Final = 40.0
RIGHT: Final = A4[0] - MARGIN
INK: Final[Colour] = (0.0, 0.0, 0.45)
COLOURS: Final[dict[Result, Colour]] = {
    Result.PASSED: (0.10, 0.48, 0.25),
    Result.DEGRADED: (0.72, 0.45, 0.0),
    Result.FAILED: (0.75, 0.07, 0.10),
    Result.NOT_TRIED: (0.48, 0.48, 0.50),
}
SMALL: Final = 7.2
LEAD: Final = 9.2
_TEXT_X: Final = 228.0
_PILL: Final = (142.0, 68.0)
_FIGURES: Final = (120.0, 300.0)
"""Least and greatest height of the pictures."""
_GRAPH: Final = 170.0
"""Width that is kept for the graphs."""
_TITLE: Final = 6.0
_AXIS: Final = 18.0
_FOOT: Final = 46.0
_GAP: Final = 12.0
_PICTURES_AT_MOST: Final = 640


def write_paper(path: Path, report: TestReport, outcomes: Sequence[Outcome]) -> None:
    """Write the report as a PDF of one page, A4. Raises OSError."""
    said = words(report.language).tests
    sheet = Sheet()
    y = _head(sheet, report, said)
    figures = _figures(outcomes, said)
    room = A4[1] - _FOOT - (_FIGURES[0] + 2 * _GAP if figures else 0) - y
    for lines in (99, 6, 5, 4, 3, 2, 1):  # what was measured gives way to what is to be done
        rows = [_Row(test, report, lines) for test in report.tests]
        if sum(row.high for row in rows) <= room:
            break
    for row in rows:
        row.draw(sheet, y)
        y += row.high
    high = min(_FIGURES[1], A4[1] - _FOOT - y - 2 * _GAP)
    _draw_figures(sheet, figures, y + 2 * _GAP, high)
    _foot(sheet, report, said)
    sheet.save(path, f"{said.title} {report.kiosk} {report.time:%Y-%m-%d}")


def _head(sheet: Sheet, report: TestReport, said: Tests) -> float:
    sheet.box(0, 0, A4[0], 74, INK)
    sheet.text(MARGIN, 36, said.title, 22, bold=True, colour=WHITE)
    sheet.text(MARGIN, 56, report.name or report.kiosk, 12, colour=WHITE)
    score = "-" if report.score is None else str(report.score)
    colour = COLOURS[report.result]
    sheet.box(RIGHT - 116, 14, 116, 46, WHITE)
    sheet.box(RIGHT - 116, 14, 6, 46, colour)
    sheet.text(RIGHT - 100, 46, score, 28, bold=True, colour=colour)
    sheet.text(RIGHT - 100 + width(score, 28, bold=True) + 2, 46, "/100", 9, colour=GREY)
    sheet.text(RIGHT - 8, 30, said.of(report.result), 7.5, bold=True, colour=colour, align=1)
    facts = (
        (said.kiosk, report.kiosk or "-"),
        (said.town, report.town or "-"),
        (said.date, f"{report.time:%d/%m/%Y %H:%M}"),
        (said.version, report.kioskd),
        (said.duration, f"{report.took_s:.0f} s"),
    )
    x, step = MARGIN, (RIGHT - MARGIN) / len(facts)
    for name, value in facts:
        sheet.text(x, 92, name, 7.5, colour=GREY)
        sheet.text(x, 105, value, 10, bold=True)
        x += step
    y = 120.0
    if report.stopped is not None:
        why, red = said.no_outcome(report.stopped), COLOURS[Result.FAILED]
        sheet.text(MARGIN, y, why, 9, bold=True, colour=red)
        y += 12
    sheet.line((MARGIN, y - 4), (RIGHT, y - 4), PALE, 1)
    return y


class _Row:
    """One trial: name, result, score, and at its right what was seen, `lines` of it at most."""

    def __init__(self, test: TrialTold, report: TestReport, lines: int) -> None:
        self._test = test
        self._said = words(report.language).tests
        self._colon = words(report.language).ui.colon
        self._lines = self._written(lines)
        self._device = wrap(test.device, 6, _PILL[0] - MARGIN - 6)[:2]
        left = 22 + 7.5 * len(self._device)
        self.high = max(30.0, left + 4, LEAD * len(self._lines) + 11)

    def _written(self, most: int) -> list[tuple[str, Colour, bool]]:
        test, wide = self._test, RIGHT - _TEXT_X
        lines: list[tuple[str, Colour, bool]] = []
        finding = test.finding
        if finding is not None:
            colour = COLOURS[test.result]
            head = f"{finding.id}  {finding.title}"
            lines += [(one, colour, True) for one in wrap(head, SMALL, wide, bold=True)]
            todo = f"{self._said.action}{self._colon}{finding.action}"
            lines += [(one, BLACK, False) for one in wrap(todo, SMALL, wide)]
        worse = [part for part in test.parts if part.result is not Result.PASSED]
        better = [part for part in test.parts if part.result is Result.PASSED]
        measured: list[tuple[str, Colour, bool]] = []
        for part in worse:
            label = f"{self._said.of(part.result)} - {self._part(part)}"
            measured += [(one, COLOURS[part.result], False) for one in wrap(label, SMALL, wide)]
        flowing = "  ·  ".join(self._part(part) for part in better)
        measured += [(one, GREY, False) for one in wrap(flowing, SMALL, wide)]
        return lines + measured[:most]

    def _part(self, part: PartTold) -> str:
        return f"{part.name}{self._colon}{part.text}"

    def draw(self, sheet: Sheet, y: float) -> None:
        test, colour = self._test, COLOURS[self._test.result]
        sheet.text(MARGIN, y + 14, test.name, 10.5, bold=True)
        for number, line in enumerate(self._device):
            sheet.text(MARGIN, y + 22.5 + 7.5 * number, line, 6, colour=GREY)
        x, wide = _PILL
        sheet.box(x, y + 5, wide, 12, colour)
        label = self._said.of(test.result)
        sheet.text(x + wide / 2, y + 13.6, label, 7.5, bold=True, colour=WHITE, align=0.5)
        if test.score is not None:
            sheet.box(x, y + 20, wide - 22, 3.5, PALE)
            sheet.box(x, y + 20, (wide - 22) * test.score / 100, 3.5, colour)
            sheet.text(x + wide, y + 24.5, str(test.score), 8, bold=True, align=1)
        for number, (line, tint, bold) in enumerate(self._lines):
            sheet.text(_TEXT_X, y + 12.5 + LEAD * number, line, SMALL, bold=bold, colour=tint)
        sheet.line((MARGIN, y + self.high - 1), (RIGHT, y + self.high - 1), PALE, 0.6)


_Figure = tuple[str, Image.Image | Curve]


def _figures(outcomes: Sequence[Outcome], said: Tests) -> list[_Figure]:
    found: list[_Figure] = []
    pictures = {one.name: one.data for outcome in outcomes for one in outcome.exhibits}
    if "camera.png" in pictures:
        found.append((said.photo, _picture(pictures["camera.png"])))
    curves = {curve.name: curve for outcome in outcomes for curve in outcome.curves}
    if "levels" in curves:
        found.append((said.levels, curves["levels"]))
    if "correlation" in curves and curves["correlation"].values:
        found.append((said.echo, curves["correlation"]))
    if "scan.jpg" in pictures:
        found.append((said.scan, _picture(pictures["scan.jpg"])))
    return found


def _picture(data: str) -> Image.Image:
    image = Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")
    image.thumbnail((_PICTURES_AT_MOST, _PICTURES_AT_MOST))
    return image


def _draw_figures(sheet: Sheet, figures: Sequence[_Figure], y: float, high: float) -> None:
    """Put the pictures side by side, at their right the graphs one below the other."""
    pictures = [(title, what) for title, what in figures if not isinstance(what, Curve)]
    curves = [(title, what) for title, what in figures if isinstance(what, Curve)]
    x, room = MARGIN, RIGHT - MARGIN
    if pictures:
        room -= (_GRAPH + _GAP if curves else 0) + _GAP * (len(pictures) - 1)
        high = min(high, _TITLE + room / sum(what.width / what.height for _, what in pictures))
    for title, what in pictures:
        wide = (high - _TITLE) * what.width / what.height
        sheet.text(x, y, title, 7.5, bold=True, colour=GREY)
        sheet.picture(what, x, y + _TITLE, wide, high - _TITLE)
        sheet.box(x, y + _TITLE, wide, high - _TITLE, PALE, fill=False)
        x += wide + _GAP
    each = (high + _AXIS) / max(1, len(curves))
    for number, (title, curve) in enumerate(curves):
        top = y + each * number
        sheet.text(x, top, title, 7.5, bold=True, colour=GREY)
        _graph(sheet, curve, (x, top + _TITLE, RIGHT - x, each - _TITLE - _AXIS))


def _graph(sheet: Sheet, curve: Curve, place: tuple[float, float, float, float]) -> None:
    x, y, wide, high = place
    low, top = (-96.0, 0.0) if curve.name == "levels" else (0.0, 1.0)
    left = x + 18
    span = wide - 18
    sheet.box(left, y, span, high, (0.97, 0.97, 0.98))
    for step in range(4):
        value = low + (top - low) * step / 3
        at = y + high * (1 - step / 3)
        sheet.line((left, at), (left + span, at), PALE, 0.5)
        label = f"{value:.0f}" if curve.name == "levels" else f"{value:.1f}"
        sheet.text(left - 3, at + 2, label, 6, colour=GREY, align=1)
    points = [
        (
            left + span * number / max(1, len(curve.values) - 1),
            y + high * (1 - (min(top, max(low, value)) - low) / (top - low)),
        )
        for number, value in enumerate(curve.values)
    ]
    for start, end in itertools.pairwise(points):
        sheet.line(start, end, INK, 0.9)
    unit = (1.0, "s") if curve.name == "levels" else (1000.0, "ms")
    for step in range(3):
        value = (curve.start_s + curve.seconds * step / 2) * unit[0]
        label = f"{value:.1f} s" if unit[1] == "s" else f"{value:.0f} ms"
        sheet.text(left + span * step / 2, y + high + 8, label, 6, colour=GREY, align=step / 2)


def _foot(sheet: Sheet, report: TestReport, said: Tests) -> None:
    y = A4[1] - 22
    how = said.by_daemon if report.by_daemon else said.by_hand
    sheet.text(MARGIN, y, how, 7, colour=GREY)
    sheet.line((RIGHT - 190, y), (RIGHT, y), GREY, 0.6)
    sheet.text(RIGHT - 196, y, said.signature, 7, colour=GREY, align=1)
