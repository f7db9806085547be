"""Every coroutine, cancelled in every way after any number of steps: nothing is lost or sent in part.

The table has a row for each public coroutine of sessions, connections and listeners; a test finds what is
missing. A row says how to make the call possible, how to call, and what has to hold afterwards, whether the
call got through or not. Then a frame goes back and forth, so that the connection is known to work.
"""
# ruff: noqa: ARG001  # all rows of a table take the same arguments

import asyncio
import inspect
import random
from collections import Counter

import pytest
from frames import STEP, echo, frame, section

from nnrp.adapters import NnrpQuicConnection, NnrpQuicListener, NnrpTcpConnection, NnrpTcpListener
from nnrp.client import ClientSession
from nnrp.core import (
    CacheInvalidateScope,
    CacheObjectKind,
    FlowUpdateFlags,
    FlowUpdateMetadata,
    FlowUpdateReason,
    FlowUpdateScopeKind,
    MessageType,
    NnrpPacket,
    SessionPatchField,
)
from nnrp.server import ServerProfile, ServerSession

STEPS = range(6)
"""Turns of the loop before the cancellation: 0 is before the first step, 5 after everything local."""


async def by_cancel(task, steps):
    for _ in range(steps):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])


async def by_timeout(task, steps):
    async def limited():
        async with asyncio.timeout(0.0002 * steps):
            await task

    await asyncio.gather(limited(), return_exceptions=True)
    await asyncio.wait([task])


async def by_wait_for(task, steps):
    await asyncio.gather(asyncio.wait_for(task, 0.0002 * steps), return_exceptions=True)
    await asyncio.wait([task])


async def by_task_group(task, steps):
    async def fail():
        for _ in range(steps):
            await asyncio.sleep(0)
        raise ArithmeticError

    async def wait():
        await task

    async def group():
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(wait())
            tasks.create_task(fail())

    await asyncio.gather(group(), return_exceptions=True)
    await asyncio.wait([task])


WAYS = {"cancel": by_cancel, "timeout": by_timeout, "wait_for": by_wait_for, "task group": by_task_group}


def outcome(task):
    """What the call returned, or None when it was cancelled; other errors are the test's."""
    if task.cancelled():
        return None
    return task.result()


def case(covers, *, prepare=None, settle=None):
    """A row from functions; `covers` names the coroutines it is about."""

    def decorate(start):
        CASES[start.__name__] = (covers, prepare, start, settle)
        return start

    return decorate


CASES = {}


async def submitted(_, client, number):
    await client.submit_frame(frame(number))


async def taken(server, client, number):
    await submitted(server, client, number)
    assert (await server.receive_submit(STEP)).metadata.frame_id == number


async def answered(server, client, number):
    await client.submit_frame(frame(number))
    await echo(server)


async def still_submitted(server, _, number, got):
    received = got or await server.receive_submit(STEP)
    assert received.metadata.frame_id == number
    await server.send_result(frame_id=number, sections=(section(b"x"),))


async def drain(server, client, number, got):
    await still_submitted(server, client, number, got)
    assert (await client.receive_result(STEP, frame_id=number)).frame_id == number


@case("ServerSession.receive_submit ServerSession.__anext__", prepare=submitted, settle=drain)
def receive_a_submit(server, client, number):
    return server.receive_submit()


async def drain_batch(server, client, number, got):
    await drain(server, client, number, got[0] if got else None)


@case("ServerSession.receive_submits", prepare=submitted, settle=drain_batch)
def receive_several_submits(server, client, number):
    return server.receive_submits(4)


@case("ServerSession.receive_submit", settle=None)
def receive_a_submit_that_does_not_come(server, client, number):
    return server.receive_submit()


async def one_result_or_none(server, client, number, got):
    """A send that was cancelled sent all or nothing."""
    await server.send_result(frame_id=number, sections=(section(b"last"),), status_code=99)
    results = [await client.receive_result(STEP, frame_id=number)]
    if results[0].metadata and results[0].metadata.status_code != 99:
        results.append(await client.receive_result(STEP, frame_id=number))
    assert results[-1].metadata.status_code == 99
    assert len(results) == 2 or got is None
    assert all(len(part.sections[0].tile_payloads[0]) == 200_000 for part in results[:-1])


