from __future__ import annotations

import hashlib
import io
import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kioskd.documents.frames import (
    CHUNK_BYTES,
    OFFSET_BYTES,
    Accept,
    Ack,
    Cancel,
    Delivered,
    Document,
    Done,
    Event,
    Failed,
    Frame,
    Progress,
    Received,
    Refuse,
    Refused,
    Started,
)
from kioskd.documents.transfer import (
    ACK_BYTES,
    LEAST_CHUNK_BYTES,
    WINDOW_BYTES,
    Limits,
    Receiver,
    Sender,
    Sink,
)
from kioskd.errors import DocumentError, DocumentFault

PDF = "application/pdf"


def header(data: bytes, number: str = "d1", **fields: object) -> Document:
    values: dict[str, object] = {
        "id": number,
        "name": "letter.pdf",
        "media_type": PDF,
        "size": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        **fields,
    }
    return Document.model_validate(values)


def chunk(offset: int, data: bytes) -> bytes:
    return offset.to_bytes(OFFSET_BYTES, "big") + data


class Shelf:
    """Keeps every sink that was opened, in order."""

    def __init__(self, refuse: DocumentFault | None = None) -> None:
        self.sinks: list[io.BytesIO] = []
        self.refuse = refuse

    def __call__(self, document: Document) -> Sink:
        if self.refuse is not None:
            raise DocumentError(self.refuse)
        self.sinks.append(io.BytesIO())
        return self.sinks[-1]


class FullSink:
    def __init__(self, error: Exception) -> None:
        self.error = error

    def write(self, data: bytes, /) -> object:
        raise self.error


def told(frames: list[Frame]) -> list[dict[str, object]]:
    return [json.loads(frame) for frame in frames]


def run_leg(
    sender: Sender, receiver: Receiver, first: list[Frame], forward: int, back: int
) -> tuple[list[Event], list[Event]]:
    """Carry frames both ways until one way has carried as many as it may, or all is quiet."""
    at_sender: list[Event] = []
    at_receiver: list[Event] = []
    to_receiver = list(first)
    to_sender: list[Frame] = []
    while to_receiver or to_sender:
        while to_receiver:
            if forward == 0:
                return at_sender, at_receiver
            forward -= 1
            at_receiver += receiver.receive(to_receiver.pop(0))
        to_sender += receiver.frames_to_send()
        while to_sender:
            if back == 0:
                return at_sender, at_receiver
            back -= 1
            at_sender += sender.receive(to_sender.pop(0))
            to_receiver += sender.frames_to_send()
            assert sender.unacknowledged <= WINDOW_BYTES
    return at_sender, at_receiver


@pytest.mark.parametrize("late", [Done(id="d1"), Ack(id="d1", received=10)])
def test_an_answer_of_the_leg_before_is_not_heeded(late: Done | Ack) -> None:
    data = bytes(10)
    sender = Sender()
    sender.start(header(data), io.BytesIO(data))
    sender.receive(Accept(id="d1", offset=0).model_dump_json())
    sender.frames_to_send()
    sender.interrupt()
    sender.resume()
    assert sender.receive(late.model_dump_json()) == []
    sender.receive(Accept(id="d1", offset=10).model_dump_json())
    assert sender.receive(Done(id="d1").model_dump_json()) == [Delivered("d1")]


@settings(max_examples=40, deadline=None)
@given(
    size=st.one_of(
        st.integers(1, 3 * WINDOW_BYTES),
        st.sampled_from([1, CHUNK_BYTES, CHUNK_BYTES + 1, ACK_BYTES, WINDOW_BYTES + 1]),
    ),
    cuts=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 10)), max_size=6),
    seed=st.integers(0, 1000),
)
def test_any_document_survives_any_cuts(size: int, cuts: list[tuple[int, int]], seed: int) -> None:
    data = random.Random(seed).randbytes(size)
    shelf = Shelf()
    sender, receiver = Sender(), Receiver(shelf)
    first = sender.start(header(data), io.BytesIO(data))
    at_sender: list[Event] = []
    at_receiver: list[Event] = []
    for forward, back in [*cuts, (10**6, 10**6)]:
        one, other = run_leg(sender, receiver, first, forward, back)
        at_sender += one
        at_receiver += other
        sender.interrupt()
        receiver.interrupt()
        first = sender.resume()
    assert [sink.getvalue() for sink in shelf.sinks] == [data]
    assert [e for e in at_receiver if isinstance(e, Received)] == [Received(header(data))]
    assert [e for e in at_sender if isinstance(e, Delivered)] == [Delivered("d1")]
    assert not [e for e in at_sender + at_receiver if isinstance(e, Failed | Refused)]


