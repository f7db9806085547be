"""Why one codec takes what the other refuses."""

from __future__ import annotations

import re

RULE = re.compile(r"\b(R-[A-Z]+-\d+)\)$")

OURS_REFUSES: dict[str, str] = {}
PEER_REFUSES: tuple[tuple[re.Pattern[str], str, str], ...] = ()


def rule_of(refusal: str) -> str:
    """Find the rule in one of our refusals."""
    found = RULE.search(refusal)
    return found[1] if found else refusal