@case("ServerSession.send_result ServerSession.send_part", prepare=taken, settle=one_result_or_none)
def send_a_result(server, client, number):
    return server.send_result(frame_id=number, sections=(section(b"x" * 200_000),))


async def dropped_or_not(server, client, number, got):
    if got is None:
        await server.send_result_drop(number)
    assert (await client.receive_result(STEP, frame_id=number)).is_drop


@case("ServerSession.send_result_drop", prepare=taken, settle=dropped_or_not)
def send_a_drop(server, client, number):
    return server.send_result_drop(number, "superseded")


@case("ServerSession.send_result_hint")
def send_a_hint(server, client, number):
    return server.send_result_hint()


def credit():
    return FlowUpdateMetadata(
        scope_kind=FlowUpdateScopeKind.SESSION,
        update_reason=FlowUpdateReason.GRANT,
        backpressure_level=0,
        flags=FlowUpdateFlags.CREDIT_VALID,
        connection_credit=0,
        session_credit=100,
        operation_credit=0,
        operation_id=0,
        retry_after_ms=0,
        credit_epoch=next(EPOCHS),
    )


EPOCHS = iter(range(1, 1 << 30))


@case("ServerSession.send_flow_update ClientSession.send_flow_update")
def send_a_flow_update(server, client, number):
    return server.send_flow_update(credit())


@case("ServerSession.receive_control")
def receive_control(server, client, number):
    return server.receive_control()


async def flow_update_sent(server, client, number):
    await server.send_flow_update(credit())


async def flow_update_still_there(server, client, number, got):
    if got is None:
        await client.receive_flow_update(STEP)


@case("ClientSession.receive_flow_update", prepare=flow_update_sent, settle=flow_update_still_there)
def receive_a_flow_update(server, client, number):
    return client.receive_flow_update()


async def sent_or_not(server, client, number, got):
    if got is None:
        # Whether it was sent is not known; what is sent next tells.
        await client.submit_frame(frame(number + 1_000_000))
        received = await server.receive_submit(STEP)
        if received.metadata.frame_id == number:
            await server.send_result_drop(number)
            assert len(received.request.sections[0].tile_payloads[0]) == 200_000
            received = await server.receive_submit(STEP)
        elif client.transport_id.name == "QUIC":
            await late(server, client, number)
        assert received.metadata.frame_id == number + 1_000_000
        await server.send_result_drop(number + 1_000_000)
        assert (await client.receive_result(STEP, frame_id=number + 1_000_000)).is_drop
    else:
        await server.receive_submit(STEP)
        await server.send_result_drop(number)
    client.discard_frame(number)


async def late(server, client, number):
    """Over QUIC the large frame may come after the small one that was sent later."""
    try:
        received = await server.receive_submit(0.05)
    except TimeoutError:
        return
    assert received.metadata.frame_id == number
    await server.send_result_drop(number)


@case("ClientSession.submit_frame ClientSession.send_submit ClientSession.submit_nowait", settle=sent_or_not)
def submit_a_frame(server, client, number):
    return client.submit_frame(frame(number, b"x" * 200_000))


async def answer_what_came(server, client, number, got):
    try:
        received = await server.receive_submit(0.05)
    except TimeoutError:
        return
    assert received.metadata.frame_id == number
    await server.send_result(frame_id=number, sections=received.request.sections)
    if got is None:
        assert (await client.receive_result(STEP, frame_id=number)).is_push


@case("ClientSession.submit", settle=answer_what_came)
def submit_and_wait(server, client, number):
    return client.submit(frame(number))


async def result_still_there(server, client, number, got):
    result = got or await client.receive_result(STEP)
    assert result.frame_id == number


@case(
    "ClientSession.receive_result ClientSession.receive_result_packet",
    prepare=answered,
    settle=result_still_there,
)
def receive_a_result(server, client, number):
    return client.receive_result()


@case("ClientSession.receive_result", prepare=answered, settle=result_still_there)
def receive_the_result_of_a_frame(server, client, number):
    return client.receive_result(frame_id=number)


async def cancelled_or_not(server, client, number, got):
    await server.send_result_drop(number)
    client.discard_frame(number)


@case("ClientSession.cancel_frame", prepare=taken, settle=cancelled_or_not)
def cancel_a_frame(server, client, number):
    return client.cancel_frame(number)


@case("ClientSession.ping")
def ping(server, client, number):
    return client.ping(STEP)


