"""The forms that packets are written down in."""

import random
import struct

import captures
import pytest
from captures import CLIENT, ETHERNET, LINUX_COOKED, LINUX_COOKED_2, NULL, RAW, SERVER, SYN, Segment
from packets import VALID, one_of

from nnrp.core import MessageType
from nnrp.inspect._source import UnreadableError, find_packets

SUBMIT, RESULT = one_of(MessageType.FRAME_SUBMIT), one_of(MessageType.RESULT_PUSH)
HELLO, ACK = one_of(MessageType.CLIENT_HELLO), one_of(MessageType.SERVER_HELLO_ACK)
TO_SERVER, TO_CLIENT = [HELLO, SUBMIT], [ACK, RESULT]


def found(data, **arguments):
    return [piece.raw for piece in find_packets(data, **arguments).pieces]


def sent_by(data, sender, **arguments):
    pieces = find_packets(data, **arguments).pieces
    return [piece.raw for piece in pieces if piece.stream.split(" > ")[0].endswith(f":{sender}")]


def test_packets_back_to_back():
    assert found(HELLO + SUBMIT) == TO_SERVER


@pytest.mark.parametrize(
    "write",
    [
        lambda raw: raw.hex(),
        lambda raw: raw.hex(" ").upper(),
        lambda raw: raw.hex(":", 4),
        lambda raw: "# a comment\n" + ", ".join(f"0x{byte:02x}" for byte in raw),
        lambda raw: "\n".join(raw[at : at + 20].hex(" ", 4) for at in range(0, len(raw), 20)),
        captures.xxd,
        captures.hexdump_canonical,
        captures.hexdump_words,
        captures.wireshark,
    ],
)
@pytest.mark.parametrize("data", [HELLO + SUBMIT, one_of(MessageType.PING) * 3, HELLO + b"\0" * 4096 + b"x"])
def test_hexadecimal_text(write, data):
    assert b"".join(found(write(data).encode())) == data
    assert b"".join(found(write(data).encode(), form="hex")) == data


def test_every_vector_survives_every_dump():
    for vector in VALID:
        raw = bytes.fromhex(vector["hex"])
        for write in (captures.xxd, captures.hexdump_canonical, captures.hexdump_words, captures.wireshark):
            assert b"".join(found(write(raw).encode())) == raw, write.__name__


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "empty"),
        (b"# nothing\n", "no bytes"),
        (b"4e4e5", "line 1 has an odd number"),
        (b"00000000  4e 4e\n*\nffffffff00\n", "line 3: the line after a \\*"),
    ],
)
def test_text_that_cannot_be_read(text, reason):
    with pytest.raises(UnreadableError, match=reason):
        find_packets(text, "hex" if text else "auto")


def test_what_is_no_text_is_taken_for_bytes():
    assert found(b"GET / HTTP/1.1") == [b"GET / HTTP/1.1"]
    with pytest.raises(UnreadableError, match="not hexadecimal"):
        find_packets(b"GET / HTTP/1.1", "hex")


SESSION = captures.session(b"".join(TO_SERVER), b"".join(TO_CLIENT))


@pytest.mark.parametrize("link_type", [ETHERNET, NULL, RAW, LINUX_COOKED, LINUX_COOKED_2])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("write", [captures.pcap, captures.pcapng])
def test_captures(write, order, link_type):
    data = write(captures.loopback(SESSION), link_type, order)
    assert sent_by(data, CLIENT) == TO_SERVER
    assert sent_by(data, SERVER) == TO_CLIENT
    assert sent_by(data, CLIENT, port=SERVER) == TO_SERVER


def test_nanoseconds_and_ipv6():
    packets = [captures.ipv6(segment.tcp()) for segment in SESSION]
    data = captures.pcap(packets, magic=0xA1B23C4D)
    assert sent_by(data, CLIENT) == TO_SERVER
    piece = find_packets(data).pieces[0]
    assert piece.stream == f"[::1]:{CLIENT} > [::1]:{SERVER}"
    assert piece.clock.startswith("22:13:20.0000")


