"""`unpack(x.pack()) == x`, for every fixed layout."""

import copy
import dataclasses
import pickle

import pytest
from hypothesis import given, settings
from strategies import LAYOUTS, layouts

from nnrp import core


@pytest.mark.parametrize("name", LAYOUTS)
def test_bytes_and_back(name):
    cls = getattr(core, name)

    @settings(max_examples=60, deadline=None)
    @given(layouts(name))
    def check(original):
        packed = original.pack()
        assert len(packed) == cls.STRUCT.size
        again = cls.unpack(packed)
        assert again == original
        assert again.pack() == packed
        assert [type(getattr(again, field.name)) for field in dataclasses.fields(cls)] == [
            type(getattr(original, field.name)) for field in dataclasses.fields(cls)
        ]

    check()


@settings(max_examples=5, deadline=None)
@given(layouts("FrameSubmitMetadata"))
def test_copies_are_equal(original):
    original.frame_id = 7
    pickled = pickle.loads(pickle.dumps(original))
    for twin in (copy.copy(original), pickled, dataclasses.replace(original)):
        assert twin == original
        assert twin.frame_id == original.frame_id
    assert dataclasses.asdict(original)["frame_id"] == original.frame_id


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_bytes_like_is_read(kind):
    hint = core.ResultHintMetadata(retry_after_ms=5)
    assert core.ResultHintMetadata.unpack(kind(hint.pack())) == hint
