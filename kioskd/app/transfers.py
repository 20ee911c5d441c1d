"""Documents over the two document channels of a leg, both directions."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

from kioskd.call.channels import TO_AGENT, TO_KIOSK
from kioskd.call.leg import Leg
from kioskd.documents.frames import (
    Delivered,
    Document,
    Event,
    Failed,
    Frame,
    Progress,
    Received,
    Refused,
)
from kioskd.documents.spool import Spool, SpoolFile
from kioskd.documents.transfer import Receiver, Sender
from kioskd.errors import CallError, DocumentError, DocumentFault
from kioskd.signalling.messages import new_id
from kioskd.visit import events as ev
from kioskd.visit.events import Event as VisitEvent
from kioskd.visit.state import Visit, may_receive

log = structlog.get_logger(__name__)

SCAN_NAME: Final = "document.pdf"
LOOK_S: Final = 0.02
"""How often it is looked what the line has for a document: sound waits for what leaves at once."""
STALL_S: Final = 30.0
"""A document that does not move for this long is given up; the pages stay for another try."""


class Transfers:
    """The kiosk's sender and receiver, and the files that have arrived."""

    def __init__(
        self,
        spool: Spool,
        *,
        post: Callable[[VisitEvent], None],
        visit: Callable[[], Visit],
        on_refused: Callable[[DocumentFault], None] = lambda _: None,
    ) -> None:
        self._spool = spool
        self._post = post
        self._visit = visit
        self._on_refused = on_refused
        self._leg: Leg | None = None
        self._sender = Sender()
        self._receiver = Receiver(self._open_sink)
        self._sink: SpoolFile | None = None
        self._arrived: dict[str, Path] = {}
        self._moved = asyncio.Event()
        self._outcome: asyncio.Future[DocumentFault | None] | None = None

    def attach(self, leg: Leg) -> None:
        """Use the channels of a new leg; the document under way goes on where it stopped."""
        self.detach()
        self._leg = leg
        self._say(TO_AGENT, self._sender.resume())

    def detach(self) -> None:
        """The leg is going: nothing more can be sent or received on it."""
        self._leg = None
        self._sender.interrupt()
        self._receiver.interrupt()

    def forget(self) -> None:
        """Keep nothing of any document; the spool's wipe removes the files."""
        self._receiver.forget()
        self._throw_away()
        self._arrived.clear()

    def take(self, document: str) -> Path:
        """Return the file of a document that has arrived."""
        return self._arrived[document]

    async def send(self, request: str, document: bytes, pages: int) -> None:
        """Send a PDF to the agent; returns when the agent has it whole.

        Raises DocumentError with the agent's fault, or TIMEOUT when nothing moves.
        """
        header = Document(
            id=new_id(),
            name=SCAN_NAME,
            media_type="application/pdf",
            size=len(document),
            sha256=hashlib.sha256(document).hexdigest(),
            pages=pages,
            request=request,
        )
        self._outcome = asyncio.get_running_loop().create_future()
        try:
            self._say(TO_AGENT, self._sender.start(header, io.BytesIO(document)))
            await self._until_outcome(self._outcome)
        finally:
            self._say(TO_AGENT, self._sender.cancel())
            self._outcome = None

    async def _until_outcome(self, outcome: asyncio.Future[DocumentFault | None]) -> None:
        time = asyncio.get_running_loop().time
        moved_at, waiting = time(), 0
        while not outcome.done():
            self._moved.clear()
            frames = self._sender.frames_to_send(self._room())
            self._say(TO_AGENT, frames)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._moved.wait()
            before, waiting = waiting, self._waiting()
            # On a thin line much leaves before the agent says that it has come.
            if frames or self._moved.is_set() or waiting < before:
                moved_at = time()
            elif time() - moved_at >= STALL_S:
                raise DocumentError(DocumentFault.TIMEOUT)
        fault = outcome.result()
        if fault is not None:
            raise DocumentError(fault)

    def _room(self) -> int:
        return 0 if self._leg is None else self._leg.room(TO_AGENT)

    def _waiting(self) -> int:
        """Return the bytes that have not left yet."""
        return 0 if self._leg is None else self._leg.buffered(TO_AGENT)

    def receive(self, channel: str, frame: Frame) -> None:
        """Take a frame that came on `channel`."""
        if channel == TO_AGENT:
            self._on_sent(self._sender.receive(frame))
            self._say(TO_AGENT, self._sender.frames_to_send(0) if self._outcome is None else [])
            self._moved.set()
        elif channel == TO_KIOSK:
            events = self._receiver.receive(frame)
            self._on_received(events)
            self._say(TO_KIOSK, self._receiver.frames_to_send())

    def _on_sent(self, events: list[Event]) -> None:
        for event in events:
            match event:
                case Progress(done=done, size=size):
                    self._post(ev.ScanMoved(done / size))
                case Delivered():
                    self._settle(None)
                case Failed(reason=reason):
                    self._settle(reason)

    def _settle(self, fault: DocumentFault | None) -> None:
        if self._outcome is not None and not self._outcome.done():
            self._outcome.set_result(fault)

    def _on_received(self, events: list[Event]) -> None:
        for event in events:
            match event:
                case Received(document=document):
                    assert self._sink is not None
                    self._sink.close()
                    self._arrived[document.id] = self._sink.path
                    self._sink = None
                    self._post(ev.DocumentArrived(document.id, document.name, document.size))
                case Failed(reason=reason):
                    self._throw_away()
                    self._on_refused(reason)
                case Refused(reason=reason):
                    self._on_refused(reason)

    def _open_sink(self, document: Document) -> SpoolFile:
        fault = may_receive(self._visit())
        if fault is not None:
            raise DocumentError(fault)
        self._throw_away()
        self._sink = self._spool.create(document.size, ".pdf")
        return self._sink

    def _throw_away(self) -> None:
        if self._sink is not None:
            self._sink.discard()
            self._sink = None

    def _say(self, channel: str, frames: list[Frame]) -> None:
        if self._leg is None:
            return
        with contextlib.suppress(CallError):  # the leg tells of its end by itself
            for frame in frames:
                self._leg.send_document(channel, frame)