def test_packets_of_both_directions_come_in_the_order_they_were_seen():
    segments = [
        *SESSION[:2],
        Segment(CLIENT, SERVER, 0xFFFFFFF0, HELLO),
        Segment(SERVER, CLIENT, 100, ACK),
        Segment(CLIENT, SERVER, 0xFFFFFFF0 + len(HELLO), SUBMIT),
    ]
    assert found(captures.pcap(captures.loopback(segments))) == [HELLO, ACK, SUBMIT]


@pytest.mark.parametrize("seed", range(20))
def test_segments_out_of_order_twice_and_overlapping(seed):
    chance = random.Random(seed)  # noqa: S311  # seeded, so that a failure comes again
    segments = SESSION[2:]
    extra = [
        Segment(one.source, one.target, one.sequence - 5, TO_BEFORE[one.source][one.sequence] + one.payload)
        for one in chance.sample(segments, 6)
        if len(TO_BEFORE[one.source].get(one.sequence, b"")) == 5
    ]
    mixed = segments + chance.sample(segments, 5) + extra
    chance.shuffle(mixed)
    data = captures.pcap(captures.loopback(SESSION[:2] + mixed))
    assert sent_by(data, CLIENT) == TO_SERVER
    assert sent_by(data, SERVER) == TO_CLIENT


def before(segments):
    """The five bytes before each segment, by port and sequence number."""
    known = {}
    for one in segments:
        previous = known.setdefault(one.source, {None: b""})
        previous[one.sequence] = previous[None][-5:]
        previous[None] += one.payload
    return known


TO_BEFORE = before(SESSION[2:])


def test_bytes_that_were_not_captured():
    lost = [
        one
        for one in SESSION
        if one.source != CLIENT or one.flags == SYN or one.sequence != SESSION[3].sequence
    ]
    result = find_packets(captures.pcap(captures.loopback(lost)), port=SERVER)
    raws = [piece.raw for piece in result.pieces]
    assert SUBMIT in raws
    assert HELLO not in raws
    assert any("missing from the capture" in note for note in result.notes)


def test_a_capture_that_starts_late():
    data = HELLO + SUBMIT
    segments = [Segment(CLIENT, SERVER, 7 + at, data[at : at + 50]) for at in range(50, len(data), 50)]
    assert found(captures.pcap(captures.loopback(segments))) == [SUBMIT]


def test_ports_that_are_used_again():
    again = captures.session(SUBMIT, RESULT, start=5000)
    data = captures.pcap(captures.loopback(SESSION + again))
    assert sent_by(data, CLIENT) == [*TO_SERVER, SUBMIT]


def test_other_protocols_are_left_out():
    web = [Segment(50000, 80, 1, flags=SYN), Segment(50000, 80, 2, b"GET / HTTP/1.1\r\n\r\n")]
    assert sent_by(captures.pcap(captures.loopback(web + SESSION)), 50000) == []
    with pytest.raises(UnreadableError, match="no NNRP packets on any TCP port"):
        find_packets(captures.pcap(captures.loopback(web)))
    with pytest.raises(UnreadableError, match="no NNRP packets on TCP port 1"):
        find_packets(captures.pcap(captures.loopback(SESSION)), port=1)
    assert sent_by(captures.pcap(captures.loopback(web)), 50000, port=80) == [b"GET / HTTP/1.1\r\n\r\n"]


def test_what_is_encrypted_is_said_to_be():
    udp = captures.ipv4(struct.pack(">4H", 5000, SERVER, 108, 0) + bytes(100), protocol=17)
    with pytest.raises(UnreadableError, match="1 UDP datagrams were left out: NNRP over QUIC is encrypted"):
        find_packets(captures.pcap([udp]))
    tls = [Segment(CLIENT, SERVER, 1, b"\x16\x03\x01" + bytes(50))]
    with pytest.raises(UnreadableError, match="is TLS"):
        find_packets(captures.pcap(captures.loopback(tls)), port=SERVER)


@pytest.mark.parametrize("write", [captures.pcap, captures.pcapng])
def test_a_capture_may_be_cut_anywhere(write):
    data = write(captures.loopback(SESSION))
    for length in [*range(1, 200), *range(200, len(data), 97)]:
        try:
            raws = found(data[:length], form="capture")
        except UnreadableError:
            continue
        assert raws