@settings(max_examples=60, deadline=None)
@given(frames=st.lists(st.one_of(st.text(max_size=50), st.binary(max_size=50)), max_size=10))
def test_garbage_never_raises(frames: list[str | bytes]) -> None:
    data = bytes(100)
    sender, receiver = Sender(), Receiver(Shelf())
    offer = sender.start(header(data), io.BytesIO(data))
    receiver.receive(offer[0])
    receiver.frames_to_send()
    idle_sender, idle_receiver = Sender(), Receiver(Shelf())
    for frame in frames:
        sender.receive(frame)
        receiver.receive(frame)
        assert idle_sender.receive(frame) == []
        assert idle_receiver.receive(frame) == []
    if frames:
        expected = {"type": "cancel", "id": "d1", "reason": "protocol"}
        assert told(sender.frames_to_send()) == [expected]
        assert told(receiver.frames_to_send()) == [expected]
    assert idle_sender.frames_to_send() == idle_receiver.frames_to_send() == []


MESSAGES = st.one_of(
    st.builds(Accept, id=st.sampled_from(["d1", "d2"]), offset=st.integers(0, 3000)),
    st.builds(Ack, id=st.sampled_from(["d1", "d2"]), received=st.integers(0, 3000)),
    st.builds(Done, id=st.sampled_from(["d1", "d2"])),
    st.builds(
        Refuse, id=st.sampled_from(["d1", "d2"]), reason=st.sampled_from(list(DocumentFault))
    ),
    st.builds(
        Cancel, id=st.sampled_from(["d1", "d2"]), reason=st.sampled_from(list(DocumentFault))
    ),
).map(lambda message: message.model_dump_json())


@settings(max_examples=100, deadline=None)
@given(frames=st.lists(MESSAGES, max_size=12))
def test_a_lying_receiver_never_upsets_the_sender(frames: list[str]) -> None:
    data = bytes(2000)
    sender = Sender()
    sender.start(header(data), io.BytesIO(data))
    endings = 0
    for frame in frames:
        endings += sum(isinstance(e, Failed | Delivered) for e in sender.receive(frame))
        for out in sender.frames_to_send():
            if isinstance(out, bytes):
                assert int.from_bytes(out[:OFFSET_BYTES], "big") + len(out) - OFFSET_BYTES <= 2000
        assert 0 <= sender.unacknowledged <= WINDOW_BYTES
    assert endings == (sender.document is None)


def test_surrogates_and_long_texts_are_garbage() -> None:
    for frame in ["\ud800", '"' + "x" * 20_000 + '"', "[" * 10_000]:
        receiver = Receiver(Shelf())
        receiver.receive(header(b"abc").model_dump_json())
        assert receiver.receive(frame) == [Failed("d1", DocumentFault.PROTOCOL)]


def test_window_and_buffer_bound_what_is_sent() -> None:
    data = bytes(2 * WINDOW_BYTES)
    sender = Sender()
    sender.start(header(data), io.BytesIO(data))
    assert sender.frames_to_send() == []  # not accepted yet
    sender.receive(Accept(id="d1", offset=0).model_dump_json())
    frames = sender.frames_to_send(2 * (CHUNK_BYTES + OFFSET_BYTES))
    assert [len(frame) for frame in frames] == [CHUNK_BYTES + OFFSET_BYTES] * 2
    assert sender.frames_to_send(LEAST_CHUNK_BYTES) == []
    little = OFFSET_BYTES + LEAST_CHUNK_BYTES
    assert [len(frame) for frame in sender.frames_to_send(little)] == [little]
    while sender.frames_to_send():
        pass
    assert WINDOW_BYTES - CHUNK_BYTES < sender.unacknowledged <= WINDOW_BYTES


def test_acks_come_each_quarter_mebibyte_and_at_the_end() -> None:
    data = bytes(ACK_BYTES * 2 + 10)
    receiver = Receiver(Shelf())
    receiver.receive(header(data).model_dump_json())
    receiver.frames_to_send()
    acks = []
    for at in range(0, len(data), CHUNK_BYTES):
        receiver.receive(chunk(at, data[at : at + CHUNK_BYTES]))
        acks += [m.get("received", m["type"]) for m in told(receiver.frames_to_send())]
    assert len(acks) == 3
    first, last, done = acks
    assert isinstance(first, int)
    assert ACK_BYTES <= first < ACK_BYTES + CHUNK_BYTES
    assert (last, done) == (len(data), "done")


@pytest.mark.parametrize(
    ("document", "fault"),
    [
        (header(b"x", media_type="text/html"), DocumentFault.WRONG_TYPE),
        (header(b""), DocumentFault.EMPTY),
        (header(b"x" * 11), DocumentFault.TOO_LARGE),
    ],
)
def test_limits_are_checked_before_any_byte(document: Document, fault: DocumentFault) -> None:
    shelf = Shelf()
    receiver = Receiver(shelf, Limits(size=10))
    assert receiver.receive(document.model_dump_json()) == [Refused("d1", fault)]
    assert told(receiver.frames_to_send()) == [{"type": "refuse", "id": "d1", "reason": fault}]
    assert shelf.sinks == []
    assert receiver.receive(chunk(0, b"x")) == []


