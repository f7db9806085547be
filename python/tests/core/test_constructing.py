"""Frozen objects that are filled directly are what `dataclass` would have made of the same arguments."""

import copy
import inspect
import pickle
from dataclasses import FrozenInstanceError, dataclass, fields, replace

import pytest

from nnrp.client import SubmitRequest
from nnrp.core import TensorDType, TensorSectionData

MADE = [
    SubmitRequest(7, tile_ids=(0,), view_id=3, inference_budget_ms=9),
    TensorSectionData(1, 0, TensorDType.UINT8, (b"x",)),
]


@pytest.mark.parametrize("made", MADE)
def test_it_is_one_of_its_class_and_frozen(made):
    assert type(made) in {SubmitRequest, TensorSectionData}
    for field in fields(made):
        with pytest.raises(FrozenInstanceError):
            setattr(made, field.name, getattr(made, field.name))
    with pytest.raises(FrozenInstanceError):
        delattr(made, fields(made)[0].name)


@pytest.mark.parametrize("made", MADE)
def test_copies_are_equal(made):
    for other in (copy.copy(made), copy.deepcopy(made), pickle.loads(pickle.dumps(made)), replace(made)):
        assert type(other) is type(made)
        assert other == made
        assert hash(other) == hash(made)


@pytest.mark.parametrize("kind", [SubmitRequest, TensorSectionData])
def test_the_parameters_are_the_fields_with_their_defaults(kind):
    parameters = list(inspect.signature(kind).parameters.values())
    assert [one.name for one in parameters] == [field.name for field in fields(kind)]
    required = dict.fromkeys(("frame_id", "role_id", "default_codec_id", "dtype_id", "tile_payloads"))
    given = {**{one.name: one.default for one in parameters}, **required, "dtype_id": 1, "tile_payloads": ()}
    made = kind(**{one.name: given[one.name] for one in parameters})
    for one in parameters:
        if one.name not in required:
            assert getattr(made, one.name) is one.default


def test_each_argument_gets_to_its_own_field():
    given = {field.name: number for number, field in enumerate(fields(SubmitRequest), 1)}
    given["inference_budget_ms"] = given["latency_budget_ms"]
    made = SubmitRequest(**given)
    assert {name: getattr(made, name) for name in given} == given


def test_missing_and_unknown_arguments_are_refused_by_the_name_of_the_class():
    with pytest.raises(TypeError, match=r"SubmitRequest.__init__\(\) missing 1 required .* 'frame_id'"):
        SubmitRequest()
    with pytest.raises(TypeError, match="positional"):
        SubmitRequest(*range(40))
    with pytest.raises(TypeError, match="unexpected keyword argument 'frame'"):
        SubmitRequest(frame=1)
    with pytest.raises(ValueError, match="inference_budget_ms"):
        SubmitRequest(1, latency_budget_ms=2, inference_budget_ms=3)


def test_subclasses_may_have_fields_and_constructors_of_their_own():
    @dataclass(frozen=True)
    class Named(SubmitRequest):
        name: str = ""

    class Numbered(SubmitRequest):
        def __init__(self, number):
            super().__init__(number, latency_budget_ms=5)

    named, numbered = Named(3, name="left"), Numbered(4)
    assert (type(named), named.frame_id, named.name) == (Named, 3, "left")
    assert (type(numbered), numbered.frame_id, numbered.inference_budget_ms) == (Numbered, 4, 5)
    for frozen in (named, numbered):
        with pytest.raises(FrozenInstanceError):
            frozen.frame_id = 1
