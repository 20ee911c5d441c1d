"""What is fuzzed. A target takes bytes and raises only for what is a fault of ours."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass

from pydantic import BaseModel

from kioskd.app.line import Line
from kioskd.call import control
from kioskd.documents.frames import Accept, Ack, Cancel, Document, Done, Frame, Refuse
from kioskd.documents.transfer import Receiver, Sender
from kioskd.errors import DocumentFault
from kioskd.rate import feedback
from kioskd.rate.control import LEAST_BPS, MOST_BPS, Controller
from kioskd.rate.sent import Sent
from kioskd.screen.messages import parse_action
from kioskd.settings import KioskSettings
from kioskd.signalling import messages as signals
from kioskd.signalling.link import BrokerAddress
from kioskd.sound import red
from kioskd.sound.playout import Playout
from kioskd.visit.words import EndReason
from tests.speech import packets

NEXT = b"\n--\n"
"""Between the frames of one input."""
DATA = b"0123456789" * 100
HEADER = Document(
    id="d",
    name="a.pdf",
    media_type="application/pdf",
    size=len(DATA),
    sha256=hashlib.sha256(DATA).hexdigest(),
)


@dataclass(frozen=True, slots=True)
class Target:
    """`run` is given mutations of the `seeds`."""

    name: str
    seeds: tuple[bytes, ...]
    run: Callable[[bytes], None]


def _refusing(read: Callable[[bytes], object]) -> Callable[[bytes], None]:
    def run(data: bytes) -> None:
        try:
            read(data)
        except ValueError:  # what it documents
            return

    return run


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _frames(data: bytes) -> list[Frame]:
    parts = data.split(NEXT)
    return [_text(part) if part.startswith(b"{") else part for part in parts]


def _receive(data: bytes) -> None:
    receiver = Receiver(lambda _: io.BytesIO())
    for number, frame in enumerate(_frames(data)):
        receiver.receive(frame)
        receiver.frames_to_send()
        if number % 5 == 4:
            receiver.interrupt()
    receiver.forget()


def _send(data: bytes) -> None:
    sender = Sender()
    sender.start(HEADER, io.BytesIO(DATA))
    for frame in _frames(data):
        sender.receive(frame)
        sender.frames_to_send()
    sender.interrupt()
    sender.resume()


class _Broker:
    """A line that no broker serves: what a broker would deliver is given to it."""

    def __init__(self) -> None:
        self._line = Line(
            KioskSettings(id="k", name="Kiosk", town="Town"),
            BrokerAddress("127.0.0.1", 9, "k"),
            on_signal=lambda *_: None,
            on_change=lambda: None,
        )

    def run(self, data: bytes) -> None:
        topic, _, payload = data.partition(NEXT)
        self._line._receive(_text(topic), payload)


def _hear(data: bytes) -> None:
    """Play packets of RED: four bytes of timestamp, then the payload."""
    playout = Playout()
    for number, part in enumerate(data.split(NEXT)):
        try:
            blocks = red.unpack(part[4:])
        except ValueError:  # what it documents
            continue
        playout.put(7, int.from_bytes(part[:4], "big"), blocks, number * 0.02)
        playout.pull(number * 0.02 + 0.07)


def _tell(data: bytes) -> None:
    """Give what an agent's browser tells of our packets to the rate control."""
    sent, controller = Sent(), Controller()
    for number, part in enumerate(data.split(NEXT)):
        now = number * 0.1
        for _ in range(10):
            sent.number(1000, now)
        found, _ = feedback.split(part)
        for fci in found:
            try:
                told = feedback.parse(fci)
            except ValueError:  # what it documents
                continue
            controller.hear(sent.match(told, now), 800_000, now)
        controller.tick(now, sent.unheard_at)
        assert LEAST_BPS <= controller.bps <= MOST_BPS


def _told() -> bytes:
    return NEXT.join(
        feedback.packet(1, 2, feedback.build(n * 10, [n * 400 + k * 30 for k in range(10)], n))
        for n in range(8)
    )


def _spoken() -> bytes:
    old, *others = packets(5.0)[20:30]
    parts = []
    for number, own in enumerate(others):
        payload = red.pack([red.Block(96, 960, old), red.Block(96, 0, own)])
        parts.append((number * 960).to_bytes(4, "big") + payload)
        old = own
    return NEXT.join(parts)


def _json(*models: BaseModel) -> tuple[bytes, ...]:
    return tuple(one.model_dump_json().encode() for one in models)


def targets() -> list[Target]:
    """Return everything that takes a message of others."""
    chunk = (0).to_bytes(8, "big") + DATA
    said = _json(HEADER, Cancel(id="d", reason=DocumentFault.CANCELLED))
    answers = _json(
        Accept(id="d", offset=0),
        Ack(id="d", received=len(DATA)),
        Done(id="d"),
        Refuse(id="d", reason=DocumentFault.BUSY),
    )
    from_agent = _json(
        control.Heartbeat(at=1.0),
        control.Media(audio=True, video=False),
        control.Hearing(seconds=2.0, concealed=0.01, buffer_ms=40.0, height=480),
        control.ScanRequest(request="r"),
        control.ScanCancel(request="r"),
        control.PrintCancel(document="d"),
        control.HangUp(),
    )
    entry = signals.Waiting(
        epoch="e", call="c", kiosk="k", name="Kiosk", town="Town", service="s", since=1.0
    )
    signalled = {
        b"s/s/claim/k": signals.Claim(call="c", agent="a", name="Agent"),
        b"s/s/call/k/a/a2k": signals.Answer(call="c", sdp="v=0\r\n"),
        b"s/s/call/k/b/a2k": signals.Bye(call="c", reason=EndReason.HANG_UP),
        b"s/s/wait/k": entry,
    }
    actions = (b'{"action":"language","language":"fr"}', b'{"action":"volume","volume":0.5}')
    return [
        Target(
            "control", from_agent, _refusing(lambda data: control.parse_from_agent(_text(data)))
        ),
        Target("screen", actions, _refusing(lambda data: parse_action(_text(data)))),
        Target("signal", _json(*signalled.values()), _refusing(signals.parse)),
        Target(
            "line",
            tuple(topic + NEXT + _json(one)[0] for topic, one in signalled.items()),
            _Broker().run,
        ),
        Target("receiver", (NEXT.join((said[0], chunk)), NEXT.join((*said, chunk))), _receive),
        Target("sound", (_spoken(),), _hear),
        Target("feedback", (_told(),), _tell),
        Target("sender", (NEXT.join(answers[:3]), NEXT.join(answers)), _send),
    ]
