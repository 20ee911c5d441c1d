"""What an IPP printer says is wrong, in our words."""

from __future__ import annotations

import pytest

from drivers.printer.reasons import reasons_of
from kioskd.errors import Reason


@pytest.mark.parametrize(
    ("keyword", "reason"),
    [
        ("output-area-full-error", Reason.OUTPUT_FULL),
        ("paused", Reason.OFFLINE),
        ("media-empty-warning", Reason.PAPER_OUT),
        ("media-needed", Reason.PAPER_OUT),
        ("media-jam-error", Reason.PAPER_JAM),
        ("cover-open-report", Reason.COVER_OPEN),
        ("door-open", Reason.COVER_OPEN),
        ("marker-supply-low-warning", Reason.INK_LOW),
        ("toner-empty-error", Reason.INK_OUT),
        ("connecting-to-device", Reason.OFFLINE),
    ],
)
def test_keywords_of_ipp_are_translated(keyword: str, reason: Reason) -> None:
    assert reasons_of(["none", keyword]) == {reason}
