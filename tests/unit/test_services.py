"""Opening hours."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from kioskd.services import Service

CAF = Service(
    id="caf",
    name="CAF",
    description={"fr": "Allocations"},
    colour="#1f5fa8",
    icon="family",
    hours={"mon": ("09:00-12:00", "13:30-16:30"), "wed": ("09:00-12:00",)},
)


@pytest.mark.parametrize(
    ("at", "is_open", "opens"),
    [
        # 2026-11-23 is a Monday; Paris is one hour ahead of UTC in winter
        ("2026-11-23T07:59", False, "09:00"),
        ("2026-11-23T08:00", True, "13:30"),
        ("2026-11-23T11:00", False, "13:30"),
        ("2026-11-23T15:30", False, "2 09:00"),
        ("2026-11-24T09:00", False, "2 09:00"),
        ("2026-11-26T09:00", False, "0 09:00"),
        # and two in summer
        ("2026-07-06T07:00", True, "13:30"),
    ],
)
def test_hours_are_those_of_the_services_own_zone(at: str, is_open: bool, opens: str) -> None:
    moment = datetime.fromisoformat(at).replace(tzinfo=UTC)
    assert CAF.is_open(moment) is is_open
    assert CAF.next_opening(moment) == opens


def test_a_service_without_hours_never_opens() -> None:
    never = CAF.model_copy(update={"hours": {}})
    assert not never.is_open(datetime(2026, 11, 23, 10, tzinfo=UTC))
    assert never.next_opening(datetime(2026, 11, 23, 10, tzinfo=UTC)) is None


@pytest.mark.parametrize("span", ["9h-12h", "12:00-09:00", "09:00", "25:00-26:00"])
def test_a_span_that_is_none_is_refused(span: str) -> None:
    with pytest.raises(ValidationError, match=r"not a span|ends before"):
        Service.model_validate({**CAF.model_dump(), "hours": {"mon": [span]}})