def test_the_caller_can_refuse() -> None:
    receiver = Receiver(Shelf(DocumentFault.NOT_NOW))
    events = receiver.receive(header(b"x").model_dump_json())
    assert events == [Refused("d1", DocumentFault.NOT_NOW)]


def test_a_malformed_header_is_refused_by_its_id() -> None:
    receiver = Receiver(Shelf())
    events = receiver.receive('{"type": "document", "id": "d7", "size": -1}')
    assert events == [Refused("d7", DocumentFault.PROTOCOL)]


def test_a_second_document_is_refused_while_one_comes_in() -> None:
    receiver = Receiver(Shelf())
    receiver.receive(header(b"abc").model_dump_json())
    events = receiver.receive(header(b"abc", "d2").model_dump_json())
    assert events == [Refused("d2", DocumentFault.BUSY)]
    assert receiver.document == header(b"abc")
    sender = Sender()
    sender.start(header(b"abc"), io.BytesIO(b"abc"))
    with pytest.raises(DocumentError) as caught:
        sender.start(header(b"abc", "d2"), io.BytesIO(b"abc"))
    assert caught.value.fault is DocumentFault.BUSY


def test_a_new_document_replaces_one_that_a_lost_leg_broke() -> None:
    receiver = Receiver(Shelf())
    receiver.receive(header(b"abc").model_dump_json())
    receiver.interrupt()
    assert receiver.receive(header(b"de", "d2").model_dump_json()) == [
        Failed("d1", DocumentFault.CANCELLED),
        Started(header(b"de", "d2")),
    ]
    assert Received(header(b"de", "d2")) in receiver.receive(chunk(0, b"de"))


@pytest.mark.parametrize(
    "bad", [chunk(1, b"bc"), chunk(0, b"abcd"), chunk(0, b""), b"", chunk(0, bytes(70_000))]
)
def test_a_wrong_chunk_cancels(bad: bytes) -> None:
    receiver = Receiver(Shelf())
    receiver.receive(header(b"abc").model_dump_json())
    assert receiver.receive(bad) == [Failed("d1", DocumentFault.PROTOCOL)]
    assert receiver.receive(chunk(0, b"abc")) == []  # what is still on its way is dropped


def test_a_wrong_checksum_cancels() -> None:
    receiver = Receiver(Shelf())
    receiver.receive(header(b"abc").model_dump_json())
    assert receiver.receive(chunk(0, b"abd"))[-1] == Failed("d1", DocumentFault.CHECKSUM)
    assert told(receiver.frames_to_send())[-1]["reason"] == "checksum"


@pytest.mark.parametrize("error", [DocumentError(DocumentFault.NO_SPACE), OSError(28, "full")])
def test_a_full_sink_cancels(error: Exception) -> None:
    receiver = Receiver(lambda _: FullSink(error))
    receiver.receive(header(b"abc").model_dump_json())
    assert receiver.receive(chunk(0, b"abc")) == [Failed("d1", DocumentFault.NO_SPACE)]


def test_both_sides_can_cancel() -> None:
    data = bytes(CHUNK_BYTES * 3)
    sender, receiver = Sender(), Receiver(Shelf())
    receiver.receive(sender.start(header(data), io.BytesIO(data))[0])
    _accept, frame = receiver.cancel()
    sender.receive(Accept(id="d1", offset=0).model_dump_json())
    assert sender.receive(frame) == [Failed("d1", DocumentFault.CANCELLED)]
    assert sender.document is None
    assert receiver.document is None

    receiver.receive(sender.start(header(data, "d2"), io.BytesIO(data))[0])
    (frame,) = sender.cancel(DocumentFault.TIMEOUT)
    assert receiver.receive(frame) == [Failed("d2", DocumentFault.TIMEOUT)]


def test_a_source_that_ends_early_is_given_up() -> None:
    sender = Sender()
    sender.start(header(bytes(100)), io.BytesIO(bytes(50)))
    assert sender.receive(Accept(id="d1", offset=0).model_dump_json()) == [Progress("d1", 0, 100)]
    with pytest.raises(DocumentError) as caught:
        sender.frames_to_send()
    assert caught.value.fault is DocumentFault.BROKEN
    assert told(sender.frames_to_send())[0]["reason"] == "broken"


def test_nothing_is_kept_after_the_visit() -> None:
    receiver = Receiver(Shelf())
    receiver.receive(header(b"abc").model_dump_json())
    receiver.receive(chunk(0, b"abc"))
    receiver.forget()
    assert receiver.frames_to_send() == []
    assert receiver.receive(header(b"abc").model_dump_json()) == [Started(header(b"abc"))]
