"""Headers and packets: bytes, lengths, and what is refused."""

import pytest

from nnrp.core import (
    HEADER_LENGTH,
    HEADER_MAGIC,
    HeaderFlags,
    MessageType,
    NnrpHeader,
    NnrpPacket,
    WireFormat,
)

PING = bytes.fromhex("4e4e525001002028" + "00" * 12 + "07000000" + "00" * 8 + "8877665544332211")


def header(**changes):
    fields = {
        "version_major": 1,
        "wire_format": WireFormat.CURRENT,
        "msg_type": MessageType.PING,
        "flags": HeaderFlags.NONE,
        "meta_len": 0,
        "body_len": 0,
        "session_id": 7,
        "frame_id": 0,
        "view_id": 0,
        "route_id": 0,
        "trace_id": 0x1122334455667788,
    }
    return NnrpHeader(**(fields | changes))


def damaged(offset, value):
    raw = bytearray(PING)
    raw[offset] = value
    return bytes(raw)


def test_bytes_and_back():
    assert header().pack() == PING
    assert NnrpHeader.unpack(PING) == header()
    assert PING.startswith(HEADER_MAGIC)
    assert len(PING) == HEADER_LENGTH


def test_fields_keep_the_positional_order():
    fields = (1, 0, 0x20, 0, 0, 0, 7, 0, 0, 0, 0x1122334455667788)
    positional = NnrpHeader(*fields)
    assert positional == header()
    assert positional.msg_type is MessageType.PING
    assert positional.flags is HeaderFlags.NONE


def test_unknown_flags_are_kept():
    raw = damaged(11, 0x80)
    assert NnrpHeader.unpack(raw).pack() == raw


@pytest.mark.parametrize(
    ("offset", "value", "message"),
    [
        (0, 0x58, "unexpected magic"),
        (4, 2, "version_major"),
        (5, 2, "2 is not a valid WireFormat"),
        (6, 0x77, "119 is not a valid MessageType"),
        (7, 41, "unexpected header_len"),
    ],
)
def test_damaged_header(offset, value, message):
    with pytest.raises(ValueError, match=message):
        NnrpHeader.unpack(damaged(offset, value))
    with pytest.raises(ValueError, match=message):
        NnrpPacket.unpack(damaged(offset, value))


def test_a_wrong_version_can_be_written_for_tests():
    assert header(version_major=2).pack()[4] == 2
    with pytest.raises(ValueError, match="version_major"):
        NnrpHeader.unpack(header(version_major=2).pack())


@pytest.mark.parametrize(("field", "bad"), [("session_id", -1), ("view_id", 1 << 16), ("trace_id", 1 << 64)])
def test_numbers_that_do_not_fit(field, bad):
    with pytest.raises(ValueError, match=f"NnrpHeader.{field} must be between"):
        header(**{field: bad}).pack()
    with pytest.raises(TypeError, match=field):
        header(**{field: 1.0}).pack()


def test_header_length_is_fixed():
    with pytest.raises(ValueError, match="unexpected header_len: 41"):
        header(header_len=41).pack()


def test_expected_wire_format():
    assert NnrpHeader.unpack(PING, expected_wire_format=WireFormat.CURRENT) == header()
    with pytest.raises(ValueError, match="unexpected wire_format"):
        NnrpHeader.unpack(PING, expected_wire_format=1)


def test_build_fills_in_the_lengths():
    packet = NnrpPacket.build(MessageType.ERROR, metadata=bytearray(b"meta"), body=memoryview(b"body!"))
    assert (packet.header.meta_len, packet.header.body_len) == (4, 5)
    assert type(packet.metadata) is type(packet.body) is bytes
    assert NnrpPacket.unpack(packet.pack()) == packet


def test_build_takes_every_argument_by_keyword():
    packet = NnrpPacket.build(
        msg_type=MessageType.PING, version_major=1, wire_format=WireFormat.CURRENT, session_id=7, trace_id=9
    )
    assert (packet.header.session_id, packet.header.trace_id) == (7, 9)


def test_lengths_that_disagree():
    packet = NnrpPacket.build(MessageType.ERROR, metadata=b"123", body=b"45")
    packet.metadata = b"12"
    with pytest.raises(ValueError, match="metadata length mismatch: header=3, actual=2"):
        packet.pack()
    packet.metadata, packet.body = b"123", b""
    with pytest.raises(ValueError, match="body length mismatch: header=2, actual=0"):
        packet.pack()


@pytest.mark.parametrize("cut", [0, 39, 41])
def test_a_packet_is_exactly_as_long_as_its_header_says(cut):
    with pytest.raises(ValueError, match=f"got {cut}"):
        NnrpPacket.unpack((PING + b"x")[:cut])


def test_a_huge_announced_length_allocates_nothing():
    with pytest.raises(ValueError, match="expected 4294967335 bytes, got 40"):
        NnrpPacket.unpack(header(body_len=0xFFFFFFFF).pack())


def test_a_packet_shows_the_sizes_of_its_parts():
    packet = NnrpPacket.build(MessageType.PING, metadata=b"", body=b"payload")
    assert repr(packet) == f"NnrpPacket(header={packet.header!r}, metadata=<0 bytes>, body=<7 bytes>)"
