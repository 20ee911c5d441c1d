"""The kiosk's part in the waiting line: presence, entry, claims, place."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import structlog

from kioskd.runtime.others import what_is_wrong
from kioskd.settings import KioskSettings
from kioskd.signalling import topics
from kioskd.signalling.link import BrokerAddress, Link, Message
from kioskd.signalling.messages import (
    Answer,
    Bye,
    Claim,
    KioskStatus,
    Offer,
    Refused,
    Signal,
    Unavailable,
    Waiting,
    new_id,
    parse,
)

log = structlog.get_logger(__name__)

STATUS_EXPIRY_S: Final = 180
STATUS_EVERY_S: Final = 60.0
ENTRY_EXPIRY_S: Final = 90
ENTRY_EVERY_S: Final = 30.0
MESSAGE_EXPIRY_S: Final = 20
SEEN: Final = 256
"""How many message ids are remembered to drop duplicates."""


class Line:
    """Speaks with the broker for the kiosk.

    `on_signal(service, agent, message)` gets the claims, answers and byes of agents;
    `on_change()` is called when `online` or `place` may have changed.
    """

    def __init__(
        self,
        kiosk: KioskSettings,
        address: BrokerAddress,
        *,
        on_signal: Callable[[str, str, Claim | Answer | Bye], None],
        on_change: Callable[[], None],
        beat: Callable[[], None] = lambda: None,
        audit_head: Callable[[], str] = lambda: "",
        unavailable: Callable[[], Unavailable | None] = lambda: None,
    ) -> None:
        self.epoch = new_id()
        self.invalid = 0
        self._kiosk = kiosk
        self._on_signal = on_signal
        self._audit_head = audit_head
        self._unavailable = unavailable
        self._on_change = on_change
        self._entry: Waiting | None = None
        self._others: dict[str, Waiting] = {}
        self._seen: dict[str, None] = {}
        self.link = Link(
            address,
            subscriptions=[
                topics.claim("+", kiosk.id),
                topics.to_kiosk("+", kiosk.id, "+"),
                topics.waiting("+", kiosk.id),
            ],
            will=self._status(online=False),
            on_message=self._receive,
            on_connected=self._retained,
            on_change=lambda _: on_change(),
            beat=beat,
        )

    @property
    def online(self) -> bool:
        """True while the broker has us."""
        return self.link.online

    @property
    def place(self) -> int | None:
        """Our place in the line, from 1; None when not in one."""
        mine = self._entry
        if mine is None:
            return None
        before = [
            other
            for other in self._others.values()
            if (other.since, other.kiosk) < (mine.since, mine.kiosk)
        ]
        return len(before) + 1

    def join(self, service: str, call: str, language: str, waited_s: float) -> None:
        """Enter the line of `service`, as if `waited_s` seconds ago."""
        self._entry = Waiting(
            epoch=self.epoch,
            call=call,
            kiosk=self._kiosk.id,
            name=self._kiosk.name,
            town=self._kiosk.town,
            service=service,
            language=language,
            since=time.time() - waited_s,
        )
        self._others.clear()
        self.link.watch(topics.waiting(service, "+"))
        self.refresh()

    def leave(self, service: str) -> None:
        """Leave the line."""
        self._entry = None
        self._others.clear()
        self.link.watch(None)
        self.link.publish(self._cleared(service))

    def refresh(self) -> None:
        """Publish the entry again, before it expires at the broker."""
        if self._entry is not None:
            self.link.publish(self._waiting(self._entry))

    def refresh_status(self) -> None:
        """Publish presence again, before it expires at the broker or because it has changed."""
        self.link.publish(self._status(online=True))

    async def round_trip(self, timeout: float) -> float | None:
        """Return the seconds until the broker has acknowledged our presence; None: not in time."""
        began = time.monotonic()
        self.refresh_status()
        await self.link.flush(timeout)
        took = time.monotonic() - began
        return took if took < timeout and self.online else None

    def tell(self, service: str, agent: str, message: Offer | Refused | Bye) -> None:
        """Say something to one agent."""
        topic = topics.to_agent(service, self._kiosk.id, agent)
        self.link.publish(
            Message(topic, message.model_dump_json().encode(), expiry_s=MESSAGE_EXPIRY_S)
        )

    async def say_goodbye(self) -> None:
        """Publish that the kiosk is off: a clean disconnection sends no will."""
        self.link.publish(self._status(online=False))
        await self.link.flush(1.0)

    def _status(self, *, online: bool) -> Message:
        status = KioskStatus(
            online=online,
            epoch=self.epoch,
            name=self._kiosk.name,
            town=self._kiosk.town,
            unavailable=self._unavailable() if online else None,
            audit=self._audit_head() if online else "",
        )
        return Message(
            topics.status(self._kiosk.id),
            status.model_dump_json().encode(),
            retain=True,
            expiry_s=STATUS_EXPIRY_S,
        )

    def _waiting(self, entry: Waiting) -> Message:
        return Message(
            topics.waiting(entry.service, self._kiosk.id),
            entry.model_dump_json().encode(),
            retain=True,
            expiry_s=ENTRY_EXPIRY_S,
        )

    def _cleared(self, service: str) -> Message:
        return Message(topics.waiting(service, self._kiosk.id), b"", retain=True)

    def _retained(self) -> list[Message]:
        mine = [] if self._entry is None else [self._waiting(self._entry)]
        return [self._status(online=True), *mine]

    def _receive(self, topic: str, payload: bytes) -> None:
        levels = topics.levels(topic)
        try:
            message = parse(payload) if payload else None
            if message is not None and not self._is_new(message):
                return
            self._handle(levels, message)
        except ValueError as error:
            self.invalid += 1
            if self.invalid == 1:  # the first tells of the rest; the count is in the status
                log.warning("signal.invalid", topic=topic, error=what_is_wrong(error))

    def _handle(self, levels: list[str], message: Signal | None) -> None:
        match levels, message:
            case ["s", service, "wait", kiosk], Waiting() | None:
                self._on_entry(service, kiosk, message)
            case ["s", service, "claim", _], Claim(agent=agent):
                self._on_signal(service, agent, message)
            case ["s", service, "call", _, agent, "a2k"], Answer() | Bye():
                self._on_signal(service, agent, message)
            case _, None:
                pass
            case _:
                raise ValueError(f"a {message.type} does not belong there")

    def _is_new(self, message: Signal) -> bool:
        if isinstance(message, Waiting):
            return True  # a state, not news
        if message.id in self._seen:
            return False
        self._seen[message.id] = None
        if len(self._seen) > SEEN:
            self._seen.pop(next(iter(self._seen)))
        return True

    def _on_entry(self, service: str, kiosk: str, entry: Waiting | None) -> None:
        if kiosk == self._kiosk.id:
            mine = self._entry is not None and self._entry.service == service
            if entry is not None and not mine:
                self.link.publish(self._cleared(service))  # of an earlier life of ours
            return
        if entry is None:
            self._others.pop(kiosk, None)
        elif self._entry is not None and entry.service == self._entry.service == service:
            self._others[kiosk] = entry
        self._on_change()
