"""The binding to libopus: what it recovers, and that no size or content hurts it."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kioskd.sound import opus, red
from kioskd.sound.red import Block
from tests.speech import packets, voice


def level(sound: opus.Samples) -> float:
    return float(np.sqrt(np.mean(sound.astype(np.float64) ** 2)))


@pytest.mark.parametrize("samples", opus.ENCODED_SAMPLES)
def test_speech_goes_through(samples: int) -> None:
    decoder = opus.Decoder()
    bank = packets(2.0, samples=samples)
    assert {opus.duration(payload) for payload in bank} == {samples}
    sound = np.concatenate([decoder.decode(payload) for payload in bank])
    assert level(sound) == pytest.approx(level(voice(2.0)), rel=0.15)


def test_what_was_lost_is_in_the_next_packet() -> None:
    """Recovered sound is far nearer to the true one than concealed sound."""
    bank = packets(2.0, pauses=False)
    missed: dict[bool, float] = {}
    for recover in (True, False):
        whole, poor = opus.Decoder(), opus.Decoder()
        error = 0.0
        for number, payload in enumerate(bank):
            true = whole.decode(payload)
            if number % 10 != 8:
                poor.decode(payload)
            elif recover and opus.has_recovery(bank[number + 1]):
                error += level(true - poor.recover(bank[number + 1], 960))
            else:
                error += level(true - poor.conceal(960))
        missed[recover] = error
    assert missed[True] < 0.7 * missed[False]


def test_packets_tell_whether_they_recover() -> None:
    with_fec = [opus.has_recovery(p) for p in packets(2.0, pauses=False)]
    without = [opus.has_recovery(p) for p in packets(2.0, loss=0, pauses=False)]
    assert sum(with_fec) > 0.9 * len(with_fec)
    assert not any(without)


def test_a_guess_goes_on_with_the_sound() -> None:
    decoder = opus.Decoder()
    for payload in packets(2.0, pauses=False)[:50]:
        last = decoder.decode(payload)
    assert level(decoder.conceal(960)) > 0.3 * level(last)


def test_silence_is_hardly_sent_with_dtx() -> None:
    encoder = opus.Encoder(32_000)
    encoder.set_dtx(True)
    sizes = [len(encoder.encode(bytes(1920))) for _ in range(100)]
    assert sum(size > 2 for size in sizes) < 30
    assert sum(size > 2 for size in sizes[50:]) < 10


def test_the_encoder_follows_its_settings() -> None:
    pcm = voice(4.0, pauses=False).tobytes()

    def rate(encoder: opus.Encoder) -> float:
        return sum(len(encoder.encode(pcm[i : i + 1920])) for i in range(0, len(pcm), 1920)) * 2

    encoder = opus.Encoder(32_000)
    encoder.set_complexity(5)
    high = rate(encoder)
    encoder.set_bit_rate(12_000)
    assert rate(encoder) < 0.5 * high


@pytest.mark.parametrize("payload", [b"", b"\x03", b"\xff\xff", bytes(opus.MAX_PAYLOAD + 1)])
def test_what_is_no_packet_is_refused(payload: bytes) -> None:
    for use in (opus.Decoder().decode, opus.duration, opus.has_recovery):
        with pytest.raises(ValueError, match=r"opus|bytes"):
            use(payload)


@pytest.mark.parametrize("samples", [-120, 0, 1, 119, 5760 + 120, 1 << 40])
def test_wrong_durations_are_refused(samples: int) -> None:
    decoder = opus.Decoder()
    with pytest.raises(ValueError, match="samples"):
        decoder.conceal(samples)
    with pytest.raises(ValueError, match="samples"):
        decoder.recover(packets(2.0)[0], samples)


@pytest.mark.parametrize("size", [0, 1, 1919, 1921, 960, 1 << 20])
def test_wrong_sound_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="bytes"):
        opus.Encoder(32_000).encode(bytes(size))


@pytest.mark.parametrize("rate", [0, -1, 5999, 1 << 40])
def test_wrong_settings_are_refused(rate: int) -> None:
    with pytest.raises(ValueError, match="not in"):
        opus.Encoder(rate)
    with pytest.raises(ValueError, match="not in"):
        opus.Encoder(32_000).set_loss(101 if rate >= 0 else rate)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(max_size=200), max_size=20))
def test_any_bytes_are_decoded_or_refused(payloads: list[bytes]) -> None:
    decoder = opus.Decoder()
    for payload in payloads:
        for use in (decoder.decode, lambda data: decoder.recover(data, 960)):
            with contextlib.suppress(ValueError):
                assert 0 < len(use(payload)) <= opus.MAX_SAMPLES
        with contextlib.suppress(ValueError):
            opus.has_recovery(payload)


BLOCKS = st.lists(
    st.builds(
        Block,
        st.integers(0, 127),
        st.integers(1, red.MAX_OFFSET),
        st.binary(min_size=1, max_size=red.MAX_BLOCK),
    ),
    max_size=3,
)


@given(BLOCKS, st.binary(min_size=1, max_size=200))
def test_redundancy_goes_there_and_back(old: list[Block], own: bytes) -> None:
    blocks = [*old, Block(96, 0, own)]
    assert red.unpack(red.pack(blocks)) == blocks


def test_what_does_not_fit_is_left_out() -> None:
    own = Block(96, 0, b"own")
    too_large = Block(96, 960, bytes(red.MAX_BLOCK + 1))
    too_old = Block(96, red.MAX_OFFSET + 1, b"old")
    assert red.unpack(red.pack([too_large, too_old, own])) == [own]
    with pytest.raises(ValueError, match="own"):
        red.pack([])
    with pytest.raises(ValueError, match="many"):
        red.unpack(red.pack([Block(96, 960, b"x")] * (red.MOST_BLOCKS + 1) + [own]))


@given(st.binary(max_size=60))
def test_any_bytes_are_unpacked_or_refused(data: bytes) -> None:
    try:
        blocks = red.unpack(data)
    except ValueError:
        return
    assert sum(len(block.payload) for block in blocks) < len(data)


@pytest.mark.parametrize("data", [b"", b"\x80", b"\xe0\x00\x00\x01", b"\xe0\x00\x00\x09\x60ab"])
def test_redundancy_that_is_cut_off_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"cut off|own"):
        red.unpack(data)


def test_a_library_that_is_missing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    opus._library.cache_clear()
    try:
        with monkeypatch.context() as patch:
            patch.setattr(opus, "LIBRARY", "libopus-that-is-not-there.so")
            with pytest.raises(OSError, match=r"there\.so of libopus0 is missing"):
                opus.Decoder()
    finally:
        opus._library.cache_clear()
    opus.Decoder()
