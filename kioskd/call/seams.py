"""Where kioskd reaches into aiortc's inside. Written for aiortc 1.16, aioice 0.13.

`sound_seams`, `picture_seams`, `arrival_seams` and `codec_seams` have those of the media.

What is used beyond the public interface, each but the clock on the objects of one leg and
never on a module, so that nothing else in the process is changed:

    RTCRtpReceiver._send_rtcp_pli      sends a picture loss indication (RFC 4585, 6.3.1)
    aiortc.clock.current_datetime, .current_ms, .current_ntp_time
                                       the time of arrivals, packets, reports and statistics
    `time` in CLOCKED                  arrivals, round trips, the association's cookie
    RTCDtlsTransport.__rx_packets      counts what comes, whatever it is
    RTCSctpTransport._last_sacked_tsn  grows with what the far end has got of the channels
    RTCSctpTransport._data_channel_queue   the messages of all channels that wait, in one row
    RTCIceGatherer._connection         the aioice connection behind a gatherer
    aioice Connection.get_component_candidates   opens one socket for each address
    aioice Connection.add_remote_candidate   resolves a name before it returns
    aioice Connection.data_received, ._queue   keeps what nobody has read yet
    aioice Connection.connect, ._closing         finds the path, then starts consent checks
    aioice Connection.query_consent, ._nominated, .build_request, ._query_consent_task

tests/unit/test_seams.py fails when a new release moves one of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, Final

import aioice
import aioice.stun
import aioice.turn
import aiortc.clock
from aioice import Candidate, mdns
from aiortc import (
    RTCDataChannel,
    RTCIceGatherer,
    RTCPeerConnection,
    RTCRtpReceiver,
    rtcrtpreceiver,
    rtcrtpsender,
    rtcsctptransport,
)

RX_PACKETS: Final = "_RTCDtlsTransport__rx_packets"
KEYFRAME_INTERVAL_S: Final = 1.0
"""Least time between two requests: a key frame weighs as much as a second of the rest."""
CLOCKED: Final = (rtcrtpreceiver, rtcrtpsender, rtcsctptransport, aioice.turn)
"""The modules that ask `time.time` how much time has passed, and nothing else of `time`."""
NTP_S: Final = 2_208_988_800
"""Seconds from NTP's origin to that of the wall clock (RFC 868)."""
EARLY: Final = 64
CONSENT_S: Final = 30.0
CONSENT_EVERY_S: Final = 5.0
"""RFC 7675, section 5.1: when consent expires, and how often it is asked for, more or less."""
CONSENT_TRIES: Final = 3
"""Their answers are waited for 0.5, 1 and 2 s (RFC 8489, section 6.2.1)."""


class KeyframeRequester:
    """Asks the remote encoder for a key frame, at most once a second."""

    def __init__(self, receiver: RTCRtpReceiver) -> None:
        self._receiver = receiver
        self._next = float("-inf")
        self._waiting = False

    async def request(self) -> None:
        """Send a picture loss indication, up to a second later; do nothing if one is due."""
        if self._waiting:
            return
        loop = asyncio.get_running_loop()
        self._waiting = True
        try:
            await asyncio.sleep(self._next - loop.time())
            self._next = loop.time() + KEYFRAME_INTERVAL_S
            for source in self._receiver.getSynchronizationSources():
                await self._receiver._send_rtcp_pli(source.source)  # noqa: SLF001  # seam
        finally:
            self._waiting = False


def use_steady_clock() -> None:
    """Make aiortc's time go on steadily, from the wall clock's time at the first call of this.

    aiortc measures arrivals by the wall clock. When that is set from 1970 to today, which a
    machine without a battery does at its first contact, its rate estimator walks through every
    millisecond in between on the event loop (RateCounter._erase_old), its reports hold a jitter
    that fits no field, and the data channels wait their longest for what was lost.
    """
    if aiortc.clock.current_datetime.__module__ == __name__:
        return
    begun, first = time.time(), time.monotonic()

    def steady() -> float:
        return begun + time.monotonic() - first

    def steady_datetime() -> datetime:
        return datetime.fromtimestamp(begun, UTC) + timedelta(seconds=time.monotonic() - first)

    def steady_ms() -> int:
        return int((steady() + NTP_S) * 1000)

    def steady_ntp() -> int:
        return int((steady() + NTP_S) * (1 << 32))

    aiortc.clock.current_datetime = steady_datetime
    # Each packet asks them: aiortc's own go by way of a datetime, which costs ten times as much.
    aiortc.clock.current_ms, aiortc.clock.current_ntp_time = steady_ms, steady_ntp
    for module in CLOCKED:
        assert vars(module)["time"] is time
        vars(module)["time"] = SimpleNamespace(time=steady)


def packets_received(connection: RTCPeerConnection) -> int:
    """Return how many packets have come over the connection's one transport.

    getStats tells it too, at the cost of all the other figures.
    """
    transport = connection.getTransceivers()[0].receiver.transport
    count: int = getattr(transport, RX_PACKETS)
    return count


def delivered(connection: RTCPeerConnection) -> int:
    """Return a number that changes whenever the far end tells that it got more of the channels.

    Chunks of data count, up to the last one before a gap (RFC 9260, section 3.3.4); modulo 2**32.
    """
    tsn: int = connection.sctp._last_sacked_tsn if connection.sctp is not None else 0  # noqa: SLF001  # seam
    return tsn


