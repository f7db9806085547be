"""Every golden packet as a tree: complete, in order, and wrong exactly where the codec says so."""

from itertools import pairwise

import pytest
from packets import INVALID, VALID, leaves, native_refusal, one_of, packet

from nnrp.core import MessageType
from nnrp.inspect import Options, dissect, split

EVERYTHING = Options(limit=1 << 20, secrets=True)


def by_name(vectors):
    return {"argvalues": vectors, "ids": [vector["name"] for vector in vectors]}


@pytest.mark.parametrize("vector", **by_name(VALID))
def test_a_tree_covers_every_byte_once_and_in_order(vector):
    raw = bytes.fromhex(vector["hex"])
    position = 0
    for leaf in leaves(dissect(raw, EVERYTHING).root):
        assert leaf.offset == position, leaf.name
        position = leaf.end
    assert position == len(raw)


@pytest.mark.parametrize("vector", **by_name(VALID))
def test_a_limit_leaves_nothing_out_of_the_tree(vector):
    raw = bytes.fromhex(vector["hex"])
    parts = [(leaf.offset, leaf.end) for leaf in leaves(dissect(raw, Options(limit=1)).root)]
    assert all(end == start for (_, end), (start, _) in pairwise(parts))
    assert parts[-1][1] == len(raw)


def test_violations_are_those_of_the_codec():
    for vector in VALID + INVALID:
        raw = bytes.fromhex(vector["hex"])
        refusal = native_refusal(raw) if raw else None
        violations = dissect(raw).violations if raw else []
        assert bool(violations) == bool(refusal), (vector["name"], refusal)
        if refusal and " (" in refusal:
            sentences = [violation.sentence for violation in violations]
            assert any(refusal.startswith(sentence) for sentence in sentences), (refusal, sentences)


def test_violations_are_marked_at_the_field_they_name():
    places = {}
    for vector in INVALID:
        for node in dissect(bytes.fromhex(vector["hex"])).root.walk():
            for violation in node.violations:
                assert node.offset <= violation.offset <= max(node.end, node.offset)
                if violation.field:
                    places.setdefault(node.name == violation.field, []).append(violation)
    # A few rules are about a field elsewhere, or about bytes that are not taken apart.
    assert len(places[True]) > 20 * len(places[False])


@pytest.mark.parametrize("message", list(MessageType), ids=lambda message: message.name)
def test_every_message_is_shown(message):
    found = dissect(one_of(message))
    assert found.message == message.name
    assert found.root.children[0].name == "header"
    assert not found.violations


@pytest.mark.parametrize("message", list(MessageType), ids=lambda message: message.name)
def test_a_packet_that_is_cut_anywhere_is_shown_as_far_as_it_goes(message):
    raw = one_of(message)
    for length in [*range(1, min(400, len(raw))), *range(400, len(raw), 97)]:
        found = dissect(raw[:length])
        assert "R-PKT-3" in [violation.rule for violation in found.violations]
        assert max(leaf.end for leaf in leaves(found.root)) == length


def test_more_than_one_violation_is_found():
    raw = bytearray(one_of(MessageType.FRAME_SUBMIT))
    raw[40 + 12], raw[40 + 13] = 9, 9
    raw[5] = 7
    rules = [violation.rule for violation in dissect(bytes(raw)).violations]
    assert rules == ["R-HDR-3", "R-SUB-1"]


def test_packets_lie_back_to_back_and_damage_between_them_is_skipped():
    first, second = one_of(MessageType.PING), one_of(MessageType.CLOSE)
    pieces = list(split(first + b"garbage" + second + first[:20]))
    assert [raw for _, raw in pieces] == [first, b"garbage", second, first[:20]]
    assert [offset for offset, _ in pieces] == [0, 40, 47, 47 + len(second)]


def texts(found):
    return " ".join(f"{node.text} {node.value}" for node in found.root.walk())


SECRET = b"open sesame, a token that nobody should see"


def hello_with(auth, extensions=b"", flip=()):
    raw = bytearray(packet("client_hello-bare"))
    raw[16:20] = (len(auth) + len(extensions)).to_bytes(4, "little")
    raw[96:100] = len(auth).to_bytes(4, "little")
    raw[100:104] = len(extensions).to_bytes(4, "little")
    for at in flip:
        raw[at] ^= 0xFF
    return bytes(raw) + extensions + auth


@pytest.mark.parametrize("position", range(104))
def test_damage_does_not_bring_the_auth_block_to_light(position):
    for raw in split(hello_with(SECRET, flip=[position])):
        found = dissect(raw[1])
        shown = b"".join(
            found.raw[leaf.offset : leaf.end] for leaf in leaves(found.root) if not leaf.is_secret
        )
        assert SECRET[4:12] not in shown
        assert "sesame" not in texts(found)


def test_secrets_are_shown_when_asked_for():
    assert "sesame" not in texts(dissect(hello_with(SECRET)))
    assert "sesame" in texts(dissect(hello_with(SECRET), Options(secrets=True)))
    migrate = bytearray(one_of(MessageType.SESSION_MIGRATE)[:64])
    migrate[16:20] = len(SECRET).to_bytes(4, "little")
    assert "sesame" not in texts(dissect(bytes(migrate) + SECRET))
    assert "sesame" in texts(dissect(bytes(migrate) + SECRET, Options(secrets=True)))


def test_an_auth_block_in_front_of_the_extensions_stays_hidden():
    extension = bytes.fromhex("01010000080000000200000002000000")
    raw = hello_with(extension, SECRET)  # the lengths go to the wrong parts
    raw = raw[:96] + raw[100:104] + raw[96:100] + raw[104:]
    found = dissect(raw)
    assert not found.violations
    assert "sesame" not in texts(found)
    assert "PREFER_TCP" in texts(found)


def test_text_of_the_peer_cannot_steer_a_terminal():
    close = bytearray(one_of(MessageType.CLOSE)[:40])
    reason = b"\x1b[2J\x07bye\xff"
    close[16:20] = len(reason).to_bytes(4, "little")
    body = dissect(bytes(close) + reason).root.children[1]
    assert body.children[0].text == '"\\x1b[2J\\x07bye\ufffd"'
