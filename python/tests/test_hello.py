"""The first packet, byte for byte, and the plans it is made from."""

import pytest

from nnrp.client import (
    ClientDialPolicy,
    ClientProfile,
    TransportProbeSelection,
    bootstrap_client_transport,
    build_client_hello_packet,
    plan_client_transport,
    resolve_client_hello_transport_policy,
)
from nnrp.core import (
    ClientHelloMetadata,
    ClientHelloTransportPolicyExtension,
    ControlExtensionEntry,
    LossTolerance,
    TransportId,
    TransportPolicy,
    pack_control_extension_block,
)

#: What the published package sends with its defaults.
DEFAULT = bytes.fromhex(
    "4e4e5250010001280100000040000000000000000000000000000000000000000000000000000000"
    "0101010001000000010000000300000003000000"
    "1f0000000300000001000700010001000001000000008000"
    "7017320002000000010000000000000000000000"
)


def policy_bytes(policy, transport):
    return bytes((1, 1, 0, 0, 8, 0, 0, 0, policy, 0, 0, 0, transport, 0, 0, 0))


def test_the_default_is_what_the_published_package_sends():
    packet = build_client_hello_packet()
    metadata = ClientHelloMetadata.unpack(packet.metadata)
    assert packet.body == b""
    assert (metadata.target_cadence_x100, metadata.latency_budget_ms, metadata.supported_dtype_bitmap) == (
        6000,
        50,
        31,
    )
    assert (metadata.max_cache_entries, metadata.max_cache_bytes) == (256, 8388608)
    assert packet.pack() == DEFAULT


def test_the_body_holds_library_extensions_then_the_callers_then_the_auth_block():
    own = pack_control_extension_block([ControlExtensionEntry(0x7001, payload=b"abc")])
    packet = build_client_hello_packet(
        auth_block=b"token",
        control_extensions=own,
        selected_transport_id=TransportId.QUIC,
        requested_session_id=9,
    )
    assert packet.body == policy_bytes(TransportPolicy.PREFER_QUIC, TransportId.QUIC) + own + b"token"
    metadata = ClientHelloMetadata.unpack(packet.metadata)
    assert (metadata.auth_bytes, metadata.control_extension_bytes, metadata.requested_session_id) == (
        5,
        32,
        9,
    )


def test_a_model_name_travels_as_the_auth_block():
    assert build_client_hello_packet(requested_model="modèle").body == "modèle".encode()
    with pytest.raises(ValueError, match="requested_model cannot be combined with auth_block"):
        build_client_hello_packet(requested_model="m", auth_block=b"a")


def test_the_profile_is_announced():
    profile = ClientProfile(max_views=3, enable_cache=False)
    metadata = ClientHelloMetadata.unpack(build_client_hello_packet(client_profile=profile).metadata)
    assert metadata.max_views == 3
    assert not metadata.enable_cache
    assert (metadata.max_cache_entries, metadata.max_cache_bytes, metadata.cache_object_bitmap) == (0, 0, 0)
    tolerant = ClientProfile(
        loss_tolerance=LossTolerance.LOW_LATENCY, transport_policy=TransportPolicy.FORCE_TCP
    )
    assert build_client_hello_packet(client_profile=tolerant).body[8] == TransportPolicy.FORCE_TCP


@pytest.mark.parametrize(
    ("arguments", "body"),
    [
        ({"transport_policy": TransportPolicy.FORCE_TCP}, policy_bytes(4, 0)),
        ({"preferred_transport_id": TransportId.TCP}, policy_bytes(0, 2)),
        (
            {"forced_transport_id": TransportId.TCP, "selected_transport_id": TransportId.TCP},
            policy_bytes(4, 2),
        ),
        ({"transport_policy_extension": ClientHelloTransportPolicyExtension()}, policy_bytes(0, 0)),
    ],
)
def test_transport_choices(arguments, body):
    assert build_client_hello_packet(**arguments).body == body


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            {"transport_policy": TransportPolicy.AUTO, "selected_transport_id": TransportId.TCP},
            "explicit transport_policy/preferred_transport_id cannot be combined with local dial policy ids",
        ),
        (
            {
                "transport_policy_extension": ClientHelloTransportPolicyExtension(),
                "forced_transport_id": TransportId.TCP,
            },
            "transport_policy_extension cannot be combined",
        ),
        (
            {"selected_transport_id": TransportId.QUIC, "forced_transport_id": TransportId.TCP},
            "selected_transport_id and forced_transport_id must not conflict",
        ),
        ({"requested_session_id": -1}, "requested_session_id"),
    ],
)
def test_choices_that_contradict_each_other(arguments, words):
    with pytest.raises(ValueError, match=words):
        build_client_hello_packet(**arguments)


def test_plans_and_policies():
    assert plan_client_transport().transport_policy_extension is None
    forced = plan_client_transport(forced_transport_id=TransportId.QUIC)
    assert forced.selected_transport_id is TransportId.QUIC
    assert forced.transport_policy_extension == ClientHelloTransportPolicyExtension(
        TransportPolicy.FORCE_QUIC, TransportId.QUIC
    )
    assert forced.build_client_hello_packet().body == policy_bytes(3, 1)
    policy = ClientDialPolicy(selected_transport_id=TransportId.TCP)
    assert policy.to_client_hello_transport_policy() == resolve_client_hello_transport_policy(
        selected_transport_id=TransportId.TCP
    )
    assert ClientDialPolicy().to_client_hello_transport_policy() is None


def test_a_probe_decides_if_nobody_else_did():
    won = TransportProbeSelection(TransportId.TCP)
    assert bootstrap_client_transport(probe_selection=won).plan.selected_transport_id is TransportId.TCP
    chosen = bootstrap_client_transport(probe_selection=won, forced_transport_id=TransportId.QUIC)
    assert chosen.plan.selected_transport_id is TransportId.QUIC
    assert chosen.probe_selection is won