def hasten(connection: RTCPeerConnection, channel: RTCDataChannel) -> None:
    """Let what waits in this channel go before what waits in the others, in its own order."""
    assert connection.sctp is not None
    queue = connection.sctp._data_channel_queue  # noqa: SLF001  # seam
    # A stable sort: False comes before True.
    ordered = sorted(queue, key=lambda waiting: waiting[0] is not channel)
    queue.clear()
    queue.extend(ordered)


def gather_loopback(gatherer: RTCIceGatherer) -> None:
    """Make a gatherer fall back on 127.0.0.1 when the machine has no other address.

    aioice leaves loopback out; a demonstration without any network needs it. To be
    called before gathering.
    """
    connection = gatherer._connection  # noqa: SLF001  # seam
    gather = connection.get_component_candidates

    async def with_loopback(
        component: int, addresses: list[str], timeout: int = 5
    ) -> list[Candidate]:
        return await gather(component, addresses or ["127.0.0.1"], timeout)

    connection.get_component_candidates = with_loopback  # type: ignore[method-assign]  # seam


def gather_to_the_end(gatherer: RTCIceGatherer) -> None:
    """Let a gathering that is cancelled end by itself, and close what it has opened then.

    aioice knows of a TURN allocation only once it is there: one that came after the end of the
    connection would be refreshed for ever. To be called before gathering.
    """
    connection = gatherer._connection  # noqa: SLF001  # seam
    gather = connection.get_component_candidates

    async def to_the_end(component: int, addresses: list[str], timeout: int = 5) -> list[Candidate]:
        work = asyncio.ensure_future(gather(component, addresses, timeout))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            late = asyncio.create_task(_close_after(connection, work), name="gathered in vain")
            _LATE.add(late)
            late.add_done_callback(_LATE.discard)
            raise

    connection.get_component_candidates = to_the_end  # type: ignore[method-assign]  # seam


def resolve_names_beside(gatherer: RTCIceGatherer) -> None:
    """Do not hold the other candidates up for a `.local` name (RFC 8828) that nobody answers to.

    A browser names itself so where its page may not use the devices. Across the internet the name
    is found by nobody, after a second for each. To be called before the answer is applied.
    """
    connection = gatherer._connection  # noqa: SLF001  # seam
    add = connection.add_remote_candidate

    async def add_beside(remote_candidate: Candidate | None) -> None:
        if remote_candidate is None or not mdns.is_mdns_hostname(remote_candidate.host):
            await add(remote_candidate)
            return
        task = asyncio.create_task(add(remote_candidate), name="name of a candidate")
        _LATE.add(task)
        task.add_done_callback(_LATE.discard)
        await asyncio.sleep(0)  # it is counted as expected before the end of candidates is told

    connection.add_remote_candidate = add_beside  # type: ignore[method-assign]  # seam


_LATE: Final[set[asyncio.Task[None]]] = set()


def closing(pc: RTCPeerConnection) -> asyncio.Task[None]:
    """Begin to close a connection, which goes on to its end however long anybody waits for it.

    aiortc closes once: the sockets and tasks that a cancelled close had not come to would stay.
    """
    task = asyncio.create_task(pc.close(), name="leg connection close")
    _LATE.add(task)
    task.add_done_callback(_LATE.discard)
    return task


async def _close_after(connection: aioice.Connection, work: asyncio.Future[Any]) -> None:
    await asyncio.wait([work])
    await connection.close()


def bound_early_data(gatherer: RTCIceGatherer) -> None:
    """Drop what comes before there is a path, but for EARLY packets.

    The agent's first words of DTLS may come before its answer does. Nobody reads them up to then,
    and an offer may stand for long.
    """
    connection = gatherer._connection  # noqa: SLF001  # seam
    take = connection.data_received

    def take_few(data: bytes, component: int) -> None:
        if connection._nominated or connection._queue.qsize() < EARLY:  # noqa: SLF001  # seam
            take(data, component)

    connection.data_received = take_few  # type: ignore[method-assign]  # seam


def end_consent_checks(gatherer: RTCIceGatherer) -> None:
    """Make a connection closed while it connects stay closed.

    aioice may find its path at the moment it is closed, and then starts consent checks
    that nothing ends. To be called before the answer is applied.
    """
    connection = gatherer._connection  # noqa: SLF001  # seam
    connect = connection.connect

    async def connect_unless_closed() -> None:
        await connect()
        if connection._closing:  # noqa: SLF001  # seam
            await connection.close()
            raise ConnectionError("closed while connecting")

    connection.connect = connect_unless_closed  # type: ignore[method-assign]  # seam


def check_consent_patiently(gatherer: RTCIceGatherer) -> None:
    """Wait 3.5 s for each answer to a consent check, and not half a second.

    Over a satellite, with a round trip of 0.6 s, aioice closes a healthy connection after
    half a minute. To be called before the answer is applied.
    """
    connection = gatherer._connection  # noqa: SLF001  # seam

    async def query_consent() -> None:
        heard = time.monotonic()
        while time.monotonic() - heard < CONSENT_S:
            await asyncio.sleep(CONSENT_EVERY_S * random.uniform(0.8, 1.2))  # noqa: S311
            key = (connection.remote_password or "").encode()
            for pair in list(connection._nominated.values()):  # noqa: SLF001  # seam
                with contextlib.suppress(aioice.stun.TransactionError):
                    await pair.protocol.request(
                        connection.build_request(pair, nominate=False),
                        pair.remote_addr,
                        integrity_key=key,
                        retransmissions=CONSENT_TRIES - 1,
                    )
                    heard = time.monotonic()
        connection._query_consent_task = None  # noqa: SLF001  # seam
        await connection.close()

    connection.query_consent = query_consent  # type: ignore[method-assign]  # seam
