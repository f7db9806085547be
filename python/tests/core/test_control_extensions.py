"""Blocks of control extensions, and the six entries of the handshake."""

import pytest

from nnrp import core
from nnrp.core import ControlExtensionEntry, LossTolerance, PayloadKind, TransportId, TransportPolicy

ENTRIES = [
    ControlExtensionEntry(0x0101, payload=b"12345678"),
    ControlExtensionEntry(0x8002, core.ControlExtensionFlags.CRITICAL, b"abc"),
]
VALUES = {
    "client_hello_transport_policy": (
        core.ClientHelloTransportPolicyExtension(TransportPolicy.PREFER_TCP, TransportId.TCP),
        "0200000002000000",
    ),
    "server_hello_ack_transport_policy": (
        core.ServerHelloAckTransportPolicyExtension(2, 1, TransportId.QUIC),
        "0201000001000000",
    ),
    "client_hello_loss_tolerance": (
        core.ClientHelloLossToleranceExtension(LossTolerance.LOW_LATENCY),
        "0200000000000000",
    ),
    "server_hello_ack_loss_tolerance": (core.ServerHelloAckLossToleranceExtension(), "0100000000000000"),
    "client_hello_payload_capabilities": (
        core.ClientHelloPayloadCapabilitiesExtension(PayloadKind(3)),
        "0300000000000000",
    ),
    "server_hello_ack_payload_capabilities": (
        core.ServerHelloAckPayloadCapabilitiesExtension(),
        "0100000000000000",
    ),
}


def test_a_block_and_back():
    block = core.pack_control_extension_block(ENTRIES)
    assert block == bytes.fromhex("0101000008000000") + b"12345678" + bytes.fromhex(
        "0280010003000000"
    ) + b"abc" + bytes(5)
    assert core.unpack_control_extension_block(block) == tuple(ENTRIES)
    assert core.pack_control_extension_block([]) == b""
    assert core.unpack_control_extension_block(b"") == ()


def test_an_entry_is_a_header_and_aligned_contents():
    empty = core.pack_control_extension_block([ControlExtensionEntry(1)])
    assert len(empty) == core.CONTROL_EXTENSION_HEADER_LENGTH
    padded = core.pack_control_extension_block([ControlExtensionEntry(1, payload=b"x")])
    assert len(padded) == len(empty) + core.CONTROL_EXTENSION_ALIGNMENT


def test_unknown_types_are_left_out_and_critical_ones_refused():
    block = core.pack_control_extension_block(ENTRIES)
    assert core.unpack_control_extension_block(block, known_types={0x8002}) == (ENTRIES[1],)
    with pytest.raises(ValueError, match="unknown critical control extension type: 0x8002"):
        core.unpack_control_extension_block(block, known_types={0x0101})


@pytest.mark.parametrize("cut", [3, 12, 20, 27])
def test_a_block_that_is_cut(cut):
    with pytest.raises(ValueError, match="truncated control extension"):
        core.unpack_control_extension_block(core.pack_control_extension_block(ENTRIES)[:cut])


def test_numbers_that_do_not_fit():
    with pytest.raises(ValueError, match="ext_type must be between 0 and 65535"):
        core.pack_control_extension_block([ControlExtensionEntry(0x10000)])


@pytest.mark.parametrize("name", VALUES)
def test_handshake_extension(name):
    value, payload = VALUES[name]
    entry = getattr(core, f"build_{name}_extension")(value)
    assert entry == ControlExtensionEntry(
        getattr(core, f"{name.upper()}_EXTENSION"), payload=bytes.fromhex(payload)
    )
    assert getattr(core, f"parse_{name}_extension")(entry) == value


@pytest.mark.parametrize("name", VALUES)
def test_handshake_extension_of_the_wrong_length(name):
    entry = ControlExtensionEntry(getattr(core, f"{name.upper()}_EXTENSION"), payload=b"123")
    with pytest.raises(ValueError, match="expected 8 bytes, got 3"):
        getattr(core, f"parse_{name}_extension")(entry)


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("client_hello_transport_policy", core.ClientHelloTransportPolicyExtension(9)),
        ("client_hello_transport_policy", core.ClientHelloTransportPolicyExtension(0, 9)),
        ("client_hello_loss_tolerance", core.ClientHelloLossToleranceExtension(0xFF)),
        ("client_hello_payload_capabilities", core.ClientHelloPayloadCapabilitiesExtension(0x80)),
        ("client_hello_payload_capabilities", core.ClientHelloPayloadCapabilitiesExtension(1, 1)),
        ("client_hello_payload_capabilities", core.ClientHelloPayloadCapabilitiesExtension(1, 1 << 32)),
    ],
)
def test_values_that_are_not_sent(name, bad):
    with pytest.raises(ValueError, match=r"not a valid|bits|zero|between"):
        getattr(core, f"build_{name}_extension")(bad)


def test_patch_bodies():
    block, ack = core.TensorProfilePatchBlock(1, 2, 3, 4), core.TensorProfilePatchAckBlock(1, 2, 3, 4)
    assert core.pack_session_patch_body() == core.pack_session_patch_ack_body() == b""
    packed = core.pack_session_patch_body(profile_patch_block=block)
    assert packed == core.pack_session_patch_ack_body(profile_patch_ack_block=ack)
    assert core.unpack_session_patch_body(packed, profile_patch_bytes=16) == block
    assert core.unpack_session_patch_ack_body(packed, profile_patch_ack_bytes=16) == ack
    assert core.unpack_session_patch_body(b"", profile_patch_bytes=0) is None
