"""The jitter buffer in simulated time, with real Opus: the properties that must always hold."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kioskd.hal.microphone import CHUNK_BYTES, SAMPLE_RATE
from kioskd.sound import stretch
from kioskd.sound.delay import MOST_S
from kioskd.sound.opus import Encoder, Samples
from kioskd.sound.playout import Playout
from kioskd.sound.red import Block
from kioskd.sound.store import MOST_PACKETS
from tests.speech import (
    Sent,
    burst_loss,
    held,
    jitter,
    packets,
    random_loss,
    run,
    stream,
    voice,
)

BANK = packets(5.0)
VOICED = packets(5.0, pauses=False)
NO_DELAY: Callable[[Sent], float | None] = lambda _: 0.0  # noqa: E731
FEW = settings(max_examples=25, deadline=None)


def outcome(
    sent: list[Sent], carry: Callable[[Sent], float | None], seconds: float
) -> tuple[Playout, bytes]:
    heard: list[bytes] = []
    playout = run(iter(sent), carry, seconds, on_tick=lambda _, chunk, __: heard.append(chunk))
    return playout, b"".join(heard)


def share(samples: int, playout: Playout) -> float:
    return samples / playout.played.total


def test_silence_before_the_first_packet_and_sound_after() -> None:
    playout = Playout()
    assert playout.pull(0.0) == bytes(CHUNK_BYTES)
    run(stream(BANK, 10), NO_DELAY, 10, playout=playout)
    assert playout.played.concealed == 0
    assert playout.delay_s < 0.08
    heard = outcome(list(stream(VOICED, 5)), NO_DELAY, 4)[1]
    loudness = np.abs(np.frombuffer(heard, np.int16).astype(int)).mean()
    assert loudness == pytest.approx(np.abs(voice(5.0, pauses=False).astype(int)).mean(), rel=0.2)


@FEW
@given(st.data())
def test_whatever_the_line_does_there_is_sound_and_the_delay_is_bounded(
    data: st.DataObject,
) -> None:
    """Loss, repetition, overtaking, holes, other clocks, foreign packets: all at once."""
    rng = random.Random(data.draw(st.integers(0, 1 << 30)))
    loss = data.draw(st.sampled_from([0.0, 0.05, 0.5, 1.0]))
    late = data.draw(st.sampled_from([0.0, 0.05, 0.4, 3.0]))
    first = data.draw(st.sampled_from([0, (1 << 32) - 48_000, 12_345]))
    ppm = data.draw(st.sampled_from([0, 300, -300, 50_000]))
    rough = [s for s in stream(BANK, 8, first=first, ppm=ppm, red=1) if rng.random() >= loss]
    rough += rng.choices(rough, k=len(rough) // 5) if rough else []
    for _ in range(data.draw(st.integers(0, 20))):
        garbage = Block(111, rng.randrange(20_000), rng.randbytes(rng.randrange(1, 60)))
        rough.append(Sent(-1, rng.getrandbits(32), (garbage,), rng.uniform(0, 8)))
    worst = 0.0

    def look(now: float, _: bytes, playout: Playout) -> None:
        nonlocal worst
        assert len(playout.store._waiting) <= MOST_PACKETS
        assert len(playout._sound) < SAMPLE_RATE / 5
        if now > 14:
            worst = max(worst, playout.delay_s)

    # Then the line is good again, with the clock right.
    after = [
        Sent(s.number + 10_000, s.timestamp, s.blocks, s.at + 8)
        for s in stream(BANK, 8, first=(first + 8 * SAMPLE_RATE) % (1 << 32))
    ]
    playout = run(
        iter(rough + after),
        lambda s: rng.uniform(0, late) if s.at <= 8 else 0.0,
        16,
        on_tick=look,
    )
    assert playout.played.total == 16 * SAMPLE_RATE
    assert worst <= 0.12


def test_a_queue_that_comes_again_is_kept_in_mind() -> None:
    """As those of a browser that tries for more: speech is not stretched each time anew."""

    def queue(sent: Sent) -> float:
        return 0.07 * max(0.0, 1 - abs(sent.at % 8 - 4))

    playout = run(stream(VOICED, 60), queue, 60)
    assert playout.played.concealed <= 0.1 * SAMPLE_RATE
    assert playout.played.accelerated + playout.played.expanded <= 0.2 * SAMPLE_RATE
    assert 0.06 <= playout.store.estimator.target_s <= 0.1


@FEW
@given(st.integers(0, 1 << 32), st.integers(0, 1 << 20))
def test_timestamps_that_turn_over_are_not_heard(before: int, seed: int) -> None:
    turning = (1 << 32) - before % (4 * SAMPLE_RATE)
    outcomes = [
        outcome(list(stream(BANK, 4, first=first)), random_loss(0.05, seed), 4)
        for first in (0, turning % (1 << 32))
    ]
    assert outcomes[0][1] == outcomes[1][1]
    assert outcomes[0][0].played == outcomes[1][0].played


@FEW
@given(st.integers(0, 1 << 20), st.floats(0, 0.1))
def test_packets_that_come_twice_are_played_once(seed: int, apart: float) -> None:
    sent = list(stream(BANK, 4))
    again = [Sent(s.number, s.timestamp, s.blocks, s.at + apart) for s in sent]
    once, twice = (outcome(s, NO_DELAY, 4) for s in (sent, sent + again))
    assert once[1] == twice[1]
    assert twice[0].store.arrivals.late == 0


@FEW
@given(st.integers(0, 1 << 20), st.floats(0.0, 0.12))
def test_packets_that_overtake_each_other_are_put_in_order(seed: int, most: float) -> None:
    late = jitter(most, seed)
    playout = run(stream(BANK, 12), lambda s: 0.0 if s.at < 0.1 else late(s), 12)
    assert share(playout.played.concealed, playout) < 0.03  # until the delay has grown
    assert playout.delay_s <= most + 0.06


@pytest.mark.parametrize("seconds", [0.1, 0.25, 0.5, 1.0, 2.0, 3.0])
@pytest.mark.parametrize("seed", [1, 2])
def test_the_delay_is_normal_soon_after_a_burst(seconds: float, seed: int) -> None:
    start = 8.0 + 0.31 * seed
    worst = 0.0

    def look(now: float, _: bytes, playout: Playout) -> None:
        nonlocal worst
        if now > start + seconds + 5:
            worst = max(worst, playout.delay_s)

    playout = run(stream(VOICED, 20), held(start, seconds), 20, on_tick=look)
    assert worst <= 0.1
    assert share(playout.played.concealed, playout) < (seconds + 0.1) / 20


def test_a_hole_leaves_no_delay() -> None:
    lost: Callable[[Sent], float | None] = lambda s: None if 5 < s.at < 8 else 0.0  # noqa: E731
    playout = run(stream(BANK, 12), lost, 12)
    assert playout.delay_s < 0.08
    assert playout.played.concealed == pytest.approx(3 * SAMPLE_RATE, abs=0.1 * SAMPLE_RATE)


@pytest.mark.parametrize("ppm", [200, -200])
def test_another_clock_is_followed_for_an_hour(ppm: int) -> None:
    encoder = Encoder(6_000)
    encoder.set_complexity(0)
    sound = voice(5.0)[: 5 * SAMPLE_RATE].tobytes()
    bank = tuple(encoder.encode(sound[i : i + 5760]) for i in range(0, len(sound) - 5759, 5760))
    delays: list[float] = []
    playout = Playout()
    number, tick = 0, 0
    while tick < 3600 * 50:
        now = 0.013 + tick * 0.02
        while (at := (number + 1) * 0.06 / (1 + ppm / 1e6)) <= now:
            block = Block(111, 0, bank[number % len(bank)])
            playout.put(7, number * 2880 % (1 << 32), [block], at)
            number += 1
        playout.pull(now)
        delays.append(playout.delay_s)
        tick += 1
    assert playout.played.concealed == 0
    assert max(delays) < 0.12
    assert min(delays[100:]) > 0.0
    moved = playout.played.accelerated - playout.played.expanded
    assert moved == pytest.approx(3600 * SAMPLE_RATE * ppm / 1e6, abs=0.1 * SAMPLE_RATE)


def test_silence_that_is_not_sent_is_no_loss() -> None:
    encoder = Encoder(32_000)
    encoder.set_dtx(True)
    speech = voice(1.0, pauses=False)
    turns = np.concatenate([part for _ in range(6) for part in (speech, np.zeros_like(speech))])
    pcm = turns.tobytes()
    bank = [encoder.encode(pcm[i : i + 1920]) for i in range(0, len(pcm), 1920)]
    sent = [
        s
        for s, payload in zip(stream(tuple(bank), 12), bank, strict=True)
        if len(payload) > 2 or (s.number and len(bank[s.number - 1]) > 2)
    ]
    assert len(sent) < 0.75 * len(bank)
    playout, _ = outcome(sent, NO_DELAY, 12)
    assert playout.played.concealed == 0
    assert playout.played.comfort > 3 * SAMPLE_RATE
    assert playout.delay_s < 0.1


@pytest.mark.parametrize(("red", "most"), [(0, 0.007), (1, 0.002)], ids=["fec", "red"])
def test_two_percent_of_loss_are_hardly_heard(red: int, most: float) -> None:
    """The rest with FEC alone are pauses, whose packets carry none."""
    playout = run(stream(BANK, 60, red=red), random_loss(0.02), 60)
    assert share(playout.played.concealed, playout) <= most
    recovered = playout.played.recovered_red if red else playout.played.recovered_fec
    assert share(recovered, playout) > 0.012
    if not red:
        voiced = run(stream(VOICED, 60), random_loss(0.02), 60)
        assert share(voiced.played.concealed, voiced) <= 0.002


def test_bursts_of_loss_want_more_redundancy() -> None:
    shares = []
    for red in (0, 1, 2):
        playout = run(stream(BANK, 60, red=red), burst_loss(0.05), 60)
        shares.append(share(playout.played.concealed, playout))
    assert shares == sorted(shares, reverse=True)
    assert shares[2] < 0.03


@pytest.mark.parametrize("most", [0.05, 0.1, 0.2])
def test_jitter_is_met_with_as_much_delay_as_it_needs(most: float) -> None:
    delays: list[float] = []
    playout = run(
        stream(BANK, 60), jitter(most), 60, on_tick=lambda _, __, p: delays.append(p.delay_s)
    )
    assert share(playout.played.concealed, playout) < 0.005
    assert np.quantile(delays, 0.95) <= most + 0.045
    assert playout.store.estimator.target_s <= MOST_S


def test_the_delay_of_a_queue_that_is_gone_goes_with_it() -> None:
    """A line that got narrow: its queue grows at once, and is emptied by fits and starts."""
    rng = random.Random(1)

    def carry(sent: Sent) -> float:
        if not 5 <= sent.at < 9:
            return 0.0
        return min(0.9, 2.7 * (sent.at - 5), 0.25 * (9 - sent.at)) * rng.uniform(0.8, 1.0)

    def late(forgets: bool) -> float:
        delays: dict[int, float] = {}

        def tick(now: float, _: bytes, playout: Playout) -> None:
            if forgets and round(now * 50) == 9 * 50:
                playout.store.estimator.forget()
            delays[round(now * 50)] = playout.delay_s

        run(stream(BANK, 15), carry, 15, on_tick=tick)
        return delays[11 * 50]

    assert late(forgets=True) <= 0.08
    assert late(forgets=False) > 0.15


def test_a_path_that_grew_longer_is_followed_and_left_alone() -> None:
    """No faster than the sound comes: it is not sped up only to wait again."""
    playout = run(stream(VOICED, 30), lambda s: 0.0 if s.at < 10 else 0.4, 30)
    assert playout.played.concealed <= 0.45 * SAMPLE_RATE
    assert playout.played.accelerated < 0.05 * SAMPLE_RATE
    assert playout.delay_s < 0.08


def test_a_guess_fades_and_the_sound_comes_back_without_a_click() -> None:
    lost: Callable[[Sent], float | None] = lambda s: None if 5 < s.at < 6 else 0.0  # noqa: E731
    heard = np.frombuffer(outcome(list(stream(VOICED, 10)), lost, 10)[1], np.int16)
    second = heard[int(5.6 * SAMPLE_RATE) : int(5.9 * SAMPLE_RATE)]
    assert not second.any()
    assert above_8_khz(heard) < 4 * above_8_khz(heard[: 5 * SAMPLE_RATE])


def test_another_source_begins_anew() -> None:
    playout = Playout()
    run(stream(BANK, 3), NO_DELAY, 3, playout=playout)
    for number, payload in enumerate(BANK[:100]):
        playout.put(8, 99 + number * 960, [Block(111, 0, payload)], 3.0 + number * 0.02)
        playout.pull(3.01 + number * 0.02)
    assert playout.played.concealed <= 0.1 * SAMPLE_RATE
    assert playout.store.arrivals.malformed == 0


def test_a_source_that_counts_anew_is_followed_and_a_stray_is_not() -> None:
    sent = list(stream(BANK, 6))
    stray = Sent(-1, 3_000_000_000, sent[0].blocks, 3.0)
    anew = [Sent(s.number, s.timestamp + 2_000_000_000, s.blocks, s.at + 6) for s in sent]
    playout, _ = outcome([*sent, stray, *anew], NO_DELAY, 12)
    assert playout.store.arrivals.malformed == 5
    assert playout.played.concealed <= 0.3 * SAMPLE_RATE


def above_8_khz(sound: Samples) -> float:
    """The loudest moment up there, where the voice has nothing: a click is broad."""
    frames = np.lib.stride_tricks.sliding_window_view(sound.astype(np.float64), 256)[::64]
    spectrum = np.abs(np.fft.rfft(frames * np.hanning(256)))
    return float((spectrum[:, 48:] ** 2).sum(axis=1).max())


def test_shortened_and_lengthened_speech_does_not_click() -> None:
    sound = voice(3.0, seed=5, pauses=False)
    plain = above_8_khz(sound)
    for change in (stretch.shorten, stretch.lengthen):
        parts, rest, changed = [], sound, 0
        while len(rest) > stretch.NEEDED + 2880:
            period = stretch.find_period(rest).samples
            done = 5 * period if change is stretch.shorten else 4 * period
            out = change(rest[: max(done, 2 * period)], period)
            parts.append(out)
            changed += period
            rest = rest[max(done, 2 * period) :]
        assert changed / (len(sound) - len(rest)) == pytest.approx(0.22, abs=0.04)
        assert above_8_khz(np.concatenate(parts)) < 4 * plain  # 6 dB
    cut = np.concatenate([sound[i : i + 1920] for i in range(0, len(sound), 2400)])
    assert above_8_khz(cut) > 10 * plain  # and a click would have been seen


@given(st.integers(0, 1 << 20))
@FEW
def test_the_pitch_is_found(seed: int) -> None:
    rng = np.random.default_rng(seed)
    frequency = rng.uniform(80, 390)
    phase = 2 * np.pi * frequency * np.arange(stretch.NEEDED) / SAMPLE_RATE
    sound = sum(rng.uniform(1000, 3000) / k * np.sin(k * phase) for k in (1, 2, 3))
    period = stretch.find_period(np.rint(sound).astype(np.int16))
    periods = period.samples / (SAMPLE_RATE / frequency)
    assert period.likeness > 0.95
    assert periods == pytest.approx(round(periods), abs=0.06)


def test_too_little_sound_is_refused() -> None:
    short = np.zeros(100, np.int16)
    with pytest.raises(ValueError, match="samples"):
        stretch.find_period(short)
    for change in (stretch.shorten, stretch.lengthen):
        with pytest.raises(ValueError, match="periods"):
            change(short, 60)
