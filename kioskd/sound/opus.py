"""libopus (RFC 6716) by cffi: what PyAV leaves out, which is concealment and in-band FEC.

PyAV's wheel decodes Opus without either; the Python bindings that are kept go through ctypes,
cannot conceal by their public interface and find the library by running a compiler. Ours
keeps to the mono sound of kioskd (hal.microphone). An object serves one thread at a time.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import numpy as np
from cffi import FFI
from numpy.typing import NDArray

from kioskd.hal.microphone import SAMPLE_RATE

Samples = NDArray[np.int16]
"""Mono sound at 48 kHz."""

LIBRARY: Final = "libopus.so.0"
PACKAGE: Final = "libopus0"
"""Debian's package of it."""
STEP_SAMPLES: Final = SAMPLE_RATE // 400
"""2.5 ms: every duration is a multiple of it (RFC 6716, section 2.1.4)."""
MAX_SAMPLES: Final = 48 * STEP_SAMPLES
"""120 ms: the longest packet (RFC 6716, section 3.2.5)."""
MAX_PAYLOAD: Final = 1500
"""Bytes of the largest payload: no packet on the line is larger (IPv4 over Ethernet)."""
ENCODED_SAMPLES: Final = (960, 1920, 2880)
"""What the encoder takes at once: 20, 40 or 60 ms."""

_DECLARATIONS: Final = """
typedef struct OpusDecoder OpusDecoder;
typedef struct OpusEncoder OpusEncoder;
const char *opus_strerror(int error);
OpusDecoder *opus_decoder_create(int32_t rate, int channels, int *error);
void opus_decoder_destroy(OpusDecoder *state);
int opus_decode(OpusDecoder *state, const unsigned char *data, int32_t size,
                int16_t *pcm, int samples, int fec);
int opus_packet_get_nb_samples(const unsigned char *data, int32_t size, int32_t rate);
int opus_packet_get_samples_per_frame(const unsigned char *data, int32_t rate);
int opus_packet_parse(const unsigned char *data, int32_t size, unsigned char *toc,
                      const unsigned char *frames[48], int16_t sizes[48], int *offset);
OpusEncoder *opus_encoder_create(int32_t rate, int channels, int application, int *error);
void opus_encoder_destroy(OpusEncoder *state);
int32_t opus_encode(OpusEncoder *state, const int16_t *pcm, int samples,
                    unsigned char *data, int32_t size);
int opus_encoder_ctl(OpusEncoder *state, int request, ...);
"""
# opus_defines.h
_VOIP: Final = 2048
_SET_BITRATE: Final = 4002
_SET_COMPLEXITY: Final = 4010
_SET_FEC: Final = 4012
_SET_LOSS: Final = 4014
_SET_DTX: Final = 4016
_SET_SIGNAL: Final = 4024
_VOICE: Final = 3001


_FFI: Final[Any] = FFI()
_FFI.cdef(_DECLARATIONS)  # takes 20 ms: not in a call


@cache
def _library() -> tuple[Any, Any]:
    try:
        return _FFI, _FFI.dlopen(LIBRARY)
    except OSError as error:  # its own text goes on about where it looked
        raise OSError(f"{LIBRARY} of {PACKAGE} is missing") from error


def duration(payload: bytes) -> int:
    """Return the samples a packet stands for, 120 to 5760. Raises ValueError if it is none.

    Raises OSError where the library is missing, as all here.
    """
    _check_payload(payload)
    _, lib = _library()
    return _checked(lib.opus_packet_get_nb_samples(payload, len(payload), SAMPLE_RATE))


