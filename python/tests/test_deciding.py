"""Decisions about clients: many at once, none lost, each client told."""

import asyncio
import contextlib
import functools
import threading
import weakref

import pytest
from frames import STEP, echo, frame

from nnrp.core import ErrorCode
from nnrp.errors import NnrpAuthenticationError, NnrpConnectionClosedError, NnrpProtocolError
from nnrp.server import Admit, Busy, ServerSessionAcceptResolution, accept_server_session, tokens_equal
from nnrp.server._reception import reception_of
from nnrp.server._threads import MAX_THREADS, Threads
from nnrp.server._validation import same_callback


@contextlib.asynccontextmanager
async def dialling(network, port, *tokens):
    """Tasks that dial with these tokens; what they open is closed."""
    tasks = [asyncio.create_task(_dial(network, port, token)) for token in tokens]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        for client in await asyncio.gather(*tasks, return_exceptions=True):
            if not isinstance(client, BaseException):
                await client.close()


async def _dial(network, port, token):
    return await network.dial(port, token)


class Gate:
    """A validator whose verdicts the test gives."""

    def __init__(self):
        self.asked = asyncio.Queue()
        self.open = asyncio.Event()
        self.calls = []

    async def coroutine(self, auth_block):
        self.calls.append(auth_block)
        self.asked.put_nowait(auth_block)
        if auth_block == b"slow":
            await self.open.wait()
        return True


def blocking(gate):
    """The same as a plain function that blocks its thread."""
    loop = asyncio.get_running_loop()

    def validator(auth_block):
        return asyncio.run_coroutine_threadsafe(gate.coroutine(auth_block), loop).result()

    return validator


@pytest.mark.parametrize("kind", ["coroutine", "blocking"])
async def test_a_slow_verdict_delays_nobody(network, kind):
    gate = Gate()
    validator = gate.coroutine if kind == "coroutine" else blocking(gate)
    async with network.serve() as listener, dialling(network, listener.port, b"slow") as [slow]:
        accepting = asyncio.create_task(accept_server_session(listener, auth_validator=validator))
        assert await asyncio.wait_for(gate.asked.get(), STEP) == b"slow"
        async with dialling(network, listener.port, b"quick"):
            async with asyncio.timeout(STEP):
                async with await accepting as server:
                    assert server.hello.auth_block == b"quick"
                # The slow one is not asked about again by the next call.
                accepting = asyncio.create_task(accept_server_session(listener, auth_validator=validator))
                gate.open.set()
                async with await accepting as server, await slow:
                    assert server.hello.auth_block == b"slow"
    assert sorted(gate.calls) == [b"quick", b"slow"]


async def test_a_client_that_may_in_is_not_lost_with_the_call(network):
    gate = Gate()
    async with network.serve() as listener, dialling(network, listener.port, b"slow") as [client]:
        accepting = asyncio.create_task(accept_server_session(listener, auth_validator=gate.coroutine))
        await asyncio.wait_for(gate.asked.get(), STEP)
        accepting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await accepting
        gate.open.set()
        await asyncio.wait_for(asyncio.gather(*reception_of(listener)._deciding), STEP)
        async with asyncio.timeout(STEP):
            async with await accept_server_session(listener, auth_validator=gate.coroutine) as server:
                assert server.hello.auth_block == b"slow"
                await client
    assert gate.calls == [b"slow"]


async def test_a_verdict_does_not_count_for_another_validator(network):
    gate = Gate()
    async with network.serve() as listener, dialling(network, listener.port, b"slow") as [client]:
        accepting = asyncio.create_task(accept_server_session(listener, auth_validator=gate.coroutine))
        await asyncio.wait_for(gate.asked.get(), STEP)
        accepting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await accepting
        gate.open.set()
        await asyncio.wait_for(asyncio.gather(*reception_of(listener)._deciding), STEP)
        asked = []

        def strict(auth_block):
            asked.append(auth_block)
            return False

        accepting = asyncio.create_task(accept_server_session(listener, auth_validator=strict))
        with pytest.raises(NnrpAuthenticationError):
            await asyncio.wait_for(client, STEP)
        accepting.cancel()
    assert asked == [b"slow"]


