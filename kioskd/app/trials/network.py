"""The network's trial: to the broker and back, and through each STUN and TURN server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from kioskd.app.trials.marks import Marks
from kioskd.call.ice import IceServer
from kioskd.control.trial import Look, Untried
from kioskd.diagnostics import network, relay
from kioskd.diagnostics.findings import Severity, Trouble
from kioskd.diagnostics.relay import Way
from kioskd.signalling.link import BrokerAddress

TRIP_S: Final = (0.5, 2.0)
"""Round trips to the broker: an agent's claim waits for it, so that more is noticed."""
ROUND_TRIP_S: Final = 5.0
MEDIA_TRIP_S: Final = 0.3
"""ITU-T G.114: 150 ms one way is not noticed; more than this both ways is."""
LOSS: Final = (0.02, 0.10)
"""Shares of lost packets that speech does not show, and that make it hard to follow."""


async def try_network(
    marks: Marks,
    address: BrokerAddress,
    servers: Sequence[IceServer],
    *,
    connected: bool,
    round_trip: Callable[[float], Awaitable[float | None]] | None,
) -> None:
    """Try the ways out. `connected`: the broker has us, and a second login would throw us out.

    `round_trip` sends something to the broker over the connection there is, waits that many
    seconds at the most and returns how long its acknowledgement took.
    """
    marks.device = f"{address.host}:{address.port}"
    marks.progress(0.1, Look.BROKER)
    began = time.monotonic()
    found = await network.broker(address, say_hello=not connected)
    reach_s = time.monotonic() - began
    trip_s = await round_trip(ROUND_TRIP_S) if connected and round_trip else None
    wrong = [one for one in found if one.severity is Severity.BROKEN]
    transport = "TLS" if address.tls else "TCP"
    good, bad = TRIP_S
    slowest = max(reach_s, trip_s or 0.0)
    share = 1.0 if slowest <= good else 0.7 if slowest <= bad else 0.4
    if wrong or (connected and round_trip and trip_s is None):
        share = 0.0
    trip = "-" if trip_s is None else round(trip_s * 1000)
    marks.mark(
        Look.BROKER,
        50,
        share,
        host=marks.device,
        transport=transport,
        ms=round(reach_s * 1000),
        trip=trip,
    )
    for one in wrong or found:
        marks.wrong(one.id, one.detail, fails=one.severity is Severity.BROKEN)
    if share == 0.0 and not wrong:
        marks.wrong(Trouble.BROKER_SILENT, f"no acknowledgement in {ROUND_TRIP_S:.0f} s")
    if not servers:
        marks.untried(Look.SERVERS, 0, Untried.NO_SERVERS)
        return
    marks.progress(0.4, Look.RELAY)
    for way in await asyncio.gather(*(relay.probe(one) for one in servers)):
        _judge(marks, way)


def _judge(marks: Marks, way: Way) -> None:
    look = Look.STUN if way.url.startswith("stun") else Look.RELAY
    trip = "-" if way.trip_s is None else round(way.trip_s * 1000)
    values = {"url": way.url, "transport": way.transport.upper(), "trip": trip}
    if way.error:
        marks.mark(look, 25, 0, **values, loss=100, said=way.error)
        what = Trouble.RELAY_REFUSES if way.refused else Trouble.RELAY
        marks.wrong(what, f"{way.url}: {way.error}")
        return
    good, bad = LOSS
    share = 1.0 if way.loss <= good else 0.6 if way.loss <= bad else 0.3
    if way.trip_s is not None and way.trip_s > MEDIA_TRIP_S:
        share = min(share, 0.6)
    marks.mark(look, 25, share, **values, loss=round(way.loss * 100), said="")
    if not way.carries:  # a server may relay to everybody but to itself
        marks.wrong(Trouble.RELAY, f"{way.url}: it relays nothing to itself", fails=False)
    elif share < 1:
        detail = f"{way.url}: {trip} ms, {way.loss:.0%} lost"
        marks.wrong(Trouble.RELAY, detail, fails=False)