def has_recovery(payload: bytes) -> bool:
    """Tell whether a packet carries the sound before it once more (RFC 6716, section 4.2.4).

    Raises ValueError if it is no packet.
    """
    _check_payload(payload)
    ffi, lib = _library()
    frames, sizes = ffi.new("const unsigned char *[48]"), ffi.new("int16_t[48]")
    _checked(lib.opus_packet_parse(payload, len(payload), ffi.NULL, frames, sizes, ffi.NULL))
    # Section 3.1: configurations from 16 on are CELT only, which has none.
    if payload[0] & 0x80 or sizes[0] < 2:
        return False
    length = lib.opus_packet_get_samples_per_frame(payload, SAMPLE_RATE)
    # Each channel begins with a bit of voice activity for each 20 ms and the bit asked for.
    bits = max(1, length // 960) + 1
    channels = 2 if payload[0] & 4 else 1
    first = frames[0][0]
    return any(first & (0x80 >> (channel * bits - 1)) for channel in range(1, channels + 1))


class Decoder:
    """One stream of packets, in the order of their sound; stereo is mixed down."""

    def __init__(self) -> None:
        self._ffi, self._lib = _library()
        error = self._ffi.new("int *")
        state = self._lib.opus_decoder_create(SAMPLE_RATE, 1, error)
        _checked(error[0])
        self._state = self._ffi.gc(state, self._lib.opus_decoder_destroy)
        self._pcm = self._ffi.new("int16_t[]", MAX_SAMPLES)

    def decode(self, payload: bytes) -> Samples:
        """Return a packet's sound. Raises ValueError if it cannot be decoded."""
        _check_payload(payload)
        return self._run(payload, MAX_SAMPLES, 0)

    def recover(self, following: bytes, samples: int) -> Samples:
        """Return the sound lost just before packet `following`, from its FEC.

        Concealed where it carries none. Raises ValueError, also for a wrong duration.
        """
        _check_payload(following)
        _check_samples(samples)
        return self._run(following, samples, 1)

    def conceal(self, samples: int) -> Samples:
        """Go on with the sound by guessing; fades within some tenths of a second.

        `samples` is a multiple of 2.5 ms, 120 ms at most, else ValueError.
        """
        _check_samples(samples)
        return self._run(None, samples, 0)

    def _run(self, payload: bytes | None, samples: int, fec: int) -> Samples:
        data = self._ffi.NULL if payload is None else payload
        size = 0 if payload is None else len(payload)
        count = _checked(self._lib.opus_decode(self._state, data, size, self._pcm, samples, fec))
        return np.frombuffer(self._ffi.buffer(self._pcm, count * 2), np.int16).copy()


class Encoder:
    """Mono speech; every setting may be changed between two packets."""

    def __init__(self, bit_rate: int) -> None:
        self._ffi, self._lib = _library()
        error = self._ffi.new("int *")
        state = self._lib.opus_encoder_create(SAMPLE_RATE, 1, _VOIP, error)
        _checked(error[0])
        self._state = self._ffi.gc(state, self._lib.opus_encoder_destroy)
        self._data = self._ffi.new("unsigned char[]", MAX_PAYLOAD)
        self._set(_SET_SIGNAL, _VOICE)
        self.set_bit_rate(bit_rate)

    def set_bit_rate(self, bit_rate: int) -> None:
        """Aim at so many bits per second, 6000 to 128000."""
        self._set(_SET_BITRATE, _within(bit_rate, 6000, 128_000))

    def set_loss(self, percent: int, *, fec: bool = True) -> None:
        """Protect against so much loss, 0 to 100 %; with 0 there is no FEC, nor without `fec`."""
        self._set(_SET_FEC, int(fec and _within(percent, 0, 100) > 0))
        self._set(_SET_LOSS, percent)

    def set_dtx(self, on: bool) -> None:
        """Send next to nothing while nobody speaks (RFC 6716, section 2.1.9)."""
        self._set(_SET_DTX, int(on))

    def set_complexity(self, complexity: int) -> None:
        """Trade processor time for quality, 0 to 10."""
        self._set(_SET_COMPLEXITY, _within(complexity, 0, 10))

    def encode(self, pcm: bytes) -> bytes:
        """Return the packet of 20, 40 or 60 ms of mono S16LE; ValueError for other lengths.

        With DTX one of at most 2 bytes need not be sent.
        """
        if len(pcm) // 2 not in ENCODED_SAMPLES or len(pcm) % 2:
            raise ValueError(f"{len(pcm)} bytes of sound")
        sound = self._ffi.from_buffer("int16_t[]", pcm)
        count = self._lib.opus_encode(self._state, sound, len(pcm) // 2, self._data, MAX_PAYLOAD)
        return bytes(self._ffi.buffer(self._data, _checked(count)))

    def _set(self, request: int, value: int) -> None:
        _checked(self._lib.opus_encoder_ctl(self._state, request, self._ffi.cast("int", value)))


def _checked(result: int) -> int:
    if result < 0:
        ffi, lib = _library()
        raise ValueError(f"opus: {ffi.string(lib.opus_strerror(result)).decode()}")
    return result


def _check_payload(payload: bytes) -> None:
    # The library takes an empty payload for a lost one.
    if not isinstance(payload, bytes) or not 0 < len(payload) <= MAX_PAYLOAD:
        raise ValueError(f"a payload of {len(payload)} bytes")


def _check_samples(samples: int) -> None:
    if not 0 < samples <= MAX_SAMPLES or samples % STEP_SAMPLES:
        raise ValueError(f"{samples} samples")


def _within(value: int, low: int, high: int) -> int:
    if not low <= value <= high:
        raise ValueError(f"{value} is not in {low} to {high}")
    return value
