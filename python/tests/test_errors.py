"""The exceptions, what they also are, and where they can be imported from."""

import builtins
import importlib
import re
from pathlib import Path

import pytest
from frames import STEP, frame

import nnrp
from nnrp import errors
from nnrp.core import ErrorCode, ErrorMetadata, ErrorScope, MessageType, NnrpPacket

BASES = {
    "NnrpError": (Exception,),
    "NnrpProtocolError": (errors.NnrpError, ValueError),
    "NnrpAuthenticationError": (errors.NnrpProtocolError,),
    "NnrpTransportError": (errors.NnrpError, RuntimeError),
    "NnrpConnectionClosedError": (errors.NnrpTransportError, ConnectionResetError),
    "NnrpQuicError": (errors.NnrpTransportError,),
    "NnrpQuicConnectionClosedError": (errors.NnrpQuicError, errors.NnrpConnectionClosedError),
    "NnrpQuicProtocolError": (errors.NnrpQuicError,),
    "NnrpTcpError": (errors.NnrpTransportError,),
    "NnrpTcpConnectionClosedError": (errors.NnrpTcpError, errors.NnrpConnectionClosedError),
    "NnrpTcpProtocolError": (errors.NnrpTcpError,),
    "NnrpTcpUnsupportedOperationError": (errors.NnrpTcpError,),
}


def test_all_are_here():
    assert set(errors.__all__) == set(BASES)
    for name in BASES:
        assert getattr(nnrp, name) is getattr(errors, name)


@pytest.mark.parametrize("name", BASES)
def test_what_they_also_are(name):
    kind = getattr(errors, name)
    assert kind.__bases__ == BASES[name]
    assert str(kind("words")) == "words"
    with pytest.raises(kind):
        raise kind


@pytest.mark.parametrize("module", ["nnrp.adapters", "nnrp.adapters.quic", "nnrp.adapters.tcp"])
def test_transport_errors_are_in_the_adapters_too(module):
    loaded = importlib.import_module(module)
    for name in BASES:
        family = "Quic" if "Quic" in name else "Tcp" if "Tcp" in name else None
        if family is not None and (module == "nnrp.adapters" or module.endswith(family.lower())):
            assert getattr(loaded, name) is getattr(errors, name)


def test_the_attributes_of_a_protocol_error():
    plain = errors.NnrpProtocolError("words")
    assert (plain.is_fatal, plain.retry_after_ms, plain.frame_id, plain.packet) == (False, 0, 0, None)
    full = errors.NnrpProtocolError(
        "words",
        error_code=ErrorCode.SERVER_BUSY,
        error_scope=ErrorScope.FRAME,
        retry_after_ms=5,
        session_id=1,
        frame_id=2,
        view_id=3,
        diagnostic="too much",
    )
    assert (full.error_code, full.error_scope, full.diagnostic) == (
        ErrorCode.SERVER_BUSY,
        ErrorScope.FRAME,
        "too much",
    )
    assert errors.NnrpAuthenticationError().error_code is ErrorCode.AUTH_FAILED


def drawn():
    """Class and bases of each line of the tree in the module's docstring."""
    above = []
    for line in errors.__doc__.split("::", 1)[1].splitlines():
        found = re.fullmatch(r"    ([ │]*)(?:[├└]─ )?(\w+)(?: +and (\w+))?", line)
        if found:
            depth = len(found[1]) // 3 + ("─" in line)
            del above[depth:]
            yield found[2], [*above[-1:], *filter(None, [found[3]])]
            above.append(found[2])


def test_the_drawing_is_the_tree():
    tree = dict(drawn())
    assert tree.pop("Exception") == []
    assert tree == {
        name: [base.__name__ for base in getattr(errors, name).__bases__] for name in errors.__all__
    }


def rows(first):
    """The rows of the table in the docstring whose first column has this head: name, the rest."""
    table = errors.__doc__.split(f"\n{first}", 1)[1].split("\n=", 2)[1]
    return dict(re.split(r"  +", line, maxsplit=1) for line in table.splitlines()[1:])


def test_every_code_of_the_wire_has_a_row():
    assert list(rows("``error_code``")) == list(ErrorCode.__members__)


def test_every_error_of_the_rust_crate_has_a_row():
    crates = Path(__file__).parents[2] / "crates"
    found = set()
    for path in ("nnrp/src/error.rs", "nnrp/src/migrate.rs", "transport/src/error.rs"):
        source = (crates / path).read_text()
        for name, body in re.findall(r"pub enum (\w+Error) \{\n(.*?)\n\}", source, re.DOTALL):
            found |= {
                f"{name}.{variant}" for variant in re.findall(r"^    (\w+)(?:\(| \{|,)", body, re.MULTILINE)
            }
    listed = rows("in Rust")
    assert set(listed) == found
    for what in listed.values():
        for name in re.findall(r"\b(?:Nnrp\w+|\w+Error)\b", what):
            known = hasattr(errors, name) or hasattr(builtins, name) or f"{name}.Closed" in listed
            assert known, name


async def test_every_code_arrives_as_its_class(network):
    classes = {name: what.split()[0] for name, what in rows("``error_code``").items()}
    async with network.pair() as (server, client):
        for code in [*ErrorCode, 0x7777]:
            number = int(code)
            await client.submit_frame(frame(number))
            await server.receive_submit(STEP)
            metadata = ErrorMetadata(number, ErrorScope.FRAME, 0, 250, server.session_id, number, 0, 5)
            await server.connection.send_control_packet(
                NnrpPacket.build(
                    MessageType.ERROR,
                    session_id=server.session_id,
                    frame_id=number,
                    metadata=metadata.pack(),
                    body=b"words",
                )
            )
            with pytest.raises(errors.NnrpProtocolError) as caught:
                await client.receive_result(STEP, frame_id=number)
            error = caught.value
            expected = classes[code.name] if isinstance(code, ErrorCode) else "NnrpProtocolError"
            assert type(error) is getattr(errors, expected)
            assert error.error_code is code or error.error_code == 0x7777
            assert (error.frame_id, error.retry_after_ms, error.diagnostic) == (number, 250, "words")
            assert (error.error_scope, error.is_fatal) == (ErrorScope.FRAME, False)
            assert error.packet.header.msg_type is MessageType.ERROR
