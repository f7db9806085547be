"""Nothing that the input holds stops the tool."""

import json
from contextlib import suppress

import captures
from hypothesis import given, settings
from hypothesis import strategies as st
from packets import INVALID, VALID

from nnrp.inspect import Options, dissect, split
from nnrp.inspect._json import packet_to_json
from nnrp.inspect._render import Style, render
from nnrp.inspect._source import FORMATS, UnreadableError, find_packets

PACKETS = [bytes.fromhex(vector["hex"]) for vector in VALID + INVALID]
LIMITS = st.integers(1, 40)


def show(raw, limit):
    """All that is done with a packet."""
    options = Options(limit)
    packet = dissect(raw, options)
    lines = list(render(packet, "#0", options, Style.coloured()))
    assert all("\n" not in line for line in lines)
    json.dumps(packet_to_json(packet, options))
    for node in packet.root.walk():
        assert 0 <= node.offset <= node.end <= len(raw)
    return packet


@st.composite
def damaged(draw):
    """A packet with some bytes changed, cut out, or put in."""
    raw = bytearray(draw(st.sampled_from(PACKETS)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(raw)))
        match draw(st.sampled_from(["change", "cut", "insert", "huge"])):
            case "change" if at < len(raw):
                raw[at] = draw(st.integers(0, 255))
            case "cut":
                del raw[at : at + draw(st.integers(1, 20))]
            case "huge":
                raw[at : at + 4] = draw(st.sampled_from([b"\xff\xff\xff\xff", b"\0\0\0\0", b"\1\0\0\x80"]))
            case _:
                raw[at:at] = draw(st.binary(max_size=20))
    return bytes(raw)


@settings(max_examples=400, deadline=None)
@given(damaged(), LIMITS)
def test_damaged_packets(raw, limit):
    show(raw, limit)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300), LIMITS)
def test_random_bytes(raw, limit):
    show(raw, limit)
    show(b"NNRP\x01\x00\x10\x28" + raw, limit)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_splitting_loses_nothing(data):
    data = data.replace(b"\0", b"NNRP\0")
    pieces = list(split(data))
    assert b"".join(raw for _, raw in pieces) == data


def look(data, form="auto"):
    with suppress(UnreadableError):
        for piece in find_packets(data, form).pieces:
            assert piece.clock is not None
            show(piece.raw, 4)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300), st.sampled_from(FORMATS))
def test_random_files(data, form):
    look(data, form)


@settings(max_examples=200, deadline=None)
@given(st.text("0123456789abcdefABCDEFx:,* |\n\t#", max_size=300))
def test_random_text(text):
    look(text.encode(), "hex")


CAPTURES = [
    write(captures.loopback(captures.session(PACKETS[0], PACKETS[1])), link_type)
    for write in (captures.pcap, captures.pcapng)
    for link_type in (captures.ETHERNET, captures.NULL, captures.LINUX_COOKED)
]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(CAPTURES), st.lists(st.tuples(st.integers(0, 1200), st.integers(0, 255)), max_size=8))
def test_damaged_captures(capture, changes):
    data = bytearray(capture)
    for at, value in changes:
        data[at % len(data)] = value
    look(bytes(data))
    look(bytes(data), "capture")
