"""Why one codec takes what the other refuses.

The names behind the rules say where the written protocol and the peer are known to part (``D-…``).
"""

from __future__ import annotations

import re

RULE = re.compile(r"\b(R-[A-Z]+-\d+)\)$")

OURS_REFUSES = {
    "R-HDR-2": "the peer never looks at version_major (D-VERSION)",
    "R-PKT-1": "the peer reads messages that have no metadata without looking whether there is some (D-DROP)",
    "R-PKT-2": "the peer reads messages that have no body without looking whether there is one (D-DROP)",
    "R-HELLO-5": "the peer's server ignores what a client declares (D-CAPS)",
    "R-ACK-5": "the peer's client ignores the body of SERVER_HELLO_ACK (D-ACKBODY)",
    "R-EXT-5": "the peer leaves extensions to the application, twice or not (D-EXTIGN)",
    "R-LIM-13": "the peer has no limits for what it receives (D-LIMITS)",
    "R-SUB-1": "the peer accepts any frame class (D-CLOSED)",
    "R-SEC-7": "the peer accepts any section flags (D-CLOSED)",
    "R-CACHE-1": "the peer has CACHE_PUT's metadata, but nothing that reads its body (D-CACHEW)",
    "R-CACHE-3": "the peer accepts any CACHE_PUT flags (D-CLOSED)",
    "R-PLAIN-1": "the peer does not check a camera length beyond the body (D-TILECHK)",
    "R-PLAIN-2": "the peer does not check the padding after the camera block (D-TILECHK)",
    "R-TILE-4": "the peer does not check that tile ids fit 16 bits (D-TILECHK)",
    "R-TILE-5": "the peer does not check for differences of zero (D-TILECHK)",
    "R-TYP-2": "the peer's codec accepts a tensor as typed payload, its session layer does not (D-TENSORF)",
    "R-OBJ-11": "the peer does not check that a mode with references has any (D-MIXED)",
    "R-OBJ-21": "the peer does not compare tile_index_bytes with a referenced tile index (D-REFRES)",
    "R-OBJ-35": "the peer does not compare tile_index_bytes with a referenced tile index (D-REFRES)",
}
"""Rules that the peer does not apply."""

PEER_REFUSES = {
    "R-ERR-1": "our session reads an unknown scope as connection, the peer's enum is closed (D-CLOSED)",
    "R-EXT-1": "a CLIENT_HELLO in the written order, auth block first, is read as a fallback (D-HELLO)",
}
"""What our codec takes and the peer refuses, by the rule of the function of ``nnrp.core`` that both have."""


def rule_of(refusal: str) -> str:
    """Find the rule in one of our refusals."""
    found = RULE.search(refusal)
    if found:
        return found[1]
    # Blocks of extensions are unpacked in Python, in sentences without a rule.
    return "R-EXT-1" if "control extension" in refusal else refusal
