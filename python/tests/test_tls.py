"""Certificates: whom both sides believe, what they read of each other, and renewing them while serving."""

import asyncio
import ssl
from pathlib import Path
from typing import get_args

import pytest
from frames import STEP, echo, frame
from networks import HOST, Network

from nnrp import _native
from nnrp.adapters import (
    create_development_certificate,
    create_tcp_client_configuration,
    create_tcp_server_configuration,
    serve_tcp,
)
from nnrp.errors import NnrpAuthenticationError, NnrpConnectionClosedError, TlsFault
from nnrp.server import accept_server_session

#: A certificate of the year 2000 for this machine, and its key.
EXPIRED = Path(__file__).with_name("expired.pem")

EVERYWHERE = "0.0.0.0"  # noqa: S104  # what the warning is about


@pytest.fixture(params=["quic", "tls"])
def encrypted(request, certificate):
    return Network(request.param, certificate)


@pytest.fixture(scope="module")
def camera():
    """A client's certificate."""
    return create_development_certificate()


def showing(made):
    return {"certificate": made.certificate, "private_key": made.private_key}


def der(made):
    return ssl.PEM_cert_to_DER_cert(made.certificate.decode())


async def met(network, listener, client, **accept):
    """A server session and its client's; ``client`` are settings of the client's transport."""
    accepting = asyncio.create_task(accept_server_session(listener, timeout=STEP, **accept))
    connection = await network.connect(listener.port, **client)
    session = await network.handshake(connection)
    return await accepting, session


async def refusal(network, listener, **client):
    """What a client is told whom the listener does not believe, or that does not believe the listener."""
    for _ in range(5):
        error = await one_refusal(network, listener, **client)
        if network.transport == "tls" or "reset by peer" not in str(error):
            return error
        # Our process stood still. The listener forgot the client as soon as it had told it why, and answered
        # what still came from it with a stateless reset. Of two that arrive together quinn keeps the last.
    raise error


async def one_refusal(network, listener, **client):
    accepting = asyncio.create_task(accept_server_session(listener))
    try:
        with pytest.raises(NnrpConnectionClosedError) as refused:
            await network.handshake(await network.connect(listener.port, **client))
    finally:
        accepting.cancel()
    expected = "Quic" if network.transport == "quic" else "Tcp"
    assert type(refused.value).__name__ == f"Nnrp{expected}ConnectionClosedError"
    return refused.value


def test_every_fault_has_a_name():
    assert list(get_args(TlsFault)) == _native.tls_faults()


async def test_both_sides_read_the_others_certificate(encrypted, camera):
    async with encrypted.serve(cadata=camera.certificate) as listener:
        server, client = await met(encrypted, listener, showing(camera))
        async with server, client:
            assert client.peer_certificates == (der(encrypted.certificate),)
            assert server.peer_certificates == server.hello.peer_certificates == (der(camera),)


async def test_without_client_certificates_there_are_none(network):
    async with network.pair() as (server, client):
        assert server.peer_certificates == ()
        assert len(client.peer_certificates) == (0 if network.transport == "tcp" else 1)


@pytest.mark.parametrize("coroutine", [False, True])
async def test_the_validator_reads_the_certificate(encrypted, camera, coroutine):
    other = create_development_certificate()

    def validator(auth_block, hello):
        return auth_block == b"" and hello.peer_certificates == (der(camera),)

    async def async_validator(auth_block, hello):
        return validator(auth_block, hello)

    accept = {"auth_validator": async_validator if coroutine else validator}
    async with encrypted.serve(cadata=camera.certificate + other.certificate) as listener:
        accepting = asyncio.create_task(accept_server_session(listener, timeout=STEP, **accept))
        with pytest.raises(NnrpAuthenticationError):
            await encrypted.handshake(await encrypted.connect(listener.port, **showing(other)))
        connection = await encrypted.connect(listener.port, **showing(camera))
        async with await encrypted.handshake(connection), await accepting:
            pass


async def test_a_client_without_the_required_certificate_learns_why(encrypted, camera, caplog):
    async with encrypted.serve(cadata=camera.certificate) as listener:
        error = await refusal(encrypted, listener)
        async with asyncio.timeout(STEP):
            while not (said := [line for line in caplog.records if "TLS handshake" in line.message]):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert (said[0].name, said[0].levelname) == ("nnrp.server", "WARNING")
        assert HOST in said[0].message
        assert error.tls_fault == "client_certificate_required"
        assert "give one to connect with" in str(error)
        error = await refusal(encrypted, listener, **showing(create_development_certificate()))
        assert error.tls_fault == "unknown_authority"


async def test_an_expired_client_certificate_is_refused(encrypted):
    async with encrypted.serve(cafile=EXPIRED) as listener:
        error = await refusal(encrypted, listener, certificate=EXPIRED)
        assert error.tls_fault == "expired"


async def test_a_requested_certificate_may_be_missing(encrypted, camera):
    async with encrypted.serve(cadata=camera.certificate, verify_mode=ssl.CERT_OPTIONAL) as listener:
        for client, shown in ({}, ()), (showing(camera), (der(camera),)):
            server, session = await met(encrypted, listener, client)
            async with server, session:
                assert server.peer_certificates == shown


