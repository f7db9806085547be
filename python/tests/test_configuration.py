"""Configurations, certificates, and the ways of passing them."""

import asyncio
import dataclasses
import inspect
import ssl

import pytest
from frames import STEP

from nnrp.adapters import (
    NNRP_ALPN,
    NNRP_CURRENT_ALPN,
    NnrpQuicConnectionClosedError,
    NnrpTcpClientConfiguration,
    NnrpTcpServerConfiguration,
    QuicConfiguration,
    alpn_for_wire_format,
    connect_quic,
    connect_tcp,
    create_development_certificate,
    create_quic_client_configuration,
    create_quic_server_configuration,
    create_tcp_client_configuration,
    create_tcp_server_configuration,
    serve_quic,
    serve_tcp,
)
from nnrp.client import dial_client
from nnrp.core import WireFormat
from nnrp.errors import NnrpConnectionClosedError
from nnrp.server import accept_server_session

HOST = "127.0.0.1"


def test_the_protocol_name():
    assert NNRP_ALPN == NNRP_CURRENT_ALPN == alpn_for_wire_format(WireFormat.CURRENT) == "nnrp/1"
    with pytest.raises(ValueError, match="WireFormat"):
        alpn_for_wire_format(9)


def test_the_defaults_of_the_tcp_configurations():
    client, server = create_tcp_client_configuration(), create_tcp_server_configuration()
    assert client == NnrpTcpClientConfiguration(5.0, 120.0, True)
    assert server == NnrpTcpServerConfiguration(120.0, True)
    assert [field.name for field in dataclasses.fields(client)][:3] == [
        "connect_timeout",
        "idle_timeout",
        "no_delay",
    ]
    with pytest.raises(dataclasses.FrozenInstanceError):
        server.idle_timeout = 1


def test_the_defaults_of_the_quic_configurations(certificate):
    client = create_quic_client_configuration()
    assert client.is_client
    assert client.verify_mode is ssl.CERT_REQUIRED
    assert (client.idle_timeout, client.max_datagram_frame_size, client.alpn_protocols) == (
        120.0,
        65536,
        ["nnrp/1"],
    )
    server = create_quic_server_configuration(certificate.certificate, certificate.private_key)
    assert not server.is_client
    assert create_quic_client_configuration(insecure_skip_verify=True).verify_mode is ssl.CERT_NONE


def test_files_are_read_and_checked_at_once(certificate, tmp_path):
    pem, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    pem.write_bytes(certificate.certificate)
    key.write_bytes(certificate.private_key)
    create_quic_server_configuration(pem, str(key))
    create_quic_client_configuration(cafile=pem)
    create_quic_client_configuration(capath=tmp_path)
    with pytest.raises(FileNotFoundError):
        create_quic_server_configuration(tmp_path / "no.pem", key)
    with pytest.raises(ValueError, match="private key"):
        create_quic_server_configuration(pem, pem)
    with pytest.raises(ValueError, match="certificate"):
        create_quic_server_configuration(b"nonsense", key)
    with pytest.raises(ValueError, match="certificate"):
        create_quic_client_configuration(cafile=key)
    with pytest.raises(FileNotFoundError):
        create_quic_client_configuration(cafile=tmp_path / "no.pem")


def test_a_key_of_another_certificate_is_found_at_once(certificate):
    other = create_development_certificate()
    with pytest.raises(ValueError, match=r"^the private key does not belong to the certificate$"):
        create_quic_server_configuration(certificate.certificate, other.private_key)


def test_the_source_without_a_certificate_is_named(certificate, tmp_path):
    key = tmp_path / "key.pem"
    key.write_bytes(certificate.private_key)
    with pytest.raises(ValueError, match=r"cafile .*key\.pem"):
        create_quic_client_configuration(cafile=key, cadata=certificate.certificate)
    with pytest.raises(ValueError, match="capath .*" + tmp_path.name):
        create_quic_client_configuration(capath=tmp_path)
    with pytest.raises(ValueError, match="cadata"):
        create_quic_client_configuration(cadata="nonsense")


def test_it_reads_and_writes_like_the_one_of_other_packages(certificate, tmp_path):
    pem = tmp_path / "both.pem"
    pem.write_bytes(certificate.certificate + certificate.private_key)
    configuration = QuicConfiguration(is_client=False)
    configuration.load_cert_chain(pem)
    configuration.load_verify_locations(cafile=pem)
    configuration.idle_timeout = 5.0
    with pytest.raises(ValueError, match="encrypted"):
        configuration.load_cert_chain(pem, password="x")  # noqa: S106
    assert "server" in repr(configuration)


def test_the_private_key_is_not_shown(certificate):
    assert "PRIVATE" not in repr(certificate)


async def connects(listener, configuration, host=HOST):
    async with connect_quic(host, listener.port, configuration, timeout=STEP), await listener.accept(STEP):
        return True


