"""What is received is a lazy subclass that behaves like the public dataclass in every way."""

import copy
import dataclasses
import pickle

import pytest
from frames import STEP, echo, frame

from nnrp.client import Result, SubmitRequest, TypedPayload
from nnrp.core import (
    FrameSubmitMetadata,
    NnrpHeader,
    NnrpPacket,
    ResultClass,
    TensorBodyView,
    TensorSectionData,
    TensorSectionView,
)
from nnrp.server import ReceivedSubmit


@pytest.fixture
async def submit(tcp):
    async with tcp.pair() as (server, client):
        await client.submit_frame(
            frame(7, b"abc", latency_budget_ms=20, typed_payloads=(TypedPayload.tool_delta(b"x"),))
        )
        yield await server.receive_submit(STEP)


def plain(lazy, public):
    return public(**{field.name: getattr(lazy, field.name) for field in dataclasses.fields(public)})


def made(lazy, public=ReceivedSubmit):
    """The fields that have been made so far."""
    found = set()
    for field in dataclasses.fields(lazy):
        try:
            public.__dict__[field.name].__get__(lazy)
        except AttributeError:
            continue
        found.add(field.name)
    return found


async def test_nothing_is_made_before_it_is_read(tcp):
    async with tcp.pair() as (server, client):
        await client.submit_frame(frame(7))
        submit = await server.receive_submit(STEP)
    assert made(submit) == {"request"}
    assert made(submit.request, SubmitRequest) == set()
    assert made(submit.metadata, FrameSubmitMetadata) == {"frame_id"}
    assert made(submit) == {"metadata", "request"}
    assert submit.metadata.frame_id == 7
    assert made(submit.metadata, FrameSubmitMetadata) == {"frame_id"}
    assert submit.metadata.tile_width == frame(7).tile_width
    assert made(submit.metadata, FrameSubmitMetadata) > {"frame_id", "tile_width", "submit_mode"}


async def test_of_a_result_only_what_is_read_is_made(tcp):
    async with tcp.pair() as (server, client):
        await client.submit_frame(frame(7))
        await echo(server)
        result = await client.receive_result(STEP)
    assert made(result, Result) == set()
    [section] = result.tensor_body.sections
    assert made(result, Result) == set(), "the tensors are beside the fields"
    assert made(result.tensor_body, TensorBodyView) == {"sections"}
    assert made(section, TensorSectionView) == {"payload"}
    assert result.tensor_body is result.tensor_body
    assert section == plain(section, TensorSectionView)
    assert plain(section, TensorSectionView) == section
    assert result.tensor_body == plain(result.tensor_body, TensorBodyView)


@pytest.mark.parametrize(
    ("path", "public"),
    [
        ("", ReceivedSubmit),
        ("packet", NnrpPacket),
        ("packet.header", NnrpHeader),
        ("metadata", FrameSubmitMetadata),
        ("request", SubmitRequest),
    ],
)
async def test_it_equals_the_public_object_both_ways(submit, path, public):
    lazy = submit
    for name in filter(None, path.split(".")):
        lazy = getattr(lazy, name)
    twin = plain(lazy, public)
    assert isinstance(lazy, public)
    assert lazy == twin
    assert twin == lazy
    assert repr(lazy) == repr(twin)
    assert dataclasses.fields(lazy) == dataclasses.fields(public)
    assert type(lazy).__name__ == public.__name__
    if public.__hash__ is not None and public is not ReceivedSubmit:
        assert hash(lazy) == hash(twin)


async def test_it_is_as_frozen_as_the_public_class(submit):
    for lazy, name in (
        (submit, "packet"),
        (submit, "frame_id"),
        (submit.request, "frame_id"),
        (submit.request, "sections"),
        (submit.request.sections[0], "role_id"),
    ):
        for change in (lambda: setattr(lazy, name, None), lambda: delattr(lazy, name)):  # noqa: B023
            with pytest.raises(dataclasses.FrozenInstanceError):
                change()
        assert getattr(lazy, name) is not None
        with pytest.raises(AttributeError):
            lazy.no_such_attribute  # noqa: B018
    submit.packet.body = b"changed"
    assert submit.packet.body == b"changed"


