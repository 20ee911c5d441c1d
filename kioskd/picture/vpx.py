"""libvpx's VP8 encoder (RFC 6386) by cffi: what FFmpeg leaves out, which is a new rate in place.

FFmpeg, and so PyAV, takes a rate at the beginning only: each new rate costs a new encoder and a
key frame. The layout below is that of libvpx 1.12 (ABI 25), which the library checks itself.
An object serves one thread at a time.
"""

from __future__ import annotations

import os
from functools import cache
from typing import Any, Final

from av import VideoFrame
from cffi import FFI

from kioskd.picture.encoded import CLOCK, Encoded

LIBRARY: Final = "libvpx.so.7"
PACKAGE: Final = "libvpx7"
"""Debian's package of it."""
MAX_SIDE: Final = 4096
LEAST_BPS: Final = 5_000
MOST_BPS: Final = 20_000_000
CPU_USED: Final = -8
"""How little to search for the best coding, -1 to -16."""
KEY_FRAMES: Final = 4.0
"""A key frame takes at most what so many frames have."""
NOMINAL_FPS: Final = 25
"""What KEY_FRAMES and a picture's duration count by."""
LONGER: Final = 1.5
"""Times the step before, a step of time may be: fewer pictures a second have the whole rate again
after some of them, and a pause has not."""

_ABI: Final = 25
_DECLARATIONS: Final = """
typedef struct vpx_codec_ctx {
  const char *name; const void *iface; int err; const char *err_detail; long init_flags;
  const void *config; void *priv;
} vpx_codec_ctx_t;
typedef struct { void *buf; size_t sz; } vpx_fixed_buf_t;
typedef struct { int num; int den; } vpx_rational_t;
typedef struct {
  unsigned int g_usage, g_threads, g_profile, g_w, g_h;
  int g_bit_depth;
  unsigned int g_input_bit_depth;
  vpx_rational_t g_timebase;
  uint32_t g_error_resilient;
  int g_pass;
  unsigned int g_lag_in_frames;
  unsigned int rc_dropframe_thresh, rc_resize_allowed, rc_scaled_width, rc_scaled_height;
  unsigned int rc_resize_up_thresh, rc_resize_down_thresh;
  int rc_end_usage;
  vpx_fixed_buf_t rc_twopass_stats_in, rc_firstpass_mb_stats_in;
  unsigned int rc_target_bitrate, rc_min_quantizer, rc_max_quantizer;
  unsigned int rc_undershoot_pct, rc_overshoot_pct;
  unsigned int rc_buf_sz, rc_buf_initial_sz, rc_buf_optimal_sz;
  unsigned int rc_2pass_vbr_bias_pct, rc_2pass_vbr_minsection_pct, rc_2pass_vbr_maxsection_pct;
  unsigned int rc_2pass_vbr_corpus_complexity;
  int kf_mode;
  unsigned int kf_min_dist, kf_max_dist;
  unsigned int ss_number_layers;
  int ss_enable_auto_alt_ref[5];
  unsigned int ss_target_bitrate[5];
  unsigned int ts_number_layers;
  unsigned int ts_target_bitrate[5], ts_rate_decimator[5];
  unsigned int ts_periodicity;
  unsigned int ts_layer_id[16];
  unsigned int layer_target_bitrate[12];
  int temporal_layering_mode;
  int use_vizier_rc_params;
  vpx_rational_t vizier[15];
} vpx_codec_enc_cfg_t;
typedef struct {
  int fmt, cs, range;
  unsigned int w, h, bit_depth, d_w, d_h, r_w, r_h, x_chroma_shift, y_chroma_shift;
  unsigned char *planes[4];
  int stride[4];
  int bps;
  void *user_priv;
  unsigned char *img_data;
  int img_data_owner, self_allocd;
  void *fb_priv;
} vpx_image_t;
typedef struct {
  int kind;
  union {
    struct {
      void *buf; size_t sz; int64_t pts; unsigned long duration; uint32_t flags;
      int partition_id; unsigned int width[5]; unsigned int height[5]; uint8_t encoded[5];
    } frame;
    char pad[124];
  } data;
} vpx_codec_cx_pkt_t;
const char *vpx_codec_version_str(void);
const char *vpx_codec_err_to_string(int error);
const char *vpx_codec_error_detail(const vpx_codec_ctx_t *ctx);
const void *vpx_codec_vp8_cx(void);
int vpx_codec_enc_config_default(const void *iface, vpx_codec_enc_cfg_t *cfg, unsigned int usage);
int vpx_codec_enc_init_ver(vpx_codec_ctx_t *ctx, const void *iface,
                           const vpx_codec_enc_cfg_t *cfg, long flags, int ver);
int vpx_codec_enc_config_set(vpx_codec_ctx_t *ctx, const vpx_codec_enc_cfg_t *cfg);
int vpx_codec_control_(vpx_codec_ctx_t *ctx, int id, ...);
int vpx_codec_encode(vpx_codec_ctx_t *ctx, const vpx_image_t *img, int64_t pts,
                     unsigned long duration, long flags, unsigned long deadline);
const vpx_codec_cx_pkt_t *vpx_codec_get_cx_data(vpx_codec_ctx_t *ctx, const void **iter);
int vpx_codec_destroy(vpx_codec_ctx_t *ctx);
vpx_image_t *vpx_img_wrap(vpx_image_t *img, int fmt, unsigned int w, unsigned int h,
                          unsigned int align, unsigned char *data);
"""
# vpx_codec.h, vpx_encoder.h, vpx_image.h, vp8cx.h
_ABI_MISMATCH: Final = 3
_I420: Final = 0x102
_CBR: Final = 1
_KEYS_DISABLED: Final = 0
_FORCE_KEY: Final = 1
_IS_KEY: Final = 1
_FRAME: Final = 0
_DEADLINE_REALTIME: Final = 1
_SET_CPU_USED: Final = 13
_SET_NOISE: Final = 15
_SET_STATIC: Final = 17
_SET_PARTITIONS: Final = 18
_SET_MAX_INTRA: Final = 26