async def test_a_server_that_is_not_believed(encrypted):
    stranger = create_development_certificate().certificate
    async with encrypted.serve() as listener:
        error = await refusal(encrypted, listener, cadata=stranger)
        assert error.tls_fault == "unknown_authority"
        assert "trust the authority that signed it" in str(error)
        # The platform does not know it either.
        platform = {"cadata": None} if encrypted.transport == "quic" else {"cadata": None, "tls": True}
        error = await refusal(encrypted, listener, **platform)
        assert error.tls_fault == "unknown_authority"
        error = await refusal(encrypted, listener, server_name="render.example")
        assert error.tls_fault == "wrong_name"
        assert "render.example" in str(error)


async def test_an_expired_server_is_not_believed(encrypted):
    async with encrypted.serve(certificate=EXPIRED, private_key=EXPIRED) as listener:
        error = await refusal(encrypted, listener, cadata=EXPIRED.read_bytes())
        assert error.tls_fault == "expired"
        assert "renew" in str(error)


async def test_a_plain_client_of_an_encrypted_listener(certificate):
    encrypted, plain = Network("tls", certificate), Network("tcp", certificate)
    async with encrypted.serve() as listener:
        error = await refusal(plain, listener)
        assert error.tls_fault == "tls_required"
        assert "connect with TLS" in str(error)


async def test_an_encrypted_client_of_a_plain_listener(certificate):
    encrypted, plain = Network("tls", certificate), Network("tcp", certificate)
    async with plain.serve() as listener:
        error = await refusal(encrypted, listener)
        assert error.tls_fault == "not_tls"
        assert "plain TCP?" in str(error)


async def test_a_renewed_certificate_is_used_and_sessions_live_on(encrypted, tmp_path):
    pem, key = tmp_path / "cert.pem", tmp_path / "key.pem"

    def write(made):
        pem.write_bytes(made.certificate)
        key.write_bytes(made.private_key)

    old, new = encrypted.certificate, create_development_certificate()
    write(old)
    async with encrypted.serve(certificate=pem, private_key=key) as listener:
        server, client = await met(encrypted, listener, {})
        write(new)
        listener.reload_certificate()
        error = await refusal(encrypted, listener)
        assert error.tls_fault == "unknown_authority"
        renewed, second = await met(encrypted, listener, {"cadata": new.certificate})
        async with server, client, renewed, second:
            assert second.peer_certificates == (der(new),)
            for session, served in (client, server), (second, renewed):
                await session.submit_frame(frame(1))
                await echo(served)
                await session.receive_result(STEP)


async def test_a_bad_certificate_leaves_the_old_one_in_use(encrypted, tmp_path):
    other = create_development_certificate()
    async with encrypted.serve() as listener:
        bad = [
            ((tmp_path / "missing.pem",), FileNotFoundError, "missing.pem"),
            ((b"nonsense", b"nonsense"), ValueError, "certificate"),
            ((other.certificate,), ValueError, "private key"),
            ((other.certificate, encrypted.certificate.private_key), ValueError, "does not belong"),
            ((None, other.private_key), ValueError, "needs its certificate"),
            ((EXPIRED,), ValueError, "expired"),
        ]
        for arguments, kind, words in bad:
            with pytest.raises(kind, match=words):
                listener.reload_certificate(*arguments)
        server, client = await met(encrypted, listener, {})
        async with server, client:
            assert client.peer_certificates == (der(encrypted.certificate),)


async def test_a_plain_listener_has_nothing_to_reload(tcp):
    async with tcp.serve() as listener:
        with pytest.raises(ValueError, match="plain TCP listener"):
            listener.reload_certificate()


def test_settings_that_contradict_each_other(certificate):
    for contradiction, words in [
        ({"tls": False, "cadata": certificate.certificate}, "tls=False"),
        ({"private_key": certificate.private_key}, "needs its certificate"),
        ({"cadata": b"nonsense"}, "no trusted certificate"),
        ({"certificate": certificate.certificate}, "private key"),
    ]:
        with pytest.raises(ValueError, match=words):
            create_tcp_client_configuration(**contradiction)
    for contradiction in (
        {"private_key": certificate.private_key},
        {"cadata": certificate.certificate},
        {"verify_mode": ssl.CERT_REQUIRED},
    ):
        with pytest.raises(ValueError, match="needs a certificate"):
            create_tcp_server_configuration(**contradiction)
    with pytest.raises(ValueError, match="name their authority"):
        create_tcp_server_configuration(**showing(certificate), verify_mode=ssl.CERT_REQUIRED)


def test_a_configuration_does_not_print_its_key(certificate):
    configuration = create_tcp_server_configuration(**showing(certificate))
    assert "PRIVATE" not in repr(configuration)
    assert "CERTIFICATE" not in repr(configuration)


async def test_a_plain_listener_others_can_reach_says_so_once(certificate, caplog):
    async with serve_tcp(EVERYWHERE, 0):
        pass
    async with serve_tcp(EVERYWHERE, 0, create_tcp_server_configuration(**showing(certificate))):
        pass
    async with serve_tcp(HOST, 0):
        pass
    async with asyncio.timeout(STEP):
        while not (said := [line for line in caplog.messages if "in clear" in line]):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert len(said) == 1
    assert "give the listener a certificate" in said[0]