async def test_certificates_are_verified(certificate):
    server = create_quic_server_configuration(certificate.certificate, certificate.private_key)
    trusting = create_quic_client_configuration(cadata=certificate.certificate.decode())
    async with serve_quic(HOST, 0, config=server) as listener:
        assert await connects(listener, trusting)
        assert await connects(listener, trusting, "localhost")
        assert await connects(listener, create_quic_client_configuration(verify_mode=ssl.CERT_NONE))
        other_name = create_quic_client_configuration(
            cadata=certificate.certificate, server_name="example.org"
        )
        for refused in (create_quic_client_configuration(), other_name):
            with pytest.raises(NnrpQuicConnectionClosedError, match="connection terminated"):
                await connect_quic(HOST, listener.port, refused)


async def test_another_protocol_name_is_refused(network):
    if network.transport == "tcp":
        pytest.skip("plain TCP has no protocol name")
    async with network.serve() as listener:
        with pytest.raises(NnrpConnectionClosedError, match="connection terminated") as refused:
            await network.connect(listener.port, alpn_protocols=["h3"])
        assert refused.value.tls_fault == "alpn"


@pytest.mark.parametrize("idle_timeout", [None, 0, -1])
async def test_no_idle_timeout_means_none(tcp, idle_timeout):
    settings = create_tcp_client_configuration(idle_timeout=idle_timeout)
    async with tcp.serve(idle_timeout=idle_timeout) as listener:
        async with connect_tcp(HOST, listener.port, config=settings) as client, await listener.accept(STEP):
            with pytest.raises(TimeoutError):
                await client.receive_packet(timeout=0.05)
            assert not client.is_closed


# Rules R-TCP-3, R-LIM-10
async def test_an_idle_connection_is_lost(tcp):
    async with tcp.serve(idle_timeout=0.05) as listener:
        async with tcp.connect(listener.port, idle_timeout=None), await listener.accept(STEP) as server:
            with pytest.raises(ConnectionResetError, match="idle timeout expired"):
                await server.receive_packet(timeout=STEP)


async def test_a_configuration_is_given_once(certificate):
    quic = create_quic_server_configuration(certificate.certificate, certificate.private_key)
    tcp = NnrpTcpServerConfiguration()
    for function, configuration in ((serve_quic, quic), (serve_tcp, tcp)):
        assert list(inspect.signature(function).parameters) == ["host", "port", "config", "configuration"]
        for arguments in ({"config": configuration}, {"configuration": configuration}):
            async with function(HOST, 0, **arguments) as listener:
                assert listener.port > 0
                assert listener.host == HOST
        async with await function(HOST, 0, configuration) as listener:
            assert str(listener.port) in repr(listener)
        with pytest.raises(TypeError):
            function(HOST, 0, configuration, configuration=configuration)
    with pytest.raises(TypeError):
        serve_quic(HOST, 0)
    with pytest.raises(TypeError):
        serve_quic(HOST, 0, tcp)
    with pytest.raises(TypeError):
        connect_tcp(HOST, 0, quic)


@pytest.mark.parametrize("port", [-1, 65536])
def test_serving_a_port_that_does_not_exist(port, certificate):
    quic = create_quic_server_configuration(certificate.certificate, certificate.private_key)
    for serve in (lambda: serve_quic(HOST, port, quic), lambda: serve_tcp(HOST, port)):
        with pytest.raises(ValueError, match=f"port must be between 0 and 65535, got {port}"):
            serve()


async def test_a_host_that_does_not_exist(network):
    with pytest.raises(OSError, match=r"."):
        await (connect_quic if network.transport == "quic" else connect_tcp)("no.such.host.invalid", 1)


async def test_nobody_listens(tcp):
    async with tcp.serve() as listener:
        pass
    with pytest.raises(ConnectionRefusedError) as refused:
        await tcp.connect(listener.port)
    assert "os error" not in str(refused.value)


async def test_a_server_asks_its_clients_only_if_it_was_told_to(tcp):
    async with tcp.serve(keepalive_interval=0.02) as listener:
        accepting = asyncio.create_task(accept_server_session(listener, timeout=STEP))
        async with tcp.dial(listener.port) as client, await accepting as server:
            received = server.stats["packets_received"]
            while server.stats["packets_received"] < received + 3:  # noqa: ASYNC110  # PONGs
                await asyncio.sleep(0.01)
            with pytest.raises(TimeoutError):
                await server.receive_control(0)
            assert not client.is_closed


async def test_the_largest_frame_of_a_transport(tcp):
    async with tcp.serve(max_frame_size=4096) as listener:
        accepting = asyncio.create_task(accept_server_session(listener, timeout=STEP))
        async with tcp.dial(listener.port) as client, await accepting:
            assert client.control.ack_metadata.max_body_bytes == 4096


async def test_a_configuration_for_servers_is_not_connected_with(certificate):
    """It verifies nobody: the token would go to whoever answers."""
    mine = create_quic_server_configuration(certificate.certificate, certificate.private_key)
    with pytest.raises(TypeError, match=r"for a server.*create_quic_client_configuration"):
        connect_quic("127.0.0.1", 4433, mine)
    with pytest.raises(TypeError, match="for a server"):
        await dial_client("127.0.0.1", 4433, config=mine, auth_block=b"token")
