"""The bench's figures of a direction, its goals and its signalling, from made-up recordings."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from bench.lines import report
from bench.lines.browser import as_recording
from bench.lines.goals import Goal, goals
from bench.lines.lines import LINES, WARM_S, Line
from bench.lines.recording import Concealment, Recording, Shown
from bench.lines.relay import Bucket, Direction
from bench.lines.result import Call, Figures, concealed_percent, figures
from bench.lines.signalling import address_of, led_through
from bench.lines.speech import RATE, round_from, speech

T0 = 1_700_000_000.0
LINE = LINES["adsl512"]
SDP = """v=0
o=- 1 2 IN IP4 127.0.0.1
m=audio 40000 UDP/TLS/RTP/SAVPF 96
c=IN IP4 192.0.2.2
a=ice-ufrag:abcd
a=candidate:1 1 udp 2122194687 fd00::2 40001 typ host generation 0
a=candidate:2 1 udp 2122129151 192.0.2.2 40002 typ host generation 0
a=candidate:3 1 tcp 1518149375 192.0.2.2 9 typ host tcptype active
a=end-of-candidates
m=video 40000 UDP/TLS/RTP/SAVPF 97
a=ice-ufrag:abcd
""".replace("\n", "\r\n")


def test_candidates_are_found_and_replaced() -> None:
    assert address_of(SDP) == ("192.0.2.2", 40002)
    led = led_through(SDP, 5004)
    assert [line for line in led.split("\r\n") if "candidate" in line] == [
        "a=candidate:1 1 udp 2130706431 127.0.0.1 5004 typ host",
        "a=end-of-candidates",
    ] * 2
    assert address_of(led) == ("127.0.0.1", 5004)
    with pytest.raises(ValueError, match="candidate"):
        address_of(SDP.replace("192.0.2.2 40002", "x.local 40002"))


def test_a_scan_takes_its_share_and_some_sound() -> None:
    line = LINES["scan"]
    near, far = _ends(line.call_s + 1, sound_s=0.1, picture_s=0.1, broken=lambda at: 22 <= at < 23)
    far.documents.extend((T0 + 20 + n, 250_000) for n in range(1, 21))
    # 2 Mbit/s: 125,000 bytes in half a second, of which the media take 25,000.
    before = [Bucket(sent=25_000, delivered=25_000)] * 40
    during = [Bucket(sent=105_000, delivered=105_000, data=80_000)] * 60
    carried = _carried(0).model_copy(update={"series": before + during})
    scanned = figures(line, near, far, T0, carried).scanned
    assert scanned is not None
    assert scanned.used == pytest.approx(80, abs=1)
    assert scanned.kbit_s == pytest.approx(1280, abs=20)
    assert scanned.lost_before == 0
    assert scanned.lost_during == pytest.approx(5, abs=0.5)
    assert scanned.done


def _carried(seconds: float, bytes_s: int = 50_000) -> Direction:
    buckets = [Bucket(sent=bytes_s // 2, delivered=bytes_s // 2, wait_ms=12)] * int(seconds * 2)
    return Direction(
        offered=1000,
        offered_bytes=1,
        delivered=980,
        delivered_bytes=1,
        dropped_queue=0,
        dropped_loss=20,
        series=buckets,
    )


def _ends(
    seconds: float, *, sound_s: float, picture_s: float, broken: Callable[[float], bool]
) -> tuple[Recording, Recording]:
    """Return who said and showed, and who heard and saw it; nothing came while `broken`."""
    heard = round_from(speech(), -round(sound_s * RATE), round(seconds * RATE))
    for number in range(round(seconds * 10)):
        if broken(number / 10):
            heard[number * RATE // 10 : (number + 1) * RATE // 10] = 0
    painted, shown = {}, []
    for number in range(round(seconds * 30)):
        at = T0 + number / 30
        painted[number] = round(at * 1000) % 2**32
        if not broken(number / 30):
            shown.append(Shown(at + picture_s, number, painted[number], 320, 240))
    counts = [
        Concealment(
            T0 + n, 1000 + n * RATE, sum(broken(k / 10) for k in range(n * 10)) * RATE // 10
        )
        for n in range(round(seconds) + 1)
    ]
    silence = np.zeros(0, np.int16)
    near = Recording(T0, T0, silence, None, [], painted, [])
    return near, Recording(T0 - 7, T0, heard, None, shown, {}, counts)


def _measure(line: Line, **given: Any) -> Figures:
    near, far = _ends(line.call_s + 1, **given)
    return figures(line, near, far, T0, _carried(line.call_s))


def test_a_whole_direction() -> None:
    found = _measure(LINE, sound_s=0.15, picture_s=0.1, broken=lambda _: False)
    assert found.mouth_to_ear_p50_ms == pytest.approx(150, abs=2)
    assert found.mouth_to_ear_p95_ms == pytest.approx(150, abs=2)
    assert found.matched == 1
    assert found.lost_percent == 0
    assert found.fps == pytest.approx(30, abs=0.2)
    assert found.size == (320, 240)
    assert found.lip_p50_ms == pytest.approx(50, abs=3)
    assert found.kbit_s == pytest.approx(400)
    assert found.packets_lost == pytest.approx(0.02)
    assert (found.freezes, found.long_freezes) == (0, 0)


def test_a_twentieth_of_the_sound_lost_is_five_percent() -> None:
    found = _measure(LINE, sound_s=0.15, picture_s=0.1, broken=lambda at: round(at * 10) % 20 == 0)
    assert found.lost_percent == pytest.approx(5, abs=0.5)


def test_a_hole_is_a_freeze_and_is_recovered_from() -> None:
    found = _measure(LINES["hole"], sound_s=0.1, picture_s=0.1, broken=lambda at: 12 <= at < 16.5)
    assert found.long_freezes == 1
    assert found.longest_freeze_s == pytest.approx(4.5, abs=0.1)
    (recovered,) = found.recovered
    assert recovered.sound_s == pytest.approx(1.5, abs=0.5)
    assert recovered.picture_s == pytest.approx(1.6, abs=0.2)
    assert recovered.queue_ms == 12


def test_a_call_that_died_has_lost_all() -> None:
    found = _measure(LINE, sound_s=0.1, picture_s=0.1, broken=lambda at: at > 2)
    assert found.matched == 0
    assert found.mouth_to_ear_p95_ms is None
    assert found.lost_percent == pytest.approx(100, abs=0.5)
    assert found.fps == 0
    assert found.frozen_s == pytest.approx(25, abs=0.1)


def test_a_receiver_that_plays_no_more_conceals_all() -> None:
    counts = [Concealment(T0 + n, min(n, 3) * RATE, 0) for n in range(11)]
    assert concealed_percent(counts, T0, T0 + 10) == pytest.approx(70, abs=1)
    assert concealed_percent([], T0, T0 + 10) is None


def test_what_waited_in_a_receiver_that_was_given_up_counts_as_lost() -> None:
    def stats(at: float, total: int, concealed: int, waited: float) -> dict[str, Any]:
        counts = {"totalSamplesReceived": total, "concealedSamples": concealed}
        waits = {"jitterBufferEmittedCount": total, "jitterBufferDelay": waited}
        return {"at": T0 + at, "inbound-rtp-audio": counts | waits}

    moments = [T0 * 1000 + n * 128 / RATE * 1000 for n in range(4000)]
    words = {"said": moments, "heard": moments, "shown": [], "painted": [], "documents": []}
    # 0.25 s waited in the second second of the first receiver.
    first = [stats(1, 48_000, 100, 4_800.0), stats(2, 96_000, 300, 16_800.0)]
    second = [stats(3, 48_000, 7, 1000.0), stats(4, 96_000, 9, 2000.0)]
    found = as_recording(words | {"states": [], "stats": first + second}, b"")
    assert [one.total for one in found.concealment] == [48_000, 96_000, 156_000, 204_000]
    assert [one.concealed for one in found.concealment] == [100, 300, 12_307, 12_309]


def test_the_times_of_a_page_come_from_its_blocks() -> None:
    blocks = 4000
    rendered = [T0 + (n // 4 * 4) * 128 / RATE for n in range(blocks)]  # four at once
    late = [at + (0.2 if n == 3000 else 0) for n, at in enumerate(rendered)]  # a hiccup
    words: dict[str, Any] = {
        "said": [at * 1000 for at in late],
        "heard": [at * 1000 for at in late],
        "shown": [[T0, 1, 2, 640, 480]],
        "painted": [[1, 2]],
        "stats": [
            {"at": T0, "inbound-rtp-audio": {"totalSamplesReceived": 9, "concealedSamples": 3}},
            {"at": T0 + 1},
        ],
        "states": [],
        "documents": [[T0, 65536]],
    }
    found = as_recording(words, np.arange(10, dtype="<i2").tobytes())
    assert found.heard_from == pytest.approx(T0, abs=0.001)
    # Four blocks, 10.7 ms, were delivered at once when the first of them was rendered.
    assert found.said_from == pytest.approx(T0 - 4 * 128 / RATE, abs=0.001)
    assert found.painted == {1: 2}
    assert found.documents == [(T0, 65536)]
    assert found.shown == [Shown(T0, 1, 2, 640, 480)]
    assert found.concealment == [Concealment(T0, 9, 3)]
    assert found.notes["heard_spread_ms"] == pytest.approx(8, abs=0.5)


def _call(kind: str, part: Figures | None) -> Call:
    return Call(line=LINE.name, kind=kind, up=part, down=part)


def test_goals_are_met_by_what_is_good_and_not_by_what_is_missing() -> None:
    good = _measure(LINE, sound_s=0.15, picture_s=0.1, broken=lambda _: False)
    bad = _measure(LINE, sound_s=0.4, picture_s=0.1, broken=lambda at: int(at) % 5 == 0)
    met = goals(LINE, _call("kioskd", good), _call("chromium", good))
    assert all(one.met for one in met)
    assert len(met) == len(goals(LINE, _call("kioskd", None), _call("chromium", good)))
    assert not any(one.met for one in goals(LINE, _call("kioskd", None), _call("chromium", good)))
    missed = {
        one.name
        for one in goals(LINE, _call("kioskd", bad), _call("chromium", good))
        if not one.met
    }
    assert {
        "sound lost, %",
        "mouth to ear p95, ms",
        "beside Chromium: frozen, s",
        "sound and picture apart p95, ms",
    } <= missed


def test_the_report_ends_with_the_count() -> None:
    out = StringIO()
    console = Console(file=out, width=200)
    part = _measure(LINE, sound_s=0.15, picture_s=0.1, broken=lambda _: False)
    calls = [_call("kioskd", part), Call(line=LINE.name, kind="aiortc", error="died")]
    report.show(console, [LINE], calls)
    report.conclude(
        console,
        [Goal("a", "up", "x", 1.0, "≤", 1.0), Goal("a", "up", "y", None, "≥", 1.0)],
    )
    lines = out.getvalue().splitlines()
    assert lines[-1] == "lines: 2 goals, 1 met"
    assert "not met: a up: y none (≥ 1.00)" in lines
    assert sum("150/150" in line for line in lines) == 2  # a table for each direction
    assert any("no call: died" in line for line in lines)


def test_the_table_of_lines_is_whole() -> None:
    assert list(LINES) == [
        "fibre", "adsl1m", "adsl512", "adsl256", "4g", "drop", "hole", "satellite", "scan",
    ]  # fmt: skip
    for line in LINES.values():
        first = line.script.steps[0]
        extra = (first.up.jitter_ms + first.down.jitter_ms) / 2
        assert first.up.delay_ms + first.down.delay_ms + extra == line.round_trip_ms
        assert all(step.at_s < line.call_s for step in line.script.steps)
        for change in line.changes:
            assert WARM_S < change.worse_s <= change.since_s < change.until_s <= line.call_s
            assert change.since_s in [step.at_s for step in line.script.steps]