@case("ClientSession.patch_session ClientSession.patch")
def patch(server, client, number):
    return client.patch_session(SessionPatchField.QUALITY_TIER, quality_tier=1)


@case("ClientSession.put_cache")
def put_into_the_cache(server, client, number):
    return client.put_cache(kind=CacheObjectKind.CAMERA_BLOCK, key=number, data=b"camera")


@case("ClientSession.invalidate_cache")
def invalidate_the_cache(server, client, number):
    return client.invalidate_cache(scope=CacheInvalidateScope.WHOLE_SESSION)


@case("ClientSession.pause_submit ClientSession.resume_submit")
def resume(server, client, number):
    return client.resume_submit()


def _packet(server, number):
    return NnrpPacket.build(MessageType.PING, session_id=server.session_id, frame_id=number)


@case("Connection.send_packet Connection.send_control_packet")
def send_a_packet(server, client, number):
    return client.connection.send_control_packet(_packet(server, number))


EXEMPT = {
    "ServerSession.close": "test_closing: a cancelled close goes on",
    "ClientSession.close": "as above",
    "ServerSession.drain": "ends the session as close does: test_draining",
    "ClientSession.send_submit_packet": "the same call as submit_frame, with a packet made by the caller",
    "ClientSession.submit_and_receive_result": "submit_frame and receive_result, one after the other",
}

RAW = {"wait_closed", "wait_connected", "ensure_control_stream", "ping", "accept", "drain"}
"""Coroutines of connections and listeners that send and take nothing, or have tests of their own."""


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", CASES)
async def test_a_cancelled_call_loses_nothing(network, name, way):
    _, prepare, start, settle = CASES[name]
    async with network.pair() as (server, client):
        for steps in STEPS:
            number = steps + 1
            if prepare is not None:
                await prepare(server, client, number)
            task = asyncio.ensure_future(start(server, client, number))
            await asyncio.wait_for(WAYS[way](task, steps), STEP)
            if settle is not None:
                await asyncio.wait_for(settle(server, client, number, outcome(task)), STEP)
            else:
                outcome(task)
        # The connection works, and nothing is left over on either side.
        answer, _ = await asyncio.gather(client.submit(frame(5_000), timeout=STEP), echo(server))
        assert answer.frame_id == 5_000
        with pytest.raises(TimeoutError):
            await server.receive_submit(0)
        with pytest.raises(TimeoutError):
            await client.receive_result(0)


def test_the_matrix_has_every_coroutine():
    covered = {name for covers, *_ in CASES.values() for name in covers.split()} | EXEMPT.keys()
    for kind in (ServerSession, ClientSession):
        found = {
            f"{kind.__name__}.{name}"
            for name, member in inspect.getmembers(kind, inspect.iscoroutinefunction)
            if not name.startswith("_") or name == "__anext__"
        }
        assert found - covered == set()
    for kind in (NnrpTcpConnection, NnrpQuicConnection, NnrpTcpListener, NnrpQuicListener):
        for name, _ in inspect.getmembers(kind, inspect.iscoroutinefunction):
            # Receiving and sending of packets is what the sessions' calls are made of.
            assert name.startswith(("_", "receive_", "send_")) or name in RAW, name


async def test_ten_thousand_cancelled_receives_lose_nothing(network):
    rounds, frames = 10_000, 2_000
    chance = random.Random(20261121)  # noqa: S311  # to be repeated, not to be secret
    got = Counter()
    async with network.pair(ServerProfile(max_concurrent_frames=256)) as (server, client):

        async def submit():
            for number in range(1, frames + 1):
                await client.submit_frame(frame(number))
                if chance.random() < 0.2:
                    await asyncio.sleep(0)

        submitting = asyncio.create_task(submit())
        done = 0
        while done < rounds or got.total() < frames:
            done += 1
            task = asyncio.create_task(server.receive_submit())
            for _ in range(chance.randrange(4)):
                await asyncio.sleep(0)
            if chance.random() < 0.8:
                task.cancel()
            try:
                received = await asyncio.wait_for(task, None if got.total() + 1 < frames else 0.01)
            except (asyncio.CancelledError, TimeoutError):
                continue
            got[received.metadata.frame_id] += 1
            await server.send_result_drop(received.metadata.frame_id)
        await submitting
        assert got == Counter(range(1, frames + 1))
        assert list(got) == sorted(got) or network.transport == "quic"
