"""The services a resident can call, as data, and when they are open."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import Annotated, Final, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, field_validator

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


class Service(BaseModel):
    """One service. `hours` maps a day to spans like "09:00-12:00"; no day, no opening.

    `always_open` is for the demo. `description` is by language (BCP 47).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,32}$")]
    name: Annotated[str, Field(min_length=1, max_length=40)]
    description: dict[str, str]
    colour: Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$")]
    icon: str
    languages: tuple[str, ...] = ("fr",)
    timezone: str = "Europe/Paris"
    always_open: bool = False
    hours: dict[Day, tuple[str, ...]] = {}

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (KeyError, ValueError) as error:
            raise ValueError(f"{value!r} is not a time zone such as Europe/Paris") from error
        return value

    @field_validator("hours")
    @classmethod
    def _spans(cls, value: dict[Day, tuple[str, ...]]) -> dict[Day, tuple[str, ...]]:
        for spans in value.values():
            for span in spans:
                _span(span)
        return value

    def is_open(self, at: datetime) -> bool:
        """Tell whether the service is open at `at` (aware)."""
        if self.always_open:
            return True
        here = at.astimezone(ZoneInfo(self.timezone))
        spans = (_span(span) for span in self.hours.get(_day(here), ()))
        return any(start <= here.time() < end for start, end in spans)

    def next_opening(self, at: datetime) -> str | None:
        """Return "HH:MM" for today, "D HH:MM" (0 = Monday) for a later day, None if never."""
        here = at.astimezone(ZoneInfo(self.timezone))
        for ahead in range(8):
            day = here + timedelta(days=ahead)
            starts = sorted(_span(span)[0] for span in self.hours.get(_day(day), ()))
            for start in starts:
                if ahead == 0 and start > here.time():
                    return f"{start:%H:%M}"
                if ahead > 0:
                    return f"{day.weekday()} {start:%H:%M}"
        return None


def _day(at: datetime) -> Day:
    day: Day = DAYS[at.weekday()]
    return day


def _span(text: str) -> tuple[time, time]:
    try:
        start, end = (time.fromisoformat(part.strip()) for part in text.split("-"))
    except ValueError as error:
        raise ValueError(f"{text!r} is not a span such as 09:00-12:00") from error
    if start >= end:
        raise ValueError(f"{text!r} ends before it begins")
    return start, end
