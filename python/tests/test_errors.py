"""The exceptions, what they also are, and where they can be imported from."""

import importlib

import pytest

import nnrp
from nnrp import errors
from nnrp.core import ErrorCode, ErrorScope

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
