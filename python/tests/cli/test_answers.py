"""What a handler returns is what a client gets; whatever it does, the frame is answered."""

from dataclasses import replace

import numpy as np
import pytest

from nnrp.adapters import create_tcp_client_configuration
from nnrp.arrays import tensor_section
from nnrp.client import SubmitRequest, TypedPayload, dial_client
from nnrp.core import PayloadKind, ResultClass, ResultHintReason

STEP = 20.0


def prompt(text, frame_id=1, **fields):
    return SubmitRequest(
        frame_id=frame_id, typed_payloads=(TypedPayload.token_chunk(text.encode()),), **fields
    )


def dial(served):
    return dial_client(served.url, config=create_tcp_client_configuration(), timeout=STEP)


@pytest.mark.parametrize("handler", ["shout", "shout_later"])
async def test_plain_and_async_handlers_answer(commands, handler):
    async with commands.serve(f"app:{handler}", "--plain") as served, dial(served) as session:
        result = await session.submit(prompt("hello"), timeout=STEP)
    assert result.token_chunks == (b"HELLO",)
    assert result.metadata.result_class is ResultClass.COMPLETE


async def test_an_object_that_can_be_called_is_a_handler(commands):
    async with commands.serve("app:model", "--plain") as served, dial(served) as session:
        result = await session.submit(prompt("hello"), timeout=STEP)
    assert result.token_chunks == (b"a model",)


async def test_everything_in_a_list_is_sent_in_one_result(commands):
    async with commands.serve("app:all_kinds", "--plain") as served, dial(served) as session:
        result = await session.submit(prompt("hello"), timeout=STEP)
    assert [(payload.payload_kind, payload.payload) for payload in result.typed_payloads] == [
        (PayloadKind.TOKEN_CHUNK, b"hello"),
        (PayloadKind.OPAQUE_BYTES, b"bytes"),
        (PayloadKind.STRUCTURED_EVENT, b'{"label": "cat"}'),
        (PayloadKind.TOKEN_CHUNK, b"hello"),
    ]


async def test_a_reply_says_more_about_the_answer(commands):
    async with commands.serve("app:degraded", "--plain") as served, dial(served) as session:
        result = await session.submit(prompt("hello"), timeout=STEP)
    assert (result.metadata.result_class, result.metadata.status_code) == (ResultClass.DEGRADED, 7)


@pytest.mark.parametrize("handler", ["words", "plain_words"])
async def test_a_generator_streams_its_parts(commands, handler):
    async with commands.serve(f"app:{handler}", "--plain") as served, dial(served) as session:
        parts = [part async for part in session.stream(prompt("one two three"), timeout=STEP)]
    assert [part.token_chunks for part in parts] == [(b"one ",), (b"two ",), (b"three ",), ()]
    assert [part.is_last for part in parts] == [False, False, False, True]


async def test_whoever_takes_no_parts_gets_them_together(commands):
    async with commands.serve("app:words", "--plain") as served, dial(served) as session:
        result = await session.submit(prompt("one two"), timeout=STEP)
    assert result.token_chunks == (b"one ", b"two ")
    assert result.is_last
    assert not result.beyond_policy


@pytest.mark.parametrize(
    ("handler", "reason", "log"),
    [
        ("nothing", None, "the handler returned None"),
        ("busy", ResultHintReason.SERVER_BUSY, None),
        ("broken", None, "the handler failed"),
        ("wrong", None, "the handler failed"),
        ("leaving", None, "the handler failed"),
    ],
)
async def test_what_is_no_answer_drops_the_frame(commands, handler, reason, log):
    async with commands.serve(f"app:{handler}", "--plain") as served, dial(served) as session:
        for frame_id in (1, 2):  # and the session goes on
            result = await session.submit(prompt("hello", frame_id), timeout=STEP)
            assert (result.is_drop, result.drop_reason) == (True, reason)
        if log is not None:
            record = await served.logged(log)
            assert record["frame_id"] == 1
            assert handler == "nothing" or "Error" in record["exception"]


@pytest.mark.parametrize("handler", ["slow", "slow_too"])
async def test_a_frame_whose_budget_is_over_is_dropped(commands, handler):
    async with commands.serve(f"app:{handler}", "--plain") as served, dial(served) as session:
        late = await session.submit(prompt("1.0", latency_budget_ms=50), timeout=STEP)
        assert (late.is_drop, late.drop_reason) == (True, ResultHintReason.BUDGET_EXCEEDED)
        soon = await session.submit(prompt("0", 2, latency_budget_ms=20_000), timeout=STEP)
        assert soon.token_chunks == (b"at last",)


async def test_frames_of_one_session_are_handled_side_by_side(commands):
    async with commands.serve("app:slow_too", "--plain") as served, dial(served) as session:
        await session.submit_frame(prompt("60"), timeout=STEP)
        result = await session.submit(prompt("0", 2), timeout=STEP)
    assert result.token_chunks == (b"at last",)


async def test_a_batch_is_made_of_frames_that_come_together(commands):
    options = ("--plain", "--batch", "4", "--batch-delay", "5000")
    async with commands.serve("app:together", *options) as served, dial(served) as session:
        for frame_id in range(1, 5):
            await session.submit_frame(prompt(f"frame {frame_id}", frame_id), timeout=STEP)
        results = [await session.receive_result(STEP, frame_id=frame_id) for frame_id in range(1, 5)]
    assert [result.token_chunks for result in results] == [
        (f"frame {frame_id} of 4".encode(),) for frame_id in range(1, 5)
    ]


async def test_a_client_that_leaves_a_stream_stops_its_generator(commands):
    async with commands.serve("app:endless", "--plain") as served, dial(served) as session:
        async with session.stream(prompt("x"), timeout=STEP) as parts:
            async for part in parts:
                assert part.token_chunks == (b"more ",)
                break
        await served.logged("the generator was closed")
        empty = await session.submit(prompt("stop", 2), timeout=STEP)  # a generator without parts
        assert (empty.is_drop, empty.typed_payloads) == (False, ())


async def test_arrays_answer_the_sections_that_were_submitted(commands):
    first = tensor_section(np.full((2, 3), 7, np.uint8), role_id=5)
    second = tensor_section(np.full((2, 4), 1.5, np.float32), role_id=9)
    request = SubmitRequest(frame_id=1, tile_ids=(4, 6), sections=(first, second))
    async with commands.serve("app:arrays", "--plain") as served, dial(served) as session:
        result = await session.submit(request, timeout=STEP)
        assert not result.is_drop, (await served.logged("failed"))["exception"]
        assert result.tile_ids == (4, 6)
        assert [(one.role_id, one.numpy().tolist()) for one in result.sections] == [
            (5, [[14] * 3] * 2),
            (9, [[3.0] * 4] * 2),
            (10, [[0, 1], [2, 3]]),
        ]
        alone = SubmitRequest(frame_id=2, tile_ids=(4,), sections=(first_tile(first),))
        assert (await session.submit(alone, timeout=STEP)).is_drop
        record = await served.logged("the handler failed")
        assert "not enough values to unpack" in record["exception"]


def first_tile(section):
    return replace(section, tile_payloads=section.tile_payloads[:1])
