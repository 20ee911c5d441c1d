"""A document on its way to the agent: how long it is waited for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from kioskd.app import transfers as module
from kioskd.app.transfers import Transfers
from kioskd.call.channels import TO_AGENT
from kioskd.call.leg import Leg
from kioskd.documents.frames import Accept, Document, parse_from_sender
from kioskd.documents.spool import Spool
from kioskd.errors import DocumentError, DocumentFault
from kioskd.visit.state import Visit


class ThinLeg:
    """A leg whose agent accepts and then says nothing, and on which so much waits at each look."""

    def __init__(self, transfers: Transfers, waiting: Iterator[int]) -> None:
        self._transfers = transfers
        self._waiting = waiting
        self.left = -1

    def buffered(self, label: str) -> int:
        assert label == TO_AGENT
        self.left = next(self._waiting, self.left)
        return self.left

    def room(self, label: str) -> int:
        assert label == TO_AGENT
        return 1 << 20

    def send_document(self, label: str, data: str | bytes) -> None:
        if isinstance(data, str) and isinstance(said := parse_from_sender(data), Document):
            self._transfers.receive(label, Accept(id=said.id, offset=0).model_dump_json())


@pytest.mark.parametrize("steps", [1, 6])
async def test_a_document_is_given_up_when_it_moves_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    monkeypatch.setattr(module, "STALL_S", 0.02)
    monkeypatch.setattr(module, "LOOK_S", 0.005)
    posted: list[Any] = []
    transfers = Transfers(
        Spool(tmp_path, 1 << 20), post=posted.append, visit=lambda: Visit(language="fr", entered=0)
    )
    leg = ThinLeg(transfers, iter(range(steps * 1000, 0, -1000)))
    transfers.attach(cast("Leg", leg))
    with pytest.raises(DocumentError) as caught:
        await transfers.send("r1", b"%PDF-" + bytes(100_000), 1)
    assert caught.value.fault is DocumentFault.TIMEOUT
    assert leg.left == 1000, "it was given up while it moved"
