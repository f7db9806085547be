"""Who is let in, and who finds out."""

import asyncio
import concurrent.futures
import contextvars
import logging
import threading

import pytest
from frames import STEP, echo, frame

from nnrp.core import ErrorCode
from nnrp.errors import NnrpAuthenticationError, NnrpProtocolError
from nnrp.server import accept_server_session

TOKEN = b"\x00let me in\xff"


def plain(auth_block):
    return auth_block == TOKEN


def truthy(auth_block):
    return "yes" if plain(auth_block) else 0


async def coroutine(auth_block):
    await asyncio.sleep(0)
    return plain(auth_block)


def returns_awaitable(auth_block):
    return coroutine(auth_block)


class CallableObject:
    async def __call__(self, auth_block):
        return plain(auth_block)


def future(auth_block):
    outcome = concurrent.futures.Future()
    outcome.set_result(plain(auth_block))
    return outcome


def raising(auth_block):
    if not plain(auth_block):
        raise KeyError(auth_block)
    return True


@pytest.mark.parametrize(
    "validator",
    [plain, truthy, coroutine, returns_awaitable, CallableObject(), future, raising],
    ids=["plain", "truthy", "coroutine", "awaitable", "object", "future", "raising"],
)
async def test_a_refused_client_does_not_end_the_accept_loop(network, validator):
    async with network.serve() as listener:
        accepting = asyncio.create_task(
            accept_server_session(listener, auth_validator=validator, timeout=STEP)
        )
        with pytest.raises(NnrpAuthenticationError) as refused:
            await network.dial(listener.port, b"wrong")
        assert refused.value.error_code is ErrorCode.AUTH_FAILED
        assert refused.value.is_fatal
        assert refused.value.packet is not None
        async with network.dial(listener.port, TOKEN) as client, await accepting as server:
            assert server.hello.auth_block == TOKEN
            await client.submit_frame(frame(1))
            await echo(server)
            await client.receive_result(STEP)


async def test_a_client_without_a_token_is_told_that_it_sent_none(network, caplog):
    async with network.serve() as listener:
        accepting = asyncio.create_task(accept_server_session(listener, auth_validator=raising))
        with pytest.raises(NnrpAuthenticationError, match="authentication failed; no auth block was sent"):
            await network.dial(listener.port)
        accepting.cancel()
        accepting = asyncio.create_task(accept_server_session(listener, auth_validator=plain))
        caplog.clear()
        with pytest.raises(NnrpAuthenticationError, match="authentication failed; no auth block was sent"):
            await network.dial(listener.port)
        with pytest.raises(NnrpAuthenticationError, match=r"authentication failed$"):
            await network.dial(listener.port, b"wrong")
        accepting.cancel()
    none, wrong = [record.getMessage() for record in caplog.records if record.name == "nnrp.server"]
    assert none.endswith(": no auth block was sent")
    assert wrong.endswith(": the auth block was not accepted")


async def test_the_refused_connection_is_closed(network):
    async with network.serve() as listener:
        accepting = asyncio.create_task(accept_server_session(listener, auth_validator=plain))
        connection = await network.connect(listener.port)
        with pytest.raises(NnrpProtocolError, match="AUTH_FAILED"):
            await network.handshake(connection, b"wrong")
        await asyncio.wait_for(connection.wait_closed(), STEP)
        assert connection.is_closed
        accepting.cancel()


async def test_the_validator_is_off_the_loop_and_may_wait_for_it(network):
    loop = asyncio.get_running_loop()
    threads = []

    def bridging(auth_block):
        threads.append(threading.get_ident())
        return asyncio.run_coroutine_threadsafe(coroutine(auth_block), loop).result(STEP)

    async with network.serve() as listener:
        accepting = asyncio.create_task(accept_server_session(listener, auth_validator=bridging))
        async with network.dial(listener.port, TOKEN), await accepting:
            pass
    assert len(threads) == 1
    assert threads[0] != threading.get_ident()


