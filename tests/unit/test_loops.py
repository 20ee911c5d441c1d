"""The closed loops without devices: a sweep is found in noise, a proof page is known again."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from kioskd.diagnostics import chirp
from kioskd.hal.microphone import CHUNK_BYTES, SAMPLE_RATE
from kioskd.vision import proof

RNG = np.random.default_rng(1)


def played() -> chirp.Wave:
    return chirp.wave_of(b"".join(chirp.chunks()))


def room(gain: float, noise: float, delay_s: float = 0.12) -> chirp.Wave:
    """What a microphone hears of the sweeps."""
    wave, delay = played(), round(delay_s * SAMPLE_RATE)
    heard = RNG.normal(0, noise, len(wave) + SAMPLE_RATE)
    heard[delay : delay + len(wave)] += gain * wave
    return heard


def test_what_is_played_comes_in_chunks_that_a_speaker_takes() -> None:
    assert {len(one) for one in chirp.chunks()} == {CHUNK_BYTES}
    assert np.max(np.abs(played())) < 32768 / 2


@pytest.mark.parametrize("gain", [1.0, 0.1, 0.01])
def test_a_sweep_is_found_with_its_delay_and_its_level(gain: float) -> None:
    found = chirp.find(room(gain, 100), 0.0)
    assert found.found
    assert found.delay_s == pytest.approx(0.12, abs=0.001)
    own = chirp.dbfs(chirp.sweep()) + 20 * np.log10(gain)
    assert found.level_dbfs == pytest.approx(own, abs=1)
    assert max(found.curve) == 1.0


def test_it_is_found_below_the_noise() -> None:
    heard = room(0.003, 300)
    assert chirp.dbfs(heard) > -45
    found = chirp.find(heard, 0.0)
    assert found.found
    assert found.level_dbfs < -55


def test_noise_alone_is_no_sweep() -> None:
    for _ in range(20):
        assert not chirp.find(room(0, 1000), 0.0).found


def test_a_sweep_that_comes_once_is_no_echo_of_two() -> None:
    heard = room(0.1, 100)
    heard[: round(1.1 * SAMPLE_RATE)] = RNG.normal(0, 100, round(1.1 * SAMPLE_RATE))
    assert not chirp.find(heard, 0.0).found


@pytest.mark.parametrize("seconds", [0.0, 0.1, 4.0])
def test_silence_of_any_length_is_no_error(seconds: float) -> None:
    assert not chirp.find(np.zeros(round(seconds * SAMPLE_RATE)), 0.0).found


def askew(page: proof.Grey, degrees: float, size: float) -> proof.Grey:
    """What a scanner makes of a page: turned, smaller, softer, greyer, noisy."""
    height, width = page.shape
    move = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, size)
    turned = cv2.warpAffine(page, move, (width, height), borderValue=(255,))
    soft = cv2.GaussianBlur(turned, (5, 5), 0).astype(np.float64) * 0.8 + 30
    return np.clip(soft + RNG.normal(0, 8, soft.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(("degrees", "size"), [(0, 1.0), (2.5, 0.97), (-4, 0.9), (180, 1.0)])
def test_a_page_is_known_again(degrees: float, size: float) -> None:
    code = proof.new_code()
    found = proof.read(askew(proof.draw(code, "kiosk-1  2026-11-25", dpi=200), degrees, size), 200)
    assert found.code == code
    assert found.likeness > 0.9
    assert found.scale == pytest.approx(size, abs=0.01)
    assert abs(found.tilt_deg) == pytest.approx(abs(degrees), abs=0.3)


def test_a_page_without_a_part_of_its_ink_is_less_like() -> None:
    code = proof.new_code()
    page = proof.draw(code, dpi=200).copy()
    page[1050:, 300:1350] = 255  # the greys, the lines and the text
    assert proof.read(page, 200).likeness < 0.9


def test_other_pages_have_no_code() -> None:
    blank = np.full((2339, 1654), 255, np.uint8)
    assert proof.read(blank, 200) == proof.Reading(None)
    assert proof.contrast(blank) == 0
    letter = blank.copy()
    for line in range(30):
        cv2.putText(letter, "Madame, Monsieur", (100, 200 + 60 * line), 0, 1.5, 0, 2)
    assert proof.read(letter, 200).code is None


def test_codes_are_not_given_twice() -> None:
    assert len({proof.new_code() for _ in range(200)}) == 200
