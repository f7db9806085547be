"""What `nnrp serve` lets clients do."""

import numpy as np
import pytest
from networks import HOST

from nnrp.adapters import create_tcp_client_configuration
from nnrp.client import SubmitRequest, TypedPayload, dial_client
from nnrp.core import ResultHintReason

STEP = 20.0


def prompt(text, frame_id=1):
    return SubmitRequest(frame_id=frame_id, typed_payloads=(TypedPayload.token_chunk(text.encode()),))


def dial(served):
    config = create_tcp_client_configuration(credit_policy="ignore")
    return dial_client(HOST, served.port, config=config, timeout=STEP)


async def test_so_many_frames_of_a_session_are_handled_at_once(commands):
    async with (
        commands.serve("app:slow_too", "--plain", "--in-flight", "1") as served,
        dial(served) as session,
    ):
        assert session.control.ack_metadata.max_concurrent_frames == 1
        await session.submit_frame(prompt("0.3"), timeout=STEP)
        await session.submit_frame(prompt("0", 2), timeout=STEP)
        results = [await session.receive_result(STEP) for _ in range(2)]
    assert [(result.frame_id, result.is_drop) for result in results] == [(1, False), (2, False)]


async def test_frames_beyond_the_credit_are_dropped_when_that_is_asked_for(commands):
    options = ("--plain", "--in-flight", "1", "--enforce-credit")
    async with commands.serve("app:held", *options) as served, dial(served) as session:
        await session.submit_frame(prompt("x"), timeout=STEP)
        beyond = await session.submit(prompt("x", 2), timeout=STEP)
        assert (beyond.is_drop, beyond.drop_reason) == (True, ResultHintReason.QUEUE_FULL)
        commands.write("1", b"")
        assert not (await session.receive_result(STEP, frame_id=1)).is_drop


async def test_so_many_plain_handlers_run_at_once(commands):
    async with commands.serve("app:slow", "--plain", "--threads", "1") as served, dial(served) as session:
        await session.submit_frame(prompt("0.3"), timeout=STEP)
        await session.submit_frame(prompt("0", 2), timeout=STEP)
        results = [await session.receive_result(STEP) for _ in range(2)]
    assert [result.frame_id for result in results] == [1, 2]


async def test_a_frame_larger_than_allowed_is_refused(commands):
    np.save(commands.folder / "large.npy", np.zeros(100_000, np.uint8))
    async with commands.serve("app:back", "--plain", "--max-body", "64K") as served:
        code, _, err = await commands.submit(served.url, "large.npy")
    assert code == 4
    assert err.splitlines()[-1].startswith("nnrp submit: the server refused: ")


@pytest.mark.parametrize("transport", ["quic", "tcp"])
async def test_only_clients_with_a_certificate_are_let_in(commands, transport):
    commands.run("cert", "make", "server")
    commands.run("cert", "make", "client")
    options = ("--cert", "server/cert.pem", "--key", "server/key.pem", "--client-ca", "client/cert.pem")
    trust = ("--cafile", "server/cert.pem", "--transport", transport)
    async with commands.serve("app:shout", *options) as served:
        shown = ("--cert", "client/cert.pem", "--key", "client/key.pem")
        code, out, err = await commands.submit(served.url, "-", *trust, *shown, stdin=b"x")
        assert (code, out) == (0, "X\n"), err
        code, _, err = await commands.submit(served.url, "-", *trust, stdin=b"x")
    assert code == 3
    assert err.count("\n") == 1