async def test_the_validator_sees_the_callers_context(tcp):
    variable = contextvars.ContextVar("variable", default="outside")
    seen = []

    def validator(_):
        seen.append(variable.get())
        return True

    async with tcp.serve() as listener:
        variable.set("inside")
        accepting = asyncio.create_task(accept_server_session(listener, auth_validator=validator))
        async with tcp.dial(listener.port), await accepting:
            pass
    assert seen == ["inside"]


async def test_a_validator_that_takes_too_long_refuses(network):
    async def slow(_):
        await asyncio.Event().wait()

    async with network.serve() as listener:
        accepting = asyncio.create_task(
            accept_server_session(listener, auth_validator=slow, handshake_timeout=1.0)
        )
        with pytest.raises(NnrpAuthenticationError):
            await network.dial(listener.port, TOKEN)
        accepting.cancel()


async def test_on_a_connection_the_refusal_is_raised(network):
    async with network.raw_pair() as (server, client):
        accepting = asyncio.create_task(accept_server_session(server, auth_validator=raising))
        with pytest.raises(NnrpAuthenticationError):
            await network.handshake(client, b"wrong")
        with pytest.raises(NnrpAuthenticationError) as refused:
            await accepting
        assert isinstance(refused.value, ValueError)
        assert isinstance(refused.value.__cause__, KeyError)


async def test_on_a_listener_the_refusal_can_be_raised(network):
    async with network.serve() as listener:
        accepting = asyncio.create_task(
            accept_server_session(listener, auth_validator=plain, on_rejected="raise")
        )
        with pytest.raises(NnrpAuthenticationError):
            await network.dial(listener.port, b"wrong")
        with pytest.raises(NnrpAuthenticationError):
            await accepting


async def test_refusals_are_logged_without_the_token(network, caplog):
    with caplog.at_level(logging.WARNING, "nnrp.server"):
        async with network.serve() as listener:
            accepting = asyncio.create_task(accept_server_session(listener, auth_validator=plain))
            with pytest.raises(NnrpAuthenticationError):
                await network.dial(listener.port, b"hunter2")
            accepting.cancel()
    [record] = [record for record in caplog.records if record.name == "nnrp.server"]
    assert "127.0.0.1" in record.getMessage()
    assert "hunter2" not in caplog.text


async def refusal_logged(network, caplog, validator):
    async with network.serve() as listener:
        accepting = asyncio.create_task(accept_server_session(listener, auth_validator=validator))
        with pytest.raises(NnrpAuthenticationError):
            await network.dial(listener.port, b"hunter2")
        accepting.cancel()
    [record] = [record for record in caplog.records if record.name == "nnrp.server"]
    assert record.levelno == logging.ERROR
    assert "the auth_validator failed" in record.getMessage()
    return record


async def test_a_failing_validator_is_logged_with_its_traceback(network, caplog):
    def mistaken(auth_block):
        return auth_block.startswith("hunter")

    record = await refusal_logged(network, caplog, mistaken)
    assert record.exc_info[2] is not None
    assert 'in mistaken\n    return auth_block.startswith("hunter")' in caplog.text
    assert "TypeError: startswith first arg must be bytes" in caplog.text
    assert "hunter2" not in caplog.text


async def test_the_text_of_its_exception_is_not_logged(network, caplog):
    def quoting(auth_block):
        try:
            {}[auth_block]
        except KeyError as error:
            raise ValueError(f"unknown token {auth_block!r}") from error

    await refusal_logged(network, caplog, quoting)
    assert "in quoting" in caplog.text
    assert "ValueError" in caplog.text
    assert "hunter2" not in caplog.text


async def test_what_cannot_be_called_is_no_validator(tcp):
    async with tcp.serve() as listener:
        with pytest.raises(TypeError, match="auth_validator must be callable, not 'bytes'"):
            await accept_server_session(listener, auth_validator=TOKEN)
        with pytest.raises(TypeError, match="session_resolver must be callable"):
            await accept_server_session(listener, session_resolver=1)
