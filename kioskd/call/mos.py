"""How good a conversation is, as one number: the E-model for full-band speech. Pure.

`R = Ro - Id - Ie,eff`, then a mean opinion score from 1 to 4.5. What comes from where:

- The scale of 148 (`Ro` less the room's and the circuit's noise at their default values), 132 in
  `Ie,eff`, 1.48 in the delay's part and in the way to the score: ITU-T G.107.2 (06/2019), clauses
  6.2, 7.4 and 7.5 and annex A. rtpengine computes with the same four.
- The delay's curve, its 100 ms and its slope: ITU-T G.107 (06/2015), clause 7.4, `Idd` with the
  default class of sensitivity (sT = 1, mT = 100 ms).
- R to score: G.107, annex B.
- The burst ratio: G.107, clause 7.5. G.107.2 knows random loss only: that it may be put into the
  full-band formula in the same place is our **assumption**.
- The codec's figures: ITU-T G.113 (09/2024) has full-band ones for EVS alone (appendix V), none
  for Opus. Ours are those of Alahmadi, Pocta and Melvin (ACM TOMM 17(4), 2021, 133; super-wideband,
  variable rate, random loss, by POLQA). That they hold for the full band is an **assumption**; at
  24 to 48 kbit/s they lie between 10 and 20 as those of EVS do, at 7 to 11.

Left out, so taken for perfect: echo (the canceller's work), loudness, noise, microphones. The
score is the line's, not the room's. Loss counts where it is heard: what the jitter buffer made up
after FEC and RED, not what the network lost.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Final

PERFECT: Final = 148.0
_SCALE: Final = PERFECT / 100
_MOST_EQUIPMENT: Final = 132.0
_NOTICED_S: Final = 0.1
_MOST_DELAY: Final = 25.0
MOST_BURST: Final = 2.0
"""G.107 vouches for no more than that where more than 2 % are lost."""
WORST: Final = 1.0
BEST: Final = 4.5

SATISFIED: Final = 4.03
SOME_DISSATISFIED: Final = 3.6
MANY_DISSATISFIED: Final = 3.1
NEARLY_ALL_DISSATISFIED: Final = 2.58
"""ITU-T G.109, table 1, where R is 80, 70, 60 and 50 of 100: what people say from here on up."""


@dataclass(frozen=True, slots=True)
class Codec:
    """`impairment` is Ie, what it costs without loss; `robustness` Bpl, the percent of loss at
    which half of what is left has gone.
    """

    impairment: float
    robustness: float


@dataclass(frozen=True, slots=True)
class Heard:
    """What reaches one ear.

    `concealed` is the share of the sound that was made up, `burst` how much longer its runs are
    than chance would make them (1 = chance), `delay_s` is from mouth to ear.
    """

    concealed: float
    delay_s: float
    burst: float = 1.0


_OPUS: Final = (
    (14_000, Codec(38.1, 16.5)),
    (16_000, Codec(30.2, 11.8)),
    (19_000, Codec(23.8, 10.7)),
    (22_000, Codec(20.2, 10.5)),
    (28_000, Codec(18.5, 10.6)),
    (34_000, Codec(14.8, 10.1)),
    (40_000, Codec(10.7, 9.8)),
)


def opus(bit_rate: float) -> Codec:
    """Return what Opus costs at a rate in bits per second, by interpolation; at the ends as there.

    The paper's other rates lie on these lines within 1 of its figures.
    """
    if bit_rate <= _OPUS[0][0]:
        return _OPUS[0][1]
    for (low, before), (high, after) in itertools.pairwise(_OPUS):
        if bit_rate <= high:
            part = (bit_rate - low) / (high - low)
            return Codec(
                before.impairment + part * (after.impairment - before.impairment),
                before.robustness + part * (after.robustness - before.robustness),
            )
    return _OPUS[-1][1]


def rating(heard: Heard, codec: Codec) -> float:
    """Return R on the full-band scale: 148 is perfect, 0 and less useless."""
    return PERFECT - delay_impairment(heard.delay_s) - equipment_impairment(heard, codec)


def delay_impairment(delay_s: float) -> float:
    """Return Idd: nothing up to 100 ms, then ever more, since people begin to speak at once."""
    if delay_s <= _NOTICED_S:
        return 0.0
    x = math.log2(delay_s / _NOTICED_S)
    rise: float = (1 + x**6) ** (1 / 6) - 3 * (1 + (x / 3) ** 6) ** (1 / 6) + 2
    return _SCALE * _MOST_DELAY * rise


def equipment_impairment(heard: Heard, codec: Codec) -> float:
    """Return Ie,eff: the codec's own part and that of what was lost on its way."""
    lost = 100 * min(1.0, max(0.0, heard.concealed))
    burst = min(MOST_BURST, max(1.0, heard.burst))
    left = _MOST_EQUIPMENT - codec.impairment
    return codec.impairment + left * lost / (lost / burst + codec.robustness)


def burst_ratio(mean_run: float, loss: float) -> float:
    """Return the BurstR of runs of `mean_run` packets where a share `loss` of all is lost.

    By chance alone runs have 1 / (1 - loss) packets.
    """
    return mean_run * (1 - min(1.0, loss))


def score(rating: float) -> float:
    """Return the mean opinion score of a full-band R: 1.0 bad, 4.5 as good as people ever say."""
    hundred = rating / _SCALE
    if hundred <= 0:
        return WORST
    if hundred >= 100:
        return BEST
    polynomial = 1 + 0.035 * hundred + hundred * (hundred - 60) * (100 - hundred) * 7e-6
    return max(WORST, polynomial)  # it dips below 1 for the smallest R


def mos(heard: Heard, codec: Codec) -> float:
    """Return the mean opinion score of what reaches an ear."""
    return score(rating(heard, codec))
