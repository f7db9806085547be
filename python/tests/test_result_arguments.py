"""What is not said about a result is what its default says."""

import inspect

import pytest
from frames import STEP, frame

from nnrp.core import TensorDType, TensorSectionData
from nnrp.server import ServerSession

SECTIONS = (TensorSectionData(1, 0, TensorDType.UINT8, (b"abc",)),)
DEFAULTS = {
    name: parameter.default
    for name, parameter in inspect.signature(ServerSession.send_result).parameters.items()
    if parameter.default is not inspect.Parameter.empty
}


async def packet_of(server, client, **arguments):
    """The bytes that reach the client."""
    await client.submit_frame(frame(1))
    await server.receive_submit(STEP)
    await server.send_result(frame_id=1, **arguments)
    return (await client.receive_result(STEP)).packet.pack()


@pytest.mark.parametrize("sections", [(), SECTIONS])
async def test_a_default_that_is_given_changes_nothing(tcp, sections):
    async with tcp.pair() as (server, client):
        plain = await packet_of(server, client, sections=sections)
        assert await packet_of(server, client, **{**DEFAULTS, "sections": sections}) == plain
        for name in DEFAULTS.keys() - {"sections"}:
            given = {name: DEFAULTS[name], "sections": sections}
            assert await packet_of(server, client, **given) == plain, name


async def test_an_argument_that_nobody_knows_is_refused_by_name(tcp):
    async with tcp.pair() as (server, client):
        with pytest.raises(TypeError, match=r"send_result\(\) got an unexpected keyword argument 'status'"):
            await server.send_result(frame_id=1, status=3)
        with pytest.raises(TypeError, match="frame_id"):
            await server.send_result(status_code=3)
        with pytest.raises(TypeError, match=r"positional"):
            await server.send_result(1)
        assert await packet_of(server, client), "the session goes on"
