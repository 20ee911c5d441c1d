"""H.264's units and payloads; aiortc's reader is the far end."""

from __future__ import annotations

import random

import pytest
from aiortc.codecs.h264 import h264_depayload

from kioskd.picture import nal

SEQUENCE, PICTURE, KEY, OTHER = b"\x67\x42\xe0\x1f", b"\x68\xce", b"\x65" + b"k" * 50, b"\x41abc"


def test_units_are_found_whatever_stands_before_them() -> None:
    data = b"\x00\x00\x00\x01" + SEQUENCE + b"\x00\x00\x01" + PICTURE + b"\x00\x00\x00\x01" + KEY
    assert list(nal.units(data)) == [SEQUENCE, PICTURE, KEY]
    assert list(nal.units(data + b"\x00\x00")) == [SEQUENCE, PICTURE, KEY]
    assert list(nal.units(b"no start code")) == []
    assert list(nal.units(nal.stream([KEY, OTHER]))) == [KEY, OTHER]


def test_a_key_picture_is_known() -> None:
    assert nal.is_key(nal.stream([SEQUENCE, PICTURE, KEY]))
    assert not nal.is_key(nal.stream([OTHER]))


def test_a_key_picture_has_its_parameter_sets_also_where_they_came_once() -> None:
    sets = nal.ParameterSets()
    whole = nal.stream([SEQUENCE, PICTURE, KEY])
    assert sets.complete(whole) == whole
    assert sets.complete(nal.stream([OTHER])) == nal.stream([OTHER])
    assert sets.complete(nal.stream([KEY])) == whole
    assert nal.ParameterSets().complete(nal.stream([KEY])) == nal.stream([KEY])


@pytest.mark.parametrize("size", [2, 100, 101, 199, 1000, 12345])
def test_the_far_end_puts_together_what_was_cut(size: int) -> None:
    key = b"\x65" + random.Random(size).randbytes(size - 1).replace(b"\x00", b"\x01")
    cut = nal.payloads(nal.stream([SEQUENCE, PICTURE, b"\x06a remark", key]), 100)
    assert max(len(one) for one in cut) <= 100
    assert b"".join(h264_depayload(one) for one in cut) == nal.stream([SEQUENCE, PICTURE, key])
    sizes = [len(one) for one in cut[2:]]
    assert max(sizes) - min(sizes[:-1] or sizes) <= 1