async def test_copies_are_plain_and_equal(submit):
    for twin in (
        copy.copy(submit.packet),
        copy.deepcopy(submit.packet),
        pickle.loads(pickle.dumps(submit.packet)),
    ):
        assert type(twin) is NnrpPacket
        assert twin == submit.packet
    twin = pickle.loads(pickle.dumps(submit.request))
    assert type(twin) is SubmitRequest
    assert twin == submit.request
    assert all(isinstance(section, TensorSectionData) for section in twin.sections)


async def test_replace_makes_a_changed_copy(submit):
    changed = dataclasses.replace(submit.request, frame_id=8)
    assert (changed.frame_id, changed.sections) == (8, submit.request.sections)
    assert dataclasses.replace(submit, tensor_body=None).tensor_body is None
    assert dataclasses.asdict(submit.request)["frame_id"] == 7


async def test_a_changed_copy_of_a_result_is_still_of_its_frame(tcp):
    async with tcp.pair() as (server, client):
        await client.submit_frame(frame(7, view_id=2))
        received = await server.receive_submit(STEP)
        changed = dataclasses.replace(received, tensor_body=None)
        assert (changed.frame_id, changed.view_id) == (7, 2)
        await server.send_result(frame_id=7, view_id=2, sections=received.request.sections)
        result = dataclasses.replace(await client.receive_result(STEP), typed_payloads=())
        assert (result.frame_id, result.view_id, result.is_drop, result.drop_reason) == (7, 2, False, None)


async def test_a_received_request_can_be_submitted_again(tcp):
    async with tcp.pair() as (server, client):
        await client.submit_frame(frame(1, b"abc", camera_block=b"cam"))
        request = (await server.receive_submit(STEP)).request
        await client.submit_frame(dataclasses.replace(request, frame_id=2))
        again = (await server.receive_submit(STEP)).request
        assert again == dataclasses.replace(request, frame_id=2)


async def test_results_are_lazy_too(network):
    async with network.pair() as (server, client):
        await client.submit_frame(frame(1, b"abc"))
        await echo(server)
        result = await client.receive_result(STEP)
        twin = plain(result, Result)
        assert result == twin
        assert repr(result) == repr(twin)
        for name in ("tensor_body", "packet", "metadata"):
            for change in (lambda: setattr(result, name, None), lambda: delattr(result, name)):  # noqa: B023
                with pytest.raises(dataclasses.FrozenInstanceError):
                    change()
            assert getattr(result, name) == getattr(twin, name)
        assert result.drop_reason is None is twin.drop_reason


async def test_a_repr_is_one_line_and_decodes_nothing(tcp):
    async with tcp.pair() as (server, client):
        await client.submit_frame(frame(7, b"abc", b"de"))
        received = await server.receive_submit(STEP)
        assert repr(received).startswith("<ReceivedSubmit of frame 7: 2 tiles in 1 section, ")
        await server.send_result(
            frame_id=7, typed_payloads=(TypedPayload.token_chunk(b"x"),), result_class=ResultClass.DEGRADED
        )
        assert repr(await client.receive_result(STEP)).startswith(
            "<Result of frame 7: DEGRADED, 1 typed payload, "
        )
        for number, reason, shown in ((8, "superseded", ": SUPERSEDED"), (9, None, "")):
            await client.submit_frame(frame(number))
            await server.receive_submit(STEP)
            await server.send_result_drop(number, reason)
            assert repr(await client.receive_result(STEP)) == f"<Result of frame {number}: dropped{shown}>"
        assert "tensor_body" not in made(received)
        assert made(received.request, SubmitRequest) == set()
