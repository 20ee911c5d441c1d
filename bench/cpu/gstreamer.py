"""The kiosk's end of a call by GStreamer's webrtcbin; the system's Python runs it.

    /usr/bin/python3 bench/cpu/gstreamer.py {gstreamer,gstreamer-passing} FOLDER WIDTH HEIGHT BPS

As every end here: it says its offer, hears the answer, and ends with its stdin; JSON by the line.
Needs python3-gi, gir1.2-gst-plugins-bad-1.0, gstreamer1.0-nice and the plugins good and bad.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

import gi

for name in ("Gst", "GstApp", "GstSdp", "GstWebRTC"):
    gi.require_version(name, "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402  # after its versions

FPS = 30
CHUNK = 1920
CHUNK_S = 0.02
SEND = """
webrtcbin name=peer bundle-policy=max-bundle latency=60
appsrc name=camera is-live=true format=time do-timestamp=true
  caps=video/x-raw,format=I420,width={width},height={height},framerate=30/1
! queue max-size-buffers=2 leaky=downstream
! vp8enc deadline=1 cpu-used={cpu_used} target-bitrate={bps} end-usage=cbr lag-in-frames=0
  threads=1 keyframe-max-dist=3000 static-threshold=1 min-quantizer=2 max-quantizer=56
  undershoot=100 overshoot=15 buffer-size=600 buffer-initial-size=400 buffer-optimal-size=400
! rtpvp8pay pt=96 picture-id-mode=15-bit mtu=1200
! application/x-rtp,media=video,encoding-name=VP8,payload=96 ! peer.
appsrc name=microphone is-live=true format=time do-timestamp=true
  caps=audio/x-raw,format=S16LE,layout=interleaved,rate=48000,channels=1
! queue ! opusenc bitrate=32000 audio-type=voice inband-fec=true frame-size=20
! rtpopuspay pt=97 ! application/x-rtp,media=audio,encoding-name=OPUS,payload=97 ! peer.
"""
"""The encoder is set as libwebrtc and kioskd set theirs, but that kioskd's speed is -8."""
SHOW = {
    "OPUS": "queue ! rtpopusdepay ! opusdec use-inband-fec=true plc=true ! fakesink sync=false",
    "VP8": "queue ! rtpvp8depay ! vp8dec threads=1 ! fakesink sync=false",
    "VP8-passing": "queue ! rtpvp8depay ! fakesink sync=false",
}


def say(message: dict[str, Any]) -> None:
    """Say a line."""
    print(json.dumps(message), flush=True)


def asked(peer: Any, signal: str, given: Any) -> Any:
    """Have webrtcbin do something, and return its reply, which owns what is in it."""
    promise = Gst.Promise.new()
    peer.emit(signal, given, promise)
    promise.wait()
    return promise.get_reply()


def feed(source: Any, pieces: list[Any], every: float) -> None:
    """Push one piece after another, by the clock, without copying it."""
    begun, number = time.monotonic(), 0
    while True:
        time.sleep(max(0.0, begun + number * every - time.monotonic()))
        piece = Gst.Buffer.new_wrapped_bytes(pieces[number % len(pieces)])
        piece.duration = int(every * Gst.SECOND)
        if source.emit("push-buffer", piece) != Gst.FlowReturn.OK:
            return
        number += 1


def pieces(path: Path, size: int) -> list[Any]:
    """Cut a file into pieces that GStreamer can take as they are."""
    data = path.read_bytes()
    return [GLib.Bytes.new(data[at : at + size]) for at in range(0, len(data) - size + 1, size)]


def show(pipe: Any, pad: Any, *, passing: bool) -> None:
    """Lead what comes from the far end to its decoder."""
    if pad.direction != Gst.PadDirection.SRC:
        return
    coding = pad.get_current_caps().get_structure(0).get_value("encoding-name")
    way = SHOW[f"{coding}-passing" if passing and coding == "VP8" else coding]
    part = Gst.parse_bin_from_description(way, True)
    pipe.add(part)
    part.sync_state_with_parent()
    pad.link(part.get_static_pad("sink"))


def main() -> None:
    """Hold an end: KIND FOLDER WIDTH HEIGHT BPS."""
    kind, folder, width, height, bps = sys.argv[1:6]
    Gst.init(None)
    loop = GLib.MainLoop()
    threading.Thread(target=loop.run, daemon=True).start()
    sizes = {"width": width, "height": height, "bps": bps, "cpu_used": -6}
    pipe = Gst.parse_launch(SEND.format(**sizes))
    peer = pipe.get_by_name("peer")
    passing = kind == "gstreamer-passing"
    peer.connect("pad-added", lambda _, pad: show(pipe, pad, passing=passing))
    gathered = threading.Event()

    def gathering(*_: Any) -> None:
        if peer.get_property("ice-gathering-state") == GstWebRTC.WebRTCICEGatheringState.COMPLETE:
            gathered.set()

    peer.connect("notify::ice-gathering-state", gathering)
    pipe.set_state(Gst.State.PLAYING)
    number = 0
    while (one := peer.emit("get-transceiver", number)) is not None:
        one.set_property("do-nack", True)
        number += 1
    picture = int(width) * int(height) * 3 // 2
    for name, file, size, every in (
        ("camera", "pictures", picture, 1 / FPS),
        ("microphone", "speech", CHUNK, CHUNK_S),
    ):
        ready = pieces(Path(folder) / file, size)
        threading.Thread(
            target=feed, args=(pipe.get_by_name(name), ready, every), daemon=True
        ).start()
    time.sleep(0.5)  # until the caps have reached webrtcbin
    offered = asked(peer, "create-offer", None)
    offer = offered.get_value("offer")
    asked(peer, "set-local-description", offer)
    gathered.wait(5)
    offer = peer.get_property("local-description").sdp.as_text()
    # It gives sound and picture the same msid, which Chromium refuses.
    kept = [line for line in offer.splitlines() if not line.startswith(("a=ssrc", "a=msid"))]
    say({"offer": "\r\n".join([*kept, ""])})
    _, sdp = GstSdp.SDPMessage.new_from_text(json.loads(sys.stdin.readline())["answer"])
    answer = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, sdp)
    asked(peer, "set-remote-description", answer)
    sys.stdin.read()
    pipe.set_state(Gst.State.NULL)
    say({})


if __name__ == "__main__":
    main()