_FFI: Final[Any] = FFI()
_FFI.cdef(_DECLARATIONS)  # not in a call


@cache
def _library() -> tuple[Any, Any]:
    try:
        return _FFI, _FFI.dlopen(LIBRARY)
    except OSError as error:  # its own text goes on about where it looked
        raise OSError(f"{LIBRARY} of {PACKAGE} is missing") from error


def check() -> None:
    """Raise OSError where the library is missing or another one."""
    Encoder(16, 16, LEAST_BPS)


def threads(width: int, height: int, processors: int) -> int:
    """Return how many threads a picture of this size is worth on so many processors."""
    # One processor is for the rest of the kiosk; small pictures gain nothing.
    return 2 if width * height > 640 * 480 and processors >= 3 else 1


class Encoder:
    """VP8 of one size, for a call; its rate may be changed between two pictures.

    `bps` is bits per second of VP8, no headers. Raises OSError where the library is missing or
    is another one, ValueError for a size or a rate that is out of range.
    """

    def __init__(self, width: int, height: int, bps: float) -> None:
        for side in (width, height):
            if not 2 <= side <= MAX_SIDE or side % 2:
                raise ValueError(f"a picture of {width}x{height}")
        self.width, self.height = width, height
        self._ffi, self._lib = _library()
        interface = self._lib.vpx_codec_vp8_cx()
        self._config = self._ffi.new("vpx_codec_enc_cfg_t *")
        _checked(self._lib.vpx_codec_enc_config_default(interface, self._config, 0))
        self._configure(bps)
        context = self._ffi.new("vpx_codec_ctx_t *")
        _checked(
            self._lib.vpx_codec_enc_init_ver(context, interface, self._config, 0, _ABI), context
        )
        self._context = self._ffi.gc(context, self._lib.vpx_codec_destroy)
        self._tune()
        self._image = self._ffi.new("vpx_image_t *")
        # Any address will do: each picture brings its own planes.
        self._lib.vpx_img_wrap(
            self._image, _I420, width, height, 1, self._ffi.cast("unsigned char *", 1)
        )
        self._at = self._pts = -1
        self._step = 0

    def set_bps(self, bps: float) -> None:
        """Aim at so many bits per second from the next picture on, without a key frame."""
        kilobits = _kilobits(bps)
        if kilobits != self._config.rc_target_bitrate:
            self._config.rc_target_bitrate = kilobits
            _checked(self._lib.vpx_codec_enc_config_set(self._context, self._config), self._context)

    def encode(self, frame: VideoFrame, pts: int, *, key: bool = False) -> Encoded | None:
        """Encode a yuv420p picture of the encoder's size, taken at `pts` of CLOCK.

        `key` makes it a key frame. None where it was left out to keep to the rate, which a key
        frame never is. Raises ValueError for another size or format.
        """
        if (frame.width, frame.height) != (self.width, self.height):
            raise ValueError(f"a picture of {frame.width}x{frame.height}")
        if frame.format.name != "yuv420p":
            raise ValueError(f"a picture of {frame.format.name}")
        views = [self._ffi.from_buffer("unsigned char[]", plane) for plane in frame.planes]
        for number, (view, plane) in enumerate(zip(views, frame.planes, strict=True)):
            self._image.planes[number] = view
            self._image.stride[number] = plane.line_size
        self._advance(pts)
        _checked(
            self._lib.vpx_codec_encode(
                self._context,
                self._image,
                self._pts,
                CLOCK // NOMINAL_FPS,
                _FORCE_KEY if key else 0,
                _DEADLINE_REALTIME,
            ),
            self._context,
        )
        return self._output(pts)

    def _advance(self, pts: int) -> None:
        """Let time go on, for the encoder, at most LONGER times as far as between those before.

        It counts pictures a second by the time between two, and would spend in one what a pause
        had left: as long a queue as the pause was.
        """
        most = max(CLOCK // NOMINAL_FPS, round(LONGER * self._step))
        self._step = max(1, min(most, pts - self._at))
        self._at = pts
        self._pts += self._step

    def _output(self, pts: int) -> Encoded | None:
        data, key = b"", False
        place = self._ffi.new("const void **")
        while packet := self._lib.vpx_codec_get_cx_data(self._context, place):
            if packet.kind == _FRAME:
                part = packet.data.frame
                data += bytes(self._ffi.buffer(part.buf, part.sz))
                key = key or bool(part.flags & _IS_KEY)
        return Encoded(data, key, pts) if data else None

    def _configure(self, bps: float) -> None:
        config = self._config
        config.g_w, config.g_h = self.width, self.height
        config.g_threads = threads(self.width, self.height, os.cpu_count() or 1)
        config.g_timebase.num, config.g_timebase.den = 1, CLOCK
        config.g_lag_in_frames = 0
        # Lost packets are sent once more; resilience would cost 0.2 to 1.2 dB of every picture.
        config.g_error_resilient = 0
        config.rc_end_usage = _CBR
        config.rc_target_bitrate = _kilobits(bps)
        config.rc_min_quantizer, config.rc_max_quantizer = 2, 56
        config.rc_undershoot_pct, config.rc_overshoot_pct = 100, 15
        # Milliseconds: what a picture may be too large is made up for within half a second.
        config.rc_buf_sz, config.rc_buf_initial_sz, config.rc_buf_optimal_sz = 600, 400, 400
        config.rc_dropframe_thresh = 30
        config.rc_resize_allowed = 0
        config.kf_mode = _KEYS_DISABLED

    def _tune(self) -> None:
        for request, value in (
            (_SET_CPU_USED, CPU_USED),
            (_SET_NOISE, 0),
            (_SET_STATIC, 1),
            (_SET_PARTITIONS, 0),
            (_SET_MAX_INTRA, round(KEY_FRAMES * 100)),
        ):
            argument = self._ffi.cast("int", value)
            _checked(self._lib.vpx_codec_control_(self._context, request, argument), self._context)


def _kilobits(bps: float) -> int:
    if not LEAST_BPS <= bps <= MOST_BPS:
        raise ValueError(f"{bps:.0f} bit/s is not in {LEAST_BPS} to {MOST_BPS}")
    return round(bps / 1000)


def _checked(result: int, context: Any = None) -> None:
    if not result:
        return
    ffi, lib = _library()
    if result == _ABI_MISMATCH:
        version = ffi.string(lib.vpx_codec_version_str()).decode()
        raise OSError(f"{LIBRARY} {version} is not the one of {PACKAGE} 1.12")
    text = ffi.string(lib.vpx_codec_err_to_string(result)).decode()
    detail = ffi.NULL if context is None else lib.vpx_codec_error_detail(context)
    if detail != ffi.NULL:
        text = f"{text}: {ffi.string(detail).decode()}"
    raise ValueError(f"vpx: {text}")
