"""What a line does to packets, as data: the shapes of both directions and their changes."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Burst(BaseModel):
    """Loss in bursts: the chain of Gilbert and Elliott (E. O. Elliott, BSTJ 42, 1963).

    `begin` and `end` are the chances, at each packet, to go from good to bad and back;
    `loss` is the chance to lose a packet while bad. A burst lasts 1/end packets on average.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    begin: float = Field(ge=0, le=1)
    end: float = Field(gt=0, le=1)
    loss: float = Field(1.0, ge=0, le=1)

    @property
    def mean_loss(self) -> float:
        """Share of packets lost in the long run."""
        return self.loss * self.begin / (self.begin + self.end)


class Shape(BaseModel):
    """One direction of a line.

    `rate_bps` counts bits of IP packets (28 bytes of IPv4 and UDP headers to each payload);
    None is without limit. A packet that would wait longer than `queue_ms` for its turn, or
    find more than `queue_bytes` before it, is dropped at the tail. Then comes `delay_ms`, one
    way, and up to `jitter_ms` more, evenly distributed; packets overtake each other by it only
    where `reorder` is True. `loss` and `burst` lose packets that have used up their share of
    the rate.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rate_bps: int | None = Field(None, gt=0)
    queue_ms: float = Field(250, ge=0)
    queue_bytes: int | None = Field(None, ge=0)
    delay_ms: float = Field(0, ge=0)
    jitter_ms: float = Field(0, ge=0)
    reorder: bool = False
    loss: float = Field(0, ge=0, le=1)
    burst: Burst | None = None


class Step(BaseModel):
    """From `at_s` seconds after the script's start on, the line has these shapes.

    `up` is from the kiosk to the agent, `down` from the agent to the kiosk.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    at_s: float = Field(ge=0)
    up: Shape
    down: Shape


class Script(BaseModel):
    """The steps of a line in order; the first is at 0 and holds before the start too."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: tuple[Step, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        times = [step.at_s for step in self.steps]
        if times[0] != 0 or times != sorted(set(times)):
            raise ValueError("steps begin at 0 and rise")
        return self