async def test_calls_are_served_in_their_order(network):
    def validator(_):
        return True

    async with network.serve() as listener:
        calls = [
            asyncio.create_task(accept_server_session(listener, auth_validator=validator, model_name=name))
            for name in ("first", "second", "third")
        ]
        async with asyncio.timeout(STEP):
            for call in calls:
                client = await network.dial(listener.port)
                async with client, await call as server:
                    assert client.active_model_name == server.active_model_name


async def test_the_verdict_comes_out_of_the_time_of_the_hello(tcp):
    async def never(_):
        await asyncio.Event().wait()

    async with tcp.serve() as listener:
        started = asyncio.get_running_loop().time()
        accepting = asyncio.create_task(
            accept_server_session(listener, auth_validator=never, handshake_timeout=2.0)
        )
        connection = await tcp.connect(listener.port)
        await asyncio.sleep(1.0)
        with pytest.raises(NnrpAuthenticationError):
            await tcp.handshake(connection)
        assert asyncio.get_running_loop().time() - started < 2.9
        accepting.cancel()


async def test_a_thousand_clients_are_not_a_thousand_threads(tcp):
    release = threading.Event()
    running = threading.Semaphore(0)

    def held(_):
        running.release()
        return release.wait(STEP)

    clients = MAX_THREADS + 8
    async with tcp.serve() as listener, dialling(tcp, listener.port, *[b""] * clients) as dialled:
        accepting = asyncio.create_task(accept_server_session(listener, auth_validator=held))
        for _ in range(MAX_THREADS):
            assert await asyncio.to_thread(running.acquire, timeout=STEP)
        threads = [thread for thread in threading.enumerate() if thread.name == "nnrp-validator"]
        assert len(threads) <= MAX_THREADS
        release.set()
        async with asyncio.timeout(STEP):
            await (await accepting).close()
            for _ in range(clients - 1):
                await (await accept_server_session(listener, auth_validator=held)).close()
            await asyncio.gather(*dialled)


def test_idle_threads_are_used_again_before_new_ones_are_made():
    threads = Threads(4)
    seen = {threads.run(threading.get_ident).result(STEP) for _ in range(20)}
    assert len(seen) <= 2  # a thread says that it is idle a moment after its result


def test_what_ends_a_thread_is_an_error_like_any_other():
    def leave():
        raise SystemExit

    threads = Threads(1)
    with pytest.raises(RuntimeError, match="SystemExit was raised"):
        threads.run(leave).result(STEP)
    assert threads.run(lambda: 1).result(STEP) == 1


def test_a_job_nobody_waits_for_is_not_begun():
    threads, release = Threads(1), threading.Event()
    held = threads.run(lambda: release.wait(STEP))
    calls = []
    waiting = threads.run(lambda: calls.append(1))
    assert waiting.cancel()
    release.set()
    assert held.result(STEP)
    threads.run(lambda: None).result(STEP)
    assert calls == []


async def test_a_client_nobody_could_be_asked_about_is_told_to_come_back(tcp):
    release, running = threading.Event(), threading.Semaphore(0)

    def held(_):
        running.release()
        return release.wait(STEP)

    async with tcp.serve() as listener, dialling(tcp, listener.port, *[b""] * MAX_THREADS):
        accepting = asyncio.create_task(accept_server_session(listener, auth_validator=held))
        for _ in range(MAX_THREADS):
            assert await asyncio.to_thread(running.acquire, timeout=STEP)
        async with tcp.serve() as other:
            refused = asyncio.create_task(
                accept_server_session(other, auth_validator=held, handshake_timeout=1.0)
            )
            with pytest.raises(NnrpProtocolError) as error:
                await tcp.dial(other.port)
            assert error.value.error_code is ErrorCode.SERVER_BUSY
            assert error.value.retry_after_ms == 1000
            refused.cancel()
        accepting.cancel()
        release.set()


def _busy(_):
    return Busy(retry_after=2.5)


async def _busy_later(_):
    return Busy(retry_after=2.5)


@pytest.mark.parametrize("callback", ["auth_validator", "session_resolver"])
@pytest.mark.parametrize("busy", [_busy, _busy_later])
async def test_a_busy_application_says_when_to_come_back(network, callback, busy):
    async with network.serve() as listener:
        accepting = asyncio.create_task(
            accept_server_session(listener, on_rejected="raise", **{callback: busy})
        )
        with pytest.raises(NnrpProtocolError) as refused:
            await network.dial(listener.port)
        with pytest.raises(NnrpProtocolError) as raised:
            await asyncio.wait_for(accepting, STEP)
        for error in (refused.value, raised.value):
            assert error.error_code is ErrorCode.SERVER_BUSY
            assert error.retry_after_ms == 2500
            assert error.is_fatal


