"""``nnrps://host:port`` and ``nnrp://host:port``."""

import asyncio

import pytest
from frames import STEP
from networks import HOST, Network

from nnrp.client import ClientDialPolicy, ClientProfile, dial_client
from nnrp.core import TransportId, TransportPolicy
from nnrp.errors import NnrpConnectionClosedError
from nnrp.server import accept_server_session

FORCE_TCP = ClientDialPolicy(forced_transport_id=TransportId.TCP)


@pytest.fixture
def quic(certificate):
    return Network("quic", certificate)


@pytest.fixture
def tls(certificate):
    return Network("tls", certificate)


async def opened(listener, opening):
    accepting = asyncio.create_task(accept_server_session(listener, timeout=STEP))
    async with await opening as client, await accepting:
        return client


@pytest.mark.parametrize("host", [HOST, "localhost"])
async def test_an_encrypted_address_goes_where_the_configuration_says(quic, tls, host):
    for network in (quic, tls):
        async with network.serve() as listener:
            address = f"nnrps://{host}:{listener.port}"
            client = await opened(listener, dial_client(address, config=network.client_configuration()))
            assert client.transport_id is network.transport_id
            assert len(client.peer_certificates) == 1


async def test_a_plain_address_is_plain_tcp(tcp):
    async with tcp.serve() as listener:
        client = await opened(listener, dial_client(f"nnrp://{HOST}:{listener.port}"))
        assert client.transport_id is TransportId.TCP
        assert client.peer_certificates == ()


async def test_an_encrypted_address_is_never_dialled_plain(tcp):
    async with tcp.serve() as listener:
        accepting = asyncio.create_task(accept_server_session(listener))
        for settings in ({"dial_policy": FORCE_TCP}, {"config": tcp.client_configuration()}):
            with pytest.raises(NnrpConnectionClosedError) as refused:
                await dial_client(f"nnrps://{HOST}:{listener.port}", **settings)
            assert refused.value.tls_fault == "not_tls"
        accepting.cancel()


async def test_a_wrong_certificate_is_no_reason_to_fall_back(quic, tcp):
    """Plain TCP would hand the auth block to whoever showed it."""
    profile = ClientProfile(transport_policy=TransportPolicy.PREFER_QUIC)
    async with quic.serve() as listener:
        config = quic.client_configuration()
        config.server_name = "elsewhere.example"
        with pytest.raises(NnrpConnectionClosedError) as refused:
            await dial_client(
                HOST,
                listener.port,
                profile=profile,
                config=config,
                tcp_config=tcp.client_configuration(),
            )
        assert refused.value.tls_fault == "wrong_name"


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("https://host:1", "neither nnrps nor nnrp"),
        ("nnrps://host", "no port"),
        ("nnrps://:1", "no host"),
        ("nnrps://host:0", "not in 1..65535"),
        ("nnrps://host:1/path", "nothing may follow"),
        ("nnrps://::1:1", "in brackets"),
        ("nnrps://user:secret@host:1", "auth block"),
    ],
)
def test_what_is_no_address(address, words):
    with pytest.raises(ValueError, match=words) as refused:
        dial_client(address)
    assert "secret" not in str(refused.value)


def test_what_contradicts_an_address(quic, tcp, tls):
    for config in (quic.client_configuration(), tls.client_configuration()):
        with pytest.raises(ValueError, match="plain TCP"):
            dial_client("nnrp://host:1", config=config)
    with pytest.raises(ValueError, match="plain TCP"):
        dial_client("nnrp://host:1", profile=ClientProfile(transport_policy=TransportPolicy.FORCE_QUIC))
    with pytest.raises(ValueError, match="tls=False"):
        dial_client("nnrps://host:1", config=tcp.client_configuration(tls=False))
    with pytest.raises(TypeError, match="names the port"):
        dial_client("nnrps://host:1", 2)
    with pytest.raises(TypeError, match="needs a port"):
        dial_client("host")