async def test_a_session_lasts_as_long_as_its_authentication(network):
    async with network.pair(auth_validator=lambda _: Admit(token_ttl=0.4)) as (server, client):
        assert client.control.ack_metadata.token_ttl_ms == 400
        await client.submit_frame(frame(1))
        await echo(server)
        assert (await client.receive_result(STEP)).frame_id == 1
        with pytest.raises(NnrpAuthenticationError, match="run out"):
            await client.receive_result(STEP)
        with pytest.raises(NnrpConnectionClosedError, match="run out"):
            await server.receive_submit(STEP)


async def test_an_admission_without_a_limit(network):
    async with network.pair(auth_validator=lambda _: Admit()) as (_, client):
        assert client.control.ack_metadata.token_ttl_ms == 0


async def test_the_resolver_decides_after_the_validator(network):
    order = []

    def validator(_):
        order.append("validator")
        return True

    async def resolver(hello):
        order.append("resolver")
        return ServerSessionAcceptResolution(hello.metadata.requested_session_id + 40, "resolved")

    async with network.pair(auth_validator=validator, session_resolver=resolver) as (server, client):
        assert (server.session_id, client.active_model_name) == (41, "resolved")
    assert order == ["validator", "resolver"]


async def test_a_callback_that_cancels_itself_refuses(tcp):
    async def cancelled(_):
        raise asyncio.CancelledError

    async with tcp.serve() as listener:
        accepting = asyncio.create_task(accept_server_session(listener, auth_validator=cancelled))
        with pytest.raises(NnrpAuthenticationError):
            await tcp.dial(listener.port)
        accepting.cancel()


async def test_closing_the_listener_turns_away_whoever_is_being_decided_about(network):
    gate = Gate()
    async with network.serve() as listener, dialling(network, listener.port, b"slow") as [client]:
        accepting = asyncio.create_task(accept_server_session(listener, auth_validator=gate.coroutine))
        await asyncio.wait_for(gate.asked.get(), STEP)
        await listener.close()
        with pytest.raises(NnrpConnectionClosedError):
            await asyncio.wait_for(accepting, STEP)
        gate.open.set()
        with pytest.raises(NnrpConnectionClosedError):
            await asyncio.wait_for(client, STEP)


@pytest.mark.parametrize("values", [{"token_ttl": 0}, {"token_ttl": -1.0}, {"token_ttl": float("nan")}])
def test_a_time_limit_is_positive(values):
    with pytest.raises(ValueError, match="token_ttl must be positive"):
        Admit(**values)


def test_a_busy_verdict_admits_nobody_by_accident():
    assert not Busy()
    with pytest.raises(ValueError, match="retry_after"):
        Busy(retry_after=-1)


def test_tokens_are_compared_whole():
    assert tokens_equal(b"token", b"token")
    assert not tokens_equal(b"token", b"tokem")
    assert not tokens_equal(b"token", b"tok")
    assert tokens_equal(b"", b"")


def test_which_callbacks_are_the_same():
    def made(value):
        return lambda block: block == value

    token = b"token"
    assert same_callback(made(token), made(token))
    assert not same_callback(made(token), made(b"other"))
    assert same_callback(functools.partial(tokens_equal, token), functools.partial(tokens_equal, token))
    assert not same_callback(
        functools.partial(tokens_equal, token), functools.partial(tokens_equal, b"other")
    )
    assert same_callback([].append, tokens_equal) is False
    assert same_callback(None, None)
    assert not same_callback(None, made(token))


def test_a_call_nobody_waits_for_any_more_is_forgotten_before_its_turn():
    threads = Threads(1)
    busy, done = threading.Event(), threading.Event()
    threads.run(lambda: (busy.set(), done.wait(STEP)))
    assert busy.wait(STEP)

    class Hello:
        """What a call refers to."""

    hello = Hello()
    gone = weakref.ref(hello)
    waiting = threads.run(functools.partial(lambda _: None, hello))
    del hello
    assert waiting.cancel()
    assert gone() is None
    done.set()
    assert threads.run(lambda: 7).result(STEP) == 7
